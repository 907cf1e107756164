"""URLs of buckets are validated and never used as paths."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from facebank import FaceBank, read_photo
from facebank.album.album import Album
from facebank.album.scan.merging import is_inside
from facebank.album.scan.rows import path_of
from facebank.album.scan.tables import range_of
from facebank.album.sort.entries import SortMode
from facebank.errors import UnreadablePhotoError, UsageError
from facebank.media.shards import shard_number
from facebank.storage.bucket_urls import BucketURL
from facebank.storage.folders import NamedFolders
from facebank.storage.paths import file_path, named_paths, named_places, outermost, place_path
from facebank.storage.values import InvalidValueError


def test_urls_are_normalized() -> None:
    assert named_places(["s3://family", "s3://family/a//", "gs://family/a//b c/", "photos"]) == [
        *("s3://family", "s3://family/a", "gs://family/a//b c"),
        Path("photos"),
    ]
    assert BucketURL.parse("s3://family/a//b") == ("s3", "family", "a//b")


@pytest.mark.parametrize(
    "text",
    [
        *("s3://", "s3:///key", "gs://a", "s3://-b/key", "s3://b b/key", "s3://family\n/key", "s3://fämily/key"),
        *("s3://family/../other/x", "s3://family/a/./x", "gs://family/..", "s3://family/a\0.jpg", "s3://family/\ud800"),
    ],
)
def test_invalid_urls_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        named_places([text])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    ["https://family/x", "file:///etc", "memory://x", "S3://family/x", "simplecache::s3://family/x", "s3a://b/x"],
)
def test_urls_of_other_schemes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be scanned: photos are read from folders, s3:// and gs://"):
        named_places(text)


@pytest.mark.parametrize(
    "text",
    [
        *("s3://AKIA:s3cr3t@family/x", "gs://s3cr3t@family", "s3://AKIA:s3cr3t/x", "s3://AKIA:a/s3cr3t/x"),
        *("s3://AKIA:a/s3cr3t@family/x", "s3://AKIA:a/s3c@s3cr3t@family/x", "s3://AKIA@b/s3cr3t@family"),
    ],
)
def test_credentials_in_a_url_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UsageError, match="more than a bucket's name") as caught:
        named_places(text)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host:8080/x", "https://host:8080/x"),
        ("https://ada:a/s3cr3t@host/x", "https://…@host/x"),
        ("az://family:a/s3cr3t/x", "az://family:…"),
        ("https://host/x.jpg?v=1&X-Amz-Signature=s3cr3t&b=2", "https://host/x.jpg?v=1&X-Amz-Signature=…&b=2"),
        ("https://host/x?sig=s3cr3t&SharedAccessKey=s3cr3t", "https://host/x?sig=…&SharedAccessKey=…"),
    ],
)
def test_secrets_in_urls_of_other_schemes_are_not_shown(text: str, shown: str) -> None:
    with pytest.raises(UsageError) as caught:
        named_places(text)
    assert str(caught.value).startswith(f"{shown} cannot be scanned")


def test_secrets_in_a_url_given_as_a_path_are_not_shown() -> None:
    for call in (named_places, file_path):
        with pytest.raises(UsageError) as caught:
            call(Path("s3://AKIA:a/s3cr3t@family/x"))
        assert "s3cr3t" not in str(caught.value)


def test_a_url_given_as_a_path_is_refused_with_advice() -> None:
    with pytest.raises(UsageError, match="write a bucket URL as text"):
        named_places(Path("s3://family/x"))


def test_a_folder_named_like_a_url_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "family").mkdir(parents=True)
    assert named_places([Path("s3:/family")]) == [Path("s3:/family")]
    assert named_paths("s3:/family") == [Path("s3:/family")]


def test_operations_on_files_refuse_urls_with_advice(tmp_path: Path) -> None:
    message = r"s3://family/x\.jpg is in a bucket, from which only 'facebank scan' reads photos: download it, or mount"
    with pytest.raises(UsageError, match=message):
        file_path("s3://family/x.jpg")
    with pytest.raises(UnreadablePhotoError, match=message):
        read_photo("s3://family/x.jpg")
    with FaceBank.open(tmp_path / "x.facebank") as bank, Album(bank) as album:
        bank.open_gallery(create=True)
        calls: tuple[Callable[[str], object], ...] = (
            lambda url: list(bank.identify(url)),
            lambda url: bank.enroll("Ada", url),
            lambda url: album.plan_sorting(url, "x", SortMode.COPY),
            lambda url: list(album.import_tags(url)),
        )
        for call in calls:
            with pytest.raises(UsageError, match=message):
                call("s3://family/x.jpg")


def test_places_of_scans_are_paths_or_urls(tmp_path: Path) -> None:
    places: list[str | Path] = [
        tmp_path / "a",
        tmp_path,
        "s3://family/a/b",
        "s3://family/a",
        "s3://family/a b",
        "gs://family/a",
    ]
    assert outermost(places) == [str(tmp_path), "gs://family/a", "s3://family/a", "s3://family/a b"]
    assert place_path("s3://family/a/") == "s3://family/a"
    assert is_inside("s3://family/a//b.jpg", "s3://family/a")
    assert not is_inside("s3://family/ab.jpg", "s3://family/a")
    exact, below, above = range_of("s3://family")
    assert exact == b"s3://family"
    assert below < b"s3://family//x.jpg" < above


def test_a_photo_belongs_to_the_same_shard_in_a_bucket_and_in_a_folder() -> None:
    for name in ("x.jpg", "a/ü 1.jpg", "a/b/c.jpg"):
        in_folder = shard_number(str(Path("/mnt/photos", name)), "/mnt/photos", 7)
        assert shard_number(f"s3://family/photos/{name}", "s3://family/photos", 7) == in_folder


@pytest.mark.parametrize(
    "path", ["s3://family/", "s3://family/a/", "s3://family/../x", "s3://a:b@family/x", "s3://", "s3://family/a\0"]
)
def test_invalid_urls_in_a_scan_are_refused(path: str) -> None:
    with pytest.raises(InvalidValueError):
        path_of(path.encode())


@pytest.mark.parametrize("path", ["s3://family", "gs://family/a//b.jpg", "s3://family/\x1b[31m.jpg", "s3://family/ü"])
def test_urls_in_a_scan_are_read_back(path: str) -> None:
    assert path_of(path.encode()) == path


def test_an_object_is_not_in_a_folder_with_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "family").mkdir(parents=True)
    assert not NamedFolders([]).contains("s3://family/x.jpg")
    assert not NamedFolders([tmp_path]).contains("s3://family/x.jpg")


PROGRAM = """
import sys
for name in ("fsspec", "s3fs", "s3fs.core", "gcsfs", "gcsfs.core"):
    sys.modules[name] = None
from facebank import FaceBank
from facebank.errors import MissingDependencyError
with FaceBank.open("x.facebank") as bank:
    for url in ("s3://family/x", "gs://family"):
        try:
            bank.album("x.scan").scan(url)
        except MissingDependencyError as error:
            print(error)
"""


def test_a_missing_extra_is_an_error_with_its_command(tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert completed.stdout.splitlines() == [
        f"photos of {scheme}:// need the extra 'buckets': python -m pip install 'facebank[buckets]'"
        for scheme in ("s3", "gs")
    ]
    assert not list(tmp_path.glob("x.scan"))


def test_a_scan_of_folders_does_not_import_bucket_libraries() -> None:
    program = "import sys, facebank.album.scan.scanner, facebank.album.album; print(*sorted(sys.modules))"
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"fsspec", "s3fs", "gcsfs", "botocore", "aiohttp"} & set(completed.stdout.split())
