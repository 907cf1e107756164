"""Options and examples that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from facebank import FaceBank
    from facebank.recognition.settings import DecisionSettings, Value

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, one object on each line.")]

FOR_ONCE = "Decisions, for this run instead of the gallery's settings"
"""The heading of options that overrule `facebank settings` once."""

LeastProbability: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--least-probability",
        metavar="P",
        help="Probability that a name must have, such as 0.5.",
        rich_help_panel=FOR_ONCE,
    ),
]

AllowTwice: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-twice",
        help="Let several faces of one photo have the same name, as in a collage.",
        rich_help_panel=FOR_ONCE,
    ),
]

HigherProbability: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--least-probability",
        min=0.0,
        max=1.0,
        metavar="P",
        help="Probability that a name must have to change a file; not below the gallery's setting.",
    ),
]


def example(*commands: str) -> str:
    """Return the end of a command's help: examples of its use."""
    return "\b\nExample:\n" + "\n".join(f"  facebank {command}" for command in commands)


def settings_for_once(bank: FaceBank, **chosen: Value | None) -> DecisionSettings:
    """Return the gallery's settings with those that were given on the command line; None for those that were not."""
    return bank.settings.changed({key: value for key, value in chosen.items() if value is not None})
