"""Re-embedding of a gallery with another pack, from the photos of its samples.

Remembered strangers are re-embedded too. A stranger whose photo or face is not found is forgotten and reported: an
embedding of another pack is useless, and strangers must not prevent a change of the pack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PhotoError
from facebank.gallery import FaceKey
from facebank.media import read_photo, turn_photo
from facebank.operations.enroll import enrolled_vectors
from facebank.storage.arrays import overlaps
from facebank.storage.progress import SILENT, Progress
from facebank.types import DecodedPhoto, Face

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.operations.engine import Engine
    from facebank.types import FloatArray

_MIN_IOU = 0.4  # intersection over union of the two boxes


@dataclass(frozen=True, slots=True)
class LostSample:
    """A sample that could not be re-embedded."""

    sample_id: int
    person: str  # the person's name
    path: str  # the photo
    reason: str  # the reason, in one sentence


@dataclass(frozen=True, slots=True)
class ReEmbeddingReport:
    """The result for a gallery's samples."""

    changed: bool  # whether the gallery now has the new embeddings
    pack: str  # name of the new pack
    embedded: int  # number of re-embedded samples
    lost: tuple[LostSample, ...]  # samples without a new embedding; removed if `changed`
    busy_readers: bool = False  # whether another process prevented the wiping of old bytes
    # photos of remembered strangers that could not be re-embedded; they are forgotten if `changed`
    lost_strangers: tuple[str, ...] = ()
    full_disk: bool = False  # whether the disk was too full to wipe old bytes
    mirrors: tuple[str, ...] = ()  # addresses of mirrors that may have old embeddings until the next connection


def re_embed(
    gallery: Gallery,
    engine: Engine,
    *,
    drop_missing: bool = False,
    progress: Progress = SILENT,
) -> ReEmbeddingReport:
    """Recompute all embeddings of a gallery with another pack, in one transaction.

    Parameters
    ----------
    gallery
        The gallery, opened without a pack or with its current one.
    engine
        The new pack.
    drop_missing
        Whether samples whose photo or face is not found are removed; if not, one such sample prevents any change.
    progress
        Advanced by one for each sample and stranger.

    Returns
    -------
    ReEmbeddingReport
        The numbers of samples, and the lost samples and strangers.

    Raises
    ------
    UsageError
        Another process has changed the samples or strangers meanwhile.
    StorageError
        The gallery cannot be written.
    """
    with gallery.snapshot():
        samples_by_person = gallery.samples_by_person()
        samples = [sample for person in gallery.people() for sample in samples_by_person.get(person.id, [])]
    strangers = gallery.stranger_faces()
    faces_and_paths = [(FaceKey.from_sample(sample), sample.path) for sample in samples]
    faces_and_paths += [(stranger.face, stranger.path) for stranger in strangers]
    progress.begin("Embedding", len(faces_and_paths))
    results = _new_embeddings(faces_and_paths, engine, progress)
    embeddings: dict[int, dict[str, FloatArray]] = {}
    lost: list[LostSample] = []
    for sample, outcome in zip(samples, results[: len(samples)], strict=True):
        if isinstance(outcome, str):
            lost.append(LostSample(sample.id, sample.person, sample.path, outcome))
        else:
            embeddings[sample.id] = outcome
    stranger_embeddings = {
        stranger.id: None if isinstance(outcome, str) else outcome["plain"]
        for stranger, outcome in zip(strangers, results[len(samples) :], strict=True)
    }
    lost_strangers = tuple(stranger.path for stranger in strangers if stranger_embeddings[stranger.id] is None)
    pack = engine.identity
    if lost and not drop_missing:
        return ReEmbeddingReport(
            changed=False, pack=pack.name, embedded=len(embeddings), lost=tuple(lost), lost_strangers=lost_strangers
        )
    removal = gallery.rebind(pack, embeddings, [sample.sample_id for sample in lost], stranger_embeddings)
    return ReEmbeddingReport(
        changed=True,
        pack=pack.name,
        embedded=len(embeddings),
        lost=tuple(lost),
        busy_readers=removal.busy_readers,
        lost_strangers=lost_strangers,
        full_disk=removal.full_disk,
        mirrors=removal.mirrors,
    )


def _new_embeddings(
    faces_and_paths: Sequence[tuple[FaceKey, str]], engine: Engine, progress: Progress
) -> list[dict[str, FloatArray] | str]:
    """Return for each face the new embeddings by variant, or the reason why there are none."""
    results: list[dict[str, FloatArray] | str] = ["the face was not found again"] * len(faces_and_paths)
    readable: list[int] = []

    def photos() -> Iterator[DecodedPhoto]:
        for position, (key, path) in enumerate(faces_and_paths):
            try:
                photo = _read_unchanged(key, path)
            except PhotoError as error:
                results[position] = str(error)
            else:
                readable.append(position)
                yield photo
            progress.advance()

    for index, analyzed in enumerate(engine.analyzer.analyze(photos())):
        position = readable[index]
        face = _find_face(faces_and_paths[position][0], analyzed.faces)
        if face is not None:
            crop = engine.analyzer.crop(analyzed.photo, face)
            results[position] = enrolled_vectors(face, crop, engine.analyzer)
    return results


def _read_unchanged(key: FaceKey, path: str) -> DecodedPhoto:
    photo = read_photo(path)
    has_same_picture = photo.picture_hash is not None and photo.picture_hash == key.picture_hash
    if photo.content_hash != key.content_hash and not has_same_picture:
        raise PhotoError("the file has changed since it was enrolled")
    turned = turn_photo(photo, key.quarter_turns)
    return DecodedPhoto(turned.path, turned.pixels, turned.content_hash, has_orientation=True, taken_at=turned.taken_at)


def _find_face(key: FaceKey, faces: tuple[Face, ...]) -> Face | None:
    if not faces:
        return None
    ious = overlaps(key.box, np.stack([face.box for face in faces]))
    best = int(np.argmax(ious))
    return faces[best] if ious[best] >= _MIN_IOU else None
