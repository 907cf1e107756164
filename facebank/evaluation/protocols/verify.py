"""Verification of listed pairs, or of pairs formed from labeled photos."""

from __future__ import annotations

from collections.abc import Mapping

from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.figures import Figure
from facebank.evaluation.pairing import ComparedPairs
from facebank.evaluation.protocols import protocol
from facebank.evaluation.protocols.options import open_pairs
from facebank.evaluation.report import Report, Section
from facebank.evaluation.verification import (
    BANDS,
    acquired_sentence,
    curve_figures,
    curve_items,
    errors_section,
    failure_to_acquire,
    failures_section,
    operating_figures,
    operating_sentence,
    pair_scores,
    rate_text,
)


@protocol(
    "verify",
    open_data=open_pairs,
    details="Reports the error rates of listed pairs, or of pairs formed from the names. A CSV list has the columns "
    "first and second (paths of photos) and same (yes or no).",
    examples=("verify people/", "verify pairs.csv --out report/"),
    has_scores=True,
)
def verify(bench: Bench, dataset: Dataset) -> Report:
    """Return the report of compared pairs; raises `DatasetError` without mated or without non-mated pairs."""
    compared = ComparedPairs.of(bench, dataset)
    figures = {
        **operating_figures(compared.comparisons, compared.threshold),
        **curve_figures(compared.comparisons),
        "failure_to_acquire": failure_to_acquire(compared),
    }
    return bench.report(
        "verify",
        "Verification: do two photos show one person?",
        compared.faces,
        summary=(
            compared.pairing.description,
            operating_sentence(figures),
            f"The equal error rate is {rate_text(figures['equal_error_rate'])}, read off the curve of these data.",
            acquired_sentence(compared),
        ),
        figures=figures,
        sections=(
            _operating_section(compared),
            _curve_section(compared, figures),
            failures_section(compared),
            errors_section(bench, compared),
        ),
        failures=compared.pairing.failures,
        scores=pair_scores(compared),
    )


def _operating_section(compared: ComparedPairs) -> Section:
    text = (compared.pairing.description, compared.threshold_note)
    return Section("At the shipped threshold", text, ("fmr_at_shipped_threshold", "fnmr_at_shipped_threshold"))


def _curve_section(compared: ComparedPairs, figures: Mapping[str, Figure]) -> Section:
    names = tuple(name for name in figures if "fnmr_at_fmr" in name or name in ("equal_error_rate", "area_under_roc"))
    return Section(
        "At all thresholds",
        ("These points were read off the curve of the same pairs, and are no estimate for other pairs.", BANDS),
        names,
        curve_items(compared, figures),
    )
