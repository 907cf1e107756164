"""``facebank lookalike``: ranks enrolled people by resemblance to a face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.schemas.records import round_coordinates
from facebank.storage.text import format_similarity

from .global_options import global_options
from .options import AsOneJson, FaceNumber, PhotoPath
from .output import write_json, write_line, write_table

if TYPE_CHECKING:
    from facebank.operations.lookalike import Lookalikes, Resemblance

EXAMPLES = """\b
Examples:
  facebank lookalike newborn.jpg
  facebank lookalike party.jpg --face 2 --top 10

The share is the softmax of the similarities to all enrolled people at the temperature 0.1: a similarity that is higher
by 0.1 gives 2.7 times the share. The shares add up to 100 %, but are not probabilities.

Exit codes: 0 compared; 2 wrong usage, no face, or nobody to compare with."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lookalike", epilog=EXAMPLES)(lookalike)


def lookalike(
    ctx: typer.Context,
    path: PhotoPath,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Number of people to show.")] = 5,
    face_number: FaceNumber = None,
    as_json: AsOneJson = False,
) -> int:
    """Rank enrolled people by resemblance to a face.

    Resemblance is not identity: 'facebank identify' decides who it is.
    """
    with global_options(ctx).open_bank() as bank:
        ranking = bank.lookalikes(path, face_number)
    best = ranking.people[:top]
    if as_json:
        write_json(_record(ranking, best))
    else:
        _print(ranking, best)
    return 0


def _record(ranking: Lookalikes, best: Sequence[Resemblance]) -> dict[str, object]:
    from facebank.operations.lookalike import HEADING, TEMPERATURE

    return {
        "image": ranking.path,
        "face": ranking.face_number,
        "box": round_coordinates(ranking.box.tolist()),
        "heading": HEADING,
        "temperature": TEMPERATURE,
        "people": len(ranking.people),
        "lookalikes": [
            {"person": match.person, "similarity": match.similarity, "share": match.share} for match in best
        ],
    }


def _print(ranking: Lookalikes, best: Sequence[Resemblance]) -> None:
    from facebank.operations.lookalike import HEADING

    write_line(f"{HEADING}: {ranking.path}, face {ranking.face_number}")
    rows = [(match.person, format_similarity(match.similarity), f"{match.share:.1%}") for match in best]
    others = ranking.people[len(best) :]
    if others:
        rows.append((f"({len(others)} more)", "", f"{sum(other.share for other in others):.1%}"))
    write_table(("person", "similarity", "share"), rows)
