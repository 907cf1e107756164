"""``facebank find``: lists scanned photos and videos of given people."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.schemas.records import found_photo_record, found_video_record
from facebank.storage.text import format_video_time, label_with_probability, pluralize

from .global_options import global_options
from .options import AllowTwice, LeastProbability, ScanPath, settings_for_run
from .output import say, short_path, write_json, write_line, write_table
from .pages import PageOpen, PageOut, write_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facebank.album.finding import FoundPhoto
    from facebank.album.videos import SeenVideo

EXAMPLES = """\b
Examples:
  facebank find Ada
  facebank find Ada Grace             # photos with both of them
  facebank find Ada Grace --any       # photos with either
  facebank find Ada --with Grace      # the same as find Ada Grace
  facebank find Ada --since 2019 --until 2020-06
  facebank find Ada --since 2019-06-01 --json
  facebank find Ada --videos          # videos too, with times
  facebank find Ada --out ada.html    # a page with the photos
  facebank find Ada --parquet ada.parquet   # a table for other programs

Exit codes: 0 searched, with or without results; 2 wrong usage, nobody of that name, or no scan."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("find", epilog=EXAMPLES)(find)


def find(
    ctx: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", show_default=False, help="Names of enrolled people; a photo must show all of them."
        ),
    ],
    others: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME", help="Another person whom the photos show; may be repeated."),
    ] = None,
    any_of: Annotated[bool, typer.Option("--any", help="Accept photos that show any of them, instead of all.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="Taken on this day or later: 2019-06-01, 2019-06 or 2019.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="Taken on this day or earlier: 2019-06-01, 2019-06 or 2019.")
    ] = None,
    videos: Annotated[
        bool, typer.Option("--videos", help="List the videos that 'facebank scan --videos' analyzed, too.")
    ] = False,
    least_probability: LeastProbability = None,
    allow_twice: AllowTwice = False,
    out: PageOut = None,
    open_page: PageOpen = False,
    parquet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the photos to a Parquet file too, for pandas, DuckDB and others."),
    ] = None,
    scan_file: ScanPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each photo.")] = False,
) -> int:
    """List the scanned photos that show a person, oldest first.

    Run 'facebank scan' first. Only known faces count; they are shown with their probability. 'facebank identify --scan'
    lists uncertain ones, too. A photo without a camera date is listed by the date of its file, which is marked.
    """
    from facebank.album.album import Album
    from facebank.album.arrow_tables import write_found
    from facebank.album.finding import Period
    from facebank.album.pages import write_found_page
    from facebank.album.videos import find_people_in_videos
    from facebank.errors import UsageError
    from facebank.gallery import PlaceKind
    from facebank.storage.arrow import pyarrow

    period = Period.of(since, until)
    if parquet is not None:
        pyarrow()  # raises before the search if it is not installed
        if videos:
            raise UsageError(
                "--parquet cannot be used with --videos, because the table holds photos only: omit one of them"
            )
    with global_options(ctx).open_bank() as bank, Album(bank, scan_file) as album:
        settings = settings_for_run(bank, least_probability=least_probability, allow_twice=allow_twice or None)
        names = [*names, *(others or [])]
        photos = album.find(names, period, settings, any_of=any_of)
        if as_json:
            for photo in photos:
                write_json(found_photo_record(photo))
        else:
            write_table(("photo", "taken", "people"), (_row(photo) for photo in photos))
            write_line(pluralize(len(photos), "photo"))
        if parquet is not None:
            album.note_written(PlaceKind.PAGE, parquet)
            write_found(photos, parquet)
            say(f"Parquet: {parquet}")
        people = {person.id: person.name for person in map(bank.gallery.person, names)}
        if videos:
            _write_videos(
                find_people_in_videos(bank, album, set(people), period, settings, any_of=any_of),
                bank.gallery.names(),
                as_json=as_json,
            )
        title = f"Photos of {(' or ' if any_of else ' and ').join(people.values())}"
        if photos:
            write_page(
                bank.gallery,
                out,
                partial(write_found_page, photos, title),
                open_page=open_page,
                writes_lines=as_json,
            )
        elif out is not None or open_page:
            say("no photos were found, so no page was written")
    return 0


def _write_videos(videos: Sequence[SeenVideo], names: Mapping[int, str], *, as_json: bool) -> None:
    records = [found_video_record(video, names) for video in videos]
    if as_json:
        write_json({"videos": records})
        return
    rows = (
        (
            short_path(video.path),
            names.get(visit.person_id, ""),
            format_video_time(visit.start),
            format_video_time(visit.end),
        )
        for video in videos
        for visit in video.visits
    )
    write_table(("video", "person", "from", "to"), rows)
    write_line(pluralize(len(videos), "video"))


def _row(photo: FoundPhoto) -> tuple[str, ...]:
    from facebank.storage.dates import format_photo_date

    taken = format_photo_date(photo.taken_at, camera_dated=photo.camera_dated, with_time=True)
    people = (label_with_probability(person.name, person.probability) for person in photo.people)
    return short_path(photo.path), taken, ", ".join(people)
