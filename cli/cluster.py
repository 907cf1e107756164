"""``facebank cluster``: groups scanned faces of unknown people."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.schemas.records import group_record
from facebank.storage.text import pluralize

from .global_options import global_options
from .options import ScanPath
from .output import say, write_json, write_line, write_table
from .progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.album.album import Album
    from facebank.album.groups.face_groups import Group, GroupingReport

EXAMPLES = """\b
Examples:
  facebank cluster --out strangers.html
  facebank people name 1 Ada
  facebank cluster --not-same 3.2 3.5

Exit codes: 0 grouped; 2 wrong usage, or no scan."""

_COLUMNS = ("group", "faces", "photos", "first taken", "last taken")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cluster", epilog=EXAMPLES)(cluster)


def cluster(
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with the faces of each group.")
    ] = None,
    least: Annotated[int, typer.Option(metavar="N", min=2, help="Minimum number of faces in a group.")] = 2,
    not_same: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="FACE FACE", help="Keep two faces or groups apart from now on; their numbers are on the page."
        ),
    ] = None,
    scan_file: ScanPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each group.")] = False,
) -> int:
    """Group the scanned faces of people without a name, by person.

    Run 'facebank scan' first. Faces of enrolled people are left out. 'facebank people name' enrolls a group under a
    name.
    """
    from facebank.album.album import Album

    with ExitStack() as stack:
        album = stack.enter_context(Album(stack.enter_context(global_options(ctx).open_bank()), scan_file))
        if not_same is not None:
            album.tell_apart(*not_same)
        with ProgressBar(writes_lines=as_json) as bar:
            grouping = album.cluster(min_faces=least, progress=bar)
        _show(grouping, as_json=as_json)
        if out is not None:
            _write_page(album, grouping.groups, out)
        elif grouping.groups:
            say(
                "group numbers change with each run, so those on earlier pages no longer apply: --out writes a new page"
            )
    return 0


def _show(grouping: GroupingReport, *, as_json: bool) -> None:
    if as_json:
        for group in grouping.groups:
            write_json(group_record(group))
        return
    write_table(_COLUMNS, (_row(group) for group in grouping.groups))
    reasons = ((grouping.named, "known already"), (grouping.alone, "like no other"), (grouping.poor, "too poor"))
    left_out = ", ".join(f"{count:,} {reason}" for count, reason in reasons)
    write_line(f"{pluralize(len(grouping.groups), 'group')}; faces left out: {left_out}")


def _write_page(album: Album, groups: Sequence[Group], out: Path) -> None:
    from facebank.album.pages import MAX_GROUPS, write_contact_sheet
    from facebank.gallery import PlaceKind

    if not groups:
        say(f"no groups were found, so {out} was not written")
        return
    album.note_written(PlaceKind.PAGE, out)
    with ProgressBar() as bar:
        write_contact_sheet(album.scan_file, groups, out, bar)
    total = pluralize(len(groups), "group")
    selection = f" of the {MAX_GROUPS} largest of {total}" if len(groups) > MAX_GROUPS else ""
    say(f"page{selection}: {out}")


def _row(group: Group) -> tuple[str, ...]:
    from facebank.storage.dates import format_photo_date

    days = (format_photo_date(when, camera_dated=group.camera_dated) for when in (group.first_taken, group.last_taken))
    return (str(group.number), f"{len(group.faces):,}", f"{group.photos:,}", *days)
