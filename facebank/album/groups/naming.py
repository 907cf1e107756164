"""Giving a group of faces a name: its best and most varied faces are enrolled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PersonNotFoundError, PhotoError, UsageError
from facebank.gallery import FaceKey, normalize_name
from facebank.gallery.same_face import is_same_place
from facebank.media import read_photo
from facebank.operations.enroll import complete_sample, plain_sample
from facebank.operations.guard import GuardedFace, PersonGuard
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import EnrollReason

if TYPE_CHECKING:
    from facebank.album.scan.scan_file import ScanFile
    from facebank.gallery import EnrolledSample, Gallery, NewSample
    from facebank.operations.engine import Engine
    from facebank.types import AnalyzedPhoto, Face, FloatArray, Photo

MOST_SAMPLES = 10
_MOST_JUDGED = 200  # faces of a group that are compared with the person's


@dataclass(frozen=True, slots=True)
class NamedGroup:
    """What became of a group that was given a name.

    Attributes
    ----------
    person
        The name.
    enrolled
        Paths of the photos whose face is a sample now.
    refused
        Paths of the photos whose face is none, and why.
    """

    person: str
    enrolled: tuple[str, ...]
    refused: dict[str, str]


def choose_varied(embeddings: FloatArray, qualities: FloatArray, most: int) -> list[int]:
    """Choose faces that show a person as well and as variously as few can.

    The first is the most typical good one; each further one is least like those that are chosen, poor ones counting
    less.

    Parameters
    ----------
    embeddings
        L2-normalised, of one person: ``(N, D)``.
    qualities
        0..1: ``(N,)``.
    most
        How many.

    Returns
    -------
    list[int]
        Places, the first choice first.
    """
    chosen = [int(np.argmax(embeddings @ (embeddings * qualities[:, None]).sum(axis=0) * qualities))]
    while len(chosen) < min(most, len(embeddings)):
        likeness = (embeddings @ embeddings[chosen].T).max(axis=1)
        worth = (1 - likeness) * qualities
        worth[chosen] = -np.inf
        chosen.append(int(np.argmax(worth)))
    return chosen


def name_group(
    scan_file: ScanFile,
    engine: Engine,
    group: int,
    person: str,
    *,
    gallery: Gallery | None,
    make_gallery: Callable[[], Gallery],
    force: bool = False,
    progress: Progress = SILENT,
) -> NamedGroup:
    """Enroll the best and most varied faces of a group.

    Parameters
    ----------
    scan_file
        Holds the group.
    engine
        Embeds the faces again.
    group
        Its number.
    person
        The name; somebody of this name who is enrolled gets more samples.
    gallery
        Whose people the faces are compared with; None where there is none yet.
    make_gallery
        Creates the gallery, called if there is none and a face is enrolled.
    force
        Whether faces are enrolled that are unlike the person's samples, or nearer to somebody else.
    progress
        Advanced with each photo that was read.

    Raises
    ------
    UsageError
        There is no such group, or it is unlike the person.
    InvalidNameError
        Nobody can be called that.
    """
    name = normalize_name(person)
    faces = scan_file.groups().get(group)
    if faces is None:
        raise UsageError(f"there is no group {group}: 'facebank cluster' lists the groups")
    stored = scan_file.face_table()
    places = np.searchsorted(stored.ids, faces)
    embeddings, qualities = stored.embeddings[places], stored.qualities[places]
    likely = np.arange(len(faces))
    if not force:
        judged = likely[:: math.ceil(len(faces) / _MOST_JUDGED)]
        guarded = [_guarded(scan_file, faces[place], embeddings[place]) for place in judged.tolist()]
        likely = np.delete(likely, judged[_refused(gallery, engine, group, name, guarded)])
    chosen = likely[choose_varied(embeddings[likely], qualities[likely], MOST_SAMPLES)]
    progress.begin("Reading photos", len(chosen))
    samples: dict[str, NewSample] = {}
    refused: dict[str, str] = {}
    for face in [faces[place] for place in chosen.tolist()]:
        _take(scan_file, engine, face, samples, refused)
        progress.advance()
    outcomes: Sequence[EnrolledSample] = ()
    if samples:
        gallery = make_gallery() if gallery is None else gallery
        outcomes = gallery.enroll(name, list(samples.values()))
        with suppress(PersonNotFoundError):  # nobody new where every face is somebody else's
            name = gallery.person(name).name
    for (path, _), outcome in zip(list(samples.items()), outcomes, strict=True):
        if outcome.duplicate_of_person is not None:
            refused[path] = f"the face is enrolled as {outcome.duplicate_of_person} already"
            del samples[path]
    return NamedGroup(name, tuple(samples), refused)


def _guarded(scan_file: ScanFile, face: int, embedding: FloatArray) -> GuardedFace:
    photo, place = scan_file.place_of(face)
    return replace(GuardedFace.of(photo, place), embedding=embedding)


def _refused(
    gallery: Gallery | None, engine: Engine, group: int, person: str, faces: Sequence[GuardedFace]
) -> list[int]:
    """Return the places of a group's faces that enrollment would refuse; raises `UsageError` where that is most."""
    if gallery is None:
        return []  # nobody is enrolled whom they could be unlike
    guard = PersonGuard(gallery, person, engine.thresholds.verify)
    judgments = guard.judge(faces)
    refused = [place for place, judgment in enumerate(judgments) if judgment.refusal is not None]
    if 2 * len(refused) < len(faces):
        return refused
    if judgments[refused[0]].refusal is EnrollReason.UNLIKE_THE_PERSON and len(guard.own):
        similarity = guard.resemblance_of(np.stack([face.embedding for face in faces])).mean()
        why = f"is unlike {printable(gallery.person(person).name)}, who is enrolled (similarity {similarity:.2f})"
    else:
        why = f"is not {printable(person)}: {judgments[refused[0]].detail}"
    raise UsageError(f"group {group} {why}: choose another name, or use --force if it is {printable(person)} anyway")


def _take(
    scan_file: ScanFile, engine: Engine, face: int, samples: dict[str, NewSample], refused: dict[str, str]
) -> None:
    """Read the photo of a face again, and make a sample of it."""
    photo, place = scan_file.place_of(face)
    try:
        (analyzed,) = engine.analyzer.analyze([read_photo(photo.path)])
    except PhotoError as error:
        refused[photo.path] = str(error)
        return
    found = same_face(analyzed, photo, photo.faces[place])
    if found is None:
        refused[photo.path] = "it is another photo now: scan again"
        return
    crop = engine.analyzer.crop(analyzed.photo, found)
    samples[photo.path] = complete_sample(plain_sample(analyzed, found, thumbnail=True), found, crop, engine.analyzer)


def same_face(analyzed: AnalyzedPhoto, photo: Photo, face: Face) -> Face | None:
    """Return the face of a photo that was just read which is the one that was scanned; None in another photo."""
    wanted = FaceKey.found(photo, face)
    return next((found for found in analyzed.faces if is_same_place(FaceKey.of(analyzed, found), wanted)), None)


def parse_face(text: str, groups: Mapping[int, Sequence[int]]) -> int:
    """Return the number in the scan of a face that is named as the contact sheet does: ``3.2``, or ``3`` for ``3.1``.

    Raises
    ------
    UsageError
        There is none.
    """
    number, _, place = text.partition(".")
    wanted = place or "1"
    if number.isdecimal() and wanted.isdecimal():
        faces = groups.get(int(number), ())
        if 1 <= int(wanted) <= len(faces):
            return faces[int(wanted) - 1]
    raise UsageError(
        f"there is no face {text!r}: name faces as the contact sheet does, such as 3.2 for the second of group 3"
    )
