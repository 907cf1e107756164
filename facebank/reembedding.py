"""A gallery's embeddings made anew with another pack, from the photos its samples came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PhotoError
from facebank.faces import Face, Photo, Sample
from facebank.media import read_photo, turn_photo
from facebank.vision.geometry import overlaps

if TYPE_CHECKING:
    from facebank.engine import Engine
    from facebank.gallery import Gallery

_SAME_FACE = 0.4


@dataclass(frozen=True, slots=True)
class LostSample:
    """A sample that could not be embedded anew, and why."""

    sample_id: int
    person: str
    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReEmbeddingReport:
    """What became of a gallery's samples.

    Attributes
    ----------
    changed
        Whether the gallery has the new embeddings now.
    pack
        The pack that made them.
    embedded
        How many samples were embedded anew.
    lost
        Those that could not be.
    busy_readers
        Whether another process kept the old bytes from being cleaned away at once.
    """

    changed: bool
    pack: str
    embedded: int
    lost: tuple[LostSample, ...]
    busy_readers: bool = False


def re_embed(
    gallery: Gallery,
    engine: Engine,
    *,
    drop_missing: bool = False,
    on_photo: Callable[[str], None] | None = None,
) -> ReEmbeddingReport:
    """Make all embeddings of a gallery anew, in one transaction.

    Parameters
    ----------
    gallery
        Opened without a pack, or with the one it is bound to.
    engine
        The pack to go over to.
    drop_missing
        Whether samples whose photo or face is not found again are removed; otherwise nothing is changed then.
    on_photo
        Called with each sample's path when it was read.

    Returns
    -------
    ReEmbeddingReport
        What became of the samples.
    """
    samples = [sample for person in gallery.people() for sample in gallery.samples(person.name)]
    vectors: dict[int, dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]] = {}
    lost: list[LostSample] = []
    readable: list[Sample] = []

    def photos() -> Iterator[Photo]:
        for sample in samples:
            try:
                photo = _photo_of(sample)
            except PhotoError as error:
                lost.append(LostSample(sample.id, sample.person, sample.source, str(error)))
            else:
                readable.append(sample)
                yield photo
            if on_photo is not None:
                on_photo(sample.source)

    for position, analyzed in enumerate(engine.analyzer.analyze(photos())):
        sample = readable[position]
        face = _same_face(sample, analyzed.faces)
        if face is None:
            lost.append(LostSample(sample.id, sample.person, sample.source, "the face was not found again"))
        else:
            vectors[sample.id] = {"plain": face.embedding}
    pack = engine.identity
    if lost and not drop_missing:
        return ReEmbeddingReport(False, pack.name, len(vectors), tuple(lost))
    dropped = gallery.rebind(pack, vectors, [sample.sample_id for sample in lost])
    return ReEmbeddingReport(True, pack.name, len(vectors), tuple(lost), dropped.busy_readers)


def _photo_of(sample: Sample) -> Photo:
    photo = read_photo(sample.source)
    if photo.content_hash != sample.content_hash:
        raise PhotoError("the file has changed since it was enrolled")
    turned = turn_photo(photo, sample.quarter_turns)
    return Photo(turned.source, turned.pixels, turned.content_hash, has_orientation=True, taken_at=turned.taken_at)


def _same_face(sample: Sample, faces: tuple[Face, ...]) -> Face | None:
    if not faces:
        return None
    shared = overlaps(sample.detection.box, np.stack([face.detection.box for face in faces]))
    best = int(np.argmax(shared))
    return faces[best] if shared[best] >= _SAME_FACE else None
