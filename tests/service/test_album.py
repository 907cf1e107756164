"""Searching the album and naming groups of faces over HTTP."""

from __future__ import annotations

import io
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.schemas import load
from facebank.service.api import albums
from facebank.service.options import ServiceOptions
from tests.demo_photos import DEMO_PHOTOS

from .conftest import Serve, full_disk, wait_for_scan

GROUPS = "/api/v1/album/groups"


@pytest.fixture
def scanned_client(serve: Serve, album: Path) -> httpx.Client:
    """Client of a service whose album has all demo photos, two of them twice."""
    for path in DEMO_PHOTOS.glob("*.jpg"):
        shutil.copy(path, album / path.name)
    data = (DEMO_PHOTOS / "joe_biden_blue_room.jpg").read_bytes()
    (album / "joe again.jpg").write_bytes(data + b" ")
    client = serve(ServiceOptions(albums=(album,)))
    client.post("/api/v1/album/scan")
    assert wait_for_scan(client)["status"] == "done"
    return client


def test_photos_of_people_are_found(scanned_client: httpx.Client, gallery: Path, album: Path) -> None:
    reply = scanned_client.get("/api/v1/album/find", params={"person": "barack"}).json()
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as scan:
        assert [photo["image"] for photo in reply["photos"]] == [photo.path for photo in scan.find("Barack")]
    assert reply["total"] == len(reply["photos"]) >= 3
    for photo in reply["photos"]:
        jsonschema.validate(photo, load("find"))
        assert photo["image"].startswith(str(album))
    part = scanned_client.get("/api/v1/album/find", params={"person": "barack", "limit": 1, "offset": 1}).json()
    assert part == {"photos": reply["photos"][1:2], "total": reply["total"], "offset": 1, "current": True}
    two_people = {"person": ["Barack", "Eileen"]}
    assert scanned_client.get("/api/v1/album/find", params=two_people).json()["total"] == 0
    assert (
        scanned_client.get("/api/v1/album/find", params={**two_people, "any": "true"}).json()["total"]
        == reply["total"] + 2
    )
    none = scanned_client.get("/api/v1/album/find", params={"person": "Barack", "until": "1990"}).json()
    assert none["photos"] == []


def test_large_album_is_answered_from_stored_decisions(
    scanned_client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: tuple[dict[str, list[str] | str], ...] = (
        {"person": ["barack"]},
        {"person": ["Barack", "Eileen"], "any": "true"},
        {"person": ["Barack", "Eileen"]},
        {"person": ["Barack"], "until": "1990"},
    )

    def search_all() -> list[dict[str, Any]]:
        return [scanned_client.get("/api/v1/album/find", params=search).json() for search in searches]

    def names(reply: dict[str, Any]) -> set[str]:
        return {Path(photo["image"]).name for photo in reply["photos"]}

    expected = search_all()
    monkeypatch.setattr(albums, "_MAX_IDENTIFIED", 0)
    for _ in range(600):
        replies = search_all()
        if all(reply["current"] for reply in replies):
            break
        time.sleep(0.05)
    assert list(map(names, replies)) == list(map(names, expected))
    # Copies are listed once.
    assert all(reply["total"] == len(reply["photos"]) == len(names(reply)) for reply in replies)
    part = scanned_client.get("/api/v1/album/find", params={"person": "Barack", "limit": 2, "offset": 1}).json()
    assert (part["photos"], part["total"]) == (replies[0]["photos"][1:3], replies[0]["total"])
    assert scanned_client.get("/api/v1/album/find", params={"person": "Nobody"}).status_code == 404


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 422),
        ({"person": "Nobody"}, 404),
        ({"person": "Barack", "since": "tomorrow"}, 422),
        ({"person": "Barack", "since": "2020", "until": "2019"}, 422),
        ({"person": "Barack", "any": "perhaps"}, 422),
    ],
)
def test_invalid_search_is_refused(client: httpx.Client, params: dict[str, str], status: int) -> None:
    assert client.get("/api/v1/album/find", params=params).status_code == status


def test_nothing_is_found_before_a_scan(client: httpx.Client, gallery: Path) -> None:
    for response in (
        client.get("/api/v1/album/find", params={"person": "Barack"}),
        client.get(GROUPS),
        client.post(GROUPS),
        client.post(f"{GROUPS}/1", json={"person": "Ada"}),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "ScanNotFoundError")
        assert str(gallery.parent) not in response.json()["detail"]


def test_photos_outside_the_album_are_listed_without_pictures(serve: Serve, gallery: Path, tmp_path: Path) -> None:
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as scan:
        scan.scan(DEMO_PHOTOS)
    empty = tmp_path / "Pictures"
    empty.mkdir()
    reply = serve(ServiceOptions(albums=(empty,))).get("/api/v1/album/find", params={"person": "Eileen"}).json()
    assert [photo["image"] for photo in reply["photos"]] == ["eileen_collins.jpg"]


def test_groups_are_listed_with_their_keys(scanned_client: httpx.Client) -> None:
    grouped = scanned_client.post(GROUPS, json={"least": 2}).json()
    reply = scanned_client.get(GROUPS).json()
    assert (reply["groups"], reply["total"]) == (grouped["groups"], 1)
    (group,) = reply["groups"]
    key = group.pop("key")
    jsonschema.validate(group, load("cluster"))
    single = scanned_client.get(GROUPS, params={"least": 1}).json()["groups"]
    assert (single[0]["key"], single[0]["group"]) == (key, 1)  # a filter does not change the numbers


def test_missing_and_changed_groups_cannot_be_named(scanned_client: httpx.Client) -> None:
    scanned_client.post(GROUPS)
    for number, content in ((9, {"person": "Ada"}), (1, {"person": "Ada", "key": "0" * 16})):
        response = scanned_client.post(f"{GROUPS}/{number}", json=content)
        assert (response.status_code, response.json()["code"]) == (404, "GroupNotFoundError")
    assert scanned_client.post(f"{GROUPS}/1", json={"person": "a/b"}).json()["code"] == "InvalidNameError"


def test_only_one_of_several_concurrent_namings_succeeds(scanned_client: httpx.Client) -> None:
    (group,) = scanned_client.post(GROUPS, json={"least": 2}).json()["groups"]

    def name_group(person: str) -> httpx.Response:
        content = {"person": person, "force": True, "key": group["key"]}
        return scanned_client.post(f"{GROUPS}/1", json=content)

    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(name_group, ("Joe", "Joseph", "Joe", "J. Biden")))
    assert sorted(response.status_code for response in responses) == [200, 409, 409, 409]
    (named,) = (response.json() for response in responses if response.status_code == 200)
    jsonschema.validate(named, load("people-name"))
    assert len(named["enrolled"]) == 1  # the group has copies of one photo
    for response in responses:
        if response.status_code == 409:
            assert response.json()["code"] == "GroupNamedError"
            assert response.json()["detail"].startswith(f"group 1 is {named['person']} already")
    assert [person["person"] for person in scanned_client.get("/api/v1/people").json()["people"]] == sorted(
        ["Barack", "Eileen", named["person"]]
    )
    assert scanned_client.post(GROUPS).json()["groups"] == []


def test_faces_of_a_group_are_shown(scanned_client: httpx.Client, album: Path) -> None:
    scanned_client.post(GROUPS)
    (group,) = scanned_client.get(GROUPS).json()["groups"]
    reply = scanned_client.get(f"{GROUPS}/1").json()
    assert (reply["group"], reply["key"], reply["total"]) == (1, group["key"], group["faces"])
    assert len(reply["faces"]) == group["faces"] > 1
    for face in reply["faces"]:
        assert face["image"].startswith(f"{album}/joe")
        with Image.open(face["image"]) as photo:
            left, top, right, bottom = face["box"]
            assert 0 <= left < right <= photo.width
            assert 0 <= top < bottom <= photo.height
        picture = scanned_client.get(face["thumbnail"])
        for _ in range(600):  # until the album is identified
            if picture.status_code != 404:
                break
            time.sleep(0.02)
            picture = scanned_client.get(face["thumbnail"])
        assert Image.open(io.BytesIO(picture.content)).size <= (128, 128)
    part = scanned_client.get(f"{GROUPS}/1", params={"limit": 1, "offset": 1}).json()
    assert part == {**reply, "faces": reply["faces"][1:2], "offset": 1}
    missing = scanned_client.get(f"{GROUPS}/9")
    assert (missing.status_code, missing.json()["code"]) == (404, "GroupNotFoundError")


def test_full_disk_leaves_a_group_unnamed(scanned_client: httpx.Client) -> None:
    scanned_client.post(GROUPS)
    with full_disk():
        response = scanned_client.post(f"{GROUPS}/1", json={"person": "Joe"})
    assert (response.status_code, response.json()["code"]) == (507, "StorageError"), response.text
    assert scanned_client.get("/api/v1/people/Joe").status_code == 404
    assert scanned_client.post(f"{GROUPS}/1", json={"person": "Joe"}).status_code == 200
