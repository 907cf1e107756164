"""Arguments, options and examples that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from facebank import FaceBank
    from facebank.recognition.settings import DecisionSettings, Value

PhotoPath: TypeAlias = Annotated[Path, typer.Argument(metavar="PHOTO", show_default=False, help="The photo.")]

PersonName: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The enrolled person.")]

FaceNumber: TypeAlias = Annotated[
    int | None,
    typer.Option("--face", metavar="N", help="Number of the face in 'facebank identify', if the photo shows several."),
]

ScanPath: TypeAlias = Annotated[
    Path | None, typer.Option("--scan-file", metavar="FILE", help="Scan file. Default: beside the gallery.")
]

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, one object on each line.")]

AsOneJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]

Force: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--force", help="Also enroll faces that differ from the person's samples or are closer to another person."
    ),
]

Thumbnails: TypeAlias = Annotated[bool, typer.Option(help="Keep a thumbnail of each face in the gallery.")]

DECISIONS = "Decisions, for this run instead of the gallery's settings"
"""Help section of the options that override ``facebank settings`` for one run."""

LeastProbability: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--least-probability",
        metavar="P",
        help="Minimum probability of a name, such as 0.5.",
        rich_help_panel=DECISIONS,
    ),
]

AllowTwice: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-twice",
        help="Let several faces of one photo have the same name, as in a collage.",
        rich_help_panel=DECISIONS,
    ),
]

HigherProbability: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--least-probability",
        min=0.0,
        max=1.0,
        metavar="P",
        help="Minimum probability of a name that is written or sorted by; at least the gallery's setting.",
    ),
]


def example(*commands: str) -> str:
    """Return the end of a command's help: examples of its use."""
    return "\b\nExample:\n" + "\n".join(f"  facebank {command}" for command in commands)


def settings_for_run(bank: FaceBank, **overrides: Value | None) -> DecisionSettings:
    """Return the gallery's settings with overrides from the command line; None keeps a setting."""
    return bank.settings.changed({key: value for key, value in overrides.items() if value is not None})
