"""Vectors in 8 or 16 bits a number, for scanning, with proven bounds of what that changes.

A part's code of a vector ``x`` is a vector of small numbers ``k``, which stand for ``y = c + s * k`` with a scale ``s``
and a centre ``c`` for each component. With 8 bits ``k`` are whole numbers from -128 to 127 between the least and the
greatest that occurs in the part; with 16 bits they are half-precision numbers, ``s`` is one power of two and ``c`` 0.

A query ``q`` is multiplied with ``s`` once: ``t = q * s``, so that ``<q, y> = <q, c> + <t, k>``. For 8 bits ``t`` is
rounded to whole numbers too, ``u * r`` with ``r`` from -127 to 127: FAISS sums products of whole numbers twice as fast.
For 16 bits ``u`` is 1 and ``r`` is ``t`` in ``float32``. So FAISS finds ``<r, k>``, and ``<q, c> + u * <r, k>`` is the
product that is told. How far it is from the similarity, by the inequality of Cauchy and Schwarz:

- the code: ``|<q, x> - <q, y>| <= |q| * |x - y| <= |q| * R``, where ``R`` is the greatest ``|x - y|`` of the part,
  as it is, not as it might be;
- the query's rounding: ``|<t, k> - u * <r, k>| <= |t - u * r| * K``, where ``K`` is the greatest ``|k|`` of the part;
- summing in ``float32``, in any order: with ``g`` as `summing_error` says, at most ``g * u * sum(|r * k|)``, which is
  at most ``g * u * |r| * K``; nothing where the sums are of whole numbers below 2**24;
- double precision, in ``<q, c>`` and in the similarity itself: at most ``d * 2**-50 * |q| * L`` with ``L`` the greatest
  of ``|x| + |c|``; what is too small for ``float32`` to hold makes less than 1e-30 of a difference.

``R``, ``K`` and ``L`` are computed in ``float32`` and made greater by what that may have taken from them: squares below
the least number that ``float32`` holds count as 0, which is less than 1e-16 of a length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facebank.errors import UsageError
from facebank.index.engines import load_faiss
from facebank.index.nearest import Nearest, lengths, summing_error

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from facebank.types import FloatArray

BITS = (8, 16)
"""How many bits a number can have in a code."""

PART_SIZE = 65_536
"""The most vectors in a part: each has its own scale, and is searched by one core at a time."""

_ROWS_AT_ONCE = 2048
_TINY = 1e-30
_LOST = 1e-16
_LEAST_SCALE = 2.0**-100


@dataclass(frozen=True, slots=True, eq=False)
class CodeScale:
    """What a part's codes stand for, and how well.

    Attributes
    ----------
    bits
        8 or 16.
    scale, centre
        ``float32`` of shape ``(dimension,)``.
    residual
        No vector is further from what its code stands for.
    reach
        No code is longer, as the numbers it is.
    length
        No vector is longer, nor together with the centre.
    """

    bits: int
    scale: FloatArray
    centre: FloatArray
    residual: float
    reach: float
    length: float

    def rounded(self, queries: NDArray[np.float64]) -> RoundedQueries:
        """Return queries ``(M, dimension)`` as they are compared with codes, and how far a product may be off."""
        scaled = queries * self.scale
        if self.bits == 8:
            unit = np.abs(scaled).max(axis=1, keepdims=True) / 127.0
            rounded = np.rint(np.divide(scaled, unit, out=np.zeros_like(scaled), where=unit > 0)).clip(-127.0, 127.0)
        else:
            unit = np.ones((len(scaled), 1))
            rounded = scaled
        numbers = rounded.astype(np.float32)
        meant = unit * numbers
        dimension = len(self.scale)
        error = lengths(queries) * (self.residual + dimension * 2.0**-50 * self.length)
        error += (lengths(scaled - meant) + summing_error(dimension) * lengths(meant)) * self.reach
        return RoundedQueries(numbers, unit, error * (1.0 + 1e-9) + _TINY)


class RoundedQueries(NamedTuple):
    """Queries in the numbers of a part's codes: what they are, what 1 of them is worth, and the error of a product."""

    numbers: FloatArray
    unit: NDArray[np.float64]
    error: NDArray[np.float64]


class CodedPart:
    """Coded vectors, scanned by FAISS.

    Parameters
    ----------
    ids
        The vectors' numbers, ``int64`` of shape ``(N,)``, N at least 1.
    scale
        What the codes stand for.
    codes
        As `encode` makes them.
    """

    def __init__(self, ids: NDArray[np.int64], scale: CodeScale, codes: NDArray[np.uint8]) -> None:
        faiss = load_faiss()
        kinds = {8: faiss.ScalarQuantizer.QT_8bit_direct_signed, 16: faiss.ScalarQuantizer.QT_fp16}
        self._index: Any = faiss.IndexScalarQuantizer(len(scale.scale), kinds[scale.bits], faiss.METRIC_INNER_PRODUCT)
        self._index.add_sa_codes(np.ascontiguousarray(codes))
        self.ids = ids
        self.scale = scale

    @classmethod
    def of(cls, ids: NDArray[np.int64], rows: FloatArray, bits: int) -> Self:
        """Encode vectors ``(N, dimension)``."""
        scale, codes = encode(rows, bits)
        return cls(ids, scale, codes)

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return len(self.ids)

    @property
    def codes(self) -> NDArray[np.uint8]:
        """A copy of the codes, ``(N, bytes)``."""
        faiss = load_faiss()
        held = faiss.rev_swig_ptr(self._index.codes.data(), self._index.codes.size())
        codes: NDArray[np.uint8] = held.reshape(self.count, -1).copy()
        return codes

    def nearest(self, queries: FloatArray, width: int) -> Nearest:
        """Return products, numbers and errors."""
        exact = queries.astype(np.float64)
        rounded = self.scale.rounded(exact)
        sums, places = self._index.search(rounded.numbers, width)
        products = rounded.unit * sums + (exact @ self.scale.centre)[:, None]
        return Nearest(products, self.ids[places], rounded.error)

    def remove(self, gone: NDArray[np.bool_]) -> None:
        """Remove those of the vectors, ``(N,)``."""
        faiss = load_faiss()
        self._index.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(gone)))
        self.ids = self.ids[~gone]


def encode(rows: FloatArray, bits: int) -> tuple[CodeScale, NDArray[np.uint8]]:
    """Return codes of vectors, and what they stand for.

    Parameters
    ----------
    rows
        ``float32`` of shape ``(N, dimension)``, N at least 1, finite.
    bits
        8 or 16.

    Returns
    -------
    tuple[CodeScale, NDArray[np.uint8]]
        The codes of shape ``(N, dimension * bits / 8)``.

    Raises
    ------
    UsageError
        If there are no codes of so many bits.
    """
    if bits not in BITS:
        raise UsageError(f"A code has {' or '.join(map(str, BITS))} bits a number, not {bits}.")
    scale, centre = (_scale_of_8 if bits == 8 else _scale_of_16)(rows)
    codes = np.empty((len(rows), rows.shape[1] * bits // 8), dtype=np.uint8)
    residual = reach = longest = 0.0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE].astype(np.float32, copy=False)
        written, numbers = _numbers(block, scale, centre, bits)
        codes[start : start + len(block)] = written
        reach = max(reach, _longest(numbers))
        longest = max(longest, _longest(block))
        residual = max(residual, _longest(block - (numbers * scale + centre)))
    more = 1.0 + 2.0 * summing_error(rows.shape[1])
    length = longest * more + float(lengths(centre[None])[0]) + _LOST
    # What 2**-24 of each of three steps can have taken from the residual is at most this part of what they hold.
    residual = residual * more + 2.0**-20 * length + _LOST
    return CodeScale(bits, scale, centre, residual, reach * more + _LOST, length), codes


def _scale_of_8(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    least, greatest = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
    scale = np.maximum((greatest - least) / 255.0, _LEAST_SCALE).astype(np.float32)
    return scale, (least + 128.0 * scale).astype(np.float32)


def _scale_of_16(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    greatest = max(float(np.abs(rows).max()), _LEAST_SCALE)
    scale = np.full(rows.shape[1], 2.0 ** np.ceil(np.log2(greatest)), dtype=np.float32)
    return scale, np.zeros_like(scale)


def _numbers(block: FloatArray, scale: FloatArray, centre: FloatArray, bits: int) -> tuple[NDArray[Any], FloatArray]:
    """Return the bytes of codes, and the numbers they are."""
    wanted = (block - centre) / scale
    if bits == 16:
        halves = wanted.astype("<f2")
        return halves.view(np.uint8), halves.astype(np.float32)
    whole = np.rint(wanted).clip(-128.0, 127.0)
    return (whole + 128.0).astype(np.uint8), whole


def _longest(rows: FloatArray) -> float:
    return float(np.sqrt(np.float64(np.einsum("ij,ij->i", rows, rows).max())))
