"""``facebank explain``: a map of the regions that make two faces similar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .global_options import global_options
from .output import write_json, write_line, write_table

if TYPE_CHECKING:
    from facebank.operations.explain import ExplainedPair
    from facebank.types import FloatArray

_CELLS = 14
EXAMPLES = """\b
Example:
  facebank explain passport.jpg selfie.jpg --out map.png

Each part of one face is hidden in turn while the other face stays whole, and the fall of the similarity is measured.
The map shows what the network used, not what people should look at.

Exit codes: 0 explained, whether or not it is one person; 2 a photo cannot be read or shows no face, or the picture
cannot be written."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain", epilog=EXAMPLES)(explain)


def explain(
    ctx: typer.Context,
    first_path: Annotated[Path, typer.Argument(metavar="PHOTO_A", show_default=False, help="A photo.")],
    second_path: Annotated[
        Path, typer.Argument(metavar="PHOTO_B", show_default=False, help="The photo to compare it with.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="The picture to write.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object as well.")] = False,
) -> int:
    """Draw a map of the regions that make two faces similar.

    The largest face of each photo is used. Needs no gallery.
    """
    from facebank.gallery import PlaceKind
    from facebank.operations.explain import explain_photos
    from facebank.operations.explanation_picture import check_target, write_picture

    check_target(out, [first_path, second_path])
    with global_options(ctx).open_bank() as bank:
        pair = explain_photos(bank.comparing_engine, first_path, second_path)
        bank.note_written(PlaceKind.EXPLANATION, out)
        write_picture(pair, out)
    if as_json:
        write_json(_record(pair, out))
    else:
        _print(pair, out)
    return 0


def _record(pair: ExplainedPair, out: Path) -> dict[str, object]:
    verification, explanation = pair.verification, pair.explanation
    grids = explanation.grid(_CELLS)
    return {
        "a": verification.a,
        "b": verification.b,
        "similarity": verification.similarity,
        "threshold": verification.threshold,
        "same": verification.same,
        "largest_fall": explanation.largest_drop,
        "largest_rise": explanation.largest_rise,
        "regions": [
            {"region": region.name, "area": region.area, "fall_in_a": region.drops[0], "fall_in_b": region.drops[1]}
            for region in explanation.regions
        ],
        "map": {"cells": _CELLS, **dict(zip(("fall_in_a", "fall_in_b"), map(_round, grids), strict=True))},
        "picture": str(out),
    }


def _round(grid: FloatArray) -> list[list[float]]:
    return [[round(fall, 5) for fall in row] for row in grid.tolist()]


def _print(pair: ExplainedPair, out: Path) -> None:
    from facebank.operations.identify import describe_verification

    verification = pair.verification
    answer = describe_verification(verification)
    write_line(f"{answer} (similarity {verification.similarity:.3f}, threshold {verification.threshold:.3f})")
    rows = [
        (region.name, f"{region.area:.0%}", f"{region.drops[0]:.3f}", f"{region.drops[1]:.3f}")
        for region in pair.explanation.regions
    ]
    write_table(("hidden", "fraction of the crop", "fall, first face", "fall, second face"), rows)
    write_line(f"picture: {out}")
