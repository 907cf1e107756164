"""Copies of a gallery's embeddings on other machines, which search them; the gallery's settings keep where they are.

A mirror holds what the gallery held at one revision. Its token is drawn anew whenever it is made to follow, and is None
meanwhile: who searched a mirror whose token is still the same afterwards has searched that revision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from facebank.gallery.store.state import read_setting, revision, write_setting

if TYPE_CHECKING:
    import sqlite3

MIRRORS_SETTING = "mirrors"
_MOST = 32
_LONGEST = 1000  # characters of an address


class Mirror(Protocol):
    """A mirror that a gallery is searched on, of `facebank.index.mirror`."""

    @property
    def address(self) -> str:
        """Where it is, without anything secret."""
        ...

    def searched(self, gallery: Any, local: Any) -> Any:
        """Return an index of the gallery that is searched there."""
        ...

    def clean(self, gallery: Any) -> None:
        """Remove for good what the gallery has no more; raises `ServiceError` if that cannot be done now."""
        ...


@dataclass(frozen=True, slots=True)
class MirrorNote:
    """What a gallery knows of one of its mirrors."""

    address: str
    token: int | None  # None while it is made to follow, or if it is to be compared row by row
    revision: int  # the gallery's that it holds
    written: int = 0  # the mirror's own time of the last change there
    owes: bool = False  # whether embeddings that were removed from the gallery may still be there


def notes_in(connection: sqlite3.Connection) -> dict[str, MirrorNote]:
    """Return the notes by address; inside a transaction."""
    known = read_setting(connection, MIRRORS_SETTING)
    found = {}
    for record in known if isinstance(known, list) else []:
        match record:
            case {
                "address": str() as address,
                "token": int() | None as token,
                "revision": int() as at,
                "written": int() as written,
                "owes": bool() as owes,
            } if len(address) <= _LONGEST:
                found[address] = MirrorNote(address, token, at, written, owes)
    return found


def keep_note(connection: sqlite3.Connection, note: MirrorNote) -> None:
    """Keep a note; a removal that came after its revision is still owed then."""
    notes = notes_in(connection)
    before = notes.pop(note.address, None)
    if before is not None and before.owes and revision(connection) != note.revision:
        note = replace(note, owes=True)
    _write(connection, [*notes.values(), note][-_MOST:])


def drop_note(connection: sqlite3.Connection, address: str) -> bool:
    """Drop the note of a mirror that is no more; returns whether there was one."""
    notes = notes_in(connection)
    found = notes.pop(address, None)
    if found is not None:
        _write(connection, list(notes.values()))
    return found is not None


def owe_removal(connection: sqlite3.Connection) -> None:
    """Note that every mirror has something to remove; in the transaction that removes it from the gallery."""
    notes = notes_in(connection)
    if any(not note.owes for note in notes.values()):
        _write(connection, [replace(note, owes=True) for note in notes.values()])


def _write(connection: sqlite3.Connection, notes: list[MirrorNote]) -> None:
    records = [
        {
            "address": note.address,
            "token": note.token,
            "revision": note.revision,
            "written": note.written,
            "owes": note.owes,
        }
        for note in notes
    ]
    write_setting(connection, MIRRORS_SETTING, records or None)
