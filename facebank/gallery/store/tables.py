"""What is asked of the gallery's tables: with `vector_tables` and `feedback_tables`, every SQL statement on a row.

The functions take a connection inside a transaction. They raise `InvalidValueError` for rows that cannot be, which
the transaction turns into `GalleryFormatError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.gallery.names import NAMES_TOGETHER, NameTable
from facebank.gallery.records import PackIdentity
from facebank.gallery.store.checked_rows import (
    blocks_of,
    damage_of,
    every_row,
    has_seals,
    kept_rows,
    rows_by_number,
    rows_of,
)
from facebank.gallery.store.codec import (
    LARGEST_DIMENSION,
    birth_date,
    floats_from_bytes,
    floats_to_bytes,
    note,
    only,
    person_name,
    person_names,
)
from facebank.gallery.store.schema import FACTS_SINCE, PICTURES_SINCE, schema_version
from facebank.gallery.store.sealing import delete, delete_all, insert, kept_sum, sum_name, update
from facebank.storage.values import (
    InvalidValueError,
    bytes_to_path,
    flag,
    fraction,
    hex_digest,
    path_to_bytes,
    text_to_time,
    time_to_text,
    whole,
)
from facebank.types import Person, Sample

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from facebank.gallery.records import NewSample, PersonFacts
    from facebank.gallery.store.checked_rows import Row
    from facebank.gallery.store.digests import Value
    from facebank.types import FloatArray


_NAMES_AT_ONCE = 4 * NAMES_TOGETHER


class Binding(NamedTuple):
    """The pack a gallery is bound to, and its number in the file."""

    pack_id: int
    pack: PackIdentity


class Owners(NamedTuple):
    """Samples: their numbers, rising, their people's, both ``int64 (N,)``, and their qualities, ``float32 (N,)``."""

    sample_ids: NDArray[np.int64]
    person_ids: NDArray[np.int64]
    qualities: FloatArray


# The gallery itself ---------------------------------------------------------------------------------------------


def begin_gallery(connection: sqlite3.Connection, pack: PackIdentity) -> None:
    """Write the one row that binds a new gallery to its pack."""
    insert(connection, "gallery", [{"id": 1, "pack_id": add_pack(connection, pack), "revision": 0, "traces": 0}])


def add_pack(connection: sqlite3.Connection, pack: PackIdentity) -> int:
    """Return the number of a pack in the file; a new one is written down."""
    known = connection.execute("SELECT id FROM packs WHERE digest = ?", (pack.digest,)).fetchone()
    if known is not None:
        return int(known[0])
    row: dict[str, Value] = {"name": pack.name, "digest": pack.digest, "dimension": pack.dimension}
    (pack_id,) = insert(connection, "packs", [row])
    return pack_id


def binding(connection: sqlite3.Connection) -> Binding:
    """Return the pack the gallery is bound to."""
    bound = [row["pack_id"] for row in rows_of(connection, "gallery")]
    packs = [row for row in every_row(connection, "packs") if row["id"] in bound]
    if len(bound) != 1 or not packs:
        raise InvalidValueError("it names no pack")
    pack_id, name, digest, dimension = (packs[0][column] for column in ("id", "name", "digest", "dimension"))
    if not (isinstance(name, str) and isinstance(digest, str) and isinstance(dimension, int)):
        raise InvalidValueError("it names no pack")
    if not 1 <= dimension <= LARGEST_DIMENSION:
        raise InvalidValueError(f"its embeddings cannot have {dimension} numbers")
    return Binding(whole(pack_id), PackIdentity(name, digest, dimension))


def bind(connection: sqlite3.Connection, pack_id: int) -> None:
    """Bind the gallery to a pack and drop all embeddings."""
    others = [number for (number,) in connection.execute("SELECT id FROM packs") if number != pack_id]
    delete_all(connection, "vectors")
    update(connection, "gallery", "id", 1, {"pack_id": pack_id})
    delete(connection, "packs", "id", others)


def revision(connection: sqlite3.Connection) -> int:
    """Return the gallery's revision."""
    return whole(_gallery(connection)["revision"])


def advance(connection: sqlite3.Connection) -> int:
    """Advance the gallery's revision by one and return it."""
    advanced = revision(connection) + 1
    update(connection, "gallery", "id", 1, {"revision": advanced})
    return advanced


def traces(connection: sqlite3.Connection) -> int:
    """Return the revision of the last removal whose bytes may still be in the file; 0 if there is none."""
    return whole(_gallery(connection)["traces"])


def note_traces(connection: sqlite3.Connection) -> None:
    """Note that something was removed whose bytes may still be in the file; call it after `advance`."""
    update(connection, "gallery", "id", 1, {"traces": revision(connection)})


def clear_traces(connection: sqlite3.Connection, noted: int) -> None:
    """Note that the bytes are gone, unless more was removed since they were `noted`."""
    if traces(connection) == noted:
        update(connection, "gallery", "id", 1, {"traces": 0})


def read_setting(connection: sqlite3.Connection, key: str) -> str | None:
    """Return the text kept under a key."""
    return next((str(row["value"]) for row in kept_rows(connection, "settings") if row["key"] == key), None)


def write_setting(connection: sqlite3.Connection, key: str, value: str | None) -> None:
    """Keep a text under a key; None removes it."""
    delete(connection, "settings", "key", [key])
    if value is not None:
        insert(connection, "settings", [{"key": key, "value": value}])


# People ---------------------------------------------------------------------------------------------------------


def people(connection: sqlite3.Connection) -> list[Person]:
    """Return everybody, in the order of their names."""
    numbers, masked = (_samples_by_person(connection, group) for group in (0, 1))
    return [
        _person(row, numbers.get(row["id"], 0) + masked.get(row["id"], 0), masked.get(row["id"], 0))
        for row in sorted(every_row(connection, "people"), key=lambda row: str(row["key"]))
    ]


def photo_counts(connection: sqlite3.Connection) -> dict[int, int]:
    """Return from how many photos each person's samples are, by the person's number; copies of a photo are one."""
    photos: dict[int, set[str]] = {}
    for row in every_row(connection, "samples"):
        photos.setdefault(whole(row["person_id"]), set()).add(row["picture_hash"] or row["content_hash"])
    return {person: len(theirs) for person, theirs in photos.items()}


def find_person(connection: sqlite3.Connection, key: str) -> Person | None:
    """Return the person of a name's key."""
    rows = rows_of(connection, "people", "WHERE key = ?", (key,))
    if not rows:
        if rows_of(connection, "people", "NOT INDEXED WHERE key = ?", (key,)):
            raise InvalidValueError("its index of names is not whole")
        return None
    number = whole(rows[0]["id"])
    counted = "SELECT count(*), {} FROM samples WHERE person_id = ?"
    masked = "coalesce(sum(masked), 0)" if _has_facts(connection) else "0"
    count, masked_count = connection.execute(counted.format(masked), (number,)).fetchone()
    return _person(rows[0], whole(count), whole(masked_count))


def person_ids(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the numbers of everybody by the names' keys."""
    return {str(row["key"]): whole(row["id"]) for row in every_row(connection, "people")}


def names(connection: sqlite3.Connection) -> dict[int, str]:
    """Return every person's name by number."""
    found: dict[int, str] = {}
    for some, texts in blocks_of(connection, "people", "names"):
        found.update(zip(some.tolist(), person_names(texts), strict=True))
    return found


def name_table(connection: sqlite3.Connection) -> NameTable:
    """Return every person's name by number, in little memory."""
    numbers = [np.empty(0, np.int64)]
    blocks: list[Sequence[str]] = []
    for some, texts in blocks_of(connection, "people", "names", rows_at_once=_NAMES_AT_ONCE):
        numbers.append(some)
        starts = range(0, len(texts), NAMES_TOGETHER)
        blocks.extend(person_names(texts[start : start + NAMES_TOGETHER]) for start in starts)
    return NameTable(np.concatenate(numbers), blocks)


def add_person(connection: sqlite3.Connection, name: str, key: str, now: datetime) -> int:
    """Write a new person down and return the number."""
    (number,) = insert(connection, "people", [{"name": name, "key": key, "created_at": time_to_text(now)}])
    return number


def rename_person(connection: sqlite3.Connection, person_id: int, name: str, key: str) -> None:
    """Give a person another name."""
    update(connection, "people", "id", person_id, {"name": name, "key": key})


def set_facts(connection: sqlite3.Connection, person_id: int, facts: PersonFacts) -> None:
    """Write down what is known about a person, in the place of what was."""
    update(connection, "people", "id", person_id, {"born": facts.born, "note": facts.note})


def birth_dates(connection: sqlite3.Connection) -> dict[int, str]:
    """Return the birth dates that are known, by person."""
    found: dict[int, str] = {}
    for some, dates in blocks_of(connection, "people", "births"):
        found.update(zip(some.tolist(), map(birth_date, dates), strict=True))
    return found


def move_samples(connection: sqlite3.Connection, source: int, target: int) -> None:
    """Give all samples of one person to another."""
    update(connection, "samples", "person_id", source, {"person_id": target})


def give_sample(connection: sqlite3.Connection, sample_id: int, person_id: int) -> None:
    """Give a sample to another person."""
    update(connection, "samples", "id", sample_id, {"person_id": person_id})


def delete_person(connection: sqlite3.Connection, person_id: int) -> None:
    """Delete a person with all samples, thumbnails, vectors and denials."""
    delete(connection, "people", "id", [person_id])


# Samples --------------------------------------------------------------------------------------------------------


def add_sample(connection: sqlite3.Connection, person_id: int, sample: NewSample, now: datetime) -> int:
    """Write a sample down, without its vectors, and return its number."""
    (sample_id,) = insert(
        connection,
        "samples",
        [
            {
                "person_id": person_id,
                "box": floats_to_bytes(sample.box),
                "landmarks": floats_to_bytes(sample.landmarks),
                "detection_score": float(sample.detection_score),
                "quality": float(sample.quality),
                "source": path_to_bytes(sample.path),
                "content_hash": sample.content_hash,
                "quarter_turns": sample.quarter_turns,
                "taken_at": None if sample.taken_at is None else time_to_text(sample.taken_at),
                "enrolled_at": time_to_text(sample.enrolled_at or now),
                "masked": int(sample.masked),
                "camera_dated": int(sample.camera_dated),
                "picture_hash": sample.picture_hash,
            }
        ],
    )
    if sample.thumbnail is not None:
        insert(connection, "thumbnails", [{"sample_id": sample_id, "jpeg": sample.thumbnail}])
    return sample_id


def samples_of(connection: sqlite3.Connection, person_id: int) -> list[Sample]:
    """Return a person's samples, in the order of their numbers."""
    rows = rows_of(connection, "samples", "WHERE person_id = ? ORDER BY id", (person_id,))
    count = only(connection.execute("SELECT count(*) FROM samples NOT INDEXED WHERE person_id = ?", (person_id,)))
    if count != len(rows):
        raise damage_of(connection, "samples", "its index of samples is not whole")
    return _samples(connection, rows)


def samples_of_everybody(connection: sqlite3.Connection) -> dict[int, list[Sample]]:
    """Return all samples by their people's numbers, in the order of their own."""
    found: dict[int, list[Sample]] = {}
    rows = every_row(connection, "samples")
    for row, sample in zip(rows, _samples(connection, rows), strict=True):
        found.setdefault(whole(row["person_id"]), []).append(sample)
    return found


def samples_of_photo(
    connection: sqlite3.Connection, content_hash: str, picture_hash: str | None = None
) -> list[Sample]:
    """Return the samples that come from one photo, known by its bytes or its picture, in the order of their numbers."""
    either, values = of_photo(connection, content_hash, picture_hash)
    return _samples(connection, rows_of(connection, "samples", f"WHERE {either} ORDER BY id", values))


def samples_by_number(connection: sqlite3.Connection, numbers: Iterable[int]) -> list[Sample]:
    """Return the samples of some numbers, in the order given."""
    wanted = list(numbers)
    rows = {row["id"]: row for row in rows_by_number(connection, "samples", "id", wanted)}
    if not rows.keys() >= set(wanted):
        raise damage_of(connection, "samples", "an embedding belongs to no sample")
    return _samples(connection, [rows[number] for number in wanted])


def owners(connection: sqlite3.Connection, *, masked: bool | None = None) -> Owners:
    """Return whose all samples are, in the order of their numbers.

    Parameters
    ----------
    connection
        Inside a transaction.
    masked
        True for the samples that wear a mask, False for the others, None for all.
    """
    groups = (0, 1) if masked is None else (int(masked),)
    blocks = [block[:3] for group in groups for block in blocks_of(connection, "samples", "owners", group)]
    if not blocks:
        return Owners(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    numbers, people_ids, rated = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
    qualities = np.nan_to_num(rated, nan=0.0).clip(0.0, 1.0).astype(np.float32)
    if not (np.diff(numbers) > 0).all():
        order = np.argsort(numbers, kind="stable")
        numbers, people_ids, qualities = numbers[order], people_ids[order], qualities[order]
    return Owners(numbers, people_ids, qualities)


def of_photo(
    connection: sqlite3.Connection, content_hash: str, picture_hash: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return a condition for the rows of a photo, which is known by its bytes or by its picture, and its values."""
    if picture_hash is None or schema_version(connection) < PICTURES_SINCE:
        return "content_hash = ?", (content_hash,)
    return "(content_hash = ? OR picture_hash = ?)", (content_hash, picture_hash)


def sample_ids(connection: sqlite3.Connection) -> set[int]:
    """Return the numbers of all samples."""
    return set(owners(connection).sample_ids.tolist())


def has_sample(connection: sqlite3.Connection, sample_id: int) -> bool:
    """Return whether there is a sample of this number."""
    return connection.execute("SELECT 1 FROM samples WHERE id = ?", (sample_id,)).fetchone() is not None


def delete_samples(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Delete samples with their thumbnails and vectors."""
    delete(connection, "samples", "id", map(int, numbers))


def thumbnail(connection: sqlite3.Connection, sample_id: int) -> bytes | None:
    """Return a sample's thumbnail, a JPEG."""
    rows = rows_of(connection, "thumbnails", "WHERE sample_id = ?", (sample_id,))
    if not rows:
        _check_thumbnails_have_samples(connection)
        return None
    if not isinstance(rows[0]["jpeg"], bytes):
        raise InvalidValueError("it holds a thumbnail that is none")
    jpeg: bytes = rows[0]["jpeg"]
    return jpeg


def _check_thumbnails_have_samples(connection: sqlite3.Connection) -> None:
    """Refuse lost thumbnails, and those of no sample: a damaged number looks like a sample that never had one."""
    if not has_seals(connection):
        return
    theirs = [number for (number,) in connection.execute("SELECT sample_id FROM thumbnails NOT INDEXED")]
    samples = {number for (number,) in connection.execute("SELECT id FROM samples NOT INDEXED")}
    kept = kept_sum(connection, sum_name("thumbnails")).row_count
    if len(theirs) != kept or len(set(theirs)) != kept or not samples.issuperset(theirs):
        raise damage_of(connection, "thumbnails", "a thumbnail belongs to no sample")


# Rows -----------------------------------------------------------------------------------------------------------


def _has_facts(connection: sqlite3.Connection) -> bool:
    return schema_version(connection) >= FACTS_SINCE


def _gallery(connection: sqlite3.Connection) -> Row:
    rows = rows_of(connection, "gallery")
    if len(rows) != 1:
        raise InvalidValueError("it holds more or less than one row that must be there once")
    return rows[0]


def _samples_by_person(connection: sqlite3.Connection, group: int) -> dict[int, int]:
    numbers, counts = np.unique(owners(connection, masked=bool(group)).person_ids, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _person(row: Row, sample_count: int, masked_count: int) -> Person:
    return Person(
        id=whole(row["id"]),
        name=person_name(row["name"]),
        sample_count=sample_count,
        created_at=text_to_time(row["created_at"]),
        born=None if row["born"] is None else birth_date(row["born"]),
        note=None if row["note"] is None else note(row["note"]),
        masked_count=masked_count,
    )


def _samples(connection: sqlite3.Connection, rows: list[Row]) -> list[Sample]:
    people_ids = {whole(row["person_id"]) for row in rows}
    called = {row["id"]: person_name(row["name"]) for row in rows_by_number(connection, "people", "id", people_ids)}
    pictured = _pictured(connection, [whole(row["id"]) for row in rows])
    if people_ids - called.keys():
        raise InvalidValueError("a sample belongs to nobody")
    return [
        Sample(
            id=whole(row["id"]),
            person=called[row["person_id"]],
            box=floats_from_bytes(row["box"], (4,)),
            landmarks=floats_from_bytes(row["landmarks"], (5, 2)),
            detection_score=fraction(row["detection_score"]),
            quality=fraction(row["quality"]),
            path=bytes_to_path(row["source"]),
            content_hash=hex_digest(row["content_hash"]),
            quarter_turns=whole(row["quarter_turns"]),
            taken_at=None if row["taken_at"] is None else text_to_time(row["taken_at"]),
            enrolled_at=text_to_time(row["enrolled_at"]),
            has_thumbnail=row["id"] in pictured,
            masked=flag(row["masked"]),
            camera_dated=flag(row["camera_dated"]),
            picture_hash=None if row["picture_hash"] is None else hex_digest(row["picture_hash"]),
        )
        for row in rows
    ]


def _pictured(connection: sqlite3.Connection, numbers: list[int]) -> set[int]:
    found = (
        connection.execute("SELECT 1 FROM thumbnails WHERE sample_id = ?", (number,)).fetchone() for number in numbers
    )
    return {number for number, row in zip(numbers, found, strict=True) if row is not None}
