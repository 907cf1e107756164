"""``facebank confirm`` and ``facebank deny``: corrections of decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.errors import UsageError
from facebank.schemas.records import feedback_record
from facebank.storage.text import pluralize, shell_command

from .exit_codes import SOME_FAILED
from .global_options import global_options
from .options import AsOneJson, FaceNumber, PersonName, PhotoPath
from .output import say, write_json, write_line

if TYPE_CHECKING:
    from facebank.operations.feedback import Feedback

CONFIRM_EXAMPLES = """\b
Examples:
  facebank confirm party.jpg Ada
  facebank confirm party.jpg Ada --face 2

Exit codes: 0 the face is now a sample; 1 refused: poor quality, or more like somebody else; 2 wrong usage, or no such
person or face."""

DENY_EXAMPLES = """\b
Examples:
  facebank deny party.jpg Ada --face 2
  facebank deny party.jpg --nobody --face 3

Exit codes: 0 recorded; 1 the quality of the face is too poor to remember it; 2 wrong usage, or no such person or
face."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("confirm", epilog=CONFIRM_EXAMPLES)(confirm)
    app.command("deny", epilog=DENY_EXAMPLES)(deny)


def confirm(
    ctx: typer.Context,
    path: PhotoPath,
    name: PersonName,
    face_number: FaceNumber = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Accept a face that differs from the person's samples or is closer to another person."
        ),
    ] = False,
    as_json: AsOneJson = False,
) -> int:
    """Confirm that a face is this person's, and learn from it.

    The face becomes a sample of the person if its quality is sufficient.

    A face that differs from the person's samples, or is closer to another person, is refused unless --force is given.
    An earlier denial of the person for this face is withdrawn.
    """
    with global_options(ctx).open_bank() as bank:
        feedback = bank.confirm(path, name, face_number, force=force)
    return _print(feedback, {"sample_id": feedback.sample_id}, as_json=as_json)


def deny(
    ctx: typer.Context,
    path: PhotoPath,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", show_default=False, help="The person whose face it is not; left out with --nobody."
        ),
    ] = None,
    nobody: Annotated[
        bool, typer.Option("--nobody", help="Remember the face as a stranger's: it is nobody you know.")
    ] = False,
    face_number: FaceNumber = None,
    as_json: AsOneJson = False,
) -> int:
    """Record that a face is not this person's, or is a stranger's.

    The person is no longer suggested for this face of this photo. 'facebank strangers' lists and forgets strangers.
    """
    if nobody == (name is not None):
        raise UsageError("give either a NAME or --nobody")
    from facebank.album.scan_paths import album_scan_path
    from facebank.album.tags.written_names import files_with_name
    from facebank.storage.paths import absolute

    written_paths: list[str] = []
    with global_options(ctx).open_bank() as bank:
        feedback = bank.deny_everybody(path, face_number) if name is None else bank.deny(path, name, face_number)
        if feedback.person is not None:
            gallery = bank.gallery
            person = gallery.person(feedback.person).id
            written_paths = files_with_name(album_scan_path(bank.path), gallery.pack, person, absolute(path))
    extra = {"stranger_id": feedback.stranger_id, "files_with_name": len(written_paths)}
    code = _print(feedback, extra, as_json=as_json)
    if written_paths:
        embed = ("--embed",) if absolute(path) in written_paths else ()
        say(
            f"facebank wrote the name {feedback.person} into {pluralize(len(written_paths), 'file')} of this photo: "
            f"`{shell_command('tags', 'write', *embed, path)}` removes it"
        )
    return code


def _print(feedback: Feedback, extra: Mapping[str, int | None], *, as_json: bool) -> int:
    """Write the result, in JSON with further ids and counts, and return the exit code."""
    if as_json:
        write_json({**feedback_record(feedback), **extra})
    else:
        write_line(f"{feedback.path}, face {feedback.face_number}: {feedback.detail}")
    return 0 if feedback.accepted else SOME_FAILED
