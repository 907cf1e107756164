"""Plans of scans: the files of folders and buckets to analyze, and those to remove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from facebank.album.scan.rows import FileStamp
from facebank.album.scan.scan_file import UNSETTLED
from facebank.errors import PhotoNotFoundError
from facebank.media import FolderContents, decoder_versions, is_annotated, list_folder
from facebank.media.buckets import ObjectState, list_bucket, object_state
from facebank.media.shards import Shard
from facebank.operations.inputs import GatheredPhotos, check_any_exists, no_photos_error
from facebank.storage.bucket_urls import is_bucket_url
from facebank.storage.paths import outermost
from facebank.types import SkippedCounts

if TYPE_CHECKING:
    from typing import Self

    from facebank.album.scan.rows import FileRow
    from facebank.media import SkippedKind
    from facebank.storage.folders import NamedFolders

FileTask: TypeAlias = tuple[str, FileStamp]
"""A file's absolute path or an object's address, and its state before it is read."""


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """The files that a scan has to analyze or remove."""

    places: tuple[str, ...]  # the folders and files, absolute, and the addresses of buckets
    todo: tuple[FileTask, ...]  # new and changed files, and those that only other decoder versions failed to read
    unchanged: int  # number of readable files that are known and have not changed
    gone: tuple[str, ...]  # absolute paths of known files that are missing
    emptied: tuple[str, ...]  # places whose photos are all missing, more likely because of a missing disk
    skipped: SkippedCounts = field(default_factory=SkippedCounts)  # files of other kinds in the folders
    shard: Shard | None = None  # the photos to scan; None for all
    whole: tuple[str, ...] = ()  # places that are folders and were listed completely
    begun_at: datetime = field(default_factory=lambda: datetime.now(UTC))  # when the places were listed
    # skipped objects of buckets, which `skipped` counts too
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
            if is_in_shard(file.path, root, shard, is_readable=file.error is None)
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
    """The contents of a folder or file that belong to the shard."""

    photos: tuple[str, ...]  # absolute paths
    videos: int  # number of videos
    skipped: tuple[tuple[Path, SkippedKind], ...]
    has_photos: bool  # whether it has a photo, of whichever shard
    is_complete: bool  # whether it is a folder that was listed completely
    within: NamedFolders | None  # folders out of which no link is followed; None to follow all links

    @classmethod
    def of(cls, root: str, within: NamedFolders | None, shard: Shard | None) -> Self:
        """Return the contents of a place; a missing one is empty, because another place exists."""
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
        """Return whether a file that is not listed may exist: see `may_exist`."""
        return may_exist(path)


@dataclass(frozen=True, slots=True)
class _Bucket:
    """The contents of a bucket, a part of one or an object, as for `_Folder`, from its listing."""

    photos: tuple[str, ...]  # addresses
    videos: int  # number of videos
    skipped: tuple[tuple[str, SkippedKind], ...]
    has_photos: bool
    is_complete: bool
    states: Mapping[str, ObjectState]
    others: AbstractSet[str]  # all objects other than photos

    @classmethod
    def of(cls, root: str, _: NamedFolders | None, shard: Shard | None) -> Self:
        """Return the contents of a place; raises `ServiceError` rather than return a part of them."""
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


def may_exist(path: str) -> bool:
    """Return whether a file exists or cannot be checked, for example because its folder is not readable."""
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


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


def is_in_shard(path: str, place: str, shard: Shard | None, *, is_readable: bool) -> bool:
    """Return whether a known file belongs to a shard; a folder that could not be opened belongs to each."""
    if shard is None or shard.holds(path, [place]):
        return True
    return not is_readable and not is_bucket_url(path) and not Path(path).is_file()
