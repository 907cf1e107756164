"""What may be done with people: found by name, renamed, joined. The caller holds the transaction."""

from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING

from facebank.dates import checked_birth_date
from facebank.errors import PersonExistsError, PersonNotFoundError, UsageError
from facebank.gallery import feedback, tables
from facebank.gallery.codec import LONGEST_NOTE
from facebank.gallery.names import name_key, normalise_name
from facebank.gallery.records import PersonFacts
from facebank.text import printable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from facebank.faces import Person


def find(connection: sqlite3.Connection, name: str) -> Person:
    """Return the person of a name, whatever its case; `PersonNotFoundError` if there is none."""
    person = tables.find_person(connection, name_key(normalise_name(name)))
    if person is None:
        raise PersonNotFoundError(
            f"Nobody called '{printable(name)}' is enrolled: `facebank people list` shows who is."
        )
    return person


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
    for number, other in sorted(others.items()):
        tables.move_samples(connection, number, target.id)
        feedback.merge_denials(connection, bound, number, target)
        complete(connection, into, PersonFacts(other.born, other.note))
        tables.delete_person(connection, number)
    tables.advance(connection)
    return find(connection, into)


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
