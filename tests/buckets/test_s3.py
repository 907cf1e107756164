"""Scans of buckets on an S3 server, over HTTP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebank.album.scan.scan_file import ScanFile
from facebank.album.scan.scan_plan import plan_scan, state_of
from facebank.album.scan.scanner import scan
from facebank.cluster.pack_files import PackName
from facebank.cluster.worker import Job, ScanWorker, sorted_hashes
from facebank.errors import PhotoTooLargeError
from facebank.media import PhotoLimits, decoder_versions
from facebank.media.buckets import list_bucket, object_state, read_object
from facebank.media.shards import Shard
from facebank.operations.engine import Engine
from facebank.packs import load_pack
from tests.demo_photos import BIDEN, COLLINS

from .bucket_servers import BUCKET, Bucket, Relay
from .conftest import PHOTO_COUNT, PLACE, content_hashes, scan_all


def test_a_scan_equals_that_of_the_same_photos_in_a_folder(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket, folder: Path, s3: Relay, tmp_path: Path
) -> None:
    report = scan_all(engine, scan_file)
    with ScanFile.open(tmp_path / "folder.scan", engine.identity, create=True) as other:
        local = scan_all(engine, other, folder)
        assert (report.analyzed, report.known_by_content) == (PHOTO_COUNT, 2)
        assert (local.analyzed, local.known_by_content) == (PHOTO_COUNT, 2)
        assert report.skipped == local.skipped
        assert content_hashes(scan_file, PLACE) == content_hashes(other, str(folder))
        reasons = {
            path.replace(PLACE, str(folder)): message.replace(PLACE, str(folder))
            for path, message in report.unreadable.items()
        }
        assert reasons == local.unreadable
        pairs = list(zip(scan_file.photos(), other.photos(), strict=True))
    assert len(pairs) == PHOTO_COUNT + 2
    for photo, local_photo in pairs:
        assert photo.path.removeprefix(PLACE) == local_photo.path.removeprefix(str(folder))
        assert (photo.width, photo.height, photo.quarter_turns) == (
            local_photo.width,
            local_photo.height,
            local_photo.quarter_turns,
        )
        for face, local_face in zip(photo.faces, local_photo.faces, strict=True):
            assert np.array_equal(face.box, local_face.box)
            assert np.array_equal(face.embedding, local_face.embedding)
    assert len(s3.read_keys) == len(set(s3.read_keys)) == PHOTO_COUNT + 3
    sizes = {f"photos/{path.relative_to(folder).as_posix()}": path.stat().st_size for path in folder.rglob("*.*")}
    assert all(
        request.range == f"bytes=0-{sizes[request.key] - 1}"
        for request in s3.requests
        if request.method == "GET" and request.key
    )
    assert {request.method for request in s3.requests} == {"GET", "HEAD"}  # only reads


def test_a_second_scan_lists_the_bucket_and_reads_nothing(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket, s3: Relay
) -> None:
    scan_all(engine, scan_file)
    s3.clear()
    report = scan_all(engine, scan_file)
    assert (report.analyzed, report.unchanged, report.gone, len(report.unreadable)) == (0, PHOTO_COUNT + 2, 0, 1)
    assert [(request.method, request.key) for request in s3.requests] == [("GET", "")]


def test_photos_are_listed_in_pages(bucket: Bucket, s3: Relay) -> None:
    s3.page_size = 5
    for number in range(12):
        bucket.put(f"photos/{number}.jpg", b"x")
    assert list(list_bucket(PLACE).photos) == [f"{PLACE}/{number}.jpg" for number in range(12)]
    assert len(s3.requests) == 3


def test_changed_objects_are_read_again_and_removed_ones_forgotten(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket, folder: Path, s3: Relay
) -> None:
    scan_all(engine, scan_file)
    data = bytearray((folder / "00001.jpg").read_bytes())
    data[6:7] = bytes([data[6] ^ 1])  # the change in the comment keeps the size, and perhaps the time
    filled_bucket.put("photos/00001.jpg", bytes(data))
    filled_bucket.remove("photos/00002.jpg")
    filled_bucket.put("photos/renamed.jpg", (folder / "00004.jpg").read_bytes())
    filled_bucket.remove("photos/00004.jpg")
    s3.clear()
    report = scan_all(engine, scan_file)
    assert s3.read_keys == ["photos/00001.jpg", "photos/renamed.jpg"]
    assert (report.known_by_content, report.gone) == (2, 1)  # the pixels of the changed photo are known
    assert not {"00002.jpg", "00004.jpg"} & content_hashes(scan_file, PLACE).keys()


def test_results_of_an_emptied_place_are_kept(engine: Engine, scan_file: ScanFile, filled_bucket: Bucket) -> None:
    scan_all(engine, scan_file)
    for name in content_hashes(scan_file, PLACE):
        filled_bucket.remove(f"photos/{name}")
    plan = plan_scan(scan_file, [PLACE])
    assert (plan.emptied, plan.gone) == ((PLACE,), ())
    scan(engine, scan_file, plan)
    assert scan_file.count().photos == PHOTO_COUNT


def test_a_named_object_is_scanned_regardless_of_its_suffix(
    engine: Engine, scan_file: ScanFile, bucket: Bucket, s3: Relay
) -> None:
    bucket.put("a/picture", COLLINS.read_bytes())
    bucket.put("a/other.jpg", BIDEN.read_bytes())
    report = scan_all(engine, scan_file, f"s3://{BUCKET}/a/picture")
    assert (report.analyzed, s3.read_keys) == (1, ["a/picture"])
    report = scan_all(engine, scan_file, f"s3://{BUCKET}")  # lists the object, but not as a photo
    assert (report.analyzed, report.gone) == (1, 0)
    bucket.remove("a/picture")
    assert scan_all(engine, scan_file, f"s3://{BUCKET}").gone == 1


HOSTILE_NAMES = (
    "a//b.jpg",
    "/c.jpg",
    "é#1?x=y&z=%2e%2e%2f.jpg",
    f"{'n' * 900}.jpg",
    "l*[a]{b}.jpg",
    "back\\slash.jpg",
    "sp ace+.jpg",
    "bell\x07.jpg",
    "esc\x1b[31mred.jpg",
    "\u202egpj.exe.jpg",
    "s3://other/bucket.jpg",
    "x.jpg/y.jpg",
    "~.jpg",
    "$(x).JPEG",
)
HIDDEN_NAMES = ("..//d.jpg", "../e.jpg", "f/../../../g.jpg", ".h.jpg", "i/./j.jpg", "k/", "l.jpg/", "m/../.jpg")


def test_hostile_names_are_scanned_or_hidden_without_effects(
    engine: Engine, scan_file: ScanFile, bucket: Bucket, s3: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    data = COLLINS.read_bytes()
    for name in (*HOSTILE_NAMES, *HIDDEN_NAMES, "version?versionId=3.jpg", "version"):
        bucket.put(f"photos/{name}", data)
    bucket.put("photos/bad\x0b.jpg", b"no photo")
    report = scan_all(engine, scan_file)
    assert content_hashes(scan_file, PLACE).keys() == {*HOSTILE_NAMES, "version?versionId=3.jpg", "bad\x0b.jpg"}
    assert report.analyzed + report.known_by_content == len(HOSTILE_NAMES)
    assert s3.read_keys == sorted(f"photos/{name}" for name in (*HOSTILE_NAMES, "bad\x0b.jpg"))
    assert all(message.isprintable() for message in report.unreadable.values())
    assert "'?versionId=' in its name" in report.unreadable[f"{PLACE}/version?versionId=3.jpg"]
    assert scan_all(engine, scan_file).unchanged == len(HOSTILE_NAMES)
    assert sorted(tmp_path.rglob("*")) == before


def test_objects_beyond_the_size_limit_are_not_read(filled_bucket: Bucket, s3: Relay) -> None:
    url, state = next(iter(list_bucket(PLACE).photos.items()))
    s3.clear()
    with pytest.raises(PhotoTooLargeError, match=rf"{PLACE}/.* bytes, the limit is 100; use a smaller copy"):
        read_object(url, state, PhotoLimits(max_bytes=100))
    assert s3.requests == []


def test_objects_changed_or_removed_while_they_are_read_are_reported(
    engine: Engine, scan_file: ScanFile, filled_bucket: Bucket, folder: Path, s3: Relay
) -> None:
    def change_objects(method: str, path: str) -> None:
        if method == "GET" and path.endswith("/00000.jpg"):
            filled_bucket.put("photos/00000.jpg", (folder / "00001.jpg").read_bytes() + b"longer" * 100_000)
        if method == "GET" and path.endswith("/00001.jpg"):
            filled_bucket.remove("photos/00001.jpg")
        if method == "HEAD" and path.endswith("/00002.jpg"):
            filled_bucket.put("photos/00002.jpg", (folder / "00004.jpg").read_bytes())

    s3.request_hook = change_objects
    unreadable = scan_all(engine, scan_file).unreadable
    assert unreadable[f"{PLACE}/00000.jpg"] == f"{PLACE}/00000.jpg changed while it was read: scan again"
    assert unreadable[f"{PLACE}/00001.jpg"] == f"there is no photo {PLACE}/00001.jpg; check the address"
    assert unreadable[f"{PLACE}/00002.jpg"] == f"{PLACE}/00002.jpg changed while it was read: scan again"
    s3.clear()
    report = scan_all(engine, scan_file)
    assert s3.read_keys == ["photos/00000.jpg", "photos/00002.jpg"]
    assert report.unreadable.keys() == {f"{PLACE}/broken.jpg"}


def test_shards_are_disjoint_complete_and_equal_those_of_a_folder(
    engine: Engine, filled_bucket: Bucket, folder: Path, s3: Relay, tmp_path: Path
) -> None:
    names = list[str]()
    for number in (1, 2, 3):
        s3.clear()
        with ScanFile.open(tmp_path / f"{number}.scan", engine.identity, create=True) as scan_file:
            scan_all(engine, scan_file, shard=Shard(number, 3))
            shard_names = content_hashes(scan_file, PLACE).keys()
            local = plan_scan(scan_file, [folder], None, Shard(number, 3))
            assert shard_names == {path.removeprefix(f"{folder}/") for path, _ in local.todo}
            assert [row.place for row in scan_file.shards()] == [PLACE]
        assert s3.read_keys == sorted(f"photos/{name}" for name in shard_names)
        names += shard_names
    assert len(names) == len(set(names)) == PHOTO_COUNT + 3


def test_workers_compare_objects_with_the_state_in_the_job(filled_bucket: Bucket, s3: Relay) -> None:
    url, state = next(iter(list_bucket(PLACE).photos.items()))
    assert object_state(url) == state
    assert (state_of(url).size, state_of(url).modified) == state
    job = Job(PackName.of(load_pack()), "onnxruntime", decoder_versions(), ((url, state_of(url)),))
    worker, known = ScanWorker(lambda value: value), [{}, sorted_hashes(set()), sorted_hashes(set())]
    assert worker.prepare(job, known).problem is None
    filled_bucket.put(url.removeprefix(f"s3://{BUCKET}/"), b"another")
    assert worker.prepare(job, known).problem == (
        f"it does not see {url} as this machine does: give it the same AWS_ENDPOINT_URL and credentials of the same "
        "account"
    )
    s3.request_hook = lambda method, path: 403
    assert "access is denied" in str(worker.prepare(job, known).problem)
