"""``facebank lookalike``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from .feedback import AsJson, FaceNumber, PhotoFile
from .output import write_json, write_line, write_table
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.operations.lookalike import Lookalikes, Resemblance

EXAMPLES = """\b
Examples:
  facebank lookalike newborn.jpg
  facebank lookalike party.jpg --face 2 --top 10

A share is the softmax of the similarities to all enrolled people at the temperature 0.1: somebody who is 0.1 more
similar has 2.7 times the share. All shares together are 100 %. They are no probabilities.

Exit codes: 0 compared, whoever it is; 2 wrong usage, no face, or nobody to compare with."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lookalike", epilog=EXAMPLES)(lookalike)


def lookalike(
    ctx: typer.Context,
    photo: PhotoFile,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="How many people to show.")] = 5,
    face: FaceNumber = None,
    as_json: AsJson = False,
) -> int:
    """Rank enrolled people by resemblance to a face.

    Resemblance is not identity: 'facebank identify' decides who it is.
    """
    with settings_of(ctx).open_bank() as bank:
        found = bank.lookalikes(photo, face)
    shown = found.people[:top]
    if as_json:
        write_json(_record(found, shown))
    else:
        _tell(found, shown)
    return 0


def _record(found: Lookalikes, shown: Sequence[Resemblance]) -> dict[str, object]:
    from facebank.operations.lookalike import HEADING, TEMPERATURE

    return {
        "image": found.path,
        "face": found.face_number,
        "box": [round(edge, 2) for edge in found.box.tolist()],
        "heading": HEADING,
        "temperature": TEMPERATURE,
        "people": len(found.people),
        "lookalikes": [{"person": one.person, "similarity": one.similarity, "share": one.share} for one in shown],
    }


def _tell(found: Lookalikes, shown: Sequence[Resemblance]) -> None:
    from facebank.operations.lookalike import HEADING

    write_line(f"{HEADING}: {found.path}, face {found.face_number}")
    rows = [(one.person, f"{one.similarity:.3f}", f"{one.share:.1%}") for one in shown]
    others = found.people[len(shown) :]
    if others:
        rows.append((f"({len(others)} more)", "", f"{sum(one.share for one in others):.1%}"))
    write_table(("person", "similarity", "share"), rows)
