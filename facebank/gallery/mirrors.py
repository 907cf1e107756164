"""Mirrors: copies of a gallery's embeddings on search servers, recorded in the gallery's settings.

A mirror holds the embeddings of one revision of the gallery. Each update sets a new token, which is None during the
update: if the token is unchanged after a search, the search used that revision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from facebank.errors import UsageError
from facebank.gallery.store.state import read_setting, revision, write_setting

if TYPE_CHECKING:
    import sqlite3

MIRRORS_SETTING = "mirrors"
REWRITE = -1  # revision of a mirror whose vectors must all be written again
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
class MirrorRecord:
    """A gallery's record of one of its mirrors."""

    address: str
    token: int | None  # None during an update, or if the rows must be compared one by one
    revision: int  # revision of the gallery that the mirror holds, or `REWRITE`
    written: int = 0  # the mirror's timestamp of its last change
    needs_cleaning: bool = False  # whether the mirror may still have embeddings that were removed from the gallery

    def is_behind(self, gallery_revision: int) -> bool:
        """Return whether the mirror lacks changes of the gallery with this revision."""
        return self.token is None or self.revision != gallery_revision


def records_in(connection: sqlite3.Connection) -> dict[str, MirrorRecord]:
    """Return the records of all mirrors by address; call inside a transaction."""
    entries = read_setting(connection, MIRRORS_SETTING)
    records = {}
    for entry in entries if isinstance(entries, list) else []:
        match entry:
            case {
                "address": str() as address,
                "token": int() | None as token,
                "revision": int() as mirrored_revision,
                "written": int() as written,
                "owes": bool() as needs_cleaning,
            } if len(address) <= _MAX_ADDRESS_LENGTH:
                records[address] = MirrorRecord(address, token, mirrored_revision, written, needs_cleaning)
    return records


def keep_record(connection: sqlite3.Connection, record: MirrorRecord) -> None:
    """Store a record; removals after its revision stay pending.

    Raises `UsageError` if the gallery has too many mirrors: a mirror that holds embeddings must stay recorded.
    """
    records = records_in(connection)
    previous = records.pop(record.address, None)
    if len(records) >= _MAX_MIRRORS:
        raise UsageError(
            f"the gallery has {_MAX_MIRRORS} indexes besides {record.address}: 'facebank people check --json' lists "
            "them, 'facebank people unmirror ADDRESS' removes one"
        )
    if len(record.address) > _MAX_ADDRESS_LENGTH:
        raise UsageError(f"an address of an index has at most {_MAX_ADDRESS_LENGTH:,} characters: {record.address}")
    if previous is not None and previous.needs_cleaning and revision(connection) != record.revision:
        record = replace(record, needs_cleaning=True)
    _write(connection, [*records.values(), record])


def drop_record(connection: sqlite3.Connection, address: str) -> bool:
    """Delete the record of a removed mirror, and return whether there was one."""
    records = records_in(connection)
    removed = records.pop(address, None)
    if removed is not None:
        _write(connection, list(records.values()))
    return removed is not None


def require_cleaning(connection: sqlite3.Connection) -> None:
    """Record a pending removal for every mirror; call it in the transaction that removes rows from the gallery."""
    records = records_in(connection)
    if any(not record.needs_cleaning for record in records.values()):
        _write(connection, [replace(record, needs_cleaning=True) for record in records.values()])


def _write(connection: sqlite3.Connection, records: list[MirrorRecord]) -> None:
    entries = [
        {
            "address": record.address,
            "token": record.token,
            "revision": record.revision,
            "written": record.written,
            "owes": record.needs_cleaning,
        }
        for record in records
    ]
    write_setting(connection, MIRRORS_SETTING, entries or None)
