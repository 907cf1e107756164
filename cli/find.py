"""``facebank find``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.storage.text import never_certain

from .options import AllowTwice, LeastProbability, settings_for_once
from .output import counted, say, short_path, write_json, write_line, write_table
from .pages import PageOpen, PageOut, write_page
from .scan import ScanPath
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.album.finding import FoundPhoto, KnownPerson

EXAMPLES = """\b
Examples:
  facebank find Ada
  facebank find Ada Grace                       photos with both of them
  facebank find Ada Grace --any                 photos with either
  facebank find Ada --with Grace                the same as find Ada Grace
  facebank find Ada --since 2019 --until 2020-06
  facebank find Ada --since 2019-06-01 --json
  facebank find Ada --out ada.html              a page with the photos; --open shows it in the browser

\b
Exit codes: 0 looked, also where there is no such photo; 2 wrong usage, nobody of that name, or no scan."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("find", epilog=EXAMPLES)(find)


def find(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False)],
    others: Annotated[
        list[str] | None, typer.Option("--with", metavar="NAME", help="Who is in the photo too; may be repeated.")
    ] = None,
    any_of: Annotated[bool, typer.Option("--any", help="Photos with any of them; else with all.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="Taken on this day or later: 2019-06-01, 2019-06 or 2019.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="Taken on this day or before, or in this month or year.")
    ] = None,
    least_probability: LeastProbability = None,
    allow_twice: AllowTwice = False,
    out: PageOut = None,
    opens: PageOpen = False,
    scan_file: ScanPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object a photo.")] = False,
) -> int:
    """List the scanned photos that a person is in, or several people together, oldest first.

    Scan first, with 'facebank scan'. Only faces that are known count, with the probability that it is that person: see
    'facebank identify --scan' for the uncertain ones. Of a photo without a camera's date its file's counts, marked so.
    """
    from facebank.album.album import Album
    from facebank.album.finding import Period
    from facebank.album.pages import write_found_page

    period = Period.of(since, until)
    with settings_of(ctx).open_bank() as bank, Album(bank, scan_file) as album:
        settings = settings_for_once(bank, least_probability=least_probability, allow_twice=allow_twice or None)
        found = album.find([*names, *(others or [])], period, settings, any_of=any_of)
        if as_json:
            for photo in found:
                write_json(_record(photo))
        else:
            write_table(("photo", "taken", "people"), (_row(photo) for photo in found))
            write_line(counted(len(found), "photo"))
        people = list(dict.fromkeys(bank.gallery.person(name).name for name in [*names, *(others or [])]))
        title = f"Photos of {(' or ' if any_of else ' and ').join(people)}"
        if found:
            write_page(
                bank.gallery,
                out,
                partial(write_found_page, found, title),
                opens=opens,
                writes_lines=as_json,
            )
        elif out is not None or opens:
            say("there is no such photo, so no page is written")
    return 0


def _row(photo: FoundPhoto) -> tuple[str, ...]:
    from facebank.storage.dates import shown_date

    taken = shown_date(photo.taken_at, camera_dated=photo.camera_dated, time=True)
    return short_path(photo.path), taken, ", ".join(map(_named, photo.people))


def _named(person: KnownPerson) -> str:
    return person.name if person.probability is None else f"{person.name} {never_certain(person.probability)}"


def _record(photo: FoundPhoto) -> dict[str, object]:
    return {
        "image": photo.path,
        "taken_at": None if photo.taken_at is None else photo.taken_at.isoformat(),
        "camera_dated": photo.camera_dated,
        "people": [{"person": person.name, "probability": person.probability} for person in photo.people],
    }
