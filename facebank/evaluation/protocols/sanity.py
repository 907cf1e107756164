"""Checks of the harness itself: shuffled labels give chance, copies are found, and non-face content is ignored.

Each check has an expected result that is independent of the pack. A harness that scored above chance on shuffled
labels, or missed copies of enrolled photos among the probes, would report wrong figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.figures import Figure, FigureKind
from facebank.evaluation.protocols import protocol
from facebank.evaluation.protocols.options import open_all
from facebank.evaluation.protocols.sanity_checks import (
    Check,
    Subjects,
    check_chance,
    check_drawings,
    check_planted,
    choose_subjects,
)
from facebank.evaluation.report import Report, Section, Table

if TYPE_CHECKING:
    from facebank.evaluation.dataset import SkippedEntry


@protocol(
    "sanity",
    open_data=open_all,
    details="Checks with shuffled labels, planted copies of photos, and drawn shapes.",
)
def sanity(bench: Bench, dataset: Dataset) -> Report:
    """Return the report of all checks that the dataset is large enough for.

    Parameters
    ----------
    bench
        The bench that reads the photos.
    dataset
        At least two people with two photos each; for the drawn shapes, two people with twenty.

    Raises
    ------
    DatasetError
        Fewer than two people have two photos with a face, or no photo has a face.
    """
    subjects = choose_subjects(bench, dataset)
    checks: list[Check] = []
    skipped: list[tuple[str, str]] = []
    runs: tuple[tuple[str, Callable[[Bench, Subjects], Sequence[Check]]], ...] = (
        ("Shuffled labels", check_chance),
        ("Planted copies", check_planted),
        ("Drawn shapes", check_drawings),
    )
    for title, run in runs:
        try:
            checks += run(bench, subjects)
        except DatasetError as error:
            skipped.append((title, str(error)))
    figures = {name: figure for check in checks for name, figure in check.figures.items()}
    return bench.report(
        "sanity",
        "Sanity checks of the harness",
        subjects.faces,
        summary=_summary(checks, skipped),
        figures={**figures, "checks_passed": _passed_figure(checks)},
        sections=(
            Section("Verdicts", figures=("checks_passed",), items=(_verdicts(checks, skipped),)),
            *(Section(check.title, check.text, tuple(check.figures), check.items) for check in checks),
        ),
        failures=_failures(checks),
        failed_checks=[check.title for check in checks if not check.passed],
    )


def _passed_figure(checks: Sequence[Check]) -> Figure:
    passed = sum(check.passed for check in checks)
    return Figure(
        passed, count=len(checks), kind=FigureKind.NUMBER, meaning=f"Number of passed checks, of {len(checks)}."
    )


def _summary(checks: Sequence[Check], skipped: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    failed = [check.title for check in checks if not check.passed]
    verdict = (
        f"All {len(checks)} checks passed."
        if not failed
        else f"{len(failed)} of {len(checks)} checks FAILED: {', '.join(failed)}."
    )
    return (
        verdict,
        *(f"{check.title}: {check.observed} ({check.verdict})." for check in checks),
        *(f"{title} was not checked: {reason}." for title, reason in skipped),
    )


def _verdicts(checks: Sequence[Check], skipped: Sequence[tuple[str, str]]) -> Table:
    rows = [(check.title, check.expected, check.observed, check.verdict) for check in checks]
    rows += [(title, "-", reason, "not run") for title, reason in skipped]
    return Table("Checks", ("Check", "Expected", "Observed", "Verdict"), tuple(rows))


def _failures(checks: Sequence[Check]) -> tuple[SkippedEntry, ...]:
    return tuple(failure for check in checks for failure in check.failures)
