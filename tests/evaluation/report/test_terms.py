"""Words are explained where they occur, and nowhere else."""

from __future__ import annotations

import pytest

from facebank.evaluation.report.wording import terms_of


def explained(*texts: str) -> list[str]:
    return [term for term, _ in terms_of(texts).rows]


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("FNMR at FMR 1e-3", "FNMR, false non-match rate"),
        ("FNMR at FMR 1e-3", "FMR, false match rate"),
        ("TAR at FAR 1e-2", "TAR at FAR"),
        ("EER", "EER, equal error rate"),
        ("Equal error rate shuffled labels", "EER, equal error rate"),
        ("false match rate", "FMR, false match rate"),
        ("False non-match rate (descriptive)", "FNMR, false non-match rate"),
        ("true match rate", "TAR at FAR"),
        ("ROC", "ROC curve"),
        ("Rank-1, 5 enrolled", "Rank-1"),
        ("Failure to acquire", "FTA, failure to acquire"),
        ("Brier, 1 enrolled", "Brier score"),
        ("Expected calibration error, 1 enrolled", "ECE, expected calibration error"),
        ("99.53 % ± 0.12 % (standard error)", "Standard error"),
        ("risk over coverage", "Risk and coverage"),
        ("0.3 % (insufficient)", "Insufficient"),
    ],
)
def test_a_term_that_occurs_is_explained(text: str, term: str) -> None:
    assert term in explained("Some other words.", text)


def test_what_does_not_occur_is_not_explained() -> None:
    assert explained("Five people were enrolled, and all were found.") == []
    assert explained("The word DETAIL and the name ROCKY are no terms, nor is FARMER.") == []


def test_each_is_explained_once() -> None:
    terms = explained("FNIR, FNIR and FPIR; similarity, similarities")
    assert len(terms) == len(set(terms)) == 3
