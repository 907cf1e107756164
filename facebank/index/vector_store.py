"""The contract of a vector store outside of this process, and the exact search that is built on one.

A store finds the keys of vectors by their products, computed in ``float32``; which of them are among the best is proven
here by error bounds, as `facebank.index.search` does it, and ranked by `facebank.index.exact.products`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from facebank.errors import ServiceError
from facebank.index.exact import lengths, summing_error
from facebank.index.search import SPARE, TINY, WIDEN, in_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from facebank.index.search import Places
    from facebank.types import FloatArray

MOST_ANSWERS = 16_384  # of a query, in Milvus


class Group(IntEnum):
    """What a vector of a mirror is; a key is ``number * len(Group) + group``."""

    SINGLE = 0  # a sample that is its person's only one, and so the prototype too
    SEVERAL = 1  # a sample of a person with several
    PROTOTYPE = 2  # the prototype of a person with several
    MASKED = 3  # the prototype of a person in a mask


SAMPLES = (Group.SINGLE, Group.SEVERAL)
PROTOTYPES = (Group.SINGLE, Group.PROTOTYPE)
IN_MASKS = (Group.MASKED,)


class StoreIdentity(NamedTuple):
    """What a store was made for: hashes of the gallery's identity and the pack, and the length of an embedding."""

    gallery: int
    pack: int
    dimension: int


class Answers(NamedTuple):
    """The keys of the vectors with a query's greatest products, ``int64 (K,)``, and the products, ``float64 (K,)``."""

    keys: NDArray[np.int64]
    products: NDArray[np.float64]


class VectorStore(Protocol):
    """Vectors by key, elsewhere. Every method raises `UnreachableError`, or `ServiceError` where it refuses."""

    is_exact: bool  # whether a search misses nothing
    cleans_in_place: bool  # whether `clean` removes deleted vectors for good; else only `drop` does

    def identity(self) -> StoreIdentity | None:
        """Return what the store was made for; None if there is none yet."""
        ...

    def create(self, identity: StoreIdentity) -> None:
        """Make the store, without vectors."""
        ...

    def drop(self) -> None:
        """Remove the store with all vectors."""
        ...

    def token(self) -> int:
        """Return the token that was set last, by anybody; 0 for none."""
        ...

    def set_token(self, token: int) -> int:
        """Set the token; returns the store's time after that, or 0, for `nearest`."""
        ...

    def count(self, written: int) -> int:
        """Return how many vectors there are, all that was written until a time among them."""
        ...

    def listed(self, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the keys and digests of all vectors, rising by key; few are expected from `end` on."""
        ...

    def delete(self, keys: NDArray[np.int64]) -> None:
        """Delete vectors."""
        ...

    def add(self, group: Group, keys: NDArray[np.int64], digests: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors ``(N, D)``, none of which is there, with the digests by which they are compared."""
        ...

    def nearest(self, groups: Sequence[Group], queries: FloatArray, limit: int, written: int) -> list[Answers]:
        """Return the answers to ``float32`` queries ``(M, D)``, best first; all that was written until a time counts.

        `limit` is at most `MOST_ANSWERS`.
        """
        ...

    def clean(self) -> None:
        """Remove deleted vectors for good, where the store can, and wait for it."""
        ...


class KeyPlaces(NamedTuple):
    """The places, ``int64 (N,)``, of vectors by their keys, rising, ``int64 (N,)``."""

    keys: NDArray[np.int64]
    places: NDArray[np.int64]

    def of(self, keys: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the places of keys; None if one is not known."""
        if not len(keys):
            return keys
        found = self.keys.searchsorted(keys).clip(max=len(self.keys) - 1)
        return self.places[found] if np.array_equal(self.keys[found], keys) else None


class StoreSearch:
    """Search of some groups of vectors in a store.

    Parameters
    ----------
    store
        The store.
    groups
        The groups.
    known
        The vectors' keys and places.
    written
        The store's time by which the vectors were written.
    longest
        A bound of their lengths.
    apart
        How far a vector may be from the one that decides.
    checked
        Called after each answer; raises if it does not count, as the vectors have been changed meanwhile.
    """

    def __init__(
        self,
        store: VectorStore,
        groups: Sequence[Group],
        known: KeyPlaces,
        written: int,
        *,
        longest: float,
        apart: float = 0.0,
        checked: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._groups = groups
        self._known = known
        self._written = written
        self._longest = longest
        self._apart = apart
        self._checked = checked

    @property
    def count(self) -> int:
        """Number of vectors."""
        return len(self._known.keys)

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Places]:
        """Find vectors: see `facebank.index.search.Search.near`."""
        if self.count <= limit:
            return [np.arange(self.count)] * len(queries)
        found: list[Places] = []
        for block in in_blocks(queries):
            rounded, errors = self._rounded(block)
            for row, answer in enumerate(self._asked(rounded, limit + SPARE)):
                floor = float("-inf")
                if len(answer.products) >= limit:
                    floor = float(answer.products[limit - 1] - 2.0 * errors[row] - slack)
                found.append(self._from(rounded[row], floor, answer))
        return found

    def within(self, queries: NDArray[np.float64], least: float) -> list[Places]:
        """Find vectors: see `facebank.index.search.Search.within`."""
        found: list[Places] = []
        for block in in_blocks(queries):
            rounded, errors = self._rounded(block)
            for row, answer in enumerate(self._asked(rounded, SPARE)):
                found.append(self._from(rounded[row], least - float(errors[row]), answer))
        return found

    def _rounded(self, block: NDArray[np.float64]) -> tuple[FloatArray, NDArray[np.float64]]:
        """Return queries in ``float32``, and the bound of each one's products."""
        rounded = block.astype(np.float32)
        errors = summing_error(block.shape[1]) * lengths(rounded) + lengths(block - rounded)
        return rounded, errors * self._longest + lengths(block) * self._apart + TINY

    def _from(self, query: FloatArray, floor: float, answer: Answers) -> Places:
        """Return the places whose product may reach a floor; asks for more while the last one's may."""
        while self._store.is_exact and len(answer.products) < self.count and answer.products[-1] >= floor:
            if len(answer.products) >= MOST_ANSWERS:
                return np.arange(self.count)  # no more can be asked for
            (answer,) = self._asked(query[None], WIDEN * len(answer.products))
        places = self._known.of(answer.keys[answer.products >= floor])
        assert places is not None  # noqa: S101 - checked when it was asked
        return np.sort(places)

    def _asked(self, queries: FloatArray, limit: int) -> list[Answers]:
        """Return the store's answers, checked."""
        wanted = min(limit, self.count, MOST_ANSWERS)
        answers = self._store.nearest(self._groups, queries, wanted, self._written)
        self._checked()
        if len(answers) != len(queries):
            raise bad_answer("another number of answers than questions")
        return [self._checked_answer(answer, wanted) for answer in answers]

    def _checked_answer(self, answer: Answers, wanted: int) -> Answers:
        if not np.isfinite(answer.products).all():
            raise bad_answer("similarities that are no numbers")
        if self._known.of(answer.keys) is None:
            raise bad_answer("vectors that the gallery does not have")
        if len(np.unique(answer.keys)) < len(answer.keys):
            raise bad_answer("one vector twice")
        if len(answer.keys) > wanted or (self._store.is_exact and len(answer.keys) < wanted):
            raise bad_answer(f"{len(answer.keys)} vectors where {wanted} are asked for")
        order = np.argsort(-answer.products, kind="stable")
        return Answers(answer.keys[order], answer.products[order])


class UnreachableError(ServiceError):
    """A store that cannot be reached, or does not answer in time."""


class BadAnswerError(ServiceError):
    """A store's answer that cannot be right."""


def bad_answer(what: str) -> BadAnswerError:
    """Return the error for an answer that cannot be right."""
    return BadAnswerError(f"it answers with {what}")
