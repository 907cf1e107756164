"""Scans of buckets on an emulator of Google Cloud Storage, over HTTP."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from facebank.album.scan.scan_file import ScanFile
from facebank.album.scan.scan_plan import plan_scan
from facebank.album.scan.scanner import scan
from facebank.errors import ServiceError
from facebank.media import buckets
from facebank.operations.engine import Engine
from tests.demo_photos import DEMO_PHOTOS

from .bucket_servers import run_server

PLACE = "gs://family/photos"


@pytest.fixture
def emulator_url(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an emulator with an empty bucket."""
    command = "from gcp_storage_emulator.server import create_server as s; s('127.0.0.1', PORT, True, 'family').run()"
    with run_server("-c", command) as port:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"


def put(emulator_url: str, key: str, data: bytes) -> None:
    url = f"{emulator_url}/upload/storage/v1/b/family/o?uploadType=media&name={quote(key, safe='')}"
    urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "image/jpeg"}), timeout=20).close()


def remove(emulator_url: str, key: str) -> None:
    url = f"{emulator_url}/storage/v1/b/family/o/{quote(key, safe='')}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=20).close()


def test_a_bucket_of_google_cloud_storage_is_scanned(engine: Engine, emulator_url: str, tmp_path: Path) -> None:
    paths = sorted(DEMO_PHOTOS.glob("*.jpg"))
    for path in paths:
        put(emulator_url, f"photos/{path.name}", path.read_bytes())
    odd_names = ("a//b.jpg", "c#1.jpg", "d?generation=1.jpg", "ü x.jpg")
    for name in odd_names:
        put(emulator_url, f"photos/{name}", paths[0].read_bytes())
    put(emulator_url, "photos/bad.jpg", b"no photo")
    put(emulator_url, "other.jpg", b"not scanned")
    with ScanFile.open(tmp_path / "gs.scan", engine.identity, create=True) as scan_file:
        report = scan(engine, scan_file, plan_scan(scan_file, [PLACE]))
        assert (report.analyzed, report.known_by_content) == (len(paths), len(odd_names))
        assert report.unreadable.keys() == {f"{PLACE}/bad.jpg"}
        assert {photo.path for photo in scan_file.photos()} == {
            f"{PLACE}/{name}" for name in (*(path.name for path in paths), *odd_names)
        }
        assert plan_scan(scan_file, [PLACE]).todo == ()
        put(emulator_url, f"photos/{paths[1].name}", paths[0].read_bytes())
        remove(emulator_url, f"photos/{paths[2].name}")
        plan = plan_scan(scan_file, ["gs://family"])
        assert [path for path, _ in plan.todo] == ["gs://family/other.jpg", f"{PLACE}/{paths[1].name}"]
        assert plan.gone == (f"{PLACE}/{paths[2].name}",)
        before = scan_file.count()
        with pytest.raises(ServiceError, match="there is no bucket gs://nobodys"):
            scan(engine, scan_file, plan_scan(scan_file, ["gs://nobodys"]))
        assert scan_file.count() == before


async def skip_sleep(_: float) -> None:
    """Retry without a pause."""


def test_an_unreachable_service_is_an_error(engine: Engine, emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcsfs.retry.asyncio.sleep", skip_sleep)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match=rf"^{PLACE} cannot be reached \(ClientConnectorError\): check the network"):
        buckets.list_bucket(PLACE)
