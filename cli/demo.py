"""``facebank demo``: enrolls and recognizes people in the photos that come with facebank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .global_options import global_options
from .options import example
from .output import write_json, write_line, write_table

if TYPE_CHECKING:
    from facebank.demo.demonstration import DemoReport, DemoResult

WRONG_NAME = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=example("demo", "demo --out pictures"))(demo)


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the annotated picture.")] = Path("facebank-demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each face.")] = False,
) -> int:
    """Try facebank on the photos that come with it.

    Two people are enrolled from one photo each, then identified in a collage of other photos. Exit code 1 if
    a name is wrong.
    """
    from facebank.demo.demonstration import run_demo

    options = global_options(ctx)
    report = run_demo(out, pack=options.pack, device=options.device)
    if as_json:
        for result in report.results:
            write_json(_record(result, report))
    else:
        _print(report)
    return 0 if report.is_correct else WRONG_NAME


def _record(result: DemoResult, report: DemoReport) -> dict[str, object]:
    panel, face = result.panel, result.face
    return {
        "picture": str(report.path),
        "photo": panel.file_name,
        "shows": panel.person,
        "expected": panel.expected,
        "box": [float(value) for value in face.box] if face else None,
        "decision": face.decision if face else None,
        "reason": face.reason if face else None,
        "person": face.person if face else None,
        "similarity": face.similarity if face else None,
        "correct": result.is_correct,
    }


def _print(report: DemoReport) -> None:
    names = " and ".join(f"{person.name} ({person.file_name})" for person in report.people)
    write_line(f"Enrolled from one photo each: {names}")
    write_line("")
    columns = ("face in the picture, from the left", "expected", "decision", "name", "similarity", "")
    write_table(
        columns, [_row(result) for result in report.results], {"known": "green", "right": "green", "WRONG": "bold red"}
    )
    write_line("")
    write_line(f"The picture with boxes and names: {report.path}")
    write_line("Your own gallery was not changed. To continue with your own photos:")
    write_line("  facebank enroll Ada ada1.jpg ada2.jpg")
    write_line("  facebank identify party.jpg")


def _row(result: DemoResult) -> tuple[str, ...]:
    panel = result.panel
    label = f"{panel.person} ({panel.file_name}{', mirrored' if panel.is_mirrored else ''})"
    expected = panel.expected or "a stranger"
    verdict = "right" if result.is_correct else "WRONG"
    if result.face is None:
        return label, expected, "no face found", "", "", verdict
    face = result.face
    similarity = "" if face.similarity is None else f"{face.similarity:.2f}"
    return label, expected, str(face.decision), face.person or "", similarity, verdict
