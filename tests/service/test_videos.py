"""Videos in the album: times of people, and safe transfer of video files."""

from __future__ import annotations

import io
import os
import re
import shutil
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.service.options import ServiceOptions
from facebank.service.page.videos import parse_range
from facebank.video.scan import scan_videos
from tests.service.conftest import HOSTILE_NAME, TOKEN, Serve, send_raw, wait_for_scan
from tests.video_files import clip_path, cut_to_three_shots

MIRANDA = "Lin-Manuel Miranda"


@pytest.fixture(scope="module")
def scanned_clip(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a gallery of one person and the scan of an album with a clip."""
    folder = tmp_path_factory.mktemp("filmed")
    (folder / "album").mkdir()
    (folder / "album" / "clip.mp4").write_bytes(cut_to_three_shots(clip_path(shared).read_bytes()))
    with FaceBank.open(folder / "family.facebank", device="cpu", threads=1) as bank, bank.album() as album:
        bank.enroll(MIRANDA, shared / "data" / "photos" / "probe" / "lin-manuel-miranda.png")
        report = scan_videos(bank, album, folder / "album")
        assert (report.analyzed, report.unreadable) == (1, {})
        assert scan_videos(bank, album, folder / "album").unchanged == 1
    return folder


@pytest.fixture
def album(scanned_clip: Path, gallery: Path, tmp_path: Path) -> Path:
    """A copy of the album, and a scan of it beside the gallery."""
    folder = tmp_path / "album"
    shutil.copytree(scanned_clip / "album", folder)
    shutil.copy(scanned_clip / "family.facebank", gallery)
    shutil.copy(scanned_clip / "family.scan", gallery.with_suffix(".scan"))
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as opened_album:
        report = scan_videos(bank, opened_album, folder)
        assert (report.known_by_content, report.analyzed) == (1, 0)
        opened_album.forget(scanned_clip / "album")
    return folder


@pytest.fixture
def client(serve: Serve, album: Path) -> httpx.Client:
    """Client of a service that has identified the people of the clip."""
    return wait_for_videos(serve(ServiceOptions(albums=(album,))))


def wait_for_videos(client: httpx.Client) -> httpx.Client:
    for _ in range(300):
        if 'id="videos"' in client.get("/people/1").text:
            return client
        time.sleep(0.02)
    raise AssertionError(client.get("/people/1").text)


def video_url(client: httpx.Client) -> str:
    match = re.search(r'href="(/videos/[0-9a-f]{64})\?at=[\d.]+"', client.get("/people/1").text)
    assert match is not None
    return match[1]


def test_page_of_a_person_shows_their_times_in_a_video(client: httpx.Client, album: Path) -> None:
    page = client.get("/people/1").text
    assert "1 video" in page
    times = re.findall(r'at=([\d.]+)">(\d+:\d\d)–(\d+:\d\d)</a>', page)
    assert times == [("0.00", "0:00", "0:01"), ("2.74", "0:02", "0:04")]  # on the stage, then alone (test_identify)
    (picture,) = re.findall(r'src="(/pictures/videos/\d+)"', page)
    response = client.get(picture)
    with Image.open(io.BytesIO(response.content)) as image:
        assert image.size == (320, 180)
        assert dict(image.getexif()) == {}
    assert client.get(picture, headers={"If-None-Match": response.headers["etag"]}).status_code == 304


def test_video_is_played_from_the_given_time(client: httpx.Client, album: Path) -> None:
    page = client.get(f"{video_url(client)}?at=2.74")
    assert f'src="{video_url(client)}/file#t=2.74"' in page.text
    assert f'<a href="/people/1">{MIRANDA}</a>' in page.text
    assert "media-src 'self'" in page.headers["content-security-policy"]
    response = client.get(f"{video_url(client)}/file")
    assert (response.status_code, response.headers["content-type"]) == (200, "video/mp4")
    assert (response.headers["x-content-type-options"], response.headers["accept-ranges"]) == ("nosniff", "bytes")
    assert response.content == (album / "clip.mp4").read_bytes()
    headers = {"If-None-Match": response.headers["etag"]}
    assert client.get(f"{video_url(client)}/file", headers=headers).status_code == 304
    for at in ("-1", "99999999999", "1;", "<b>", "nan", "inf", "1e999"):
        assert client.get(video_url(client), params={"at": at}).status_code == 422


def test_range_requests_are_answered(client: httpx.Client, album: Path) -> None:
    data, url = (album / "clip.mp4").read_bytes(), f"{video_url(client)}/file"
    size = len(data)
    for byte_range, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=1000-199999", 1000, 200_000),
        ("bytes=200000-", 200_000, size),
        ("bytes=-5", size - 5, size),
        (f"bytes=5-{10**18}", 5, size),
        (f"bytes=-{10**18}", 0, size),
    ):
        part = client.get(url, headers={"Range": byte_range})
        assert (part.status_code, part.content == data[start:stop]) == (206, True), byte_range
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
    tag = client.get(url, headers={"Range": "bytes=0-0"}).headers["etag"]
    assert client.get(url, headers={"Range": "bytes=0-0", "If-Range": tag}).status_code == 206
    changed = client.get(url, headers={"Range": "bytes=0-0", "If-Range": '"another"'})
    assert (changed.status_code, len(changed.content)) == (200, size)


@pytest.mark.parametrize(
    "byte_range",
    [
        "bytes=0-0,1-1",
        "bytes=" + ",".join(f"{start}-{start}" for start in range(1500)),
        "bytes=9999999999999-",
        "bytes=5-4",
        "bytes=-0",
        f"bytes=0-{10**30}",
        f"bytes={10**18}-{10**18}",
        "bytes=-",
        "bytes=--1",
        "bytes=a-b",
        "bytes=0x0-0x1",
        "bytes=\N{ARABIC-INDIC DIGIT ONE}-",
        "lines=0-1",
        "",
    ],
    ids=lambda byte_range: byte_range[:20],
)
def test_invalid_ranges_are_refused_without_reading(byte_range: str) -> None:
    assert parse_range(byte_range, 1000) is None


def test_refused_range_states_the_file_size(client: httpx.Client, album: Path) -> None:
    for byte_range in ("bytes=0-0,1-1", "bytes=9999999999999-", "bytes=5-4"):
        response = client.get(f"{video_url(client)}/file", headers={"Range": byte_range})
        size = (album / "clip.mp4").stat().st_size
        assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{size}")
        assert response.content == b""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_file_stays_open(client: httpx.Client, album: Path) -> None:
    url = f"{video_url(client)}/file"

    def count_open_files() -> int:
        links = (Path("/proc/self/fd") / entry for entry in os.listdir("/proc/self/fd"))  # noqa: PTH208
        return sum(os.path.realpath(link) == str(album / "clip.mp4") for link in links)

    for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=9-1"}):
        client.get(url, headers=headers)
    for _ in range(3):
        with client.stream("GET", url) as response:
            next(response.iter_raw(10))  # disconnects after the first bytes
    for _ in range(200):
        if not count_open_files():
            break
        time.sleep(0.02)
    assert count_open_files() == 0


@pytest.mark.parametrize("change", ["changed", "replaced", "gone", "link", "linked folder", "pipe", "page"])
def test_replaced_file_is_not_sent(serve: Serve, album: Path, tmp_path: Path, change: str) -> None:
    client = wait_for_videos(serve(ServiceOptions(albums=(album,))))
    video, clip, secret = video_url(client), album / "clip.mp4", tmp_path / "secret"
    secret.mkdir()
    status = clip.stat()
    if change == "changed":
        with clip.open("r+b") as file:
            file.write(b"#")
    elif change == "replaced":  # same size and same modification time in seconds
        clip.write_bytes(b"x" * status.st_size)
        os.utime(clip, (int(status.st_mtime), int(status.st_mtime)))
    elif change == "page":
        content = b"<html><script>alert(1)</script>".ljust(status.st_size)
        clip.write_bytes(content)
        os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "gone":
        clip.unlink()
    elif change == "pipe":
        clip.unlink()
        os.mkfifo(clip)
    elif change == "link":
        shutil.move(clip, secret / "clip.mp4")
        clip.symlink_to(secret / "clip.mp4")
    else:
        shutil.move(clip, secret / "clip.mp4")
        album.rmdir()
        album.symlink_to(secret)
    for path in (video, f"{video}/file"):
        response = client.get(path)
        assert response.status_code == 404, (path, response.text)
        assert "alert" not in response.text
        assert str(album) not in response.text


def test_videos_are_not_sent_without_a_key(serve: Serve, album: Path) -> None:
    client = serve(ServiceOptions(albums=(album,)), token=TOKEN)
    authorized = httpx.Client(base_url=client.base_url, headers={"x-api-key": TOKEN}, trust_env=False)
    with closing(authorized):
        video = video_url(wait_for_videos(authorized))
        (picture,) = re.findall(r'src="(/pictures/videos/\d+)"', authorized.get("/people/1").text)
        assert authorized.get(f"{video}/file").status_code == 200
    for path in (video, f"{video}/file", picture):
        response = client.get(path)
        assert response.status_code == 303, path
        assert response.headers["location"].startswith("/sign-in"), path
        assert b"ftyp" not in response.content


@pytest.mark.parametrize(
    "path",
    [
        "/videos/../etc/passwd",
        "/videos/%2e%2e%2fclip.mp4",
        "/videos/" + "0" * 64,
        "/videos/clip.mp4/file",
        "/videos/%00",
    ],
)
def test_other_video_paths_are_refused(client: httpx.Client, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    response = send_raw(str(client.base_url), request)
    assert response.split(b" ")[1] in {b"404", b"422"}, response
    assert b"root:" not in response


def test_html_in_a_video_name_is_shown_as_text(serve: Serve, album: Path, gallery: Path) -> None:
    name = f"{HOSTILE_NAME.replace('/', chr(0xF7))}.mp4"
    (album / "clip.mp4").rename(album / name)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as opened_album:
        assert scan_videos(bank, opened_album, album).known_by_content == 1
    client = wait_for_videos(serve(ServiceOptions(albums=(album,))))
    for page in (client.get("/people/1").text, client.get(video_url(client)).text):
        assert "<img src=x" not in page
        assert ">49<" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
    file = client.get(f"{video_url(client)}/file")
    assert "content-disposition" not in file.headers


def test_background_scan_reads_videos_after_photos(serve: Serve, album: Path, gallery: Path, tmp_path: Path) -> None:
    (album / "copy.mp4").write_bytes((album / "clip.mp4").read_bytes())
    (album / "torn.mp4").write_bytes((album / "clip.mp4").read_bytes()[:3000])
    (tmp_path / "elsewhere.mp4").write_bytes((album / "clip.mp4").read_bytes() + b"\0\0\0\x08free")
    (album / "out.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    client = serve(ServiceOptions(albums=(album,)))
    client.post("/api/v1/album/scan")
    state = wait_for_scan(client)
    assert (state["status"], state["step"], state["error"]) == ("done", "videos", None)
    assert (state["videos_done"], state["videos_total"]) == (2, 2)
    assert [video["video"] for video in state["unreadable_videos"]] == [str(album / "torn.mp4")]  # type: ignore[attr-defined]
    page = wait_for_videos(client).get("/people/1").text
    assert page.count('class="card-box video"') == 1  # a copy is the same video


def test_forgotten_person_leaves_no_picture(serve: Serve, album: Path, gallery: Path) -> None:
    client = wait_for_videos(serve(ServiceOptions(albums=(album,))))
    (picture,) = re.findall(r'src="(/pictures/videos/\d+)"', client.get("/people/1").text)
    video, tag = video_url(client), client.get(picture).headers["etag"]
    track_number = int(picture.rpartition("/")[2])
    with FaceBank.open(gallery) as bank, bank.album() as opened_album:
        assert opened_album.scan_file.videos.picture(track_number) is not None
    csrf = re.findall(r'name="csrf-token" content="(\w+)"', client.get("/").text)[0]
    assert client.post("/people/1/forget", headers={"x-csrf-token": csrf}).status_code == 200
    for headers in ({}, {"If-None-Match": tag}):
        assert client.get(picture, headers=headers).status_code == 404
    assert MIRANDA not in client.get(video).text
    for _ in range(300):
        with FaceBank.open(gallery) as bank, bank.album() as opened_album:
            if opened_album.scan_file.videos.picture(track_number) is None:
                return
        time.sleep(0.02)
    raise AssertionError("the picture is still in the scan file")


def wait_for_videos_step(client: httpx.Client, scan_number: int) -> None:
    """Wait until a scan reads videos."""
    for _ in range(600):
        state = client.get("/api/v1/album/scan").json()
        if state["scan"] == scan_number and (state["step"] == "videos" or state["status"] != "running"):
            assert state["step"] == "videos"
            return
        time.sleep(0.01)
    raise AssertionError(state)


def test_photo_scan_does_not_wait_for_videos(serve: Serve, album: Path, shared: Path) -> None:
    clip = clip_path(shared).read_bytes()
    for number in range(1, 11):  # more than are read before the next request
        (album / f"{number}.mp4").write_bytes(clip + b"\0\0\0\x08free" * number)
    client = serve(ServiceOptions(albums=(album,)))
    client.post("/api/v1/album/scan")
    wait_for_videos_step(client, 1)
    again = client.post("/api/v1/album/scan")
    assert (again.status_code, again.json()["scan"]) == (202, 2)
    wait_for_videos_step(client, 2)
    client.delete("/api/v1/album/scan")
    state = wait_for_scan(client)
    assert (state["status"], state["scan"], state["videos_total"]) == ("canceled", 2, 10)
