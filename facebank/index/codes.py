"""Vectors in 8 bits a number, for scanning, with proven bounds of what that changes.

A part's code of a vector ``x`` is a vector of whole numbers ``k`` from -128 to 127, which stand for ``y = c + s * k``
with a scale ``s`` and a center ``c`` for each component. A query ``q`` is multiplied with ``s`` once: ``t = q * s``, so
that ``<q, y> = <q, c> + <t, k>``; ``t`` is rounded to ``u * r`` with whole numbers ``r`` from -127 to 127. How far
``<q, c> + u * <r, k>`` is from ``<q, x>``, by the inequality of Cauchy and Schwarz:

- the code: ``|<q, x> - <q, y>| <= |q| * R``, where ``R`` is the greatest ``|x - y|`` of the part, as it is;
- the query's rounding: ``|<t, k> - u * <r, k>| <= |t - u * r| * K``, where ``K`` is the greatest ``|k|`` of the part;
- summing in ``float32``, in any order: at most ``g * u * |r| * K`` with ``g`` as `summing_error` says;
- double precision, in ``<q, c>`` and in the product itself: at most ``d * 2**-50 * |q| * L`` with ``L`` the greatest of
  ``|x| + |c|``; what is too small for ``float32`` to hold makes less than 1e-30 of a difference.

``R``, ``K`` and ``L`` are computed in ``float32`` and made greater by what that may have taken from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.index.exact import lengths, summing_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

PART_SIZE = 65_536  # most vectors of a part: each has its own scale, and is searched by one core
ZERO = 128  # the byte of the number 0 in a code
_ROWS_AT_ONCE = 2048
_TINY = 1e-30
_LOST = 1e-16
_LEAST_SCALE = 2.0**-100


class RoundedQueries(NamedTuple):
    """Queries in the numbers of a part's codes."""

    numbers: FloatArray  # whole numbers, ``float32`` of shape ``(M, D)``
    # unit, offset: factor and summand of a product, ``float64`` of shape ``(M, 1)``
    unit: NDArray[np.float64]
    offset: NDArray[np.float64]
    error: NDArray[np.float64]  # bound of a product's error, ``(M,)``


@dataclass(frozen=True, slots=True, eq=False)
class CodeScale:
    """The scale and center, ``float32`` of shape ``(D,)``, of a part's codes, with bounds."""

    scale: FloatArray
    center: FloatArray
    residual: float  # largest distance between a vector and its decoded code
    reach: float  # largest length of a code
    length: float  # largest sum of the lengths of a vector and the center

    def rounded(self, queries: NDArray[np.float64]) -> RoundedQueries:
        """Return queries ``(M, D)`` for comparison with codes."""
        scaled = queries * self.scale
        unit = np.abs(scaled).max(axis=1, keepdims=True) / 127.0
        numbers = np.rint(np.divide(scaled, unit, out=np.zeros_like(scaled), where=unit > 0)).clip(-127.0, 127.0)
        meant = unit * numbers
        dimension = len(self.scale)
        error = lengths(queries) * (self.residual + dimension * 2.0**-50 * self.length)
        error += (lengths(scaled - meant) + summing_error(dimension) * lengths(meant)) * self.reach
        offset = (queries @ self.center.astype(np.float64))[:, None]
        return RoundedQueries(numbers.astype(np.float32), unit, offset, error * (1.0 + 1e-9) + _TINY)


def encode(rows: FloatArray) -> tuple[CodeScale, NDArray[np.uint8]]:
    """Return the codes, ``uint8`` of shape ``(N, D)``, of finite ``float32`` vectors, and their scale.

    N is at least 1; a byte is a number plus `ZERO`.
    """
    least, greatest = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
    scale = np.maximum((greatest - least) / 255.0, _LEAST_SCALE).astype(np.float32)
    center = (least + 128.0 * scale).astype(np.float32)
    codes = np.empty(rows.shape, dtype=np.uint8)
    residual = reach = longest = 0.0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE].astype(np.float32, copy=False)
        numbers = np.rint((block - center) / scale).clip(-128.0, 127.0)
        codes[start : start + len(block)] = numbers + ZERO
        reach = max(reach, _longest(numbers))
        longest = max(longest, _longest(block))
        residual = max(residual, _longest(block - (numbers * scale + center)))
    more = 1.0 + 2.0 * summing_error(rows.shape[1])
    length = longest * more + float(lengths(center[None])[0]) + _LOST
    # What 2**-24 of each of three steps can have taken from the residual is at most this part of what they hold.
    residual = residual * more + 2.0**-20 * length + _LOST
    return CodeScale(scale, center, residual, reach * more + _LOST, length), codes


def _longest(rows: FloatArray) -> float:
    return float(np.sqrt(np.float64(np.einsum("ij,ij->i", rows, rows).max())))
