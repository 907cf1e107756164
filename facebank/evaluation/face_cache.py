"""Cache of the faces that a pack found in photos, keyed by photo content.

One SQLite file per pack and version of the detection code. It holds no names, but embeddings are personal data:
the file is readable by its owner only, and ``facebank bench forget`` removes it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import StorageError
from facebank.storage.connections import connect, in_memory, is_writable
from facebank.storage.face_rows import check_face_rows, face_from_row, face_to_row, row_width
from facebank.storage.file_systems import is_on_network
from facebank.storage.files import write_reason
from facebank.storage.paths import cache_folder
from facebank.storage.sqlite import (
    SqliteKind,
    choose_journal,
    has_any_table,
    transaction,
    write_transaction,
)
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, row_digest, verify_row

if TYPE_CHECKING:
    from typing import Self

    from facebank.gallery import PackIdentity
    from facebank.types import Face, FloatArray

_FACE_CODE = ("facebank.vision", "facebank.media")
_MAX_PENDING = 256
_BUSY_TIMEOUT = 60.0  # seconds
_SELECT = {"photos": "SELECT * FROM photos WHERE key = ?", "crops": "SELECT * FROM crops WHERE key = ?"}
_INSERT = {
    "photos": "INSERT OR REPLACE INTO photos VALUES (?, ?, ?, ?, ?)",
    "crops": "INSERT OR REPLACE INTO crops VALUES (?, ?, ?)",
}


class _DamagedCacheError(StorageError):
    """A damaged or foreign file, which is replaced."""


_TABLES = (
    "CREATE TABLE version (number INTEGER NOT NULL)",
    "CREATE TABLE photos (key TEXT PRIMARY KEY, turns INTEGER, weaknesses TEXT, numbers BLOB, row_digest BLOB) "
    "WITHOUT ROWID",
    "CREATE TABLE crops (key TEXT PRIMARY KEY, embedding BLOB, row_digest BLOB) WITHOUT ROWID",
)


def _build(connection: sqlite3.Connection, _: int) -> None:
    for statement in _TABLES:
        connection.execute(statement)


def _version(connection: sqlite3.Connection) -> object:
    return connection.execute("SELECT max(number) FROM version").fetchone()[0]


FACE_CACHE = SqliteKind(
    noun="cache of evaluated faces",
    application_id=0x46424E45,  # FBNE
    newest=1,
    build=_build,
    version=_version,
    version_table="version",
    missing_error=StorageError,
    format_error=_DamagedCacheError,
    version_error=_DamagedCacheError,
    busy_error=StorageError,
    missing_advice="it is created by an evaluation",
    empty_advice="its tables are created by an evaluation",
    other_file_advice="remove it with 'facebank bench forget'",
    repair_advice="remove it with 'facebank bench forget'",
)


def evaluation_folder() -> Path:
    """Return the folder that holds the caches of all packs."""
    return cache_folder() / "evaluation"


def forget_evaluated_faces() -> int:
    """Remove all caches and return the bytes freed; raises `StorageError` if a file cannot be removed."""
    freed = 0
    for path in evaluation_folder().glob("*.sqlite*"):
        try:
            freed += path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(
                f"{printable(str(path))} cannot be removed: {write_reason(error)}; check the permissions of its folder"
            ) from error
    return freed


class FaceCache:
    """Faces keyed by photo content, and embeddings keyed by crop content.

    Parameters
    ----------
    path
        The SQLite file: created if missing, replaced if damaged. If it cannot be written, an in-memory database is
        used instead.
    dimension
        Length of an embedding.
    """

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        self._dimension = dimension
        # Buffered: a transaction that stayed open would block other processes.
        self._pending: dict[tuple[str, str], tuple[object, ...]] = {}
        self._database = self._open_or_replace()

    @classmethod
    def of(cls, pack: PackIdentity) -> FaceCache:
        """Open the cache of a pack in the user's cache folder."""
        return cls(evaluation_folder() / f"{pack.digest[:20]}-{code_digest()[:12]}.sqlite", pack.dimension)

    def __enter__(self) -> Self:
        """Return the cache."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the cache."""
        self.close()

    def close(self) -> None:
        """Write pending rows and close the file."""
        self._write_all()
        self._database.close()

    def faces(self, key: str) -> tuple[int, tuple[Face, ...]] | None:
        """Return the quarter turns and faces of a photo; None if it is not in the cache."""
        row = self._row("photos", key)
        try:
            return None if row is None else self._faces(*row[1:])
        except (InvalidValueError, TypeError, ValueError, RecursionError):
            return None  # detected again

    def _faces(self, turns: int, weaknesses_json: str, blob: bytes) -> tuple[int, tuple[Face, ...]]:
        weaknesses = [tuple(map(str, texts)) for texts in json.loads(weaknesses_json)]
        numbers = np.frombuffer(blob, dtype="<f4").reshape(len(weaknesses), row_width(self._dimension))
        faces = zip(check_face_rows(numbers), weaknesses, strict=True)
        return int(turns), tuple(face_from_row(values, face_weaknesses) for values, face_weaknesses in faces)

    def store_faces(self, key: str, turns: int, faces: Sequence[Face]) -> None:
        """Store the faces of a photo."""
        numbers = np.concatenate([face_to_row(face) for face in faces]) if faces else np.zeros(0, dtype="<f4")
        weaknesses = json.dumps([face.assessment.weaknesses for face in faces])
        self._write("photos", (key, turns, weaknesses, numbers.tobytes()))

    def embedding(self, key: str) -> FloatArray | None:
        """Return the embedding of a crop, ``float32`` of shape ``(dimension,)``; None if it is not in the cache."""
        row = self._row("crops", key)
        if row is None or not isinstance(row[1], bytes) or len(row[1]) != 4 * self._dimension:
            return None
        return np.frombuffer(row[1], dtype="<f4")

    def store_embedding(self, key: str, embedding: FloatArray) -> None:
        """Store the embedding of a crop, of shape ``(dimension,)``."""
        self._write("crops", (key, embedding.astype("<f4").tobytes()))

    def _row(self, table: str, key: str) -> Any:
        pending = self._pending.get((table, key))
        if pending is not None:
            return pending
        with self._storage_errors():
            stored = self._database.execute(_SELECT[table], (key,)).fetchone()
        try:
            return None if stored is None else verify_row(table, stored)
        except InvalidValueError:
            return None

    def _write(self, table: str, row: tuple[object, ...]) -> None:
        self._pending[table, str(row[0])] = row
        if len(self._pending) >= _MAX_PENDING:
            self._write_all()

    def _write_all(self) -> None:
        with self._storage_errors(), write_transaction(self._database, self._path, _BUSY_TIMEOUT):
            for (table, _), row in self._pending.items():
                self._database.execute(_INSERT[table], (*row, row_digest(table, row)))
        self._pending = {}

    def _open_or_replace(self) -> sqlite3.Connection:
        with suppress(StorageError, OSError):
            try:
                return _open(self._path)
            except _DamagedCacheError:
                for suffix in ("", "-wal", "-shm", "-journal"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                return _open(self._path)
        database = in_memory()
        _create_tables(database)
        return database

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"the cache of evaluated faces {printable(str(self._path))} cannot be used ({error}): free some space, "
                "or set FACEBANK_CACHE to a folder that can be written"
            ) from error


def _open(path: Path) -> sqlite3.Connection:
    FACE_CACHE.make_empty_file(path)
    FACE_CACHE.check_header(path, may_be_empty=True)
    if not is_writable(path):
        raise StorageError(f"{printable(str(path))} is not writable")
    with FACE_CACHE.translate_errors(path):
        database = connect(path, busy_timeout=_BUSY_TIMEOUT)
        try:
            if not has_any_table(database):
                _create_tables(database)
                choose_journal(database, log=not is_on_network(path))  # after the application id is written
            FACE_CACHE.check_tables(database, path)
        except BaseException:
            database.close()
            raise
    return database


def _create_tables(database: sqlite3.Connection) -> None:
    with transaction(database):
        if not has_any_table(database):  # another process may have created the tables first
            database.execute(f"PRAGMA application_id = {FACE_CACHE.application_id}")
            _build(database, FACE_CACHE.newest)
            database.execute("INSERT INTO version VALUES (?)", (FACE_CACHE.newest,))


def round_trip(face: Face) -> Face:
    """Return a face after a round trip through the cache, to make figures of cached and fresh runs equal."""
    return face_from_row(face_to_row(face), face.assessment.weaknesses)


def code_digest() -> str:
    """Return the SHA-256 of the code that detects, aligns and embeds faces, in hex."""
    digest = hashlib.sha256()
    for package in _FACE_CODE:
        for entry in sorted(files(package).iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                with suppress(OSError):
                    digest.update(entry.name.encode() + b"\0" + entry.read_bytes() + b"\0")
    return digest.hexdigest()
