"""The HTML of the family page."""

from __future__ import annotations

import base64
import io
import re
import shutil
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.service.keys import KeyFile, Role
from facebank.service.options import Limits, ServiceOptions
from tests.demo_photos import DEMO_PHOTOS
from tests.service.conftest import Serve, photo_hash, wait_for_photos, wait_for_text, write_pair


def test_people_page_shows_everybody_with_a_picture(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "Barack" in page.text
    assert "Eileen" in page.text
    for url in re.findall(r'src="(/pictures/[^"]+)"', page.text):
        picture = client.get(url)
        assert picture.status_code == 200
        assert not Image.open(io.BytesIO(picture.content)).getexif()
        assert client.get(url, headers={"If-None-Match": picture.headers["etag"]}).status_code == 304


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


@pytest.mark.parametrize(
    "path", ["../access.py", "..%2faccess.py", "%2e%2e/access.py", "....//access.py", "/etc/passwd"]
)
def test_only_static_files_are_sent(client: httpx.Client, path: str) -> None:
    assert client.get(f"/static/{path}").status_code in {403, 404}


def test_pictures_of_unknown_photos_are_not_found(client: httpx.Client) -> None:
    assert client.get("/pictures/samples/999999").status_code == 404
    assert client.get(f"/pictures/photos/{'0' * 64}/320").status_code == 404
    assert client.get("/pictures/photos/..%2f..%2fetc%2fpasswd/320").status_code in {404, 422}


def test_person_page_has_photos_by_year_and_samples(family: httpx.Client) -> None:
    page = family.get("/people/1").text
    assert len(set(re.findall(r"/photos/[0-9a-f]{64}", page))) == 3
    assert "by the files&#39; dates" in page or re.search(r">\d{4}</h2>", page)
    assert 'src="/pictures/samples/1"' in page
    assert "Remove" in page
    for url in re.findall(r'data-late="(/pictures/photos/[^"]+)"', page):
        picture = family.get(url)
        assert picture.status_code == 200
        with Image.open(io.BytesIO(picture.content)) as image:
            assert max(image.size) <= 320
            assert not image.getexif()
    assert family.get("/people/999").status_code == 404
    assert "Not found" in family.get("/people/999").text


def test_photo_page_has_its_faces(family: httpx.Client) -> None:
    url = f"/photos/{photo_hash(family, 'barack_obama_speech.jpg')}"
    page = family.get(url).text
    assert "Barack" in page
    assert re.search(r"(almost certain|very likely|likely) \((over )?\d+ %\)", page)
    nearest = family.get(f"{url}/faces/1/nearest").json()
    assert nearest["person"] == "Barack"
    assert nearest["samples"][0]["sample_id"] == 1
    assert family.get(f"/photos/{'0' * 64}").status_code == 404
    assert family.get(f"{url}/faces/99/nearest").status_code == 404


def test_explanation_is_drawn_for_album_samples_only(
    family: httpx.Client, gallery: Path, scanned_album: tuple[Path, Path]
) -> None:
    content_hash = photo_hash(family, "barack_obama_speech.jpg")
    assert family.get(f"/pictures/maps/{content_hash}/1/1").status_code == 404  # the sample's photo is elsewhere
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        added = bank.confirm(scanned_album[0] / "barack_obama_speech.jpg", "Barack", 1)
    response = family.get(f"/pictures/maps/{content_hash}/1/{added.sample_id}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"


def test_photo_linking_out_of_the_album_is_never_sent(serve: Serve, own_album: Path, tmp_path: Path) -> None:
    family = wait_for_photos(serve(ServiceOptions(albums=(own_album,))))
    content_hash = photo_hash(family, "barack_obama_speech.jpg")
    outside = tmp_path / "outside.jpg"
    (own_album / "barack_obama_speech.jpg").rename(outside)
    (own_album / "barack_obama_speech.jpg").symlink_to(outside)
    assert family.get(f"/pictures/photos/{content_hash}/640").status_code == 404
    assert family.get(f"/photos/{content_hash}").status_code == 404


def test_changed_photo_is_not_sent_as_the_scanned_one(serve: Serve, own_album: Path) -> None:
    family = wait_for_photos(serve(ServiceOptions(albums=(own_album,))))
    content_hash = photo_hash(family, "barack_obama_speech.jpg")
    shutil.copy(DEMO_PHOTOS / "eileen_collins.jpg", own_album / "barack_obama_speech.jpg")
    assert family.get(f"/pictures/photos/{content_hash}/640").status_code == 422


def test_photos_outside_the_albums_are_not_shown(serve: Serve, gallery: Path, own_album: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        (photo, *_) = bank.album().identify()
    client = serve()  # without an album
    assert "/photos/" not in client.get("/people/1").text
    assert client.get(f"/pictures/photos/{photo.content_hash}/320").status_code == 404
    assert str(own_album) not in client.get("/people/1").text


def test_page_changes_need_a_token(family: httpx.Client) -> None:
    origin = {"Origin": str(family.base_url).rstrip("/")}
    content_hash = photo_hash(family, "barack_obama_speech.jpg")
    for url, content in (
        ("/people/1/rename", {"name": "Mallory"}),
        ("/people/1/forget", {}),
        ("/people/1/merge", {"into": "Eileen"}),
        ("/samples/1/remove", {}),
        (f"/photos/{content_hash}/answers", {"face": 1, "answer": "nobody"}),
        ("/who/answers", {"key": "group-1-1", "answer": "nobody"}),
        ("/answers/undo", {"token": "x"}),
    ):
        assert family.post(url, json=content, headers=origin).status_code == 403, url
        assert family.post(url, json=content, headers={"Origin": "http://evil.example"}).status_code == 403, url
    assert "Mallory" not in family.get("/").text
    assert "Barack" in family.get("/").text


def test_people_are_renamed(family: httpx.Client) -> None:
    assert family.post("/people/1/rename", json={"name": "Barack Obama"}).status_code == 200
    assert family.post("/people/1/rename", json={"name": "Eileen"}).status_code == 409
    assert family.post("/people/1/rename", json={"name": "a/b"}).status_code == 422
    assert "Barack Obama" in family.get("/people/1").text


def test_people_are_described(family: httpx.Client) -> None:
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


def test_people_are_merged_and_split(family: httpx.Client) -> None:
    assert family.post("/people/2/merge", json={"into": "Barack"}).status_code == 422  # they look like two people
    counts = [family.get(f"/people/{number}").text.count("data-late") for number in (1, 2)]
    merged = family.post("/people/2/merge", json={"into": "Barack", "force": True})
    page = family.get("/people/1").text  # complete, or reloaded by the browser
    assert page.count("data-late") == sum(counts) or "data-progress" in page
    assert merged.json()["to"] == "/people/1"
    assert "Separate Eileen again" in family.get("/people/1").text
    assert family.post("/people/1/unmerge", json={}).status_code == 200
    assert "Eileen" in family.get("/").text


def test_forgetting_a_person_lists_other_copies_and_leaves_no_name(family: httpx.Client, gallery: Path) -> None:
    copies = family.get("/people/1/copies").json()
    assert "family.scan" in {Path(copy["path"]).name for copy in copies["stays"]}
    assert family.post("/people/1/forget", json={}).json()["to"] == "/"
    assert "Barack" not in family.get("/").text
    assert b"Barack" not in gallery.read_bytes()


def test_a_reader_cannot_change_anything(serve: Serve, gallery: Path) -> None:
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
    upload = {"photo": ("two.jpg", write_pair(tmp_path / "two.jpg").read_bytes())}
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
    wait_for_photos(client, [2])


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


def test_unplugged_album_is_shown_without_pictures(serve: Serve, own_album: Path) -> None:
    family = wait_for_photos(serve(ServiceOptions(albums=(own_album,))))
    content_hash = photo_hash(family, "barack_obama_speech.jpg")
    own_album.rename(own_album.with_name("unplugged"))
    assert content_hash in family.get("/people/1").text
    assert family.get(f"/photos/{content_hash}").status_code == 200
    assert family.get(f"/pictures/photos/{content_hash}/640").status_code == 404
    response = family.post(f"/photos/{content_hash}/answers", json={"face": 1, "answer": "name", "name": "Somebody"})
    assert response.status_code == 404
    assert family.post("/api/v1/album/scan", json={}).status_code in {404, 409}
    assert content_hash in family.get("/people/1").text


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
    photo_url = f"/photos/{photo_hash(family, 'barack_obama_speech.jpg')}"
    for url in ("/", "/people/1", photo_url, "/who", "/look-alikes", "/add", "/settings"):
        words = re.sub(r"<[^>]*>", " ", family.get(url).text)
        words += " ".join(re.findall(r'(?:alt|aria-label|placeholder)="([^"]*)"', family.get(url).text))
        match = re.search(
            r"\b(samples?|prototype|knn|svm|embeddings?|gallery|enroll\w*|thresholds?|pack)\b", words, re.IGNORECASE
        )
        assert match is None, (url, match)


def test_uploads_other_than_photos_are_refused(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(body=100_000)))
    assert client.post("/add/ask", files={"photo": ("big.jpg", bytes(200_000))}).status_code == 413
    assert client.post("/add/ask", content=b"").status_code == 400
    assert client.post("/who/answers", json={"key": "x" * 10_000, "answer": "nobody"}).status_code == 422
    assert client.post("/people/1/rename", json={"name": "x" * 5_000}).status_code == 422
    assert client.get("/?page=-1").status_code == 422
    assert client.get("/people/99999999999999999999999").status_code == 422


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
