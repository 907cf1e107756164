"""Groups of unnamed faces of a scan, one person each; a group that is given a name is enrolled."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.clustering import FaceTable, cluster, clustering_thresholds
from facebank.errors import GroupNamedError, GroupNotFoundError, PersonNotFoundError, PhotoError, UsageError
from facebank.gallery import FaceKey, name_key, normalize_name
from facebank.gallery.same_face import is_same_place
from facebank.media import read_photo
from facebank.operations.enroll import complete_sample, plain_sample
from facebank.operations.guard import GuardedFace, PersonGuard
from facebank.storage.arrays import normalized
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import EnrollReason

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from facebank.album.scan.scan_file import ScanFile, StoredFaces
    from facebank.gallery import EnrolledSample, Gallery, NewSample
    from facebank.operations.engine import Engine
    from facebank.packs import Thresholds
    from facebank.types import AnalyzedPhoto, Face, FloatArray, Photo


@dataclass(frozen=True, slots=True)
class Group:
    """Unnamed faces of one person."""

    number: int  # from 1, the largest; stable until faces are grouped again
    faces: tuple[int, ...]  # numbers of the faces in the scan, the most typical first
    photos: int  # in how many photos they are
    # dates of the first and last photo, of those with a camera's date if there are any; None if unknown
    first_taken: datetime | None
    last_taken: datetime | None
    camera_dated: bool = False  # whether these are cameras' dates

    @property
    def key(self) -> str:
        """What tells this group from any other that has the number when faces are grouped again."""
        return group_key(self.faces)


@dataclass(frozen=True, slots=True)
class Grouped:
    """How the faces of a scan were grouped."""

    groups: tuple[Group, ...]  # largest first
    named: int  # how many faces were left out because the gallery knows them
    poor: int  # how many were left out because they are too poor to compare
    alone: int  # how many are in no group, or in one that is too small


def group_faces(
    scan_file: ScanFile,
    thresholds: Thresholds,
    known: Collection[int],
    *,
    least: int,
    progress: Progress = SILENT,
) -> Grouped:
    """Group the faces of a scan, and remember the groups in it.

    Parameters
    ----------
    scan_file, thresholds
        The scan, and its pack's thresholds.
    known
        Numbers of the faces whose person is known.
    least
        How many faces make a group.
    progress
        As of `facebank.album.groups.clustering.cluster`.
    """
    stored = scan_file.face_table()
    named = np.isin(stored.ids, np.fromiter(known, dtype=np.int64))
    poor = ~named & (stored.qualities < thresholds.minimum_quality)
    places = np.flatnonzero(~named & ~poor)
    table = _table(stored, places, scan_file.told_apart())
    labels = cluster(table, clustering_thresholds(thresholds), progress)
    sizes = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    large = np.flatnonzero(sizes >= least)
    numbers = {
        number: [int(stored.ids[place]) for place in _typical_first(stored, places[labels == label])]
        for number, label in enumerate(large.tolist(), 1)
    }
    scan_file.keep_groups(numbers)
    alone = len(places) - int(sizes[large].sum())
    return Grouped(tuple(groups_of(scan_file)), int(named.sum()), int(poor.sum()), alone)


def groups_of(scan_file: ScanFile) -> list[Group]:
    """Return the remembered groups, largest first."""
    groups = list[Group]()
    for number, faces in scan_file.groups().items():
        photos = scan_file.dates_of(faces)
        noted = [when for when, camera_dated in photos if camera_dated and when is not None]
        dates = noted or [when for when, _ in photos if when is not None]
        first, last = min(dates, default=None), max(dates, default=None)
        groups.append(Group(number, tuple(faces), len(photos), first, last, camera_dated=bool(noted)))
    return groups


def group_key(faces: Sequence[int]) -> str:
    """Return the `Group.key` of a group of faces, by their numbers in the scan."""
    return hashlib.sha256(",".join(map(str, sorted(faces))).encode()).hexdigest()[:16]


def faces_of(scan_file: ScanFile, group: int, key: str | None = None) -> list[int]:
    """Return the numbers of the faces of a group, the most typical first.

    Raises `GroupNotFoundError`: there is no such group, or it has another `Group.key` than the given one.
    """
    faces = scan_file.groups().get(group)
    if faces is None:
        raise GroupNotFoundError(f"there is no group {group}: 'facebank cluster' lists the groups")
    if key is not None and key != group_key(faces):
        raise GroupNotFoundError(f"group {group} is another one now, faces were grouped again: list the groups again")
    return faces


def _table(stored: StoredFaces, places: NDArray[np.int64], told_apart: list[tuple[int, int]]) -> FaceTable:
    where = {int(face): place for place, face in enumerate(stored.ids[places])}
    pairs = [(where[one], where[other]) for one, other in told_apart if one in where and other in where]
    return FaceTable(
        stored.embeddings[places],
        stored.photos[places],
        stored.qualities[places],
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
    )


def _typical_first(stored: StoredFaces, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort faces by similarity to the mean of all, weighted by quality."""
    weights = stored.qualities[members][:, None]
    mean = (stored.embeddings[members] * weights).sum(axis=0)
    typical = stored.embeddings[members] @ mean * stored.qualities[members]
    return np.asarray(members[np.argsort(-typical, kind="stable")])


MOST_FACES = 10_000
"""How many faces are grouped, evenly taken from all: a second or two of one core."""

LEAST_FACES = 2
"""How many faces a person of an album has: somebody who is seen once is a passer-by, or no face."""


def album_people(stored: StoredFaces, thresholds: Thresholds) -> FloatArray:
    """Group all good faces of a scan, named or not, and return the mean embedding of each person.

    Returns
    -------
    FloatArray
        L2-normalized, ``float32`` of shape ``(G, D)``, those with most faces first.
    """
    good = np.flatnonzero(stored.qualities >= thresholds.minimum_quality)
    if len(good) > MOST_FACES:
        good = good[np.linspace(0, len(good) - 1, MOST_FACES).astype(np.int64)]
    none = np.empty((0, 2), dtype=np.int64)
    embeddings = stored.embeddings[good]
    labels = cluster(
        FaceTable(embeddings, stored.photos[good], stored.qualities[good], none), clustering_thresholds(thresholds)
    )
    sizes = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    sums = np.zeros((len(sizes), embeddings.shape[1]))
    np.add.at(sums, labels, embeddings * stored.qualities[good, None])
    several = np.flatnonzero(sizes >= LEAST_FACES)
    several = several[np.argsort(-sizes[several], kind="stable")]
    return normalized(sums[several]).astype(np.float32)


MOST_SAMPLES = 10
_MOST_APART = 20  # faces of a group, the most typical, that others are told apart from
_MOST_JUDGED = 200  # faces of a group that are compared with the person's


@dataclass(frozen=True, slots=True)
class NamedGroup:
    """What became of a group that was given a name."""

    person: str
    enrolled: tuple[str, ...]  # paths of the photos whose face is a sample now
    refused: dict[str, str]  # paths of the other photos, and why
    samples: tuple[int, ...] = ()  # numbers of the new samples


def choose_varied(embeddings: FloatArray, qualities: FloatArray, most: int) -> list[int]:
    """Choose faces that show a person as well and as variously as possible.

    The first is the most typical good one; each further one is least similar to those chosen, weighted by quality.

    Parameters
    ----------
    embeddings
        L2-normalized, of one person: ``(N, D)``.
    qualities
        0..1: ``(N,)``.
    most
        How many to choose.

    Returns
    -------
    list[int]
        Indices, the first choice first.
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
    key: str | None = None,
    without: Collection[int] = (),
    progress: Progress = SILENT,
) -> NamedGroup:
    """Enroll the best and most varied faces of a group.

    Raises `GroupNotFoundError` (there is no such group), `UsageError` (it is unlike the person, or no face is left) or
    `InvalidNameError` (nobody can be called that).

    Parameters
    ----------
    scan_file, engine
        The scan, and its pack's engine, which embeds the faces again.
    group, person
        The group's number, and the name; an enrolled person of this name gets more samples.
    gallery
        Whose people the faces are compared with; None if there is no gallery yet.
    make_gallery
        Creates the gallery; called if there is none and a face is enrolled.
    force
        Whether faces are enrolled that are unlike the person's samples, or nearer to somebody else.
    key
        The group's `Group.key`: if faces were grouped again meanwhile, it is refused; None to go by the number.
    without
        Numbers of faces in the scan that are not the person's.
    progress
        Advanced with each photo that was read.
    """
    name = normalize_name(person)
    faces = [face for face in faces_of(scan_file, group, key) if face not in without]
    if not faces:
        raise UsageError(f"no face of group {group} is left")
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
    made = tuple(outcome.sample_id for outcome in outcomes if outcome.duplicate_of_person is None)
    return NamedGroup(name, tuple(samples), refused, made)


@dataclass(frozen=True, slots=True)
class PartedGroup:
    """A group from which faces were taken that are somebody else's."""

    before: tuple[int, ...]  # numbers of its faces in the scan, the most typical first
    kept: tuple[int, ...]
    taken: tuple[int, ...]  # they are a group of their own now
    told_apart: tuple[tuple[int, int], ...]  # pairs of which that was not known before


def part_group(scan_file: ScanFile, group: int, taken: Collection[int]) -> PartedGroup:
    """Take faces out of a group, into one of their own, and remember that they are not the same person's.

    Raises `GroupNotFoundError` (there is no such group) or `UsageError` (none of its faces is left).
    """
    groups = scan_file.groups()
    if group not in groups:
        raise GroupNotFoundError(f"there is no group {group}: 'facebank cluster' lists the groups")
    kept = tuple(face for face in groups[group] if face not in taken)
    others = tuple(face for face in groups[group] if face in taken)
    if not kept:
        raise UsageError(f"no face of group {group} is left")
    new = scan_file.tell_apart(product(kept[:_MOST_APART], others))
    if others:
        scan_file.keep_groups({**groups, group: kept, max(groups) + 1: others})
    return PartedGroup(tuple(groups[group]), kept, others, tuple(new))


def rejoin_group(scan_file: ScanFile, parted: PartedGroup) -> bool:
    """Undo `part_group`, as far as the faces were not grouped anew meanwhile; return whether anything changed."""
    is_changed = scan_file.withdraw_apart(parted.told_apart) > 0
    groups = scan_file.groups()
    group, other = (
        next((number for number, faces in groups.items() if set(faces) == set(part)), None)
        for part in (parted.kept, parted.taken)
    )
    if group is None or other is None:
        return is_changed
    rest = {number: faces for number, faces in groups.items() if number != other}
    scan_file.keep_groups({**rest, group: parted.before})
    return True


def require_unnamed(scan_file: ScanFile, gallery: Gallery, group: int) -> None:
    """Raise `GroupNamedError` if a face of a group is somebody's sample."""
    person = owner_of(scan_file, gallery, group)
    if person is not None:
        raise GroupNamedError(
            f"group {group} is {printable(person)} already: list the groups again, somebody may have named it meanwhile"
        )


def owner_of(
    scan_file: ScanFile, gallery: Gallery, group: int, besides: str | None = None, without: Collection[int] = ()
) -> str | None:
    """Return whose sample a face of a group is, other than of a person ``besides``; None if nobody's.

    The faces ``without``, by their numbers in the scan, do not count.
    """
    other = None if besides is None else name_key(besides)
    for face in scan_file.groups().get(group, ()):
        if face in without:
            continue
        photo, place = scan_file.place_of(face)
        for sample in gallery.samples_at(FaceKey.found(photo, photo.faces[place])):
            if name_key(sample.person) != other:
                return sample.person
    return None


def _guarded(scan_file: ScanFile, face: int, embedding: FloatArray) -> GuardedFace:
    photo, place = scan_file.place_of(face)
    return replace(GuardedFace.of(photo, place), embedding=embedding)


def _refused(
    gallery: Gallery | None, engine: Engine, group: int, person: str, faces: Sequence[GuardedFace]
) -> list[int]:
    """Return the indices of faces that enrollment would refuse; raises `UsageError` if those are most."""
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
    """Return the face of a photo that was read again which is the scanned one; None if the photo has changed."""
    wanted = FaceKey.found(photo, face)
    return next((found for found in analyzed.faces if is_same_place(FaceKey.of(analyzed, found), wanted)), None)


def parse_face(text: str, groups: Mapping[int, Sequence[int]]) -> int:
    """Return the scan's number of a face as the contact sheet names it: ``3.2``, or ``3`` for ``3.1``.

    Raises `UsageError`: there is no such face.
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
