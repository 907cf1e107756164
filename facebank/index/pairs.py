"""All pairs of similar vectors, found by matrix products in blocks that fit the processor's cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from facebank.types import FloatArray

_ROWS, _COLUMNS = 512, 2048  # shape of a block of products that fits the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of vectors: their indices, ``int64``, and similarities, ``float32``, each of shape ``(P,)``."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarities: FloatArray

    def where(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Return the pairs chosen by a mask, ``bool`` of shape ``(P,)``."""
        return Pairs(self.first[chosen], self.second[chosen], self.similarities[chosen])

    @staticmethod
    def concatenate(parts: list[Pairs]) -> Pairs:
        """Return the pairs of several parts, in order."""
        if not parts:
            none = np.zeros(0, dtype=np.int64)
            return Pairs(none, none, np.zeros(0, dtype=np.float32))
        return Pairs(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
            np.concatenate([part.similarities for part in parts]),
        )


def pairs_within(rows: FloatArray, min_product: float, advance: Callable[[float], None] | None = None) -> Pairs:
    """Return all pairs of rows, each once, whose inner product, in ``float32``, is at least `min_product`.

    Parameters
    ----------
    rows
        ``float32`` of shape ``(N, D)``.
    min_product
        The smallest inner product, which is the cosine of L2-normalized rows.
    advance
        Called with the fraction of all products, 0..1, computed since the last call.

    Returns
    -------
    Pairs
        In each pair, the index of `first` is the smaller.
    """
    parts = []
    for start in range(0, len(rows), _ROWS):
        for block in _blocks(rows[start : start + _ROWS], rows[start:], min_product):
            ordered = block.where(block.first < block.second)
            parts.append(Pairs(ordered.first + start, ordered.second + start, ordered.similarities))
        if advance is not None:
            after, before = (1 - min(end, len(rows)) / len(rows) for end in (start + _ROWS, start))
            advance(before * before - after * after)
    return Pairs.concatenate(parts)


def pairs_between(a: FloatArray, b: FloatArray, min_product: float) -> Pairs:
    """Return all pairs of a row of `a` and a row of `b` whose inner product is at least `min_product`.

    `a` is ``float32`` of shape ``(N, D)`` and `b` of shape ``(M, D)``; `first` has indices into `a`, `second` into `b`.
    """
    parts = []
    for start in range(0, len(a), _ROWS):
        blocks = _blocks(a[start : start + _ROWS], b, min_product)
        parts += [Pairs(block.first + start, block.second, block.similarities) for block in blocks]
    return Pairs.concatenate(parts)


def _blocks(a: FloatArray, b: FloatArray, min_product: float) -> Iterator[Pairs]:
    products = np.empty(len(a) * _COLUMNS, dtype=np.float32)
    mask = np.empty(len(products), dtype=np.bool_)
    for start in range(0, len(b), _COLUMNS):
        block = b[start : start + _COLUMNS]
        size = len(a) * len(block)
        block_products = products[:size].reshape(len(a), len(block))
        np.matmul(a, block.T, out=block_products)
        np.greater_equal(products[:size], min_product, out=mask[:size])
        positions = np.flatnonzero(mask[:size])
        if len(positions):
            first, second = np.divmod(positions, len(block))
            yield Pairs(first, second + start, products[positions])
