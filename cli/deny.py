"""``facebank deny``."""

from __future__ import annotations

from typing import Annotated

import typer

from facebank.errors import UsageError
from facebank.storage.text import shell_command

from .feedback import AsJson, FaceNumber, PhotoFile, tell
from .output import counted, say
from .settings import settings_of

EXAMPLES = """\b
Examples:
  facebank deny party.jpg Ada --face 2
  facebank deny party.jpg --nobody --face 3

Exit codes: 0 done; 1 the face is too poor to be remembered; 2 wrong usage, no such person, or nothing done."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("deny", epilog=EXAMPLES)(deny)


def deny(
    ctx: typer.Context,
    photo: PhotoFile,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", show_default=False, help="The person whose face it is not; left out with --nobody."
        ),
    ] = None,
    nobody: Annotated[
        bool, typer.Option("--nobody", help="It is nobody you know: remember the face as a stranger's.")
    ] = False,
    face: FaceNumber = None,
    as_json: AsJson = False,
) -> int:
    """Say that a face is not this person's, or is nobody you know.

    The person is never offered again for this face of this photo. `facebank strangers` lists and forgets strangers.
    """
    if nobody == (name is not None):
        raise UsageError("say who it is not: type either a NAME or --nobody")
    from facebank.album.own_album import own_album
    from facebank.album.tags.written_names import files_with_name
    from facebank.storage.paths import absolute

    files: list[str] = []
    with settings_of(ctx).open_bank() as bank:
        feedback = bank.deny_everybody(photo, face) if name is None else bank.deny(photo, name, face)
        if feedback.person is not None:
            gallery = bank.gallery
            person = gallery.person(feedback.person).id
            files = files_with_name(own_album(bank.path), gallery.pack, person, absolute(photo))
    code = tell(feedback, {"stranger_id": feedback.stranger_id, "files_with_name": len(files)}, as_json=as_json)
    if files:
        inside = ("--embed",) if absolute(photo) in files else ()
        say(
            f"facebank wrote the name {feedback.person} into {counted(len(files), 'file')} of this photo: "
            f"`{shell_command('tags', 'write', *inside, photo)}` takes it out"
        )
    return code
