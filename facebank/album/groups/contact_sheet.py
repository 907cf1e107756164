"""Groups of faces as one page to look at: nothing outside of it is needed, and it never calls anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.album.pages import as_html, figure, link, new_page
from facebank.errors import PhotoError
from facebank.media import encode_thumbnail, read_photo, turn_photo
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from facebank.album.groups.grouping import Group
    from facebank.album.scan.scan_file import ScanFile

SHOWN_FACES = 12
MOST_GROUPS = 500
"""How many groups a page shows, so that it stays one that a browser can hold."""

_SIDE = 112
_INTRODUCTION = """<p>Each group should be one person, the most typical faces first. Give a group a name with
<code>facebank people name NUMBER NAME</code>. Where a group holds two people, or two groups must not become one, say so
with <code>facebank cluster --not-same 3.2 3.5</code>.</p>
"""


def write_contact_sheet(
    scan_file: ScanFile, groups: Sequence[Group], target: Path, progress: Progress = SILENT
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
    progress
        Advanced with each group.

    Raises
    ------
    UsageError
        Another file is there.
    StorageError
        It cannot be written.
    """
    progress.begin("Drawing", min(len(groups), MOST_GROUPS))
    with new_page(target, "People without a name", _INTRODUCTION) as add:
        for group in groups[:MOST_GROUPS]:
            add(_section(scan_file, group) + "\n")
            progress.advance()
        if len(groups) > MOST_GROUPS:
            add(f"<p>Smaller groups that are not shown: {len(groups) - MOST_GROUPS:,}.</p>\n")


def _section(scan_file: ScanFile, group: Group) -> str:
    faces = "".join(
        _figure(scan_file, face, f"{group.number}.{place}") for place, face in enumerate(group.faces[:SHOWN_FACES], 1)
    )
    title = f"Group {group.number}: {len(group.faces)} faces in {group.photos} photos"
    if group.camera_dated:
        title += f", {group.first_taken:%Y-%m-%d} to {group.last_taken:%Y-%m-%d}"
    return f'<section id="group-{group.number}">\n<h2>{title}</h2>\n<ol class="faces">\n{faces}</ol>\n</section>'


def _figure(scan_file: ScanFile, face: int, name: str) -> str:
    photo, place = scan_file.place_of(face)
    try:
        upright = turn_photo(read_photo(photo.path), photo.quarter_turns)
    except PhotoError as error:
        return figure(None, "", f"{name}: {as_html(str(error))}")
    picture = encode_thumbnail(upright, photo.faces[place].box, _SIDE)
    return figure(picture, f"Face {name}", f"{name} {link(photo.path)}")
