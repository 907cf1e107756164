"""Compact tables of people's names by person id."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import ItemsView, Mapping
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

NAMES_PER_BLOCK = 500
"""Number of names in one block of a `NameTable`."""


class NamesInOrder(Mapping[int, str]):
    """Names by person id, with a bulk access that is faster than one by one."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Return the names in the order of the person ids."""

    def items(self) -> ItemsView[int, str]:
        """Return person ids and names."""
        return _NameItems(self)


class NameTable(NamesInOrder):
    """Compact mapping of person ids to names.

    Parameters
    ----------
    person_ids
        The person ids, ascending: ``int64`` of shape ``(P,)``.
    names
        Their normalized names, in that order, in blocks of `NAMES_PER_BLOCK`.
    """

    def __init__(self, person_ids: NDArray[np.int64], names: Iterable[Sequence[str]]) -> None:
        self._person_ids = person_ids
        self._blocks = ["\n".join(block) for block in names]  # names contain no line breaks

    def __getitem__(self, person_id: int) -> str:
        index = int(self._person_ids.searchsorted(person_id))
        if index == len(self._person_ids) or self._person_ids[index] != person_id:
            raise KeyError(person_id)
        return self._blocks[index // NAMES_PER_BLOCK].split("\n")[index % NAMES_PER_BLOCK]

    def __iter__(self) -> Iterator[int]:
        return iter(self._person_ids.tolist())

    def __len__(self) -> int:
        return len(self._person_ids)

    def names(self) -> Iterator[str]:
        """Return the names in the order of the person ids."""
        return chain.from_iterable(block.split("\n") for block in self._blocks)

    def encode(self) -> tuple[NDArray[np.int64], bytes, NDArray[np.int64]]:
        """Return the person ids, the names in UTF-8 one after another, and their offsets, ``int64 (P + 1,)``."""
        text = "\n".join(self._blocks).encode()
        lines = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
        ends = np.append(lines, len(text)) if len(self) else np.empty(0, np.int64)
        return self._person_ids, text.replace(b"\n", b""), np.concatenate([[0], ends - np.arange(len(ends))])


class _NameItems(ItemsView[int, str]):
    """Items view of `NamesInOrder` that uses its bulk access."""

    _mapping: NamesInOrder

    def __init__(self, names: NamesInOrder) -> None:
        super().__init__(names)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return zip(self._mapping, self._mapping.names(), strict=True)
