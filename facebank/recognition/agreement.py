"""How much alike two photos of one person are, as a pack's background tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from facebank.recognition.calibration.background import Background

TYPICAL_AGREEMENT = 0.65
"""The mean cosine of two photos of one person, where a pack's background does not tell it."""

_LEAST_VARIANCE = 1e-6


def agreement(background: Background | None) -> float:
    """Return the mean cosine of two photos of one person as seen from the average face, above 0 and below 1."""
    if background is None or background.within is None:
        return TYPICAL_AGREEMENT
    possible = max(1.0 - float((background.mean.astype(np.float64) ** 2).sum()), _LEAST_VARIANCE)
    return float(np.clip(1.0 - np.trace(background.within.astype(np.float64)) / possible, 0.05, 0.95))
