"""Scanning folders: each photo is analyzed once, whatever becomes of its name.

Photos are processed in parallel, one per core: each worker reads, decodes and analyzes a few files and embeds their
faces together. ONNX Runtime and the decoders release the interpreter meanwhile.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from facebank.album.scan.rows import FileState
from facebank.album.scan.scan_file import UNSETTLED, ScannedFile
from facebank.errors import PhotoError, PhotoNotFoundError, ScanBusyError, StorageError
from facebank.media import (
    FolderContents,
    decode_photo,
    decoder_versions,
    is_annotated,
    look_through,
    read_photo_file,
)
from facebank.operations.inputs import nothing_there, require_places
from facebank.packs import usable_cores
from facebank.storage.concurrency import only_one
from facebank.storage.paths import absolute
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import AnalyzedPhoto, SkippedCounts

if TYPE_CHECKING:
    from facebank.album.scan.scan_file import ScanFile
    from facebank.operations.engine import Engine
    from facebank.types import DecodedPhoto
    from facebank.vision import FaceAnalyzer

FileTask: TypeAlias = tuple[str, FileState]
"""A file's absolute path, and its state before it is read."""

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_TASKS_PER_WORKER = 2  # begun or finished before their results are asked for
_KEPT_AT_ONCE = 16  # files that an interruption can lose
_CHANGED = "changed while it was read: scan again"


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan did."""

    unchanged: int  # how many readable files were known and are as they were
    looked_at: int  # how many photos were analyzed
    # how many new or changed files hold a known photo: moved, renamed, copied or with other metadata
    known_by_content: int
    gone: int  # how many known photos no file has any more
    unreadable: dict[str, str]  # paths of files that cannot be read, and why
    skipped: SkippedCounts = field(default_factory=SkippedCounts)  # how many files were passed over in the folders


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """What there is to scan."""

    places: tuple[str, ...]  # the folders and files, absolute
    # new and changed files, and those that could not be read by the decoders that were installed before
    todo: tuple[FileTask, ...]
    unchanged: int  # how many readable files are known and as they were
    gone: tuple[str, ...]  # known files that are missing, absolute
    # places that held photos and hold none at all: more likely a missing disk than removed photos
    emptied: tuple[str, ...]
    skipped: SkippedCounts = field(default_factory=SkippedCounts)  # how many files were passed over in the folders


def plan_scan(scan_file: ScanFile, places: Sequence[Path]) -> ScanPlan:
    """Compare files and folders with a scan file, by names, sizes and times only.

    Raises `PhotoNotFoundError`: none of the places is there.
    """
    roots = _roots(places)
    _require_some(scan_file, places, roots)
    todo: list[FileTask] = []
    unchanged, still_unreadable, annotated, gone, emptied = 0, 0, 0, list[str](), list[str]()
    videos, skipped = 0, Counter[str]()
    for root in roots:
        known, contents = {file.path: file for file in scan_file.known_files(root)}, _contents_of(root)
        photos = list(map(str, contents.photos))
        videos += len(contents.videos)
        skipped.update(kind.code for _, kind in contents.skipped)
        for path in photos:
            state, file = state_of(path), known.pop(path, None)
            if file is None and path != root and is_annotated(Path(path)):
                annotated += 1
            elif file is None or file.state != state or (file.error is not None and file.readers != decoder_versions()):
                todo.append((path, state))
            else:
                unchanged += file.error is None
                still_unreadable += file.error is not None
        if known and not photos:
            emptied.append(root)
        else:
            # an unreadable file that is no photo by its name, such as a text, was named itself once
            gone += [file.path for file in known.values() if file.error is not None or not _may_be_there(file.path)]
    if not (todo or unchanged or still_unreadable or gone or emptied or annotated):
        raise nothing_there(places)
    counts = SkippedCounts(skipped, videos, annotated)
    return ScanPlan(tuple(roots), tuple(todo), unchanged, tuple(gone), tuple(emptied), counts)


def scan(
    engine: Engine,
    scan_file: ScanFile,
    plan: ScanPlan,
    *,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> ScanReport:
    """Analyze what is new or changed, and forget what is gone; an interrupted scan can be continued.

    Raises `StorageError`: the scan file cannot be written.

    Parameters
    ----------
    engine
        The pack's, with one thread for each network. No network is loaded if there is nothing to analyze.
    scan_file, plan
        Where results are kept, and what `plan_scan` returned for it.
    workers
        How many photos are processed in parallel; None for one per core.
    progress
        Receives each `ScannedFile` once its result is kept.
    """
    looked_at = known = 0
    progress.begin("Scanning", len(plan.todo))
    scanned: Iterator[ScannedFile] = iter(())
    if plan.todo:
        scanner = PhotoScanner(engine.analyzer, scan_file.known_photos(), workers, scan_file.known_pictures())
        scanned = scanner.scan(plan.todo)
    while batch := list(islice(scanned, _KEPT_AT_ONCE)):
        scan_file.keep(batch)
        for file in batch:
            looked_at += file.found is not None
            known += file.found is None and file.error is None
            progress.report(file)
            progress.advance()
    gone = scan_file.forget(plan.gone)
    there = [place for place in plan.places if place not in plan.emptied]
    unreadable = {path: why for place in there for path, why in scan_file.unreadable(place).items()}
    return ScanReport(plan.unchanged, looked_at, known, gone, unreadable, plan.skipped)


class PhotoScanner:
    """Reads and analyzes files in parallel, each photo once.

    Parameters
    ----------
    analyzer
        Finds and embeds faces, each network on one thread.
    known
        SHA-256 of photos that need not be analyzed, 32 bytes each; those that were analyzed are added.
    workers
        How many files are processed in parallel; None for one per core.
    pictures
        Hashes of pixels (`facebank.types.DecodedPhoto.picture_hash`) that need not be analyzed, 32 bytes each.
    """

    def __init__(
        self,
        analyzer: FaceAnalyzer,
        known: set[bytes],
        workers: int | None = None,
        pictures: AbstractSet[bytes] = frozenset(),
    ) -> None:
        self._analyzer = analyzer
        self._pictures = pictures
        self._settled = known
        self._claimed = set(known)  # photos that a worker analyzes, or has
        self._lock = Lock()
        self._workers = usable_cores() if workers is None else workers

    def scan(self, files: Iterable[FileTask]) -> Iterator[ScannedFile]:
        """Yield the result of each file, nearly in order: a copy follows the photo that it is a copy of."""
        copies: dict[bytes, list[ScannedFile]] = {}
        again: list[FileTask] = []
        for file in self._results(files):
            digest = b"" if file.content_hash is None else bytes.fromhex(file.content_hash)
            if file.found is not None or file.edited is not None:
                self._settled.add(digest)
                yield file
                yield from copies.pop(digest, ())
            elif file.error is not None:
                yield file
                again += [(copy.path, copy.state) for copy in copies.pop(digest, ())]
            elif digest in self._settled:
                yield file
            else:
                copies.setdefault(digest, []).append(file)
        if again:
            yield from self.scan(again)

    def _results(self, files: Iterable[FileTask]) -> Iterator[ScannedFile]:
        coming, at_once = iter(files), self._analyzer.embedder.batch
        tasks = iter(lambda: list(islice(coming, at_once)), [])
        for results in map_parallel(self._analyzed, tasks, self._workers):
            yield from results

    def _analyzed(self, files: Sequence[FileTask]) -> list[ScannedFile]:
        done: list[ScannedFile] = []
        places = deque[int]()

        def photos() -> Iterator[DecodedPhoto]:
            for path, state in files:
                file, photo = self._opened(path, state)
                done.append(file)
                if photo is not None:
                    places.append(len(done) - 1)
                    yield photo

        for analyzed in self._analyzer.analyze(photos()):
            place = places.popleft()
            done[place] = replace(done[place], found=analyzed.found)
        return done

    def _opened(self, path: str, state: FileState) -> tuple[ScannedFile, DecodedPhoto | None]:
        """Return a file's result without faces, and the photo if it is to be analyzed."""
        content_hash = None
        try:
            file = read_photo_file(path)
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
            by = None if content_hash is None else decoder_versions()  # unopenable files are retried each time
            return ScannedFile(path, state, content_hash, str(error), None, by), None
        if bytes.fromhex(photo.picture_hash or "") in self._pictures:
            edited = AnalyzedPhoto(photo, ()).found
            return ScannedFile(path, state, content_hash, None, None, edited=edited), None
        return ScannedFile(path, state, content_hash, None, None), photo

    def _claim(self, digest: bytes) -> bool:
        """Return whether no worker analyzes a photo of these bytes, or has; it is claimed then."""
        with self._lock:
            if digest in self._claimed:
                return False
            self._claimed.add(digest)
            return True


def state_of(path: str) -> FileState:
    """Return size and time of a file; `UNSETTLED` if they cannot be read."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return UNSETTLED
    return FileState(status.st_size, status.st_mtime_ns)


def map_parallel(work: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int) -> Iterator[_Result]:
    """Yield the results of tasks in order, processed by threads; tasks are taken in the caller's thread, as needed."""
    with ThreadPoolExecutor(workers, thread_name_prefix="scanner") as pool:
        begun: deque[Future[_Result]] = deque()
        try:
            for task in tasks:
                begun.append(pool.submit(work, task))
                if len(begun) >= workers * _TASKS_PER_WORKER:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()


@contextmanager
def only_scan(path: Path) -> Iterator[None]:
    """Keep other processes from scanning into the same file meanwhile; a killed process lets go of it.

    Raises `ScanBusyError` (another process is scanning) or `StorageError` (nothing can be written beside the file).
    """
    shown = printable(str(path))
    with ExitStack() as held:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_ours = held.enter_context(only_one(path.with_name(path.name + ".lock")))
        except OSError as error:
            raise StorageError(
                f"The scan {shown} cannot be made or changed: {error.strerror}; name a file where you may write with "
                "--scan-file."
            ) from error
        if not is_ours:
            raise ScanBusyError(
                f"another scan is writing to {shown}: wait until it has finished, or name another file with --scan-file"
            )
        yield


def _require_some(scan_file: ScanFile, places: Sequence[Path], roots: Sequence[str]) -> None:
    """Raise `PhotoNotFoundError` if none of the places is there, and say so if there were photos once."""
    try:
        require_places(places)
    except PhotoNotFoundError as error:
        known = sum(scan_file.count_in(root) for root in roots)
        if not known:
            raise
        raise PhotoNotFoundError(
            f"{error}; the scan knows {known:,} photos of there, and keeps them in case a disk is missing: with "
            "--forget it forgets them"
        ) from error


def _roots(places: Iterable[Path]) -> list[str]:
    """Return the places as absolute paths, none inside another."""
    roots: list[str] = []
    for path in sorted(map(absolute, places)):
        if not roots or not Path(path).is_relative_to(roots[-1]):
            roots.append(path)
    return roots


def _contents_of(root: str) -> FolderContents:
    try:
        return look_through(root)
    except PhotoNotFoundError:  # another of the places is there
        return FolderContents()


def _may_be_there(path: str) -> bool:
    """Return whether a file may only be out of sight, such as one in a folder that may not be opened just now."""
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
