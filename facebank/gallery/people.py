"""What may be done with people: found by name, renamed, joined. The caller holds the transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from types import EllipsisType
from typing import TYPE_CHECKING

from facebank.errors import PersonExistsError, PersonNotFoundError, UsageError
from facebank.gallery import feedback
from facebank.gallery.names import name_key, normalise_name
from facebank.gallery.records import PersonFacts
from facebank.gallery.store import feedback_tables, merge_tables, tables
from facebank.gallery.store.codec import LONGEST_NOTE
from facebank.storage.dates import checked_birth_date
from facebank.storage.text import printable, shell_command

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from facebank.types import Person


def find(connection: sqlite3.Connection, name: str) -> Person:
    """Return the person of a name, whatever its case; `PersonNotFoundError` if there is none."""
    person = tables.find_person(connection, name_key(normalise_name(name)))
    if person is None:
        raise PersonNotFoundError(f"Nobody called '{printable(name)}' is enrolled: {_where(connection, name)}.")
    return person


def _where(connection: sqlite3.Connection, name: str) -> str:
    """Say what became of a name that nobody has."""
    merges = merge_tables.merges_called(connection, name_key(normalise_name(name)))
    if not merges:
        return "`facebank people list` shows who is"
    person = merges[-1].person
    unmerge_it = shell_command("people", "unmerge", person)
    joined = f"joined with {printable(person)}"
    return f"{joined}, from whom `{unmerge_it}` separates and with whom `facebank people forget` forgets"


def rename(connection: sqlite3.Connection, old: str, new: str) -> Person:
    """Give a person another name, if nobody else has it."""
    name = normalise_name(new)
    person = find(connection, old)
    other = tables.find_person(connection, name_key(name))
    if other is not None and other.id != person.id:
        raise PersonExistsError(
            f"There is already a person called '{printable(other.name)}': if the two are one, join them with "
            "`facebank people merge`."
        )
    tables.rename_person(connection, person.id, name, name_key(name))
    tables.advance(connection)
    return find(connection, name)


def describe(
    connection: sqlite3.Connection,
    name: str,
    *,
    born: str | EllipsisType | None = ...,
    note: str | EllipsisType | None = ...,
) -> Person:
    """Set or clear what is known about a person; ``...`` leaves it as it is."""
    person = find(connection, name)
    facts = PersonFacts(
        born=person.born if isinstance(born, EllipsisType) else _checked(born, checked_birth_date),
        note=person.note if isinstance(note, EllipsisType) else _checked(note, _checked_note),
    )
    if facts != PersonFacts(person.born, person.note):
        tables.set_facts(connection, person.id, facts)
        tables.advance(connection)
    return find(connection, name)


def complete(connection: sqlite3.Connection, name: str, facts: PersonFacts) -> None:
    """Give a person the facts of others about the same person: own ones stay, and the notes are joined."""
    person = find(connection, name)
    joined = _joined(PersonFacts(person.born, person.note), facts)
    if joined != PersonFacts(person.born, person.note):
        tables.set_facts(connection, person.id, joined)
        tables.advance(connection)


def merge(connection: sqlite3.Connection, bound: tables.Binding, sources: Sequence[str], into: str) -> Person:
    """Give one person the samples and denials of others, who then are no more."""
    target = find(connection, into)
    others = {person.id: person for person in (find(connection, source) for source in sources)}
    others.pop(target.id, None)
    if not others:
        raise UsageError(f"Name somebody other than '{printable(target.name)}' to merge.")
    batch, now = None, datetime.now(UTC)
    for number, other in sorted(others.items()):
        merge = merge_tables.add_merge(connection, other, find(connection, into), batch, now)
        batch = batch or merge
        tables.move_samples(connection, number, target.id)
        denials = feedback.merge_denials(connection, bound, number, target)
        if merge is not None:
            merge_tables.note_denials(connection, merge, denials.items())
        complete(connection, into, PersonFacts(other.born, other.note))
        tables.delete_person(connection, number)
    tables.advance(connection)
    return find(connection, into)


def unmerge(connection: sqlite3.Connection, name: str) -> list[Person]:
    """Undo the last merge into a person; returns who is apart again."""
    target = find(connection, name)
    merges = merge_tables.merges_of(connection, target.id)
    if not merges:
        raise UsageError(
            f"Nobody was joined with '{printable(target.name)}' of whom a sample is left: `facebank people split` "
            "makes two people of one."
        )
    last = max(merge.batch for merge in merges)
    apart = [merge for merge in merges if merge.batch == last]
    for merge in reversed(apart):
        _separate(connection, merge)
    tables.advance(connection)
    return [find(connection, merge.name) for merge in apart]


def _separate(connection: sqlite3.Connection, merge: merge_tables.Merge) -> None:
    key = name_key(merge.name)
    if tables.find_person(connection, key) is not None:
        raise PersonExistsError(
            f"There is another person called '{printable(merge.name)}' now: give that one another name first, with "
            "`facebank people rename`."
        )
    number = tables.add_person(connection, merge.name, key, merge.created_at)
    tables.set_facts(connection, number, merge.facts)
    for sample in merge_tables.merged_samples(connection, merge.id, merge.person_id):
        tables.give_sample(connection, sample, number)
    for denial, is_shared in merge_tables.merged_denials(connection, merge.id):
        feedback_tables.give_denial(connection, denial, number, keep=is_shared)
    stayed = find(connection, merge.person)
    if PersonFacts(stayed.born, stayed.note) == _joined(merge.kept, merge.facts):
        tables.set_facts(connection, stayed.id, merge.kept)
    merge_tables.undo_merge(connection, merge, number)


def split(connection: sqlite3.Connection, name: str, into: str, numbers: Sequence[int]) -> Person:
    """Give some of a person's samples to somebody new; returns that person."""
    person, new = find(connection, name), normalise_name(into)
    own = {sample.id for sample in tables.samples_of(connection, person.id)}
    wanted = sorted(set(numbers))
    foreign = next((number for number in wanted if number not in own), None)
    if foreign is not None:
        raise UsageError(f"Sample {foreign} is none of '{printable(person.name)}': `facebank people show` lists those.")
    if len(own) == 1:
        raise UsageError(
            f"'{printable(person.name)}' has one sample, which cannot be split: "
            "`facebank people rename` gives another name."
        )
    if not wanted or len(wanted) == len(own):
        raise UsageError(
            f"'{printable(person.name)}' has {len(own)} samples: name some of them to split, but not all; "
            "`facebank people rename` gives all another name."
        )
    other = tables.find_person(connection, name_key(new))
    if other is not None:
        raise PersonExistsError(
            f"There is already a person called '{printable(other.name)}': choose another name, and join the two then "
            "with `facebank people merge`."
        )
    number = tables.add_person(connection, new, name_key(new), datetime.now(UTC))
    for sample in wanted:
        tables.give_sample(connection, sample, number)
    merge_tables.drop_samples(connection, wanted)
    tables.advance(connection)
    return find(connection, new)


def _checked(text: str | None, check: Callable[[str], str]) -> str | None:
    return None if text is None or not text.strip() else check(text)


def _checked_note(text: str) -> str:
    if len(text) > LONGEST_NOTE:
        raise UsageError(f"A note has at most {LONGEST_NOTE:,} characters, and this one {len(text):,}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("The note is no valid Unicode text.") from error
    return text.strip()


def _joined(own: PersonFacts, others: PersonFacts) -> PersonFacts:
    note = own.note or others.note
    if own.note and others.note and others.note not in own.note:
        both = f"{own.note}; {others.note}"
        note = both if len(both) <= LONGEST_NOTE else own.note
    return PersonFacts(own.born or others.born, note)
