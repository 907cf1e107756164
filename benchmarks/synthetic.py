"""Synthetic photos of scans, with random faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.album.scan.rows import FileStamp
from facebank.album.scan.scan_file import ScannedFile
from facebank.types import Detection, Face, Photo, Quality

if TYPE_CHECKING:
    from collections.abc import Iterable


def synthetic_path(number: int) -> str:
    """Return the path of a synthetic photo below ``/photos``, 500 photos per folder."""
    return f"/photos/{number // 500:05}/IMG_{number:07}.jpg"


def synthetic_file(number: int, faces: Iterable[Face]) -> ScannedFile:
    """Return the scanned file of a synthetic photo of 4,000 x 3,000 pixels with the given faces."""
    path, content_hash = synthetic_path(number), f"{number + 1:064x}"
    photo = Photo(path, tuple(faces), width=4000, height=3000, content_hash=content_hash, picture_hash=content_hash)
    return ScannedFile(path, FileStamp(2_000_000, number), content_hash, None, photo)


def synthetic_face(random: np.random.Generator) -> Face:
    """Return a face of a photo of 4,000 x 3,000 pixels."""
    embedding = random.standard_normal(128, dtype=np.float32)
    box, landmarks = random.random(4, dtype=np.float32), random.random((5, 2), dtype=np.float32)
    box[2:] += box[:2]
    detection = Detection(box * 1000, landmarks * 1000, 0.9)
    quality = Quality(0.5, 64.0, 0.25, 0.75, None, 0.125, None, ())
    return Face(
        detection.box, detection.landmarks, detection.detection_score, quality, embedding / np.linalg.norm(embedding)
    )
