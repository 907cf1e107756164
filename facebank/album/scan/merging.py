"""Merging scans of several machines into one, with the result of a scan by a single machine.

Each scan records its folders, or shards of them, and when they were scanned. The last scan of a path's folder decides:
if it does not have the path, the file is gone. If two scans of it began at the same time, or the times are unknown, the
scan that has the path decides; if both have it, the one that is named last, where the target of the merge comes first.
Known photos keep their faces, with their numbers, groups and recorded pairs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from facebank.album.scan.rows import FileRow, PhotoRow, ShardRow, photo_row, select
from facebank.album.scan.schema import SCAN_FILE
from facebank.errors import UsageError
from facebank.media.shards import Shard, shard_number
from facebank.storage.paths import outermost
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from facebank.album.scan.merge_sources import MergeSource
    from facebank.album.scan.tables import ScanTables

_BATCH_SIZE = 200  # photos whose faces are checked together

FolderMove: TypeAlias = tuple[str, str]
"""The absolute path of a folder in the merged scans, and its new absolute path."""


@dataclass(frozen=True, slots=True)
class MergeReport:
    """The result of a merge: numbers of files and photos, and missing shards."""

    new: int  # files that were not known before
    changed: int  # known files whose photo or state has changed
    unchanged: int  # files that were known already, or from a later scan
    gone: int  # known photos without a remaining file
    missing: dict[str, tuple[Shard, ...]] = field(default_factory=dict)  # shards that were never merged, by folder


def merge_tables(
    target: ScanTables,
    sources: Sequence[MergeSource],
    *,
    moved: FolderMove | None = None,
    progress: Progress = SILENT,
) -> MergeReport:
    """Merge other scans into a scan, atomically.

    Raises `ScanError` (a scan is damaged, or changed meanwhile), `UsageError` (shards are given twice or belong to
    different folders) or `StorageError` (the target cannot be written).

    Parameters
    ----------
    target, sources
        The scan that is changed, and those that are read; with embeddings of one pack.
    moved
        A folder of the sources that has another name where the target is used; None if there is none.
    progress
        Advanced with each file of the sources.

    Returns
    -------
    MergeReport
        The numbers of files and photos, and the shards that are still missing.
    """
    now = datetime.now(UTC)
    with target.reading():
        sum(1 for _ in target.whole_table("photos", "id", photo_row, "photos"))
        target.check_files()
        rows, unreadable = target.shards(), {file.path for file in target.all_files() if file.error is not None}
    names = _Renaming(moved)
    shards = [_rename_shards(source, names, now) for source in sources]
    require_one_division([source.path for source in sources], shards)
    progress.begin("Merging", sum(source.file_count for source in sources))
    with target.changing() as changed:
        merge, seen = _Merge(target, changed, names, progress), list(rows)
        for source, theirs in zip(sources, shards, strict=True):
            with source.reading():
                unreadable |= merge.merge_source(source, SeenFolders(seen, unreadable), theirs)
            seen += theirs
            rows = join_shards(rows, theirs)
        merge.merge_copies()
        if moved is not None and not names.was_used:
            raise UsageError(f"none of the scans has a photo of {printable(moved[0])}: nothing was moved from there")
        gone = target.drop_orphans(changed)
        target.put_shards(rows, changed)
    return MergeReport(merge.new, merge.changed, merge.unchanged, gone, missing_shards(rows, shards))


class _Merge:
    """Merges one scan after the other, inside a transaction of the target."""

    def __init__(self, target: ScanTables, changed: Counter[str], names: _Renaming, progress: Progress) -> None:
        self.new = self.changed = self.unchanged = 0
        self._target = target
        # files whose photo is in the row of another file, by path: with the content hash, the edited photo, the source
        self._copies: dict[str, tuple[FileRow, str, PhotoRow | None, Path]] = {}
        self._counts = changed
        self._names = names
        self._progress = progress

    def merge_source(self, source: MergeSource, mine: SeenFolders, rows: Sequence[ShardRow]) -> set[str]:
        """Merge a scan, and return the paths that it could not read.

        `mine` are the folders of the target, `rows` those of the source.
        """
        contents = source.contents()
        files = [self._names.file(file) for file in source.files()]
        unreadable = {file.path for file in files if file.error is not None}
        theirs = SeenFolders(rows, unreadable)
        self._drop_gone(mine, theirs, {file.path for file in files})
        new = list[FileRow]()
        for file in files:
            if file.photo_id is not None and file.photo_id not in contents:
                raise SCAN_FILE.damage_error(source.path)
            if is_later(mine.seen_at(file.path), theirs.seen_at(file.path)):
                self.unchanged += 1
            elif not self._store_if_known(file, None if file.photo_id is None else contents[file.photo_id]):
                new.append(file)
                continue
            self._progress.advance()
        for first in range(0, len(new), _BATCH_SIZE):
            batch = new[first : first + _BATCH_SIZE]
            self._take_new(source, batch, contents)
            self._progress.advance(len(batch))
        return unreadable

    def merge_copies(self) -> None:
        """Merge the files whose photo is in the row of another file, after all photos are merged.

        Raises `UsageError` if no scan has one of the photos.
        """
        for file, content_hash, edited, source_path in self._copies.values():
            if edited is not None:
                self._target.add_edited(file.path, edited.with_faces(file.path, ()), self._counts)
            photo = self._target.photo_of_content(content_hash)
            if photo is None:
                raise UsageError(
                    f"{printable(str(source_path))} lists {printable(file.path)} as a copy of a photo that none of the "
                    "scans has: merge it together with the shard that has the photo"
                )
            self._target.put_file(file._replace(photo_id=photo.id), self._counts)

    def _drop_gone(self, mine: SeenFolders, theirs: SeenFolders, paths: AbstractSet[str]) -> None:
        for path in [path for path in self._copies if path not in paths]:
            if is_later(theirs.seen_at(path), mine.begun_at(path)):
                del self._copies[path]
        for place in outermost(theirs.places):
            for file in self._target.files_inside(place):
                if file.path not in paths and is_later(theirs.seen_at(file.path), mine.begun_at(file.path)):
                    self._target.drop_file(file.path, self._counts)
                    self._target.drop_tags([file.path], self._counts)

    def _store_if_known(self, file: FileRow, content_hash: str | None) -> bool:
        """Store a file if its photo is known or it has none; otherwise drop its path, and return False."""
        self._copies.pop(file.path, None)
        before = self._target.file_at(file.path)
        photo = None if content_hash is None else self._target.photo_of_content(content_hash)
        now = file._replace(photo_id=None if photo is None else photo.id)
        is_known = content_hash is None or photo is not None
        if is_known and now == before:
            self.unchanged += 1
            return True
        self.new += before is None
        self.changed += before is not None
        if is_known:
            self._target.put_file(now, self._counts)
        else:
            self._target.drop_file(file.path, self._counts)
        return is_known

    def _take_new(self, source: MergeSource, files: Sequence[FileRow], contents: Mapping[int, str]) -> None:
        photos = source.photos_at([file.photo_id for file in files if file.photo_id is not None])
        for file, source_photo in zip(files, photos, strict=True):
            photo, faces = (None, None) if source_photo is None else source_photo
            if photo is None or faces is None:
                self._copies[file.path] = file, contents[file.photo_id or 0], photo, source.path
                continue
            known = self._target.photo_of_content(photo.content_hash) or self._adopt_orphan(photo)
            if known is None:
                known = self._target.add_copy(photo, faces, self._counts)
            self._target.put_file(file._replace(photo_id=known.id), self._counts)

    def _adopt_orphan(self, photo: PhotoRow) -> PhotoRow | None:
        """Give a photo without files the content of one with the same pixels, and return it; None if there is none."""
        if photo.picture_hash is None:
            return None
        orphan = (
            "FROM photos WHERE picture_hash = ? AND face_count = ? "
            "AND NOT EXISTS (SELECT 1 FROM files WHERE files.photo = photos.id) ORDER BY id LIMIT 1"
        )
        rows = self._target.rows(select(("photos",), orphan), (photo.picture_hash, photo.face_count))
        if not rows:
            return None
        edited = photo._replace(id=self._target.read(photo_row, rows[0]).id)
        self._target.change_photo(edited)
        return edited


class SeenFolders:
    """The folders of a scan, except for inner folders that it could not open.

    Parameters
    ----------
    rows
        The folders and shards of folders, and when they were scanned.
    unreadable
        Absolute paths of the folders and files that could not be opened.
    """

    def __init__(self, rows: Iterable[ShardRow], unreadable: AbstractSet[str]) -> None:
        self._times: dict[str, dict[int, dict[int, datetime]]] = {}
        for row in sorted(rows, key=lambda row: row.scanned_at):
            times = self._times.setdefault(row.place, {}).setdefault(row.shard.count, {})
            times[row.shard.number] = row.scanned_at
        self._unreadable = unreadable

    @property
    def places(self) -> Iterable[str]:
        """The folders."""
        return self._times.keys()

    def seen_at(self, path: str) -> datetime | None:
        """Return when the last scan of a path's folder began; None if unknown, or if a folder could not be opened."""
        if self._unreadable and any(folder in self._unreadable for folder in _folders_of(path)):
            return None
        return self.begun_at(path)

    def begun_at(self, path: str) -> datetime | None:
        """Return when the last scan of a path's folder began, even if it could not be opened; None if unknown."""
        latest = None
        for place in _folders_of(path):
            for count, times in self._times.get(place, {}).items():
                time = times.get(shard_number(path, place, count) or 0)
                if is_later(time, latest):
                    latest = time
        return latest


def is_later(time: datetime | None, other: datetime | None) -> bool:
    """Return whether a time is later than another; any time is later than None.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> is_later(datetime(2019, 6, 1, tzinfo=UTC), None), is_later(None, None)
    (True, False)
    """
    return time is not None and (other is None or time > other)


class _Renaming:
    """Renames files and folders of the sources as they are named in the target."""

    def __init__(self, moved: FolderMove | None) -> None:
        self.was_used = False
        self._moved = moved

    def file(self, file: FileRow) -> FileRow:
        """Return a file with its new path, also in its error message."""
        path = self.path(file.path)
        if path == file.path:
            return file
        error = None if file.error is None else file.error.replace(printable(file.path), printable(path))
        return file._replace(path=path, error=error)

    def path(self, path: str) -> str:
        """Return the new name of a path."""
        if self._moved is None or not is_inside(path, self._moved[0]):
            return path
        self.was_used = True
        before, after = self._moved
        return os.path.normpath(after + os.sep + path[len(before) :])

    def require_whole(self, place: str) -> None:
        """Raise `UsageError` if only a part of a scanned folder has a new name."""
        if self._moved is not None and self._moved[0] != place and is_inside(self._moved[0], place):
            raise UsageError(
                f"{printable(self._moved[0])} lies in {printable(place)}, which was scanned: name the new path "
                "of that folder"
            )


def join_shards(rows: Iterable[ShardRow], others: Iterable[ShardRow]) -> list[ShardRow]:
    """Return the folders and shards of two scans together.

    Each folder gets its latest division into shards, and each shard its latest time. Folders inside one that was
    scanned as a whole at the same time or later are omitted.
    """
    latest: dict[str, dict[Shard, ShardRow]] = {}
    for row in sorted((*rows, *others), key=lambda row: (row.scanned_at, row)):
        shards = latest.setdefault(row.place, {})
        if shards and next(iter(shards)).count != row.shard.count:  # all shards of a folder have one count
            shards.clear()
        shards[row.shard] = row
    whole = Shard(1, 1)

    def is_covered(row: ShardRow) -> bool:
        outer = (latest.get(folder, {}).get(whole) for folder in _folders_of(row.place))
        return any(other is not None and other.scanned_at >= row.scanned_at for other in outer)

    return sorted(row for shards in latest.values() for row in shards.values() if not is_covered(row))


def is_inside(path: str, place: str) -> bool:
    """Return whether an absolute path is a place or lies inside it.

    Examples
    --------
    >>> is_inside("/photos/2019/a.jpg", "/photos"), is_inside("/photos2/a.jpg", "/photos")
    (True, False)
    """
    return path == place or path.startswith(place if place.endswith(os.sep) else place + os.sep)


def _rename_shards(source: MergeSource, names: _Renaming, now: datetime) -> list[ShardRow]:
    """Return a scan's folders and shards under their new names, with times in the future set to `now`."""
    with source.reading():
        rows = source.shards()
    for row in rows:
        names.require_whole(row.place)
    return [row._replace(place=names.path(row.place), scanned_at=min(row.scanned_at, now)) for row in rows]


def require_one_division(paths: Sequence[Path], shards: Sequence[Sequence[ShardRow]]) -> None:
    """Raise `UsageError` if scans have the same shard, or shards of one count that belong to different folders.

    Parameters
    ----------
    paths, shards
        The files of the scans, and the folders and shards of each.
    """
    path_of: dict[tuple[str, Shard], Path] = {}
    folders_of_count: dict[int, tuple[Path, dict[str, ShardRow]]] = {}
    for path, rows in zip(paths, shards, strict=True):
        parts: dict[int, dict[str, ShardRow]] = {}
        for row in (row for row in rows if row.shard.count > 1):
            other = path_of.setdefault((row.place, row.shard), path)
            if other is not path:
                raise UsageError(
                    f"{printable(str(other))} and {printable(str(path))} are both shard {row.shard} of "
                    f"{printable(row.place)}: name only one of them"
                )
            parts.setdefault(row.shard.count, {})[row.place] = row
        for count, places in parts.items():
            first, others = folders_of_count.setdefault(count, (path, places))
            if places.keys().isdisjoint(others):
                row, first_row = min(places.values()), min(others.values())
                old, new = printable(row.place), printable(first_row.place)
                raise UsageError(
                    f"{printable(str(first))} is shard {first_row.shard} of {new}, and {printable(str(path))} shard "
                    f"{row.shard} of {old}: if both are one folder, merge the second by itself with --moved {old} "
                    f"{new}; if not, merge them one after the other"
                )


def missing_shards(rows: Iterable[ShardRow], merged: Iterable[Iterable[ShardRow]]) -> dict[str, tuple[Shard, ...]]:
    """Return the missing shards of merged folders, by folder.

    Parameters
    ----------
    rows
        The shards of the whole scan.
    merged
        The shards of each merged scan; other folders are omitted.
    """
    divisions = {(row.place, row.shard.count) for shards in merged for row in shards}
    present: dict[tuple[str, int], set[int]] = {}
    for row in rows:
        present.setdefault((row.place, row.shard.count), set()).add(row.shard.number)
    return {
        place: tuple(Shard(number, count) for number in range(1, count + 1) if number not in numbers)
        for (place, count), numbers in present.items()
        if (place, count) in divisions and len(numbers) < count
    }


def _folders_of(path: str) -> Iterator[str]:
    folder = os.path.dirname(path)  # noqa: PTH120 - fast enough for a million paths
    while folder != path:
        yield folder
        path, folder = folder, os.path.dirname(folder)  # noqa: PTH120
