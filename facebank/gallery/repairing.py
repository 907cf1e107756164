"""Repair of a damaged gallery: keeps intact rows, rebuilds derived data and reports losses.

A row is intact if its seal matches. Otherwise, if flipping one bit makes the seal match, the row is restored. The
damaged file is kept beside the gallery.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import GalleryBusyError, GalleryFormatError, StorageError
from facebank.gallery.backups import back_up_damaged, link_target
from facebank.gallery.checking import Damage, damage_to
from facebank.gallery.derived import INDEX_FILE_SETTING, wipe_derived
from facebank.gallery.records import PLAIN
from facebank.gallery.store.digests import ColumnKind
from facebank.gallery.store.file import GALLERY_FILE
from facebank.gallery.store.migrations import SCHEMA_VERSION, migrate
from facebank.gallery.store.rows import describe_row, is_sum_of, seal_of, seal_table
from facebank.gallery.store.schema import SEALS_SINCE, TABLES
from facebank.gallery.vectors import first_two
from facebank.storage.connections import connect, connect_new, is_filled, is_open_here, is_writable
from facebank.storage.files import PRIVATE_FILE, new_file
from facebank.storage.leftovers import wipe_file
from facebank.storage.paths import named_path
from facebank.storage.progress import SILENT, Progress
from facebank.storage.sqlite import choose_journal, transaction
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from facebank.gallery.store.rows import Row

_BUSY_TIMEOUT = 5.0  # seconds
_MAX_REPAIRED_BYTES = 16 * 1024  # larger values are not searched for a flipped bit
_MAX_ROW_ID = 10_000_000
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_DAMAGED_GALLERY_FILE = replace(GALLERY_FILE, repair_advice="too little of it is intact for a repair, restore a backup")
_PARENTS_FIRST = sorted(TABLES, key=lambda table: len(TABLES[table].parents) + 2 * table.startswith("merged_"))

_CODECS: Mapping[ColumnKind, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    ColumnKind.INTEGER: (lambda value: struct.pack("<q", value), lambda data: struct.unpack("<q", data)[0]),
    ColumnKind.REAL: (lambda value: struct.pack("<d", value), lambda data: struct.unpack("<d", data)[0]),
    ColumnKind.TEXT: (lambda value: value.encode("utf-8", "surrogateescape"), lambda data: data.decode("utf-8")),
    ColumnKind.BLOB: (bytes, bytes),
}


@dataclass(frozen=True, slots=True)
class Repair:
    """The result of `repair_gallery`."""

    path: Path  # the gallery
    backup: Path  # copy of the damaged file, beside the gallery
    rows: int  # number of rows kept
    mended: tuple[str, ...]  # the restored rows, one sentence each
    lost: tuple[Damage, ...]  # the lost rows, with the paths of photos that can be enrolled again


def repair_gallery(path: str | os.PathLike[str], progress: Progress = SILENT) -> Repair:
    """Repair a damaged gallery that nothing else uses, not even this process; `progress` advances with each table.

    Raises `GalleryNotFoundError` (missing), `GalleryBusyError` (in use), `StorageError` (the file or its backup cannot
    be written) or `GalleryFormatError` (not a gallery, or too little of it is intact; the file is unchanged then).
    """
    path = named_path(path, "the path of the gallery")
    GALLERY_FILE.check_header(path)
    with _DAMAGED_GALLERY_FILE.translate_errors(path), _lock_exclusively(path) as stream:
        backup = back_up_damaged(path, stream)
        try:
            rows, mended, lost = _replace(path, backup, stream, progress)
        except BaseException:
            wipe_file(backup)
            raise
    wipe_derived(path)
    return Repair(path, backup, rows, tuple(mended), tuple(lost))


@contextmanager
def _lock_exclusively(path: Path) -> Iterator[IO[bytes]]:
    """Lock a gallery against all other processes and yield its open file, without a write-ahead log.

    Raises `StorageError` (it cannot be written) or `GalleryBusyError` (it is in use).
    """
    if not is_writable(path):
        raise StorageError(f"{GALLERY_FILE.named(path)} cannot be repaired: allow writing to it and its folder.")
    if is_open_here(path):  # closing `stream` would release its locks
        raise GalleryBusyError(f"{GALLERY_FILE.named(path)} is in use by this process: close it first.")
    with ExitStack() as stack:
        # Closed last: closing a file releases all locks that the process has on it.
        stream = stack.enter_context(path.open("rb"))
        connection = stack.enter_context(closing(connect(path, busy_timeout=_BUSY_TIMEOUT)))
        try:
            # Succeeds only if no other process has the file open; a log may contain rows that are not in the file yet.
            if choose_journal(connection, log=False) != "delete":
                raise GalleryBusyError(
                    f"{GALLERY_FILE.named(path)} is in use by another process: try again after it has finished."
                )
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGED or is_filled(link_target(path), "-wal"):
                raise
        yield stream


def _replace(path: Path, backup: Path, stream: IO[bytes], progress: Progress) -> tuple[int, list[str], list[Damage]]:
    """Replace a damaged file, following a symbolic link, with its intact rows; keeps owner and permissions."""
    file, status = link_target(path), os.fstat(stream.fileno())
    with new_file(file, mode=PRIVATE_FILE) as part:
        with closing(connect_new(part.path)) as target, transaction(target):
            migrate(target)
            result = _salvage(path, backup, target, progress)
        if hasattr(os, "chown"):
            with suppress(OSError):
                os.chown(part.path, status.st_uid, status.st_gid)
        part.path.chmod(stat.S_IMODE(status.st_mode))
        for companion in ("-wal", "-shm", "-journal"):
            file.with_name(file.name + companion).unlink(missing_ok=True)
    return result


class _Salvage:
    """The intact rows of a damaged file, table by table."""

    def __init__(self, old: sqlite3.Connection) -> None:
        old.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        self._old = old
        self.kept: dict[str, dict[tuple[Any, ...], Row]] = {}
        self.mended: list[str] = []
        self.lost: list[Damage] = []
        self._counts = self._read_counts()

    def read(self, table: str) -> None:
        """Keep the intact and restored rows of a table whose parents are kept."""
        kept = self.kept[table] = {}
        table_schema = TABLES[table]
        broken: dict[tuple[Any, ...], Row] = {}
        for row in self._rows(table):
            seal = row.pop("seal")
            repaired = _repair_row(table, row, seal)
            if repaired is None:
                broken[tuple(row[name] for name in table_schema.key)] = row
                continue
            if repaired != row or seal != seal_of(table, repaired):
                self.mended.append(f"{describe_row(self._old, table, repaired)} had a flipped bit and was restored")
            kept[tuple(repaired[name] for name in table_schema.key)] = repaired
        for key, row in broken.items():
            if key not in kept:
                self._report_loss(table, row, "does not match its digest, and is lost")
        self._report_missing(table, len(kept.keys() | broken.keys()))
        for key, row in list(kept.items()):
            missing_parents = [
                parent
                for column, parent in table_schema.parents.items()
                if row[column] is not None and (row[column],) not in self.kept[parent]
            ]
            if missing_parents:
                self._report_loss(table, kept.pop(key), f"has no matching row in '{missing_parents[0]}', and is lost")

    def drop_samples_without_embedding(self) -> None:
        """Drop the samples without a plain embedding, and their dependent rows."""
        embedded = {row["sample_id"] for row in self.kept["vectors"].values() if row["variant"] == PLAIN}
        for key, row in list(self.kept["samples"].items()):
            if row["id"] not in embedded:
                self._report_loss("samples", self.kept["samples"].pop(key), "has no embedding, and is lost")
        for table in ("thumbnails", "vectors", "merged_samples"):
            rows = self.kept[table]
            for key in [key for key, row in rows.items() if (row["sample_id"],) not in self.kept["samples"]]:
                del rows[key]

    def highest(self, table: str) -> int:
        """Return the highest row number ever assigned in a table; 0 if it cannot be read."""
        with suppress(sqlite3.Error):
            row = self._old.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
            return row[0] if row is not None and isinstance(row[0], int) else 0
        return 0

    def _rows(self, table: str) -> Iterator[Row]:
        columns = (*TABLES[table].columns, "seal")
        statement = f"SELECT rowid, {', '.join(columns)} FROM {table} NOT INDEXED"
        read_ids: set[int] = set()
        is_complete = False
        with suppress(sqlite3.DatabaseError):
            for row_id, *values in self._old.execute(statement):
                read_ids.add(row_id)
                yield dict(zip(columns, values, strict=True))
            is_complete = len(read_ids) >= (self._expected_count(table) or 0)
        if is_complete:
            return
        for row_id in range(1, min(_MAX_ROW_ID, max([self.highest(table), *read_ids, 1_000])) + 1):
            if row_id not in read_ids:
                with suppress(sqlite3.DatabaseError):
                    row = self._old.execute(f"{statement} WHERE rowid = ?", (row_id,)).fetchone()
                    if row is not None:
                        yield dict(zip(columns, row[1:], strict=True))

    def _read_counts(self) -> dict[str, int]:
        """Return the row count of each intact sum."""
        counts: dict[str, int] = {}
        with suppress(sqlite3.Error):
            for name, row_count, total, seal in self._old.execute("SELECT name, row_count, total, seal FROM sums"):
                repaired = _repair_row("sums", {"name": name, "row_count": row_count, "total": total}, seal)
                if repaired is not None:
                    counts[repaired["name"]] = repaired["row_count"]
        return counts

    def _expected_count(self, table: str) -> int | None:
        """Return the number of rows that a table had; None if its checksums are lost, or it has none."""
        totals: dict[str, int] = {}
        for name, count in self._counts.items():
            if is_sum_of(name, table):
                part, _, _ = name.partition(" ")
                totals[part] = totals.get(part, 0) + count
        return max(totals.values(), default=None)

    def _report_missing(self, table: str, row_count: int) -> None:
        """Report lost rows that only the checksums reveal."""
        if not TABLES[table].is_summed:
            return
        expected = self._expected_count(table)
        if expected is None and row_count:
            loss = f"the row count of '{table}' is lost: rows may be missing"
            self.lost.append(Damage("sum", loss, table))
        elif expected is not None and row_count < expected:
            loss = f"{expected - row_count} of the {expected} rows of '{table}' are lost"
            self.lost.append(Damage("sum", f"{loss}{self._missing_variants(table)}", table))

    def _missing_variants(self, table: str) -> str:
        """Return which variants of embeddings are missing, and the samples without them."""
        if table != "vectors":
            return ""
        parts = []
        for name, count in self._counts.items():
            variant = name.partition(" ")[2]
            present = {row["sample_id"] for row in self.kept[table].values() if row["variant"] == variant}
            if is_sum_of(name, table) and len(present) < count:
                sample_ids = ", ".join(str(key[0]) for key in self.kept["samples"] if key[0] not in present)
                parts.append(f"'{printable(variant)}', missing for samples {sample_ids}")
        return "".join(f" ({part})" for part in parts)

    def _report_loss(self, table: str, row: Row, problem: str) -> None:
        self.lost.append(damage_to(self._old, table, row, problem))


def _salvage(
    path: Path, backup: Path, target: sqlite3.Connection, progress: Progress
) -> tuple[int, list[str], list[Damage]]:
    """Write the intact rows of a damaged gallery to a new one; raises `GalleryFormatError` if too little is intact."""
    with closing(connect(backup, busy_timeout=_BUSY_TIMEOUT)) as old:
        if _version(old, path) < SEALS_SINCE:
            raise GalleryFormatError(
                f"{GALLERY_FILE.named(path)} was written by an older facebank without digests, so damaged rows "
                "cannot be identified: restore a backup."
            )
        progress.begin("Repairing tables", len(_PARENTS_FIRST))
        salvage = _Salvage(old)
        for table in _PARENTS_FIRST:
            if table != "sums":
                salvage.read(table)
            progress.advance()
        salvage.drop_samples_without_embedding()
        kept = salvage.kept
        if len(kept["packs"]) != 1:
            raise GalleryFormatError(
                f"{GALLERY_FILE.named(path)} cannot be repaired, its pack's record is lost: restore a backup."
            )
        _reset_revision(salvage)
        kept["settings"].pop((INDEX_FILE_SETTING,), None)
        for table, rows in kept.items():
            for row in rows.values():
                _insert(target, table, row)
            seal_table(target, table)
            if TABLES[table].key == ("id",) and rows:
                last_id = max(salvage.highest(table), *(int(row["id"]) for row in rows.values()))
                target.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last_id, table))
        return sum(map(len, kept.values())), salvage.mended, salvage.lost


def _version(old: sqlite3.Connection, path: Path) -> int:
    """Return the version of a file, from its tables if the recorded version is damaged."""
    try:
        return _DAMAGED_GALLERY_FILE.check_tables(old, path)
    except (GalleryFormatError, sqlite3.DatabaseError):
        for version in range(SCHEMA_VERSION, 0, -1):
            if GALLERY_FILE.has_tables(old, version):
                return version
        raise


def _reset_revision(salvage: _Salvage) -> None:
    """Advance the revision beyond all earlier ones, so that data derived from the damaged file is not used."""
    revisions = [int(row["revision"]) for row in (*salvage.kept["gallery"].values(), *salvage.kept["vectors"].values())]
    (pack_id,) = next(iter(salvage.kept["packs"]))
    row: Row = {"id": 1, "pack_id": pack_id, "revision": max(revisions, default=0) + 1, "traces": 0}
    salvage.kept["gallery"] = {(1,): row}
    salvage.lost = [damage for damage in salvage.lost if damage.table != "gallery"]


def _insert(connection: sqlite3.Connection, table: str, row: Row) -> None:
    values = dict(row)
    if table == "vectors":
        values["first"], values["second"] = first_two(np.frombuffer(row["vector"], "<f4"))
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}, seal) VALUES ({marks}, 0)", tuple(values.values()))


def _repair_row(table: str, row: Row, seal: object) -> Row | None:
    """Return the row if it matches its seal, else the row with one flipped bit that does; None if none does."""
    if not isinstance(seal, int):
        return None
    actual = _seal_of(table, row)
    if actual is not None and (actual ^ seal).bit_count() <= 1:
        return row
    for name, kind in TABLES[table].columns.items():
        for value in _flip_each_bit(row[name], kind):
            candidate = {**row, name: value}
            if _seal_of(table, candidate) == seal:
                return candidate
    return None


def _seal_of(table: str, row: Row) -> int | None:
    try:
        return seal_of(table, row)
    except ValueError:  # a value of the wrong type, or invalid text
        return None


def _flip_each_bit(value: Any, kind: ColumnKind) -> Iterator[Any]:
    encode, decode = _CODECS[kind]
    if type(value) not in kind.types:
        return
    data = bytearray(encode(value))
    for bit in range(8 * len(data) if len(data) <= _MAX_REPAIRED_BYTES else 0):
        data[bit // 8] ^= 1 << bit % 8
        with suppress(UnicodeDecodeError):
            yield decode(bytes(data))
        data[bit // 8] ^= 1 << bit % 8
