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
    NOTHING,
    Sum,
    described,
    is_sealed,
    is_sum_of,
    kept_sum,
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

_WAIT = 5.0  # seconds
_SHORT_WAIT = 1.0  # a busy gallery counts as healthy
_MOST_FAULTS = 100


@dataclass(frozen=True, slots=True)
class Damage:
    """A fault found in a gallery."""

    # ``file`` for pages and indexes, ``row`` for an altered row, ``sum`` for lost or surplus rows, ``reference`` for a
    # row without its parent, ``value`` for an impossible value, such as an embedding that is not of length 1,
    # ``missing`` for a sample without an embedding
    kind: str
    message: str  # one sentence
    table: str | None = None
    person: str | None = None  # the owner, if known
    sample_id: int | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class GalleryCheck:
    """The result of a full check."""

    # the file, and the version of its tables; None if it cannot be read
    path: Path
    schema_version: int | None
    is_sealed: bool  # whether its rows are sealed; older galleries are not
    # how many rows were read, and the faults
    rows: int
    damage: tuple[Damage, ...]


def check_gallery(path: str | os.PathLike[str], progress: Progress = SILENT) -> GalleryCheck:
    """Check a whole gallery without changing it; `progress` advances with each table.

    Raises `GalleryNotFoundError` (missing), `GalleryFormatError` (not a gallery at all), `GalleryBusyError` (in use),
    `GalleryVersionError` (written by a newer facebank) or `StorageError` (unreadable).
    """
    place = named_path(path, "the path of the gallery")
    GALLERY_FILE.check_header(place)
    try:
        file = GalleryFile.open(place, read_only=True, busy_timeout=_WAIT)
    except GalleryFormatError as error:
        return GalleryCheck(place, None, False, 0, (Damage("file", str(error)),))
    checked: GalleryCheck | None = None
    try:
        with file.reading() as connection:
            rows, found = examine(connection, progress)
            checked = GalleryCheck(place, schema_version(connection), has_seals(connection), rows, tuple(found))
    except GalleryFormatError as error:  # a damaged page may end the transaction
        if checked is None or not checked.damage:
            return GalleryCheck(place, None, False, 0, (Damage("file", str(error)),))
    finally:
        file.close()
    return checked


def examine(connection: sqlite3.Connection, progress: Progress = SILENT) -> tuple[int, list[Damage]]:
    """Return how many rows an open gallery has, and its faults."""
    progress.begin("Checking tables", len(TABLES))
    rows, found = 0, [*_file_damage(connection)]
    for table in TABLES:
        count, damage = _table_damage(connection, table, is_sealed_file=has_seals(connection))
        rows += count
        found += damage
        progress.advance()
    return rows, found or [*_value_damage(connection)]


def damage_to(connection: sqlite3.Connection, table: str, row: Row, what: str) -> Damage:
    """Return the fault for a damaged row, with the owning person, sample and path if they can be read."""
    number = row.get("sample_id") if table != "samples" else row.get("id")
    owner, image, name = row.get("person_id"), row.get("source"), row.get("name") if table == "people" else None
    try:
        if isinstance(number, int) and table != "samples":
            found = connection.execute("SELECT person_id, source FROM samples WHERE id = ?", (number,)).fetchone()
            owner, image = (None, None) if found is None else found
        if owner is not None:
            found = connection.execute("SELECT name FROM people WHERE id = ?", (owner,)).fetchone()
            name = None if found is None else found[0]
    except (sqlite3.Error, UnicodeDecodeError):
        pass
    return Damage(
        "row",
        f"{described(connection, table, row)} {what}",
        table,
        None if name is None else str(name),
        number if isinstance(number, int) else None,
        image.decode("utf-8", "replace") if isinstance(image, bytes) else None,
    )


def _file_damage(connection: sqlite3.Connection) -> Iterator[Damage]:
    try:
        for (answer,) in connection.execute(f"PRAGMA integrity_check({_MOST_FAULTS})"):
            if answer != "ok":
                yield Damage("file", f"SQLite reports: {printable(str(answer))}")
        for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            yield Damage("reference", f"a row of '{table}' has no matching row in '{parent}'", str(table))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        yield Damage("file", f"SQLite reports: {printable(str(error))}")


def _table_damage(connection: sqlite3.Connection, table: str, *, is_sealed_file: bool) -> tuple[int, list[Damage]]:
    """Return how many rows a table has, and their faults."""
    found: list[Damage] = []
    sums: dict[str, Sum] = {}
    count = 0
    if schema_version(connection) < TABLES[table].since:
        return 0, []
    try:
        for row in unchecked_rows(connection, table):
            count += 1
            seal = row.pop("seal", None)
            if is_sealed_file and not is_sealed(table, row, seal):
                found.append(damage_to(connection, table, row, "does not match its seal"))
                continue
            for name, digest in summands(table, row) if is_sealed_file else ():
                row_count, total = sums.get(name, NOTHING)
                sums[name] = Sum(row_count + 1, total + digest)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        found.append(Damage("file", f"the table '{table}' cannot be read completely: {printable(str(error))}", table))
    if is_sealed_file and not found:
        found += _sum_damage(connection, table, sums)
    return count, found


def _sum_damage(connection: sqlite3.Connection, table: str, sums: dict[str, Sum]) -> list[Damage]:
    found = []
    try:
        names = [str(name) for (name,) in connection.execute("SELECT name FROM sums NOT INDEXED")]
        for name in dict.fromkeys([*sums, *(name for name in names if is_sum_of(name, table))]):
            seen, kept = sums.get(name, NOTHING), kept_sum(connection, name)
            if (seen.row_count, signed(seen.total)) != kept:
                counts = f"{seen.row_count} rows found, {kept.row_count} written"
                found.append(Damage("sum", f"rows of '{table}' are missing or surplus ({name}): {counts}", table))
    except (sqlite3.Error, InvalidValueError, UnicodeDecodeError) as error:
        found.append(Damage("sum", f"the sums of '{table}' cannot be read: {printable(str(error))}", table))
    return found


def _value_damage(connection: sqlite3.Connection) -> Iterator[Damage]:
    """Yield invalid values in rows with intact seals, which facebank does not write."""
    try:
        bound = binding(connection)
        people.everybody(connection)
        known = {sample.id: sample for some in samples.samples_by_person(connection).values() for sample in some}
        feedback.strangers(connection)
        feedback.stranger_vectors(connection, bound)
        for number in {row["person_id"] for row in unchecked_rows(connection, "denials")}:
            feedback.denials_of_person(connection, number)
        for row in unchecked_rows(connection, "settings"):
            read_setting(connection, str(row["key"]))
    except (InvalidValueError, UsageError) as error:
        yield Damage("value", f"invalid value: {error}")
        return
    lacking = set(known)
    statement = "SELECT sample_id, pack_id, variant, vector, first, second FROM vectors NOT INDEXED"
    for number, pack_id, variant, vector, first, second in connection.execute(statement):
        sample = known.get(number)
        if variant == PLAIN and pack_id == bound.pack_id:
            lacking.discard(number)
        try:
            values = unit_length(floats_from_bytes(vector, (bound.pack.dimension,)))
            why = "" if (first, second) == first_two(values) else "its lookup columns do not match it"
        except InvalidValueError as error:
            why = str(error)
        if why:
            what = f"the embedding '{printable(str(variant))}' of sample {number} is invalid: {why}"
            person, image = (None, None) if sample is None else (sample.person, sample.path)
            yield Damage("value", what, "vectors", person, number, image)
    for number in sorted(lacking):
        what = f"sample {number} of '{printable(known[number].person)}' has no embedding"
        yield Damage("missing", what, "vectors", known[number].person, number, known[number].path)


@dataclass(frozen=True, slots=True)
class GalleryHealth:
    """The state of a gallery's file."""

    # the file, and whether it exists
    path: Path
    exists: bool
    # what it states; None if it cannot be read
    schema_version: int | None = None
    pack_name: str | None = None
    pack_digest: str | None = None
    people: int | None = None
    samples: int | None = None
    journal_mode: str | None = None
    problems: tuple[str, ...] = ()  # a sentence for each problem; empty for a healthy or missing gallery


def inspect_gallery(path: str | os.PathLike[str]) -> GalleryHealth:
    """Read a whole gallery file and return its state; problems are returned, never raised."""
    place = named_path(path, "the path of the gallery")
    try:
        file = GalleryFile.open(place, read_only=True, busy_timeout=_SHORT_WAIT)
    except GalleryNotFoundError:
        return GalleryHealth(place, exists=place.exists())
    except FacebankError as error:
        return GalleryHealth(place, exists=True, problems=(str(error),))
    try:
        with file.reading() as connection:
            return _examine(place, connection)
    except FacebankError as error:
        return GalleryHealth(place, exists=True, problems=(str(error),))
    finally:
        file.close()


def _examine(place: Path, connection: sqlite3.Connection) -> GalleryHealth:
    bound = binding(connection)
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return GalleryHealth(
        path=place,
        exists=True,
        schema_version=schema_version(connection),
        pack_name=bound.pack.name,
        pack_digest=bound.pack.digest,
        people=len(people.names(connection)),
        samples=len(samples.sample_ids(connection)),
        journal_mode=str(mode),
        problems=(*_damage(connection), *_exposure(place), *_traces(connection)),
    )


def _damage(connection: sqlite3.Connection) -> list[str]:
    return [f"The file is damaged: {damage.message}." for damage in examine(connection)[1]]


def _exposure(place: Path) -> list[str]:
    if os.name != "posix" or not place.stat().st_mode & 0o077:
        return []
    return [f"Other users of this computer can read the faces: `chmod 600 {shell_word(str(place))}`."]


def _traces(connection: sqlite3.Connection) -> list[str]:
    if not traces(connection):
        return []
    return [
        "Traces of a forgotten person may still be in the file: they are removed when facebank next opens the "
        "gallery for writing, while nothing else uses it and the disk has room."
    ]
