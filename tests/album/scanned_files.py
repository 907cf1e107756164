"""Random scanned files, scans and shards of them, their content, and a mark for tests that need pyarrow."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from facebank.album.scan.merging import MergeReport
from facebank.album.scan.parquet_shards import ShardHeader, write_parquet_shard
from facebank.album.scan.parquet_source import ParquetSource
from facebank.album.scan.rows import FileStamp, ShardRow
from facebank.album.scan.scan_file import ScanFile, ScannedFile
from facebank.gallery import PackIdentity
from facebank.types import Face, Photo, Quality

PACK = PackIdentity("test", "ab" * 32, 8)
STATE = FileStamp(1000, 5)

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None and "FACEBANK_CI_CLUSTER" not in os.environ,
    reason="the extra cluster is not installed",
)
"""Skips a test without pyarrow, except in a job that installs it."""


def made_up_face(seed: int, dimension: int = PACK.dimension) -> Face:
    """Return a face of a photo of 640 x 480 pixels."""
    rng = np.random.default_rng(seed)
    corner = rng.random(2, dtype=np.float32) * 300
    box = np.concatenate([corner, corner + 40 + rng.random(2, dtype=np.float32) * 100])
    quality = Quality(0.5, 64.0, 0.25, 0.75, None, 0.125, None, ("blurred", "turned away"))
    embedding = rng.standard_normal(dimension, dtype=np.float32)
    landmarks = rng.random((5, 2), dtype=np.float32) * 100
    return Face(box, landmarks, float(np.float32(0.9)), quality, embedding / np.linalg.norm(embedding))


def made_up_photo(number: int, face_count: int = 2, path: str = "/x.jpg", dimension: int = PACK.dimension) -> Photo:
    """Return a photo with unique content and faces."""
    photo_faces = tuple(made_up_face(100 * number + index, dimension) for index in range(face_count))
    picture_hash = f"{number + 7:064x}"
    return Photo(path, photo_faces, width=640, height=480, content_hash=f"{number:064x}", picture_hash=picture_hash)


def made_up_file(path: str, number: int, face_count: int = 2, dimension: int = PACK.dimension) -> ScannedFile:
    """Return a file with a unique photo."""
    photo = made_up_photo(number, face_count, path, dimension)
    return ScannedFile(path, STATE, photo.content_hash, None, photo)


def file_content(file: ScannedFile) -> tuple[object, ...]:
    """Return the content of a scanned file as comparable values."""
    return (
        file.path,
        file.state,
        file.content_hash,
        file.error,
        file.readers,
        *(None if photo is None else photo_content(photo) for photo in (file.photo, file.edited)),
    )


def photo_content(photo: Photo) -> tuple[object, ...]:
    """Return the content of a photo as comparable values."""
    zone = None if photo.taken_at is None else photo.taken_at.utcoffset()
    return (
        *(photo.path, photo.width, photo.height, photo.quarter_turns, photo.content_hash, photo.taken_at, zone),
        *(photo.camera_dated, photo.picture_hash, face_contents(photo.faces)),
    )


def face_contents(faces: Iterable[Face]) -> tuple[tuple[object, ...], ...]:
    """Return the content of faces as comparable values."""
    return tuple(
        (
            face.face_number,
            *(values.astype(np.float32).tobytes() for values in (face.box, face.landmarks, face.embedding)),
            face.detection_score,
            face.assessment,
        )
        for face in faces
    )


def known_content(scan_file: ScanFile) -> list[object]:
    """Return the photos, files and counts of a scan as comparable values, without ids."""
    rows = [(row.path, row.state, row.error, row.readers, row.photo_id is None) for row in scan_file.known_files("/")]
    return [[photo_content(photo) for photo in scan_file.photos()], rows, scan_file.count()]


def write_scan(path: Path, files: Iterable[ScannedFile], rows: Iterable[ShardRow] = ()) -> Path:
    """Write a Parquet shard or, if the path has another suffix, a scan file; return its path."""
    if path.suffix == ".parquet":
        write_parquet_shard(path, files, ShardHeader(PACK, tuple(rows)))
        return path
    with ScanFile.open(path, PACK, create=True) as scan_file:
        scan_file.keep(list(files))
        scan_file.record_shards(rows)
    return path


def merge_scans(target: Path, sources: Sequence[Path], moved: tuple[str, str] | None = None) -> MergeReport:
    """Merge scan files and Parquet shards into a scan file, which is made if absent."""
    with ExitStack() as opened:
        scans = [
            ParquetSource(path, PACK)
            if path.suffix == ".parquet"
            else opened.enter_context(ScanFile.open(path, PACK, read_only=True))
            for path in sources
        ]
        return opened.enter_context(ScanFile.open(target, PACK, create=True)).merge(scans, moved=moved)
