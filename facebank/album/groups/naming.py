"""Naming of groups: the best and most varied faces of a group become samples of a person."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.face_groups import faces_of, no_face_left_error
from facebank.errors import GroupNamedError, PersonNotFoundError, PhotoError, UsageError
from facebank.gallery import FaceKey, name_key, normalize_name
from facebank.gallery.same_face import is_same_place
from facebank.media.buckets import read_scanned_photo
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

MAX_SAMPLES = 10
"""Maximum number of samples that naming a group adds."""

_MAX_JUDGED = 200  # faces of a group that are compared with the person's samples


@dataclass(frozen=True, slots=True)
class NamedGroup:
    """The result of naming a group."""

    person: str
    enrolled: tuple[str, ...]  # paths of the photos whose face became a sample
    refused: dict[str, str]  # the reasons for the other photos, by path
    sample_ids: tuple[int, ...] = ()  # of the new samples


def choose_varied(embeddings: FloatArray, qualities: FloatArray, max_count: int) -> list[int]:
    """Return the indices of the best and most varied faces of a person.

    The first choice is the most typical face of good quality. Each further one is the least similar to those chosen,
    weighted by quality.

    Parameters
    ----------
    embeddings
        L2-normalized ``float32`` of shape ``(N, D)``, N > 0, of one person.
    qualities
        0..1, ``float32`` of shape ``(N,)``.
    max_count
        Maximum number of faces.

    Returns
    -------
    list[int]
        Up to `max_count` indices, the first choice first.

    Examples
    --------
    >>> import numpy as np
    >>> embeddings = np.array([[1, 0], [1, 0], [0.8, 0.6]], dtype=np.float32)
    >>> choose_varied(embeddings, np.ones(3, dtype=np.float32), max_count=2)
    [0, 2]
    """
    chosen = [int(np.argmax(embeddings @ (embeddings * qualities[:, None]).sum(axis=0) * qualities))]
    while len(chosen) < min(max_count, len(embeddings)):
        similarities = (embeddings @ embeddings[chosen].T).max(axis=1)
        gains = (1 - similarities) * qualities
        gains[chosen] = -np.inf
        chosen.append(int(np.argmax(gains)))
    return chosen


def name_group(
    scan_file: ScanFile,
    engine: Engine,
    group_number: int,
    name: str,
    *,
    gallery: Gallery | None,
    make_gallery: Callable[[], Gallery],
    force: bool = False,
    key: str | None = None,
    excluded_ids: Collection[int] = (),
    progress: Progress = SILENT,
) -> NamedGroup:
    """Enroll the best and most varied faces of a group, and return the enrolled and the refused photos.

    Parameters
    ----------
    scan_file, engine
        The scan, and its pack's engine, which embeds the faces again.
    group_number, name
        The group's number, and the name; an enrolled person of this name gets more samples.
    gallery
        The gallery with whose people the faces are compared; None if it does not exist yet.
    make_gallery
        Creates the gallery; called if it does not exist and a face is enrolled.
    force
        Whether to enroll faces that are unlike the person's samples, or more similar to somebody else.
    key
        The expected `Group.key`, which detects that faces were grouped again; None to accept the number unchecked.
    excluded_ids
        Ids in the scan of faces to leave out.
    progress
        Advanced with each photo that was read.

    Raises
    ------
    GroupNotFoundError
        The group does not exist, or has another key.
    InvalidNameError
        The name is not allowed.
    UsageError
        The group is unlike the person, or all of its faces are left out.
    """
    name = normalize_name(name)
    face_ids = [face_id for face_id in faces_of(scan_file, group_number, key) if face_id not in excluded_ids]
    if not face_ids:
        raise no_face_left_error(group_number)
    stored = scan_file.face_table()
    rows = np.searchsorted(stored.face_ids, face_ids)
    embeddings, qualities = stored.embeddings[rows], stored.qualities[rows]
    likely = np.arange(len(face_ids))
    if not force:
        judged = likely[:: math.ceil(len(face_ids) / _MAX_JUDGED)]
        guarded = [_guarded_face(scan_file, face_ids[index], embeddings[index]) for index in judged.tolist()]
        likely = np.delete(likely, judged[_refused_faces(gallery, engine, group_number, name, guarded)])
    chosen = likely[choose_varied(embeddings[likely], qualities[likely], MAX_SAMPLES)]
    progress.begin("Reading photos", len(chosen))
    samples: dict[str, NewSample] = {}
    refused: dict[str, str] = {}
    for index in chosen.tolist():
        _add_sample(scan_file, engine, face_ids[index], samples, refused)
        progress.advance()
    outcomes: Sequence[EnrolledSample] = ()
    if samples:
        gallery = make_gallery() if gallery is None else gallery
        outcomes = gallery.enroll(name, list(samples.values()))
        with suppress(PersonNotFoundError):  # a new person is not created if every face is somebody else's
            name = gallery.person(name).name
    for (path, _), outcome in zip(list(samples.items()), outcomes, strict=True):
        if outcome.duplicate_of_person is not None:
            refused[path] = f"the face is enrolled as {printable(outcome.duplicate_of_person)} already"
            del samples[path]
    new = tuple(outcome.sample_id for outcome in outcomes if outcome.duplicate_of_person is None)
    return NamedGroup(name, tuple(samples), refused, new)


def require_unnamed(scan_file: ScanFile, gallery: Gallery, group_number: int) -> None:
    """Raise `GroupNamedError` if a face of a group is somebody's sample."""
    person = owner_of(scan_file, gallery, group_number)
    if person is not None:
        raise GroupNamedError(
            f"group {group_number} is {printable(person)} already: list the groups again, somebody may have named it "
            "meanwhile"
        )


def owner_of(
    scan_file: ScanFile,
    gallery: Gallery,
    group_number: int,
    ignored_person: str | None = None,
    excluded_ids: Collection[int] = (),
) -> str | None:
    """Return the first person who has a sample among the faces of a group; None if there is none.

    Samples of `ignored_person` do not count, nor do faces in `excluded_ids`, given by their ids in the scan.
    """
    ignored_key = None if ignored_person is None else name_key(ignored_person)
    for face_id in scan_file.groups().get(group_number, ()):
        if face_id in excluded_ids:
            continue
        photo, index = scan_file.locate_face(face_id)
        for sample in gallery.samples_at(FaceKey.from_photo(photo, photo.faces[index])):
            if name_key(sample.person) != ignored_key:
                return sample.person
    return None


def _guarded_face(scan_file: ScanFile, face_id: int, embedding: FloatArray) -> GuardedFace:
    photo, index = scan_file.locate_face(face_id)
    return replace(GuardedFace.from_photo(photo, index), embedding=embedding)


def _refused_faces(
    gallery: Gallery | None, engine: Engine, group_number: int, person: str, faces: Sequence[GuardedFace]
) -> list[int]:
    """Return the indices of faces that enrollment would refuse; raises `UsageError` if that is half of them or more."""
    if gallery is None:
        return []
    guard = PersonGuard(gallery, person, engine.thresholds.verify)
    judgments = guard.judge(faces)
    refused = [index for index, judgment in enumerate(judgments) if judgment.refusal is not None]
    if 2 * len(refused) < len(faces):
        return refused
    if judgments[refused[0]].refusal is EnrollReason.UNLIKE_THE_PERSON and len(guard.embeddings):
        similarity = guard.resemblance_of(np.stack([face.embedding for face in faces])).mean()
        reason = f"is unlike {printable(gallery.person(person).name)}, who is enrolled (similarity {similarity:.2f})"
    else:
        reason = f"is not {printable(person)}: {judgments[refused[0]].detail}"
    raise UsageError(
        f"group {group_number} {reason}: choose another name, or use --force if it is {printable(person)} anyway"
    )


def _add_sample(
    scan_file: ScanFile, engine: Engine, face_id: int, samples: dict[str, NewSample], refused: dict[str, str]
) -> None:
    """Read a face's photo again, and add the face to `samples`, or the reason why it cannot be used to `refused`."""
    photo, index = scan_file.locate_face(face_id)
    try:
        (analyzed,) = engine.analyzer.analyze([read_scanned_photo(photo.path)])
    except PhotoError as error:
        refused[photo.path] = str(error)
        return
    face = find_face(analyzed, photo, photo.faces[index])
    if face is None:
        refused[photo.path] = "the photo has changed: scan again"
        return
    crop = engine.analyzer.crop(analyzed.photo, face)
    samples[photo.path] = complete_sample(plain_sample(analyzed, face, thumbnail=True), face, crop, engine.analyzer)


def find_face(analyzed: AnalyzedPhoto, photo: Photo, face: Face) -> Face | None:
    """Return the scanned face in the photo that was read again; None if the photo has changed."""
    key = FaceKey.from_photo(photo, face)
    same = (other for other in analyzed.faces if is_same_place(FaceKey.from_analysis(analyzed, other), key))
    return next(same, None)
