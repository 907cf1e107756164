"""Exact similarities of embeddings, and error bounds for fast ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

_UNIT_ROUNDOFF = 2.0**-24  # half the gap between 1 and the next float32
_ROWS_PER_BLOCK = 1024
_UNDERFLOW = 1e-16  # bound of what underflowing squares would add to a length


def products(query: NDArray[np.floating[Any]], rows: FloatArray) -> NDArray[np.float64]:
    """Return the inner products, ``float64`` of shape ``(N,)``, of a query ``(D,)`` and ``float32`` vectors ``(N, D)``.

    Each depends only on its two vectors, so that every backend ranks by the same numbers.
    """
    query64 = query.astype(np.float64)
    result = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        block = rows[start : start + _ROWS_PER_BLOCK].astype(np.float64)
        result[start : start + len(block)] = np.einsum("nd,d->n", block, query64)
    return result


def cosines(query: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the cosines, ``float32`` of shape ``(N,)``, -1..1, of an L2-normalized query and vectors ``(N, D)``."""
    return products(query, rows).clip(-1.0, 1.0).astype(np.float32)


def summing_error(terms: int) -> float:
    """Return the error bound of a ``float32`` sum of products in any order, relative to the sum of their magnitudes.

    Source: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, 2002, section 3.1, for four more
    terms as a margin.
    """
    rounded = (terms + 4) * _UNIT_ROUNDOFF
    return rounded / (1.0 - rounded)


def lengths(rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the Euclidean lengths, ``float64`` of shape ``(N,)``, of vectors ``(N, D)``."""
    rows64 = rows.astype(np.float64)
    result: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", rows64, rows64))
    return result


def max_length(rows: FloatArray) -> float:
    """Return an upper bound of the lengths of ``float32`` vectors ``(N, D)``; 0 if there are none."""
    if not len(rows):
        return 0.0
    squares = np.einsum("ij,ij->i", rows, rows)
    return float(np.sqrt(np.float64(squares.max()))) * (1.0 + summing_error(rows.shape[1])) + _UNDERFLOW
