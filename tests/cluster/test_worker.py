"""A worker loads the job's pack, checks that it fits the job, and recognizes photos scanned before."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebank.album.scan.rows import FileStamp
from facebank.album.scan.scan_plan import state_of
from facebank.album.scan.scanner import PhotoScanner
from facebank.cluster.pack_files import MANIFEST, PackName, ensure_pack, read_pack_files
from facebank.cluster.worker import Job, ScanWorker, SortedHashes, sorted_hashes
from facebank.errors import PackIntegrityError
from facebank.media import decoder_versions
from facebank.operations.engine import load_engine
from facebank.packs import load_pack
from tests.demo_photos import COLLINS, DEMO_PHOTOS

HASHES = {hashlib.sha256(bytes([number])).digest() for number in range(50)} | {b"\0" * 32, b"\1" + b"\0" * 31}


def make_job(**changes: Any) -> Job:
    return replace(Job(PackName.of(load_pack()), "onnxruntime", decoder_versions(), ()), **changes)


def fetch(value: Any) -> Any:
    return value() if callable(value) else value


def no_hashes() -> Any:
    return sorted_hashes(set())


def unexpected_fetch() -> dict[str, bytes]:
    pytest.fail("the pack was fetched")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def other_pack(tmp_path: Path) -> Path:
    """A copy of the embedded pack under another name, like a pack that only one machine has."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(load_pack().folder, folder)
    manifest = (folder / MANIFEST).read_text("utf-8").replace('name = "opencv"', 'name = "other"', 1)
    (folder / MANIFEST).write_text(manifest, "utf-8")
    return folder


def test_hashes_are_found_in_an_array() -> None:
    hashes = SortedHashes(sorted_hashes(HASHES), {b"more".ljust(32)})
    assert all(content_hash in hashes for content_hash in HASHES)
    assert b"more".ljust(32) in hashes
    assert not any(value in hashes for value in (b"\2" * 32, b"\xff" * 32, b"", "text", None, b"\0"))
    assert set(hashes) == HASHES | {b"more".ljust(32)}
    assert len(hashes) == len(HASHES) + 1


def test_results_of_a_worker_equal_a_local_scan(cache: Path) -> None:
    files = [(str(path), state_of(str(path))) for path in sorted(DEMO_PHOTOS.glob("*.jpg"))]
    worker = ScanWorker(fetch)
    ready = worker.prepare(make_job(probe_files=tuple(files[:2])), [unexpected_fetch, no_hashes, no_hashes])
    assert (ready.problem, ready.process) == (None, os.getpid())
    results = worker.scan(files, set())
    expected = list(PhotoScanner(load_engine(None, "cpu", 1).analyzer, set(), 1).scan(files))
    assert [(file.path, file.content_hash) for file in results] == [(file.path, file.content_hash) for file in expected]
    for result, expected_file in zip(results, expected, strict=True):
        assert result.photo is not None
        assert expected_file.photo is not None
        for face, expected_face in zip(result.photo.faces, expected_file.photo.faces, strict=True):
            assert np.array_equal(face.embedding, expected_face.embedding)


def test_a_photo_scanned_meanwhile_is_a_copy(cache: Path) -> None:
    path = str(COLLINS)
    worker = ScanWorker(fetch)
    worker.prepare(make_job(), [unexpected_fetch, no_hashes, no_hashes])
    content_hash = hashlib.sha256(Path(path).read_bytes()).digest()
    (file,) = worker.scan([(path, state_of(path))], {content_hash})
    assert (file.photo, file.error, file.content_hash) == (None, None, content_hash.hex())


def test_a_missing_pack_is_fetched_once(cache: Path, other_pack: Path) -> None:
    pack, fetches = load_pack(other_pack), list[int]()

    def send() -> dict[str, bytes]:
        fetches.append(1)
        return read_pack_files(pack)

    for _ in range(2):
        assert ScanWorker(fetch).prepare(make_job(pack=PackName.of(pack)), [send, no_hashes, no_hashes]).problem is None
    assert fetches == [1]
    installed = ensure_pack(PackName.of(pack), unexpected_fetch)
    assert (installed.name, installed.digest) == ("other", pack.digest)
    assert installed.folder.is_relative_to(cache)


def test_a_damaged_pack_in_the_cache_is_fetched_again(cache: Path, other_pack: Path) -> None:
    pack = load_pack(other_pack)
    installed = ensure_pack(PackName.of(pack), lambda: read_pack_files(pack))
    network = installed.folder / pack.manifest.embedder.file
    network.write_bytes(network.read_bytes()[:-1])
    reinstalled = ensure_pack(PackName.of(pack), lambda: read_pack_files(pack))
    original = other_pack / pack.manifest.embedder.file
    assert (reinstalled.folder / original.name).read_bytes() == original.read_bytes()
    assert [path.name for path in installed.folder.parent.iterdir()] == [PackName.of(pack).digest]


def change_network(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data if name == MANIFEST else data[:-1] for name, data in files.items()}


def change_manifest(files: dict[str, bytes]) -> dict[str, bytes]:
    return files | {MANIFEST: files[MANIFEST] + b"\n"}


def remove_networks(files: dict[str, bytes]) -> dict[str, bytes]:
    return {MANIFEST: files[MANIFEST]}


@pytest.mark.parametrize("change", [change_network, change_manifest, remove_networks, lambda _: {}])
def test_fetched_files_are_verified(
    cache: Path, other_pack: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    pack = load_pack(other_pack)
    with pytest.raises(PackIntegrityError):
        ensure_pack(PackName.of(pack), lambda: change(read_pack_files(pack)))
    assert not (cache / "cluster-packs" / PackName.of(pack).digest).exists()


def test_another_version_of_facebank_or_a_decoder_is_a_problem() -> None:
    for name, version in (("facebank", "99.0"), ("PIL.JpegImagePlugin", "1.0")):
        versions = dict(part.split("=") for part in decoder_versions().split())
        assert name in versions
        job_decoders = " ".join(f"{key}={version if key == name else value}" for key, value in versions.items())
        ready = ScanWorker(fetch).prepare(make_job(decoders=job_decoders), [unexpected_fetch, no_hashes, no_hashes])
        problem = ready.problem
        assert problem is not None
        assert f"it has {name} {versions[name]}, but the machine that started the job has {version}" in problem


def test_missing_photos_are_a_problem(tmp_path: Path) -> None:
    probe_files = ((str(tmp_path / "party.jpg"), FileStamp(5, 5)),)
    ready = ScanWorker(fetch).prepare(make_job(probe_files=probe_files), [unexpected_fetch, no_hashes, no_hashes])
    problem = ready.problem
    assert problem is not None
    assert "does not see" in problem
    assert "party.jpg" in problem


def test_a_missing_runtime_is_a_problem(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ImportError("no runtime")

    monkeypatch.setattr("facebank.cluster.worker.load_engine", fail)
    assert ScanWorker(fetch).prepare(make_job(), [unexpected_fetch, no_hashes, no_hashes]).problem == "no runtime"
