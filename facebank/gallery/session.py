"""An open gallery: its file, its pack, its transactions and its settings."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebank.errors import GalleryError, PackMismatchError, StorageError, UsageError
from facebank.gallery import settings
from facebank.gallery.derived import (
    DERIVED_FOLDERS_SETTING,
    DERIVED_PLACES_SETTING,
    derived_files,
    noted,
    noted_folders,
)
from facebank.gallery.store import tables
from facebank.gallery.store.codec import LARGEST_DIMENSION
from facebank.gallery.store.file import GalleryFile
from facebank.gallery.written_places import (
    WRITTEN_PLACES_SETTING,
    PlaceKind,
    folders_with_leftovers,
    with_place,
    written_places,
)
from facebank.storage.leftovers import find_leftovers
from facebank.storage.paths import named_path
from facebank.storage.text import printable, shell_command, shell_word

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from facebank.gallery.records import PackIdentity, Upgrade
    from facebank.gallery.written_places import WrittenPlace

BUSY_TIMEOUT = 30.0
"""How long another process is waited for, in seconds."""


class GallerySession:
    """An open gallery, before anything is asked of its people. Use `open` to get one, and ``with`` to close it."""

    def __init__(self, file: GalleryFile, bound: tables.Binding) -> None:
        self._file = file
        self._bound = bound

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        pack: PackIdentity | None = None,
        *,
        create: bool = False,
        read_only: bool = False,
        busy_timeout: float = BUSY_TIMEOUT,
        on_upgrade: Callable[[Upgrade], None] | None = None,
    ) -> Self:
        """Open a gallery.

        Parameters
        ----------
        path
            The file.
        pack
            The pack whose embeddings will be enrolled or looked for; None for what needs no embeddings, such as
            listing people or renaming them.
        create
            Whether to make the gallery if there is none; needs a pack. Only its owner may read the new file.
        read_only
            Whether to refuse every change. A file on a read-only medium refuses them in any case.
        busy_timeout
            How long another process is waited for, in seconds.
        on_upgrade
            Called once the file was brought up to date from an older version, which happens once to a file.

        Raises
        ------
        GalleryNotFoundError
            If there is no such file, or an empty one.
        GalleryFormatError, GalleryVersionError
            If it is no gallery, another program's or damaged; if a newer facebank wrote it.
        PackMismatchError
            If its embeddings were made by another pack.
        GalleryBusyError, StorageError
            If another process keeps it; if it cannot be made, read or written.
        """
        if create and (pack is None or read_only):
            raise UsageError("A new gallery needs a pack, and cannot be opened for reading only.")
        _check_dimension(pack)
        place = named_path(path, "the path of the gallery")
        file = GalleryFile.open(place, new_for=pack if create else None, read_only=read_only, busy_timeout=busy_timeout)
        try:
            with file.reading() as connection:
                bound = tables.binding(connection)
            _check_pack(place, bound.pack, pack or bound.pack)
        except BaseException:
            file.close()
            raise
        if file.upgrade is not None and on_upgrade is not None:
            on_upgrade(file.upgrade)
        return cls(file, bound)

    def close(self) -> None:
        """Close the file for all threads; a second time does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def pack(self) -> PackIdentity:
        """The pack the embeddings are made with."""
        return self._bound.pack

    @property
    def read_only(self) -> bool:
        """Whether every change is refused, by wish or because the file cannot be written."""
        return not self._file.writable

    @property
    def revision(self) -> int:
        """A number that grows with every change of people, samples, vectors or strangers, whoever makes it."""
        with self._file.reading() as connection:
            return tables.revision(connection)

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        """See the gallery as it is at one moment in everything that this thread reads inside; it can change nothing."""
        with self._file.reading():
            yield self

    def read_setting(self, key: str) -> Any:
        """Return the value kept under a key, as JSON gives it back; None if there is none."""
        with self._file.reading() as connection:
            return settings.read(connection, key)

    def write_setting(self, key: str, value: object) -> None:
        """Keep a small value that JSON can hold, at most 64 KiB, under a key; None removes it."""
        text = settings.encode(key, value)
        with self._file.changing() as connection:
            tables.write_setting(connection, key, text)

    def keep_setting(self, key: str, value: object) -> Any:
        """Return the value kept under a key; where there is none, keep this one for good and return it."""
        known = self.read_setting(key)
        if known is not None:
            return known
        text = settings.encode(key, value)
        with self._file.changing() as connection:
            known = settings.read(connection, key)  # another process may have been faster
            if known is None:
                tables.write_setting(connection, key, text)
            return value if known is None else known

    def note_place(self) -> None:
        """Remember that files are made from this gallery under its present name: `forget` wipes them by any name.

        Raises
        ------
        GalleryError, StorageError
            If the gallery cannot be written.
        """
        known = self.read_setting(DERIVED_PLACES_SETTING)
        if known != noted(known, self.path):
            self.write_setting(DERIVED_PLACES_SETTING, noted(known, self.path))
        folders = self.read_setting(DERIVED_FOLDERS_SETTING)
        if folders != noted_folders(folders):
            self.write_setting(DERIVED_FOLDERS_SETTING, noted_folders(folders))

    def note_written(self, kind: PlaceKind, path: str | os.PathLike[str]) -> None:
        """Remember where a copy of something from this gallery was written; no-op if the gallery cannot be changed.

        Parameters
        ----------
        kind
            What was written.
        path
            The file or folder.
        """
        known = self.read_setting(WRITTEN_PLACES_SETTING)
        place = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links
        noted_places = with_place(known, kind, place)
        if known == noted_places or not self._file.writable or self._file.in_transaction:
            return
        with suppress(GalleryError, StorageError):
            self.write_setting(WRITTEN_PLACES_SETTING, noted_places)

    def written_places(self) -> list[WrittenPlace]:
        """Return where copies were written that are still there, the latest first."""
        return written_places(self)

    def back_up(self, target: str | os.PathLike[str]) -> Path:
        """Copy the gallery as it is at one moment, whoever uses it meanwhile, into a new file that only you can read.

        Parameters
        ----------
        target
            The new file; `forget` says that it is there.

        Raises
        ------
        UsageError
            Something is there already, or its folder is not.
        StorageError
            It cannot be written.
        """
        place = self._file.back_up(target)
        self.note_written(PlaceKind.BACKUP, place)
        return place

    def automatic_backups(self) -> list[Path]:
        """Return the copies that facebank made beside the gallery before it changed all of it: `forget` wipes them."""
        from facebank.gallery.backups import automatic_backups

        return automatic_backups(self.path)

    def derived_files(self) -> list[Path]:
        """Return the files in the cache that were made from this gallery's people: `forget` wipes them."""
        places, folders = self.read_setting(DERIVED_PLACES_SETTING), self.read_setting(DERIVED_FOLDERS_SETTING)
        return derived_files(self.path, places, folders)

    def leftovers(self) -> list[Path]:
        """Return what killed runs left half-written where facebank writes to: `forget` wipes it."""
        return [path for folder in folders_with_leftovers(self.path, self) for path in find_leftovers(folder)]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._file.reading() as connection:
            _check_pack(self.path, tables.binding(connection).pack, self.pack)
            yield connection

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._file.changing() as connection:
            _check_pack(self.path, tables.binding(connection).pack, self.pack)
            yield connection


def _check_dimension(pack: PackIdentity | None) -> None:
    if pack is not None and not 1 <= pack.dimension <= LARGEST_DIMENSION:
        raise UsageError(f"Embeddings of a gallery have 1 to {LARGEST_DIMENSION} numbers, not {pack.dimension}.")


def _check_pack(path: Path, bound: PackIdentity, wanted: PackIdentity) -> None:
    if (bound.digest, bound.dimension) != (wanted.digest, wanted.dimension):
        raise PackMismatchError(
            f"The gallery {printable(str(path))} was made with the pack '{printable(bound.name[:64])}' "
            f"({printable(bound.digest[:8])}), not with '{printable(wanted.name)}' ({printable(wanted.digest[:8])}): "
            f"use --pack {shell_word(bound.name[:64])}, or go over to '{printable(wanted.name)}' with "
            f"`{shell_command('--pack', wanted.name, 'people', 're-embed')}`."
        )
