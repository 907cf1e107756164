"""Linear one-vs-rest classifiers, fitted for all people at once.

The problems share their matrix products, which is much faster than solving them one by one. For each person

    minimize over w  1/2 |w|^2 + strength * sum_i weight_i * loss(sign_i * w . (row_i, 1))

with liblinear's losses (Fan et al., "LIBLINEAR: A library for large linear classification", 2008). The weights of each
side sum to one half; within a side all identities have equal weight, regardless of their number of rows. Minimized by
Nesterov's accelerated gradient for strongly convex functions ("Introductory lectures on convex optimization", 2004,
scheme 2.2.11).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from facebank.types import FloatArray

Loss = Literal["squared_hinge", "logistic"]  # of a linear SVM, or of logistic regression
_MAX_BLOCK_SIZE = 4_000_000
_MAX_STEPS = 2_000


@dataclass(frozen=True, slots=True)
class _LossFunction:
    curvature: float  # the largest second derivative
    slope: Callable[[FloatArray], FloatArray]  # for rows that belong on the negative side of the hyperplane


def _hinge_slope(decision_values: FloatArray) -> FloatArray:
    slopes = decision_values + np.float32(1.0)
    np.maximum(slopes, 0.0, out=slopes)
    slopes *= 2.0
    return slopes


def _logistic_slope(decision_values: FloatArray) -> FloatArray:
    # The same as 1 / (1 + exp(-x)), without overflow.
    slopes = decision_values * np.float32(0.5)
    np.tanh(slopes, out=slopes)
    slopes += 1.0
    slopes *= 0.5
    return slopes


_LOSSES = {"squared_hinge": _LossFunction(2.0, _hinge_slope), "logistic": _LossFunction(0.25, _logistic_slope)}


def separate(
    rows: FloatArray,
    person_indices: NDArray[np.int64],
    *,
    loss: Loss,
    strength: float,
    tolerance: float = 1e-3,
) -> tuple[FloatArray, FloatArray]:
    """Return a hyperplane for each person: normals ``(P, D)`` and intercepts ``(P,)``, ``float32``.

    Parameters
    ----------
    rows
        ``float32`` of shape ``(N + B, D)``: N rows of people, then B rows of others, each a separate identity.
    person_indices
        Owners of the first N rows, ``int64`` of shape ``(N,)``: all of 0..P-1. P is at least 2 if B is 0.
    loss
        Loss function.
    strength
        Weight of the loss relative to the regularization.
    tolerance
        Final norm of the gradient relative to the initial norm.
    """
    sizes = np.bincount(person_indices)
    table = np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1).astype(np.float32, copy=False)
    weights = np.concatenate([1.0 / sizes[person_indices], np.ones(len(rows) - len(person_indices))]).astype(np.float32)
    planes = np.empty((len(sizes), table.shape[1]), dtype=np.float32)
    step = max(1, _MAX_BLOCK_SIZE // len(rows))
    for start in range(0, len(sizes), step):
        people = slice(start, min(start + step, len(sizes)))
        planes[people] = _Problems(table, weights, person_indices, people).solve(_LOSSES[loss], strength, tolerance)
    return planes[:, :-1], planes[:, -1]


class _Problems:
    """The problems of a slice of the people, solved together."""

    def __init__(
        self, table: FloatArray, weights: FloatArray, person_indices: NDArray[np.int64], people: slice
    ) -> None:
        self._table = table
        self._own_rows = np.flatnonzero((person_indices >= people.start) & (person_indices < people.stop))
        self._own_people = person_indices[self._own_rows] - people.start
        self._count = people.stop - people.start
        others = float(weights.sum(dtype=np.float64)) - 1.0  # a person's own rows have a total weight of one
        self._negative_weights = (0.5 / others * weights)[:, None]
        self._positive_weights = 0.5 * weights[self._own_rows]

    def solve(self, loss: _LossFunction, strength: float, tolerance: float) -> FloatArray:
        """Return the hyperplanes, ``float32`` of shape ``(people, columns)``."""
        max_curvature = 1.0 + strength * loss.curvature * self._largest_moment()
        momentum = (np.sqrt(max_curvature) - 1) / (np.sqrt(max_curvature) + 1)
        planes = np.zeros((self._table.shape[1], self._count), dtype=np.float32)
        lookahead, first_length = planes, np.inf
        for step in range(_MAX_STEPS):
            gradient = lookahead + self._loss_gradient(lookahead, loss, strength)
            length = float(np.sqrt(np.einsum("dp,dp->p", gradient, gradient).max()))
            first_length = length if step == 0 else first_length
            next_planes = lookahead - gradient / np.float32(max_curvature)
            lookahead = next_planes + np.float32(momentum) * (next_planes - planes)
            planes = next_planes
            if length <= tolerance * first_length:
                break
        return planes.T

    def _loss_gradient(self, planes: FloatArray, loss: _LossFunction, strength: float) -> FloatArray:
        decision_values = self._table @ planes
        own = decision_values[self._own_rows, self._own_people]
        slopes = loss.slope(decision_values)
        slopes *= strength * self._negative_weights
        slopes[self._own_rows, self._own_people] = -strength * self._positive_weights * loss.slope(-own)
        return self._table.T @ slopes

    def _largest_moment(self) -> float:
        squares = np.einsum("nd,nd->n", self._table, self._table)
        moments = (self._table * self._negative_weights).T @ self._table
        return 0.5 * float(squares.max()) + float(np.linalg.eigvalsh(moments)[-1])
