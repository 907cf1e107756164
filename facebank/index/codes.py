"""8-bit codes of embeddings for fast scans, with proven error bounds.

The code of a vector is a vector of whole numbers ``k`` from -128 to 127, which stand for ``center + scale * k``; the
vectors of a part share their scale and center. A query is multiplied by the scale and rounded to a multiple ``unit`` of
whole numbers, so that a product is ``unit * <numbers, k> + offset``. The proof of the error bounds is in
``docs/speed.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.index.exact import lengths, summing_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

PART_SIZE = 65_536  # maximum number of vectors in a part; a part has its own scale and is searched by one core
ZERO = 128  # byte that encodes the number 0
_ROWS_PER_BLOCK = 2048
_TINY = 1e-30
_UNDERFLOW = 1e-16
_MIN_SCALE = 2.0**-100


class RoundedQueries(NamedTuple):
    """Queries rounded for products with a part's codes: a product is ``unit * <numbers, code> + offset``."""

    numbers: FloatArray  # whole numbers, ``float32`` of shape ``(M, D)``
    unit: NDArray[np.float64]  # factor of a product of numbers, ``float64`` of shape ``(M, 1)``
    offset: NDArray[np.float64]  # added to the result, ``float64`` of shape ``(M, 1)``
    error: NDArray[np.float64]  # bound of a product's error, ``float64`` of shape ``(M,)``


@dataclass(frozen=True, slots=True, eq=False)
class CodeScale:
    """Scale and center of a part's codes, ``float32`` of shape ``(D,)``, with the bounds that the search needs."""

    scale: FloatArray
    center: FloatArray
    residual: float  # largest distance between a vector and its decoded code
    reach: float  # largest length of a code, in whole numbers
    length: float  # largest length of a vector, plus the center's length

    def round_queries(self, queries: NDArray[np.float64]) -> RoundedQueries:
        """Return queries ``(M, D)`` rounded for products with this part's codes."""
        scaled = queries * self.scale
        unit = np.abs(scaled).max(axis=1, keepdims=True) / 127.0
        numbers = np.rint(np.divide(scaled, unit, out=np.zeros_like(scaled), where=unit > 0)).clip(-127.0, 127.0)
        decoded = unit * numbers
        dimension = len(self.scale)
        error = lengths(queries) * (self.residual + dimension * 2.0**-50 * self.length)
        error += (lengths(scaled - decoded) + summing_error(dimension) * lengths(decoded)) * self.reach
        offset = (queries @ self.center.astype(np.float64))[:, None]
        return RoundedQueries(numbers.astype(np.float32), unit, offset, error * (1.0 + 1e-9) + _TINY)


def encode(rows: FloatArray) -> tuple[CodeScale, NDArray[np.uint8]]:
    """Return the scale and the codes, ``uint8`` of shape ``(N, D)``, of finite ``float32`` vectors ``(N, D)``.

    N is at least 1; a byte is a code's number plus `ZERO`.
    """
    minima, maxima = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
    scale = np.maximum((maxima - minima) / 255.0, _MIN_SCALE).astype(np.float32)
    center = (minima + 128.0 * scale).astype(np.float32)
    codes = np.empty(rows.shape, dtype=np.uint8)
    residual = reach = max_length = 0.0
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        block = rows[start : start + _ROWS_PER_BLOCK].astype(np.float32, copy=False)
        numbers = np.rint((block - center) / scale).clip(-128.0, 127.0)
        codes[start : start + len(block)] = numbers + ZERO
        reach = max(reach, _max_length(numbers))
        max_length = max(max_length, _max_length(block))
        residual = max(residual, _max_length(block - (numbers * scale + center)))
    margin = 1.0 + 2.0 * summing_error(rows.shape[1])
    length = max_length * margin + float(lengths(center[None])[0]) + _UNDERFLOW
    # Each of the three steps of decoding loses at most 2**-24 of its operands, which `length` bounds.
    residual = residual * margin + 2.0**-20 * length + _UNDERFLOW
    return CodeScale(scale, center, residual, reach * margin + _UNDERFLOW, length), codes


def _max_length(rows: FloatArray) -> float:
    return float(np.sqrt(np.float64(np.einsum("ij,ij->i", rows, rows).max())))
