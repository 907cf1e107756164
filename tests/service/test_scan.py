"""Scans of the album over HTTP: progress, cancellation, and folders outside the album."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from facebank.errors import PhotoNotFoundError
from facebank.service.folders import AlbumFolders
from facebank.service.options import ServiceOptions
from facebank.service.problems import RequestError
from tests.demo_photos import DEMO_PHOTOS

from .conftest import FILE_NAMES, Serve, wait_for_scan


def read_events(client: httpx.Client) -> list[tuple[str, dict[str, object]]]:
    """Return the name and data of all events of the stream of a scan."""
    events = []
    with client.stream("GET", "/api/v1/album/scan/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        event_name = ""
        for line in response.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                event_name = value
            elif field == "data":
                events.append((event_name, json.loads(value)))
    return events


def test_progress_of_a_scan_is_streamed_to_its_end(serve: Serve, album: Path) -> None:
    client = serve(ServiceOptions(albums=(album,)))
    assert client.get("/api/v1/album/scan").json()["status"] == "none"
    started = client.post("/api/v1/album/scan")
    assert (started.status_code, started.json()["status"], started.json()["folders"]) == (202, "running", [str(album)])
    *progress_events, (last_name, state) = read_events(client)
    assert last_name == "end"
    assert (state["status"], state["done"], state["total"], state["seconds_left"]) == ("done", 2, 2, 0.0)
    assert state["report"] == {
        "unchanged": 0,
        "looked_at": 2,
        "known_by_content": 0,
        "gone": 0,
        "unreadable": 0,
        "unreadable_photos": [],
        "videos": 0,
        "unsupported": 0,
    }
    assert all(name == "progress" for name, _ in progress_events)
    again = client.post("/api/v1/album/scan", json={"folders": ["2012"]}).json()
    assert again["folders"] == [str(album / "2012")]
    assert wait_for_scan(client)["report"]["unchanged"] == 2  # type: ignore[index]
    assert read_events(client) == [("end", client.get("/api/v1/album/scan").json())]


def test_unreadable_photos_are_reported(serve: Serve, album: Path) -> None:
    (album / "zip.jpg").write_bytes(b"PK\x03\x04 no photo")
    for name in ("one.mp4", "two.mov", "raw.cr2"):
        (album / name).write_bytes(b"not a photo")
    client = serve(ServiceOptions(albums=(album,)))
    client.post("/api/v1/album/scan")
    report = wait_for_scan(client)["report"]
    assert isinstance(report, dict)
    assert report["unreadable"] == 1
    assert report["unreadable_photos"][0]["image"] == str(album / "zip.jpg")
    assert (report["videos"], report["unsupported"]) == (2, 1)
    videos = client.get("/api/v1/album/scan").json()["unreadable_videos"]
    assert [video["video"] for video in videos] == [str(album / "one.mp4"), str(album / "two.mov")]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc", "/", "..", "2012/../..", "out", "out/there", "\x00", "", "~", "%2e%2e"]
)
def test_folders_outside_the_album_are_refused(serve: Serve, album: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere" / "there").mkdir(parents=True)
    (album / "out").symlink_to(tmp_path / "elsewhere")
    client = serve(ServiceOptions(albums=(album,)))
    response = client.post("/api/v1/album/scan", json={"folders": [name]})
    if name in {"~", "%2e%2e", "\x00"}:  # ordinary names that do not exist
        assert (response.status_code, response.json()["code"]) == (404, "PhotoNotFoundError")
    else:
        assert (response.status_code, response.json()["code"]) == (403, "OutsideAlbum"), response.text
    assert client.get("/api/v1/album/scan").json()["status"] == "none"


def test_invalid_folder_name_is_outside_the_album(album: Path) -> None:
    for name in ("\ud800", "a" * 5000, "\udcff", "a/" * 3000):
        folders = AlbumFolders([album])
        with pytest.raises((RequestError, PhotoNotFoundError)):
            folders.folder(name)


def test_links_out_of_the_album_are_skipped(serve: Serve, album: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(DEMO_PHOTOS / FILE_NAMES[0], outside / "secret.jpg")
    (album / "photo.jpg").symlink_to(outside / "secret.jpg")
    (album / "folder").symlink_to(outside)
    (album / "root").symlink_to("/")
    (album / "inside.jpg").symlink_to(album / "2012" / FILE_NAMES[1])
    client = serve(ServiceOptions(albums=(album,)))
    client.post("/api/v1/album/scan")
    state = wait_for_scan(client)
    assert (state["total"], state["status"]) == (3, "done")


def test_photos_of_a_missing_disk_are_not_forgotten(serve: Serve, album: Path) -> None:
    client = serve(ServiceOptions(albums=(album,)))
    client.post("/api/v1/album/scan")
    wait_for_scan(client)
    unplugged = album.with_name("unplugged")
    album.rename(unplugged)
    response = client.post("/api/v1/album/scan")
    assert (response.status_code, response.json()["code"]) == (404, "PhotoNotFoundError")
    assert response.json()["detail"] == f"there is no folder {album}: is its disk plugged in?"
    album.mkdir()  # the empty mount point of the disk
    response = client.post("/api/v1/album/scan")
    assert response.json()["detail"].startswith(f"{album} is empty but had 2 photos: is its disk plugged in?")
    (album / ".hidden").touch()
    client.post("/api/v1/album/scan")
    assert wait_for_scan(client)["emptied"] == [str(album)]
    album.joinpath(".hidden").unlink()
    album.rmdir()
    unplugged.rename(album)
    client.post("/api/v1/album/scan")
    assert wait_for_scan(client)["report"]["unchanged"] == 2  # type: ignore[index]


def test_canceled_scan_is_resumed_later(serve: Serve, album: Path) -> None:
    data = (DEMO_PHOTOS / FILE_NAMES[1]).read_bytes()
    for number in range(40):
        (album / f"{number}.jpg").write_bytes(data + number.to_bytes(2))
    client = serve(ServiceOptions(albums=(album,), workers=1))
    client.post("/api/v1/album/scan")
    busy = client.post("/api/v1/album/scan")
    assert (busy.status_code, busy.json()["code"]) == (409, "ScanBusyError")
    assert client.delete("/api/v1/album/scan").status_code == 200
    state = wait_for_scan(client)
    assert state["status"] == "canceled"
    client.post("/api/v1/album/scan")
    assert wait_for_scan(client)["status"] == "done"


def test_clients_that_never_read_do_not_block_a_scan(serve: Serve, album: Path) -> None:
    client = serve(ServiceOptions(albums=(album,)))
    url = urlsplit(str(client.base_url))
    client.post("/api/v1/album/scan")
    connections = [socket.create_connection((url.hostname or "", url.port or 0)) for _ in range(20)]
    try:
        for connection in connections:
            connection.sendall(b"GET /api/v1/album/scan/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wait_for_scan(client)["status"] == "done"
        assert read_events(client)[-1][0] == "end"
    finally:
        for connection in connections:
            connection.close()


def test_service_stops_during_a_streamed_scan(serve: Serve, album: Path) -> None:
    data = (DEMO_PHOTOS / FILE_NAMES[1]).read_bytes()
    for number in range(60):
        (album / f"{number}.jpg").write_bytes(data + number.to_bytes(2))
    client = serve(ServiceOptions(albums=(album,), workers=1))
    client.post("/api/v1/album/scan")
    url = urlsplit(str(client.base_url))
    connection = socket.create_connection((url.hostname or "", url.port or 0))
    connection.sendall(b"GET /api/v1/album/scan/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"text/event-stream" in connection.recv(2000)
    connection.close()  # the fixture stops the service, which must not wait for the scan


def test_scan_without_an_album_is_refused(client: httpx.Client) -> None:
    response = client.post("/api/v1/album/scan")
    assert (response.status_code, response.json()["code"]) == (409, "NoAlbum")
