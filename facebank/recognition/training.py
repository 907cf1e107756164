"""Machines that tell each person from everybody else, fitted to the enrolled samples.

A person is told from the other people of the gallery and from people drawn from the pack's background, so that even
one person with one sample has somebody to be told from. Both sides weigh the same, and within a side every identity
does. What is kept of a machine is its direction only, scaled to length 1: how long a machine's weights come out depends
on how many samples there are, and the score of a person with one must mean the same as that of a person with twenty,
for one threshold is set on the best score of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.scoring import (
    CLASSIFIERS,
    KernelScorer,
    KnnScorer,
    LinearScorer,
    PrototypeScorer,
    check_background,
    rbf,
    seen_from,
)
from facebank.recognition.solving import separate
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.calibration.background import Background
    from facebank.recognition.enrolled import Enrolled
    from facebank.recognition.scoring import PersonScorer
    from facebank.types import FloatArray

FITTED = ("svm", "svm-rbf", "logistic")
"""The kinds of `CLASSIFIERS` that have something to fit."""

SVM_STRENGTH = 1.0
LOGISTIC_STRENGTH = 10.0
"""How much a sample on the wrong side costs; see `facebank.recognition.solving`. Chosen on LFW's development people."""

GAMMA = 1.0
"""How narrow the radial-basis-function kernel is, for embeddings of length 1."""

DRAWS = 1_000
KERNEL_DRAWS = 500
"""How many people are drawn from the background."""

MOST_FOR_KERNEL = 500
"""How many samples a kernel SVM is fitted to: half a second of one core; twice as many take four times as long."""

_JITTER = 1e-5
_SEED = 0

RECIPE = (1, SVM_STRENGTH, LOGISTIC_STRENGTH, GAMMA, DRAWS, KERNEL_DRAWS, _JITTER, _SEED)
"""Differs from the one before whenever the same samples give other coefficients; the first number is for the code."""


def build_scorer(kind: str, enrolled: Enrolled, background: Background | None = None) -> PersonScorer:
    """Make a scorer, fitting it where there is something to fit.

    Parameters
    ----------
    kind
        One of `CLASSIFIERS`.
    enrolled
        The samples.
    background
        Of the pack that made them: what other people look like. SVM and logistic regression learn to tell a person
        from what is drawn from it; the others need none.

    Returns
    -------
    PersonScorer
        Ready to score.

    Raises
    ------
    UsageError
        If there is no such kind, the background does not fit, there is one single person and no background to tell
        the person from, or the gallery is too large for this kind.
    """
    check_background(background, enrolled)
    if kind in {"prototype", "knn"}:
        return PrototypeScorer(enrolled.index) if kind == "prototype" else KnnScorer(enrolled.index)
    return fit(kind, enrolled, background).scorer()


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """What fitting has found.

    Attributes
    ----------
    kind
        One of `FITTED`.
    people
        The people's numbers, rising, ``int64`` of shape ``(P,)``.
    weights
        ``float32`` of shape ``(P, D)``; for a kernel SVM ``(P, S)``, one for each support vector.
    biases
        ``float32`` of shape ``(P,)``.
    center
        Where embeddings are seen from, ``float32`` of shape ``(D,)``.
    support
        The support vectors, ``float32`` of shape ``(S, D)``; S is 0 but for a kernel SVM.
    """

    kind: str
    people: NDArray[np.int64]
    weights: FloatArray
    biases: FloatArray
    center: FloatArray
    support: FloatArray

    def scorer(self) -> PersonScorer:
        """Return the scorer that evaluates them."""
        center = self.center if self.center.any() else None
        if self.kind == "svm-rbf":
            return KernelScorer(self.people, self.support, self.weights, self.biases, GAMMA, center=center)
        return LinearScorer(self.people, self.weights, self.biases, center=center)


def fit(kind: str, enrolled: Enrolled, background: Background | None = None) -> Coefficients:
    """Fit a classifier.

    Parameters
    ----------
    kind
        One of `FITTED`.
    enrolled
        The samples.
    background
        Of the pack that made them; without one, people are only told from one another.

    Returns
    -------
    Coefficients
        The same for the same samples.

    Raises
    ------
    UsageError
        If there is no such kind, the background's embeddings are of another length, there is one single person and
        no background to tell the person from, or there are more than `MOST_FOR_KERNEL` samples for a kernel SVM.
    """
    if kind not in FITTED:
        raise UsageError(f"There is nothing to fit for {kind!r}; classifiers are {', '.join(CLASSIFIERS)}.")
    if background is None and len(enrolled.people) < 2:
        raise UsageError(
            f"{kind} needs somebody to tell the one person from: enroll a second one, use a pack with a background, or "
            "choose prototype or knn."
        )
    if background is not None and background.dimension != enrolled.dimension:
        raise UsageError(
            f"The background is of length {background.dimension}, the gallery's embeddings of {enrolled.dimension}."
        )
    if kind == "svm-rbf":
        return _fit_kernel(enrolled, background)
    return _fit_linear(kind, enrolled, background)


def _fit_linear(kind: str, enrolled: Enrolled, background: Background | None) -> Coefficients:
    center, rows = _rows(enrolled, background, DRAWS)
    if kind == "svm":
        normals, _ = separate(rows, enrolled.owners, loss="squared_hinge", strength=SVM_STRENGTH)
    else:
        normals, _ = separate(rows, enrolled.owners, loss="logistic", strength=LOGISTIC_STRENGTH)
    weights = normalized(normals.astype(np.float64)).astype(np.float32)
    none = np.zeros(len(weights), np.float32)
    return Coefficients(kind, enrolled.people, weights, none, center, np.empty((0, enrolled.dimension), np.float32))


def _fit_kernel(enrolled: Enrolled, background: Background | None) -> Coefficients:
    if enrolled.count > MOST_FOR_KERNEL:
        raise UsageError(
            f"svm-rbf is refused beyond {MOST_FOR_KERNEL} samples, and this gallery has {enrolled.count}: fitting it "
            "would take longer than a second and grows with the cube of their number. Choose svm, or another."
        )
    center, rows = _rows(enrolled, background, KERNEL_DRAWS)
    kernel = rbf(rows.astype(np.float64), rows, GAMMA)
    # Rows of the Cholesky factor have the kernel's values as inner products, so that a linear machine on them is it.
    factor = np.linalg.cholesky(kernel + _JITTER * np.eye(len(kernel)))
    normals, _ = separate(factor.astype(np.float32), enrolled.owners, loss="squared_hinge", strength=SVM_STRENGTH)
    duals = np.linalg.solve(factor.T, normalized(normals.astype(np.float64)).T).T
    strangers = kernel[enrolled.count :] if background is not None else kernel
    biases = -(strangers @ duals.T).mean(axis=0)
    return Coefficients("svm-rbf", enrolled.people, duals.astype(np.float32), biases.astype(np.float32), center, rows)


def _rows(enrolled: Enrolled, background: Background | None, draws: int) -> tuple[FloatArray, FloatArray]:
    if background is None:
        return np.zeros(enrolled.dimension, dtype=np.float32), enrolled.matrix
    everybody = np.concatenate([enrolled.matrix, background.draw(draws, _SEED)])
    return background.mean, seen_from(background.mean, everybody).astype(np.float32)
