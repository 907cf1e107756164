"""Mirrors: copies of a gallery's embeddings on search servers, recorded in the gallery's settings.

A mirror holds the embeddings of one revision of the gallery. Each update gives it a new token, which is None during the
update: if the token is unchanged after a search, the search saw that revision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from facebank.gallery.store.state import read_setting, revision, write_setting

if TYPE_CHECKING:
    import sqlite3

MIRRORS_SETTING = "mirrors"
_MAX_MIRRORS = 32
_MAX_ADDRESS_LENGTH = 1000  # characters


class Mirror(Protocol):
    """A mirror that answers searches of a gallery; implemented by `facebank.index.mirror`."""

    @property
    def address(self) -> str:
        """Address of the mirror, without secrets."""
        ...

    def open_index(self, gallery: Any, local: Any) -> Any:
        """Return an index of the gallery that searches on the mirror."""
        ...

    def clean(self, gallery: Any) -> None:
        """Permanently remove embeddings that the gallery no longer has; raises `ServiceError` on failure."""
        ...


@dataclass(frozen=True, slots=True)
class MirrorNote:
    """A gallery's record of one of its mirrors."""

    address: str
    token: int | None  # None during an update, or if the rows must be compared one by one
    revision: int  # revision of the gallery that the mirror holds
    written: int = 0  # the mirror's timestamp of its last change
    needs_cleaning: bool = False  # whether the mirror may still have embeddings that were removed from the gallery


def notes_in(connection: sqlite3.Connection) -> dict[str, MirrorNote]:
    """Return the records of all mirrors by address; call inside a transaction."""
    records = read_setting(connection, MIRRORS_SETTING)
    notes = {}
    for record in records if isinstance(records, list) else []:
        match record:
            case {
                "address": str() as address,
                "token": int() | None as token,
                "revision": int() as mirrored_revision,
                "written": int() as written,
                "owes": bool() as needs_cleaning,
            } if len(address) <= _MAX_ADDRESS_LENGTH:
                notes[address] = MirrorNote(address, token, mirrored_revision, written, needs_cleaning)
    return notes


def keep_note(connection: sqlite3.Connection, note: MirrorNote) -> None:
    """Store a record; removals after its revision stay pending."""
    notes = notes_in(connection)
    previous = notes.pop(note.address, None)
    if previous is not None and previous.needs_cleaning and revision(connection) != note.revision:
        note = replace(note, needs_cleaning=True)
    _write(connection, [*notes.values(), note][-_MAX_MIRRORS:])


def drop_note(connection: sqlite3.Connection, address: str) -> bool:
    """Delete the record of a removed mirror, and return whether there was one."""
    notes = notes_in(connection)
    removed = notes.pop(address, None)
    if removed is not None:
        _write(connection, list(notes.values()))
    return removed is not None


def require_cleaning(connection: sqlite3.Connection) -> None:
    """Record a pending removal for every mirror; call it in the transaction that removes rows from the gallery."""
    notes = notes_in(connection)
    if any(not note.needs_cleaning for note in notes.values()):
        _write(connection, [replace(note, needs_cleaning=True) for note in notes.values()])


def _write(connection: sqlite3.Connection, notes: list[MirrorNote]) -> None:
    records = [
        {
            "address": note.address,
            "token": note.token,
            "revision": note.revision,
            "written": note.written,
            "owes": note.needs_cleaning,
        }
        for note in notes
    ]
    write_setting(connection, MIRRORS_SETTING, records or None)
