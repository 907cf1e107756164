"""``facebank doctor``: checks the installation and prints commands that repair it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.storage.text import pluralize, printable

from .global_options import global_options
from .options import example
from .output import say, shows_colors, write_json, write_line

if TYPE_CHECKING:
    from facebank.doctor.diagnosis import Diagnosis
    from facebank.doctor.installation import InstallationFinding

UNHEALTHY = 1

_SIGNS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}
_COLORS = {"ok": "green", "warning": "yellow", "problem": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=example("doctor", "--device cuda doctor"))(doctor)


def doctor(
    ctx: typer.Context,
    clean: Annotated[
        bool, typer.Option("--clean", help="First remove unfinished files that killed runs left in facebank's folders.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object for each finding.")] = False,
) -> int:
    """Check the installation, and print commands that repair it.

    Exit code 1 if something is wrong.
    """
    from facebank.doctor.diagnosis import examine

    options = global_options(ctx)
    if clean:
        _clean(options.gallery)
    diagnosis = examine(options.gallery, options.pack, options.device)
    if as_json:
        _write_records(diagnosis)
    else:
        _print(diagnosis)
    return 0 if diagnosis.healthy else UNHEALTHY


def _clean(gallery: Path | None) -> None:
    from facebank.doctor.diagnosis import clean

    removed, remaining = clean(gallery)
    say(f"{pluralize(len(removed), 'leftover')} of killed runs removed")
    for path in remaining:
        say(f"{path} cannot be removed: check its permissions")


def _write_records(diagnosis: Diagnosis) -> None:
    for section in diagnosis.sections:
        for finding in section.findings:
            write_json(
                {
                    "section": section.title,
                    "subject": finding.subject,
                    "detail": finding.detail,
                    "severity": finding.severity.value,
                    "command": finding.command,
                }
            )


def _print(diagnosis: Diagnosis) -> None:
    for section in diagnosis.sections:
        write_line(section.title)
        width = max((len(finding.subject) for finding in section.findings), default=0)
        for finding in section.findings:
            _print_finding(finding, width)
        write_line("")
    write_line(_summary(diagnosis))


def _summary(diagnosis: Diagnosis) -> str:
    counts = Counter(finding.severity.value for finding in diagnosis.findings)
    if not diagnosis.healthy:
        problems = pluralize(counts["problem"], "problem")
        has_fix = any(finding.command for finding in diagnosis.findings if finding.severity.value == "problem")
        return f"{problems}: run the commands after 'fix:' above" if has_fix else problems
    if counts["warning"]:
        return f"No problems, {pluralize(counts['warning'], 'warning')}"
    return "No problems"


def _print_finding(finding: InstallationFinding, width: int) -> None:
    severity = finding.severity.value
    sign = f"{_SIGNS[severity]:<7}"
    if shows_colors():
        sign = typer.style(sign, fg=_COLORS[severity], bold=severity == "problem")
    typer.echo(f"  {sign}  {printable(finding.subject):<{width}}  {printable(finding.detail)}")
    if finding.command:
        typer.echo(f"           {'':<{width}}fix: {printable(finding.command)}")
