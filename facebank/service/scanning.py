"""Background scan of the album's folders: one scan at a time, which any number of clients may watch.

Photos come first, then videos, which take much longer. A new scan replaces one that is at the videos, and continues
with them after its photos.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from facebank.album.scan.scan_plan import ScanPlan
from facebank.album.scan.videos import ScannedVideo
from facebank.errors import FacebankError, PhotoNotFoundError, ScanBusyError, ScanNotFoundError
from facebank.service.problems import RequestError, code_of
from facebank.storage.pace import Pace
from facebank.storage.progress import Progress
from facebank.storage.text import printable
from facebank.video.scan import VideoScanPlan, scan_videos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from facebank import Album, FaceBank
    from facebank.album.scan.scanner import ScanReport
    from facebank.schemas.records import Record
    from facebank.service.client_text import ClientText
    from facebank.service.folders import AlbumFolders

_MAX_UNREADABLE = 100  # unreadable photos and videos reported with the reason
_STOP_SECONDS = 30.0  # for a scan to end on shutdown
_POLL_SECONDS = 0.25
_MAX_SILENCE = 10.0  # seconds after which the state is sent again, to detect lost clients
_MAX_WATCHERS = 64
_MIN_ESTIMATE_SECONDS = 5.0  # at the videos before the remaining time is estimated


class ScanStatus(StrEnum):
    """The status of a scan."""

    NONE = "none"
    RUNNING = "running"
    DONE = "done"
    CANCELED = "canceled"
    FAILED = "failed"


class ScanStep(StrEnum):
    """The step of a scan."""

    PHOTOS = "photos"
    VIDEOS = "videos"


@dataclass(frozen=True, slots=True)
class ScanState:
    """The progress of a scan, or the result of the last one."""

    number: int = 0  # of the scan, since the start of the service
    status: ScanStatus = ScanStatus.NONE
    folders: tuple[str, ...] = ()  # scanned folders
    done: int = 0  # scanned new and changed files
    total: int | None = None  # number of these files; None until the folders have been listed
    seconds_left: float | None = None  # None if unknown
    emptied: tuple[str, ...] = ()  # folders that had photos and have none, probably because of a missing disk
    report: ScanReport | None = None  # results of the photos; None until they are done
    step: ScanStep = ScanStep.PHOTOS
    videos_done: int = 0  # scanned new and changed videos
    videos_total: int | None = None  # number of these videos; None until the photos are done
    unreadable_videos: tuple[tuple[str, str], ...] = ()  # paths of unreadable videos, with the reason
    error: str | None = None  # reason for a failure; None without one
    code: str | None = None  # code of the error; None without one

    @property
    def is_running(self) -> bool:
        """Whether the scan is running."""
        return self.status is ScanStatus.RUNNING

    @property
    def is_at_photos(self) -> bool:
        """Whether the scan is running and still at the photos."""
        return self.is_running and self.step is ScanStep.PHOTOS

    def record(self) -> Record:
        """Return the state as a JSON object."""
        return {
            "scan": self.number,
            "status": self.status.value,
            "folders": list(self.folders),
            "done": self.done,
            "total": self.total,
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left, 1),
            "emptied": list(self.emptied),
            "report": None if self.report is None else _report_record(self.report),
            "step": self.step.value,
            "videos_done": self.videos_done,
            "videos_total": self.videos_total,
            "unreadable_videos": [{"video": path, "error": reason} for path, reason in self.unreadable_videos],
            "error": self.error,
            "code": self.code,
        }


class BackgroundScan:
    """Scans folders of an album in a background thread; thread-safe.

    Watchers poll `state`; nothing is queued for them.

    Parameters
    ----------
    bank
        The bank whose networks are used.
    album
        The album that stores the results.
    folders
        The folders that may be scanned.
    workers
        Number of photos, or frames of a video, processed in parallel.
    text
        Translates messages for clients.
    """

    def __init__(self, bank: FaceBank, album: Album, folders: AlbumFolders, workers: int, text: ClientText) -> None:
        self._bank = bank
        self._album = album
        self._folders = folders
        self._workers = workers
        self._text = text
        self._lock = threading.Lock()
        self._state = ScanState()
        self._is_canceled = threading.Event()
        self._thread: threading.Thread | None = None
        self._video_folders: dict[Path, None] = {}  # folders whose videos are not all scanned
        self._watchers = 0
        self._is_ended = False

    @property
    def state(self) -> ScanState:
        """The progress of the scan, or the result of the last one."""
        return self._state

    def start(self, names: Sequence[str] = ()) -> ScanState:
        """Start scanning folders of the album; all if none are given.

        Raises
        ------
        RequestError
            The service was started without an album (409), or a folder is outside of it (403).
        PhotoNotFoundError
            A folder is missing, or is empty and was not before, because its disk is missing.
        ScanBusyError
            A scan is running and at its photos.
        """
        if not self._folders.paths:
            raise RequestError(409, "NoAlbum", "there is no album: start the service with --album DIR")
        paths = [self._folders.folder(name) for name in names or map(str, self._folders.paths)]
        for folder in paths:
            self._require_photos(folder)
        self._interrupt_videos()
        with self._lock:
            if self._state.is_running or self._is_ended:
                raise ScanBusyError("a scan is running: wait until it has finished, or cancel it")
            self._is_canceled.clear()
            self._state = ScanState(self._state.number + 1, ScanStatus.RUNNING, tuple(map(str, paths)))
            self._thread = threading.Thread(target=self._scan, args=(paths,), name="album-scan", daemon=True)
            self._thread.start()
            return self._state

    def _interrupt_videos(self) -> None:
        """End a scan that is at the videos, so that a new one can scan photos first."""
        with self._lock:
            thread = self._thread
            if thread is None or not self._state.is_running or self._state.step is not ScanStep.VIDEOS:
                return
            self._is_canceled.set()
        thread.join(_STOP_SECONDS)

    def cancel(self) -> ScanState:
        """Request the end of the scan; its results so far are kept. No-op if none is running."""
        self._is_canceled.set()
        return self._state

    def end(self) -> None:
        """Cancel the scan permanently: no other can start, and watching ends."""
        with self._lock:
            self._is_ended = True
        self.cancel()

    def stop(self) -> None:
        """Cancel the scan permanently, and wait for its end."""
        self.end()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def watch(self) -> AsyncIterator[ScanState]:
        """Return an iterator over the states of a scan until its end, at most a few per second.

        Raises
        ------
        RequestError
            There are too many watchers (503).
        """
        if self._watchers >= _MAX_WATCHERS:
            raise RequestError(503, "Busy", "too many clients watch the scan: poll its state instead")
        return self._states()

    async def _states(self) -> AsyncIterator[ScanState]:
        self._watchers += 1
        try:
            sent, silent = None, 0.0
            while True:
                state = self.state
                if state is not sent or silent >= _MAX_SILENCE:
                    yield state
                    sent, silent = state, 0.0
                if not state.is_running or self._is_ended:
                    return
                await asyncio.sleep(_POLL_SECONDS)
                silent += _POLL_SECONDS
        finally:
            self._watchers -= 1

    def change(self, **values: object) -> None:
        """Change the state; called by the scan."""
        with self._lock:
            self._state = replace(self._state, **values)  # type: ignore[arg-type]  # of fields

    def check(self) -> None:
        """Raise `_CanceledError` if the scan was canceled; called by the scan."""
        if self._is_canceled.is_set():
            raise _CanceledError

    def _require_photos(self, folder: Path) -> None:
        """Raise for an empty folder that had photos, probably an unmounted disk."""
        with os.scandir(folder) as entries:
            if next(entries, None) is not None:
                return
        try:
            count = self._album.count([folder])
        except (PhotoNotFoundError, ScanNotFoundError):
            return
        raise PhotoNotFoundError(
            f"{printable(str(folder))} is empty but had {count:,} photos: is its disk plugged in? The results of "
            "the last scan are kept"
        )

    def _scan(self, folders: Sequence[Path]) -> None:
        self._video_folders.update(dict.fromkeys(folders))
        try:
            report = self._album.scan(
                folders,
                workers=self._workers,
                within=self._folders.named,
                needs_photos=False,
                progress=_PhotoProgress(self),
            )
            unreadable = {path: self._text.api_message(reason) for path, reason in report.unreadable.items()}
            self.change(step=ScanStep.VIDEOS, seconds_left=None, report=replace(report, unreadable=unreadable))
            self._scan_videos()
        except _CanceledError:
            self.change(status=ScanStatus.CANCELED, seconds_left=None)
        except FacebankError as error:
            self.change(
                status=ScanStatus.FAILED,
                seconds_left=None,
                error=self._text.api_message(str(error)),
                code=code_of(error),
            )
        except Exception:
            logging.getLogger("facebank").exception("a scan failed")
            self.change(status=ScanStatus.FAILED, seconds_left=None, error="the scan failed: see the log", code="Fault")
        else:
            self.change(status=ScanStatus.DONE, seconds_left=0.0)

    def _scan_videos(self) -> None:
        report = scan_videos(
            self._bank,
            self._album,
            list(self._video_folders),
            workers=self._workers,
            within=self._folders.named,
            progress=_VideoProgress(self),
        )
        self._video_folders.clear()
        unreadable = [(path, self._text.api_message(reason)) for path, reason in report.unreadable.items()]
        self.change(unreadable_videos=tuple(unreadable[:_MAX_UNREADABLE]))


class _CanceledError(Exception):
    """The scan was canceled."""


class _PhotoProgress(Progress):
    """Updates the state of a scan during its photos."""

    def __init__(self, scan: BackgroundScan) -> None:
        self._scan = scan
        self._pace = Pace(0)

    def begin(self, step: str, total: float | None) -> None:  # noqa: ARG002 - there is one step
        self._scan.check()
        self._pace = Pace(int(total or 0))
        self._scan.change(total=self._pace.total)

    def advance(self, amount: float = 1) -> None:  # noqa: ARG002 - always one file
        self._pace.step()
        self._scan.change(done=self._pace.done, seconds_left=self._pace.seconds_left())
        self._scan.check()

    def report(self, result: object) -> None:
        if isinstance(result, ScanPlan):
            self._scan.change(emptied=result.emptied)


class _VideoProgress(Progress):
    """Updates the state of a scan during its videos."""

    def __init__(self, scan: BackgroundScan) -> None:
        self._scan = scan
        self._total, self._done = 0.0, 0.0
        self._began = 0.0

    def begin(self, step: str, total: float | None) -> None:  # noqa: ARG002 - there is one step
        self._total, self._began = float(total or 0), time.monotonic()
        self._scan.check()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        elapsed = time.monotonic() - self._began
        if self._done and elapsed >= _MIN_ESTIMATE_SECONDS:
            seconds_left = elapsed / self._done * max(0.0, self._total - self._done)
            self._scan.change(seconds_left=seconds_left)
        self._scan.check()

    def report(self, result: object) -> None:
        if isinstance(result, VideoScanPlan):
            self._scan.change(videos_total=len(result.todo))
        elif isinstance(result, ScannedVideo):
            self._scan.change(videos_done=self._scan.state.videos_done + 1)


def _report_record(report: ScanReport) -> Record:
    unreadable = list(report.unreadable.items())
    return {
        "unchanged": report.unchanged,
        "looked_at": report.analyzed,
        "known_by_content": report.known_by_content,
        "gone": report.gone,
        "unreadable": len(unreadable),
        "unreadable_photos": [{"image": path, "error": reason} for path, reason in unreadable[:_MAX_UNREADABLE]],
        "videos": report.skipped.videos,
        "unsupported": sum(report.skipped.pictures.values()),
    }
