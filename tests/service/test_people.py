"""People and samples over HTTP: they are enrolled, listed, renamed, described, merged and forgotten."""

from __future__ import annotations

import base64
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.gallery import PlaceKind
from facebank.schemas import load
from tests.demo_photos import SPEECH

from .conftest import BARACK, EILEEN, full_disk

PEOPLE = "/api/v1/people"


def person_path(name: str, *further: str) -> str:
    """Return the path of a person, percent-encoded like JavaScript's encodeURIComponent."""
    return "/".join((PEOPLE, quote(name, safe="!'()*~-._"), *further))


def test_people_are_listed_in_pages(client: httpx.Client) -> None:
    reply = client.get(PEOPLE).json()
    assert ([record["person"] for record in reply["people"]], reply["total"]) == (["Barack", "Eileen"], 2)
    for record in reply["people"]:
        jsonschema.validate(record, load("people-list"))
    part = client.get(PEOPLE, params={"limit": 1, "offset": 1}).json()
    assert ([record["person"] for record in part["people"]], part["total"], part["offset"]) == (["Eileen"], 2, 1)
    assert client.get(PEOPLE, params={"offset": 9}).json()["people"] == []
    assert client.get(PEOPLE, params={"limit": 0}).json()["code"] == "InvalidValue"


def test_repeated_photo_is_one_sample(client: httpx.Client) -> None:
    data = SPEECH.read_bytes()
    files = [("photos", ("a.jpg", data)), ("photos", ("b.jpg", data))]
    created = client.post(PEOPLE, data={"name": "Ada", "force": "true"}, files=files)
    assert created.status_code == 201, created.text
    reply = created.json()
    assert [(photo["image"], photo["reason"]) for photo in reply["photos"]] == [
        ("a.jpg", "enrolled"),
        ("b.jpg", "already_enrolled"),
    ]
    assert (reply["person"]["person"], reply["person"]["samples"]) == ("Ada", 1)
    again = client.post(PEOPLE, json={"name": "ada", "photos": [base64.b64encode(data).decode()]})
    assert (again.status_code, again.json()["photos"][0]["reason"]) == (200, "already_enrolled")
    added = client.post(person_path("ADA", "photos"), content=data)
    assert added.json()["person"] == reply["person"]
    for photo in reply["photos"]:
        jsonschema.validate({**photo, "advice": None}, load("enroll"))


def test_faces_of_an_edited_copy_are_of_one_photo(client: httpx.Client) -> None:
    with Image.open(BARACK) as portrait:
        picture = Image.new("RGB", (portrait.width * 3, portrait.height))
        picture.paste(portrait)
        picture.paste(portrait.resize((portrait.width // 2, portrait.height // 2)), (portrait.width * 5 // 4, 0))
    with io.BytesIO() as file:
        picture.save(file, "JPEG")
        data = file.getvalue()
    edited = data[:2] + b"\xff\xfe\x00\x07hello" + data[2:]  # a comment
    for content, pick in ((data, "largest"), (edited, "central")):
        fields = {"name": "Ada", "force": "true", "pick": pick}
        response = client.post(PEOPLE, data=fields, files={"photo": ("a.jpg", content)})
        assert response.json()["photos"][0]["reason"] == "enrolled", response.text
    described = client.get(person_path("Ada")).json()
    assert (described["samples"], described["photos"]) == (2, 1)
    (listed,) = (record for record in client.get(PEOPLE).json()["people"] if record["person"] == "Ada")
    assert listed["photos"] == 1


def test_no_person_is_created_without_an_accepted_photo(client: httpx.Client) -> None:
    response = client.post(PEOPLE, data={"name": "Ada"}, files={"photo": ("zip.jpg", b"PK\x03\x04")})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "NobodyEnrolled")
    assert [photo["reason"] for photo in problem["photos"]] == ["unreadable"]
    assert client.get(person_path("Ada")).status_code == 404
    assert (
        client.post(PEOPLE, content=SPEECH.read_bytes()).json()["detail"] == "name is missing: send the person's name"
    )
    assert client.post(PEOPLE, json={"name": "Ada"}).json()["code"] == "NoPhoto"
    assert client.post(person_path("Ada", "photos"), content=SPEECH.read_bytes()).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "Anna Maria",
        "a.b",
        "...",
        "<script>alert(1)</script>".replace("/", "⁄"),
        "👩‍👩‍👧",
        "100%",
        "%2F",
        "a?b=c",
        "a#b",
        "a+b&c;d",
        "samples",
        'O\'Brien "Bob"',
        "Ünï · 名前",
        "~",
        "-",
    ],
)
def test_any_name_works_in_a_url(client: httpx.Client, name: str) -> None:
    assert client.patch(person_path("Eileen"), json={"name": name}).json()["person"] == name
    assert client.get(person_path(name)).json()["person"] == name
    assert client.get(person_path(name, "samples")).json()["total"] == 1
    assert client.patch(person_path(name), json={"name": "Eileen"}).json()["person"] == "Eileen"


@pytest.mark.parametrize("name", ["a/b", "</script>", "a\\b", "\x00", "\u202eevil", "a/samples/b", "/", "a" * 201])
def test_invalid_names_are_refused(client: httpx.Client, name: str) -> None:
    response = client.patch(person_path("Eileen"), json={"name": name})
    assert (response.status_code, response.json()["code"]) == (422, "InvalidNameError")
    assert client.get(person_path(name)).status_code in {404, 422}
    assert client.get(person_path(name)).headers["content-type"] == "application/problem+json"


def test_a_person_is_renamed_and_described_atomically(client: httpx.Client) -> None:
    reply = client.patch(
        person_path("eileen"), json={"name": "Eileen Collins", "born": "1956-11-19", "note": "pilot"}
    ).json()
    jsonschema.validate(reply, load("people-set"))
    assert (reply["person"], reply["born"], reply["note"]) == ("Eileen Collins", "1956-11-19", "pilot")
    taken = client.patch(person_path("Eileen Collins"), json={"name": "barack", "note": "other"})
    assert (taken.status_code, taken.json()["code"]) == (409, "PersonExistsError")
    invalid = client.patch(person_path("Eileen Collins"), json={"name": "E", "born": "tomorrow"})
    assert (invalid.status_code, invalid.json()["code"]) == (422, "UsageError")
    shown = client.get(person_path("Eileen Collins")).json()
    assert (shown["note"], shown["born"], shown["photos"], shown["merged"]) == ("pilot", "1956-11-19", 1, [])
    cleared = client.patch(person_path("Eileen Collins"), json={"note": None}).json()
    assert (cleared["note"], cleared["born"]) == (None, "1956-11-19")
    bodies: list[Any] = [{}, {"name": None}, {"nome": "x"}, {"note": 1}, []]
    for body in bodies:
        assert client.patch(person_path("Eileen Collins"), json=body).status_code == 422


def test_samples_are_listed_shown_and_removed(client: httpx.Client) -> None:
    client.post(person_path("Barack", "photos"), content=SPEECH.read_bytes(), headers={"X-Photo-Name": "../me.jpg"})
    reply = client.get(person_path("Barack", "samples")).json()
    person = client.get(person_path("Barack")).json()
    person_values = {key: person[key] for key in ("born", "note", "warnings", "merged")}
    for sample in reply["samples"]:
        jsonschema.validate({**sample, **person_values}, load("people-show"))
    first, second = reply["samples"]
    assert (first["image"], second["image"]) == (BARACK.name, "me.jpg")  # paths outside the album are not disclosed
    picture = client.get(f"/api/v1/samples/{second['sample_id']}/thumbnail")
    assert (picture.headers["content-type"], picture.headers["cache-control"]) == ("image/jpeg", "private, no-cache")
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.format == "JPEG"
        assert max(image.size) <= 256
        assert not image.getexif()
    same = client.get(
        f"/api/v1/samples/{second['sample_id']}/thumbnail", headers={"If-None-Match": picture.headers["etag"]}
    )
    assert (same.status_code, same.content) == (304, b"")
    preview = client.delete(f"/api/v1/samples/{second['sample_id']}", params={"dry_run": "true"}).json()
    removed = client.delete(f"/api/v1/samples/{second['sample_id']}").json()
    for record, is_dry_run in ((preview, True), (removed, False)):
        jsonschema.validate(record, load("people-remove-sample"))
        assert record["dry_run"] is is_dry_run


def test_missing_and_invalid_samples_are_errors(client: httpx.Client) -> None:
    for sample_id in (99, 2**53):
        for response in (
            client.get(f"/api/v1/samples/{sample_id}/thumbnail"),
            client.delete(f"/api/v1/samples/{sample_id}"),
        ):
            assert (response.status_code, response.json()["code"]) == (404, "SampleNotFoundError")
            # The gallery's folder is not disclosed.
            assert response.json()["detail"] == f"There is no sample {sample_id} in family.facebank."
    assert client.get("/api/v1/samples/0/thumbnail").status_code == 422
    assert client.get(f"/api/v1/samples/{2**70}/thumbnail").status_code == 422


def test_people_are_merged_and_split(client: httpx.Client) -> None:
    client.post(PEOPLE, data={"name": "B. Obama", "force": "true"}, files={"photo": ("b.jpg", SPEECH.read_bytes())})
    refused = client.post(person_path("Eileen", "merge"), json={"sources": ["Barack"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "UsageError")
    reply = client.post(person_path("Barack", "merge"), json={"sources": ["B. Obama"]}).json()
    jsonschema.validate(reply, load("people-merge"))
    assert (reply["person"], reply["samples"]) == ("Barack", 2)
    assert [merged["person"] for merged in client.get(person_path("Barack")).json()["merged"]] == ["B. Obama"]
    (unmerged,) = client.post(person_path("Barack", "unmerge")).json()["people"]
    assert unmerged["person"] == "B. Obama"
    assert client.post(person_path("Barack", "merge"), json={"sources": ["Nobody"]}).status_code == 404


def test_forgetting_reports_removed_samples_and_remaining_copies(
    client: httpx.Client, gallery: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "sorted"
    copies.mkdir()
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        bank.note_written(PlaceKind.SORTED, copies)
        backup = bank.gallery.back_up(tmp_path / "backup.facebank")
    preview = client.delete(person_path("Eileen"), params={"dry_run": True}).json()
    assert client.get(person_path("Eileen")).status_code == 200
    forgotten = client.delete(person_path("Eileen")).json()
    for record, is_dry_run in ((preview, True), (forgotten, False)):
        jsonschema.validate(record, load("people-forget"))
        assert (record["person"], record["samples"], record["dry_run"]) == ("Eileen", 1, is_dry_run)
        assert {(copy["kind"], copy["path"]) for copy in record["stays"]} == {
            ("sorted photos", str(copies)),
            ("backup", str(backup)),
        }
    assert client.get(person_path("Eileen")).status_code == 404
    assert b"Eileen" not in gallery.read_bytes()
    (reply,) = client.post("/api/v1/identify", content=EILEEN.read_bytes()).json()["photos"]
    assert "Eileen" not in str(reply)


def test_changes_by_the_command_line_apply_at_once(client: httpx.Client, gallery: Path) -> None:
    portrait = EILEEN.read_bytes()
    (before,) = client.post("/api/v1/identify", content=portrait).json()["photos"]
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:  # like another process
        bank.rename("Eileen", "Commander Collins")
        (renamed,) = client.post("/api/v1/identify", content=portrait).json()["photos"]
        bank.forget("Commander Collins")
        (forgotten,) = client.post("/api/v1/identify", content=portrait).json()["photos"]
    assert [photo["faces"][0]["person"] for photo in (before, renamed, forgotten)] == [
        "Eileen",
        "Commander Collins",
        None,
    ]
    assert [record["person"] for record in client.get(PEOPLE).json()["people"]] == ["Barack"]


def test_concurrent_enrollment_of_a_photo_makes_one_sample(client: httpx.Client) -> None:
    def enroll(_: int) -> str:
        response = client.post(person_path("Barack", "photos"), content=SPEECH.read_bytes())
        return str(response.json()["photos"][0]["reason"])

    with ThreadPoolExecutor(4) as pool:
        reasons = sorted(pool.map(enroll, range(4)))
    assert reasons == ["already_enrolled"] * 3 + ["enrolled"]
    assert client.get(person_path("Barack")).json()["samples"] == 2


def test_full_disk_is_an_error_and_writes_nothing(client: httpx.Client, gallery: Path) -> None:
    assert client.get(person_path("Eileen")).status_code == 200
    size = gallery.stat().st_size
    with full_disk():
        responses = [
            client.patch(person_path("Eileen"), json={"name": "Ada"}),
            client.post(person_path("Barack", "photos"), content=SPEECH.read_bytes()),
        ]
    for response in responses:
        assert (response.status_code, response.json()["code"]) == (507, "StorageError"), response.text
    assert gallery.stat().st_size == size
    assert [(record["person"], record["samples"]) for record in client.get(PEOPLE).json()["people"]] == [
        ("Barack", 1),
        ("Eileen", 1),
    ]
    assert client.patch(person_path("Eileen"), json={"name": "Ada"}).status_code == 200
