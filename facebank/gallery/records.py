"""Dataclasses for a gallery's arguments and results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from facebank.types import AnalyzedPhoto, Face, FloatArray, Photo, Sample

PLAIN = "plain"
"""The variant that every sample has: the embedding of the unchanged face."""


@dataclass(frozen=True, slots=True)
class PackIdentity:
    """The pack that made the embeddings of a gallery."""

    name: str  # the pack's name, for messages
    digest: str  # SHA-256 in hex over everything that determines the embeddings; packs are compared by it
    dimension: int  # length of an embedding, 1..16384


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An upgrade of a gallery from an older version."""

    path: Path
    before: int  # the older schema version
    after: int  # the current schema version
    backup: Path  # copy of the old file, beside it
    changes: tuple[str, ...]  # one clause for each newer version, such as ``merges can be undone``
    # whether the older version used other decision rules; the upgrade itself changes no decision
    may_change_decisions: bool


@dataclass(frozen=True, slots=True, eq=False)
class NewSample:
    """A face to be enrolled."""

    box: FloatArray  # as in `facebank.types.Face`
    landmarks: FloatArray = field(repr=False)  # as in `facebank.types.Face`
    detection_score: float  # 0..1
    quality: float  # 0..1
    path: str  # the photo's file
    content_hash: str  # SHA-256 of the photo's bytes, in hex
    quarter_turns: int  # number of counter-clockwise quarter turns that make the photo upright, 0..3
    taken_at: datetime | None  # when the photo was taken; None if unknown
    thumbnail: bytes | None  # a small JPEG of the face, at most 256 KiB, or None
    # L2-normalized ``float32`` embeddings ``(dimension,)`` by variant: always ``"plain"``, and others such as
    # ``"flip"`` or ``"augmented:shift"``
    vectors: Mapping[str, FloatArray] = field(repr=False)
    enrolled_at: datetime | None = None  # when the face was first enrolled; None for now
    masked: bool = False  # whether the face wears a mask
    camera_dated: bool = False  # whether `taken_at` is the camera's date, not the file's
    picture_hash: str | None = None  # as in `FaceKey`


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """A person's birth date, ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``, and a note of at most 2,000 characters."""

    born: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FaceKey:
    """The identity of a face in a photo.

    Two keys match if photo and turns are equal and the intersection over union of the boxes is at least 0.5. Photos are
    equal if their bytes or their pictures are: editing a title or rating does not change the picture.
    """

    content_hash: str  # SHA-256 of the photo's bytes, in hex
    quarter_turns: int  # number of counter-clockwise quarter turns that make the photo upright, 0..3
    box: FloatArray  # ``float32`` of shape ``(4,)``: x1, y1, x2, y2 in pixels of the upright photo
    # SHA-256 of the decoded picture, in hex (`facebank.media.picture_hash`); None if unknown
    picture_hash: str | None = None

    @classmethod
    def from_analysis(cls, photo: AnalyzedPhoto, face: Face) -> Self:
        """Return the key of a face of an analyzed photo."""
        return cls(photo.photo.content_hash, photo.quarter_turns, face.box, photo.photo.picture_hash)

    @classmethod
    def from_photo(cls, photo: Photo, face: Face) -> Self:
        """Return the key of a face of a photo result."""
        return cls(photo.content_hash, photo.quarter_turns, face.box, photo.picture_hash)

    @classmethod
    def from_sample(cls, sample: Sample | NewSample) -> Self:
        """Return the key of a sample."""
        return cls(sample.content_hash, sample.quarter_turns, sample.box, sample.picture_hash)


@dataclass(frozen=True, slots=True)
class RefusedSample:
    """A sample of an export that was not imported."""

    person: str  # the person's name in the export
    path: str  # the photo
    reason: str  # a code of `facebank.types.EnrollReason`
    detail: str  # an explanation in one sentence


@dataclass(frozen=True, slots=True)
class MergedPerson:
    """A person who was merged into another and can be separated again."""

    name: str
    sample_count: int  # merged samples that still exist
    merged_at: datetime


@dataclass(frozen=True, slots=True)
class EnrolledSample:
    """The result of enrolling one face."""

    sample_id: int  # id of the new sample, or of the existing one of this face
    # None for a new sample; else the name of the person who already has the face, perhaps the same person
    duplicate_of_person: str | None


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What was permanently removed, and what remains until old bytes are wiped."""

    sample_count: int  # removed samples
    # whether another process prevented the wiping of old bytes; they are wiped when the gallery is next opened for
    # writing while nothing else uses it
    busy_readers: bool
    full_disk: bool = False  # whether the disk was too full to wipe old bytes; they are wiped once there is space
    wiped: tuple[Path, ...] = ()  # derived files, leftovers of killed runs and automatic backups that were removed too
    mirrors: tuple[str, ...] = ()  # addresses of mirrors that may have the removed data until the next connection


@dataclass(frozen=True, slots=True, eq=False)
class VectorTable:
    """The embeddings of one variant, by sample id, ``int64 (N,)``.

    `matrix` is ``float32`` of shape ``(N, dimension)``, its rows L2-normalized.
    """

    sample_ids: NDArray[np.int64]
    person_ids: NDArray[np.int64]
    matrix: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Stranger:
    """A face marked as "nobody I know", without its embedding."""

    id: int  # never reused
    face: FaceKey
    path: str  # the photo
    remembered_at: datetime  # when it was marked


@dataclass(frozen=True, slots=True, eq=False)
class StrangerTable:
    """The embeddings of the faces marked as "nobody I know", by id, ``int64 (N,)``.

    `matrix` is ``float32`` of shape ``(N, dimension)``, its rows L2-normalized.
    """

    stranger_ids: NDArray[np.int64]
    matrix: FloatArray
