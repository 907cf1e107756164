"""Merging of people after a check of their samples, and detection of wrong merges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.gallery import FaceKey
from facebank.gallery.same_face import is_other_place
from facebank.index.gallery_index import read_with_retry
from facebank.operations.guard import EnrolledFaces, GuardedFace, PersonGuard
from facebank.recognition.halves import find_halves
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.gallery import Gallery
    from facebank.types import Person


def merge_people(gallery: Gallery, sources: Sequence[str], into: str, threshold: float) -> Person:
    """Merge people into one, unless their samples contradict it.

    Parameters
    ----------
    gallery
        The gallery, open for writing.
    sources
        Names of the people to merge; `into` among them is ignored.
    into
        Name of the remaining person, who is returned.
    threshold
        The pack's verification threshold.

    Raises
    ------
    PersonNotFoundError
        One of the people is not enrolled; nothing is changed.
    UsageError
        `sources` names nobody else; most faces of a person are unlike the other's or nearer to a third person; or the
        two are different faces of one photo. Nothing is changed.
    """

    def find_refusal() -> str | None:
        with gallery.snapshot():
            return next(filter(None, (_refusal(gallery, source, sources, into, threshold) for source in sources)), None)

    refusal = read_with_retry(find_refusal)
    if refusal is not None:
        raise UsageError(refusal)
    return gallery.merge(sources, into)


def find_half(gallery: Gallery, name: str, threshold: float) -> tuple[int, ...]:
    """Return the sample ids of the smaller half of a person whose samples look like two people.

    Raises `PersonNotFoundError` (not enrolled) or `UsageError` (there are no such halves).
    """
    person = gallery.person(name)
    halves = find_halves(gallery, threshold, person.name)
    if not halves:
        raise UsageError(
            f"the samples of {printable(person.name)} do not form two halves that look like two people: name those of "
            "the other person, by the numbers that 'facebank people show' lists"
        )
    return halves[0].smaller


def _refusal(gallery: Gallery, source: str, sources: Sequence[str], into: str, threshold: float) -> str | None:
    """Return why two people should not be merged, or None."""
    other, person = gallery.person(source), gallery.person(into)
    if other.id == person.id:
        return None
    both = f"{printable(other.name)} and {printable(person.name)}"
    advice = f"use --force if {both} are one person anyway"
    samples, person_samples = gallery.samples(other.name), gallery.samples(person.name)
    for sample in samples:
        other_face = next(
            (
                existing
                for existing in person_samples
                if is_other_place(FaceKey.from_sample(existing), FaceKey.from_sample(sample))
            ),
            None,
        )
        if other_face is not None:
            return (
                f"{both} are two faces of {printable(sample.path)} (samples {sample.id} and {other_face.id}): {advice}"
            )
    enrolled = EnrolledFaces(gallery)
    guard = PersonGuard(gallery, into, threshold, enrolled=enrolled, ignored=sources)
    dates = {sample.id: sample.taken_at if sample.camera_dated else None for sample in samples}
    faces = [
        GuardedFace(embedding, dates[sample_id])
        for sample_id, embedding in zip(*enrolled.samples(other.name), strict=True)
    ]
    if not faces or not len(guard.embeddings):
        return None  # masked faces are not comparable
    judgments = guard.judge(faces)
    refused = [judgment for judgment in judgments if judgment.refusal is not None]
    if 2 * len(refused) < len(faces):
        return None
    similarity = guard.resemblance_of(np.stack([face.embedding for face in faces])).mean()
    return f"{both} look like two people (mean similarity {similarity:.2f}): {advice}"
