"""The samples that classifiers are fitted to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.index.people_index import PeopleIndex
from facebank.storage.concurrency import computed

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from facebank.types import FloatArray

_LENGTH_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class EnrolledSamples:
    """The enrolled samples of a gallery, in any order.

    Raises
    ------
    UsageError
        There is no sample, the shapes do not match, or a value is not finite, of length 1 or within 0..1.
    """

    embeddings: FloatArray  # L2-normalized, ``float32`` of shape ``(N, D)``; N and D at least 1
    person_ids: NDArray[np.int64]  # the person of each embedding, ``int64`` of shape ``(N,)``
    qualities: FloatArray  # ``float32`` of shape ``(N,)``, 0..1

    def __post_init__(self) -> None:
        object.__setattr__(self, "embeddings", check_embeddings(self.embeddings, "the enrolled embeddings"))
        count = len(self.embeddings)
        if not count:
            raise UsageError("No samples to fit: enroll a person first.")
        person_ids, qualities = np.asarray(self.person_ids), np.asarray(self.qualities)
        if person_ids.shape != (count,) or not np.issubdtype(person_ids.dtype, np.integer):
            raise UsageError(f"Expected {count} integer person ids, one for each embedding.")
        if qualities.shape != (count,) or not np.issubdtype(qualities.dtype, np.number):
            raise UsageError(f"Expected {count} qualities, one for each embedding.")
        if not ((qualities >= 0) & (qualities <= 1)).all():
            raise UsageError("Qualities must be within 0..1.")
        lengths = np.sqrt(np.einsum("ij,ij->i", self.embeddings, self.embeddings))
        if (np.abs(lengths - 1) > _LENGTH_TOLERANCE).any():
            row = int(np.argmax(np.abs(lengths - 1)))
            raise UsageError(f"Embeddings must be of length 1; number {row} is of length {lengths[row]:.3g}.")
        object.__setattr__(self, "person_ids", person_ids.astype(np.int64, copy=False))
        object.__setattr__(self, "qualities", qualities.astype(np.float32, copy=False))

    @classmethod
    def from_index(cls, people: PeopleIndex) -> Self:
        """Return the samples of an index, by person."""
        rows = np.arange(people.count)
        return cls(people.embeddings(), people.person_ids[people.person_indices(rows)], people.qualities(rows))

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.embeddings)

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self.embeddings.shape[1])

    @property
    def distinct_ids(self) -> NDArray[np.int64]:
        """The ids of the people, ascending, ``int64`` of shape ``(P,)``."""
        return self._groups[0]

    @property
    def person_indices(self) -> NDArray[np.int64]:
        """Each sample's index into `distinct_ids`, ``int64`` of shape ``(N,)``."""
        return self._groups[1]

    @computed
    def index(self) -> PeopleIndex:
        """Return the same samples by person, with their prototypes."""
        return PeopleIndex.from_samples(self.embeddings, self.person_ids, self.qualities)

    @computed
    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        ids = self.person_ids
        if (ids[1:] >= ids[:-1]).all():  # usual in a gallery whose people were enrolled one after the other
            first = np.concatenate([[True], ids[1:] != ids[:-1]])
            return ids[first], np.cumsum(first, dtype=np.int64) - 1
        distinct_ids, indices = np.unique(ids, return_inverse=True)
        return distinct_ids, indices.astype(np.int64, copy=False)

    def digest(self) -> str:
        """Return the SHA-256, in hex, of all samples in their order."""
        digest = hashlib.sha256(np.array(self.embeddings.shape, dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(self.embeddings, dtype="<f4").tobytes())
        digest.update(np.ascontiguousarray(self.person_ids, dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(self.qualities, dtype="<f4").tobytes())
        return digest.hexdigest()


def check_embeddings(rows: FloatArray, name: str, dimension: int | None = None) -> FloatArray:
    """Return embeddings as ``float32`` of shape ``(N, D)``.

    Raises `UsageError`, which calls them `name`, unless they are finite real numbers of that shape, with D equal to
    `dimension`, or at least 1 if that is None.
    """
    array = np.asarray(rows)
    columns = dimension if dimension is not None else "D"
    is_valid = array.ndim == 2 and (array.shape[1] == dimension or (dimension is None and array.shape[1] > 0))
    if not is_valid:
        raise UsageError(f"Expected {name} of shape (N, {columns}) but got {array.shape}.")
    if not np.issubdtype(array.dtype, np.number) or np.issubdtype(array.dtype, np.complexfloating):
        raise UsageError(f"Expected {name} to be real numbers but got {array.dtype}.")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} contain numbers that are not finite.")
    return array.astype(np.float32, copy=False)
