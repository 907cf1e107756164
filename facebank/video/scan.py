"""Scan of folders for videos: each is analyzed once, and its faces are stored in the scan file.

For a face tracked through a shot, its best sightings are stored, enough to identify it again as people are enrolled,
and one thumbnail.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.scan.scan_file import UNSETTLED, ScanFile
from facebank.album.scan.scan_plan import may_exist, state_of
from facebank.album.scan.scanner import lock_scan
from facebank.album.scan.videos import ScannedTrack, ScannedVideo
from facebank.errors import PhotoNotFoundError, UnreadableVideoError, VideoError
from facebank.gallery import PlaceKind
from facebank.media import FolderContents, list_folder
from facebank.media.video import Video
from facebank.storage.files import read_reason
from facebank.storage.paths import named_paths, outermost
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.video.identify import FollowedVideo, VideoPlan, follow_faces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

    from facebank.album.album import Album
    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.scan.rows import FileStamp
    from facebank.album.scan.videos import ScanVideos
    from facebank.media import StrPath
    from facebank.operations.engine import Engine
    from facebank.storage.folders import NamedFolders
    from facebank.vision.tracking import Sighting, Track

RATE = 2.0
"""Number of analyzed frames per second (docs/video.md)."""

KEPT_FACES = 8
"""Number of stored sightings of a track."""

_BLOCK = 1 << 20
_CHANGED = "changed while it was read: scan again"


@dataclass(frozen=True, slots=True)
class VideoScanPlan:
    """The plan of a scan for videos."""

    todo: tuple[tuple[str, FileStamp], ...]  # new and changed files, and those unreadable with another decoder version
    unchanged: int  # number of known, unchanged readable videos
    gone: tuple[str, ...]  # known videos that are missing, absolute


@dataclass(frozen=True, slots=True)
class VideoScanReport:
    """The result of a scan for videos."""

    unchanged: int  # number of readable videos that were known and have not changed
    analyzed: int  # number of analyzed videos
    known_by_content: int  # number of new or changed files with a known video: moved, renamed or copied
    gone: int  # number of known videos that are missing
    unreadable: dict[str, str] = field(default_factory=dict)  # errors of unreadable files, by path


def scan_videos(
    bank: GalleryAccess,
    album: Album,
    places: StrPath | Iterable[StrPath],
    *,
    workers: int | None = None,
    within: NamedFolders | None = None,
    progress: Progress = SILENT,
) -> VideoScanReport:
    """Analyze new and changed videos in folders, remove missing ones from the scan file, and return a report.

    An interrupted scan continues with the video where it stopped.

    Parameters
    ----------
    bank, album
        The gallery with its engine, and the album with the scan file.
    places
        Files and folders.
    workers
        Number of frames processed in parallel; None for one per core.
    within
        Links that lead out of these folders are skipped, even ones created meanwhile; None to follow all.
    progress
        Receives the `VideoScanPlan`, advances by the bytes of analyzed files, also between frames, and receives each
        `ScannedVideo` after it is stored.

    Raises
    ------
    ScanBusyError
        Another process is scanning videos into the same file.
    StorageError
        The scan file cannot be written.
    """
    album.require_writable()
    engine = bank.engine
    with (
        lock_scan(album.path, "videos.lock"),
        ScanFile.open(album.path, engine.identity, create=True) as scan_file,
    ):
        plan = plan_video_scan(scan_file, named_paths(places), within)
        progress.report(plan)
        progress.begin("Looking through videos", sum(max(state.size, 0) for _, state in plan.todo))
        analyzed = known_by_content = 0
        frames = VideoPlan(rate=RATE, thumbnails=True, whole_frames=True, workers=workers)
        scanner = _VideoScanner(engine, scan_file.videos, frames, within, progress)
        for path, state in plan.todo:
            video = scanner.scan(path, state)
            analyzed += video is not None and video.error is None
            known_by_content += video is None
        gone = scan_file.videos.forget(plan.gone)
        album.note_written(PlaceKind.SCAN, album.path)
        unreadable = {
            path: reason
            for place in outermost(named_paths(places))
            for path, reason in scan_file.videos.unreadable(place).items()
        }
        return VideoScanReport(plan.unchanged, analyzed, known_by_content, gone, unreadable)


def plan_video_scan(scan_file: ScanFile, places: Iterable[Path], within: NamedFolders | None = None) -> VideoScanPlan:
    """Return the plan of a scan for videos, from the names, sizes and times of files only.

    Nothing is removed for a folder without photos and videos: its disk is more likely missing.
    """
    todo: list[tuple[str, FileStamp]] = []
    gone = list[str]()
    unchanged = 0
    for root in outermost(places):
        known, contents = scan_file.videos.known(root), _contents_of(root, within)
        for path in map(str, contents.videos):
            state, video = state_of(path), known.pop(path, None)
            if (
                video is None
                or video.state != state
                or (video.error is not None and video.readers != video_decoder_versions())
            ):
                todo.append((path, state))
            else:
                unchanged += video.error is None
        if contents.videos or contents.photos:
            gone += [path for path in known if not may_exist(path) or not _is_within(path, within)]
    return VideoScanPlan(tuple(todo), unchanged, tuple(gone))


@cache
def video_decoder_versions() -> str:
    """Return the versions of facebank and the decoder; with equal versions, videos are read identically."""
    import cv2

    from facebank import __version__

    return f"facebank={__version__} cv2={cv2.__version__}"


@dataclass(frozen=True, slots=True)
class _VideoScanner:
    """Analyzes videos one by one."""

    engine: Engine
    videos: ScanVideos
    plan: VideoPlan
    within: NamedFolders | None  # folders out of which no link is followed; None to follow all links
    progress: Progress

    def scan(self, path: str, state: FileStamp) -> ScannedVideo | None:
        """Analyze and store a video, and return it, or None if its content is known already."""
        advance = _ByteProgress(self.progress, state)
        content_hash = None
        try:
            with _open_video(path, self.within) as file:
                content_hash = _hash_of(path, file, advance)
                if state_of(path) != state:
                    raise UnreadableVideoError(f"{printable(path)} {_CHANGED}")
                if self.videos.keep_copy(path, state, content_hash):
                    advance.finish()
                    self.progress.report(ScannedVideo(path, state, content_hash, is_known=True))
                    return None
                self.engine.preload()
                with Video(path, opened=file) as video:
                    followed = follow_faces(self.engine, video, self.plan, advance)
        except VideoError as error:
            # files that cannot be opened are retried each time
            versions = None if content_hash is None else video_decoder_versions()
            scanned = ScannedVideo(path, state, content_hash, error=str(error), readers=versions)
        else:
            scanned = ScannedVideo(path, state, content_hash, followed.position, tuple(_tracks(followed)))
        if state_of(path) != state:
            scanned = ScannedVideo(path, UNSETTLED, None, error=f"{printable(path)} {_CHANGED}")
        self.videos.keep(scanned)
        advance.finish()
        self.progress.report(scanned)
        return scanned


@contextmanager
def _open_video(path: str, within: NamedFolders | None) -> Iterator[BufferedReader]:
    """Open a regular file, within some folders if there are any."""
    with ExitStack() as stack:
        try:
            if within is not None:
                file = stack.enter_context(within.open_file(path))
            elif Path(path).is_file():
                file = stack.enter_context(Path(path).open("rb"))
            else:
                raise UnreadableVideoError(f"{printable(path)} is not a file: name a folder with videos")
        except OSError as error:
            raise _read_error(path, error) from error
        yield file


def _hash_of(path: str, file: BufferedReader, progress: Progress) -> str:
    digest = hashlib.sha256()
    while block := _read_block(path, file):
        digest.update(block)
        progress.advance(0)  # a progress callback may cancel here
    return digest.hexdigest()


def _read_block(path: str, file: BufferedReader) -> bytes:
    try:
        return file.read(_BLOCK)
    except OSError as error:
        raise _read_error(path, error) from error


def _read_error(path: str, error: OSError) -> UnreadableVideoError:
    return UnreadableVideoError(f"{printable(path)} cannot be read: {read_reason(error)}")


def _tracks(followed: FollowedVideo) -> Iterator[ScannedTrack]:
    for track in followed.tracks:
        yield ScannedTrack(
            track.shot,
            track.begun,
            track.last.time,
            max(track.last.time, followed.end_times[track.number]),
            tuple(sighting.face for sighting in _best_sightings(track)),
            followed.pictures[track.number],
        )


def _best_sightings(track: Track) -> list[Sighting]:
    return sorted(track.sightings, key=lambda sighting: -sighting.face.quality)[:KEPT_FACES]


class _ByteProgress(Progress):
    """Converts progress in seconds of a video to bytes of its file."""

    def __init__(self, progress: Progress, state: FileStamp) -> None:
        self._progress = progress
        self._remaining = float(max(state.size, 0))
        self._bytes_per_second = 0.0

    def begin(self, step: str, total: float | None) -> None:  # noqa: ARG002 - a video has only one step
        self._bytes_per_second = self._remaining / total if total else 0.0

    def advance(self, amount: float = 1) -> None:
        bytes_read = min(self._remaining, max(amount, 0.0) * self._bytes_per_second)
        self._remaining -= bytes_read
        self._progress.advance(bytes_read)

    def finish(self) -> None:
        self._progress.advance(self._remaining)
        self._remaining = 0.0


def _contents_of(root: str, within: NamedFolders | None) -> FolderContents:
    """Return the contents of a folder; empty for a file, because `list_folder` would list it as a photo."""
    try:
        return list_folder(root, within=within) if Path(root).is_dir() else FolderContents()
    except PhotoNotFoundError:  # no error, because another of the places exists
        return FolderContents()


def _is_within(path: str, within: NamedFolders | None) -> bool:
    return within is None or within.contains(path)
