"""What is asked of the gallery's tables: with `vector_tables` and `feedback_tables`, every SQL statement on a row.

The functions take a connection inside a transaction. They raise `InvalidValueError` for rows that cannot be, which
the transaction turns into `GalleryFormatError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.faces import Detection, Person, Sample
from facebank.gallery.codec import (
    LARGEST_DIMENSION,
    birth_date,
    bytes_to_path,
    flag,
    floats_from_bytes,
    floats_to_bytes,
    hex_digest,
    note,
    only,
    path_to_bytes,
    person_name,
    person_names,
    share,
    text_to_time,
    time_to_text,
    whole,
    wholes,
)
from facebank.gallery.names import NAMES_TOGETHER, NameTable
from facebank.gallery.records import PackIdentity
from facebank.gallery.schema import FACTS_SINCE, PICTURES_SINCE, schema_version
from facebank.gallery.sealing import delete, delete_all, insert, update
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

    from facebank.gallery.digests import Value
    from facebank.gallery.records import NewSample, PersonFacts

_SAMPLES = """
    SELECT samples.id, people.name, box, landmarks, detection_score, quality, source, content_hash, quarter_turns,
        taken_at, enrolled_at, EXISTS (SELECT 1 FROM thumbnails WHERE sample_id = samples.id), {facts}
    FROM samples JOIN people ON people.id = person_id
    """
_PEOPLE = """
    SELECT id, name, created_at, (SELECT count(*) FROM samples WHERE person_id = people.id), {facts} FROM people
    """
_PHOTO_COUNTS = "SELECT person_id, count(DISTINCT {picture}) FROM samples GROUP BY person_id"
_FACTS_OF_PERSON = "born, note, (SELECT count(*) FROM samples WHERE person_id = people.id AND masked = 1)"


class Binding(NamedTuple):
    """The pack a gallery is bound to, and its number in the file."""

    pack_id: int
    pack: PackIdentity


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
    row = connection.execute(
        "SELECT packs.id, name, digest, dimension FROM gallery JOIN packs ON packs.id = pack_id"
    ).fetchone()
    if row is None:
        raise InvalidValueError("it names no pack")
    pack_id, name, digest, dimension = row
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
    return whole(only(connection.execute("SELECT revision FROM gallery")))


def advance(connection: sqlite3.Connection) -> int:
    """Advance the gallery's revision by one and return it."""
    advanced = revision(connection) + 1
    update(connection, "gallery", "id", 1, {"revision": advanced})
    return advanced


def traces(connection: sqlite3.Connection) -> int:
    """Return the revision of the last removal whose bytes may still be in the file; 0 if there is none."""
    return whole(only(connection.execute("SELECT traces FROM gallery")))


def note_traces(connection: sqlite3.Connection) -> None:
    """Note that something was removed whose bytes may still be in the file; call it after `advance`."""
    update(connection, "gallery", "id", 1, {"traces": revision(connection)})


def clear_traces(connection: sqlite3.Connection, noted: int) -> None:
    """Note that the bytes are gone, unless more was removed since they were `noted`."""
    if traces(connection) == noted:
        update(connection, "gallery", "id", 1, {"traces": 0})


def read_setting(connection: sqlite3.Connection, key: str) -> str | None:
    """Return the text kept under a key."""
    row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def write_setting(connection: sqlite3.Connection, key: str, value: str | None) -> None:
    """Keep a text under a key; None removes it."""
    delete(connection, "settings", "key", [key])
    if value is not None:
        insert(connection, "settings", [{"key": key, "value": value}])


# People ---------------------------------------------------------------------------------------------------------


def people(connection: sqlite3.Connection) -> list[Person]:
    """Return everybody, in the order of their names."""
    return [_person(row) for row in connection.execute(_people_rows(connection) + "ORDER BY key")]


def photo_counts(connection: sqlite3.Connection) -> dict[int, int]:
    """Return from how many photos each person's samples are, by the person's number; copies of a photo are one."""
    picture = "coalesce(picture_hash, content_hash)" if schema_version(connection) >= PICTURES_SINCE else "content_hash"
    rows = connection.execute(_PHOTO_COUNTS.format(picture=picture))
    return {whole(person): whole(count) for person, count in rows}


def find_person(connection: sqlite3.Connection, key: str) -> Person | None:
    """Return the person of a name's key."""
    row = connection.execute(_people_rows(connection) + "WHERE key = ?", (key,)).fetchone()
    return None if row is None else _person(row)


def names(connection: sqlite3.Connection) -> dict[int, str]:
    """Return every person's name by number."""
    return {
        whole(number): person_name(name)
        for number, name in connection.execute("SELECT id, name FROM people ORDER BY id")
    }


def name_table(connection: sqlite3.Connection) -> NameTable:
    """Return every person's name by number, in little memory."""
    rows = connection.execute("SELECT id, name FROM people ORDER BY id")
    numbers, blocks = [np.empty(0, np.int64)], []
    while block := rows.fetchmany(NAMES_TOGETHER):
        some, texts = zip(*block, strict=True)
        numbers.append(wholes(list(some)))
        blocks.append(person_names(texts))
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
    if not _has_facts(connection):
        return {}
    rows = connection.execute("SELECT id, born FROM people WHERE born IS NOT NULL ORDER BY id")
    return {whole(number): birth_date(born) for number, born in rows}


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
                "box": floats_to_bytes(sample.detection.box),
                "landmarks": floats_to_bytes(sample.detection.landmarks),
                "detection_score": float(sample.detection.score),
                "quality": float(sample.quality),
                "source": path_to_bytes(sample.source),
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
    rows = connection.execute(_sample_rows(connection) + "WHERE person_id = ? ORDER BY samples.id", (person_id,))
    return [_sample(row) for row in rows]


def samples_of_photo(
    connection: sqlite3.Connection, content_hash: str, picture_hash: str | None = None
) -> list[Sample]:
    """Return the samples that come from one photo, known by its bytes or its picture, in the order of their numbers."""
    either, values = of_photo(connection, content_hash, picture_hash)
    rows = connection.execute(f"{_sample_rows(connection)}WHERE {either} ORDER BY samples.id", values)
    return [_sample(row) for row in rows]


def of_photo(
    connection: sqlite3.Connection, content_hash: str, picture_hash: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return a condition for the rows of a photo, which is known by its bytes or by its picture, and its values."""
    if picture_hash is None or schema_version(connection) < PICTURES_SINCE:
        return "content_hash = ?", (content_hash,)
    return "(content_hash = ? OR picture_hash = ?)", (content_hash, picture_hash)


def sample_ids(connection: sqlite3.Connection) -> set[int]:
    """Return the numbers of all samples."""
    return {whole(number) for (number,) in connection.execute("SELECT id FROM samples")}


def has_sample(connection: sqlite3.Connection, sample_id: int) -> bool:
    """Return whether there is a sample of this number."""
    return connection.execute("SELECT 1 FROM samples WHERE id = ?", (sample_id,)).fetchone() is not None


def delete_samples(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Delete samples with their thumbnails and vectors."""
    delete(connection, "samples", "id", map(int, numbers))


def thumbnail(connection: sqlite3.Connection, sample_id: int) -> bytes | None:
    """Return a sample's thumbnail, a JPEG."""
    row = connection.execute("SELECT jpeg FROM thumbnails WHERE sample_id = ?", (sample_id,)).fetchone()
    if row is None:
        return None
    if not isinstance(row[0], bytes):
        raise InvalidValueError("it holds a thumbnail that is none")
    return row[0]


# Rows -----------------------------------------------------------------------------------------------------------


def _has_facts(connection: sqlite3.Connection) -> bool:
    return schema_version(connection) >= FACTS_SINCE


def _people_rows(connection: sqlite3.Connection) -> str:
    return _PEOPLE.format(facts=_FACTS_OF_PERSON if _has_facts(connection) else "NULL, NULL, 0")


def _sample_rows(connection: sqlite3.Connection) -> str:
    facts = "masked, camera_dated" if _has_facts(connection) else "0, 0"
    picture = "picture_hash" if schema_version(connection) >= PICTURES_SINCE else "NULL"
    return _SAMPLES.format(facts=f"{facts}, {picture}")


def _person(row: tuple[object, ...]) -> Person:
    number, name, created_at, sample_count, born, text, masked_count = row
    return Person(
        id=whole(number),
        name=person_name(name),
        sample_count=whole(sample_count),
        created_at=text_to_time(created_at),
        born=None if born is None else birth_date(born),
        note=None if text is None else note(text),
        masked_count=whole(masked_count),
    )


def _sample(row: tuple[object, ...]) -> Sample:
    number, person, box, landmarks, score, quality, source, content_hash, turns, *others = row
    taken_at, enrolled_at, has_thumbnail, masked, camera_dated, picture = others
    return Sample(
        id=whole(number),
        person=person_name(person),
        detection=Detection(floats_from_bytes(box, (4,)), floats_from_bytes(landmarks, (5, 2)), share(score)),
        quality=share(quality),
        source=bytes_to_path(source),
        content_hash=hex_digest(content_hash),
        quarter_turns=whole(turns),
        taken_at=None if taken_at is None else text_to_time(taken_at),
        enrolled_at=text_to_time(enrolled_at),
        has_thumbnail=bool(has_thumbnail),
        masked=flag(masked),
        camera_dated=flag(camera_dated),
        picture_hash=None if picture is None else hex_digest(picture),
    )
