"""What was sorted where, a line each, in the folder it was sorted into."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from facebank.album.sidecars import SUFFIX
from facebank.errors import StorageError
from facebank.text import printable

if TYPE_CHECKING:
    from io import BufferedRandom, TextIOWrapper
    from pathlib import Path
    from typing import Self

JOURNAL = ".facebank-sort.jsonl"
_LARGEST = 1 << 30
_KEYS = frozenset(("way", "source", "target", "content_hash", "person"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that was put somewhere, or was about to be: how, from where, to where, its SHA-256 in hex, and for whom.

    The entries of a photo's sidecars follow its own.
    """

    way: str
    source: str
    target: str
    content_hash: str
    person: str

    @property
    def is_sidecar(self) -> bool:
        """Whether it is about a file that only goes with its photo."""
        return self.target.endswith(SUFFIX)


class SortJournal:
    """Written while photos are sorted. Use `open`, and ``with`` to close it.

    Parameters
    ----------
    path, file
        Where it is, and opened for appending.
    """

    def __init__(self, path: Path, file: TextIOWrapper) -> None:
        self._path = path
        self._file = file

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the journal of a folder, which is made where missing.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        path = folder / JOURNAL
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _cut_torn_line(path)
            return cls(path, path.open("a", encoding="ascii"))
        except OSError as error:
            raise StorageError(f"{printable(str(path))} cannot be written: {error.strerror}") from error

    @staticmethod
    def read(folder: Path) -> list[Entry]:
        """Return the entries of a folder's journal, first to last; none without one. A torn last line is passed over.

        Raises
        ------
        StorageError
            It is damaged, or cannot be read.
        """
        path = folder / JOURNAL
        damaged = StorageError(f"{printable(str(path))} is damaged: nothing can be undone from it")
        try:
            if path.stat().st_size > _LARGEST:
                raise damaged
            lines = path.read_text("ascii").splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise damaged from error
        entries = list[Entry]()
        for line in lines:
            if not line.endswith("\n"):
                continue  # the program was killed while it wrote it, and before it did anything
            try:
                content = json.loads(line)
            except ValueError as error:
                raise damaged from error
            if not isinstance(content, dict) or content.keys() != _KEYS or not _all_text(content):
                raise damaged
            entries.append(Entry(**content))
        return entries

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove the journal of a folder."""
        (folder / JOURNAL).unlink(missing_ok=True)

    def write(self, entry: Entry) -> None:
        """Write an entry, so that it outlasts whatever happens next.

        Raises
        ------
        StorageError
            It cannot be written; nothing may be done then.
        """
        try:
            self._file.write(json.dumps(asdict(entry)) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError(f"{printable(str(self._path))} cannot be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _cut_torn_line(path: Path) -> None:
    """Remove a last line without an end: the program was killed while it wrote it, and before it did anything."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end and not _ends_a_line(file, end):
            end -= 1
        file.truncate(end)


def _ends_a_line(file: BufferedRandom, end: int) -> bool:
    file.seek(end - 1)
    return file.read(1) == b"\n"


def _all_text(content: dict[str, object]) -> bool:
    return all(isinstance(value, str) for value in content.values())
