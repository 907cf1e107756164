"""What ``facebank confirm`` and ``facebank deny`` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from facebank.schemas.records import feedback_record

from .failures import SOME_FAILED
from .output import write_json, write_line

if TYPE_CHECKING:
    from facebank.operations.feedback import Feedback

PhotoFile: TypeAlias = Annotated[Path, typer.Argument(metavar="PHOTO", show_default=False, help="The photo.")]
FaceNumber: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--face", metavar="N", help="Number of the face, as 'facebank identify' prints it, if there are several."
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]


def tell(feedback: Feedback, numbers: Mapping[str, int | None], *, as_json: bool) -> int:
    """Write what became of what was said, with the numbers it made, and return the exit code."""
    if as_json:
        write_json({**feedback_record(feedback), **numbers})
    else:
        write_line(f"{feedback.path}, face {feedback.face_number}: {feedback.detail}")
    return 0 if feedback.accepted else SOME_FAILED
