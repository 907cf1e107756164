"""The HTML of the family page."""

from __future__ import annotations

import base64
import html
import io
import re
import resource
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.errors import GalleryBusyError
from facebank.service.options import Limits, ServiceOptions
from facebank.service.page import memory, who
from facebank.service.page.wording import NOBODY_EXPLANATION
from tests.demo_photos import DEMO_PHOTOS
from tests.service.conftest import Serve, side_by_side, wait_for_photos

TOKEN = "a-token-of-more-than-twenty-characters"


def test_people_page_shows_everybody_with_a_picture(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "Barack" in page.text
    assert "Eileen" in page.text
    for address in re.findall(r'src="(/pictures/[^"]+)"', page.text):
        picture = client.get(address)
        assert picture.status_code == 200
        assert not Image.open(io.BytesIO(picture.content)).getexif()
        assert client.get(address, headers={"If-None-Match": picture.headers["etag"]}).status_code == 304


def test_people_page_can_be_searched(client: httpx.Client) -> None:
    page = client.get("/", params={"q": "eil"}).text
    assert "Eileen" in page
    assert "Barack" not in page


def test_no_page_has_inline_scripts_or_styles_or_other_hosts(client: httpx.Client) -> None:
    page = client.get("/").text
    assert not re.search(r"<style|style=|\son\w+=|javascript:|https?://", page)
    assert re.findall(r"<script(?![^>]*src=)", page) == []
    assert "unsafe" not in client.get("/").headers["content-security-policy"]


def test_name_with_script_tags_is_shown_as_text(serve: Serve, gallery: Path) -> None:
    with FaceBank.open(gallery) as bank:
        bank.rename("Barack", "<script>alert(1)")
        bank.rename("Eileen", "<img src=x onerror=alert(1)>")
    page = serve().get("/").text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_missing_key_redirects_to_sign_in(serve: Serve) -> None:
    client = serve(token=TOKEN)
    assert client.get("/").status_code == 303
    assert client.get("/").headers["location"] == "/sign-in"
    assert client.get("/pictures/samples/1").status_code == 401
    assert client.get("/static/page.css").status_code == 200

    refused = client.post("/sign-in", data={"key": "x" * 30})
    assert refused.status_code == 401
    assert "not valid" in refused.text

    signed_in = client.post("/sign-in", data={"key": TOKEN})
    assert signed_in.status_code == 303
    cookie = signed_in.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    page = client.get("/")
    assert page.status_code == 200
    csrf = re.search(r'name="csrf-token" content="(\w+)"', page.text)
    assert csrf is not None

    origin = str(client.base_url).rstrip("/")
    assert client.post("/sign-out", headers={"Origin": origin}).status_code == 403  # without the token
    assert client.post("/sign-out", headers={"Origin": origin, "X-CSRF-Token": csrf[1]}).status_code == 200
    assert client.get("/").status_code == 303


def test_signing_in_leads_to_the_requested_page(serve: Serve) -> None:
    client = serve(token=TOKEN)
    response = client.get("/people/1?with=2&page=1")
    form = client.get(response.headers["location"])
    target = html.unescape(re.findall(r'name="to" value="([^"]*)"', form.text)[0])
    assert target == "/people/1?with=2&page=1"
    refused = client.post("/sign-in", data={"key": "x" * 30, "to": target})
    assert html.escape(target) in refused.text
    assert client.post("/sign-in", data={"key": TOKEN, "to": target}).headers["location"] == target


def test_signing_in_leads_to_no_other_site(serve: Serve) -> None:
    client = serve(token=TOKEN)
    targets = [
        *(
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "http:evil.example",
        ),
        *("https://evil.example/", "javascript:alert(1)", "evil.example", "@evil.example", "", " //evil.example"),
        *(
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\nSet-Cookie: a=b",
            "/who\x00",
            "/a\\b",
            "/\u2215evil",
            "/sign-in",
        ),
        *("/sign-in", "http:evil.example", "/" + "a" * 3000),
    ]
    for target in targets:
        assert 'name="to" value="/"' in client.get("/sign-in", params={"to": target}).text, target
        assert client.post("/sign-in", data={"key": TOKEN, "to": target}).headers["location"] == "/", target
        assert client.get("/sign-in", params={"to": target}).headers["location"] == "/", target  # signed in already
        client.cookies.clear()


def test_sign_in_needs_its_own_form(serve: Serve) -> None:
    client = serve(token=TOKEN)
    for headers in (
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ):
        assert client.post("/sign-in", data={"key": TOKEN}, headers=headers).status_code == 403
    same_origin = {
        "Origin": "null",
        "Sec-Fetch-Site": "same-origin",
    }  # browsers send this from pages without a referrer
    assert client.post("/sign-in", data={"key": TOKEN}, headers=same_origin).status_code == 303


@pytest.mark.parametrize(
    "path", ["../access.py", "..%2faccess.py", "%2e%2e/access.py", "....//access.py", "/etc/passwd"]
)
def test_only_static_files_are_sent(client: httpx.Client, path: str) -> None:
    assert client.get(f"/static/{path}").status_code in {403, 404}


def test_pictures_of_unknown_photos_are_not_found(client: httpx.Client) -> None:
    assert client.get("/pictures/samples/999999").status_code == 404
    assert client.get(f"/pictures/photos/{'0' * 64}/320").status_code == 404
    assert client.get("/pictures/photos/..%2f..%2fetc%2fpasswd/320").status_code in {404, 422}


def photo_hash(client: httpx.Client, name: str) -> str:
    """Return the hash of an album photo by its file name."""
    for number in (1, 2):
        match = re.search(rf'/photos/([0-9a-f]{{64}})"><img [^>]*alt="{name}', client.get(f"/people/{number}").text)
        if match:
            return match[1]
    raise AssertionError(name)


def test_person_page_has_photos_by_year_and_samples(family: httpx.Client) -> None:
    page = family.get("/people/1").text
    assert len(set(re.findall(r"/photos/[0-9a-f]{64}", page))) == 3
    assert "by the files&#39; dates" in page or re.search(r">\d{4}</h2>", page)
    assert 'src="/pictures/samples/1"' in page
    assert "Remove" in page
    for address in re.findall(r'data-late="(/pictures/photos/[^"]+)"', page):
        picture = family.get(address)
        assert picture.status_code == 200
        with Image.open(io.BytesIO(picture.content)) as opened:
            assert max(opened.size) <= 320
            assert not opened.getexif()
    assert family.get("/people/999").status_code == 404
    assert "Not found" in family.get("/people/999").text


def test_photo_page_has_its_faces(family: httpx.Client) -> None:
    address = f"/photos/{photo_hash(family, 'barack_obama_speech.jpg')}"
    page = family.get(address).text
    assert "Barack" in page
    assert re.search(r"(almost certain|very likely|likely) \((over )?\d+ %\)", page)
    nearest = family.get(f"{address}/faces/1/nearest").json()
    assert nearest["person"] == "Barack"
    assert nearest["samples"][0]["sample_id"] == 1
    assert family.get(f"/photos/{'0' * 64}").status_code == 404
    assert family.get(f"{address}/faces/99/nearest").status_code == 404


def test_explanation_is_drawn_for_album_samples_only(
    family: httpx.Client, gallery: Path, scanned_album: tuple[Path, Path]
) -> None:
    photo = photo_hash(family, "barack_obama_speech.jpg")
    assert family.get(f"/pictures/maps/{photo}/1/1").status_code == 404  # the sample's photo is elsewhere
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        added = bank.confirm(scanned_album[0] / "barack_obama_speech.jpg", "Barack", 1)
    response = family.get(f"/pictures/maps/{photo}/1/{added.sample_id}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"


def test_photo_linking_out_of_the_album_is_never_sent(serve: Serve, own_album: Path, tmp_path: Path) -> None:
    family = wait_for_photos(serve(ServiceOptions(albums=(own_album,))))
    photo = photo_hash(family, "barack_obama_speech.jpg")
    outside = tmp_path / "outside.jpg"
    (own_album / "barack_obama_speech.jpg").rename(outside)
    (own_album / "barack_obama_speech.jpg").symlink_to(outside)
    assert family.get(f"/pictures/photos/{photo}/640").status_code == 404
    assert family.get(f"/photos/{photo}").status_code == 404


def test_changed_photo_is_not_sent_as_the_scanned_one(serve: Serve, own_album: Path) -> None:
    family = wait_for_photos(serve(ServiceOptions(albums=(own_album,))))
    photo = photo_hash(family, "barack_obama_speech.jpg")
    shutil.copy(DEMO_PHOTOS / "eileen_collins.jpg", own_album / "barack_obama_speech.jpg")
    assert family.get(f"/pictures/photos/{photo}/640").status_code == 422


def test_photos_outside_the_albums_are_not_shown(serve: Serve, gallery: Path, own_album: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        (photo, *_) = bank.album().identify()
    client = serve()  # without an album
    assert "/photos/" not in client.get("/people/1").text
    assert client.get(f"/pictures/photos/{photo.content_hash}/320").status_code == 404
    assert str(own_album) not in client.get("/people/1").text


def test_page_changes_need_a_token(family: httpx.Client) -> None:
    origin = {"Origin": str(family.base_url).rstrip("/")}
    photo = photo_hash(family, "barack_obama_speech.jpg")
    for address, content in (
        ("/people/1/rename", {"name": "Mallory"}),
        ("/people/1/forget", {}),
        ("/people/1/merge", {"into": "Eileen"}),
        ("/samples/1/remove", {}),
        (f"/photos/{photo}/answers", {"face": 1, "answer": "nobody"}),
        ("/who/answers", {"key": "group-1-1", "answer": "nobody"}),
        ("/answers/undo", {"token": "x"}),
    ):
        assert family.post(address, json=content, headers=origin).status_code == 403, address
        assert family.post(address, json=content, headers={"Origin": "http://evil.example"}).status_code == 403, address
    assert "Mallory" not in family.get("/").text
    assert "Barack" in family.get("/").text


def test_answers_about_a_face_are_learned_and_undone(family: httpx.Client) -> None:
    photo = photo_hash(family, "barack_obama_speech.jpg")
    address = f"/photos/{photo}/answers"
    refused = family.post(address, json={"face": 1, "answer": "name", "name": "Eileen"})
    assert refused.status_code == 409
    assert refused.json()["code"] == "NotLearned"
    named = family.post(address, json={"face": 1, "answer": "name", "name": "Barack Junior", "force": True}).json()
    assert named["message"] == "Barack Junior. Learned."
    assert "Barack Junior" in family.get("/").text
    assert named["undo"] in family.get(f"/photos/{photo}").text
    assert "Undo: Barack Junior, 1 face</button>" in family.get(f"/photos/{photo}").text
    undone = family.post("/answers/undo", json={"token": named["undo"]}).json()
    assert undone["message"] == "Undone: Barack Junior, 1 face."
    assert "Barack Junior" not in family.get("/").text
    assert family.post("/answers/undo", json={"token": named["undo"]}).status_code == 404
    assert named["undo"] not in family.get(f"/photos/{photo}").text

    denied = family.post(address, json={"face": 1, "answer": "not", "name": "Barack"}).json()
    assert "Not Barack" in denied["message"]
    assert "2 photos" in family.get("/").text  # at once
    assert "You said: not Barack. The face is not like anybody else" in family.get(f"/photos/{photo}").text
    family.post("/answers/undo", json={"token": denied["undo"]})
    assert "3 photos" in family.get("/").text


def test_repeated_corrections_are_undone_one_by_one(family: httpx.Client, gallery: Path) -> None:
    photo = wait_for_question(family)["photo"]["hash"]  # of a stranger

    def undo_token(answer: str, name: str = "") -> str:
        content = {"face": 1, "answer": answer, "name": name, "force": True}
        return str(family.post(f"/photos/{photo}/answers", json=content).json()["undo"])

    def sample_counts() -> dict[str, int]:
        with FaceBank.open(gallery) as bank:
            people = {person.name: person.sample_count for person in bank.people()}
            return {**people, "nobody": len(bank.gallery.stranger_faces())}

    states, tokens = [sample_counts()], list[str]()
    for answer, name in (
        ("nobody", ""), ("name", "Aaa"), ("name", "Bbb"), ("not", "Bbb"), ("name", "Bbb"), ("nobody", "")
    ):  # fmt: skip
        tokens.append(undo_token(answer, name))
        states.append(sample_counts())
    assert [state.get("Bbb") for state in states] == [None, None, None, 1, 0, 1, 0]
    page = family.get(f"/photos/{photo}").text
    assert "data-nobody" not in page
    assert NOBODY_EXPLANATION in page
    for index, token in enumerate(reversed(tokens), 1):
        assert family.post("/answers/undo", json={"token": token}).json()["message"].startswith("Undone: ")
        assert sample_counts() == states[-1 - index]
        if index == 1:  # the face is a sample of somebody else, or of nobody
            page = family.get(f"/photos/{photo}").text
            assert 'data-not="Bbb"' in page
            assert "data-nobody" in page


def test_undo_without_effect_is_reported(family: httpx.Client, gallery: Path) -> None:
    photo = photo_hash(family, "barack_obama_speech.jpg")
    payload = {"face": 1, "answer": "not", "name": "Barack"}
    token = family.post(f"/photos/{photo}/answers", json=payload).json()["undo"]
    with FaceBank.open(gallery) as bank:
        bank.forget("Barack")
    undone = family.post("/answers/undo", json={"token": token})
    assert undone.json()["message"] == "Nothing is left to undo of this: Not Barack, 1 face."


def test_people_are_renamed_described_merged_split_and_forgotten(family: httpx.Client, gallery: Path) -> None:
    assert family.post("/people/1/rename", json={"name": "Barack Obama"}).status_code == 200
    assert family.post("/people/1/rename", json={"name": "Eileen"}).status_code == 409
    assert family.post("/people/1/rename", json={"name": "a/b"}).status_code == 422
    assert family.post("/people/1/describe", json={"born": "1961-08-04", "note": "<b>44th</b>"}).status_code == 200
    page = family.get("/people/1").text
    assert "born 1961-08-04" in page
    assert "&lt;b&gt;44th" in page
    assert family.post("/people/1/describe", json={"born": "soon", "note": ""}).status_code == 422
    assert family.post("/people/2/describe", json={"day": "1956-11-19", "born": ""}).status_code == 200
    assert re.search(r'type="date"[^>]* value="1956-11-19"', family.get("/people/2").text)
    assert family.post("/people/2/describe", json={"day": "", "born": "1956/11"}).status_code == 200
    page = family.get("/people/2").text
    assert re.search(r'type="date"[^>]* value=""', page)
    assert re.search(r'name="born" value="1956-11"', page)
    assert family.post("/people/2/describe", json={"day": "", "born": ""}).status_code == 200
    assert "born 1956" not in family.get("/people/2").text
    assert family.post("/people/2/merge", json={"into": "Barack Obama"}).status_code == 422  # they look like two people
    counts = [family.get(f"/people/{number}").text.count("data-late") for number in (1, 2)]
    merged = family.post("/people/2/merge", json={"into": "Barack Obama", "force": True})
    page = family.get("/people/1").text  # complete, or reloaded by the browser
    assert page.count("data-late") == sum(counts) or "data-progress" in page
    assert merged.json()["to"] == "/people/1"
    assert "Separate Eileen again" in family.get("/people/1").text
    assert family.post("/people/1/unmerge", json={}).status_code == 200
    assert "Eileen" in family.get("/").text
    copies = family.get("/people/1/copies").json()
    assert "family.scan" in {Path(copy["path"]).name for copy in copies["stays"]}
    assert family.post("/people/1/forget", json={}).json()["to"] == "/"
    assert "Barack Obama" not in family.get("/").text
    assert b"Barack Obama" not in gallery.read_bytes()


def test_answers_to_a_question_are_learned_and_undone(family: httpx.Client) -> None:
    for _ in range(300):
        question = family.post("/who/next", json={}).json()["question"]
        if question is not None:
            break
        time.sleep(0.02)
    assert question["faces"]
    payload = {"key": question["key"], "answer": "name", "name": "Joe"}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # files cannot grow beyond a page
    try:
        response = family.post("/who/answers", json=payload)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert response.status_code == 507
    assert "the disk is full" in response.json()["detail"]
    assert "Joe" not in family.get("/").text
    answer = family.post("/who/answers", json=payload).json()
    assert answer["message"] == "Joe: 1 face. Learned."
    assert family.post("/who/next", json={}).json()["last"] == {"token": answer["undo"], "words": "Joe, 1 face"}
    assert answer["question"] is None or answer["question"]["key"] != question["key"]
    assert "Joe" in family.get("/").text
    family.post("/answers/undo", json={"token": answer["undo"]})
    assert "Joe" not in family.get("/").text
    after = family.post("/who/next", json={}).json()
    assert after["last"] is None
    same_question = after["question"]
    assert same_question["key"] == question["key"]
    nobody = family.post("/who/answers", json={"key": question["key"], "answer": "nobody"}).json()
    assert "You said that this face is nobody you know." in family.get(f"/photos/{question['photo']['hash']}").text
    family.post("/answers/undo", json={"token": nobody["undo"]})
    skipped = family.post("/who/next", json={"skipped": [question["key"]]}).json()["question"]
    assert skipped is None or skipped["key"] != question["key"]
    outdated = family.post("/who/answers", json={"key": "group-77-1", "answer": "nobody"}).json()
    assert outdated["message"] == "Somebody answered that meanwhile."
    assert outdated["undo"] is None


def test_only_faces_of_the_question_can_be_excluded_and_not_all(family: httpx.Client) -> None:
    for _ in range(300):
        question = family.post("/who/next", json={}).json()["question"]
        if question is not None and question["faces"][0]["id"] is not None:
            break
        time.sleep(0.02)
    (face,) = question["faces"]
    assert family.post("/who/faces", json={"key": question["key"]}).json() == {"faces": [face]}
    assert family.post("/who/faces", json={"key": "group-77-1"}).json() == {"faces": []}
    payload = {"key": question["key"], "answer": "name", "name": "Joe"}
    assert family.post("/who/answers", json={**payload, "others": [face["id"]]}).status_code == 422
    assert (
        family.post("/who/answers", json={**payload, "others": [-1, 10**6]}).json()["message"]
        == "Joe: 1 face. Learned."
    )


def test_face_excluded_from_a_group_stays_excluded_after_undo(
    serve: Serve, gallery: Path, own_album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_busy(*_: object) -> None:
        raise GalleryBusyError("another program writes to it: try again when that has finished")

    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", own_album)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as album:
        bank.forget("Barack")
        album.scan(own_album)
        album.cluster(least=1)
    client = serve(ServiceOptions(albums=(own_album,)))
    question = wait_for_question(client)
    first = question["faces"][0]
    assert not first["is_left_out"]
    payload = {"key": question["key"], "answer": "name", "name": "Barack", "others": [first["id"]]}
    with monkeypatch.context() as patch:
        patch.setattr(who, "leave_out", raise_busy)
        assert client.post("/who/answers", json=payload).status_code == 503
    assert "Barack" not in client.get("/api/v1/people").text  # the answer was not recorded in part
    token = client.post("/who/answers", json=payload).json()["undo"]
    page = client.get(f"/photos/{first['photo']}").text
    assert "You said: not Barack. The face is not like anybody else" in page
    assert "Undo: Barack, 1 face</button>" in page
    with monkeypatch.context() as patch:
        patch.setattr(memory, "take_back", raise_busy)
        assert client.post("/answers/undo", json={"token": token}).status_code == 503
    assert client.post("/answers/undo", json={"token": token}).status_code == 200
    again = wait_for_question(client)
    assert again["key"] == question["key"]
    assert [face["is_left_out"] for face in again["faces"]] == [True, False]
    assert client.post("/who/faces", json={"key": again["key"]}).json()["faces"] == again["faces"]


def test_undo_is_offered_to_the_same_browser_only(serve: Serve, gallery: Path, own_album: Path) -> None:
    from facebank.service.keys import KeyFile, Role

    key = KeyFile.of_gallery(gallery).add("family", Role.TEACH)
    client = serve(ServiceOptions(albums=(own_album,)))
    sessions = []
    for _ in range(2):
        client.cookies.clear()
        session = client.post("/sign-in", data={"key": key}).headers["set-cookie"]
        sessions.append({"Cookie": session.partition(";")[0]})
    wait_for_photos(client)
    photo = photo_hash(client, "barack_obama_speech.jpg")
    client.cookies.clear()
    payload = {"face": 1, "answer": "not", "name": "Barack"}
    reply = client.post(f"/photos/{photo}/answers", json=payload, headers=sessions[0]).json()
    first, second = (client.post("/who/next", json={}, headers=cookie).json()["last"] for cookie in sessions)
    assert first == {"token": reply["undo"], "words": "Not Barack, 1 face"}
    assert second is None


def test_a_reader_cannot_change_anything(serve: Serve, gallery: Path) -> None:
    from facebank.service.keys import KeyFile, Role

    key = KeyFile.of_gallery(gallery).add("grandma", Role.READ)
    client = serve()
    assert client.post("/sign-in", data={"key": key}).status_code == 303
    page = client.get("/people/1").text
    assert "Barack" in page
    assert "Rename" not in page
    assert 'href="/who"' not in page  # no link to a refused page
    assert client.get("/who").status_code == 403
    assert "This is not allowed" in client.get("/who").text


def test_look_alikes_are_shown_with_advice(serve: Serve, gallery: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        bank.enroll("Barry", DEMO_PHOTOS / "barack_obama_speech.jpg", force=True)
    page = serve().get("/look-alikes").text
    assert "could be taken for the other" in page
    assert "They are one person" in page
    assert "only one learned face" in page


def test_settings_are_changed_and_reset(client: httpx.Client) -> None:
    page = client.get("/settings").text
    assert "Strangers with a wrong name" in page
    assert "2 people with 2 learned faces" in page
    assert client.post("/settings", json={"key": "fpir", "value": "0.001"}).status_code == 200
    assert re.search(r'value="0.001" selected', client.get("/settings").text)
    assert client.post("/settings", json={"key": "fpir", "value": "9"}).status_code == 422
    assert client.post("/settings", json={"key": "secret", "value": "1"}).status_code == 422
    assert client.post("/settings", json={"key": "fpir", "value": ""}).status_code == 200
    assert re.search(r'value="0.01" selected', client.get("/settings").text)


def test_uploaded_photo_is_identified_or_enrolled(client: httpx.Client) -> None:
    photo = (DEMO_PHOTOS / "joe_biden_blue_room.jpg").read_bytes()
    response = client.post("/add/ask", files={"photo": ("joe.jpg", photo)}).json()
    assert response["faces"][0]["title"] == "No name yet"
    learned = client.post("/add/enroll", files={"photo": ("joe.jpg", photo)}, data={"name": "Joe"}).json()
    assert learned["accepted"]
    assert "Joe" in client.get("/").text
    again = client.post("/add/ask", files={"photo": ("joe.jpg", photo)}).json()
    assert again["faces"][0]["title"] == "Joe"
    refused = client.post("/add/enroll", files={"photo": ("joe.jpg", photo)}, data={"name": "Eileen"}).json()
    assert not refused["accepted"]
    assert client.post("/add/enroll", files={"photo": ("joe.jpg", photo)}, data={"name": "."}).status_code == 422
    assert client.post("/add/ask", files={"photo": ("zip.jpg", b"PK\x03\x04" + bytes(99))}).status_code == 422


def test_face_is_chosen_in_a_photo_of_two_people(client: httpx.Client, tmp_path: Path) -> None:
    upload = {"photo": ("two.jpg", side_by_side(tmp_path / "two.jpg").read_bytes())}
    response = client.post("/add/enroll", files=upload, data={"name": "Joe"}).json()
    assert not response["accepted"]
    (joe,) = (face for face in response["faces"] if face["title"] == "No name yet")
    assert {face["title"] for face in response["faces"]} == {"Barack", "No name yet"}
    with Image.open(io.BytesIO(base64.b64decode(joe["picture"]))) as picture:
        assert max(picture.size) <= 128
    learned = client.post("/add/enroll", files=upload, data={"name": "Joe", "face": str(joe["face"])}).json()
    assert (learned["accepted"], learned["name"], learned["faces"]) == (True, "Joe", [])
    faces = client.post("/add/ask", files=upload).json()["faces"]
    assert {face["title"] for face in faces} == {"Barack", "Joe"}
    other = next(face["face"] for face in response["faces"] if face["title"] == "Barack")
    refused = client.post("/add/enroll", files=upload, data={"name": "Joe", "face": str(other)}).json()
    assert refused["reason"] in {"nearer_to_another", "other_face_is_the_person"}
    assert client.post("/add/enroll", files=upload, data={"name": "Joe", "face": "9"}).status_code == 422


def test_the_album_is_scanned_from_the_page(serve: Serve, own_album: Path) -> None:
    client = serve(ServiceOptions(albums=(own_album,)))
    assert str(own_album) in client.get("/add").text
    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", own_album)
    assert client.post("/api/v1/album/scan", json={"folders": []}).status_code == 202
    for _ in range(300):
        if re.search(r">2 photos<", client.get("/").text):
            return
        time.sleep(0.05)
    raise AssertionError


def test_empty_gallery_page_shows_the_next_step(serve: Serve, gallery: Path, album: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        for person in bank.people():
            bank.forget(person.name)
    client = serve(ServiceOptions(albums=(album,)))
    wait_for_text(client, "/", "Look through my photos")
    assert 'data-send="/api/v1/album/scan"' in client.get("/who").text  # not "All done"
    assert client.post("/api/v1/album/scan", json={}).status_code == 202
    page = client.get("/").text
    assert "data-progress" in page or "here. Say who" in page  # the progress, or the result
    assert 'class="button main" href="/who"' in wait_for_text(client, "/", "2 photos are here")
    assert "data-ask-page" in client.get("/who").text


def test_failed_scan_is_reported_where_it_was_started(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    client = serve(ServiceOptions(albums=(tmp_path / "empty",)))
    wait_for_text(client, "/", "Look through my photos")
    client.post("/api/v1/album/scan", json={})
    wait_for_text(client, "/", "could not be looked through")


def wait_for_text(client: httpx.Client, address: str, text: str) -> str:
    """Return a page as soon as it contains a text."""
    for _ in range(600):
        page = client.get(address).text
        if text in page:
            return page
        time.sleep(0.05)
    raise AssertionError(page)


def wait_for_question(family: httpx.Client) -> dict[str, Any]:
    """Return the first question as soon as there is one."""
    for _ in range(300):
        question: dict[str, Any] | None = family.post("/who/next", json={}).json()["question"]
        if question is not None:
            return question
        time.sleep(0.02)
    raise AssertionError("no question")


def test_the_name_of_a_group_from_another_browser_is_reported(family: httpx.Client) -> None:
    key = wait_for_question(family)["key"]
    with ThreadPoolExecutor(2) as browsers:
        answers = browsers.map(
            lambda name: family.post("/who/answers", json={"key": key, "answer": "name", "name": name}).json(),
            ("Joe", "Joseph"),
        )
    (name,) = re.findall("(Jo(?:e|seph))<", family.get("/").text)
    reply = {answer["message"]: answer["undo"] for answer in answers}
    assert reply.pop(f"Somebody answered that meanwhile: it is {name}.") is None
    ((message, undo),) = reply.items()
    assert message.startswith(f"{name}: ")
    assert undo is not None


def test_repeated_answer_counts_once_and_is_undone_once(family: httpx.Client, gallery: Path) -> None:
    payload = {"key": wait_for_question(family)["key"], "answer": "name", "name": "Joe"}
    with ThreadPoolExecutor(2) as clicks:
        first, second = (
            response.json() for response in clicks.map(lambda _: family.post("/who/answers", json=payload), range(2))
        )
    assert (first["message"], first["undo"]) == (second["message"], second["undo"])
    photo = photo_hash(family, "barack_obama_speech.jpg")
    for answer in ({"answer": "not", "name": "Barack"}, {"answer": "name", "name": "Barry", "force": True}):
        for _ in range(2):
            reply = family.post(f"/photos/{photo}/answers", json={"face": 1, **answer}).json()
        assert family.post("/answers/undo", json={"token": reply["undo"]}).status_code == 200
    assert "Barry" not in family.get("/").text
    assert family.post("/answers/undo", json={"token": first["undo"]}).status_code == 200
    with FaceBank.open(gallery) as bank:
        assert [person.name for person in bank.people()] == ["Barack", "Eileen"]


def test_the_name_of_a_group_from_another_program_is_reported(family: httpx.Client, gallery: Path) -> None:
    key = wait_for_question(family)["key"]
    assert family.post(f"/api/v1/album/groups/{key.split('-')[1]}", json={"person": "Joe"}).status_code == 200
    reply = family.post("/who/answers", json={"key": key, "answer": "name", "name": "Jim"}).json()
    assert reply["message"] == "Somebody answered that meanwhile: it is Joe."
    with FaceBank.open(gallery) as bank:
        assert [person.name for person in bank.people()] == ["Barack", "Eileen", "Joe"]


def test_unplugged_album_is_shown_without_pictures(serve: Serve, own_album: Path) -> None:
    family = wait_for_photos(serve(ServiceOptions(albums=(own_album,))))
    photo = photo_hash(family, "barack_obama_speech.jpg")
    own_album.rename(own_album.with_name("unplugged"))
    assert photo in family.get("/people/1").text
    assert family.get(f"/photos/{photo}").status_code == 200
    assert family.get(f"/pictures/photos/{photo}/640").status_code == 404
    response = family.post(f"/photos/{photo}/answers", json={"face": 1, "answer": "name", "name": "Somebody"})
    assert response.status_code == 404
    assert family.post("/api/v1/album/scan", json={}).status_code in {404, 409}
    assert photo in family.get("/people/1").text


def test_changes_by_the_command_line_are_shown(family: httpx.Client, gallery: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        bank.rename("Barack", "Barack Obama")
        bank.forget("Eileen")
    page = family.get("/").text
    assert "Barack Obama" in page
    assert "Eileen" not in page
    assert "3 photos" in page
    assert family.get("/people/2").status_code == 404


def test_pages_use_no_technical_terms(family: httpx.Client) -> None:
    photo = f"/photos/{photo_hash(family, 'barack_obama_speech.jpg')}"
    for address in ("/", "/people/1", photo, "/who", "/look-alikes", "/add", "/settings"):
        words = re.sub(r"<[^>]*>", " ", family.get(address).text)
        words += " ".join(re.findall(r'(?:alt|aria-label|placeholder)="([^"]*)"', family.get(address).text))
        found = re.search(
            r"\b(samples?|prototype|knn|svm|embeddings?|gallery|enroll\w*|thresholds?|pack)\b", words, re.IGNORECASE
        )
        assert found is None, (address, found)


def test_denials_by_another_program_are_shown(family: httpx.Client) -> None:
    photo = photo_hash(family, "barack_obama_speech.jpg")
    reply = family.post(
        "/api/v1/feedback",
        data={"answer": "deny", "person": "Barack"},
        files={"photo": ("speech.jpg", (DEMO_PHOTOS / "barack_obama_speech.jpg").read_bytes())},
    )
    assert reply.json()["accepted"]
    family.post("/settings", json={"key": "fpir", "value": ""})  # changes nothing but restarts the background scan
    for _ in range(500):
        if f"/photos/{photo}" not in family.get("/people/1").text:
            return
        time.sleep(0.02)
    raise AssertionError(family.get("/people/1").text)


def test_uploads_other_than_photos_are_refused(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(body=100_000)))
    assert client.post("/add/ask", files={"photo": ("big.jpg", bytes(200_000))}).status_code == 413
    assert client.post("/add/ask", content=b"").status_code == 400
    assert client.post("/who/answers", json={"key": "x" * 10_000, "answer": "nobody"}).status_code == 422
    assert client.post("/people/1/rename", json={"name": "x" * 5_000}).status_code == 422
    assert client.get("/?page=-1").status_code == 422
    assert client.get("/people/99999999999999999999999").status_code == 422


def test_confirmed_second_name_leaves_confirmed_faces_unchanged(family: httpx.Client) -> None:
    payload = {"face": 1, "answer": "name", "name": "Barry"}
    portrait, speech = (photo_hash(family, f"barack_obama_{name}.jpg") for name in ("portrait_2012", "speech"))
    assert family.post(f"/photos/{speech}/answers", json=payload).status_code == 409
    assert family.post(f"/photos/{speech}/answers", json={**payload, "force": True}).status_code == 200
    page = family.get(f"/photos/{portrait}").text
    assert re.search(r'<h2 id="title-1"><a href="/people/1">Barack</a></h2>', page)
    assert "You said that this is Barack" in page
    assert "likely (" not in page
    for _ in range(300):
        page = family.get("/people/1").text
        if "Perhaps Barack" in page:
            break
        time.sleep(0.02)
    assert f'href="/photos/{portrait}"' in page
    assert f'href="/photos/{portrait}#face-1"' not in page
    assert 'Some look just as much like somebody else; see <a href="/look-alikes">Look-alikes</a>.' in page
    assert "Barry" in family.get("/look-alikes").text


def test_look_alikes_page_shows_duplicate_samples(serve: Serve, gallery: Path, tmp_path: Path) -> None:
    copy = tmp_path / "again.jpg"
    with Image.open(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg") as photo:
        photo.save(copy, quality=97)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        added = bank.enroll("Barack", copy, force=True).photos[0]
        samples = {1, added.sample_id}
    client = serve()
    while "Comparing everybody" in (page := client.get("/look-alikes").text):
        time.sleep(0.05)
    assert "are copies of other ones" in page
    assert any(f'data-send="/samples/{sample}/remove"' in page for sample in samples)
