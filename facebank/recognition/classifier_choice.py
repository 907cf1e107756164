"""Choice of a classifier for a gallery, by cross-validation over its samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.training import build_scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.recognition.calibration.background import Background

DEFAULT_CLASSIFIER = "prototype"  # as accurate as any, and needs no fitting
COMPARED = ("prototype", "knn", "svm", "logistic")  # classifiers to choose from

FOLDS = 5
MIN_SAMPLES = 3  # minimum number of samples of a person in the cross-validation
MIN_TRIALS = 30  # minimum number of samples left out, over all people
MAX_SAMPLES = 3000  # maximum number of samples in a gallery, because the choice is made again after each change
SIGNIFICANCE = 0.05  # level of the sign test


@dataclass(frozen=True, slots=True)
class ClassifierChoice:
    """The classifier chosen for a gallery."""

    classifier: str  # one of `facebank.recognition.scoring.CLASSIFIERS`
    reason: str  # the reason for the choice, in words


def choose_classifier(
    enrolled: EnrolledSamples, background: Background | None, classifiers: Sequence[str] = COMPARED
) -> ClassifierChoice:
    """Return a classifier for a gallery, chosen by cross-validation over its own samples.

    Each sample of a person with `MIN_SAMPLES` or more is left out once, in `FOLDS` folds, and identified. One of
    `classifiers`, which include the default, replaces the default only if it is correct significantly more often
    (exact sign test over the samples on which the two differ). Returns the default for too few or too many samples.
    """
    person_indices = enrolled.person_indices
    is_tested = np.bincount(person_indices)[person_indices] >= MIN_SAMPLES
    trials = int(is_tested.sum())
    if len(enrolled.distinct_ids) < 2 or trials < MIN_TRIALS:
        return ClassifierChoice(
            DEFAULT_CLASSIFIER,
            f"{trials} samples of people with {MIN_SAMPLES} or more are too few to compare classifiers "
            f"({MIN_TRIALS} are needed)",
        )
    if enrolled.count > MAX_SAMPLES:
        return ClassifierChoice(
            DEFAULT_CLASSIFIER, f"{enrolled.count} samples are too many to compare classifiers after each change"
        )
    correct = {classifier: _is_correct(enrolled, is_tested, classifier, background) for classifier in classifiers}
    best = max(classifiers, key=lambda name: (int(correct[name].sum()), name == DEFAULT_CLASSIFIER))
    better, worse = (
        int((correct[a] & ~correct[b]).sum()) for a, b in ((best, DEFAULT_CLASSIFIER), (DEFAULT_CLASSIFIER, best))
    )
    figures = ", ".join(f"{classifier} {correct[classifier].mean():.1%}" for classifier in classifiers)
    if better > worse and sign_test(better, worse) < SIGNIFICANCE:
        return ClassifierChoice(best, f"it was correct most often on {trials} samples left out in turn ({figures})")
    return ClassifierChoice(
        DEFAULT_CLASSIFIER, f"none was clearly better on {trials} samples left out in turn ({figures})"
    )


def _is_correct(
    enrolled: EnrolledSamples, is_tested: NDArray[np.bool_], classifier: str, background: Background | None
) -> NDArray[np.bool_]:
    """Return which of the tested samples are identified correctly when left out."""
    correct = np.zeros(enrolled.count, dtype=np.bool_)
    for held_out in make_folds(enrolled.person_indices, is_tested):
        fitted = ~held_out
        scorer = build_scorer(
            classifier,
            EnrolledSamples(enrolled.embeddings[fitted], enrolled.person_ids[fitted], enrolled.qualities[fitted]),
            background,
        )
        predicted = scorer.person_ids[scorer.scores(enrolled.embeddings[held_out]).argmax(axis=1)]
        correct[held_out] = predicted == enrolled.person_ids[held_out]
    return correct[is_tested]


def make_folds(person_indices: NDArray[np.int64], is_tested: NDArray[np.bool_]) -> Sequence[NDArray[np.bool_]]:
    """Return which samples each fold leaves out, boolean ``(N,)``; no fold leaves out all samples of a person.

    `person_indices` are each sample's person, ``(N,)``; only samples of `is_tested`, ``(N,)``, are left out, each once.
    """
    order = np.argsort(person_indices, kind="stable")
    rank = np.empty(len(person_indices), dtype=np.int64)
    rank[order] = np.arange(len(person_indices)) - np.searchsorted(person_indices[order], person_indices[order])
    return [fold for number in range(FOLDS) if (fold := is_tested & (rank % FOLDS == number)).any()]


def sign_test(better: int, worse: int) -> float:
    """Return the probability of at least `better` heads in ``better + worse`` tosses of a fair coin."""
    tosses = better + worse
    return float(sum(math.comb(tosses, heads) for heads in range(better, tosses + 1)) / 2**tosses)
