"""Interface of an external vector store, and an exact search on top of it.

A store finds the keys of vectors by inner products computed in ``float32``. `StoreSearch` keeps every vector that may
be among the best, by error bounds as in `facebank.index.search`; the caller ranks them by
`facebank.index.exact.products`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from facebank.errors import ServiceError
from facebank.index.exact import lengths, products, summing_error
from facebank.index.search import SPARE, TINY, WIDEN, query_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from facebank.index.search import Rows
    from facebank.types import FloatArray

MAX_ANSWERS = 16_384  # results of a query; a limit of Milvus


class VectorGroup(IntEnum):
    """Group of a mirrored vector; its key is ``id * len(VectorGroup) + group``, with the id of the sample or person."""

    SINGLE = 0  # a person's only sample, which serves as the prototype too
    SEVERAL = 1  # one of several samples of a person
    PROTOTYPE = 2  # the prototype of a person with several samples
    MASKED = 3  # the prototype of a person in a mask


SAMPLES = (VectorGroup.SINGLE, VectorGroup.SEVERAL)
PROTOTYPES = (VectorGroup.SINGLE, VectorGroup.PROTOTYPE)
IN_MASKS = (VectorGroup.MASKED,)


class StoreIdentity(NamedTuple):
    """Identity of a store: hashes of the gallery's identity and of the pack, and the dimension of an embedding."""

    gallery: int
    pack: int
    dimension: int


class Answers(NamedTuple):
    """Result of a query: the keys, ``int64 (K,)``, and products, ``float64 (K,)``, of the best vectors."""

    keys: NDArray[np.int64]
    products: NDArray[np.float64]


class VectorStore(Protocol):
    """A store of vectors by key. Every method may raise `UnreachableError`, or `ServiceError` if the store refuses."""

    is_exact: bool  # whether a search is exhaustive
    cleans_in_place: bool  # whether `clean` erases deleted vectors; otherwise only `drop` does

    def identity(self) -> StoreIdentity | None:
        """Return what the store was made for; None if there is none yet."""
        ...

    def check_index(self) -> None:
        """Raise `ServiceError` if the store's index is not the one that searches expect."""
        ...

    def create(self, identity: StoreIdentity) -> None:
        """Create the store, without vectors."""
        ...

    def drop(self) -> None:
        """Delete the store with all vectors; no-op if absent."""
        ...

    def token(self, written: int = 0) -> int:
        """Return the token that was set last, by any process; 0 for none.

        With a timestamp, the token need not be more recent than that write and the searches of this process.
        """
        ...

    def set_token(self, token: int) -> int:
        """Set the token; returns the store's timestamp of this write for `count` and `nearest`, or 0."""
        ...

    def count(self, written: int) -> int:
        """Return the number of vectors, including all written up to a timestamp."""
        ...

    def list_keys(self, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the keys and digests of all vectors, by ascending key; few keys are `end` or greater."""
        ...

    def delete(self, keys: NDArray[np.int64]) -> None:
        """Delete the vectors with the given keys."""
        ...

    def add(self, group: VectorGroup, keys: NDArray[np.int64], digests: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add ``float32`` vectors ``(N, D)`` with new keys, and with the digests by which they are compared."""
        ...

    def nearest(self, groups: Sequence[VectorGroup], queries: FloatArray, limit: int, written: int) -> list[Answers]:
        """Return the answers to ``float32`` queries ``(M, D)``, best first.

        Includes all vectors written up to the timestamp `written`. `limit` is at most `MAX_ANSWERS`.
        """
        ...

    def clean(self) -> None:
        """Erase deleted vectors if the store can, and wait until it is done."""
        ...


class KeyPlaces(NamedTuple):
    """Positions of vectors by ascending keys, both ``int64`` of shape ``(N,)``."""

    keys: NDArray[np.int64]
    positions: NDArray[np.int64]

    def of(self, keys: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the positions of keys; None if one is unknown."""
        if not len(keys):
            return keys
        positions = self.keys.searchsorted(keys).clip(max=len(self.keys) - 1)
        return self.positions[positions] if np.array_equal(self.keys[positions], keys) else None


class StoreSearch:
    """Search of the vectors of some groups in a store.

    Parameters
    ----------
    store
        The store.
    groups
        The groups to search.
    known
        The vectors' keys and positions.
    written
        The store's timestamp of the last write.
    max_length
        An upper bound of the vectors' lengths.
    vectors_at
        Returns the vectors by which results are ranked, ``float32 (K, D)``, at given positions.
    max_deviation
        Largest distance between a stored vector and the one by which results are ranked.
    check
        Called after each answer; raises if the vectors have changed meanwhile.
    """

    def __init__(
        self,
        store: VectorStore,
        groups: Sequence[VectorGroup],
        known: KeyPlaces,
        written: int,
        *,
        max_length: float,
        vectors_at: Callable[[NDArray[np.int64]], FloatArray],
        max_deviation: float = 0.0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._groups = groups
        self._known = known
        self._written = written
        self._max_length = max_length
        self._vectors_at = vectors_at
        self._max_deviation = max_deviation
        self._check = check

    @property
    def count(self) -> int:
        """Number of vectors."""
        return len(self._known.keys)

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Rows]:
        """Return positions: see `facebank.index.search.Search.near`."""
        if self.count <= limit:
            return [np.arange(self.count)] * len(queries)
        results: list[Rows] = []
        for block in query_blocks(queries):
            rounded, errors = self._round(block)
            for row, answer in enumerate(self._query(rounded, limit + SPARE)):
                floor = float("-inf")
                if len(answer.products) >= limit:
                    floor = float(answer.products[limit - 1] - 2.0 * errors[row] - slack)
                results.append(self._rows_from(rounded[row], floor, answer))
        return results

    def within(self, queries: NDArray[np.float64], min_product: float) -> list[Rows]:
        """Return positions: see `facebank.index.search.Search.within`."""
        results: list[Rows] = []
        for block in query_blocks(queries):
            rounded, errors = self._round(block)
            for row, answer in enumerate(self._query(rounded, SPARE)):
                results.append(self._rows_from(rounded[row], min_product - float(errors[row]), answer))
        return results

    def _round(self, block: NDArray[np.float64]) -> tuple[FloatArray, NDArray[np.float64]]:
        """Return queries in ``float32``, and each one's error bound."""
        rounded = block.astype(np.float32)
        errors = summing_error(block.shape[1]) * lengths(rounded) + lengths(block - rounded)
        return rounded, errors * self._max_length + lengths(block) * self._max_deviation + TINY

    def _rows_from(self, query: FloatArray, floor: float, answer: Answers) -> Rows:
        """Return the positions whose product may reach a floor; asks for more results while the last one may."""
        while self._store.is_exact and len(answer.products) < self.count and answer.products[-1] >= floor:
            if len(answer.products) >= MAX_ANSWERS:
                return np.arange(self.count)  # the store returns no more: all are candidates
            (answer,) = self._query(query[None], WIDEN * len(answer.products))
        positions = self._known.of(answer.keys[answer.products >= floor])
        assert positions is not None  # noqa: S101 - checked by `_check_answer`
        return np.sort(positions)

    def _query(self, queries: FloatArray, limit: int) -> list[Answers]:
        """Return the store's answers, one per query; raises `BadAnswerError` if one is invalid."""
        limit = min(limit, self.count, MAX_ANSWERS)
        answers = self._store.nearest(self._groups, queries, limit, self._written)
        self._check()
        if len(answers) != len(queries):
            raise bad_answer_error("a different number of answers than queries")
        return [self._check_answer(query, answer, limit) for query, answer in zip(queries, answers, strict=True)]

    def _check_answer(self, query: FloatArray, answer: Answers, limit: int) -> Answers:
        if not np.isfinite(answer.products).all():
            raise bad_answer_error("similarities that are not finite numbers")
        positions = self._known.of(answer.keys)
        if positions is None:
            raise bad_answer_error("vectors that the gallery does not have")
        if len(np.unique(answer.keys)) < len(answer.keys):
            raise bad_answer_error("one vector twice")
        if len(answer.keys) > limit or (self._store.is_exact and len(answer.keys) < limit):
            raise bad_answer_error(f"{len(answer.keys)} vectors where {limit} are asked for")
        (length,) = lengths(query[None])
        error = length * (summing_error(len(query)) * self._max_length + self._max_deviation) + TINY
        if (np.abs(answer.products - products(query, self._vectors_at(positions))) > error).any():
            raise ChangedVectorsError("it answers with similarities to other vectors than the gallery's")
        order = np.argsort(-answer.products, kind="stable")
        return Answers(answer.keys[order], answer.products[order])


class UnreachableError(ServiceError):
    """A store cannot be reached, or does not answer in time."""


class BadAnswerError(ServiceError):
    """A store's invalid answer."""


class ChangedVectorsError(BadAnswerError):
    """A store's answer about changed vectors, whose keys and digests do not show the change."""


def bad_answer_error(content: str) -> BadAnswerError:
    """Return the error for an invalid answer, described by its `content`."""
    return BadAnswerError(f"it answers with {content}")
