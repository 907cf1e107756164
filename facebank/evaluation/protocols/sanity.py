"""The harness tests itself: chance looks like chance, a leak is found, and what is no face does not help.

Each check has something that must come out, whatever the pack: a harness that gave shuffled labels more than chance, or
that missed a copy of an enrolled photo among the probes, would give other figures than it says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.figures import Figure, Kind
from facebank.evaluation.protocols import protocol
from facebank.evaluation.protocols.options import open_everybody
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
    from facebank.evaluation.dataset import LeftOut


@protocol(
    "sanity", open_data=open_everybody, details="It must see through shuffled labels, copied photos and drawings."
)
def sanity(bench: Bench, dataset: Dataset) -> Report:
    """Run the checks that a dataset suffices for.

    Parameters
    ----------
    bench
        Where they run.
    dataset
        With at least two people of two photos each; for the drawn shapes, two people of twenty.

    Raises
    ------
    DatasetError
        It suffices for no check; or in no photo a face was found.
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
        "Sanity: does the harness find what it should, and nothing else?",
        subjects.faces,
        summary=_summary(checks, skipped),
        figures={**figures, "checks_passed": _passed(checks)},
        sections=(
            Section("Verdicts", figures=("checks_passed",), items=(_verdicts(checks, skipped),)),
            *(Section(check.title, check.text, tuple(check.figures), check.items) for check in checks),
        ),
        failures=_failures(checks),
        failed_checks=[check.title for check in checks if not check.passed],
    )


def _passed(checks: Sequence[Check]) -> Figure:
    passed = sum(check.passed for check in checks)
    return Figure(passed, count=len(checks), kind=Kind.NUMBER, meaning=f"Of {len(checks)} checks, those that passed.")


def _summary(checks: Sequence[Check], skipped: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    failed = [check.title for check in checks if not check.passed]
    first = (
        f"All {len(checks)} checks passed."
        if not failed
        else f"{len(failed)} of {len(checks)} checks FAILED: {', '.join(failed)}."
    )
    return (
        first,
        *(f"{check.title}: {check.found} ({check.verdict})." for check in checks),
        *(f"{title} could not be checked: {why}." for title, why in skipped),
    )


def _verdicts(checks: Sequence[Check], skipped: Sequence[tuple[str, str]]) -> Table:
    rows = [(check.title, check.expected, check.found, check.verdict) for check in checks]
    rows += [(title, "-", why, "not run") for title, why in skipped]
    return Table("Checks", ("Check", "What must come out", "What came out", "Verdict"), tuple(rows))


def _failures(checks: Sequence[Check]) -> tuple[LeftOut, ...]:
    return tuple(failure for check in checks for failure in check.failures)
