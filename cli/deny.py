"""``facebank deny``."""

from __future__ import annotations

from typing import Annotated

import typer

from facebank.errors import UsageError

from .feedback import AsJson, FaceNumber, PhotoFile, tell
from .settings import settings_of

EXAMPLES = """\b
Examples:
  facebank deny party.jpg Ada --face 2
  facebank deny party.jpg --nobody --face 3

\b
Exit codes: 0 done; 1 the face is too poor to be remembered; 2 wrong usage, no such person, or nothing done."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("deny", epilog=EXAMPLES)(deny)


def deny(
    ctx: typer.Context,
    photo: PhotoFile,
    name: Annotated[str | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    nobody: Annotated[
        bool, typer.Option("--nobody", help="It is nobody you know: the face is remembered as a stranger's.")
    ] = False,
    face: FaceNumber = None,
    as_json: AsJson = False,
) -> int:
    """Say that a face is not this person's, or nobody's whom you know.

    The person is never offered again for this face of this photo. `facebank strangers` lists and forgets strangers.
    """
    if nobody == (name is not None):
        raise UsageError("say who it is not: type either a NAME or --nobody")
    with settings_of(ctx).open_bank() as bank:
        feedback = bank.deny_everybody(photo, face) if name is None else bank.deny(photo, name, face)
    return tell(feedback, {"stranger_id": feedback.stranger_id}, as_json=as_json)
