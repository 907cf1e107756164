"""The family page as sent by the service."""

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
from tests.service.conftest import DEMO_PHOTOS, Serve, looked_through, side_by_side

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

    signed = client.post("/sign-in", data={"key": TOKEN})
    assert signed.status_code == 303
    cookie = signed.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    page = client.get("/")
    assert page.status_code == 200
    csrf = re.search(r'name="csrf-token" content="(\w+)"', page.text)
    assert csrf is not None

    own = str(client.base_url).rstrip("/")
    assert client.post("/sign-out", headers={"Origin": own}).status_code == 403  # without the token
    assert client.post("/sign-out", headers={"Origin": own, "X-CSRF-Token": csrf[1]}).status_code == 200
    assert client.get("/").status_code == 303


def test_signing_in_leads_to_the_requested_page(serve: Serve) -> None:
    client = serve(token=TOKEN)
    response = client.get("/people/1?with=2&page=1")
    form = client.get(response.headers["location"])
    to = html.unescape(re.findall(r'name="to" value="([^"]*)"', form.text)[0])
    assert to == "/people/1?with=2&page=1"
    refused = client.post("/sign-in", data={"key": "x" * 30, "to": to})
    assert html.escape(to) in refused.text
    assert client.post("/sign-in", data={"key": TOKEN, "to": to}).headers["location"] == to


def test_signing_in_leads_to_no_other_site(serve: Serve) -> None:
    client = serve(token=TOKEN)
    foreign = [
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
    for to in foreign:
        assert 'name="to" value="/"' in client.get("/sign-in", params={"to": to}).text, to
        assert client.post("/sign-in", data={"key": TOKEN, "to": to}).headers["location"] == "/", to
        assert client.get("/sign-in", params={"to": to}).headers["location"] == "/", to  # signed in already
        client.cookies.clear()


def test_sign_in_needs_its_own_form(serve: Serve) -> None:
    client = serve(token=TOKEN)
    for headers in (
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ):
        assert client.post("/sign-in", data={"key": TOKEN}, headers=headers).status_code == 403
    own = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}  # as browsers submit forms of pages without a referrer
    assert client.post("/sign-in", data={"key": TOKEN}, headers=own).status_code == 303


@pytest.mark.parametrize(
    "path", ["../access.py", "..%2faccess.py", "%2e%2e/access.py", "....//access.py", "/etc/passwd"]
)
def test_only_static_files_are_sent(client: httpx.Client, path: str) -> None:
    assert client.get(f"/static/{path}").status_code in {403, 404}


def test_pictures_of_unknown_photos_are_not_found(client: httpx.Client) -> None:
    assert client.get("/pictures/samples/999999").status_code == 404
    assert client.get(f"/pictures/photos/{'0' * 64}/320").status_code == 404
    assert client.get("/pictures/photos/..%2f..%2fetc%2fpasswd/320").status_code in {404, 422}


def hash_of(client: httpx.Client, name: str) -> str:
    """Return the hash of an album photo by its file name."""
    for number in (1, 2):
        found = re.search(rf'/photos/([0-9a-f]{{64}})"><img [^>]*alt="{name}', client.get(f"/people/{number}").text)
        if found:
            return found[1]
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
    address = f"/photos/{hash_of(family, 'barack_obama_speech.jpg')}"
    page = family.get(address).text
    assert "Barack" in page
    assert re.search(r"(almost certain|very likely|likely) \((over )?\d+ %\)", page)
    nearest = family.get(f"{address}/faces/1/nearest").json()
    assert nearest["person"] == "Barack"
    assert nearest["samples"][0]["sample_id"] == 1
    assert family.get(f"/photos/{'0' * 64}").status_code == 404
    assert family.get(f"{address}/faces/99/nearest").status_code == 404


def test_explanation_is_drawn_for_album_samples_only(
    family: httpx.Client, gallery: Path, scanned: tuple[Path, Path]
) -> None:
    photo = hash_of(family, "barack_obama_speech.jpg")
    assert family.get(f"/pictures/maps/{photo}/1/1").status_code == 404  # the sample's photo is elsewhere
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        added = bank.confirm(scanned[0] / "barack_obama_speech.jpg", "Barack", 1)
    drawn = family.get(f"/pictures/maps/{photo}/1/{added.sample_id}")
    assert drawn.status_code == 200
    assert drawn.headers["content-type"] == "image/png"


def test_photo_linking_out_of_the_album_is_never_sent(serve: Serve, own_album: Path, tmp_path: Path) -> None:
    family = looked_through(serve(ServiceOptions(albums=(own_album,))))
    photo = hash_of(family, "barack_obama_speech.jpg")
    outside = tmp_path / "outside.jpg"
    (own_album / "barack_obama_speech.jpg").rename(outside)
    (own_album / "barack_obama_speech.jpg").symlink_to(outside)
    assert family.get(f"/pictures/photos/{photo}/640").status_code == 404
    assert family.get(f"/photos/{photo}").status_code == 404


def test_changed_photo_is_not_sent_as_the_scanned_one(serve: Serve, own_album: Path) -> None:
    family = looked_through(serve(ServiceOptions(albums=(own_album,))))
    photo = hash_of(family, "barack_obama_speech.jpg")
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
    own = {"Origin": str(family.base_url).rstrip("/")}
    photo = hash_of(family, "barack_obama_speech.jpg")
    for address, content in (
        ("/people/1/rename", {"name": "Mallory"}),
        ("/people/1/forget", {}),
        ("/people/1/merge", {"into": "Eileen"}),
        ("/samples/1/remove", {}),
        (f"/photos/{photo}/answers", {"face": 1, "answer": "nobody"}),
        ("/who/answers", {"key": "group-1-1", "answer": "nobody"}),
        ("/answers/undo", {"token": "x"}),
    ):
        assert family.post(address, json=content, headers=own).status_code == 403, address
        assert family.post(address, json=content, headers={"Origin": "http://evil.example"}).status_code == 403, address
    assert "Mallory" not in family.get("/").text
    assert "Barack" in family.get("/").text


def test_answers_about_a_face_and_undo(family: httpx.Client) -> None:
    photo = hash_of(family, "barack_obama_speech.jpg")
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
    photo = first_question(family)["photo"]["hash"]  # of a stranger

    def undo_token(answer: str, name: str = "") -> str:
        content = {"face": 1, "answer": answer, "name": name, "force": True}
        return str(family.post(f"/photos/{photo}/answers", json=content).json()["undo"])

    def known() -> dict[str, int]:
        with FaceBank.open(gallery) as bank:
            people = {person.name: person.sample_count for person in bank.people()}
            return {**people, "nobody": len(bank.gallery.stranger_faces())}

    states, tokens = [known()], list[str]()
    for answer, name in (
        ("nobody", ""), ("name", "Aaa"), ("name", "Bbb"), ("not", "Bbb"), ("name", "Bbb"), ("nobody", "")
    ):  # fmt: skip
        tokens.append(undo_token(answer, name))
        states.append(known())
    assert [state.get("Bbb") for state in states] == [None, None, None, 1, 0, 1, 0]
    page = family.get(f"/photos/{photo}").text
    assert "data-nobody" not in page
    assert NOBODY_EXPLANATION in page
    for number, token in enumerate(reversed(tokens), 1):
        assert family.post("/answers/undo", json={"token": token}).json()["message"].startswith("Undone: ")
        assert known() == states[-1 - number]
        if number == 1:  # a learned face now belongs to somebody else or nobody
            page = family.get(f"/photos/{photo}").text
            assert 'data-not="Bbb"' in page
            assert "data-nobody" in page


def test_undo_without_effect_says_so(family: httpx.Client, gallery: Path) -> None:
    photo = hash_of(family, "barack_obama_speech.jpg")
    payload = {"face": 1, "answer": "not", "name": "Barack"}
    token = family.post(f"/photos/{photo}/answers", json=payload).json()["undo"]
    with FaceBank.open(gallery) as bank:
        bank.forget("Barack")
    undone = family.post("/answers/undo", json={"token": token})
    assert undone.json()["message"] == "Nothing is left to undo of this: Not Barack, 1 face."


def test_renaming_describing_merging_splitting_and_forgetting_people(family: httpx.Client, gallery: Path) -> None:
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
    assert family.post("/people/2/merge", json={"into": "Barack Obama"}).status_code == 422  # they look like two
    counts = [family.get(f"/people/{number}").text.count("data-late") for number in (1, 2)]
    joined = family.post("/people/2/merge", json={"into": "Barack Obama", "force": True})
    at_once = family.get("/people/1").text  # correct, or reloaded by the browser
    assert at_once.count("data-late") == sum(counts) or "data-progress" in at_once
    assert joined.json()["to"] == "/people/1"
    assert "Separate Eileen again" in family.get("/people/1").text
    assert family.post("/people/1/unmerge", json={}).status_code == 200
    assert "Eileen" in family.get("/").text
    copies = family.get("/people/1/copies").json()
    assert "family.scan" in {Path(one["path"]).name for one in copies["stays"]}
    assert family.post("/people/1/forget", json={}).json()["to"] == "/"
    assert "Barack Obama" not in family.get("/").text
    assert b"Barack Obama" not in gallery.read_bytes()


def test_answering_a_question(family: httpx.Client) -> None:
    for _ in range(300):
        question = family.post("/who/next", json={}).json()["question"]
        if question is not None:
            break
        time.sleep(0.02)
    assert question["faces"]
    named = {"key": question["key"], "answer": "name", "name": "Joe"}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # files cannot grow beyond a page
    try:
        full = family.post("/who/answers", json=named)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.status_code == 507
    assert "the disk is full" in full.json()["detail"]
    assert "Joe" not in family.get("/").text
    answer = family.post("/who/answers", json=named).json()
    assert answer["message"] == "Joe: 1 face. Learned."
    assert family.post("/who/next", json={}).json()["last"] == {"token": answer["undo"], "words": "Joe, 1 face"}
    assert answer["question"] is None or answer["question"]["key"] != question["key"]
    assert "Joe" in family.get("/").text
    family.post("/answers/undo", json={"token": answer["undo"]})
    assert "Joe" not in family.get("/").text
    after = family.post("/who/next", json={}).json()
    assert after["last"] is None
    again = after["question"]
    assert again["key"] == question["key"]
    refused = family.post("/who/answers", json={"key": question["key"], "answer": "nobody"}).json()
    assert "You said that this face is nobody you know." in family.get(f"/photos/{question['photo']['hash']}").text
    family.post("/answers/undo", json={"token": refused["undo"]})
    skipped = family.post("/who/next", json={"skipped": [question["key"]]}).json()["question"]
    assert skipped is None or skipped["key"] != question["key"]
    late = family.post("/who/answers", json={"key": "group-77-1", "answer": "nobody"}).json()
    assert late["message"] == "Somebody answered that meanwhile."
    assert late["undo"] is None


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
    def busy(*_: object) -> None:
        raise GalleryBusyError("another program writes to it: try again when that has finished")

    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", own_album)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as album:
        bank.forget("Barack")
        album.scan(own_album)
        album.cluster(least=1)
    client = serve(ServiceOptions(albums=(own_album,)))
    question = first_question(client)
    first = question["faces"][0]
    assert not first["is_left_out"]
    payload = {"key": question["key"], "answer": "name", "name": "Barack", "others": [first["id"]]}
    with monkeypatch.context() as patched:
        patched.setattr(who, "leave_out", busy)
        assert client.post("/who/answers", json=payload).status_code == 503
    assert "Barack" not in client.get("/api/v1/people").text  # learned and left out, or neither
    token = client.post("/who/answers", json=payload).json()["undo"]
    page = client.get(f"/photos/{first['photo']}").text
    assert "You said: not Barack. The face is not like anybody else" in page
    assert "Undo: Barack, 1 face</button>" in page
    with monkeypatch.context() as patched:
        patched.setattr(memory, "take_back", busy)
        assert client.post("/answers/undo", json={"token": token}).status_code == 503
    assert client.post("/answers/undo", json={"token": token}).status_code == 200
    again = first_question(client)
    assert again["key"] == question["key"]
    assert [face["is_left_out"] for face in again["faces"]] == [True, False]
    assert client.post("/who/faces", json={"key": again["key"]}).json()["faces"] == again["faces"]


def test_undo_is_offered_to_the_same_browser_only(serve: Serve, gallery: Path, own_album: Path) -> None:
    from facebank.service.keys import KeyFile, Role

    key = KeyFile.of_gallery(gallery).add("family", Role.TEACH)
    client = serve(ServiceOptions(albums=(own_album,)))
    pages = []
    for _ in range(2):
        client.cookies.clear()
        session = client.post("/sign-in", data={"key": key}).headers["set-cookie"]
        pages.append({"Cookie": session.partition(";")[0]})
    looked_through(client)
    photo = hash_of(client, "barack_obama_speech.jpg")
    client.cookies.clear()
    payload = {"face": 1, "answer": "not", "name": "Barack"}
    reply = client.post(f"/photos/{photo}/answers", json=payload, headers=pages[0]).json()
    first, second = (client.post("/who/next", json={}, headers=page).json()["last"] for page in pages)
    assert first == {"token": reply["undo"], "words": "Not Barack, 1 face"}
    assert second is None


def test_reader_can_change_nothing(serve: Serve, gallery: Path) -> None:
    from facebank.service.keys import KeyFile, Role

    key = KeyFile.of_gallery(gallery).add("grandma", Role.READ)
    client = serve()
    assert client.post("/sign-in", data={"key": key}).status_code == 303
    page = client.get("/people/1").text
    assert "Barack" in page
    assert "Rename" not in page
    assert 'href="/who"' not in page  # nobody is led to what is refused
    assert client.get("/who").status_code == 403
    assert "This is not allowed" in client.get("/who").text


def test_look_alikes_are_shown_with_advice(serve: Serve, gallery: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        bank.enroll("Barry", DEMO_PHOTOS / "barack_obama_speech.jpg", force=True)
    page = serve().get("/look-alikes").text
    assert "could be taken for the other" in page
    assert "They are one person" in page
    assert "only one learned face" in page


def test_changing_and_resetting_settings(client: httpx.Client) -> None:
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
    sent = {"photo": ("two.jpg", side_by_side(tmp_path / "two.jpg").read_bytes())}
    response = client.post("/add/enroll", files=sent, data={"name": "Joe"}).json()
    assert not response["accepted"]
    (joe,) = (one for one in response["faces"] if one["title"] == "No name yet")
    assert {one["title"] for one in response["faces"]} == {"Barack", "No name yet"}
    with Image.open(io.BytesIO(base64.b64decode(joe["picture"]))) as picture:
        assert max(picture.size) <= 128
    learned = client.post("/add/enroll", files=sent, data={"name": "Joe", "face": str(joe["face"])}).json()
    assert (learned["accepted"], learned["name"], learned["faces"]) == (True, "Joe", [])
    found = client.post("/add/ask", files=sent).json()["faces"]
    assert {one["title"] for one in found} == {"Barack", "Joe"}
    other = next(one["face"] for one in response["faces"] if one["title"] == "Barack")
    refused = client.post("/add/enroll", files=sent, data={"name": "Joe", "face": str(other)}).json()
    assert refused["reason"] in {"nearer_to_another", "other_face_is_the_person"}
    assert client.post("/add/enroll", files=sent, data={"name": "Joe", "face": "9"}).status_code == 422


def test_scanning_the_album_from_the_page(serve: Serve, own_album: Path) -> None:
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
    page_with(client, "/", "Look through my photos")
    assert 'data-send="/api/v1/album/scan"' in client.get("/who").text  # not "All done"
    assert client.post("/api/v1/album/scan", json={}).status_code == 202
    shown = client.get("/").text
    assert "data-progress" in shown or "here. Say who" in shown  # a page that is loaded anew says how far it is
    assert 'class="button main" href="/who"' in page_with(client, "/", "2 photos are here")
    assert "data-ask-page" in client.get("/who").text


def test_failed_scan_is_reported_where_it_was_started(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    client = serve(ServiceOptions(albums=(tmp_path / "empty",)))
    page_with(client, "/", "Look through my photos")
    client.post("/api/v1/album/scan", json={})
    page_with(client, "/", "could not be looked through")


def page_with(client: httpx.Client, address: str, text: str) -> str:
    """Return a page as soon as it contains a text."""
    for _ in range(600):
        page = client.get(address).text
        if text in page:
            return page
        time.sleep(0.05)
    raise AssertionError(page)


def first_question(family: httpx.Client) -> dict[str, Any]:
    """Return the first question as soon as there is one."""
    for _ in range(300):
        question: dict[str, Any] | None = family.post("/who/next", json={}).json()["question"]
        if question is not None:
            return question
        time.sleep(0.02)
    raise AssertionError("no question")


def test_second_browser_naming_a_group_is_told(family: httpx.Client) -> None:
    key = first_question(family)["key"]
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
    payload = {"key": first_question(family)["key"], "answer": "name", "name": "Joe"}
    with ThreadPoolExecutor(2) as clicks:
        first, second = (
            each.json() for each in clicks.map(lambda _: family.post("/who/answers", json=payload), range(2))
        )
    assert (first["message"], first["undo"]) == (second["message"], second["undo"])
    photo = hash_of(family, "barack_obama_speech.jpg")
    for answer in ({"answer": "not", "name": "Barack"}, {"answer": "name", "name": "Barry", "force": True}):
        for _ in range(2):
            reply = family.post(f"/photos/{photo}/answers", json={"face": 1, **answer}).json()
        assert family.post("/answers/undo", json={"token": reply["undo"]}).status_code == 200
    assert "Barry" not in family.get("/").text
    assert family.post("/answers/undo", json={"token": first["undo"]}).status_code == 200
    with FaceBank.open(gallery) as bank:
        assert [person.name for person in bank.people()] == ["Barack", "Eileen"]


def test_naming_a_group_from_page_and_program_tells_the_second(family: httpx.Client, gallery: Path) -> None:
    key = first_question(family)["key"]
    assert family.post(f"/api/v1/album/groups/{key.split('-')[1]}", json={"person": "Joe"}).status_code == 200
    reply = family.post("/who/answers", json={"key": key, "answer": "name", "name": "Jim"}).json()
    assert reply["message"] == "Somebody answered that meanwhile: it is Joe."
    with FaceBank.open(gallery) as bank:
        assert [person.name for person in bank.people()] == ["Barack", "Eileen", "Joe"]


def test_unplugged_album_is_shown_without_pictures(serve: Serve, own_album: Path) -> None:
    family = looked_through(serve(ServiceOptions(albums=(own_album,))))
    photo = hash_of(family, "barack_obama_speech.jpg")
    own_album.rename(own_album.with_name("unplugged"))
    assert photo in family.get("/people/1").text
    assert family.get(f"/photos/{photo}").status_code == 200
    assert family.get(f"/pictures/photos/{photo}/640").status_code == 404
    answer = family.post(f"/photos/{photo}/answers", json={"face": 1, "answer": "name", "name": "Somebody"})
    assert answer.status_code == 404
    assert family.post("/api/v1/album/scan", json={}).status_code in {404, 409}
    assert photo in family.get("/people/1").text


def test_changes_by_the_command_line_are_seen(family: httpx.Client, gallery: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        bank.rename("Barack", "Barack Obama")
        bank.forget("Eileen")
    page = family.get("/").text
    assert "Barack Obama" in page
    assert "Eileen" not in page
    assert "3 photos" in page
    assert family.get("/people/2").status_code == 404


def test_pages_use_no_technical_terms(family: httpx.Client) -> None:
    photo = f"/photos/{hash_of(family, 'barack_obama_speech.jpg')}"
    for address in ("/", "/people/1", photo, "/who", "/look-alikes", "/add", "/settings"):
        words = re.sub(r"<[^>]*>", " ", family.get(address).text)
        words += " ".join(re.findall(r'(?:alt|aria-label|placeholder)="([^"]*)"', family.get(address).text))
        found = re.search(
            r"\b(samples?|prototype|knn|svm|embeddings?|gallery|enroll\w*|thresholds?|pack)\b", words, re.IGNORECASE
        )
        assert found is None, (address, found)


def test_denials_by_a_program_are_seen(family: httpx.Client) -> None:
    photo = hash_of(family, "barack_obama_speech.jpg")
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
    portrait, speech = (hash_of(family, f"barack_obama_{name}.jpg") for name in ("portrait_2012", "speech"))
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
    again = tmp_path / "again.jpg"
    with Image.open(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg") as photo:
        photo.save(again, quality=97)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        added = bank.enroll("Barack", again, force=True).photos[0]
        samples = {1, added.sample_id}
    client = serve()
    while "Comparing everybody" in (page := client.get("/look-alikes").text):
        time.sleep(0.05)
    assert "are copies of other ones" in page
    assert any(f'data-send="/samples/{sample}/remove"' in page for sample in samples)
