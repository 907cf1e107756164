"""``facebank audit``: lists people who may be confused, and doubtful samples."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.schemas.records import finding_record
from facebank.storage.text import pluralize

from .global_options import global_options
from .options import AsJson
from .output import write_json, write_line, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.recognition.audit import Finding, GalleryAudit

EXAMPLES = """\b
Examples:
  facebank audit
  facebank audit --pairs 5 --json

\b
Findings, worst first:
  shared_photo  two people have the same photo
  two_people    a person's samples look like two people
  mislabelled   a sample looks like somebody else's
  confusable    two people may be confused, with the expected error
  disagreeing   a sample is unlike the person's other samples
  repeated      a sample duplicates another one of the person
  too_similar   all samples of a person are from one moment
  dated_before_birth, outdated_samples
                samples are dated before the birth, or too old for a child
  only_masked   a person wears a mask in every sample
  no_samples, few_samples
                a person has none, or only one

Nothing is changed. Each finding lists commands that can resolve it. Look at the photo before you choose one:
'facebank people show NAME' lists the paths.

Exit codes: 0 audited, with or without findings; 2 wrong usage, or no gallery."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit", epilog=EXAMPLES)(audit)


def audit(
    ctx: typer.Context,
    pairs: Annotated[
        int, typer.Option(metavar="N", min=0, help="Maximum number of pairs of confusable people to show.")
    ] = 20,
    as_json: AsJson = False,
) -> int:
    """Find people who may be confused, and samples that may be wrong."""
    with global_options(ctx).open_bank() as bank:
        report = bank.audit(max_pairs=pairs)
    if as_json:
        for finding in report.findings:
            write_json(finding_record(finding))
    else:
        _print(report)
    return 0


def _print(report: GalleryAudit) -> None:
    if not report.person_count:
        write_line("nobody is enrolled yet: start with 'facebank enroll'")
        return
    if not report.findings:
        people = pluralize(report.person_count, "person", "people")
        write_line(f"no findings for {pluralize(report.sample_count, 'sample')} of {people}")
        return
    if sys.stdout.isatty():
        _print_blocks(report.findings)
        return
    rows = [(finding.kind.value, finding.message, ", or ".join(finding.commands)) for finding in report.findings]
    write_table(("finding", "description", "commands: choose one"), rows)


def _print_blocks(findings: Sequence[Finding]) -> None:
    """Write each command on its own line, so that it can be copied from the terminal."""
    for finding in findings:
        write_line(f"{finding.kind.value}: {finding.message}")
        for command in finding.commands:
            write_line(f"  {command}")
    write_line("under each finding: commands that can resolve it; choose one")
