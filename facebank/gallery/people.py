"""What may be done with people: found by name, renamed, joined. The caller holds the transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import PersonExistsError, PersonNotFoundError, UsageError
from facebank.gallery import feedback, tables
from facebank.gallery.names import name_key, normalise_name
from facebank.text import printable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

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


def merge(connection: sqlite3.Connection, bound: tables.Binding, sources: Sequence[str], into: str) -> Person:
    """Give one person the samples and denials of others, who then are no more."""
    target = find(connection, into)
    others = {find(connection, source).id for source in sources} - {target.id}
    if not others:
        raise UsageError(f"Name somebody other than '{printable(target.name)}' to merge.")
    for other in sorted(others):
        tables.move_samples(connection, other, target.id)
        feedback.merge_denials(connection, bound, other, target)
        tables.delete_person(connection, other)
    tables.advance(connection)
    return find(connection, into)
