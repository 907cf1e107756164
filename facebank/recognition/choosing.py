"""Which classifier suits a gallery: found out by cross-validation over its own samples, where there are enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.recognition.enrolled import Enrolled
from facebank.recognition.training import build_scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.recognition.calibration.background import Background

DEFAULT = "prototype"
"""The classifier that measured best over sizes of galleries and numbers of samples."""

TRIED = ("prototype", "knn", "svm", "logistic")

FOLDS = 5
LEAST_SAMPLES = 3
"""How many samples a person must have to be tried."""

LEAST_TRIALS = 30
MOST_SAMPLES = 3000
SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class Choice:
    """A classifier, and why it was chosen.

    Attributes
    ----------
    classifier
        One of `facebank.recognition.scoring.CLASSIFIERS`.
    why
        In words.
    """

    classifier: str
    why: str


def choose_classifier(enrolled: Enrolled, background: Background | None, kinds: Sequence[str] = TRIED) -> Choice:
    """Choose a classifier for a gallery.

    Each sample of a person with `LEAST_SAMPLES` or more is left out once, in `FOLDS` parts, and searched for. Another
    classifier than the default is taken only if it is right more often and chance is no good explanation (an exact
    sign test over the samples on which the two differ).

    Parameters
    ----------
    enrolled
        The gallery's samples.
    background
        The pack's.
    kinds
        Those of `TRIED` to choose from, the default among them.

    Returns
    -------
    Choice
        The default where there is too little to go by, or too much to try.
    """
    owners = enrolled.owners
    several = np.bincount(owners)[owners] >= LEAST_SAMPLES
    trials = int(several.sum())
    if len(enrolled.people) < 2 or trials < LEAST_TRIALS:
        return Choice(
            DEFAULT,
            f"{trials} samples of people with {LEAST_SAMPLES} or more are too few to compare classifiers "
            f"({LEAST_TRIALS} are needed)",
        )
    if enrolled.count > MOST_SAMPLES:
        return Choice(DEFAULT, f"{enrolled.count} samples are too many to compare classifiers each time they change")
    right = {kind: _right(enrolled, several, kind, background) for kind in kinds}
    best = max(kinds, key=lambda kind: (int(right[kind].sum()), kind == DEFAULT))
    better, worse = (int((right[a] & ~right[b]).sum()) for a, b in ((best, DEFAULT), (DEFAULT, best)))
    figures = ", ".join(f"{kind} {right[kind].mean():.1%}" for kind in kinds)
    if better > worse and _sign_test(better, worse) < SIGNIFICANCE:
        return Choice(best, f"it was right most often on {trials} samples left out in turn ({figures})")
    return Choice(DEFAULT, f"none was clearly better on {trials} samples left out in turn ({figures})")


def _right(
    enrolled: Enrolled, several: NDArray[np.bool_], kind: str, background: Background | None
) -> NDArray[np.bool_]:
    """Return which of the samples are found again when they are left out, in the order of the samples tried."""
    right = np.zeros(enrolled.count, dtype=np.bool_)
    for held_out in _folds(enrolled.owners, several):
        kept = ~held_out
        scorer = build_scorer(
            kind, Enrolled(enrolled.matrix[kept], enrolled.person_ids[kept], enrolled.qualities[kept]), background
        )
        found = scorer.people[scorer.scores(enrolled.matrix[held_out]).argmax(axis=1)]
        right[held_out] = found == enrolled.person_ids[held_out]
    return right[several]


def _folds(owners: NDArray[np.int64], several: NDArray[np.bool_]) -> Sequence[NDArray[np.bool_]]:
    """Deal each person's samples out to the folds in turn; a person with `LEAST_SAMPLES` never loses all of them."""
    order = np.argsort(owners, kind="stable")
    place = np.empty(len(owners), dtype=np.int64)
    place[order] = np.arange(len(owners)) - np.searchsorted(owners[order], owners[order])
    return [fold for number in range(FOLDS) if (fold := several & (place % FOLDS == number)).any()]


def _sign_test(better: int, worse: int) -> float:
    """Return how likely at least so many of ``better + worse`` tosses of a fair coin come up heads."""
    tosses = better + worse
    return float(sum(math.comb(tosses, heads) for heads in range(better, tosses + 1)) / 2**tosses)
