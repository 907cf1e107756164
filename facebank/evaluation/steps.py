"""Steps in which probes are degraded, by the axes that they are plotted along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.evaluation.changes import Blurred, DrawnMask, Exposed, Hazy, Shrunk
from facebank.vision.masking import MaskShape

if TYPE_CHECKING:
    from facebank.evaluation.laboratory import Change


@dataclass(frozen=True, slots=True)
class Step:
    """One condition that probes are brought into.

    Attributes
    ----------
    name, label
        As of `Condition`.
    strength
        Where it is on the axis of a plot.
    change
        What is done.
    """

    name: str
    label: str
    strength: float
    change: Change


@dataclass(frozen=True, slots=True)
class Axis:
    """Steps of one kind, with the photos as they are at the strength ``plain``; None leaves these out."""

    label: str
    plain: float | None
    steps: tuple[Step, ...]


MASKS = (
    Axis(
        "mask, in the order of the table; 0 without",
        0,
        tuple(
            Step(
                f"mask_{shape}_{colour}".replace(" ", "_"), f"{shape} mask, {colour}", number, DrawnMask(shape, colour)
            )
            for number, (shape, colour) in enumerate(
                (
                    (MaskShape.SURGICAL, "light blue"),
                    (MaskShape.CLOTH, "black"),
                    (MaskShape.RESPIRATOR, "white"),
                    (MaskShape.SCARF, "red"),
                ),
                start=1,
            )
        ),
    ),
)
"""One of each shape. A gallery keeps each enrolled face with a drawn mask of its own beside it."""

SIZES = (
    Axis(
        "longer side of the face in pixels",
        None,
        tuple(Step(f"size_{size}", f"{size} pixels", size, Shrunk(size)) for size in (112, 80, 56, 40, 28, 20)),
    ),
)

BLUR = (
    Axis(
        "standard deviation of the blur, per cent of the face",
        0,
        tuple(
            Step(
                f"blur_{per_mille}_per_mille",
                f"blurred by {per_mille / 10:g} %",
                per_mille / 10,
                Blurred(per_mille / 1000),
            )
            for per_mille in (10, 20, 30, 45, 65)
        ),
    ),
)


def _stops(stops: int) -> str:
    return f"{abs(stops)} stop" + "s" * (abs(stops) != 1)


EXPOSURE = (
    Axis(
        "light in stops: each is twice as much",
        0,
        tuple(
            Step(
                f"{'darker' if stops < 0 else 'brighter'}_{_stops(stops).replace(' ', '_')}",
                f"{_stops(stops)} {'darker' if stops < 0 else 'brighter'}",
                stops,
                Exposed(stops),
            )
            for stops in (-6, -4, -2, 1, 2, 3)
        ),
    ),
    Axis(
        "contrast left, per cent",
        100,
        tuple(
            Step(f"contrast_{per_cent}_per_cent", f"{per_cent} % of the contrast", per_cent, Hazy(per_cent / 100))
            for per_cent in (50, 25, 10)
        ),
    ),
)

FRONTALITY = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
"""Edges of the bins of turned heads, frontal first."""
