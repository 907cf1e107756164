"""Identities of the people in an album's videos, kept in memory until people, settings or videos change."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING

from facebank.album.scan_version import CachedScanVersion
from facebank.errors import ScanNotFoundError
from facebank.operations.identify import decision_basis, identify_tracks
from facebank.storage.paths import absolute
from facebank.vision.tracking import group_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from facebank.album.album import Album
    from facebank.album.finding import Period
    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.scan.rows import FileStamp
    from facebank.album.scan.videos import ScannedVideo, VideoRow
    from facebank.recognition.settings import DecisionSettings
    from facebank.types import Identity

_MAX_GAP = 2.0  # seconds within a visit without the person, such as a cut to another camera


@dataclass(frozen=True, slots=True)
class Visit:
    """A time span in which a person is visible in a video."""

    person_id: int
    start: float  # seconds from the beginning of the video
    end: float  # seconds from the beginning of the video
    track_number: int  # number in the scan of the track with the best face
    quality: float  # of that face, 0..1
    probability: float | None  # the highest of the decisions, 0..1; None without a calibration


@dataclass(frozen=True, slots=True)
class SeenVideo:
    """A video with the people identified in it."""

    path: str  # absolute
    content_hash: str  # SHA-256 of the bytes, in hex
    state: FileStamp
    seconds: float  # duration
    visits: tuple[Visit, ...]  # by start time

    @property
    def person_ids(self) -> set[int]:
        """The ids of the people identified in it."""
        return {visit.person_id for visit in self.visits}

    @property
    def modified_at(self) -> datetime:
        """The modification time of the file, in UTC."""
        try:
            return datetime.fromtimestamp(self.state.modified / 1e9, UTC)
        except (OverflowError, ValueError, OSError):  # before the year 1, or after 9999
            return datetime.max.replace(tzinfo=UTC)

    def visits_of(self, person_id: int) -> list[Visit]:
        """Return the visits of a person, by start time."""
        return [visit for visit in self.visits if visit.person_id == person_id]

    def best_of(self, person_id: int) -> Visit:
        """Return a person's visit with the best face; raises `ValueError` if the person has none."""
        return max(self.visits_of(person_id), key=lambda visit: visit.quality)


class VideoOverview:
    """The decisions about all videos of an album; several threads may use it. See `facebank.album.overview`.

    Parameters
    ----------
    bank
        The gallery and its engine, such as a `facebank.FaceBank`.
    album
        The scanned videos; the scan need not exist yet.
    folders
        The folders of the videos; empty for no videos.
    """

    def __init__(self, bank: GalleryAccess, album: Album, folders: Sequence[Path]) -> None:
        self._bank = bank
        self._album = album
        self._folders = [absolute(folder) for folder in folders]
        self._videos: dict[str, SeenVideo] = {}
        # state of people and settings, and version of the videos, at the last refresh
        self._current_state: tuple[object, str | None] | None = None
        self._scan = CachedScanVersion(album, lambda scan_file: scan_file.videos.version())
        self._refreshing = Lock()

    @property
    def is_current(self) -> bool:
        """Whether the decisions reflect the present people, settings and videos."""
        return self._current_state is not None and self._current_state == self._state()

    def __len__(self) -> int:
        return len(self._videos)

    def video(self, content_hash: str) -> SeenVideo | None:
        """Return a video by the SHA-256 of its bytes, in hex; None if the album has none."""
        return self._videos.get(content_hash)

    def videos_of(self, person_id: int, other_id: int | None = None) -> list[SeenVideo]:
        """Return the videos of a person, or of two people together, oldest first."""
        wanted = {person_id} if other_id is None else {person_id, other_id}
        videos = [video for video in list(self._videos.values()) if wanted <= video.person_ids]
        return sorted(videos, key=lambda video: (video.state.modified, video.path))

    def has_track(self, track_number: int, person_ids: Collection[int]) -> bool:
        """Return whether a track has the best face of a visit of one of the people."""
        return any(
            visit.track_number == track_number and visit.person_id in person_ids
            for video in list(self._videos.values())
            for visit in video.visits
        )

    def refresh(self, should_continue: Callable[[], bool] = lambda: True) -> bool:
        """Identify all videos if people or settings changed, else new videos; return False if stopped.

        The pictures of people who were forgotten since are wiped from the scan file.

        Parameters
        ----------
        should_continue
            Called after each video; False stops the refresh.
        """
        with self._refreshing:
            basis, version = self._state()
            if (basis, version) == self._current_state:
                return True
            ids_by_name = {name: person_id for person_id, name in self._bank.gallery.names().items()}
            self._wipe_pictures(set(ids_by_name.values()))
            seen = set[str]()
            is_same_basis = self._current_state is not None and self._current_state[0] == basis

            def is_wanted(row: VideoRow) -> bool:
                content_hash = row.content_hash or ""
                known = self._videos.get(content_hash)
                if content_hash in seen:
                    return False
                seen.add(content_hash)
                return not is_same_basis or known is None or (known.path, known.state) != (row.path, row.state)

            for video, identities in identify_videos(self._bank, self._album, self._folders, is_wanted=is_wanted):
                self._videos[video.content_hash or ""] = _seen_video(video, identities, ids_by_name)
                if not should_continue():
                    return False
            for content_hash in self._videos.keys() - seen:
                self._videos.pop(content_hash, None)
            self._current_state = basis, version
            return True

    def _wipe_pictures(self, person_ids: Collection[int]) -> None:
        visits = (visit for video in self._videos.values() for visit in video.visits)
        gone = {visit.track_number for visit in visits if visit.person_id not in person_ids}
        if gone:
            self._album.scan_file.videos.wipe_pictures(gone)

    def _state(self) -> tuple[object, str | None]:
        basis = decision_basis(self._bank.gallery, self._bank.engine, self._bank.settings)
        return basis, self._scan.version()


def identify_videos(
    bank: GalleryAccess,
    album: Album,
    folders: Sequence[str] | None,
    settings: DecisionSettings | None = None,
    is_wanted: Callable[[VideoRow], bool] = lambda _: True,
) -> Iterator[tuple[ScannedVideo, list[Identity]]]:
    """Yield the scanned videos in the order of their paths, with the identity of each track.

    Nobody is named in two tracks that are visible at the same time. Empty without a scan.

    Parameters
    ----------
    bank, album
        As for `VideoOverview`.
    folders
        Absolute paths of the folders of the videos; empty for no videos, None for all.
    settings
        The decision settings; None for the gallery's own.
    is_wanted
        Filters the videos before their tracks are read.
    """
    try:
        for video in album.scan_file.videos.each(folders or (), is_wanted) if folders != [] else ():
            together = group_spans([(track.shot, track.begun, track.seen) for track in video.tracks])
            yield (
                video,
                identify_tracks(
                    [track.faces for track in video.tracks], lambda: bank.identification(settings), together
                ),
            )
    except ScanNotFoundError:
        return


def find_people_in_videos(
    bank: GalleryAccess,
    album: Album,
    person_ids: Collection[int],
    period: Period,
    settings: DecisionSettings | None = None,
    *,
    any_of: bool = False,
) -> list[SeenVideo]:
    """Return the scanned videos that show all people, or any of them, oldest first; copies are left out.

    Parameters
    ----------
    bank, album, settings
        As for `identify_videos`.
    person_ids
        The ids of the people.
    period
        The time in which the files were modified.
    any_of
        Whether one of the people is enough.
    """
    ids_by_name = {name: person_id for person_id, name in bank.gallery.names().items()}
    wanted = frozenset(person_ids)
    matching: dict[str, SeenVideo] = {}
    for scanned, identities in identify_videos(bank, album, None, settings):
        video = _seen_video(scanned, identities, ids_by_name)
        matches = video.person_ids & wanted
        if (matches if any_of else matches == wanted) and period.holds(video.modified_at):
            matching.setdefault(video.content_hash, video)
    return sorted(matching.values(), key=lambda video: (video.modified_at, video.path))


def collect_visits(
    video: ScannedVideo, identities: Sequence[Identity], ids_by_name: Mapping[str, int]
) -> tuple[Visit, ...]:
    """Return the visits of identified people in a video; gaps of up to two seconds do not end a visit.

    Parameters
    ----------
    video, identities
        As `identify_videos` yields them.
    ids_by_name
        The people's ids, by name; other people are left out.
    """
    by_person: dict[int, list[Visit]] = defaultdict(list)
    for track, identity in sorted(zip(video.tracks, identities, strict=True), key=lambda entry: entry[0].begun):
        person_id = None if identity.person is None else ids_by_name.get(identity.person)
        if person_id is None:
            continue
        visit = Visit(person_id, track.begun, track.ended, track.number, track.faces[0].quality, identity.probability)
        if by_person[person_id] and visit.start - by_person[person_id][-1].end <= _MAX_GAP:
            visit = _join_visits(by_person[person_id].pop(), visit)
        by_person[person_id].append(visit)
    return tuple(sorted(chain.from_iterable(by_person.values()), key=lambda visit: (visit.start, visit.person_id)))


def _join_visits(first: Visit, second: Visit) -> Visit:
    best = max(first, second, key=lambda visit: visit.quality)
    probabilities = [visit.probability for visit in (first, second) if visit.probability is not None]
    end = max(first.end, second.end)
    return Visit(first.person_id, first.start, end, best.track_number, best.quality, max(probabilities, default=None))


def _seen_video(video: ScannedVideo, identities: Sequence[Identity], ids_by_name: Mapping[str, int]) -> SeenVideo:
    return SeenVideo(
        video.path, video.content_hash or "", video.state, video.seconds, collect_visits(video, identities, ids_by_name)
    )
