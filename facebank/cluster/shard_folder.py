"""A folder of Parquet shards for the results of one job, which can continue after an interruption."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from facebank.album.scan.merging import is_inside
from facebank.album.scan.parquet_shards import ParquetShard, ShardHeader, write_parquet_shard
from facebank.album.scan.rows import FileRow
from facebank.album.scan.scan_file import UNSETTLED
from facebank.errors import ScanBusyError, ScanFormatError, StorageError
from facebank.storage.concurrency import hold_lock_file
from facebank.storage.files import face_folder_mode
from facebank.storage.leftovers import wipe_file
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.album.scan.parquet_rows import FileRecord
    from facebank.album.scan.rows import FileStamp
    from facebank.album.scan.scan_file import ScannedFile
    from facebank.album.scan.scan_plan import FileTask
    from facebank.gallery import PackIdentity

_NAME = re.compile(r"part-([0-9]{6,12})\.parquet")


class _FileEntry(NamedTuple):
    state: FileStamp
    content_hash: str | None  # SHA-256 in hex; None if the file could not be read
    error: str | None  # None if the file was read
    readers: str | None  # as in `facebank.album.scan.scan_file.ScannedFile`
    shard: int  # number of the shard
    has_photo: bool  # whether the shard has the faces; False for a copy of another file


class ShardFolder:
    """The Parquet shards of a job, ``part-000001.parquet`` and so on; each is written atomically.

    Parameters
    ----------
    path
        The folder; created by `lock` if missing.
    pack
        The pack of the embeddings.
    runtime
        The runtime of the embedder.
    """

    def __init__(self, path: Path, pack: PackIdentity, runtime: str) -> None:
        self.path = path
        self._pack = pack
        self._header = ShardHeader(pack, runtime=runtime)
        self._files: dict[str, _FileEntry] = {}
        self._next = 1

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder within the block; the lock ends with the process.

        Raises `ScanBusyError` (another job is writing there) or `StorageError` (the folder cannot be written).
        """
        label = printable(str(self.path))
        try:
            self.path.mkdir(mode=face_folder_mode(), parents=True, exist_ok=True)
            lock_file = hold_lock_file(self.path / "lock")
            is_locked = lock_file.__enter__()
        except OSError as error:
            raise StorageError(
                f"no shards can be written to {label}: {error.strerror}; choose a writable folder with --shards"
            ) from error
        try:
            if not is_locked:
                raise ScanBusyError(
                    f"another job is writing to {label}: wait until it has finished, or name another folder with "
                    "--shards"
                )
            yield
        finally:
            lock_file.__exit__(None, None, None)

    def load(self, is_known: Callable[[bytes], bool] = lambda _: False) -> list[str]:
        """Read the files of the shards, set damaged shards aside, and return a sentence for each of those.

        A copy whose photo was in a damaged shard is dropped, unless `is_known` is true for its SHA-256.

        Raises `PackMismatchError` (a shard is of another pack) or `MissingDependencyError` (pyarrow is missing).
        """
        self._files.clear()
        notes, photos, copies = [], set[str](), dict[str, str]()
        for number, path in self._shards():
            self._next = max(self._next, number + 1)
            try:
                records = self._records(path)
            except ScanFormatError as error:
                damaged = path.with_name(f"{path.name}.damaged")
                path.replace(damaged)
                notes.append(f"{error} It was renamed to {damaged.name}, and its photos are scanned again.")
                continue
            for record in records:
                self._files[record.path] = _entry_of(record, number)
                if record.photo is not None:
                    photos.add(record.photo.content_hash)
                elif record.content_hash is not None and record.error is None:
                    copies[record.path] = record.content_hash
        for copy, content_hash in copies.items():
            if content_hash not in photos and not is_known(bytes.fromhex(content_hash)):
                del self._files[copy]
        return notes

    def known_files(self, place: str) -> list[FileRow]:
        """Return the files in the shards below a folder, or a single file, in the order of their paths."""
        return [
            FileRow(path, entry.state, None if entry.error is not None else 0, entry.error, entry.readers)
            for path, entry in sorted(self._files.items())
            if is_inside(path, place)
        ]

    def count_in(self, place: str) -> int:
        """Return the number of readable files below a folder."""
        return sum(is_inside(path, place) and entry.error is None for path, entry in self._files.items())

    def unreadable(self, place: str) -> dict[str, str]:
        """Return the reasons why files below a folder are unreadable, by path."""
        return {file.path: file.error for file in self.known_files(place) if file.error is not None}

    def has(self, path: str, state: FileStamp, readers: str) -> bool:
        """Return whether a file was scanned in this state, and by the same decoders if it was unreadable."""
        entry = self._files.get(path)
        return entry is not None and entry.state == state and (entry.error is None or entry.readers == readers)

    def contents(self) -> Iterator[tuple[FileStamp, bytes]]:
        """Yield the state and SHA-256 of each readable file."""
        for entry in self._files.values():
            if entry.content_hash is not None and entry.error is None:
                yield entry.state, bytes.fromhex(entry.content_hash)

    def write(self, files: Sequence[ScannedFile]) -> None:
        """Write the results of files as the next shard; raises `StorageError` if it cannot be written."""
        number = self._next
        write_parquet_shard(self._path_of(number), files, self._header)
        self._next += 1
        for file in files:
            self._files[file.path] = _FileEntry(
                file.state, file.content_hash, file.error, file.readers, number, file.photo is not None
            )

    def read(self, paths: Mapping[str, FileStamp]) -> Iterator[ScannedFile]:
        """Yield the results of files in the given states, a photo before its copies; also of files that changed."""
        for number, path in self._shards():
            with ParquetShard.open(path, self._pack) as shard:
                for file in shard.read():
                    state = paths.get(file.path)
                    if state is not None and file.state in (state, UNSETTLED) and self._is_current(file.path, number):
                        yield file

    def forget(self, paths: Iterable[str]) -> list[FileTask]:
        """Drop files that are gone or changed, and return the copies to scan because their photo was dropped."""
        for path in paths:
            self._files.pop(path, None)
        photos = {entry.content_hash for entry in self._files.values() if entry.has_photo}
        orphans = [
            (path, entry.state)
            for path, entry in self._files.items()
            if entry.error is None and not entry.has_photo and entry.content_hash not in photos
        ]
        for path, _ in orphans:
            del self._files[path]
        return orphans

    def tidy(self) -> None:
        """Remove dropped files, and files that are in a later shard, from the shards."""
        for number, path in self._shards():
            records = self._records(path)
            current = [self._is_current(record.path, number) for record in records]
            if not any(current):
                wipe_file(path, also_other_names=False)
            elif not all(current):
                with ParquetShard.open(path, self._pack) as shard:
                    files = [file for file, is_current in zip(shard.read(), current, strict=True) if is_current]
                    write_parquet_shard(path, files, shard.header)

    def remove_stored(self, states: Mapping[str, FileStamp]) -> None:
        """Remove the shards whose files are all stored elsewhere in the given states."""
        needed = {entry.shard for path, entry in self._files.items() if states.get(path) != entry.state}
        for number, path in self._shards():
            if number not in needed:
                wipe_file(path, also_other_names=False)

    def remove_if_empty(self) -> None:
        """Remove the folder if it is empty; its lock must be free."""
        try:
            self.path.rmdir()
        except OSError:
            return

    def _is_current(self, path: str, number: int) -> bool:
        entry = self._files.get(path)
        return entry is not None and entry.shard == number

    def _records(self, path: Path) -> list[FileRecord]:
        with ParquetShard.open(path, self._pack) as shard:
            return [record for row_group in range(len(shard.group_sizes)) for record in shard.records(row_group)]

    def _shards(self) -> list[tuple[int, Path]]:
        try:
            names = os.listdir(self.path)  # noqa: PTH208 - faster for thousands of names
        except FileNotFoundError:
            return []
        matches = filter(None, map(_NAME.fullmatch, names))
        return sorted((int(match[1]), self.path / match[0]) for match in matches)

    def _path_of(self, number: int) -> Path:
        return self.path / f"part-{number:06}.parquet"


def _entry_of(record: FileRecord, number: int) -> _FileEntry:
    return _FileEntry(record.state, record.content_hash, record.error, record.readers, number, record.photo is not None)
