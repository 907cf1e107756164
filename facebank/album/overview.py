"""Identities of all faces in an album, kept in memory until people, settings or photos change."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from facebank.album.confirmed import identify_in_album
from facebank.album.finding import sortable_time
from facebank.album.scan_version import CachedScanVersion
from facebank.errors import ScanNotFoundError
from facebank.operations.identify import decision_basis
from facebank.storage.dates import is_plausible
from facebank.storage.paths import absolute
from facebank.types import Decision, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from facebank.album.album import Album
    from facebank.album.finding import Period
    from facebank.album.gallery_access import GalleryAccess
    from facebank.types import Photo

_STALE_AFTER = 2.0  # seconds after which lists are rebuilt during a refresh
_CHECK_INTERVAL = 64  # photos between two calls of `should_continue`


@dataclass(frozen=True, slots=True)
class SeenFace:
    """The decision about a face, without box and embedding."""

    face_number: int  # from 1, the largest
    decision: Decision
    reason: Reason
    person_id: int | None  # None unless known
    likeliest_id: int | None  # id of the most similar person; None if nobody is enrolled
    probability: float | None  # that the face is the most similar person's, 0..1; None without a calibration
    quality: float  # 0..1


@dataclass(frozen=True, slots=True)
class SeenPhoto:
    """A photo with the decisions about its faces; other fields are as in `facebank.types.Photo`."""

    path: str
    content_hash: str
    taken_at: datetime | None  # None if unknown
    camera_dated: bool
    faces: tuple[SeenFace, ...]
    face_ids: tuple[int, ...]  # the faces' numbers in the scan, in their order

    @property
    def person_ids(self) -> set[int]:
        """The ids of the people identified in it."""
        return {face.person_id for face in self.faces if face.person_id is not None}

    @property
    def plausible_time(self) -> datetime | None:
        """Time it was taken, with a time zone; None if unknown or implausible."""
        taken_at = self.taken_at
        if taken_at is None or not (self.camera_dated or is_plausible(taken_at)):
            return None
        return taken_at if taken_at.tzinfo else taken_at.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Lists:
    """Sorted lists of the photos and faces."""

    made_at: float  # seconds of the monotonic clock
    version: int  # of the photos
    photos: Mapping[int, Sequence[SeenPhoto]]  # by id of an identified person, oldest first
    uncertain: Sequence[tuple[SeenPhoto, SeenFace]]  # uncertain faces, likeliest first
    # the same faces by id of the most similar person
    uncertain_by_person: Mapping[int, Sequence[tuple[SeenPhoto, SeenFace]]]
    has_unnamed: bool  # whether any face could still be named


class AlbumOverview:
    """The decisions about all photos of an album; several threads may use it.

    `refresh` identifies the photos. It takes a while and may run in the background, while earlier decisions remain
    available. People are identified by their ids, so that renaming them needs no refresh.

    Parameters
    ----------
    bank
        The gallery and its engine, such as a `facebank.FaceBank`.
    album
        The scanned photos; the scan need not exist yet.
    places
        The folders of the photos; empty for no photos.
    """

    def __init__(self, bank: GalleryAccess, album: Album, places: Sequence[Path]) -> None:
        self._bank = bank
        self._album = album
        self._places = [absolute(place) for place in places]
        self._photos: dict[str, SeenPhoto] = {}
        self._current_state: object = None  # the state of people, settings and photos at the last refresh
        self._scan = CachedScanVersion(album, lambda scan_file: scan_file.version())
        self._version = 0  # increases with every change of the photos
        self._lists: _Lists | None = None
        self._lock, self._refreshing = Lock(), Lock()
        self.total = 0  # estimated number of photos of the current refresh
        self.done = 0  # photos that the current refresh has identified

    @property
    def is_current(self) -> bool:
        """Whether the decisions reflect the present people, settings and photos."""
        return self._current_state is not None and self._current_state == self._state()

    @property
    def is_refreshing(self) -> bool:
        """Whether a refresh is running."""
        return self._refreshing.locked()

    def __len__(self) -> int:
        return len(self._photos)

    def photo(self, content_hash: str) -> SeenPhoto | None:
        """Return a photo by the SHA-256 of its bytes, in hex; None if the album has none."""
        return self._photos.get(content_hash)

    def counts(self) -> dict[int, int]:
        """Return the number of photos with each identified person, by the person's id."""
        return {person_id: len(photos) for person_id, photos in self._current_lists().photos.items()}

    def photos_of(self, person_id: int, other_id: int | None = None) -> Sequence[SeenPhoto]:
        """Return the photos of a person, or of two people together, oldest first; photos of unknown time come last."""
        photos = self._current_lists().photos.get(person_id, ())
        return photos if other_id is None else [photo for photo in photos if other_id in photo.person_ids]

    def find(self, person_ids: Collection[int], period: Period, *, any_of: bool = False) -> list[SeenPhoto]:
        """Return the photos that show all people, or any of them, in the order of `facebank.album.finding.photos_of`.

        Parameters
        ----------
        person_ids
            The ids of the people.
        period
            The time in which the photos were taken.
        any_of
            Whether one of the people is enough.
        """
        lists, wanted = self._current_lists(), frozenset(person_ids)
        searched = wanted if any_of else list(wanted)[:1]
        candidates = {photo.content_hash: photo for person_id in searched for photo in lists.photos.get(person_id, ())}
        return sorted(
            (
                photo
                for photo in candidates.values()
                if (any_of or wanted <= photo.person_ids) and period.holds(photo.taken_at)
            ),
            key=lambda photo: (sortable_time(photo.taken_at), photo.path),
        )

    def uncertain_faces(self, person_id: int | None = None) -> Sequence[tuple[SeenPhoto, SeenFace]]:
        """Return the uncertain faces of good quality that may be a person's, or anybody's, the likeliest first."""
        lists = self._current_lists()
        return lists.uncertain if person_id is None else lists.uncertain_by_person.get(person_id, ())

    def has_unnamed(self) -> bool:
        """Return whether any photo has an unnamed face of good quality that is not a remembered stranger's."""
        return self._current_lists().has_unnamed

    def known_faces(self) -> set[int] | None:
        """Return the numbers in the scan of all faces whose person is known; None if the overview lacks photos."""
        if self._album.scan_file.count().photos != len(self._photos):
            return None
        return {
            face_id
            for photo in list(self._photos.values())
            for face_id, face in zip(photo.face_ids, photo.faces, strict=True)
            if face.person_id is not None
        }

    def scan_version(self) -> str | None:
        """Return `ScanFile.version` of the scan, computed only after a change; None without a scan."""
        return self._scan.version()

    def refresh(self, should_continue: Callable[[], bool] = lambda: True) -> bool:
        """Identify all photos if anything changed since the last refresh; return False if stopped.

        Parameters
        ----------
        should_continue
            Called from time to time; False stops the refresh.
        """
        with self._refreshing:
            state = self._state()
            if state == self._current_state:
                return True
            seen = set[str]()
            self.done, self.total = 0, self._count()
            ids_by_name = self._ids_by_name()
            for number, (face_ids, photo) in enumerate(self._identify(self._places), 1):
                seen.add(photo.content_hash)
                self._photos[photo.content_hash] = _seen_photo(photo, face_ids, ids_by_name)
                if number % _CHECK_INTERVAL == 0:
                    self.done, self._version = number, self._version + 1
                    ids_by_name = self._ids_by_name()
                    if not should_continue():
                        return False
            for content_hash in self._photos.keys() - seen:
                self._photos.pop(content_hash, None)
            self._version += 1
            self.done, self.total = len(seen), len(seen)
            self._current_state = state
            return True

    def identify_again(self, content_hashes: Iterable[str]) -> None:
        """Identify some photos again, given their SHA-256 in hex, after an answer about them."""
        ids_by_name = self._ids_by_name()
        for content_hash in content_hashes:
            known = self._photos.get(content_hash)
            if known is None:
                continue
            for face_ids, photo in self._identify([known.path]):
                if photo.content_hash == content_hash:
                    self._photos[content_hash] = _seen_photo(photo, face_ids, ids_by_name)
        with self._lock:
            self._version, self._lists = self._version + 1, None

    def _identify(self, places: Sequence[str]) -> Iterator[tuple[list[int], Photo]]:
        gallery = self._bank.gallery
        try:
            for face_ids, photo in self._album.scan_file.each_photo(places) if places else ():
                yield face_ids, identify_in_album(photo, gallery, self._bank.identification)
        except ScanNotFoundError:
            return

    def _count(self) -> int:
        try:
            return sum(self._album.scan_file.count_in(place) for place in self._places)
        except ScanNotFoundError:
            return 0

    def _ids_by_name(self) -> dict[str, int]:
        return {name: person_id for person_id, name in self._bank.gallery.names().items()}

    def _state(self) -> tuple[object, ...]:
        gallery = self._bank.gallery
        basis = decision_basis(gallery, self._bank.engine, self._bank.settings)
        return basis, gallery.denials_revision, self.scan_version()

    def _current_lists(self) -> _Lists:
        with self._lock:
            lists = self._lists
            if lists is not None and (
                lists.version == self._version
                or (self.is_refreshing and time.monotonic() - lists.made_at < _STALE_AFTER)
            ):
                return lists
            self._lists = _lists_of(list(self._photos.values()), self._version)
            return self._lists


def _seen_photo(photo: Photo, face_ids: Sequence[int], ids_by_name: Mapping[str, int]) -> SeenPhoto:
    faces = tuple(
        SeenFace(
            face.face_number,
            face.identity.decision,
            face.identity.reason,
            None if face.person is None else ids_by_name.get(face.person),
            ids_by_name.get(face.candidates[0].person) if face.candidates else None,
            face.probability,
            face.quality,
        )
        for face in photo.faces
        if face.identity is not None
    )
    return SeenPhoto(photo.path, photo.content_hash, photo.taken_at, photo.camera_dated, faces, tuple(face_ids))


def _lists_of(photos: Sequence[SeenPhoto], version: int) -> _Lists:
    by_person: dict[int, list[SeenPhoto]] = defaultdict(list)
    uncertain_by_person: dict[int, list[tuple[SeenPhoto, SeenFace]]] = defaultdict(list)
    uncertain: list[tuple[SeenPhoto, SeenFace]] = []
    for photo in sorted(photos, key=_order):
        for person_id in photo.person_ids:
            by_person[person_id].append(photo)
        uncertain += [(photo, face) for face in photo.faces if _is_nameable(face)]
    uncertain.sort(key=lambda entry: -(entry[1].probability or 0.0))
    for entry in uncertain:
        if entry[1].likeliest_id is not None:
            uncertain_by_person[entry[1].likeliest_id].append(entry)
    has_unnamed = bool(uncertain) or any(map(_has_unknown, photos))
    return _Lists(time.monotonic(), version, by_person, uncertain, uncertain_by_person, has_unnamed)


def _has_unknown(photo: SeenPhoto) -> bool:
    return any(
        face.decision is Decision.UNKNOWN and face.reason is not Reason.REMEMBERED_STRANGER for face in photo.faces
    )


def _is_nameable(face: SeenFace) -> bool:
    return face.decision is Decision.UNCERTAIN and face.reason is not Reason.FACE_TOO_POOR


def _order(photo: SeenPhoto) -> tuple[bool, datetime, str]:
    taken_at = photo.plausible_time
    return taken_at is None, sortable_time(taken_at), photo.path
