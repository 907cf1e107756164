"""``facebank identify``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from facebank.errors import FacebankError, PhotoError, UsageError
from facebank.text import printable

from .failures import SOME_FAILED
from .output import progress, say, write_json, write_table
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.faces import Candidate, IdentifiedFace, IdentifiedPhoto

EXAMPLES = """\b
Examples:
  facebank identify party.jpg
  facebank identify holidays/ --annotate named/
  facebank identify holidays/ --json

\b
Exit codes: 0 every photo was read, whoever is in it; 1 some could not be read; 2 wrong usage or no gallery."""

_COLUMNS = ("photo", "face", "person", "decision", "reason", "similarity")
_STYLES = {"known": "bold green", "uncertain": "yellow", "unknown": "dim", "error": "bold red"}
_CSV_COLUMNS = (
    *("image", "face", "x1", "y1", "x2", "y2", "decision", "reason", "person", "similarity", "probability", "error"),
)


class Writer(Protocol):
    """Writes what was found in one photo."""

    def __call__(self, photo: IdentifiedPhoto) -> None:
        """Write it."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("identify", epilog=EXAMPLES)(identify)


def identify(
    ctx: typer.Context,
    places: Annotated[list[Path], typer.Argument(metavar="PHOTO_OR_DIR...", show_default=False)],
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the photos there, with frames and names.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object a photo.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write one line of CSV a face.")] = False,
) -> int:
    """Say who is in photos.

    A name is given only when it is earned: the others are unknown, or uncertain, with the reason.
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv are two ways to write the same: use one of the two")
    from facebank.bank import list_photos

    photos = list_photos(places)
    failed = False
    with (
        settings_of(ctx).open_bank() as bank,
        _writer(as_json=as_json, as_csv=as_csv) as write,
        progress("Identifying", len(photos), writes_json=as_json or as_csv) as advance,
    ):
        found = bank.identify(photos or places)
        for photo in found if annotate is None else _annotated(found, annotate):
            if photo.error is not None:
                failed = True
                say(photo.error)
            write(photo)
            advance()
    return SOME_FAILED if failed else 0
