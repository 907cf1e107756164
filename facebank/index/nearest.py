"""Which vectors can be among the most similar, when only bounds of the similarities are known.

An engine keeps its vectors in parts. A part finds its nearest by products that are computed quickly, from rounded
numbers, in whatever order; for each query it tells how far such a product may be from the true similarity. That
suffices to find vectors among which the most similar certainly are:

Let ``p`` be a vector's product, ``e`` the error that its part tells, and ``s`` its similarity, so that
``p - e <= s <= p + e``. Let `limit` vectors be wanted. The similarities of those `limit` that were found with the
greatest products are computed as they are; let ``floor`` be the least of them. Then at least `limit` vectors have
``s >= floor``, so that nobody with ``s < floor`` is among the best `limit`, nor equal to the last of them. Whoever has
``p + e < floor`` has ``s < floor`` and is left out. Of a part that told its `width` nearest, all others have products
of at most the least that it told, ``q``: if ``q + e < floor``, none of them can be among the best; else the part is
asked for more. Every part tells all its vectors in the end, so that it ends.

Similarities are compared after they were limited to -1..1 and rounded to ``float32``, and what is equal then comes in
the order of its number. Both never turn an order round but make unequal similarities equal: above 1, below -1, and
where they differ by less than the distance of two ``float32`` numbers, at most 2**-24 within -1..1. So ``floor``, which
is of such similarities, is lowered by 2**-23, and if that is below -1, without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from facebank.types import FloatArray

_WIDEN = 8
_NUMBERS_AT_ONCE = 4_000_000
_ROUNDED = 2.0**-23
_UNIT = 2.0**-24  # half the distance of 1 and the next float32


class Nearest(NamedTuple):
    """What a part tells of the vectors with the greatest products.

    Attributes
    ----------
    products
        ``float64`` of shape ``(M, width)``, in any order.
    ids
        The vectors' numbers, ``int64`` of that shape.
    errors
        How far a product of each query may be from the similarity, ``float64`` of shape ``(M,)``.
    """

    products: NDArray[np.float64]
    ids: NDArray[np.int64]
    errors: NDArray[np.float64]


class Part(Protocol):
    """Some of an engine's vectors."""

    @property
    def count(self) -> int:
        """How many there are, at least 1."""

    def nearest(self, queries: FloatArray, width: int) -> Nearest:
        """Tell those with the greatest products, `width` of them."""


class Candidates(NamedTuple):
    """Vectors among which the most similar are: numbers ``(N,)`` and similarities, ``float32`` of that shape."""

    ids: NDArray[np.int64]
    similarities: FloatArray


def candidates(
    parts: Sequence[Part],
    queries: FloatArray,
    limit: int,
    vectors: Callable[[NDArray[np.int64]], FloatArray],
    *,
    spare: int,
    run: Callable[[Callable[[Part], Nearest], Sequence[Part]], Iterable[Nearest]] = map,
) -> Iterator[Candidates]:
    """Yield, for each query, vectors among which are the `limit` most similar and all equal to the last of them.

    Parameters
    ----------
    parts
        All vectors.
    queries
        Of shape ``(M, dimension)``.
    limit
        How many are wanted, at least 1.
    vectors
        Returns vectors by their numbers.
    spare
        How many more each part is asked for at first.
    run
        Like `map`; may do several at once.
    """
    if len(parts) == 1:
        yield from _of_one_part(parts, queries, limit, vectors, spare=spare)
        return
    firsts = list(run(lambda part: part.nearest(queries, min(limit + spare, part.count)), parts))
    ids = np.concatenate([first.ids for first in firsts], axis=1)
    greatest = np.concatenate([first.products + first.errors[:, None] for first in firsts], axis=1)
    floors = _floors(queries, limit, firsts, vectors)
    proven = np.ones(len(queries), dtype=np.bool_)
    for part, first in zip(parts, firsts, strict=True):
        if first.ids.shape[1] < part.count:
            proven &= first.products.min(axis=1) + first.errors < floors
    counts = (greatest >= floors[:, None]).sum(axis=1)[proven]
    width = max(int(counts.max(initial=0)), min(limit, ids.shape[1]))  # the same for all queries: computed at once
    chosen = np.argpartition(greatest, ids.shape[1] - width, axis=1)[:, ids.shape[1] - width :]
    ids = np.take_along_axis(ids, chosen, axis=1)
    found = _similarities(queries, ids, vectors)
    for row in range(len(queries)):
        if proven[row]:
            yield Candidates(ids[row], found[row])
        else:
            near = [Nearest(first.products[row], first.ids[row], first.errors[row]) for first in firsts]
            yield _Search(parts, queries[row], limit, vectors, near).proven()


def _floors(
    queries: FloatArray, limit: int, firsts: Sequence[Nearest], vectors: Callable[[NDArray[np.int64]], FloatArray]
) -> NDArray[np.float64]:
    """Return what the similarity of each query's last wanted certainly reaches."""
    products = np.concatenate([first.products for first in firsts], axis=1)
    if products.shape[1] < limit:
        return np.full(len(queries), -np.inf)
    best = np.argpartition(products, products.shape[1] - limit, axis=1)[:, products.shape[1] - limit :]
    ids = np.take_along_axis(np.concatenate([first.ids for first in firsts], axis=1), best, axis=1)
    floors = _similarities(queries, ids, vectors).min(axis=1).astype(np.float64) - _ROUNDED
    return np.where(floors >= -1.0, floors, -np.inf)


def _of_one_part(
    parts: Sequence[Part],
    queries: FloatArray,
    limit: int,
    vectors: Callable[[NDArray[np.int64]], FloatArray],
    *,
    spare: int,
) -> Iterator[Candidates]:
    """Do the same with all queries at once, which is faster where hardly any needs more than is told first.

    The `limit`-th greatest ``p - e`` serves as ``floor``: at least `limit` vectors have a similarity of that or more.
    """
    (part,) = parts
    limit = min(limit, part.count)
    width = min(limit + spare, part.count)
    products, ids, errors = part.nearest(queries, width)
    least = np.partition(products, width - limit, axis=1)[:, width - limit] - errors
    floors = np.minimum(least, 1.0) - _ROUNDED
    proven = (width == part.count) | ((products.min(axis=1) + errors < floors) & (floors >= -1.0))
    found = _similarities(queries, ids, vectors)
    for row in range(len(queries)):
        if proven[row]:
            yield Candidates(ids[row], found[row])
        else:
            near = [Nearest(products[row], ids[row], errors[row])]
            yield _Search(parts, queries[row], limit, vectors, near).proven()


class _Search:
    """One query's search; what is near in each part has lost the queries' dimension."""

    def __init__(
        self,
        parts: Sequence[Part],
        query: FloatArray,
        limit: int,
        vectors: Callable[[NDArray[np.int64]], FloatArray],
        near: list[Nearest],
    ) -> None:
        self._parts = parts
        self._query = query
        self._limit = limit
        self._vectors = vectors
        self._near = near

    def proven(self) -> Candidates:
        while True:
            floor = self._floor()
            short = [
                place
                for place, (part, near) in enumerate(zip(self._parts, self._near, strict=True))
                if len(near.ids) < part.count and not near.products.min() + near.errors < floor
            ]
            if not short:
                ids = np.concatenate([near.ids[~(near.products + near.errors < floor)] for near in self._near])
                return Candidates(ids, similarities(self._query, ids, self._vectors))
            for place in short:
                self._widen(place)

    def _floor(self) -> float:
        """Return what the similarity of the last wanted certainly reaches."""
        products = np.concatenate([near.products for near in self._near])
        if len(products) < self._limit:
            return -np.inf
        best = np.argpartition(products, len(products) - self._limit)[len(products) - self._limit :]
        ids = np.concatenate([near.ids for near in self._near])[best]
        floor = float(similarities(self._query, ids, self._vectors).min()) - _ROUNDED
        return floor if floor >= -1.0 else -np.inf

    def _widen(self, place: int) -> None:
        part = self._parts[place]
        wider = part.nearest(self._query[None], min(_WIDEN * len(self._near[place].ids), part.count))
        self._near[place] = Nearest(wider.products[0], wider.ids[0], wider.errors[0])


def similarities(
    query: FloatArray, ids: NDArray[np.int64], vectors: Callable[[NDArray[np.int64]], FloatArray]
) -> FloatArray:
    """Return a query's similarities with vectors: computed in double precision, limited to -1..1, then rounded.

    Parameters
    ----------
    query
        Of shape ``(dimension,)``.
    ids
        Numbers of N vectors.
    vectors
        Returns vectors by their numbers.

    Returns
    -------
    FloatArray
        ``float32`` of shape ``(N,)``. Each depends on the two vectors alone, not on what else is compared.
    """
    found: FloatArray = _similarities(query[None], ids[None], vectors)[0]
    return found


def _similarities(
    queries: FloatArray, ids: NDArray[np.int64], vectors: Callable[[NDArray[np.int64]], FloatArray]
) -> FloatArray:
    """Return the similarities of each query with vectors of its own, ``(M, width)``."""
    exact = queries.astype(np.float64)
    found = np.empty(ids.shape, dtype=np.float32)
    step = max(1, _NUMBERS_AT_ONCE // queries.size)
    for start in range(0, ids.shape[1], step):
        block = ids[:, start : start + step]
        rows = vectors(block.ravel()).astype(np.float64).reshape(*block.shape, queries.shape[1])
        found[:, start : start + step] = np.einsum("mkd,md->mk", rows, exact).clip(-1.0, 1.0)
    return found


def summing_error(terms: int) -> float:
    """Return the relative error of a ``float32`` sum of so many products, in whatever order it is computed.

    Notes
    -----
    Relative to the sum of the products' magnitudes: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd
    edition, 2002, section 3.1. A few more operations than the sum needs are counted.
    """
    rounded = (terms + 4) * _UNIT
    return rounded / (1.0 - rounded)


def lengths(rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the rows' lengths in double precision, ``(N,)``."""
    exact = rows.astype(np.float64)
    found: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    return found
