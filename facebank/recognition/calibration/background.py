"""Aggregate statistics of faces of people who are not enrolled, without individual embeddings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from facebank.errors import StorageError, UsageError
from facebank.recognition.enrolled import check_embeddings
from facebank.storage.arrays import normalized
from facebank.storage.files import read_reason, write_reason
from facebank.storage.npz import read_arrays, write_arrays
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.types import FloatArray

MIN_BACKGROUND_PEOPLE = 50  # with fewer, people could be recognized in the statistics
_MAX_DIMENSION = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Statistics of many people's embeddings, from which negatives are drawn.

    Raises
    ------
    UsageError
        A value has a wrong shape or is not finite.
    """

    mean: FloatArray  # ``float32`` of shape ``(D,)``
    covariance: FloatArray  # ``float32`` of shape ``(D, D)``: shrunken, symmetric, positive semidefinite
    # the covariance within people; None if too few people had two photos
    within: FloatArray | None = None

    def __post_init__(self) -> None:
        mean = np.asarray(self.mean)
        if mean.ndim != 1 or not 0 < len(mean) <= _MAX_DIMENSION or not np.isfinite(mean).all():
            raise UsageError(f"A background's mean {mean.shape} must be a vector of finite numbers.")
        object.__setattr__(self, "mean", mean.astype(np.float32, copy=False))
        object.__setattr__(self, "covariance", _check_covariance(self.covariance, len(mean)))
        if self.within is not None:
            object.__setattr__(self, "within", _check_covariance(self.within, len(mean)))

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return len(self.mean)

    def digest(self) -> str:
        """Return the SHA-256 of all numbers, in hex."""
        digest = hashlib.sha256()
        for array in (self.mean, self.covariance, self.within):
            if array is not None:
                digest.update(array.astype("<f4").tobytes())
        return digest.hexdigest()

    @classmethod
    def measure(cls, embeddings: FloatArray, identities: NDArray[np.int64]) -> Self:
        """Return statistics of L2-normalized embeddings ``(N, D)`` of people ``(N,)``, equally weighted.

        Raises
        ------
        UsageError
            The shapes do not match, a number is not finite, or there are fewer than `MIN_BACKGROUND_PEOPLE` people.

        Notes
        -----
        The covariance is that of single photos, between and within people, because a stranger comes with one photo. The
        one within people uses those with two photos or more, if there are `MIN_BACKGROUND_PEOPLE` of them. Both are
        shrunken towards a sphere by Oracle Approximating Shrinkage (Chen, Wiesel, Eldar and Hero, "Shrinkage algorithms
        for MMSE covariance estimation", 2010, equation 23).
        """
        embeddings = check_embeddings(embeddings, "the background's embeddings")
        _, person_indices, sizes = np.unique(np.asarray(identities), return_inverse=True, return_counts=True)
        if person_indices.shape != (len(embeddings),):
            raise UsageError(f"Expected {len(embeddings)} identities, one for each embedding.")
        if len(sizes) < MIN_BACKGROUND_PEOPLE:
            raise UsageError(f"A background needs at least {MIN_BACKGROUND_PEOPLE} people, not {len(sizes)}.")
        weights = (1.0 / (len(sizes) * sizes))[person_indices]
        rows = embeddings.astype(np.float64)
        mean = weights @ rows
        covariance = (rows - mean).T @ ((rows - mean) * weights[:, None])
        return cls(
            mean.astype(np.float32),
            _shrink(covariance, len(sizes)).astype(np.float32),
            _covariance_within(rows, person_indices, sizes),
        )

    def draw(self, count: int, seed: int = 0) -> FloatArray:
        """Return L2-normalized embeddings of random people, ``float32`` of shape ``(count, D)``."""
        variances, axes = np.linalg.eigh(self.covariance.astype(np.float64))
        deviations = np.sqrt(np.maximum(variances, 0.0))
        normal = np.random.default_rng(seed).standard_normal((count, self.dimension))
        drawn = self.mean + (normal * deviations) @ axes.T
        return normalized(drawn).astype(np.float32)

    def write(self, path: Path) -> None:
        """Write the background as an npz file; raises `StorageError`."""
        try:
            with path.open("wb") as file:
                arrays = {"mean": self.mean, "covariance": self.covariance, "within": self.within}
                present: dict[str, Any] = {
                    name: array.astype("<f4") for name, array in arrays.items() if array is not None
                }
                write_arrays(file, present)
        except OSError as error:
            raise StorageError(f"cannot write {printable(str(path))}: {write_reason(error)}") from error

    @classmethod
    def read(cls, path: Path, dimension: int) -> Self:
        """Read a background from an untrusted npz file; raises `UsageError` unless it is of this dimension."""
        square = ("<f4", (dimension, dimension))
        expected = {"mean": ("<f4", (dimension,)), "covariance": square}
        try:
            with path.open("rb") as stream:
                try:
                    return cls(**read_arrays(stream, {**expected, "within": square}))
                except InvalidValueError:  # a background of people with one photo each
                    return cls(**read_arrays(stream, expected))
        except OSError as error:
            raise UsageError(f"{printable(str(path))} cannot be read: {read_reason(error)}") from error
        except (ValueError, UsageError) as error:
            raise UsageError(f"{printable(str(path))} is not a background of {dimension} dimensions.") from error


def _check_covariance(covariance: FloatArray, dimension: int) -> FloatArray:
    matrix = np.asarray(covariance)
    if matrix.shape != (dimension, dimension):
        raise UsageError(f"A background's covariance {matrix.shape} does not fit its mean ({dimension},).")
    if not np.isfinite(matrix).all():
        raise UsageError("A background contains numbers that are not finite.")
    variances = np.linalg.eigvalsh(matrix.astype(np.float64))
    if not np.allclose(matrix, matrix.T, atol=1e-5) or variances[0] < -1e-5 * max(variances[-1], 1e-12):
        raise UsageError("A background's covariance must be symmetric, without negative variances.")
    return matrix.astype(np.float32, copy=False)


def _covariance_within(
    rows: NDArray[np.float64], person_indices: NDArray[np.int64], sizes: NDArray[np.int64]
) -> FloatArray | None:
    count = int((sizes > 1).sum())
    if count < MIN_BACKGROUND_PEOPLE:
        return None
    means = np.zeros((len(sizes), rows.shape[1]))
    np.add.at(means, person_indices, rows)
    deviations = rows - (means / sizes[:, None])[person_indices]
    weights = np.where(sizes > 1, 1.0 / (count * np.maximum(sizes - 1, 1)), 0.0)[person_indices]
    return _shrink(deviations.T @ (deviations * weights[:, None]), count).astype(np.float32)


def _shrink(covariance: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    size = len(covariance)
    trace, square = float(np.trace(covariance)), float((covariance**2).sum())
    spread = (count + 1 - 2 / size) * (square - trace**2 / size)
    shrinkage = 1.0 if spread <= 0 else min(1.0, ((1 - 2 / size) * square + trace**2) / spread)
    return (1 - shrinkage) * covariance + shrinkage * trace / size * np.eye(size)
