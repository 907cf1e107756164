"""Fixtures of bucket tests: a local S3 server, and the same photos in a folder and in a bucket."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.robustness import ray_faults
from facebank.album.scan.scan_file import ScanFile
from facebank.album.scan.scan_plan import plan_scan
from facebank.album.scan.scanner import ScanReport, scan
from facebank.media import buckets
from facebank.media.shards import Shard
from facebank.operations.engine import Engine, load_engine

from .bucket_servers import BUCKET, Bucket, Relay, run_relay, run_server

PHOTO_COUNT = 6
PLACE = f"s3://{BUCKET}/photos"
_S3 = ("s3fs", "moto")
_REQUIRED_MODULES = {
    "test_s3.py": _S3,
    "test_s3_errors.py": _S3,
    "test_commands.py": _S3,
    "test_ray.py": (*_S3, "ray", "pyarrow"),
    "test_gs.py": ("gcsfs", "gcp_storage_emulator"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        modules = _REQUIRED_MODULES.get(item.path.name, ()) if item.path.parent == Path(__file__).parent else ()
        if any(importlib.util.find_spec(name) is None for name in modules) and "FACEBANK_CI_BUCKETS" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="the extra buckets, or the server of its tests, is not installed"))


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine of the embedded pack, on one thread."""
    return load_engine(None, "cpu", threads=1)


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of a local S3 server."""
    with run_server("-m", "moto.server", "-H", "127.0.0.1", "-p", "PORT") as port:
        yield port


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An environment with a test key, without the user's files, in which each request is tried once."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_", "GOOGLE_", "STORAGE_")):
            monkeypatch.delenv(name)
    variables = {
        "AWS_ACCESS_KEY_ID": "AKIAFAMILY",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in {**variables, "AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    buckets._systems.clear()
    yield
    buckets._systems.clear()


@pytest.fixture
def s3(s3_port: int, credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A relay to the S3 server, at the address in the environment."""
    Bucket(s3_port).empty()
    with run_relay(s3_port) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def bucket(s3: Relay) -> Bucket:
    """The bucket, empty."""
    return Bucket(s3.target_port)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of photos, one of them in an inner folder, with copies, a damaged photo, a video and a text."""
    folder = tmp_path / "photos"
    ray_faults.make_photos(Path("none"), folder, PHOTO_COUNT)
    (folder / "inner").mkdir()
    (folder / "00003.jpg").rename(folder / "inner" / "ü 3.JPG")
    (folder / "clip.mp4").write_bytes(b"video")
    (folder / "raw.cr2").write_bytes(b"raw")
    (folder / "notes.txt").write_bytes(b"text")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "x.jpg").write_bytes((folder / "00000.jpg").read_bytes())
    return folder


@pytest.fixture
def filled_bucket(bucket: Bucket, folder: Path) -> Bucket:
    """The bucket with the files of the folder, below ``photos``."""
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put(f"photos/{path.relative_to(folder).as_posix()}", path.read_bytes())
    bucket.put("photos/", b"")
    bucket.put("photos2/other.jpg", b"not scanned")
    return bucket


@pytest.fixture
def scan_file(engine: Engine, tmp_path: Path) -> Iterator[ScanFile]:
    with ScanFile.open(tmp_path / "bucket.scan", engine.identity, create=True) as opened:
        yield opened


def scan_all(engine: Engine, scan_file: ScanFile, *paths: str | Path, shard: Shard | None = None) -> ScanReport:
    return scan(engine, scan_file, plan_scan(scan_file, paths or [PLACE], None, shard), workers=2)


def content_hashes(scan_file: ScanFile, place: str) -> dict[str, str | None]:
    """Return the SHA-256 of each photo in a place by its relative path; None for unreadable files."""
    hashes: dict[str, str | None] = {photo.path: photo.content_hash for photo in scan_file.photos([place])}
    hashes |= dict.fromkeys(scan_file.unreadable(place))
    return {path.removeprefix(f"{place}/"): content_hash for path, content_hash in hashes.items()}
