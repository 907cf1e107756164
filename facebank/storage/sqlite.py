"""The one opening of SQLite files: checked, guarded against hostile content, and SQLite's errors in our words.

A file is opened in this order: `SqliteKind.check_header` reads its first bytes, `connect` sets SQLite's guards before
anything of the file is used, and `SqliteKind.check_tables` accepts exactly the tables of one version.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain, repeat
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from facebank.errors import FacebankError, StorageError, UsageError
from facebank.storage.file_systems import is_read_only_medium
from facebank.storage.values import InvalidValueError
from facebank.text import printable

if TYPE_CHECKING:
    pass

_MAGIC = b"SQLite format 3\x00"
_MOST_OBJECTS = 200
_LONGEST_COMPLAINT = 200
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 4 * 1024 * 1024,  # the largest value that is written is a thumbnail of 256 KiB
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 1,  # VACUUM needs one
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,  # deletions that reach other tables count as triggers
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_SETTINGS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA mmap_size = 0",
    "PRAGMA cache_size = -16000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA synchronous = FULL",
)
# A row takes 4 bytes at least, and no statement of facebank takes more than a few hundred steps for one. Pages that
# point at each other make billions of rows of a small file.
_STEPS_AT_LEAST = 5_000_000
_STEPS_A_BYTE = 100
_STEPS_A_CHANGE = 2_000
_STEPS_BETWEEN_LOOKS = 100_000
_MEASURED_FOR = 1.0  # seconds

_SAID: dict[int, str] = {
    sqlite3.SQLITE_FULL: "cannot be written, the disk is full: make room and try again",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk is full or damaged",
    sqlite3.SQLITE_READONLY: "cannot be changed: it was opened for reading, or may not be written",
    sqlite3.SQLITE_PERM: "cannot be opened: facebank has no permission",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: facebank must be able to read it and write beside it",
}
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


@dataclass(frozen=True, slots=True)
class SqliteKind:
    """A kind of SQLite file: how it is recognized, and how errors name it.

    Attributes
    ----------
    noun
        What messages call it, such as ``gallery``.
    application_id
        The mark in bytes 68..72 of its header.
    newest
        The version of its tables that is written.
    build
        Makes the tables of a version in an empty database.
    version
        Returns the version that a file says it has. Called only when its `version_table` is the expected one.
    version_table
        The table that holds the version, in every version.
    missing_error, format_error, version_error, busy_error
        Errors for a file that is not there or empty; no such file or a damaged one; a newer facebank's; one in use.
    missing, empty, another, repair
        What to do where there is none, where it is empty, where it is another program's, where it is damaged; each ends
        a sentence.
    """

    noun: str
    application_id: int
    newest: int
    build: Callable[[sqlite3.Connection, int], None]
    version: Callable[[sqlite3.Connection], object]
    version_table: str
    missing_error: type[FacebankError]
    format_error: type[FacebankError]
    version_error: type[FacebankError]
    busy_error: type[FacebankError]
    missing: str
    empty: str
    another: str
    repair: str

    def named(self, path: Path) -> str:
        """Return what messages call a file."""
        return f"The {self.noun} {printable(str(path))}"

    def empty_file_error(self, path: Path) -> FacebankError:
        """Return the error for a file without content."""
        return self.missing_error(f"{self.named(path)} is empty: {self.empty}.")

    def damage_error(self, path: Path, why: str = "") -> FacebankError:
        """Return the error for a damaged file, and what to do about it."""
        shown = printable(why)[:_LONGEST_COMPLAINT]
        return self.format_error(f"{self.named(path)} is damaged{f' ({shown})' if shown else ''}: {self.repair}.")

    @contextmanager
    def said_plainly(self, path: Path) -> Iterator[None]:
        """Turn SQLite's errors, and stored values that cannot be, into facebank's own with the file's name."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._explained(error, path) from error
        except UnicodeDecodeError as error:  # even SQLite's complaint about a damaged file may hold the damage
            raise self.damage_error(path) from error
        except InvalidValueError as error:
            raise self.damage_error(path, str(error)) from error

    def make_empty_file(self, path: Path) -> None:
        """Make an empty file that only its owner can read, and its folder; a file that is there stays as it is.

        An empty file is one not yet begun: SQLite writes all its tables in one transaction, whatever stops that leaves
        the file empty, and the next one to open it begins again.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError as error:
            raise StorageError(f"{self.named(path)} cannot be made: {error.strerror}.") from error

    def check_header(self, path: Path, *, may_be_empty: bool = False) -> None:
        """Refuse another kind of file by its first bytes, before SQLite touches it.

        Parameters
        ----------
        path
            The file.
        may_be_empty
            Whether an empty file is welcome, because the caller is about to begin it.

        Raises
        ------
        FacebankError
            `missing_error`, `format_error` or `StorageError`.
        """
        file = printable(str(path))
        header = self._read_header(path)
        if not header and not may_be_empty:
            raise self.empty_file_error(path)
        if not header or is_filled(path, "-journal"):
            return  # what the header says is not settled before SQLite has undone an interrupted write
        if not header.startswith(_MAGIC):
            raise self.format_error(f"{file} is no {self.noun}: {self.another}.")
        if int.from_bytes(header[68:72], "big") != self.application_id:
            raise self._belongs_to_another(path)

    def check_tables(self, connection: sqlite3.Connection, path: Path) -> int:
        """Return the version of a file's tables, which are exactly that version's: no trigger, no view, nothing else.

        Raises
        ------
        FacebankError
            `format_error` or `version_error`.
        """
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != self.application_id:
            raise self._belongs_to_another(path)
        objects = _objects(connection)
        if not _tables_named(self.version_table, objects) <= self._objects_of(self.newest):
            raise self._has_other_tables(path)  # the version is not even asked of something else of that name
        version = self.version(connection) if _tables_named(self.version_table, objects) else None
        if not isinstance(version, int) or version < 1:
            raise self._has_other_tables(path)
        if version > self.newest:
            raise self.version_error(
                f"{self.named(path)} was written by a newer facebank (schema {version}; this one knows {self.newest}): "
                "update facebank."
            )
        if objects != self._objects_of(version):
            raise self._has_other_tables(path)
        return version

    def has_tables(self, connection: sqlite3.Connection, version: int) -> bool:
        """Return whether a file holds exactly the tables and indexes of a version."""
        return version > 0 and _objects(connection) == self._objects_of(version)

    def _objects_of(self, version: int) -> frozenset[_Object]:
        return _built(self.build, version)

    def _belongs_to_another(self, path: Path) -> FacebankError:
        file = printable(str(path))
        return self.format_error(f"{file} belongs to another program, it is no {self.noun}: {self.another}.")

    def _has_other_tables(self, path: Path) -> FacebankError:
        return self.damage_error(path, f"its tables are not those of a {self.noun}")

    def _explained(self, error: sqlite3.Error, path: Path) -> FacebankError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if isinstance(error, sqlite3.ProgrammingError):
            return UsageError(f"{self.named(path)} cannot be used so ({error}).")
        if code == sqlite3.SQLITE_IOERR_SHORT_READ:
            return self.damage_error(path, "it is shorter than it should be")
        if code & 0xFF == sqlite3.SQLITE_INTERRUPT:
            return self.damage_error(path, "reading it does not end")
        if code & 0xFF == sqlite3.SQLITE_NOTADB:
            return self.format_error(f"{printable(str(path))} is no {self.noun}: {self.another}.")
        if code & 0xFF in _BUSY:
            return self.busy_error(
                f"{self.named(path)} is in use by another process: try again when that has finished."
            )
        said = _SAID.get(code & 0xFF)
        return self.damage_error(path, str(error)) if said is None else StorageError(f"{self.named(path)} {said}.")

    def _read_header(self, path: Path) -> bytes:
        file = printable(str(path))
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise self.format_error(f"{file} is no file, so it is no {self.noun}: {self.another}.")
            with path.open("rb") as stream:
                return stream.read(100)
        except (FileNotFoundError, NotADirectoryError):
            raise self.missing_error(f"There is no {self.noun} {file} yet: {self.missing}.") from None
        except OSError as error:
            raise StorageError(f"{self.named(path)} cannot be read: {error.strerror}.") from error


class BoundedConnection(sqlite3.Connection):
    """A connection whose statements all end: each may take as many steps as the size of the file allows.

    The bound is counted without any Python code, so that Ctrl-C is never taken for a statement that does not end.
    """

    _path: Path | None = None
    _size = 0
    _measured = 0.0

    def bound_by(self, path: Path) -> None:
        """Bound all statements from now on by the size of a file."""
        self._path = path
        self._measured = 0.0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement, as `sqlite3.Connection.execute` does."""
        self._allow()
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Run a statement for each row, as `sqlite3.Connection.executemany` does."""

        def allowed() -> Iterator[Any]:
            for row in parameters:
                self._allow()
                yield row

        return super().executemany(sql, allowed())

    def _allow(self) -> None:
        if self._path is None:
            return
        now = monotonic()
        if now - self._measured > _MEASURED_FOR:
            self._size = sum(_size_of(self._path, suffix) for suffix in ("", "-wal"))
            self._measured = now
        steps = _STEPS_AT_LEAST + _STEPS_A_BYTE * self._size + _STEPS_A_CHANGE * self.total_changes
        looks = chain(repeat(0, steps // _STEPS_BETWEEN_LOOKS), repeat(1))
        self.set_progress_handler(looks.__next__, _STEPS_BETWEEN_LOOKS)


def connect(path: Path, *, busy_timeout: float) -> BoundedConnection:
    """Open a file that exists, guarded against hostile content; autocommit, so that transactions are explicit.

    Parameters
    ----------
    path
        The file.
    busy_timeout
        How long another process is waited for, in seconds.
    """
    if is_writable(path):
        mode = "rw"
    elif is_read_only_medium(path) and not is_filled(path, "-wal"):
        mode = "ro&immutable=1"  # where no log can be written, a file in WAL mode cannot be read otherwise
    else:
        mode = "ro"
    place = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(place, uri=True, timeout=busy_timeout, isolation_level=None, factory=BoundedConnection)
    try:
        _limit(connection)
        connection.bound_by(path)
        for setting in _SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def copied_to_memory(connection: sqlite3.Connection) -> BoundedConnection:
    """Return a connection to a copy in memory, for an older file that may not be written; close the one to the file."""
    copy = sqlite3.connect(":memory:", isolation_level=None, factory=BoundedConnection)
    _limit(copy)
    with closing(connection):
        connection.backup(copy)
    return copy


def is_writable(path: Path) -> bool:
    """Return whether a file and its folder, where SQLite keeps its log, may be written."""
    return os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)


def is_filled(path: Path, suffix: str) -> bool:
    """Return whether a file's companion, such as ``-wal``, is there and has content."""
    return _size_of(path, suffix) > 0


def is_begun(connection: sqlite3.Connection) -> bool:
    """Return whether a file has tables at all."""
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(objects)


def choose_journal(connection: sqlite3.Connection, *, log: bool) -> str:
    """Ask for the write-ahead log, or for a rollback journal, and return what SQLite made of it.

    Parameters
    ----------
    connection
        A connection that may write.
    log
        Whether the file lies where write-ahead logging is safe.

    Returns
    -------
    str
        SQLite's journal mode: ``wal``, ``delete``, or what another process insists on by using the file now.
    """
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != ("wal" if log else "delete"):
        try:
            wanted = "PRAGMA journal_mode = WAL" if log else "PRAGMA journal_mode = DELETE"
            (mode,) = connection.execute(wanted).fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
    return str(mode)


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Keep everything that is written inside or, whatever goes wrong, nothing."""
    try:
        connection.execute(begin)
        yield
        connection.execute("COMMIT")
    except BaseException:  # Ctrl-C too
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def _limit(connection: sqlite3.Connection) -> None:
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)


_Object = tuple[str, str, str, str | None]


@cache
def _built(build: Callable[[sqlite3.Connection, int], None], version: int) -> frozenset[_Object]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        build(connection, version)
        return _objects(connection)


def _objects(connection: sqlite3.Connection) -> frozenset[_Object]:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT ?", (_MOST_OBJECTS,))
    return frozenset((kind, name, table, _one_line(sql)) for kind, name, table, sql in rows)


def _one_line(sql: object) -> str | None:
    return " ".join(sql.split()) if isinstance(sql, str) else None


def _tables_named(name: str, objects: frozenset[_Object]) -> frozenset[_Object]:
    return frozenset(found for found in objects if found[1] == name)


def _size_of(path: Path, suffix: str) -> int:
    try:
        return path.with_name(path.name + suffix).stat().st_size
    except OSError:
        return 0
