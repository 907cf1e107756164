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
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from facebank.album.scan.rows import FileState, ShardRow
from facebank.album.scan.scan_file import UNSETTLED, ScannedFile
from facebank.errors import PhotoError, PhotoNotFoundError, ScanBusyError, StorageError
from facebank.media import (
    FolderContents,
    Shard,
    decode_photo,
    decoder_versions,
    is_annotated,
    look_through,
    read_photo_file,
)
from facebank.operations.inputs import nothing_there, require_places
from facebank.packs import usable_cores
from facebank.storage.concurrency import hold_lock_file
from facebank.storage.paths import outermost
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import AnalyzedPhoto, SkippedCounts

if TYPE_CHECKING:
    from facebank.album.scan.rows import FileRow
    from facebank.album.scan.scan_file import ScanFile
    from facebank.operations.engine import Engine
    from facebank.storage.folders import NamedFolders
    from facebank.types import DecodedPhoto
    from facebank.vision import FaceAnalyzer

FileTask: TypeAlias = tuple[str, FileState]
"""A file's absolute path, and its state before it is read."""

ScanElsewhere: TypeAlias = "Callable[[ScanFile, Sequence[FileTask]], Iterator[ScannedFile]]"
"""Scans files somewhere else, such as on a cluster, and reports its own progress: a copy follows its photo."""

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
    shard: Shard | None = None  # which of the photos are looked at; None for all
    whole: tuple[str, ...] = ()  # those of the places that are folders and were gone through
    begun_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class KnownFiles(Protocol):
    """What a plan needs of earlier scans; a `ScanFile` has it."""

    def known_files(self, place: str) -> list[FileRow]:
        """Return the files known below a folder, or the single file, in the order of their paths."""
        ...

    def count_in(self, place: str) -> int:
        """Return how many files below a folder can be read."""
        ...


def plan_scan(
    scan_file: KnownFiles,
    places: Sequence[Path],
    within: NamedFolders | None = None,
    shard: Shard | None = None,
    *,
    needs_photos: bool = True,
) -> ScanPlan:
    """Compare files and folders with a scan file, by names, sizes and times only.

    Links that lead out of `within` are passed over, and photos of other shards neither looked at nor missed. Raises
    `PhotoNotFoundError`: none of the places is there, or none has a photo; without `needs_photos` a video is enough.
    """
    begun_at = datetime.now(UTC)
    roots = outermost(places)
    _require_some(scan_file, places, roots)
    todo: list[FileTask] = []
    unchanged, annotated, gone, emptied, is_something = 0, 0, list[str](), list[str](), False
    videos, skipped, whole = 0, Counter[str](), list[str]()
    for root in roots:
        known = {
            file.path: file
            for file in scan_file.known_files(root)
            if _is_ours(file.path, root, shard, is_readable=file.error is None)
        }
        contents = _contents_of(root, within)
        is_there = bool(contents.photos)
        is_something |= is_there or bool(known)
        if is_there and Path(root).is_dir() and Path(root) not in contents.closed and within is None:
            whole.append(root)
        if shard is not None:
            contents = shard.part_of(contents, [root])
        photos = list(map(str, contents.photos))
        videos += len(contents.videos)
        skipped.update(kind.code for _, kind in contents.skipped)
        for path in photos:
            state, file = state_of(path), known.pop(path, None)
            if file is None and path != root and is_annotated(Path(path), within):
                annotated += 1
            elif file is None or file.state != state or (file.error is not None and file.readers != decoder_versions()):
                todo.append((path, state))
            else:
                unchanged += file.error is None
        if known and not is_there:
            emptied.append(root)
        else:
            # an unreadable file that is no photo by its name, such as a text, was named itself once
            gone += [file.path for file in known.values() if file.error is not None or not may_be_there(file.path)]
    if not is_something and (needs_photos or not videos):
        raise nothing_there(places)
    counts = SkippedCounts(skipped, videos, annotated)
    return ScanPlan(
        *(tuple(roots), tuple(todo), unchanged, tuple(gone), tuple(emptied)), counts, shard, tuple(whole), begun_at
    )


def scan(
    engine: Engine,
    scan_file: ScanFile,
    plan: ScanPlan,
    *,
    workers: int | None = None,
    within: NamedFolders | None = None,
    elsewhere: ScanElsewhere | None = None,
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
    within
        Nothing outside of these folders is read, whatever became a link since it was planned; None to follow all.
    elsewhere
        Scans the files instead of this process, and reports them; None to scan them here.
    progress
        Receives each `ScannedFile` once its result is kept.
    """
    looked_at = known = 0
    scanned: Iterator[ScannedFile] = iter(())
    if elsewhere is not None:
        if plan.todo:
            scanned = elsewhere(scan_file, plan.todo)
        progress = SILENT
    progress.begin("Scanning", len(plan.todo))
    if plan.todo and elsewhere is None:
        scanner = PhotoScanner(engine.analyzer, scan_file.known_photos(), workers, scan_file.known_pictures(), within)
        scanned = scanner.scan(plan.todo)
    while batch := list(islice(scanned, _KEPT_AT_ONCE)):
        scan_file.keep(batch)
        for file in batch:
            looked_at += file.found is not None
            known += file.found is None and file.error is None
            progress.report(file)
            progress.advance()
    gone = scan_file.forget(plan.gone)
    shard = Shard(1, 1) if plan.shard is None else plan.shard
    scan_file.note_looked_through(ShardRow(place, shard, plan.begun_at) for place in plan.whole)
    there = [place for place in plan.places if place not in plan.emptied]
    unreadable = {
        path: why
        for place in there
        for path, why in scan_file.unreadable(place).items()
        if _is_ours(path, place, plan.shard, is_readable=False)
    }
    return ScanReport(plan.unchanged, looked_at, known, gone, unreadable, plan.skipped)


class PhotoScanner:
    """Reads and analyzes files in parallel, each photo once.

    Parameters
    ----------
    analyzer
        Finds and embeds faces, each network on one thread.
    known
        SHA-256 of photos that need not be analyzed, 32 bytes each.
    workers
        How many files are processed in parallel; None for one per core.
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
        self._settled = set[bytes]()  # photos that were analyzed
        self._claimed = set[bytes]()  # photos that a worker analyzes, or has
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
            elif digest in self._known or digest in self._settled:
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
            file = read_photo_file(path, within=self._within)
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
            if digest in self._known or digest in self._claimed:
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
def only_scan(path: Path, lock: str = "lock") -> Iterator[None]:
    """Keep other processes from scanning into the same file meanwhile; a killed process lets go of it.

    `lock` is the ending of the lock's file: scans for photos and for videos have one each.

    Raises `ScanBusyError` (another process is scanning) or `StorageError` (nothing can be written beside the file).
    """
    shown = printable(str(path))
    with ExitStack() as held:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_ours = held.enter_context(hold_lock_file(path.with_name(f"{path.name}.{lock}")))
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


def _require_some(scan_file: KnownFiles, places: Sequence[Path], roots: Sequence[str]) -> None:
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


def _is_ours(path: str, place: str, shard: Shard | None, *, is_readable: bool) -> bool:
    """Return whether a known file belongs to a shard; a folder that could not be opened belongs to each."""
    if shard is None or shard.holds(path, [place]):
        return True
    return not is_readable and not Path(path).is_file()


def _contents_of(root: str, within: NamedFolders | None) -> FolderContents:
    try:
        return look_through(root, within=within)
    except PhotoNotFoundError:  # another of the places is there
        return FolderContents()


def may_be_there(path: str) -> bool:
    """Return whether a file may only be out of sight, such as one in a folder that may not be opened just now."""
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
