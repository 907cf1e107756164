"""People of a gallery: lookup, rename, describe, merge and split; call inside a transaction.

A merge records what is needed to undo it: the merged person's facts, and which samples and denials were moved. Older
galleries without these tables are read-only and have no merges. Damage raises `InvalidValueError`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import EllipsisType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.errors import PersonExistsError, PersonNotFoundError, UsageError
from facebank.gallery import feedback
from facebank.gallery.name_table import NAMES_PER_BLOCK, NameTable
from facebank.gallery.names import name_key, normalize_name
from facebank.gallery.records import PersonFacts
from facebank.gallery.samples import owners, samples_of
from facebank.gallery.store.codec import MAX_NOTE_LENGTH, birth_date, note, person_name, person_names
from facebank.gallery.store.indexes import NAMES_INDEX, hides_rows
from facebank.gallery.store.rows import all_rows, blocks_of, delete, insert, rows_of, update
from facebank.gallery.store.schema import FACTS_SINCE, MERGES_SINCE, schema_version
from facebank.gallery.store.state import advance
from facebank.storage.dates import parse_birth_date
from facebank.storage.text import printable, shell_command
from facebank.storage.values import InvalidValueError, flag, integer, text_to_time, time_to_text
from facebank.types import Person

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from facebank.gallery.store.digests import Value
    from facebank.gallery.store.rows import Row
    from facebank.gallery.store.state import Binding


_NAMES_PER_QUERY = 4 * NAMES_PER_BLOCK
_MERGES = """
    SELECT merges.id, person_id, batch, people.name, merges.name, merges.created_at, merges.born, merges.note,
        kept_born, kept_note, merged_at, (SELECT count(*) FROM merged_samples WHERE merge_id = merges.id)
    FROM merges JOIN people ON people.id = person_id
    """


class Merge(NamedTuple):
    """A person who was merged into another."""

    id: int
    person_id: int  # the remaining person
    person: str  # the remaining person's name
    batch: int  # id of the first merge of the same call
    name: str  # the merged person's name
    created_at: datetime  # when the merged person was first enrolled
    facts: PersonFacts  # the merged person's facts
    kept: PersonFacts  # the remaining person's facts before the merge
    merged_at: datetime
    sample_count: int  # number of moved samples that still exist


def list_people(connection: sqlite3.Connection) -> list[Person]:
    """Return all people, in the order of their names."""
    unmasked, masked = (_sample_counts(connection, masked=is_masked) for is_masked in (False, True))
    return [
        _person(row, unmasked.get(row["id"], 0) + masked.get(row["id"], 0), masked.get(row["id"], 0))
        for row in sorted(all_rows(connection, "people"), key=lambda row: str(row["key"]))
    ]


def find(connection: sqlite3.Connection, name: str) -> Person:
    """Return the person with a name, ignoring case; raises `PersonNotFoundError`."""
    key = name_key(normalize_name(name))
    person = find_key(connection, key)
    if person is None:
        raise PersonNotFoundError(f"Nobody called '{printable(name)}' is enrolled: {_hint_for(connection, key)}.")
    return person


def find_key(connection: sqlite3.Connection, key: str) -> Person | None:
    """Return the person with the key of a name (`name_key`); None if there is none."""
    rows = rows_of(connection, "people", "WHERE key = ?", (key,))
    if not rows:
        if hides_rows(connection, NAMES_INDEX, key):
            raise InvalidValueError("its index of names is incomplete")
        return None
    person_id = integer(rows[0]["id"])
    masked = "coalesce(sum(masked), 0)" if schema_version(connection) >= FACTS_SINCE else "0"
    statement = f"SELECT count(*), {masked} FROM samples WHERE person_id = ?"  # noqa: S608 - constants
    count, masked_count = connection.execute(statement, (person_id,)).fetchone()
    return _person(rows[0], integer(count), integer(masked_count))


def person_ids(connection: sqlite3.Connection) -> dict[str, int]:
    """Return all people's ids by name key."""
    return {str(row["key"]): integer(row["id"]) for row in all_rows(connection, "people")}


def names(connection: sqlite3.Connection) -> dict[int, str]:
    """Return all people's names by person id."""
    names_by_id: dict[int, str] = {}
    for ids, texts in blocks_of(connection, "people", "names"):
        names_by_id.update(zip(ids.tolist(), person_names(texts), strict=True))
    return names_by_id


def name_table(connection: sqlite3.Connection) -> NameTable:
    """Return all people's names by person id, in a compact mapping."""
    id_blocks = [np.empty(0, np.int64)]
    name_blocks: list[Sequence[str]] = []
    for ids, texts in blocks_of(connection, "people", "names", rows_at_once=_NAMES_PER_QUERY):
        id_blocks.append(ids)
        starts = range(0, len(texts), NAMES_PER_BLOCK)
        name_blocks.extend(person_names(texts[start : start + NAMES_PER_BLOCK]) for start in starts)
    return NameTable(np.concatenate(id_blocks), name_blocks)


def birth_dates(connection: sqlite3.Connection) -> dict[int, str]:
    """Return the known birth dates by person id."""
    dates_by_id: dict[int, str] = {}
    for ids, dates in blocks_of(connection, "people", "births"):
        dates_by_id.update(zip(ids.tolist(), map(birth_date, dates), strict=True))
    return dates_by_id


def photo_counts(connection: sqlite3.Connection) -> dict[int, int]:
    """Return the number of photos behind each person's samples, by person id; copies of a photo count once."""
    photos: dict[int, set[str]] = {}
    for row in all_rows(connection, "samples"):
        photos.setdefault(integer(row["person_id"]), set()).add(row["picture_hash"] or row["content_hash"])
    return {person_id: len(hashes) for person_id, hashes in photos.items()}


def _hint_for(connection: sqlite3.Connection, key: str) -> str:
    """Return a hint about a name that no person has: the person it was merged into, if any."""
    merges = [merge for merge in _merges(connection, "ORDER BY merges.id") if name_key(merge.name) == key]
    if not merges:
        return "'facebank people list' lists the people"
    person = merges[-1].person
    command = shell_command("people", "unmerge", person)
    explanation = f"that person was merged into {printable(person)}"
    return f"{explanation}; `{command}` separates them, 'facebank people forget' forgets both"


def _sample_counts(connection: sqlite3.Connection, *, masked: bool) -> dict[int, int]:
    person_ids, counts = np.unique(owners(connection, masked=masked).person_ids, return_counts=True)
    return dict(zip(person_ids.tolist(), counts.tolist(), strict=True))


def _person(row: Row, sample_count: int, masked_count: int) -> Person:
    facts = _facts(row["born"], row["note"])
    return Person(
        id=integer(row["id"]),
        name=person_name(row["name"]),
        sample_count=sample_count,
        created_at=text_to_time(row["created_at"]),
        born=facts.born,
        note=facts.note,
        masked_count=masked_count,
    )


def _facts(born: object, text: object) -> PersonFacts:
    return PersonFacts(None if born is None else birth_date(born), None if text is None else note(text))


def add_person(connection: sqlite3.Connection, name: str, now: datetime) -> int:
    """Add a person of a normalized name, and return the person's id."""
    row: dict[str, Value] = {"name": name, "key": name_key(name), "created_at": time_to_text(now)}
    (person_id,) = insert(connection, "people", [row])
    return person_id


def rename(connection: sqlite3.Connection, name: str, new_name: str) -> Person:
    """Rename a person; raises `PersonExistsError` if another person has the name."""
    new_name = normalize_name(new_name)
    person = find(connection, name)
    other = find_key(connection, name_key(new_name))
    if other is not None and other.id != person.id:
        raise PersonExistsError(
            f"There is already a person called '{printable(other.name)}': if both are the same person, join them with "
            "'facebank people merge'."
        )
    update(connection, "people", "id", person.id, {"name": new_name, "key": name_key(new_name)})
    advance(connection)
    return find(connection, new_name)


def describe(
    connection: sqlite3.Connection,
    name: str,
    *,
    born: str | EllipsisType | None = ...,
    note: str | EllipsisType | None = ...,
) -> Person:
    """Set or clear a person's facts, except for ``...``; raises as `Gallery.describe` does."""
    person = find(connection, name)
    facts = PersonFacts(
        born=person.born if isinstance(born, EllipsisType) else _check_text(born, parse_birth_date),
        note=person.note if isinstance(note, EllipsisType) else _check_text(note, _check_note),
    )
    _set_facts(connection, person, facts)
    return find(connection, name)


def add_facts(connection: sqlite3.Connection, name: str, facts: PersonFacts) -> None:
    """Add facts that a person lacks; notes are joined. Raises `PersonNotFoundError`."""
    person = find(connection, name)
    _set_facts(connection, person, _join_facts(PersonFacts(person.born, person.note), facts))


def split(connection: sqlite3.Connection, name: str, into: str, sample_ids: Sequence[int]) -> Person:
    """Move some of a person's samples to a new person, and return that person; raises as `Gallery.split` does."""
    person, new = find(connection, name), normalize_name(into)
    own_ids = {sample.id for sample in samples_of(connection, person.id)}
    moved = sorted(set(sample_ids))
    foreign = next((sample_id for sample_id in moved if sample_id not in own_ids), None)
    if foreign is not None:
        raise UsageError(
            f"Sample {foreign} does not belong to '{printable(person.name)}': 'facebank people show' lists the samples."
        )
    if len(own_ids) == 1:
        raise UsageError(
            f"'{printable(person.name)}' has one sample, which cannot be split: use 'facebank people rename' instead."
        )
    if not moved or len(moved) == len(own_ids):
        raise UsageError(
            f"'{printable(person.name)}' has {len(own_ids)} samples: give some of their numbers, not all; "
            "'facebank people rename' renames the person."
        )
    other = find_key(connection, name_key(new))
    if other is not None:
        raise PersonExistsError(
            f"There is already a person called '{printable(other.name)}': choose another name, then join the two "
            "with 'facebank people merge'."
        )
    person_id = add_person(connection, new, datetime.now(UTC))
    for sample_id in moved:
        update(connection, "samples", "id", sample_id, {"person_id": person_id})
    delete(connection, "merged_samples", "sample_id", moved)
    drop_empty_merges(connection)
    advance(connection)
    return find(connection, new)


def _set_facts(connection: sqlite3.Connection, person: Person, facts: PersonFacts) -> None:
    if facts != PersonFacts(person.born, person.note):
        update(connection, "people", "id", person.id, {"born": facts.born, "note": facts.note})
        advance(connection)


def _check_text(text: str | None, check: Callable[[str], str]) -> str | None:
    return None if text is None or not text.strip() else check(text)


def _check_note(text: str) -> str:
    if len(text) > MAX_NOTE_LENGTH:
        raise UsageError(f"A note has at most {MAX_NOTE_LENGTH:,} characters, not {len(text):,}: shorten it.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("The note is not valid Unicode text: remove lone surrogates.") from error
    return text.strip()


def _join_facts(kept: PersonFacts, added: PersonFacts) -> PersonFacts:
    note = kept.note or added.note
    if kept.note and added.note and added.note not in kept.note:
        joined = f"{kept.note}; {added.note}"
        note = joined if len(joined) <= MAX_NOTE_LENGTH else kept.note
    return PersonFacts(kept.born or added.born, note)


def merge(connection: sqlite3.Connection, bound: Binding, sources: Sequence[str], into: str) -> Person:
    """Move the samples and denials of people to one person, and remove the others; raises as `Gallery.merge` does."""
    target = find(connection, into)
    others = {person.id: person for person in (find(connection, source) for source in sources)}
    others.pop(target.id, None)
    if not others:
        raise UsageError(f"Name at least one person other than '{printable(target.name)}' to merge.")
    batch, now = None, datetime.now(UTC)
    for other_id, other in sorted(others.items()):
        merge_id = _note_merge(connection, other, find(connection, into), batch, now)
        batch = batch or merge_id
        update(connection, "samples", "person_id", other_id, {"person_id": target.id})
        denials = feedback.merge_denials(connection, bound, other_id, target)
        if merge_id is not None:
            rows = [
                {"merge_id": merge_id, "denial_id": denial, "is_shared": int(is_shared)}
                for denial, is_shared in denials.items()
            ]
            insert(connection, "merged_denials", rows)
        add_facts(connection, into, PersonFacts(other.born, other.note))
        delete(connection, "people", "id", [other_id])
    advance(connection)
    return find(connection, into)


def merges_of(connection: sqlite3.Connection, person_id: int) -> list[Merge]:
    """Return the merges into a person in their order, without those that belong to people merged along."""
    return _merges(connection, "WHERE person_id = ? AND came_with IS NULL ORDER BY merges.id", person_id)


def people_with_merges(connection: sqlite3.Connection) -> set[int]:
    """Return the ids of the people with merges that can be undone."""
    return {merge.person_id for merge in _merges(connection)}


def unmerge(connection: sqlite3.Connection, name: str) -> list[Person]:
    """Undo the last merge into a person, and return the separated people; raises as `Gallery.unmerge` does."""
    target = find(connection, name)
    merges = merges_of(connection, target.id)
    if not merges:
        raise UsageError(
            f"No merge into '{printable(target.name)}' can be undone, because none has samples that still exist: "
            "'facebank people split' makes two people of one."
        )
    last = max(merge.batch for merge in merges)
    undone = [merge for merge in merges if merge.batch == last]
    for merge in reversed(undone):
        _separate(connection, merge)
    advance(connection)
    return [find(connection, merge.name) for merge in undone]


def drop_empty_merges(connection: sqlite3.Connection) -> None:
    """Drop the merges without remaining samples: they cannot be undone, and the name must not be kept."""
    if schema_version(connection) < MERGES_SINCE:
        return
    rows = connection.execute("SELECT id FROM merges WHERE id NOT IN (SELECT merge_id FROM merged_samples)")
    delete(connection, "merges", "id", [merge_id for (merge_id,) in rows.fetchall()])


def _merges(connection: sqlite3.Connection, clause: str = "", *values: int) -> list[Merge]:
    if schema_version(connection) < MERGES_SINCE:
        return []
    return [_merge(row) for row in connection.execute(_MERGES + clause, values)]


def _note_merge(
    connection: sqlite3.Connection, source: Person, target: Person, batch: int | None, now: datetime
) -> int | None:
    """Record a merge before anything is moved, and return its id.

    Returns None for a person without samples, because such a merge cannot be undone.
    """
    sample_ids = [sample_id for (sample_id,) in _select_ids(connection, "samples", "person_id", source.id)]
    if not sample_ids:
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
    (merge_id,) = insert(connection, "merges", [row])
    if batch is None:
        update(connection, "merges", "id", merge_id, {"batch": merge_id})
    for earlier, came_with in _select_ids(connection, "merges", "person_id", source.id, "came_with"):
        changes = {"person_id": target.id, "came_with": merge_id if came_with is None else came_with}
        update(connection, "merges", "id", earlier, changes)
    insert(connection, "merged_samples", [{"merge_id": merge_id, "sample_id": sample} for sample in sample_ids])
    return merge_id


def _separate(connection: sqlite3.Connection, merge: Merge) -> None:
    if find_key(connection, name_key(merge.name)) is not None:
        raise PersonExistsError(
            f"Another person is called '{printable(merge.name)}' now: rename that person first with "
            "'facebank people rename'."
        )
    person_id = add_person(connection, merge.name, merge.created_at)
    update(connection, "people", "id", person_id, {"born": merge.facts.born, "note": merge.facts.note})
    moved = connection.execute(
        "SELECT sample_id FROM merged_samples JOIN samples ON samples.id = sample_id "
        "WHERE merge_id = ? AND person_id = ? ORDER BY sample_id",
        (merge.id, merge.person_id),
    ).fetchall()
    for (sample_id,) in moved:
        update(connection, "samples", "id", integer(sample_id), {"person_id": person_id})
    denials = connection.execute("SELECT denial_id, is_shared FROM merged_denials WHERE merge_id = ?", (merge.id,))
    for denial_id, is_shared in denials.fetchall():
        feedback.move_denial(connection, integer(denial_id), person_id, keep=flag(is_shared))
    target = find(connection, merge.person)
    if PersonFacts(target.born, target.note) == _join_facts(merge.kept, merge.facts):
        update(connection, "people", "id", target.id, {"born": merge.kept.born, "note": merge.kept.note})
    for (earlier,) in _select_ids(connection, "merges", "came_with", merge.id):
        update(connection, "merges", "id", earlier, {"came_with": None})
        _reassign_merges(connection, earlier, person_id)
    delete(connection, "merges", "id", [merge.id])


def _reassign_merges(connection: sqlite3.Connection, first: int, person_id: int) -> None:
    """Move a merge, and those that belong to it, to another person."""
    pending = [first]
    while pending:
        merge_id = pending.pop()
        update(connection, "merges", "id", merge_id, {"person_id": person_id})
        pending += [other for (other,) in _select_ids(connection, "merges", "came_with", merge_id)]


def _select_ids(
    connection: sqlite3.Connection, table: str, column: str, value: int, *extra: str
) -> Iterable[tuple[int, ...]]:
    """Return the ids, and further columns, of the rows that have a value in a column."""
    columns = ", ".join(("id", *extra))
    statement = f"SELECT {columns} FROM {table} WHERE {column} = ?"  # noqa: S608 - constants
    return [(integer(row_id), *others) for row_id, *others in connection.execute(statement, (value,)).fetchall()]


def _merge(row: tuple[object, ...]) -> Merge:
    merge_id, person_id, batch, person, name, created_at, born, text, kept_born, kept_note, merged_at, count = row
    return Merge(
        id=integer(merge_id),
        person_id=integer(person_id),
        person=person_name(person),
        batch=integer(batch),
        name=person_name(name),
        created_at=text_to_time(created_at),
        facts=_facts(born, text),
        kept=_facts(kept_born, kept_note),
        merged_at=text_to_time(merged_at),
        sample_count=integer(count),
    )
