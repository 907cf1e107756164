"""Groups of faces as one page to look at: nothing outside of it is needed, and it never calls anywhere."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from html import escape
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import PhotoError, StorageError, UsageError
from facebank.media import encode_thumbnail, read_photo, turn_photo
from facebank.storage.files import face_file_mode, new_file
from facebank.text import printable

if TYPE_CHECKING:
    from facebank.album.grouping import Group
    from facebank.album.scan_file import ScanFile

SHOWN_FACES = 12
MOST_GROUPS = 500
"""How many groups a page shows, so that it stays one that a browser can hold."""

_GENERATOR = '<meta name="generator" content="facebank">'
_HEAD_BYTES = 1000
_SIDE = 112
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #8886; padding: 1rem 0; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
ol { display: flex; flex-wrap: wrap; gap: .5rem; list-style: none; margin: 0; padding: 0; }
figure { margin: 0; width: 7rem; font-size: .75rem; overflow-wrap: anywhere; }
img { display: block; width: 7rem; height: 7rem; object-fit: contain; background: #8882; border-radius: .3rem; }
code { background: #8882; padding: .1rem .3rem; border-radius: .2rem; }
"""
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{generator}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>People without a name</title>
<style>{style}</style>
</head>
<body>
<h1>People without a name</h1>
<p>Each group should be one person, the most typical faces first. Give a group a name with
<code>facebank people name NUMBER NAME</code>. Where a group holds two people, or two groups must not become one, say so
with <code>facebank cluster --not-same 3.2 3.5</code>.</p>
"""
_FOOT = """</body>
</html>
"""
_MORE = """<p>Smaller groups that are not shown: {more}.</p>
"""


def write_contact_sheet(
    scan_file: ScanFile, groups: Sequence[Group], target: Path, on_group: Callable[[], None] | None = None
) -> None:
    """Write a page with the faces of the `MOST_GROUPS` largest groups; photos are read again for it.

    Parameters
    ----------
    scan_file
        Holds the groups.
    groups
        What to show, largest first, up to `SHOWN_FACES` faces of each.
    target
        The page; it appears complete or not at all. One that was written before is replaced, no other file is.
    on_group
        Called when a group is drawn.

    Raises
    ------
    UsageError
        Another file is there.
    StorageError
        It cannot be written.
    """
    try:
        if os.path.lexists(target) and not _is_ours(target):
            raise UsageError(f"{printable(str(target))} is there already, and no page of groups: choose another name")
        with new_file(target, mode=face_file_mode()) as part:
            page = TextIOWrapper(part.stream, encoding="utf-8", write_through=True)
            page.write(_HEAD.format(style=_STYLE, generator=_GENERATOR))
            for group in groups[:MOST_GROUPS]:
                page.write(_section(scan_file, group) + "\n")
                if on_group is not None:
                    on_group()
            if len(groups) > MOST_GROUPS:
                page.write(_MORE.format(more=f"{len(groups) - MOST_GROUPS:,}"))
            page.write(_FOOT)
            page.detach()
    except OSError as error:
        raise StorageError(f"{printable(str(target))} cannot be written: {error.strerror or error}") from error


def _is_ours(page: Path) -> bool:
    if not page.is_file() or page.is_symlink():
        return False
    with page.open("rb") as file:
        return _GENERATOR.encode("ascii") in file.read(_HEAD_BYTES)


def _section(scan_file: ScanFile, group: Group) -> str:
    faces = "\n".join(
        _figure(scan_file, face, f"{group.number}.{place}") for place, face in enumerate(group.faces[:SHOWN_FACES], 1)
    )
    title = f"Group {group.number}: {len(group.faces)} faces in {group.photos} photos"
    if group.camera_dated:
        title += f", {group.first_taken:%Y-%m-%d} to {group.last_taken:%Y-%m-%d}"
    return f'<section id="group-{group.number}">\n<h2>{title}</h2>\n<ol>\n{faces}\n</ol>\n</section>'


def _figure(scan_file: ScanFile, face: int, name: str) -> str:
    photo, place = scan_file.place_of(face)
    source = escape(printable(photo.source), quote=True)
    try:
        upright = turn_photo(read_photo(photo.source), photo.quarter_turns)
    except PhotoError as error:
        return f"<li><figure>{name}: {escape(printable(str(error)))}</figure></li>"
    picture = base64.b64encode(encode_thumbnail(upright, photo.faces[place].detection.box, _SIDE)).decode("ascii")
    return (
        f'<li><figure><img src="data:image/jpeg;base64,{picture}" alt="Face {name}" title="{source}">'
        f"<figcaption>{name} {escape(printable(Path(photo.source).name))}</figcaption></figure></li>"
    )
