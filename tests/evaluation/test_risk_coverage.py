"""Risk-coverage curves."""

import numpy as np
import pytest

from facebank.errors import UsageError
from facebank.evaluation.risk_coverage import risk_coverage


def test_the_surest_are_answered_first() -> None:
    curve = risk_coverage(np.array([0.1, 0.9, np.nan, 0.5]), np.array([True, False, True, False]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curve.area == pytest.approx((1 / 3 + 1 / 2) / 4)


def test_the_order_of_equally_sure_ones_does_not_matter() -> None:
    assert risk_coverage(np.full(4, 0.5), np.array([True, True, False, False])).risk == pytest.approx([0.5] * 4)


def test_nothing_answered_is_told() -> None:
    with pytest.raises(UsageError, match="at least one answer"):
        risk_coverage(np.empty(0), np.empty(0, dtype=bool))
