"""People's names as one UTF-8 text, as stored in the file of an index."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery.name_table import NamesInOrder, NameTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray


class EncodedNames(NamesInOrder):
    """Names in memory, by person id.

    Parameters
    ----------
    person_ids
        The person ids, ascending: ``int64`` of shape ``(P,)``.
    text
        All names in UTF-8, in that order.
    ends
        The first byte of each name, and the end: ``int64`` of shape ``(P + 1,)``.
    """

    def __init__(self, person_ids: NDArray[np.int64], text: bytes, ends: NDArray[np.int64]) -> None:
        self.person_ids = person_ids
        self.text = text
        self.ends = ends

    @classmethod
    def of(cls, names: Mapping[int, str], person_ids: NDArray[np.int64]) -> EncodedNames:
        """Return the names of the given person ids, which are ascending."""
        if isinstance(names, NameTable):
            names = cls(*names.encode())
        if isinstance(names, EncodedNames):
            if np.array_equal(names.person_ids, person_ids):
                return names
            texts = names.names()
            mask = np.isin(names.person_ids, person_ids).tolist()
            encoded = [text.encode() for text, is_wanted in zip(texts, mask, strict=True) if is_wanted]
        else:
            encoded = [names[person_id].encode() for person_id in person_ids.tolist()]
        return cls(person_ids, b"".join(encoded), np.cumsum([0, *map(len, encoded)]))

    def __getitem__(self, person_id: int) -> str:
        position = int(self.person_ids.searchsorted(person_id))
        if position == len(self.person_ids) or self.person_ids[position] != person_id:
            raise KeyError(person_id)
        return self.text[self.ends[position] : self.ends[position + 1]].decode()

    def __iter__(self) -> Iterator[int]:
        return iter(self.person_ids.tolist())

    def __len__(self) -> int:
        return len(self.person_ids)

    def names(self) -> Iterator[str]:
        """Return the names in the order of the person ids."""
        return (self.text[start:end].decode() for start, end in itertools.pairwise(self.ends.tolist()))
