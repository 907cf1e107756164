"""``facebank people``: the command group, and its commands that list, name, show, describe and rename people."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.schemas.records import (
    merged_record,
    named_group_record,
    person_record,
    sample_record,
    warning_record,
)
from facebank.storage.text import pluralize

from .exit_codes import SOME_FAILED
from .exporting import backup, export, import_people
from .forgetting import forget, remove_sample
from .global_options import global_options
from .help_layout import CommandApp
from .maintenance import check, re_embed, unmirror
from .merging import merge, split, unmerge
from .options import AsJson, Force, PersonName, ScanPath, example
from .output import say, short_path, write_json, write_line, write_table
from .pages import PageOpen, PageOut, write_page
from .progress import ProgressBar

if TYPE_CHECKING:
    from facebank.types import Person


def register(app: typer.Typer) -> None:
    """Add the commands."""
    people = CommandApp(
        help="List, show, rename, merge, forget and export people.",
        no_args_is_help=True,
        epilog=example("people list"),
    )
    for name, command, arguments in (
        ("list", list_people, "list"),
        ("name", name_group, "name 3 Ada"),
        ("show", show, "show Ada\n  facebank people show Ada --out ada.html\n  facebank people show Ada --open"),
        ("set", set_facts, "set Ada --born 2015-06 --note 'daughter of Grace'"),
        ("rename", rename, "rename Ada 'Ada Lovelace'"),
        ("merge", merge, "merge 'A. Lovelace' Lovelace --into Ada"),
        ("unmerge", unmerge, "unmerge Ada"),
        ("split", split, "split Ada --into Grace 12 14"),
        ("forget", forget, "forget Ada"),
        ("remove-sample", remove_sample, "remove-sample 12"),
        ("export", export, "export backup/ --person Ada"),
        ("import", import_people, "import backup/"),
        ("re-embed", re_embed, "re-embed --drop-missing"),
        ("unmirror", unmirror, "unmirror milvus://10.0.0.5:19530/family"),
        ("check", check, "check --repair"),
        ("backup", backup, "backup ~/family-2024.facebank"),
    ):
        people.command(name, epilog=example(f"people {arguments}"))(command)
    app.add_typer(people, name="people")


def list_people(ctx: typer.Context, as_json: AsJson = False) -> int:
    """List the enrolled people, and count samples and photos."""
    with global_options(ctx).open_gallery() as gallery, gallery.snapshot():
        people, counts = gallery.people(), gallery.photo_counts()
    photo_counts = [counts.get(person.id, 0) for person in people]
    if as_json:
        for person, count in zip(people, photo_counts, strict=True):
            write_json({**person_record(person), "photos": count})
    else:
        rows = [
            (person.name, str(person.sample_count), str(count), _day(person.created_at))
            for person, count in zip(people, photo_counts, strict=True)
        ]
        write_table(("person", "samples", "photos", "enrolled"), rows)
    return 0


def name_group(
    ctx: typer.Context,
    group_number: Annotated[
        int, typer.Argument(metavar="GROUP", min=1, show_default=False, help="Its number in 'facebank cluster'.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The person, enrolled or new.")],
    force: Force = False,
    scan_file: ScanPath = None,
    as_json: AsJson = False,
) -> int:
    """Enroll a group of 'facebank cluster' under a name.

    Its best and most varied faces become samples.
    """
    from facebank.album.album import Album

    with (
        global_options(ctx).open_bank() as bank,
        Album(bank, scan_file) as album,
        ProgressBar(writes_lines=as_json) as bar,
    ):
        naming = album.name_group(group_number, name, force=force, progress=bar)
    for reason in naming.refused.values():
        say(reason)
    if as_json:
        write_json(named_group_record(naming))
    else:
        result = f"is now {naming.person}" if naming.enrolled else f"is not enrolled as {naming.person}"
        write_line(f"group {group_number} {result}: {pluralize(len(naming.enrolled), 'sample')} enrolled")
        for path in naming.enrolled:
            write_line(f"  {short_path(path)}")
    return 0 if naming.enrolled else SOME_FAILED


def show(
    ctx: typer.Context, name: PersonName, out: PageOut = None, open_page: PageOpen = False, as_json: AsJson = False
) -> int:
    """Show a person's samples, birth date and note.

    The page of --out or --open shows the faces.

    Standard error has a warning if a child's newest sample is more than two years old, a sample is dated before the
    birth, or every sample wears a mask.
    """
    from facebank.album.pages import write_samples_page
    from facebank.recognition.facts import fact_warnings
    from facebank.storage.dates import format_photo_date

    with global_options(ctx).open_gallery() as gallery, gallery.snapshot():
        person, samples, merged = gallery.person(name), gallery.samples(name), gallery.merged_people(name)
    warnings = fact_warnings(person, samples)
    if as_json:
        facts = {
            "born": person.born,
            "note": person.note,
            "warnings": list(map(warning_record, warnings)),
            "merged": list(map(merged_record, merged)),
        }
        for sample in samples:
            write_json({**sample_record(sample), **facts})
    else:
        rows = [
            (
                str(sample.id),
                sample.path,
                f"{sample.quality:.2f}",
                "yes" if sample.masked else "",
                format_photo_date(sample.taken_at, camera_dated=sample.camera_dated),
                _day(sample.enrolled_at),
            )
            for sample in samples
        ]
        write_table(("sample", "photo", "quality", "mask", "taken", "enrolled"), rows)
        _write_facts(person)
        for other in merged:
            count = pluralize(other.sample_count, "sample")
            write_line(
                f"{other.name} was joined on {_day(other.merged_at)}, with {count}: 'facebank people unmerge' undoes "
                "the last join"
            )
    for warning in warnings:
        say(warning.message)
    if out is not None or open_page:
        with global_options(ctx).open_gallery() as gallery:
            write_page(
                gallery,
                out,
                partial(write_samples_page, gallery, person.name, samples),
                open_page=open_page,
                writes_lines=as_json,
            )
    return 0


def set_facts(
    ctx: typer.Context,
    name: PersonName,
    born: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Birth date, as far as it is known: YYYY, YYYY-MM or YYYY-MM-DD."),
    ] = None,
    no_born: Annotated[bool, typer.Option("--no-born", help="Remove the birth date.")] = False,
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A note about the person, of at most 2,000 characters.")
    ] = None,
    no_note: Annotated[bool, typer.Option("--no-note", help="Remove the note.")] = False,
    as_json: AsJson = False,
) -> int:
    """Set or remove a person's birth date and note.

    An empty value removes the old one, too.

    A person is never named in a photo with a camera date before the birth. If the date is incomplete, its
    earliest possible day counts.
    """
    from facebank.errors import UsageError
    from facebank.recognition.facts import fact_warnings

    if (no_born and born is not None) or (no_note and note is not None):
        raise UsageError("--born and --no-born, or --note and --no-note, exclude each other")
    if born is None and note is None and not no_born and not no_note:
        raise UsageError("nothing to set: name --born or --note, or --no-born or --no-note")
    with global_options(ctx).open_gallery() as gallery:
        person = gallery.describe(
            name,
            born=None if no_born else ... if born is None else born,
            note=None if no_note else ... if note is None else note,
        )
        warnings = fact_warnings(person, gallery.samples(name))
    if as_json:
        write_json(person_record(person))
    elif person.born is None and person.note is None:
        write_line(f"{person.name} has neither a birth date nor a note")
    else:
        write_line(person.name)
        _write_facts(person)
    for warning in warnings:
        say(warning.message)
    return 0


def rename(
    ctx: typer.Context,
    name: PersonName,
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", show_default=False, help="The new name.")],
    as_json: AsJson = False,
) -> int:
    """Give a person another name."""
    with global_options(ctx).open_gallery() as gallery:
        person = gallery.rename(name, new_name)
    if as_json:
        write_json(person_record(person))
    else:
        write_line(f"{name} is now {person.name}")
    return 0


def _write_facts(person: Person) -> None:
    if person.born is not None:
        write_line(f"born {person.born}")
    if person.note is not None:
        write_line(f"note: {person.note}")


def _day(time: datetime | None) -> str:
    return "" if time is None else time.date().isoformat()
