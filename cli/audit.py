"""``facebank audit``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.schemas.records import finding_record

from .options import AsJson
from .output import write_json, write_line, write_table
from .settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.recognition.audit import Finding, GalleryAudit

EXAMPLES = """\b
Examples:
  facebank audit
  facebank audit --pairs 5 --json

\b
What it finds, worst first:
  shared_photo  two people have the same photo
  two_people    a person's samples look like two people
  mislabelled   a sample looks like somebody else's
  confusable    two people will be confused, with the error to expect
  disagreeing   a sample is unlike the person's others
  repeated      a sample repeats another one of the person
  too_similar   all samples of a person are of one moment
  dated_before_birth, outdated_samples
                samples are dated before the birth, or too old for a child
  only_masked   a person wears a mask in every sample
  no_samples, few_samples
                a person has none, or only one

Nothing is changed. Each finding comes with commands, one of which helps: look at the photo first
(`facebank people show NAME` says where it is).

Exit codes: 0 looked, whatever was found; 2 wrong usage, or no gallery."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit", epilog=EXAMPLES)(audit)


def audit(
    ctx: typer.Context,
    pairs: Annotated[
        int, typer.Option(metavar="N", min=0, help="Largest number of pairs of confusable people to show.")
    ] = 20,
    as_json: AsJson = False,
) -> int:
    """Find people who may be confused, and doubtful samples."""
    with settings_of(ctx).open_bank() as bank:
        found = bank.audit(most_pairs=pairs)
    if as_json:
        for finding in found.findings:
            write_json(finding_record(finding))
    else:
        _tell(found)
    return 0


def _tell(found: GalleryAudit) -> None:
    if not found.people:
        write_line("nobody is enrolled yet: `facebank enroll` does that")
        return
    if not found.findings:
        write_line(f"nothing is wrong with the samples ({found.samples}) of those enrolled ({found.people})")
        return
    if sys.stdout.isatty():
        _tell_under_each_other(found.findings)
        return
    rows = [(finding.kind.value, finding.message, ", or ".join(finding.commands)) for finding in found.findings]
    write_table(("finding", "what", "what to do: one of these"), rows)


def _tell_under_each_other(findings: Sequence[Finding]) -> None:
    """Write each command on a line of its own, so that it can be copied from the terminal."""
    for finding in findings:
        write_line(f"{finding.kind.value}: {finding.message}")
        for command in finding.commands:
            write_line(f"  {command}")
    write_line("under each finding: what to do, one of the commands")
