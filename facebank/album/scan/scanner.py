"""Scans of folders: each photo is analyzed once, even if it is copied, moved or renamed.

Photos are processed in parallel, one per core. Each worker reads, decodes and analyzes a few files, and embeds their
faces in one batch. ONNX Runtime and the decoders release the GIL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from facebank.album.scan.rows import ShardRow
from facebank.album.scan.scan_file import UNSETTLED, ScannedFile
from facebank.album.scan.scan_plan import FileTask, is_in_shard, state_of
from facebank.errors import PhotoError, ScanBusyError, StorageError
from facebank.media import decode_photo, decoder_versions, read_photo_file
from facebank.media.buckets import ObjectState, read_object
from facebank.media.shards import Shard
from facebank.packs import usable_cores
from facebank.storage.bucket_urls import is_bucket_url
from facebank.storage.concurrency import hold_lock_file
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import AnalyzedPhoto, SkippedCounts

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.album.scan.rows import FileStamp
    from facebank.album.scan.scan_file import ScanFile
    from facebank.album.scan.scan_plan import ScanPlan
    from facebank.media import PhotoFile
    from facebank.operations.engine import Engine
    from facebank.storage.folders import NamedFolders
    from facebank.types import DecodedPhoto
    from facebank.vision import FaceAnalyzer

ScanBackend: TypeAlias = "Callable[[ScanFile, Sequence[FileTask]], Iterator[ScannedFile]]"
"""Scans files outside this process, as on a cluster, and reports its own progress; yields a copy after its photo."""

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_TASKS_PER_WORKER = 4  # submitted tasks, so that workers wait neither for the caller nor for a slow photo
_BATCH_SIZE = 16  # files whose results an interruption can lose
_CHANGED = "changed while it was read: scan again"


@dataclass(frozen=True, slots=True)
class ScanReport:
    """Numbers of the files that a scan found, and those that it could not read."""

    unchanged: int  # number of readable files that were known and have not changed
    analyzed: int  # number of photos that were analyzed
    # number of new or changed files with a known photo: moved, renamed, copied or with other metadata
    known_by_content: int
    gone: int  # number of known photos without a remaining file
    unreadable: dict[str, str]  # errors of unreadable files, by path
    skipped: SkippedCounts = field(default_factory=SkippedCounts)  # files of other kinds in the folders


def scan(
    engine: Engine,
    scan_file: ScanFile,
    plan: ScanPlan,
    *,
    workers: int | None = None,
    within: NamedFolders | None = None,
    backend: ScanBackend | None = None,
    progress: Progress = SILENT,
) -> ScanReport:
    """Analyze new and changed photos, and remove those that are gone; an interrupted scan can be continued.

    Raises `StorageError` (the scan file cannot be written) or `ServiceError` (a bucket can no longer be read).

    Parameters
    ----------
    engine
        The pack's engine, with one thread for each network. No network is loaded if there is nothing to analyze.
    scan_file, plan
        The file for the results, and its plan as `plan_scan` returns it.
    workers
        Number of photos processed in parallel; None for one per core.
    within
        Files outside of these folders are not read, even through links created since the plan; None to follow all.
    backend
        Scans the files instead of this process, and yields the results; None to scan them here.
    progress
        Receives each `ScannedFile` once its result is stored.
    """
    analyzed = known = 0
    scanned: Iterator[ScannedFile] = iter(())
    if backend is not None:
        if plan.todo:
            scanned = backend(scan_file, plan.todo)
        progress = SILENT
    progress.begin("Scanning", len(plan.todo))
    if plan.todo and backend is None:
        scanner = PhotoScanner(engine.analyzer, scan_file.known_photos(), workers, scan_file.known_pictures(), within)
        scanned = scanner.scan(plan.todo)
    while batch := list(islice(scanned, _BATCH_SIZE)):
        scan_file.keep(batch)
        for file in batch:
            analyzed += file.photo is not None
            known += file.photo is None and file.error is None
            progress.report(file)
            progress.advance()
    gone = scan_file.forget(plan.gone)
    shard = Shard(1, 1) if plan.shard is None else plan.shard
    scan_file.record_shards(ShardRow(place, shard, plan.begun_at) for place in plan.whole)
    unreadable = {
        path: reason
        for place in plan.places
        if place not in plan.emptied
        for path, reason in scan_file.unreadable(place).items()
        if is_in_shard(path, place, plan.shard, is_readable=False)
    }
    return ScanReport(plan.unchanged, analyzed, known, gone, unreadable, plan.skipped)


class PhotoScanner:
    """Reads and analyzes files in parallel, each photo once.

    Parameters
    ----------
    analyzer
        Detects and embeds faces, each network on one thread.
    known
        SHA-256 of photos that need not be analyzed, 32 bytes each.
    workers
        Number of files processed in parallel; None for one per core.
    pictures
        Hashes of pixels (`facebank.types.DecodedPhoto.picture_hash`) that need not be analyzed, 32 bytes each.
    within
        As for `scan`.
    """

    def __init__(
        self,
        analyzer: FaceAnalyzer,
        known: AbstractSet[bytes],
        workers: int | None = None,
        pictures: AbstractSet[bytes] = frozenset(),
        within: NamedFolders | None = None,
    ) -> None:
        self._analyzer = analyzer
        self._pictures = pictures
        self._within = within
        self._known = known
        self._settled = set[bytes]()  # photos that were analyzed and yielded
        self._claimed = set[bytes]()  # photos that a worker is analyzing, or has analyzed
        self._lock = Lock()
        self._workers = usable_cores() if workers is None else workers

    def scan(self, files: Iterable[FileTask]) -> Iterator[ScannedFile]:
        """Yield the result of each file, nearly in order; a copy always comes after its photo."""
        copies: dict[bytes, list[ScannedFile]] = {}
        retries: list[FileTask] = []
        failed = set[bytes]()
        for file in self._results(files):
            digest = b"" if file.content_hash is None else bytes.fromhex(file.content_hash)
            if file.photo is not None or file.edited is not None:
                self._settled.add(digest)
                yield file
                yield from copies.pop(digest, ())
            elif file.error is not None:
                yield file
                failed.add(digest)
                retries += [(copy.path, copy.state) for copy in copies.pop(digest, ())]
            elif digest in self._known or digest in self._settled:
                yield file
            elif digest in failed:  # read while another worker, which failed later, had claimed it
                retries.append((file.path, file.state))
            else:
                copies.setdefault(digest, []).append(file)
        if retries:
            yield from self.scan(retries)

    def _results(self, files: Iterable[FileTask]) -> Iterator[ScannedFile]:
        pending, size = iter(files), self._analyzer.embedder.batch_size
        tasks = iter(lambda: list(islice(pending, size)), [])
        for results in map_parallel(self._analyze, tasks, self._workers):
            yield from results

    def _analyze(self, files: Sequence[FileTask]) -> list[ScannedFile]:
        results: list[ScannedFile] = []
        indices = deque[int]()

        def photos() -> Iterator[DecodedPhoto]:
            for path, state in files:
                file, photo = self._open_file(path, state)
                results.append(file)
                if photo is not None:
                    indices.append(len(results) - 1)
                    yield photo

        for analyzed in self._analyzer.analyze(photos()):
            index = indices.popleft()
            results[index] = replace(results[index], photo=analyzed.without_pixels)
        return results

    def _open_file(self, path: str, state: FileStamp) -> tuple[ScannedFile, DecodedPhoto | None]:
        """Return the result of a file without faces, and the photo if it has to be analyzed."""
        content_hash = None
        try:
            file = _read(path, state, self._within)
            if state_of(path) != state:
                return ScannedFile(path, UNSETTLED, None, f"{printable(path)} {_CHANGED}", None), None
            content_hash = file.content_hash
            if not self._claim(bytes.fromhex(content_hash)):
                return ScannedFile(path, state, content_hash, None, None), None
            photo = decode_photo(file)
        except PhotoError as error:
            if content_hash is not None:
                with self._lock:
                    self._claimed.discard(bytes.fromhex(content_hash))
            readers = None if content_hash is None else decoder_versions()  # retry files that could not be opened
            return ScannedFile(path, state, content_hash, str(error), None, readers), None
        if bytes.fromhex(photo.picture_hash or "") in self._pictures:
            edited = AnalyzedPhoto(photo, ()).without_pixels
            return ScannedFile(path, state, content_hash, None, None, edited=edited), None
        return ScannedFile(path, state, content_hash, None, None), photo

    def _claim(self, digest: bytes) -> bool:
        """Claim a photo for analysis, given by its SHA-256; return False if it is known or claimed already."""
        with self._lock:
            if digest in self._known or digest in self._claimed:
                return False
            self._claimed.add(digest)
            return True


def _read(path: str, state: FileStamp, within: NamedFolders | None) -> PhotoFile:
    if is_bucket_url(path):
        return read_object(path, ObjectState(state.size, state.modified))
    return read_photo_file(path, within=within)


def map_parallel(function: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int) -> Iterator[_Result]:
    """Yield the results of a function of tasks in order, computed by threads.

    Tasks are taken in the caller's thread, as they are needed.

    Examples
    --------
    >>> list(map_parallel(abs, [-1, 2, -3], workers=2))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="scanner") as pool:
        futures: deque[Future[_Result]] = deque()
        try:
            for task in tasks:
                futures.append(pool.submit(function, task))
                if len(futures) >= workers * _TASKS_PER_WORKER:
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def lock_scan(path: Path, suffix: str = "lock") -> Iterator[None]:
    """Lock a scan file against scans of other processes; the lock of a killed process is released.

    `suffix` is that of the lock file; scans for photos and for videos have one each.

    Raises `ScanBusyError` (another process is scanning) or `StorageError` (the folder of the file is not writable).
    """
    label = printable(str(path))
    with ExitStack() as stack:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_locked = stack.enter_context(hold_lock_file(path.with_name(f"{path.name}.{suffix}")))
        except OSError as error:
            raise StorageError(
                f"The scan {label} cannot be created or changed: {error.strerror}; name a file where you may write "
                "with --scan-file."
            ) from error
        if not is_locked:
            raise ScanBusyError(
                f"another scan is writing to {label}: wait until it has finished, or name another file with --scan-file"
            )
        yield
