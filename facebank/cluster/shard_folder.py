"""A folder of Parquet shards, into which one job at a time writes, and from which an interrupted one goes on."""

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
from facebank.errors import ScanBusyError, ScanFormatError, StorageError
from facebank.storage.concurrency import hold_lock_file
from facebank.storage.files import face_folder_mode
from facebank.storage.leftovers import wipe_file
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.album.scan.parquet_rows import FileRecord
    from facebank.album.scan.rows import FileState
    from facebank.album.scan.scan_file import ScannedFile
    from facebank.album.scan.scanner import FileTask
    from facebank.gallery import PackIdentity

_NAME = re.compile(r"part-([0-9]{6,12})\.parquet")


class _Known(NamedTuple):
    state: FileState
    content_hash: str | None
    error: str | None
    readers: str | None
    shard: int  # its number
    has_photo: bool  # whether what was found is there, not at a copy


class ShardFolder:
    """The Parquet shards of a job: ``part-000001.parquet`` and so on, each whole or not there.

    Parameters
    ----------
    path
        The folder; made by `locked` if missing.
    pack
        Whose embeddings it holds.
    runtime
        What computes them.
    """

    def __init__(self, path: Path, pack: PackIdentity, runtime: str) -> None:
        self.path = path
        self._pack = pack
        self._header = ShardHeader(pack, runtime=runtime)
        self._files: dict[str, _Known] = {}
        self._next = 1

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other jobs out of the folder meanwhile; a killed process lets go of it.

        Raises `ScanBusyError` (another job is writing there) or `StorageError` (the folder cannot be written).
        """
        shown = printable(str(self.path))
        try:
            self.path.mkdir(mode=face_folder_mode(), parents=True, exist_ok=True)
            lock = hold_lock_file(self.path / "lock")
            is_ours = lock.__enter__()
        except OSError as error:
            raise StorageError(
                f"no shards can be written to {shown}: {error.strerror}; name a folder where you may write with "
                "--shards"
            ) from error
        try:
            if not is_ours:
                raise ScanBusyError(
                    f"another job is writing to {shown}: wait until it has finished, or name another folder with "
                    "--shards"
                )
            yield
        finally:
            lock.__exit__(None, None, None)

    def load(self, is_known: Callable[[bytes], bool] = lambda _: False) -> list[str]:
        """Read which files the shards hold, and set damaged shards aside; return one sentence on each of those.

        A copy whose photo was in a damaged shard is not counted, unless its content is known elsewhere.

        Raises `PackMismatchError` (a shard of another pack) or `MissingDependencyError`.
        """
        self._files.clear()
        notes, photos, copies = [], set[str](), dict[str, str]()
        for number, path in self._shards():
            self._next = max(self._next, number + 1)
            try:
                records = self._records(path)
            except ScanFormatError as error:
                aside = path.with_name(f"{path.name}.damaged")
                path.replace(aside)
                notes.append(f"{error} It is now {aside.name}, and its photos are scanned again.")
                continue
            for record in records:
                self._files[record.path] = _known_of(record, number)
                if record.photo is not None:
                    photos.add(record.photo.content_hash)
                elif record.content_hash is not None and record.error is None:
                    copies[record.path] = record.content_hash
        for copy, content_hash in copies.items():
            if content_hash not in photos and not is_known(bytes.fromhex(content_hash)):
                del self._files[copy]
        return notes

    def known_files(self, place: str) -> list[FileRow]:
        """Return the files known below a folder, or the single file, in the order of their paths."""
        return [
            FileRow(path, known.state, None if known.error is not None else 0, known.error, known.readers)
            for path, known in sorted(self._files.items())
            if is_inside(path, place)
        ]

    def count_in(self, place: str) -> int:
        """Return how many files below a folder can be read."""
        return sum(is_inside(path, place) and known.error is None for path, known in self._files.items())

    def unreadable(self, place: str) -> dict[str, str]:
        """Return the files below a folder that cannot be read, and why."""
        return {file.path: file.error for file in self.known_files(place) if file.error is not None}

    def has(self, path: str, state: FileState, readers: str) -> bool:
        """Return whether a file was scanned as it is, by the same decoders if it could not be read."""
        known = self._files.get(path)
        return known is not None and known.state == state and (known.error is None or known.readers == readers)

    def contents(self) -> Iterator[tuple[FileState, bytes]]:
        """Yield state and SHA-256 of each readable file."""
        for known in self._files.values():
            if known.content_hash is not None and known.error is None:
                yield known.state, bytes.fromhex(known.content_hash)

    def write(self, files: Sequence[ScannedFile]) -> None:
        """Write the results of files as the next shard; raises `StorageError` if that cannot be."""
        number = self._next
        write_parquet_shard(self._path_of(number), files, self._header)
        self._next += 1
        for file in files:
            self._files[file.path] = _Known(
                file.state, file.content_hash, file.error, file.readers, number, file.found is not None
            )

    def read(self, paths: Mapping[str, FileState]) -> Iterator[ScannedFile]:
        """Yield the results of files that are known in these states, a photo before its copies."""
        for number, path in self._shards():
            with ParquetShard.open(path, self._pack) as shard:
                for file in shard.read():
                    if self._is_at(file.path, number) and paths.get(file.path) == file.state:
                        yield file

    def forget(self, paths: Iterable[str]) -> list[FileTask]:
        """Forget files that are gone or changed; return the copies that are to be scanned now, as no photo is left."""
        for path in paths:
            self._files.pop(path, None)
        left = {known.content_hash for known in self._files.values() if known.has_photo}
        orphans = [
            (path, known.state)
            for path, known in self._files.items()
            if known.error is None and not known.has_photo and known.content_hash not in left
        ]
        for path, _ in orphans:
            del self._files[path]
        return orphans

    def tidy(self) -> None:
        """Remove from the shards what was forgotten, and what a later shard has."""
        for number, path in self._shards():
            records = self._records(path)
            needed = [self._is_at(record.path, number) for record in records]
            if not any(needed):
                wipe_file(path, also_other_names=False)
            elif not all(needed):
                with ParquetShard.open(path, self._pack) as shard:
                    left = [file for file, keep in zip(shard.read(), needed, strict=True) if keep]
                    write_parquet_shard(path, left, shard.header)

    def remove_kept(self, states: Mapping[str, FileState]) -> None:
        """Remove the shards whose files another place holds in the same states."""
        for number, path in self._shards():
            needed = (
                known
                for name, known in self._files.items()
                if known.shard == number and states.get(name) != known.state
            )
            if next(needed, None) is None:
                wipe_file(path, also_other_names=False)

    def remove_if_empty(self) -> None:
        """Remove the folder unless something is in it; its lock must be free."""
        try:
            self.path.rmdir()
        except OSError:
            return

    def _is_at(self, path: str, number: int) -> bool:
        known = self._files.get(path)
        return known is not None and known.shard == number

    def _records(self, path: Path) -> list[FileRecord]:
        with ParquetShard.open(path, self._pack) as shard:
            return [record for group in range(len(shard.group_sizes)) for record in shard.records(group)]

    def _shards(self) -> list[tuple[int, Path]]:
        try:
            names = os.listdir(self.path)  # noqa: PTH208 - thousands
        except FileNotFoundError:
            return []
        found = ((_NAME.fullmatch(name), name) for name in names)
        return sorted((int(match[1]), self.path / name) for match, name in found if match is not None)

    def _path_of(self, number: int) -> Path:
        return self.path / f"part-{number:06}.parquet"


def _known_of(record: FileRecord, number: int) -> _Known:
    return _Known(record.state, record.content_hash, record.error, record.readers, number, record.photo is not None)
