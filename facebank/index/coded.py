"""Exact search of very many vectors: their codes are scanned, and who may be the nearest is read in ``float32``.

Eight bits a number are a quarter of the bytes to go through. The answers are those of the ``float32`` vectors all the
same: the codes' error is bounded (`facebank.index.codes`), and everybody whose similarity may be high enough within
that bound is looked at (`facebank.index.nearest`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.index.codes import PART_SIZE, CodedPart
from facebank.index.engines import load_faiss
from facebank.index.nearest import candidates
from facebank.index.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from facebank.index.nearest import Candidates, Nearest, Part
    from facebank.index.rows import StoredRows
    from facebank.types import FloatArray

_SPARE = 24  # of each part; measured: rarely more are within the codes' error of the last wanted


class CodedEngine:
    """Codes in memory, parted so that all cores can scan, and the vectors in memory or in a mapped file.

    Parameters
    ----------
    dimension
        Length of a vector.
    bits
        How many bits a number of a code has, 8 or 16.
    part_size
        The most vectors in a part.
    stored
        Vectors to begin with.
    parts
        Their codes.

    Raises
    ------
    MissingDependencyError
        If FAISS is not installed.
    """

    def __init__(
        self,
        dimension: int,
        *,
        bits: int = 8,
        part_size: int = PART_SIZE,
        stored: StoredRows | None = None,
        parts: Sequence[CodedPart] = (),
    ) -> None:
        load_faiss()
        self._bits = bits
        self._part_size = part_size
        self._rows: Rows | None = Rows(dimension, stored)
        self._parts = list(parts)
        self._finished = len(self._parts)  # parts that nothing is added to

    def add(self, ids: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors."""
        if not len(ids):
            return
        rows = self._open_rows()
        rows.add(ids, vectors)
        if len(self._parts) > self._finished and self._parts[-1].count < self._part_size:
            ids = np.concatenate([self._parts.pop().ids, ids])
        for start in range(0, len(ids), self._part_size):
            of_part = ids[start : start + self._part_size]
            self._parts.append(CodedPart.of(of_part, rows.of(of_part), self._bits))

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors."""
        self._open_rows().remove(ids)
        for part in self._parts:
            gone = np.isin(part.ids, ids)
            if gone.any():
                part.remove(gone)
        self._finished -= sum(not part.count for part in self._parts[: self._finished])
        self._parts = [part for part in self._parts if part.count]

    def candidates(self, queries: FloatArray, limit: int) -> Iterator[Candidates]:
        """Yield vectors."""
        self._open_rows()
        return candidates(self._parts, queries, limit, self.vectors, spare=_SPARE, run=_at_once)

    def vectors(self, ids: NDArray[np.int64]) -> FloatArray:
        """Return vectors."""
        return self._open_rows().of(ids)

    def close(self) -> None:
        """Let go of the file; nothing can be asked afterwards."""
        if self._rows is not None:
            self._rows.close()
        self._rows, self._parts, self._finished = None, [], 0

    def _open_rows(self) -> Rows:
        if self._rows is None:
            raise UsageError("This index was closed when its gallery changed: ask the gallery for its index anew.")
        return self._rows


def _at_once(search: Callable[[Part], Nearest], parts: Sequence[Part]) -> Iterable[Nearest]:
    """Search parts with as many threads as FAISS is set to use."""
    faiss = load_faiss()
    threads = min(faiss.omp_get_max_threads(), len(parts))
    if threads <= 1:
        return [search(part) for part in parts]
    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(search, parts))
