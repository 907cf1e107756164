"""In which files names stand that facebank wrote, by the people's numbers: rows of a scan file's table ``tags``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from facebank.album.scan.rows import insert, path_of, select
from facebank.album.tags.sidecars import sidecar_of
from facebank.storage.values import checked_row, whole

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from facebank.album.scan.tables import ScanTables


class TagRow(NamedTuple):
    """A name in a file.

    Attributes
    ----------
    photo
        The photo's path.
    file
        Where the name stands: the photo itself or a sidecar.
    person
        The person's number in the gallery; it is never used again.
    """

    photo: str
    file: str
    person: int


def tag_row(row: Sequence[object]) -> TagRow:
    """Return a row of ``tags``; raises `InvalidValueError` unless it can be one."""
    photo, file, person = checked_row("tags", row)
    return TagRow(path_of(photo), path_of(file), whole(person))


def read_tags(tables: ScanTables) -> list[TagRow]:
    """Return the names in files."""
    rows = tables.rows(select(("tags",), "FROM tags ORDER BY photo, file, person"))
    tables.require_total(len(rows), tables.totals().tags)
    return [tables.read(tag_row, row) for row in rows]


def keep_tags(tables: ScanTables, photo: str, tags: Collection[TagRow], changed: Counter[str]) -> None:
    """Write down which names stand at a photo, in the place of what was known."""
    forget_tags(tables, [photo], changed)
    rows = sorted((os.fsencode(tag.photo), os.fsencode(tag.file), tag.person) for tag in tags)
    insert(tables.connection, "tags", rows)
    changed["tags"] += len(rows)


def forget_tags(tables: ScanTables, photos: Iterable[str], changed: Counter[str]) -> None:
    """Forget which names stand at photos."""
    for photo in photos:
        gone = tables.connection.execute("DELETE FROM tags WHERE photo = ?", (os.fsencode(photo),))
        changed["tags"] -= gone.rowcount


def move_tags(tables: ScanTables, before: Path, after: Path, changed: Counter[str]) -> None:
    """Know the names at a photo under its other path; its sidecar went with it."""
    statement = select(("tags",), "FROM tags WHERE photo = ?")
    tags = [tables.read(tag_row, row) for row in tables.rows(statement, (os.fsencode(before),))]
    if tags:
        files = {str(before): str(after), str(sidecar_of(before)): str(sidecar_of(after))}
        moved = {TagRow(str(after), files.get(tag.file, tag.file), tag.person) for tag in tags}
        forget_tags(tables, [str(before)], changed)
        keep_tags(tables, str(after), moved, changed)
