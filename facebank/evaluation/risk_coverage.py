"""How much is wrong among the answers given, when only the surest are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.evaluation.report import Line

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The risk at every coverage.

    Attributes
    ----------
    coverage
        Share of probes answered, rising to 1: ``float64`` of shape ``(N,)``.
    risk
        Share of wrong answers among those given, of the same shape.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Mean risk over all coverages, 0..1; the less the better."""
        return float(self.risk.mean())

    def line(self, label: str) -> Line:
        """Return it to be drawn."""
        return Line(label, self.coverage, self.risk)


def risk_coverage(sureness: NDArray[np.float64], wrong: NDArray[np.bool_]) -> RiskCoverage:
    """Give answers in order of how sure they are; equally sure ones share their errors evenly.

    Parameters
    ----------
    sureness
        Of each answer, such as its probability, ``float64`` of shape ``(N,)``; NaN is the least sure.
    wrong
        Whether it is wrong, of the same shape.

    Raises
    ------
    UsageError
        There is no answer, or the shapes differ.
    """
    if not len(sureness) or sureness.shape != wrong.shape:
        raise UsageError("A risk-coverage curve needs at least one answer, and for each whether it is wrong.")
    levels, place = np.unique(-np.nan_to_num(sureness, nan=-np.inf), return_inverse=True)
    sizes = np.bincount(place, minlength=len(levels))
    errors = np.bincount(place, weights=wrong, minlength=len(levels)) / sizes
    given = np.arange(1, len(wrong) + 1)
    return RiskCoverage(given / len(wrong), np.cumsum(np.repeat(errors, sizes)) / given)
