"""The share of strangers who get a name under both rules: the threshold and the least probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.recognition.calibration.calibration import RATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.calibration.calibration import Calibrator

_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class StrangersNamed:
    """The share of strangers who are given a name.

    Attributes
    ----------
    share
        It is not above this, 0..1.
    is_below
        Whether this is the lowest rate that was measured, and the share is somewhere below it.
    """

    share: float
    is_below: bool


def named_strangers(
    calibrator: Calibrator,
    samples: NDArray[np.int64],
    *,
    fpir: float,
    stranger_share: float,
    least_probability: float,
    further: int = 0,
) -> StrangersNamed:
    """Return the share of strangers whose best score is high enough for a name, at most.

    A name needs the score that belongs to the FPIR, and the score at which somebody who is the only candidate has the
    least probability. The share of strangers who reach the higher of the two is read off the calibrator's thresholds,
    for each number of samples that people have, and averaged over the people. Runner-ups too near and poor faces take
    more names away.

    Parameters
    ----------
    calibrator
        Of the classifier.
    samples
        How many samples each enrolled person has, of shape ``(P,)``, P at least 1.
    fpir, stranger_share, least_probability
        As `facebank.recognition.settings.DecisionSettings` has them.
    further
        How many further people the album has.

    Returns
    -------
    StrangersNamed
        The share is from the lowest of `facebank.recognition.calibration.calibration.RATES` to `fpir`.
    """
    each, people = np.unique(samples, return_counts=True)

    def reached(rate: float) -> NDArray[np.bool_]:
        """Tell for each number of samples whether the threshold of a rate has the least probability."""
        scores = np.full((len(each), 1), calibrator.threshold(samples, rate, further), dtype=np.float32)
        told = calibrator.probabilities(scores, each[:, None], len(samples), stranger_share, further)
        return np.asarray(told[:, 0] >= least_probability)

    lowest, highest = np.full(len(each), math.log(RATES[0])), np.full(len(each), math.log(fpir))
    lowest[reached(fpir)] = math.log(fpir)
    measured = reached(RATES[0])
    for place in np.flatnonzero(measured & (lowest < highest)):
        for _ in range(_HALVINGS):  # the higher the rate, the lower the score, and the lower the probability
            middle = (lowest[place] + highest[place]) / 2
            if reached(math.exp(middle))[place]:
                lowest[place] = middle
            else:
                highest[place] = middle
    return StrangersNamed(float(np.average(np.exp(lowest), weights=people)), is_below=not measured.any())
