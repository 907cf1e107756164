"""Fixtures for Milvus Lite files and a Milvus server; tests are skipped with a reason if either is missing."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facebank.errors import ServiceError
from facebank.index.exact import max_length
from facebank.index.milvus import MilvusStore
from facebank.index.milvus_address import MilvusAddress
from facebank.index.vector_store import KeyPlaces, StoreIdentity, StoreSearch, VectorGroup
from tests.index.milvus_server import MilvusServer, server_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.index.search import Rows
    from facebank.types import FloatArray

# Deletes files of compacted segments after seconds instead of hours; smaller values crash the server.
FAST_COLLECTION = {
    "dataCoord.gc.interval": "5",
    "dataCoord.gc.missingTolerance": "20",
    "dataCoord.gc.dropTolerance": "20",
}
_DIMENSION = 128


def skip_on(problem: str | None) -> None:
    """Skip the test if there is a problem, or fail it if ``FACEBANK_CI_MILVUS`` is set."""
    if problem is not None:
        (pytest.fail if os.environ.get("FACEBANK_CI_MILVUS") else pytest.skip)(problem)


def client_problem() -> str | None:
    """Return a message about missing Python packages; None if the Milvus client is installed."""
    missing = [name for name in ("pymilvus", "milvus_lite") if importlib.util.find_spec(name) is None]
    return f"the extra 'milvus' is not installed: no {', '.join(missing)}" if missing else None


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A running server, shared by all tests."""
    skip_on(client_problem() or server_problem())
    with MilvusServer(tmp_path_factory.mktemp("milvus"), FAST_COLLECTION) as server:
        yield server


_collection_numbers = count(1)


@pytest.fixture
def lite_address(tmp_path: Path) -> str:
    """Address of a Milvus Lite file."""
    skip_on(client_problem())
    return f"milvus-lite:{tmp_path}/vectors.db"


@pytest.fixture
def server_address(milvus_server: MilvusServer) -> Iterator[str]:
    """Address of a collection on the server, which is dropped after the test."""
    address = f"{milvus_server.address}/family_{next(_collection_numbers)}"
    yield address
    store = MilvusStore(MilvusAddress.parse(address))
    with contextlib.suppress(ServiceError):
        store.drop()


@pytest.fixture(params=["lite", "server"])
def milvus_address(request: pytest.FixtureRequest) -> str:
    """Address of a new collection, in a file and on a server."""
    return str(request.getfixturevalue(f"{request.param}_address"))


class PaddedSearches:
    """A factory of searches in one store, which are used one after the other; vectors are padded with zeros."""

    examples = 8  # of Hypothesis; few, since each writes to the store

    def __init__(self, address: str) -> None:
        self._store = MilvusStore(MilvusAddress.parse(address))
        self._store.create(StoreIdentity(1, 2, _DIMENSION))
        self._next = 0
        self._keys = np.empty(0, np.int64)

    def __call__(self, rows: FloatArray) -> PaddedSearch:
        """Return a search of vectors ``(N, D)``, D at most 128."""
        self._store.delete(self._keys)
        self._keys = (self._next + np.arange(len(rows))) * len(VectorGroup)
        self._next += len(rows)
        padded = np.zeros((len(rows), _DIMENSION), np.float32)
        padded[:, : rows.shape[1]] = rows
        self._store.add(VectorGroup.SINGLE, self._keys, np.arange(len(rows)), padded)
        token = self._store.set_token(1)
        places = KeyPlaces(self._keys, np.arange(len(rows)))
        search = StoreSearch(
            self._store,
            (VectorGroup.SINGLE,),
            places,
            token,
            max_length=max_length(rows),
            vectors_at=lambda positions: padded[positions],
        )
        return PaddedSearch(search)


class PaddedSearch:
    """A search whose queries are padded with zeros."""

    def __init__(self, search: StoreSearch) -> None:
        self._search = search
        self.count = search.count

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Rows]:
        """Find rows: see `StoreSearch.near`."""
        return self._search.near(_pad(queries), limit, slack)

    def within(self, queries: NDArray[np.float64], min_product: float) -> list[Rows]:
        """Find rows: see `StoreSearch.within`."""
        return self._search.within(_pad(queries), min_product)


def _pad(queries: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.zeros((len(queries), _DIMENSION))
    padded[:, : queries.shape[1]] = queries
    return padded


@pytest.fixture(scope="session")
def stored_rows(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], PaddedSearches]:
    """A function that creates searches on the backend ``lite`` or ``server``, each in one collection."""
    searches: dict[str, PaddedSearches] = {}

    def search_rows(backend: str) -> PaddedSearches:
        if backend not in searches:
            if backend == "lite":
                skip_on(client_problem())
                searches[backend] = PaddedSearches(f"milvus-lite:{tmp_path_factory.mktemp('lite')}/vectors.db")
            else:
                searches[backend] = PaddedSearches(f"{request.getfixturevalue('milvus_server').address}/contract")
        return searches[backend]

    return search_rows
