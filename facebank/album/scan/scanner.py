"""Scans of folders: each photo is analyzed once, even if it is copied, moved or renamed.

Photos are processed in parallel, one per core. Each worker reads, decodes and analyzes a few files, and embeds their
faces in one batch. ONNX Runtime and the decoders release the GIL.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from facebank.album.scan.rows import FileStamp, ShardRow
from facebank.album.scan.scan_file import UNSETTLED, ScannedFile
from facebank.errors import PhotoError, PhotoNotFoundError, ScanBusyError, StorageError
from facebank.media import (
    FolderContents,
    ObjectState,
    Shard,
    decode_photo,
    decoder_versions,
    is_annotated,
    list_bucket,
    list_folder,
    object_state,
    read_object,
    read_photo_file,
)
from facebank.operations.inputs import GatheredPhotos, check_any_exists, no_photos_error
from facebank.packs import usable_cores
from facebank.storage.bucket_urls import is_bucket_url
from facebank.storage.concurrency import hold_lock_file
from facebank.storage.paths import outermost
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import AnalyzedPhoto, SkippedCounts

if TYPE_CHECKING:
    from typing import Self

    from facebank.album.scan.rows import FileRow
    from facebank.album.scan.scan_file import ScanFile
    from facebank.media import PhotoFile, SkippedKind
    from facebank.operations.engine import Engine
    from facebank.storage.folders import NamedFolders
    from facebank.types import DecodedPhoto
    from facebank.vision import FaceAnalyzer

FileTask: TypeAlias = tuple[str, FileStamp]
"""A file's absolute path or an object's address, and its state before it is read."""

ScanElsewhere: TypeAlias = "Callable[[ScanFile, Sequence[FileTask]], Iterator[ScannedFile]]"
"""Scans files elsewhere, such as on a cluster, and reports its own progress; yields a copy after its photo."""

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_TASKS_PER_WORKER = 4  # submitted tasks, so that workers wait neither for the caller nor for a slow photo
_BATCH_SIZE = 16  # files whose results an interruption can lose
_CHANGED = "changed while it was read: scan again"


@dataclass(frozen=True, slots=True)
class ScanReport:
    """The result of a scan."""

    unchanged: int  # number of readable files that were known and have not changed
    looked_at: int  # number of photos that were analyzed
    # number of new or changed files with a known photo: moved, renamed, copied or with other metadata
    known_by_content: int
    gone: int  # number of known photos without a remaining file
    unreadable: dict[str, str]  # errors of unreadable files, by path
    skipped: SkippedCounts = field(default_factory=SkippedCounts)  # files of other kinds in the folders


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """The files that a scan has to analyze or forget."""

    places: tuple[str, ...]  # the folders and files, absolute, and the addresses of buckets
    todo: tuple[FileTask, ...]  # new and changed files, and those that only other decoder versions failed to read
    unchanged: int  # number of readable files that are known and have not changed
    gone: tuple[str, ...]  # absolute paths of known files that are missing
    emptied: tuple[str, ...]  # places whose photos are all missing, more likely because of a missing disk
    skipped: SkippedCounts = field(default_factory=SkippedCounts)  # files of other kinds in the folders
    shard: Shard | None = None  # the photos to scan; None for all
    whole: tuple[str, ...] = ()  # places that are folders and were listed completely
    begun_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    # skipped objects, which `skipped` has too
    in_buckets: GatheredPhotos = field(default_factory=lambda: GatheredPhotos((), 0))


class KnownFiles(Protocol):
    """The results of earlier scans as a plan needs them; `ScanFile` implements it."""

    def known_files(self, place: str) -> list[FileRow]:
        """Return the files known below a folder, or the single file, in the order of their paths."""
        ...

    def count_in(self, place: str) -> int:
        """Return the number of readable files below a folder."""
        ...


def plan_scan(
    scan_file: KnownFiles,
    places: Sequence[Path | str],
    within: NamedFolders | None = None,
    shard: Shard | None = None,
    *,
    needs_photos: bool = True,
) -> ScanPlan:
    """Return the plan of a scan, from the names, sizes and times of files and objects only.

    Raises `PhotoNotFoundError` (no place exists, or none has a photo), `ServiceError` (a bucket cannot be listed) or
    `MissingDependencyError` (the extra `buckets` is not installed).

    Parameters
    ----------
    scan_file
        The results of earlier scans.
    places
        Files and folders, and addresses of buckets.
    within
        Links that lead out of these folders are skipped; None to follow all.
    shard
        The photos to scan; photos of other shards are neither scanned nor forgotten. None for all photos.
    needs_photos
        Whether the places must have photos; if not, a video is enough.
    """
    begun_at = datetime.now(UTC)
    roots = outermost(places)
    _require_existing(scan_file, places, roots)
    todo: list[FileTask] = []
    unchanged, annotated, gone, emptied, has_anything = 0, 0, list[str](), list[str](), False
    videos, skipped, whole = 0, Counter[str](), list[str]()
    in_buckets: list[tuple[Path | str, SkippedKind]] = []
    bucket_videos = 0
    for root in roots:
        known = {
            file.path: file
            for file in scan_file.known_files(root)
            if _is_in_shard(file.path, root, shard, is_readable=file.error is None)
        }
        contents = (_Bucket if is_bucket_url(root) else _Folder).of(root, within, shard)
        has_anything |= contents.has_photos or bool(known)
        if contents.is_complete:
            whole.append(root)
        videos += contents.videos
        skipped.update(kind.code for _, kind in contents.skipped)
        if isinstance(contents, _Bucket):
            in_buckets += contents.skipped
            bucket_videos += contents.videos
        for path in contents.photos:
            state, file = contents.state(path), known.pop(path, None)
            if file is None and path != root and contents.is_annotated(path):
                annotated += 1
            elif file is None or file.state != state or (file.error is not None and file.readers != decoder_versions()):
                todo.append((path, state))
            else:
                unchanged += file.error is None
        if known and not contents.has_photos:
            emptied.append(root)
        else:
            # a missing file with an error may still exist if it has no photo suffix and was named explicitly
            gone += [
                file.path for file in known.values() if file.error is not None or not contents.may_contain(file.path)
            ]
    if not has_anything and (needs_photos or not videos):
        raise no_photos_error(places)
    counts = SkippedCounts(skipped, videos, annotated)
    skipped_objects = GatheredPhotos((), bucket_videos, tuple(in_buckets))
    return ScanPlan(
        *(tuple(roots), tuple(todo), unchanged, tuple(gone), tuple(emptied)),
        *(counts, shard, tuple(whole), begun_at, skipped_objects),
    )


@dataclass(frozen=True, slots=True)
class _Folder:
    """The contents of a folder or file, as far as they belong to the shard."""

    photos: tuple[str, ...]
    videos: int
    skipped: tuple[tuple[Path, SkippedKind], ...]
    has_photos: bool  # whether it has a photo, of whichever shard
    is_complete: bool  # whether it is a folder that was listed completely
    within: NamedFolders | None

    @classmethod
    def of(cls, root: str, within: NamedFolders | None, shard: Shard | None) -> Self:
        """List a place; a missing one is empty, because another place exists."""
        try:
            contents = list_folder(root, within=within)
        except PhotoNotFoundError:
            contents = FolderContents()
        has_photos = bool(contents.photos)
        is_complete = has_photos and Path(root).is_dir() and Path(root) not in contents.unreadable and within is None
        if shard is not None:
            contents = shard.select(contents, [root])
        return cls(
            *(tuple(map(str, contents.photos)), len(contents.videos), contents.skipped), has_photos, is_complete, within
        )

    def state(self, path: str) -> FileStamp:
        """Return the state of a photo."""
        return state_of(path)

    def is_annotated(self, path: str) -> bool:
        """Return whether a photo is an annotated copy; it is opened."""
        return is_annotated(Path(path), self.within)

    def may_contain(self, path: str) -> bool:
        """Return whether a file that is not listed may be there: see `may_exist`."""
        return may_exist(path)


@dataclass(frozen=True, slots=True)
class _Bucket:
    """The contents of a bucket, a part of one or an object, as of `_Folder`, from its listing."""

    photos: tuple[str, ...]
    videos: int
    skipped: tuple[tuple[str, SkippedKind], ...]
    has_photos: bool
    is_complete: bool
    states: Mapping[str, ObjectState]
    others: AbstractSet[str]

    @classmethod
    def of(cls, root: str, _: NamedFolders | None, shard: Shard | None) -> Self:
        """List a place; raises `ServiceError` rather than return a part of it."""
        contents = list_bucket(root)

        def is_in_shard(url: str) -> bool:
            return shard is None or shard.holds(url, [root])

        return cls(
            tuple(filter(is_in_shard, contents.photos)),
            sum(map(is_in_shard, contents.videos)),
            tuple((url, kind) for url, kind in contents.skipped if is_in_shard(url)),
            has_photos=bool(contents.photos),
            is_complete=bool(contents.photos) and contents.is_folder,
            states=contents.photos,
            others=contents.others,
        )

    def state(self, path: str) -> FileStamp:
        return FileStamp(*self.states[path])

    def is_annotated(self, _: str) -> bool:
        """Return False: objects are read once, when they are scanned."""
        return False

    def may_contain(self, path: str) -> bool:
        """Return whether the listing has an object that is no photo by its name."""
        return path in self.others


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
    """Analyze new and changed photos, and forget those that are gone; an interrupted scan can be continued.

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
    elsewhere
        Scans the files instead of this process, and yields the results; None to scan them here.
    progress
        Receives each `ScannedFile` once its result is stored.
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
    while batch := list(islice(scanned, _BATCH_SIZE)):
        scan_file.keep(batch)
        for file in batch:
            looked_at += file.found is not None
            known += file.found is None and file.error is None
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
        if _is_in_shard(path, place, plan.shard, is_readable=False)
    }
    return ScanReport(plan.unchanged, looked_at, known, gone, unreadable, plan.skipped)


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
        As of `scan`.
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
            if file.found is not None or file.edited is not None:
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
        pending, size = iter(files), self._analyzer.embedder.batch
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
            results[index] = replace(results[index], found=analyzed.without_pixels)
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


def state_of(path: str) -> FileStamp:
    """Return size and time of a file or object; `UNSETTLED` if they cannot be read.

    Raises `ServiceError` or `MissingDependencyError`: the bucket of an object cannot be read.
    """
    if is_bucket_url(path):
        state = object_state(path)
        return UNSETTLED if state is None else FileStamp(*state)
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return UNSETTLED
    return FileStamp(status.st_size, status.st_mtime_ns)


def map_parallel(work: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int) -> Iterator[_Result]:
    """Yield the results of tasks in order, processed by threads.

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
                futures.append(pool.submit(work, task))
                if len(futures) >= workers * _TASKS_PER_WORKER:
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def lock_scan(path: Path, lock: str = "lock") -> Iterator[None]:
    """Lock a scan file against scans of other processes; the lock of a killed process is released.

    `lock` is the suffix of the lock file; scans for photos and for videos have one each.

    Raises `ScanBusyError` (another process is scanning) or `StorageError` (the folder of the file is not writable).
    """
    name = printable(str(path))
    with ExitStack() as stack:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_locked = stack.enter_context(hold_lock_file(path.with_name(f"{path.name}.{lock}")))
        except OSError as error:
            raise StorageError(
                f"The scan {name} cannot be created or changed: {error.strerror}; name a file where you may write with "
                "--scan-file."
            ) from error
        if not is_locked:
            raise ScanBusyError(
                f"another scan is writing to {name}: wait until it has finished, or name another file with --scan-file"
            )
        yield


def _require_existing(scan_file: KnownFiles, places: Sequence[Path | str], roots: Sequence[str]) -> None:
    """Raise `PhotoNotFoundError` if no place exists; the message states whether the scan has photos of them."""
    try:
        check_any_exists(places)
    except PhotoNotFoundError as error:
        known = sum(scan_file.count_in(root) for root in roots)
        if not known:
            raise
        raise PhotoNotFoundError(
            f"{error}; the scan has {known:,} photos in it, and keeps them in case a disk is missing: use --forget "
            "to forget them"
        ) from error


def _is_in_shard(path: str, place: str, shard: Shard | None, *, is_readable: bool) -> bool:
    """Return whether a known file belongs to a shard; a folder that could not be opened belongs to each."""
    if shard is None or shard.holds(path, [place]):
        return True
    return not is_readable and not is_bucket_url(path) and not Path(path).is_file()


def may_exist(path: str) -> bool:
    """Return whether a file exists or cannot be checked, for example because its folder is not readable."""
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
