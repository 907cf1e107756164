"""Full check of a gallery: every page, row, sum, embedding and reference."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import FacebankError, GalleryFormatError, GalleryNotFoundError, UsageError
from facebank.gallery import feedback, people, samples
from facebank.gallery.records import PLAIN
from facebank.gallery.store.codec import floats_from_bytes, unit_length
from facebank.gallery.store.digests import signed
from facebank.gallery.store.file import GALLERY_FILE, GalleryFile
from facebank.gallery.store.rows import (
    EMPTY_SUM,
    Sum,
    describe_row,
    is_sealed,
    is_sum_of,
    read_sum,
    summands,
    unchecked_rows,
)
from facebank.gallery.store.schema import TABLES, has_seals, schema_version
from facebank.gallery.store.state import binding, read_setting, traces
from facebank.gallery.vectors import first_two
from facebank.storage.paths import named_path
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable, shell_word
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebank.gallery.store.rows import Row

_BUSY_TIMEOUT = 5.0  # seconds
_SHORT_BUSY_TIMEOUT = 1.0  # seconds; `inspect_gallery` reports a busy gallery instead of waiting for it
_MAX_SQLITE_MESSAGES = 100


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage found in a gallery."""

    kind: str
    """Its kind.

    ``file`` for pages and indexes, ``row`` for an altered row, ``sum`` for lost or surplus rows, ``reference`` for a
    row without its parent, ``value`` for an invalid value, ``missing`` for a sample without an embedding.
    """
    message: str  # one sentence
    table: str | None = None  # the damaged table; None for the whole file
    person: str | None = None  # name of the person whose data is damaged; None if unknown
    sample_id: int | None = None  # the damaged sample; None if it is not a sample, or unknown
    path: str | None = None  # the photo of the sample; None if unknown


@dataclass(frozen=True, slots=True)
class GalleryCheck:
    """The damage that a full check found, and the number of rows read."""

    path: Path
    schema_version: int | None  # None if the file cannot be read
    is_sealed: bool  # whether its rows are sealed; older galleries are not
    rows: int  # number of rows read
    damage: tuple[Damage, ...]


def check_gallery(path: str | os.PathLike[str], progress: Progress = SILENT) -> GalleryCheck:
    """Return the damage in a whole gallery, without changing it; `progress` advances with each table.

    Raises `GalleryNotFoundError` (missing), `GalleryFormatError` (not a gallery), `GalleryBusyError` (in use),
    `GalleryVersionError` (written by a newer facebank) or `StorageError` (unreadable).
    """
    path = named_path(path, "the path of the gallery")
    GALLERY_FILE.check_header(path)
    try:
        file = GalleryFile.open(path, read_only=True, busy_timeout=_BUSY_TIMEOUT)
    except GalleryFormatError as error:
        return GalleryCheck(path, None, False, 0, (Damage("file", str(error)),))
    check: GalleryCheck | None = None
    try:
        with file.reading() as connection:
            rows, damage = find_damage(connection, progress)
            check = GalleryCheck(path, schema_version(connection), has_seals(connection), rows, tuple(damage))
    except GalleryFormatError as error:  # a damaged page may end the transaction
        if check is None or not check.damage:
            return GalleryCheck(path, None, False, 0, (Damage("file", str(error)),))
    finally:
        file.close()
    return check


def find_damage(connection: sqlite3.Connection, progress: Progress = SILENT) -> tuple[int, list[Damage]]:
    """Return the number of rows of an open gallery, and its damage."""
    progress.begin("Checking tables", len(TABLES))
    rows, damage = 0, [*_file_damage(connection)]
    for table in TABLES:
        count, table_damage = _table_damage(connection, table, is_sealed_file=has_seals(connection))
        rows += count
        damage += table_damage
        progress.advance()
    return rows, damage or [*_value_damage(connection)]


def damage_to(connection: sqlite3.Connection, table: str, row: Row, problem: str) -> Damage:
    """Return the damage of a row that has a `problem`, with its person, sample and path if they can be read."""
    sample_id = row.get("sample_id") if table != "samples" else row.get("id")
    owner, stored_path, name = row.get("person_id"), row.get("source"), row.get("name") if table == "people" else None
    try:
        if isinstance(sample_id, int) and table != "samples":
            match = connection.execute("SELECT person_id, source FROM samples WHERE id = ?", (sample_id,)).fetchone()
            owner, stored_path = (None, None) if match is None else match
        if owner is not None:
            match = connection.execute("SELECT name FROM people WHERE id = ?", (owner,)).fetchone()
            name = None if match is None else match[0]
    except (sqlite3.Error, UnicodeDecodeError):
        pass
    return Damage(
        "row",
        f"{describe_row(connection, table, row)} {problem}",
        table,
        None if name is None else str(name),
        sample_id if isinstance(sample_id, int) else None,
        stored_path.decode("utf-8", "replace") if isinstance(stored_path, bytes) else None,
    )


def _file_damage(connection: sqlite3.Connection) -> Iterator[Damage]:
    try:
        for (answer,) in connection.execute(f"PRAGMA integrity_check({_MAX_SQLITE_MESSAGES})"):
            if answer != "ok":
                yield Damage("file", f"SQLite reports: {printable(str(answer))}")
        for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            yield Damage("reference", f"a row of '{table}' has no matching row in '{parent}'", str(table))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        yield Damage("file", f"SQLite reports: {printable(str(error))}")


def _table_damage(connection: sqlite3.Connection, table: str, *, is_sealed_file: bool) -> tuple[int, list[Damage]]:
    """Return the number of rows of a table, and their damage."""
    damage: list[Damage] = []
    sums: dict[str, Sum] = {}
    count = 0
    if schema_version(connection) < TABLES[table].since:
        return 0, []
    try:
        for row in unchecked_rows(connection, table):
            count += 1
            seal = row.pop("seal", None)
            if is_sealed_file and not is_sealed(table, row, seal):
                damage.append(damage_to(connection, table, row, "does not match its digest"))
                continue
            for name, digest in summands(table, row) if is_sealed_file else ():
                row_count, total = sums.get(name, EMPTY_SUM)
                sums[name] = Sum(row_count + 1, total + digest)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        damage.append(Damage("file", f"the table '{table}' cannot be read completely: {printable(str(error))}", table))
    if is_sealed_file and not damage:
        damage += _sum_damage(connection, table, sums)
    return count, damage


def _sum_damage(connection: sqlite3.Connection, table: str, sums: dict[str, Sum]) -> list[Damage]:
    damage = []
    try:
        names = [str(name) for (name,) in connection.execute("SELECT name FROM sums NOT INDEXED")]
        for name in dict.fromkeys([*sums, *(name for name in names if is_sum_of(name, table))]):
            actual, stored = sums.get(name, EMPTY_SUM), read_sum(connection, name)
            if (actual.row_count, signed(actual.total)) != stored:
                counts = f"{actual.row_count} rows found, {stored.row_count} written"
                damage.append(Damage("sum", f"rows of '{table}' are missing or surplus ({name}): {counts}", table))
    except (sqlite3.Error, InvalidValueError, UnicodeDecodeError) as error:
        damage.append(Damage("sum", f"the checksums of '{table}' cannot be read: {printable(str(error))}", table))
    return damage


def _value_damage(connection: sqlite3.Connection) -> Iterator[Damage]:
    """Yield invalid values in rows with intact seals, which facebank does not write."""
    try:
        bound = binding(connection)
        people.list_people(connection)
        samples_by_id = {
            sample.id: sample
            for person_samples in samples.samples_by_person(connection).values()
            for sample in person_samples
        }
        feedback.strangers(connection)
        feedback.stranger_vectors(connection, bound)
        for person_id in {row["person_id"] for row in unchecked_rows(connection, "denials")}:
            feedback.denials_of_person(connection, person_id)
        for row in unchecked_rows(connection, "settings"):
            read_setting(connection, str(row["key"]))
    except (InvalidValueError, UsageError) as error:
        yield Damage("value", f"invalid value: {error}")
        return
    missing_ids = set(samples_by_id)
    statement = "SELECT sample_id, pack_id, variant, vector, first, second FROM vectors NOT INDEXED"
    for sample_id, pack_id, variant, vector, first, second in connection.execute(statement):
        sample = samples_by_id.get(sample_id)
        if variant == PLAIN and pack_id == bound.pack_id:
            missing_ids.discard(sample_id)
        try:
            values = unit_length(floats_from_bytes(vector, (bound.pack.dimension,)))
            reason = "" if (first, second) == first_two(values) else "its lookup columns do not match it"
        except InvalidValueError as error:
            reason = str(error)
        if reason:
            message = f"the embedding '{printable(str(variant))}' of sample {sample_id} is invalid: {reason}"
            person, path = (None, None) if sample is None else (sample.person, sample.path)
            yield Damage("value", message, "vectors", person, sample_id, path)
    for sample_id in sorted(missing_ids):
        sample = samples_by_id[sample_id]
        message = f"sample {sample_id} of '{printable(sample.person)}' has no embedding"
        yield Damage("missing", message, "vectors", sample.person, sample_id, sample.path)


@dataclass(frozen=True, slots=True)
class GalleryHealth:
    """The state of a gallery's file."""

    path: Path
    exists: bool
    schema_version: int | None = None  # None if the file is missing or cannot be read, as for all values below
    pack_name: str | None = None
    pack_digest: str | None = None  # as in `PackIdentity`
    person_count: int | None = None
    sample_count: int | None = None
    journal_mode: str | None = None  # SQLite's journal mode, such as ``wal``
    problems: tuple[str, ...] = ()  # a sentence for each problem; empty for a healthy or missing gallery


def inspect_gallery(path: str | os.PathLike[str]) -> GalleryHealth:
    """Read a whole gallery file and return its state; problems are returned, never raised."""
    path = named_path(path, "the path of the gallery")
    try:
        file = GalleryFile.open(path, read_only=True, busy_timeout=_SHORT_BUSY_TIMEOUT)
    except GalleryNotFoundError:
        return GalleryHealth(path, exists=path.exists())
    except FacebankError as error:
        return GalleryHealth(path, exists=True, problems=(str(error),))
    try:
        with file.reading() as connection:
            return _read_health(path, connection)
    except FacebankError as error:
        return GalleryHealth(path, exists=True, problems=(str(error),))
    finally:
        file.close()


def _read_health(path: Path, connection: sqlite3.Connection) -> GalleryHealth:
    bound = binding(connection)
    (journal_mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return GalleryHealth(
        path=path,
        exists=True,
        schema_version=schema_version(connection),
        pack_name=bound.pack.name,
        pack_digest=bound.pack.digest,
        person_count=len(people.names(connection)),
        sample_count=len(samples.sample_ids(connection)),
        journal_mode=str(journal_mode),
        problems=(*_damage(connection), *_exposure(path), *_traces(connection)),
    )


def _damage(connection: sqlite3.Connection) -> list[str]:
    return [f"The file is damaged: {damage.message}." for damage in find_damage(connection)[1]]


def _exposure(path: Path) -> list[str]:
    if os.name != "posix" or not path.stat().st_mode & 0o077:
        return []
    return [f"Other users of this computer can read the faces: run `chmod 600 {shell_word(str(path))}`."]


def _traces(connection: sqlite3.Connection) -> list[str]:
    if not traces(connection):
        return []
    return [
        "Traces of a forgotten person may still be in the file: close other programs that use the gallery, free some "
        "disk space, and run 'facebank people list', which removes them."
    ]
