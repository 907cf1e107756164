"""``facebank people forget`` and ``people remove-sample``: removal of personal data, and what it leaves elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from facebank.errors import GalleryFormatError
from facebank.schemas.records import forgotten_record, removed_sample_record
from facebank.storage.text import pluralize, shell_command

from .exit_codes import NOTHING_DONE
from .global_options import global_options
from .options import AsJson, PersonName
from .output import is_interactive, say, short_path, write_json, write_line

if TYPE_CHECKING:
    from facebank.album.copies import Copies
    from facebank.gallery import ForgetReport, Gallery
    from facebank.operations.reembed import ReEmbeddingReport

Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Remove nothing; list what would be removed and what would remain.")
]


def forget(
    ctx: typer.Context, name: PersonName, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False
) -> int:
    """Remove a person and all derived data for good.

    Samples, embeddings, thumbnails, paths and the name are overwritten, in caches and backups of the gallery too.

    Standard error lists the copies elsewhere that the gallery has recorded: exports, annotated copies, sorted folders,
    names in photos. On a terminal you are asked first.
    """
    from facebank.album.copies import copies_of
    from facebank.album.forget import forget_person

    with global_options(ctx).open_gallery() as gallery:
        person, copies = gallery.person(name), copies_of(gallery, name)
        description = f"{person.name}, with {pluralize(person.sample_count, 'sample')}"
        if dry_run or not confirm_removal(f"Forget {description}, for good?", copies, yes=yes):
            record = forgotten_record(person, copies, None)
            return _print_plan(record, description, copies, dry_run=dry_run, as_json=as_json)
        forgotten = forget_person(gallery, name)
    if as_json:
        write_json(forgotten_record(person, copies, forgotten))
    else:
        write_line(f"{person.name} is forgotten, with {pluralize(forgotten.sample_count, 'sample')}")
    if copies.files_with_name:
        say(
            f"facebank wrote the name into {pluralize(len(copies.files_with_name), 'file')}, where it still is: "
            f"`{shell_command('tags', 'remove', person.name)}` removes it"
        )
    report_leftovers(forgotten)
    report_remaining_copies(copies)
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

    with global_options(ctx).open_gallery() as gallery:
        description = _describe_sample(gallery, sample_id)
        copies = copies_of(gallery)
        if dry_run or not confirm_removal(f"Remove {description}, for good?", copies, yes=yes):
            record = removed_sample_record(sample_id, copies, None)
            return _print_plan(record, description, copies, dry_run=dry_run, as_json=as_json)
        forgotten = gallery.remove_sample(sample_id)
    if as_json:
        write_json(removed_sample_record(sample_id, copies, forgotten))
    else:
        write_line(f"sample {sample_id} is removed")
    report_leftovers(forgotten)
    report_remaining_copies(copies)
    return 0


def _describe_sample(gallery: Gallery, sample_id: int) -> str:
    """Return a sample's number, person and photo; only the number if its row is damaged."""
    try:
        sample = gallery.sample(sample_id)
    except GalleryFormatError:
        return f"sample {sample_id}"
    return f"sample {sample_id} of {sample.person} ({short_path(sample.path)})"


def confirm_removal(question: str, copies: Copies, *, yes: bool) -> bool:
    """Return whether to go on: asks on a terminal unless `yes`; without a terminal, True."""
    if yes or not is_interactive():
        return True
    if copies.wiped:
        say(f"{pluralize(len(copies.wiped), 'file')} made from the gallery will be wiped, too")
    report_remaining_copies(copies)
    return typer.confirm(question, err=True)


def _print_plan(record: dict[str, object], description: str, copies: Copies, *, dry_run: bool, as_json: bool) -> int:
    """Write what a dry run would remove, or that the user declined; return the exit code."""
    if not dry_run:
        say("nothing was removed")
        return NOTHING_DONE
    if as_json:
        write_json(record)
    else:
        write_line(f"to be removed: {description}")
        for path in copies.wiped:
            write_line(f"to be wiped: {path}")
    report_remaining_copies(copies)
    return 0


def report_remaining_copies(copies: Copies) -> None:
    """List files that keep personal data, with advice, on standard error."""
    from facebank.album.copies import ADVICE

    for copy in copies.remaining:
        say(f"stays: {copy.path}: {ADVICE[copy.kind]}")


def report_leftovers(removed: ForgetReport | ReEmbeddingReport) -> None:
    """Report removed data that is still in the gallery file or in a mirror, and when it will be gone."""
    if removed.busy_readers:
        say("another process is reading the gallery: removed data is wiped when the gallery is next opened alone")
    if removed.full_disk:
        say(
            "the disk is full: removed data may remain in the gallery file; free some space, and it is wiped when the "
            "gallery is next opened"
        )
    for address in removed.mirrors:
        say(
            f"{address} may still hold embeddings of what was removed: the next command with --index {address} that "
            "connects, such as 'facebank people check', removes them"
        )
