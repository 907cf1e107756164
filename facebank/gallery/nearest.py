"""Which vectors can be among the most similar, when only bounds of the similarities are known.

An engine keeps its vectors in parts. A part finds its nearest by products that are computed quickly, from rounded
numbers, in whatever order; for each query it tells how far such a product may be from the true similarity. That
suffices to find vectors among which the most similar certainly are:

Let ``p`` be a vector's product, ``e`` the error of its part, and ``s`` its similarity, so that ``p - e <= s <= p + e``.
Let `limit` vectors be wanted and ``floor`` be the `limit`-th greatest ``p - e`` of those found so far. Then at least
`limit` vectors have ``s >= floor``, so that nobody with ``s < floor`` is among the best `limit`, nor equal to the last
of them. Whoever has ``p + e < floor`` has ``s < floor`` and is left out. Of a part that told its `width` nearest, all
others have products of at most the least that it told, ``q``: if ``q + e < floor``, none of them can be among the best;
else the part is asked for more. Every part tells all its vectors in the end, so that it ends.

Similarities are compared after they were limited to -1..1 and rounded to ``float32``, and what is equal then comes in
the order of its number. Both never turn an order round but make unequal similarities equal: above 1, below -1, and
where they differ by less than the distance of two ``float32`` numbers, at most 2**-24 within -1..1. So ``floor`` is
lowered: to 1 at most, by 2**-23, and if that is below -1, without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from facebank.faces import FloatArray

Nearest: TypeAlias = "tuple[NDArray[np.float64], NDArray[np.int64]]"

_WIDEN = 8
_ROUNDED = 2.0**-23
_UNIT = 2.0**-24  # half the distance of 1 and the next float32


class Part(Protocol):
    """Some of an engine's vectors."""

    @property
    def count(self) -> int:
        """How many there are, at least 1."""

    def nearest(self, queries: FloatArray, width: int) -> Nearest:
        """Return products and numbers of the vectors with the greatest products, each ``(M, width)``, in any order."""

    def error(self, queries: FloatArray) -> NDArray[np.float64]:
        """Return how far a product of each query may be from the true one, ``(M,)``."""


def candidates(
    parts: Sequence[Part],
    queries: FloatArray,
    limit: int,
    *,
    spare: int,
    run: Callable[[Callable[[Part], Nearest], Sequence[Part]], Iterable[Nearest]] = map,
) -> Iterator[NDArray[np.int64]]:
    """Yield, for each query, numbers of vectors among which are the `limit` most similar and all equal to the last.

    Parameters
    ----------
    parts
        All vectors.
    queries
        Of shape ``(M, dimension)``.
    limit
        How many are wanted, at least 1.
    spare
        How many more each part is asked for at first.
    run
        Like `map`; may do several at once.
    """
    firsts = list(run(lambda part: part.nearest(queries, min(limit + spare, part.count)), parts))
    errors = [part.error(queries) for part in parts]
    for row in range(len(queries)):
        found = [(products[row], ids[row]) for products, ids in firsts]
        yield _proven(parts, queries[row : row + 1], limit, found, [float(error[row]) for error in errors])


def _proven(
    parts: Sequence[Part], query: FloatArray, limit: int, found: list[Nearest], errors: Sequence[float]
) -> NDArray[np.int64]:
    while True:
        floor = _floor(np.concatenate([near[0] - error for near, error in zip(found, errors, strict=True)]), limit)
        short = [
            place
            for place, part in enumerate(parts)
            if len(found[place][0]) < part.count and not found[place][0].min() + errors[place] < floor
        ]
        if not short:
            chosen = [ids[~(products + error < floor)] for (products, ids), error in zip(found, errors, strict=True)]
            return np.concatenate(chosen)
        for place in short:
            part = parts[place]
            products, ids = part.nearest(query, min(_WIDEN * len(found[place][0]), part.count))
            found[place] = products[0], ids[0]


def _floor(least: NDArray[np.float64], limit: int) -> float:
    """Return what the similarity of the last wanted certainly reaches, as the module says."""
    if len(least) < limit:
        return -np.inf
    floor = min(float(np.partition(least, len(least) - limit)[len(least) - limit]), 1.0) - _ROUNDED
    return floor if floor >= -1.0 else -np.inf


def summing_error(terms: int) -> float:
    """Return the relative error of a ``float32`` sum of so many products, in whatever order it is computed.

    Notes
    -----
    Relative to the sum of the products' magnitudes: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd
    edition, 2002, section 3.1. A few more operations than the sum needs are counted.
    """
    rounded = (terms + 4) * _UNIT
    return rounded / (1.0 - rounded)


def lengths(rows: FloatArray) -> NDArray[np.float64]:
    """Return the rows' lengths in double precision, ``(N,)``."""
    exact = rows.astype(np.float64)
    found: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    return found
