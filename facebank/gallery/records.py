"""Records that go into a gallery and come out of it."""

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
    """The pack that made the embeddings of a gallery.

    Attributes
    ----------
    name
        The pack's name, for messages.
    digest
        SHA-256 in hex over all that determines the embeddings, by which packs are compared.
    dimension
        Length of an embedding, 1..16384.
    """

    name: str
    digest: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Upgrade:
    """How a gallery was upgraded from an older version.

    Attributes
    ----------
    path, backup
        The gallery's file, and a copy of the old one beside it.
    before, after
        The versions of its tables.
    changes
        What each newer version brought, a clause each, such as ``merges can be undone``.
    may_decide_otherwise
        Whether the older version had other rules of decision; the upgrade itself changes no decision.
    """

    path: Path
    before: int
    after: int
    backup: Path
    changes: tuple[str, ...]
    may_decide_otherwise: bool


@dataclass(frozen=True, slots=True, eq=False)
class NewSample:
    """A face to be enrolled.

    Attributes
    ----------
    box, landmarks, detection_score
        Where the face is in the photo, as of `facebank.types.Face`.
    quality
        0..1.
    path
        The photo's file.
    content_hash
        SHA-256 of the photo's bytes, in hex.
    quarter_turns
        How many quarter turns counter-clockwise make the photo upright, 0..3.
    taken_at
        When the photo was taken, if known.
    thumbnail
        A small JPEG of the face, at most 256 KiB, or None.
    vectors
        L2-normalized ``float32`` embeddings ``(dimension,)`` by variant: always ``"plain"``, and others such as
        ``"flip"`` or ``"augmented:shift"``.
    enrolled_at
        When the face was first enrolled; None for now.
    masked
        Whether the face wears a mask.
    camera_dated
        Whether `taken_at` is the camera's date, not the file's.
    picture_hash
        As of `FaceKey`.
    """

    box: FloatArray
    landmarks: FloatArray = field(repr=False)
    detection_score: float
    quality: float
    path: str
    content_hash: str
    quarter_turns: int
    taken_at: datetime | None
    thumbnail: bytes | None
    vectors: Mapping[str, FloatArray] = field(repr=False)
    enrolled_at: datetime | None = None
    masked: bool = False
    camera_dated: bool = False
    picture_hash: str | None = None


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """A person's birth date, ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``, and a note of at most 2,000 characters."""

    born: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FaceKey:
    """Which face of which photo: two keys mean one face if photo and turns are the same and the boxes overlap by half.

    Photos are the same if their bytes or their pictures are: editing a title or rating does not make another photo.

    Attributes
    ----------
    content_hash
        SHA-256 of the photo's bytes, in hex.
    quarter_turns
        How many quarter turns counter-clockwise make the photo upright, 0..3.
    box
        ``float32`` of shape ``(4,)``: x1, y1, x2, y2 in pixels of the upright photo.
    picture_hash
        SHA-256 of the picture as it is seen, in hex (`facebank.media.picture_hash`); None if unknown.
    """

    content_hash: str
    quarter_turns: int
    box: FloatArray
    picture_hash: str | None = None

    @classmethod
    def of(cls, photo: AnalyzedPhoto, face: Face) -> Self:
        """Return the key of a face of a photo."""
        return cls(photo.photo.content_hash, photo.quarter_turns, face.box, photo.photo.picture_hash)

    @classmethod
    def found(cls, photo: Photo, face: Face) -> Self:
        """Return the key of a face that was found in a photo."""
        return cls(photo.content_hash, photo.quarter_turns, face.box, photo.picture_hash)

    @classmethod
    def enrolled(cls, sample: Sample | NewSample) -> Self:
        """Return the key of a present or future sample."""
        return cls(sample.content_hash, sample.quarter_turns, sample.box, sample.picture_hash)


@dataclass(frozen=True, slots=True)
class RefusedSample:
    """A sample of an export that was not imported.

    Attributes
    ----------
    person, path
        Whose it was in the export, and its photo's file.
    reason, detail
        A code, as `facebank.types.EnrollReason` has them, and a sentence for people.
    """

    person: str
    path: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class MergedPerson:
    """A person who was merged into another and can be separated again, with the number of remaining samples."""

    name: str
    samples: int
    merged_at: datetime


@dataclass(frozen=True, slots=True)
class EnrolledSample:
    """What became of one face at enrollment.

    Attributes
    ----------
    sample_id
        Number of the new sample, or of the existing one of this face.
    duplicate_of_person
        None for a new sample; else the name of the person, perhaps the same one, who already has the face.
    """

    sample_id: int
    duplicate_of_person: str | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was removed for good.

    Attributes
    ----------
    samples
        How many samples were removed.
    busy_readers
        Whether another process kept the file from being cleaned at once. Removed bytes then go when the gallery is next
        opened for writing while nobody else uses it.
    wiped
        Derived files, leftovers of killed runs and automatic backups that were removed too.
    """

    samples: int
    busy_readers: bool
    wiped: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class VectorTable:
    """The embeddings of one variant, in the order of their samples' numbers, ``int64 (N,)``.

    `matrix` is ``float32`` of shape ``(N, dimension)``, its rows L2-normalized.
    """

    sample_ids: NDArray[np.int64]
    person_ids: NDArray[np.int64]
    matrix: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Stranger:
    """A face remembered as "nobody I know", without its embedding.

    Attributes
    ----------
    id
        Number of the stranger in the gallery; never reused.
    face, path
        Which face of which photo, and the photo's file.
    remembered_at
        Since when.
    """

    id: int
    face: FaceKey
    path: str
    remembered_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class StrangerTable:
    """The embeddings of the faces remembered as "nobody I know", in the order of their numbers, ``int64 (N,)``.

    `matrix` is ``float32`` of shape ``(N, dimension)``, its rows L2-normalized.
    """

    stranger_ids: NDArray[np.int64]
    matrix: FloatArray
