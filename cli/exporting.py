"""``facebank people export``, ``import`` and ``backup``: copies of people and of whole galleries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facebank.storage.text import pluralize

from .exit_codes import SOME_FAILED
from .global_options import global_options
from .options import AsJson
from .output import say, write_json, write_line


def export(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="Folder to create.")],
    person: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this person; may be repeated.")] = None,
    thumbnails: Annotated[bool, typer.Option(help="Include the thumbnails of the faces.")] = True,
    as_json: AsJson = False,
) -> int:
    """Write people into a new folder, as JSON Lines and npz.

    The npz file, NumPy's format for arrays, has the embeddings.
    """
    from facebank.gallery import export_gallery

    with global_options(ctx).open_gallery() as gallery:
        report = export_gallery(gallery, folder, person or None, thumbnails=thumbnails)
    if as_json:
        write_json({"folder": str(report.folder), "people": report.person_count, "samples": report.sample_count})
    else:
        counts = f"{pluralize(report.person_count, 'person', 'people')} with {pluralize(report.sample_count, 'sample')}"
        write_line(f"{counts} written to {report.folder}")
    return 0


def import_people(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="Folder of an export.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also add faces that differ from the person's samples or are closer to another person."
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Add the people of an export.

    Faces that are already enrolled are skipped. A face that differs from the samples of the person with that name in
    this gallery, or is closer to another person, is refused.
    """
    with global_options(ctx).open_bank() as bank:
        report = bank.import_people(folder, force=force)
    for sample in report.refused:
        say(f"{sample.path}: {sample.detail}")
    if as_json:
        write_json(
            {
                "people": report.person_count,
                "samples": report.sample_count,
                "duplicates": report.duplicates,
                "duplicates_elsewhere": report.duplicates_elsewhere,
                "refused": [
                    {"image": sample.path, "person": sample.person, "reason": sample.reason, "detail": sample.detail}
                    for sample in report.refused
                ],
            }
        )
    else:
        write_line(
            f"{pluralize(report.sample_count, 'sample')} and "
            f"{pluralize(report.person_count, 'new person', 'new people')} imported, "
            f"{report.duplicates} already enrolled ({report.duplicates_elsewhere} under another name)"
        )
    return SOME_FAILED if report.refused else 0


def backup(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="File to create.")],
    as_json: AsJson = False,
) -> int:
    """Copy the gallery into a new file, even while in use.

    The copy is a consistent snapshot that only you can read, and a gallery like any other: people whom you forget later
    remain in it.
    """
    with global_options(ctx).open_gallery() as gallery:
        backup_path = gallery.back_up(path)
        people = len(gallery.names())
    if as_json:
        write_json({"file": str(backup_path), "people": people})
    else:
        write_line(f"{pluralize(people, 'person', 'people')} copied to {backup_path}")
    return 0
