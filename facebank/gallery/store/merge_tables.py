"""What is asked of the tables of merges; as `facebank.gallery.store.tables`, inside a transaction.

A merge is somebody who was joined with a person, as that person was, and whose samples and denials came along. A
gallery of before these tables, which is only read, has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from facebank.gallery.records import PersonFacts
from facebank.gallery.store.codec import birth_date, note, person_name
from facebank.gallery.store.schema import MERGES_SINCE, schema_version
from facebank.gallery.store.sealing import delete, insert, update
from facebank.storage.values import flag, text_to_time, time_to_text, whole

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from facebank.gallery.store.digests import Value
    from facebank.types import Person

_MERGES = """
    SELECT merges.id, person_id, batch, people.name, merges.name, merges.created_at, merges.born, merges.note,
        kept_born, kept_note, merged_at, (SELECT count(*) FROM merged_samples WHERE merge_id = merges.id)
    FROM merges JOIN people ON people.id = person_id
    """


class Merge(NamedTuple):
    """Somebody who was joined with a person.

    Attributes
    ----------
    id
        The merge's number.
    person_id, person
        Number and name of the person who stayed.
    batch
        The number of the first merge of the same call.
    name, created_at, facts
        Of who was joined.
    kept
        What was known about the person who stayed, before.
    merged_at
        When that was.
    sample_count
        How many samples came along that are still there.
    """

    id: int
    person_id: int
    person: str
    batch: int
    name: str
    created_at: datetime
    facts: PersonFacts
    kept: PersonFacts
    merged_at: datetime
    sample_count: int


def add_merge(
    connection: sqlite3.Connection, source: Person, target: Person, batch: int | None, now: datetime
) -> int | None:
    """Write down that somebody is about to be joined with a person, before anything is moved; returns the number.

    Who has no samples leaves nothing that could be separated again, and is not written down: None.

    Parameters
    ----------
    connection
        Inside a write transaction.
    source, target
        Who goes and who stays.
    batch
        The number of the first merge of this call; None if this is the first.
    now
        The time.
    """
    samples = [row for (row,) in connection.execute("SELECT id FROM samples WHERE person_id = ?", (source.id,))]
    if not samples:
        return None
    row: dict[str, Value] = {
        "person_id": target.id,
        "batch": batch or 0,
        "name": source.name,
        "created_at": time_to_text(source.created_at),
        "born": source.born,
        "note": source.note,
        "kept_born": target.born,
        "kept_note": target.note,
        "merged_at": time_to_text(now),
    }
    (number,) = insert(connection, "merges", [row])
    if batch is None:
        update(connection, "merges", "id", number, {"batch": number})
    _take_along(connection, source.id, target.id, number)
    insert(connection, "merged_samples", [{"merge_id": number, "sample_id": sample} for sample in samples])
    return number


def note_denials(connection: sqlite3.Connection, merge: int, denials: Iterable[tuple[int, bool]]) -> None:
    """Write down which denials came along, and whether the person who stayed had denied the same face."""
    rows = [{"merge_id": merge, "denial_id": number, "is_shared": int(shared)} for number, shared in denials]
    insert(connection, "merged_denials", rows)


def merges_of(connection: sqlite3.Connection, person_id: int) -> list[Merge]:
    """Return who was joined with a person, those that came along with others left out, in the order of the merges."""
    if schema_version(connection) < MERGES_SINCE:
        return []
    rows = connection.execute(_MERGES + "WHERE person_id = ? AND came_with IS NULL ORDER BY merges.id", (person_id,))
    return [_merge(row) for row in rows]


def merges_called(connection: sqlite3.Connection, key: str) -> list[Merge]:
    """Return the merges of somebody by the key of the name."""
    from facebank.gallery.names import name_key

    if schema_version(connection) < MERGES_SINCE:
        return []
    rows = map(_merge, connection.execute(_MERGES + "ORDER BY merges.id"))
    return [merge for merge in rows if name_key(merge.name) == key]


def people_with_merges(connection: sqlite3.Connection) -> set[int]:
    """Return the numbers of the people with whom somebody was joined."""
    if schema_version(connection) < MERGES_SINCE:
        return set()
    return {whole(number) for (number,) in connection.execute("SELECT person_id FROM merges")}


def merged_samples(connection: sqlite3.Connection, merge: int, person_id: int) -> list[int]:
    """Return the samples of a merge that are still a person's."""
    rows = connection.execute(
        "SELECT sample_id FROM merged_samples JOIN samples ON samples.id = sample_id "
        "WHERE merge_id = ? AND person_id = ? ORDER BY sample_id",
        (merge, person_id),
    )
    return [whole(number) for (number,) in rows]


def merged_denials(connection: sqlite3.Connection, merge: int) -> list[tuple[int, bool]]:
    """Return the denials of a merge, and whether the person who stayed had denied the same face."""
    rows = connection.execute("SELECT denial_id, is_shared FROM merged_denials WHERE merge_id = ?", (merge,))
    return [(whole(number), flag(shared)) for number, shared in rows]


def undo_merge(connection: sqlite3.Connection, merge: Merge, person_id: int) -> None:
    """Give a person who is apart again the merges of before, and drop the one that is undone."""
    for number in _came_with(connection, merge.id):
        update(connection, "merges", "id", number, {"came_with": None})
        _give(connection, number, person_id)
    delete(connection, "merges", "id", [merge.id])


def drop_samples(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Note that samples are another person's now: no merge brought them along."""
    delete(connection, "merged_samples", "sample_id", numbers)
    drop_empty(connection)


def drop_empty(connection: sqlite3.Connection) -> None:
    """Drop the merges of whom no sample is left: nothing could be separated again, and the name is not kept."""
    if schema_version(connection) < MERGES_SINCE:
        return
    rows = connection.execute("SELECT id FROM merges WHERE id NOT IN (SELECT merge_id FROM merged_samples)")
    delete(connection, "merges", "id", [number for (number,) in rows.fetchall()])


def _give(connection: sqlite3.Connection, merge: int, person_id: int) -> None:
    """Give a merge, and those that came with it, to another person."""
    pending = [merge]
    while pending:
        number = pending.pop()
        update(connection, "merges", "id", number, {"person_id": person_id})
        pending += _came_with(connection, number)


def _came_with(connection: sqlite3.Connection, merge: int) -> list[int]:
    rows = connection.execute("SELECT id FROM merges WHERE came_with = ?", (merge,)).fetchall()
    return [whole(number) for (number,) in rows]


def _take_along(connection: sqlite3.Connection, source: int, target: int, merge: int) -> None:
    """Give a person the merges of somebody who is joined."""
    rows = connection.execute("SELECT id, came_with FROM merges WHERE person_id = ?", (source,)).fetchall()
    for number, came_with in rows:
        changes = {"person_id": target, "came_with": merge if came_with is None else came_with}
        update(connection, "merges", "id", number, changes)


def _merge(row: tuple[object, ...]) -> Merge:
    number, person_id, batch, person, name, created_at, born, text, kept_born, kept_note, merged_at, count = row
    return Merge(
        id=whole(number),
        person_id=whole(person_id),
        person=person_name(person),
        batch=whole(batch),
        name=person_name(name),
        created_at=text_to_time(created_at),
        facts=_facts(born, text),
        kept=_facts(kept_born, kept_note),
        merged_at=text_to_time(merged_at),
        sample_count=whole(count),
    )


def _facts(born: object, text: object) -> PersonFacts:
    return PersonFacts(None if born is None else birth_date(born), None if text is None else note(text))
