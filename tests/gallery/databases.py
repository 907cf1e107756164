"""Galleries that are restored or damaged with SQLite alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from facebank.gallery.store.schema import APPLICATION_ID


@contextmanager
def connect_unchecked(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect to a gallery without its consistency rules."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA foreign_keys = OFF")
        yield connection


def execute_unchecked(path: Path, *statements: str) -> None:
    """Run statements on a gallery without its consistency rules."""
    with connect_unchecked(path) as connection:
        for statement in statements:
            connection.execute(statement)


def locate_page(path: Path, name: str) -> tuple[int, int]:
    """Return the offset and the size in bytes of the first page of a table or index."""
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    return (root - 1) * size, size


def restore_gallery(version: int, path: Path) -> Path:
    """Write a gallery of an older version, with two samples of Ada and one of Bob, to `path`, and return the path.

    Version 1 has a setting, version 2 also a denial of Bob.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name(f"schema_{version}.sql").read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    path.chmod(0o600)
    return path
