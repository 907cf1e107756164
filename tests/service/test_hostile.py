"""Hostile requests, names and albums."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.service.options import ServiceOptions

from .conftest import BARACK, HOSTILE_NAME, Serve, send_raw, wait_for_scan

JSON_HEADERS = {"Content-Type": "application/json"}
UNESCAPED = re.compile(r"<script src=//|<img src=x|onerror=alert\(1\)>[^&]*<|>49<")


def test_html_in_external_names_is_shown_as_text(hostile_client: httpx.Client) -> None:
    urls = [
        "/",
        "/who",
        "/look-alikes",
        "/add",
        "/settings",
        f"/?q={HOSTILE_NAME.replace('{', '%7B')}",
        "/people/999",
        "/nothing",
    ]
    visited: set[str] = set()
    while urls:
        url = urls.pop()
        if url in visited:
            continue
        visited.add(url)
        page = hostile_client.get(url)
        if not page.headers.get("content-type", "").startswith("text/html"):
            assert page.headers["x-content-type-options"] == "nosniff"
            continue
        assert not UNESCAPED.search(page.text), (url, UNESCAPED.search(page.text))
        assert "<svg onload" not in page.text
        assert re.findall(r"<script(?! type=\"module\" src=\"/static/)", page.text) == [], url
        assert not re.search(r"<[^>]*\son[a-z]+=(?![^<]*&gt;)[^>]*>", re.sub(r'"[^"]*"', '""', page.text)), url
        urls += [link for link in re.findall(r'href="(/[^"#]*)"', page.text) if not link.startswith("/static")]
    assert any(url.startswith("/photos/") for url in visited)
    assert "/people/1" in visited


def test_pictures_have_no_metadata_of_their_photo(hostile_client: httpx.Client) -> None:
    pages = [hostile_client.get(url).text for url in ("/", "/people/1", "/people/2")]
    photos = {link for page in pages for link in re.findall(r'href="(/photos/\w+)"', page)}
    pages += [hostile_client.get(photo).text for photo in photos]
    pictures = {link for page in pages for link in re.findall(r'"(/pictures/[^"]+)"', page)}
    assert len(pictures) >= 6
    for picture in pictures:
        response = hostile_client.get(picture)
        with Image.open(io.BytesIO(response.content)) as image:
            assert dict(image.getexif()) == {}, picture
            assert not {"exif", "comment", "xmp", "icc_profile"} & set(image.info), picture
        assert b"evil.example" not in response.content


@pytest.mark.parametrize("interface", ["api", "compreface", "library"])
def test_picture_of_a_forgotten_person_is_not_sent(serve: Serve, gallery: Path, interface: str) -> None:
    client = serve()
    url = re.findall(r'src="(/pictures/samples/\d+)"', client.get("/people/1").text)[0]
    tag = client.get(url).headers["etag"]
    if interface == "library":
        with FaceBank.open(gallery) as bank:
            bank.forget("Barack")
    else:
        prefix = "people" if interface == "api" else "recognition/subjects"
        assert client.delete(f"/api/v1/{prefix}/Barack").status_code == 200
    assert client.get(url).status_code == 404
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 404


def test_folder_replaced_by_a_link_is_not_scanned(serve: Serve, album: Path, tmp_path: Path) -> None:
    client, inner = serve(ServiceOptions(albums=(album,))), album / "2012" / "spring"
    inner.mkdir()
    shutil.copy(BARACK, inner / "a.jpg")
    for folder in ("2012", "2012/spring"):
        client.post("/api/v1/album/scan", json={"folders": [folder]})
        assert wait_for_scan(client)["status"] == "done"
    (album / "2012").rename(tmp_path / "private")
    (album / "2012").symlink_to(tmp_path / "private")
    for folder in ("2012", "2012/spring", "2012/nothing"):
        response = client.post("/api/v1/album/scan", json={"folders": [folder]})
        assert (response.status_code, response.json()["code"]) == (403, "OutsideAlbum"), folder


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]b", "//", "http://", "\x7f"])
def test_invalid_origin_counts_as_another_site(client: httpx.Client, origin: str) -> None:
    response = client.get("/api/v1/health", headers={"Origin": origin})
    assert (response.status_code, response.json()["code"]) == (403, "OtherSite")


@pytest.mark.parametrize(
    "route", ["/api/v1/identify", "/api/v1/people", "/who/next", "/api/v1/recognition/subjects", "/api/v1/album/scan"]
)
@pytest.mark.parametrize("part", ["[],", '{"a":1},', "1,"])
def test_json_with_too_many_values_is_refused_before_parsing(client: httpx.Client, route: str, part: str) -> None:
    response = client.post(route, content=f'{{"skipped": [{part * 200_000}1]}}'.encode(), headers=JSON_HEADERS)
    assert response.status_code == 413


@pytest.mark.parametrize("content", [b"[" * 40_000, b'{"a":' * 20_000, b"1" * 9_000, b"1e999", b"NaN", b'"\\ud800"'])
@pytest.mark.parametrize("route", ["/api/v1/identify", "/who/next", "/api/v1/recognition/faces/delete"])
def test_invalid_json_is_an_error(client: httpx.Client, route: str, content: bytes) -> None:
    for body in (content, b'{"name": ' + content + b"}"):
        response = client.post(route, content=body, headers=JSON_HEADERS)
        assert 400 <= response.status_code < 500, response.text


def test_too_many_images_are_refused(client: httpx.Client) -> None:
    body = json.dumps(["x" * 100_000] * 10).encode()
    assert client.post("/api/v1/recognition/faces/delete", content=body).status_code == 400


def test_error_about_many_values_is_short(client: httpx.Client) -> None:
    response = client.post("/who/next", json={"skipped": [1] * 4_000})
    assert response.status_code == 422
    assert len(response.content) < 2_000


@pytest.mark.parametrize("damage", ["deleted", "replaced", "garbled", "folder"])
def test_missing_or_replaced_gallery_is_a_server_error(client: httpx.Client, gallery: Path, damage: str) -> None:
    replacement = gallery.with_name("replacement")
    shutil.copy(gallery, replacement)
    if damage == "garbled":
        replacement.write_bytes(b"x" * 5_000)
    gallery.unlink()
    if damage == "folder":
        gallery.mkdir()
    elif damage != "deleted":
        replacement.rename(gallery)
    for route in ("/api/v1/health", "/api/v1/people", "/", "/settings", "/people/1", "/api/v1/metrics"):
        response = client.get(route)
        assert response.status_code in {500, 503, 507}, (route, response.text)
        assert "internal error" not in response.text, route
        assert response.status_code == 503 or damage in {"garbled", "folder"}, (route, response.text)
    for route in ("/api/v1/recognition/subjects", "/people/1/forget"):
        assert client.post(route, json={"subject": "Ada"}).status_code in {500, 503, 507}
    assert gallery.exists() == (damage != "deleted")


def test_conflicting_content_lengths_are_refused(client: httpx.Client) -> None:
    second_request = b"GET /api/v1/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head = b"POST /api/v1/detect HTTP/1.1\r\nHost: localhost\r\n"
    for lengths in (
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 80\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
    ):
        response = send_raw(str(client.base_url), head + lengths + b"\r\n0\r\n\r\n" + second_request)
        assert response.startswith(b"HTTP/1.1 400 "), response
        assert response.count(b"HTTP/1.1 ") == 1, response


def test_redirects_stay_on_this_service(client: httpx.Client) -> None:
    for path in ("//evil.example/", "/\\evil.example/", "/%2f%2fevil.example/", "/who/", "//evil.example/who/"):
        response = client.get(f"http://{urlsplit(str(client.base_url)).netloc}{path}")
        assert "evil" not in response.headers.get("location", "")
