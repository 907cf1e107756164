"""``facebank verify``: checks whether two photos show the same person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facebank.schemas.records import verification_record

from .global_options import global_options
from .options import AsOneJson
from .output import write_json, write_line

EXAMPLES = """\b
Example:
  facebank verify passport.jpg selfie.jpg

Exit codes: 0 compared, whether or not it is one person; 2 a photo cannot be read or shows no face."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", epilog=EXAMPLES)(verify)


def verify(
    ctx: typer.Context,
    first_path: Annotated[Path, typer.Argument(metavar="PHOTO_A", show_default=False, help="A photo.")],
    second_path: Annotated[
        Path, typer.Argument(metavar="PHOTO_B", show_default=False, help="The photo to compare it with.")
    ],
    as_json: AsOneJson = False,
) -> int:
    """Check whether two photos show the same person.

    The largest face of each photo is compared. Needs no gallery.
    """
    with global_options(ctx).open_bank() as bank:
        verification = bank.verify(first_path, second_path)
    if as_json:
        write_json(verification_record(verification))
    else:
        from facebank.operations.identify import describe_verification

        answer = describe_verification(verification)
        write_line(f"{answer} (similarity {verification.similarity:.3f}, threshold {verification.threshold:.3f})")
    return 0
