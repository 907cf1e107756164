"""What makes an SQLite file a gallery: its mark, its tables and what errors say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import GalleryBusyError, GalleryFormatError, GalleryNotFoundError, GalleryVersionError
from facebank.gallery.store import schema
from facebank.storage.sqlite import SqliteKind

if TYPE_CHECKING:
    import sqlite3


def _build(connection: sqlite3.Connection, version: int) -> None:
    schema.migrate(connection, schema.MIGRATIONS[:version])


GALLERY_FILE = SqliteKind(
    noun="gallery",
    application_id=schema.APPLICATION_ID,
    newest=schema.SCHEMA_VERSION,
    build=_build,
    version=schema.schema_version,
    version_table="migrations",
    missing_error=GalleryNotFoundError,
    format_error=GalleryFormatError,
    version_error=GalleryVersionError,
    busy_error=GalleryBusyError,
    missing="`facebank enroll` makes it",
    empty="`facebank enroll` puts people into it",
    another="name another file with --gallery",
    repair="`facebank people check --repair` mends what it can, or restore a copy",
)
