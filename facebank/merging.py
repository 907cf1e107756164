"""Two people who are one, and one who is two: joined, and split again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.gallery import FaceKey
from facebank.gallery.same_face import is_other_place
from facebank.guard import EnrolledFaces, GuardedFace, PersonGuard
from facebank.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.faces import Person, Sample
    from facebank.gallery import Gallery


def merge_people(gallery: Gallery, sources: Sequence[str], into: str, verify: float) -> Person:
    """Join people who are one person, unless their samples say that they are not.

    Parameters
    ----------
    gallery
        Open for writing.
    sources
        Names of those who go; `into` itself may be among them and is passed over.
    into
        Name of the one who stays.
    verify
        The pack's threshold of verification.

    Returns
    -------
    Person
        The one who stays, as `facebank.Gallery.merge` does without looking at the samples.

    Raises
    ------
    PersonNotFoundError
        One of them is not enrolled; then nobody is joined.
    UsageError
        There is nobody to join; or most faces of one are unlike the other's or nearer to somebody else, or the two are
        different faces of one photo: then nobody is joined either.
    """
    with gallery.snapshot():
        why = next(filter(None, (_why_apart(gallery, source, sources, into, verify) for source in sources)), None)
    if why is not None:
        raise UsageError(why)
    return gallery.merge(sources, into)


def _why_apart(gallery: Gallery, source: str, sources: Sequence[str], into: str, verify: float) -> str | None:
    """Say why somebody is not the person to join with; None where nothing speaks against it."""
    other, person = gallery.person(source), gallery.person(into)
    if other.id == person.id:
        return None
    both = f"{printable(other.name)} and {printable(person.name)}"
    advice = f"use --force if {both} are one person anyway"
    samples, own = gallery.samples(other.name), gallery.samples(person.name)
    for sample in samples:
        beside = next((one for one in own if is_other_place(_key(one), _key(sample))), None)
        if beside is not None:
            return f"{both} are two faces of {printable(sample.source)} (samples {sample.id} and {beside.id}): {advice}"
    enrolled = EnrolledFaces(gallery)
    guard = PersonGuard(gallery, into, verify, enrolled=enrolled, apart=sources)
    dates = {sample.id: sample.taken_at if sample.camera_dated else None for sample in samples}
    mine = enrolled.table.person_ids == other.id
    faces = [
        GuardedFace(embedding, dates[number])
        for number, embedding in zip(enrolled.table.sample_ids[mine].tolist(), enrolled.table.matrix[mine], strict=True)
    ]
    if not faces or not len(guard.own):
        return None  # faces in masks say nothing
    judgments = guard.judge(faces)
    refused = [judgment for judgment in judgments if judgment.refusal is not None]
    if 2 * len(refused) < len(faces):
        return None
    similarity = guard.resemblance_of(np.stack([face.embedding for face in faces])).mean()
    return f"{both} look like two people (mean similarity {similarity:.2f}): {advice}"


def _key(sample: Sample) -> FaceKey:
    return FaceKey(sample.content_hash, sample.quarter_turns, sample.detection.box)
