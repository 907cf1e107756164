"""``facebank confirm``."""

from __future__ import annotations

from typing import Annotated

import typer

from .feedback import AsJson, FaceNumber, PhotoFile, tell
from .settings import settings_of

EXAMPLES = """\b
Examples:
  facebank confirm party.jpg Ada
  facebank confirm party.jpg Ada --face 2

Exit codes: 0 the face is a sample now; 1 it is refused, being too poor or somebody else's; 2 wrong usage, no such
person, or nothing done."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("confirm", epilog=EXAMPLES)(confirm)


def confirm(
    ctx: typer.Context,
    photo: PhotoFile,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The enrolled person.")],
    face: FaceNumber = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Accept a face that is unlike the person's samples, or similar to somebody else's."
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Confirm that a face is this person's, and learn from it.

    The face becomes a sample of the person if its quality is sufficient.

    A face that is unlike the person's samples, or nearer to somebody else, is refused unless --force is given. The
    newest word counts: that the person was denied for this face is taken back.
    """
    with settings_of(ctx).open_bank() as bank:
        feedback = bank.confirm(photo, name, face, force=force)
    return tell(feedback, {"sample_id": feedback.sample_id}, as_json=as_json)
