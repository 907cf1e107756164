"""``facebank people``: who is enrolled, and what is to become of them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from facebank.errors import GalleryFormatError
from facebank.schemas.records import (
    forgotten_record,
    merged_record,
    named_group_record,
    person_record,
    removed_sample_record,
    sample_record,
    warning_record,
)
from facebank.storage.text import shell_command

from .checking import backup, check
from .failures import NOTHING_DONE, SOME_FAILED
from .formatting import CommandApp
from .options import AsJson, example
from .output import counted, say, short_path, write_json, write_line, write_table
from .pages import PageOpen, PageOut, write_page
from .progress import ProgressBar
from .scan import ScanPath
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.album.copies import Copies
    from facebank.gallery import Gallery
    from facebank.types import Person


Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The enrolled person.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Remove nothing; print what would be removed and what stays.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    from .people_apart import split, unmerge
    from .unmirror import unmirror

    people = CommandApp(
        help="List, show, rename, merge, forget and export people.",
        no_args_is_help=True,
        epilog=example("people list"),
    )
    for name, command, words in (
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
        people.command(name, epilog=example(f"people {words}"))(command)
    app.add_typer(people, name="people")


def list_people(ctx: typer.Context, as_json: AsJson = False) -> int:
    """List the enrolled people, and count samples and photos."""
    with settings_of(ctx).open_gallery() as gallery, gallery.snapshot():
        people, counts = gallery.people(), gallery.photo_counts()
    photos = [counts.get(person.id, 0) for person in people]
    if as_json:
        for person, count in zip(people, photos, strict=True):
            write_json({**person_record(person), "photos": count})
    else:
        rows = [
            (person.name, str(person.sample_count), str(count), _day(person.created_at))
            for person, count in zip(people, photos, strict=True)
        ]
        write_table(("person", "samples", "photos", "enrolled"), rows)
    return 0


def name_group(
    ctx: typer.Context,
    group: Annotated[
        int, typer.Argument(metavar="GROUP", min=1, show_default=False, help="Its number in 'facebank cluster'.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The person, enrolled or new.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Enroll faces that are unlike the person's other faces, or similar to somebody else's."
        ),
    ] = False,
    scan_file: ScanPath = None,
    as_json: AsJson = False,
) -> int:
    """Give a group of 'facebank cluster' a name.

    Its best and most varied faces are enrolled.
    """
    from facebank.album.album import Album

    with (
        settings_of(ctx).open_bank() as bank,
        Album(bank, scan_file) as album,
        ProgressBar(writes_lines=as_json) as bar,
    ):
        named = album.name_group(group, name, force=force, progress=bar)
    for why in named.refused.values():
        say(why)
    if as_json:
        write_json(named_group_record(named))
    else:
        what = f"is {named.person} now" if named.enrolled else f"is not enrolled as {named.person}"
        write_line(f"group {group} {what}: {counted(len(named.enrolled), 'sample')} enrolled")
        for photo in named.enrolled:
            write_line(f"  {short_path(photo)}")
    return 0 if named.enrolled else SOME_FAILED


def show(ctx: typer.Context, name: Name, out: PageOut = None, opens: PageOpen = False, as_json: AsJson = False) -> int:
    """Show a person's samples, birth date and note.

    The page, with --out or --open, shows the faces.

    Standard error has a warning where a child's newest sample is more than two years old, a sample is dated before the
    birth, or every sample wears a mask.
    """
    from facebank.album.pages import write_samples_page
    from facebank.recognition.facts import fact_warnings
    from facebank.storage.dates import shown_date

    with settings_of(ctx).open_gallery() as gallery, gallery.snapshot():
        person, samples, merged = gallery.person(name), gallery.samples(name), gallery.merged(name)
    warnings = fact_warnings(person, samples)
    if as_json:
        about = {
            "born": person.born,
            "note": person.note,
            "warnings": list(map(warning_record, warnings)),
            "merged": list(map(merged_record, merged)),
        }
        for sample in samples:
            write_json({**sample_record(sample), **about})
    else:
        rows = [
            (
                str(sample.id),
                sample.path,
                f"{sample.quality:.2f}",
                "yes" if sample.masked else "",
                shown_date(sample.taken_at, camera_dated=sample.camera_dated),
                _day(sample.enrolled_at),
            )
            for sample in samples
        ]
        write_table(("sample", "photo", "quality", "mask", "taken", "enrolled"), rows)
        _write_facts(person)
        for other in merged:
            what = counted(other.samples, "sample")
            write_line(
                f"{other.name} was joined on {_day(other.merged_at)}, with {what}: 'people unmerge' undoes the last"
            )
    for each in warnings:
        say(each.message)
    if out is not None or opens:
        with settings_of(ctx).open_gallery() as gallery:
            write_page(
                gallery,
                out,
                partial(write_samples_page, gallery, person.name, samples),
                opens=opens,
                writes_lines=as_json,
            )
    return 0


def set_facts(
    ctx: typer.Context,
    name: Name,
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

    An empty value removes, too.

    Nobody is named in a photo that a camera dated before their birth. Of a birth date that is not known to the day the
    earliest possible day counts.
    """
    from facebank.errors import UsageError
    from facebank.recognition.facts import fact_warnings

    if (no_born and born is not None) or (no_note and note is not None):
        raise UsageError("--born and --no-born, or --note and --no-note, exclude each other")
    if born is None and note is None and not no_born and not no_note:
        raise UsageError("nothing to set: name --born or --note, or --no-born or --no-note")
    with settings_of(ctx).open_gallery() as gallery:
        person = gallery.describe(
            name,
            born=None if no_born else ... if born is None else born,
            note=None if no_note else ... if note is None else note,
        )
        warnings = fact_warnings(person, gallery.samples(name))
    if as_json:
        write_json(person_record(person))
    elif person.born is None and person.note is None:
        write_line(f"{person.name} has neither a birth date nor a note now")
    else:
        write_line(person.name)
        _write_facts(person)
    for each in warnings:
        say(each.message)
    return 0


def rename(
    ctx: typer.Context,
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", show_default=False, help="The new name.")],
    as_json: AsJson = False,
) -> int:
    """Give a person another name."""
    with settings_of(ctx).open_gallery() as gallery:
        person = gallery.rename(name, new_name)
    _tell(person, f"{name} is {person.name} now", as_json=as_json)
    return 0


def merge(
    ctx: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", show_default=False, help="The people to join with another.")
    ],
    into: Annotated[str, typer.Option(metavar="NAME", help="The person who gets the samples.")],
    force: Annotated[
        bool, typer.Option("--force", help="Join them although their samples look like two people.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Join people who are one person.

    Every sample is kept, and 'facebank people unmerge' undoes it.

    Refused where most faces of one are unlike the other's or nearer to somebody else, or where both are in one photo.
    """
    settings = settings_of(ctx)
    with settings.open_gallery() as gallery:
        born = {person.name: person.born for person in map(gallery.person, names)}
        if force:
            person = gallery.merge(names, into)
    if not force:
        with settings.open_bank() as bank:
            person = bank.merge(names, into)
    for name, other in born.items():
        if other not in (None, person.born):
            say(f"{name} was born {other} and {person.name} {person.born}: the date of {person.name} is kept")
    _tell(person, f"{person.name} has {person.sample_count} samples now", as_json=as_json)
    return 0


def forget(ctx: typer.Context, name: Name, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False) -> int:
    """Remove a person and everything derived, for good.

    Samples, embeddings, thumbnails, paths and the name are overwritten, in caches and backups of the gallery too.

    Standard error lists what stays elsewhere, as far as the gallery knows: exports, annotated copies, sorted folders,
    names in photos. On a terminal you are asked first.
    """
    from facebank.album.copies import copies_of

    from .forgetting import ask_first, tell_what_is_left, tell_what_stays

    with settings_of(ctx).open_gallery() as gallery:
        person, before = gallery.person(name), copies_of(gallery, name)
        what = f"{person.name}, with {counted(person.sample_count, 'sample')}"
        if dry_run or not ask_first(f"Forget {what}, for good?", before, yes=yes):
            record = forgotten_record(person, before, None)
            return _not_forgotten(record, what, before, dry_run=dry_run, as_json=as_json)
        forgotten = gallery.forget(name)
    if as_json:
        write_json(forgotten_record(person, before, forgotten))
    else:
        write_line(f"{person.name} is forgotten, with {counted(forgotten.samples, 'sample')}")
    if before.files_with_name:
        say(
            f"facebank wrote the name into {counted(len(before.files_with_name), 'file')}, where it still stands: "
            f"`{shell_command('tags', 'remove', person.name)}` takes it out"
        )
    tell_what_is_left(forgotten)
    tell_what_stays(before)
    return 0


def remove_sample(
    ctx: typer.Context,
    sample_id: Annotated[
        int, typer.Argument(metavar="SAMPLE", show_default=False, help="Its number in 'facebank people show'.")
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Remove one sample for good.

    On a terminal you are asked first.
    """
    from facebank.album.copies import copies_of

    from .forgetting import ask_first, tell_what_is_left, tell_what_stays

    with settings_of(ctx).open_gallery() as gallery:
        what = _described_sample(gallery, sample_id)
        before = copies_of(gallery)
        if dry_run or not ask_first(f"Remove {what}, for good?", before, yes=yes):
            record = removed_sample_record(sample_id, before, None)
            return _not_forgotten(record, what, before, dry_run=dry_run, as_json=as_json)
        forgotten = gallery.remove_sample(sample_id)
    if as_json:
        write_json(removed_sample_record(sample_id, before, forgotten))
    else:
        write_line(f"sample {sample_id} is removed")
    tell_what_is_left(forgotten)
    tell_what_stays(before)
    return 0


def _described_sample(gallery: Gallery, sample_id: int) -> str:
    """Say whose sample it is and of which photo; only its number where its row is damaged."""
    gallery.sample(sample_id)
    try:
        sample = gallery.sample(sample_id)
    except GalleryFormatError:
        return f"sample {sample_id}"
    return f"sample {sample_id} of {sample.person} ({short_path(sample.path)})"


def _not_forgotten(record: dict[str, object], what: str, before: Copies, *, dry_run: bool, as_json: bool) -> int:
    from .forgetting import tell_what_stays

    if not dry_run:
        say("nothing was removed")
        return NOTHING_DONE
    if as_json:
        write_json(record)
    else:
        write_line(f"to be removed: {what}")
        for path in before.wiped:
            write_line(f"to be wiped: {path}")
    tell_what_stays(before)
    return 0


def export(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="A new folder.")],
    person: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this person; may be repeated.")] = None,
    thumbnails: Annotated[bool, typer.Option(help="Include the small pictures of the faces.")] = True,
    as_json: AsJson = False,
) -> int:
    """Write people into a new folder, as JSON Lines and npz.

    npz is NumPy's format for arrays: the embeddings.
    """
    from facebank.gallery import export_gallery

    with settings_of(ctx).open_gallery() as gallery:
        exported = export_gallery(gallery, folder, person or None, thumbnails=thumbnails)
    if as_json:
        write_json({"folder": str(exported.folder), "people": exported.people, "samples": exported.samples})
    else:
        counts = f"{counted(exported.people, 'person', 'people')} with {counted(exported.samples, 'sample')}"
        write_line(f"{counts} written to {exported.folder}")
    return 0


def import_people(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="Folder of an export.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Add faces that are unlike the person's here, or similar to somebody else's."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Add the people of an export.

    Faces that are enrolled already are skipped. A face that is unlike the samples that a person of that name has here,
    or nearer to somebody else here, is refused.
    """
    with settings_of(ctx).open_bank() as bank:
        imported = bank.import_people(folder, force=force)
    for refused in imported.refused:
        say(f"{refused.path}: {refused.detail}")
    if as_json:
        write_json(
            {
                "people": imported.people,
                "samples": imported.samples,
                "duplicates": imported.duplicates,
                "duplicates_elsewhere": imported.duplicates_elsewhere,
                "refused": [
                    {"image": each.path, "person": each.person, "reason": each.reason, "detail": each.detail}
                    for each in imported.refused
                ],
            }
        )
    else:
        write_line(
            f"{counted(imported.samples, 'sample')} and {counted(imported.people, 'new person', 'new people')} "
            f"imported, {imported.duplicates} enrolled before ({imported.duplicates_elsewhere} as somebody else)"
        )
    return SOME_FAILED if imported.refused else 0


def re_embed(
    ctx: typer.Context,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Remove samples whose photo or face is not found again.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Compute all embeddings again, with another pack.

    The pack is named before the command, as in 'facebank --pack buffalo_l people re-embed'. The photos must still be
    there. Nothing is changed if one is missing, unless --drop-missing is given; exit code 2 then. Strangers that
    `facebank deny --nobody` remembered and whose photo is missing are forgotten.
    """
    from .forgetting import tell_what_is_left

    with settings_of(ctx).open_bank(works_long=True) as bank, ProgressBar(writes_lines=as_json) as bar:
        report = bank.re_embed(drop_missing=drop_missing, progress=bar)
    tell_what_is_left(report)
    for lost in report.lost:
        say(f"sample {lost.sample_id} of {lost.person}: {lost.reason}")
    if report.changed:
        for image in report.lost_strangers:
            say(f"a stranger is forgotten whose face was not found again: {image}")
    if as_json:
        lost_records = [
            {"sample_id": lost.sample_id, "person": lost.person, "image": lost.path, "reason": lost.reason}
            for lost in report.lost
        ]
        write_json(
            {
                "changed": report.changed,
                "pack": report.pack,
                "embedded": report.embedded,
                "lost": lost_records,
                "busy_readers": report.busy_readers,
                "full_disk": report.full_disk,
                "mirrors": list(report.mirrors),
            }
        )
    elif report.changed:
        write_line(f"{counted(report.embedded, 'sample')} embedded with {report.pack}")
    if not report.changed:
        say("nothing was changed: bring the photos back, or remove those samples with --drop-missing")
        return NOTHING_DONE
    return SOME_FAILED if report.lost or report.lost_strangers else 0


def _tell(person: Person, text: str, *, as_json: bool) -> None:
    if as_json:
        write_json(person_record(person))
    else:
        write_line(text)


def _write_facts(person: Person) -> None:
    if person.born is not None:
        write_line(f"born {person.born}")
    if person.note is not None:
        write_line(f"note: {person.note}")


def _day(time: datetime | None) -> str:
    return "" if time is None else time.date().isoformat()
