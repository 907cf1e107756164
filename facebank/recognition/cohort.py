"""Correction of scores by the album's other people (the cohort), and the file of the last scan's people.

Children, relatives and people of one ethnic group look alike to an embedder, so a threshold measured on other people
names strangers. The mean similarity of a face, and of a person, to the *other* people is subtracted from their
similarity, scaled by ``n / (n + shrinkage)`` for n others: a symmetric mean normalization as in speaker recognition;
dividing by the spread did not help (docs/decisions.md). It is linear in the face, with one offset per person, and zero
if no other people are known.

The file is readable by its owner only, and is wiped with the other derived files when a person is forgotten
(`facebank.gallery.derived`). Format: a magic, the SHA-256 of the pack's digest and of the embeddings, and the
embeddings as little-endian ``float32``.
"""

from __future__ import annotations

import hashlib
import logging
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery.derived import cohort_file
from facebank.index.exact import products
from facebank.storage.files import write_file
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.index.people_index import PeopleIndex
    from facebank.types import FloatArray

SAME_PERSON = 0.5  # similarity from which another person of the album counts as an enrolled one
MAYBE_SAME_PERSON = 0.35  # similarity from which the two are not compared: perhaps one person in poor photos


@dataclass(frozen=True, slots=True)
class Correction:
    """The amount by which the album's similarities are corrected."""

    share: float = 0.0  # fraction of either side's mean similarity to the other people that is subtracted, 0..1
    # fraction of the mean similarity among the album's people that is added back, 0..1. A `share` of ``(1 + level)
    # / 2`` fully removes the similarity common to a group of people, a smaller one less
    level: float = 0.0
    shrinkage: float = 5.0  # number of other people at which half of the correction applies

    def weight(self, others: NDArray[np.int64] | NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the weight of the correction for a number of other people, 0..1."""
        count = np.asarray(others, dtype=np.float64)
        return np.asarray(count / (count + self.shrinkage))


NO_CORRECTION = Correction()  # for calibrations of the first format


class Cohort:
    """The other people of an album, relative to each enrolled person.

    Parameters
    ----------
    people
        The enrolled people.
    further
        One mean embedding for each person who is not enrolled, ``(G, D)``, as `exclude_enrolled` returns them. One
        who is `MAYBE_SAME_PERSON` as an enrolled person does not count for that one.
    correction
        The amount of the correction.

    Attributes
    ----------
    further, others
        Number of people who are not enrolled, and of others for each enrolled person.
    common
        The shrunken mean similarity of two people of the album: 0 if no other people are known.
    """

    def __init__(self, people: PeopleIndex, further: FloatArray | None, correction: Correction) -> None:
        other_prototypes = np.empty((0, people.dimension), np.float32) if further is None else further
        self.further = len(other_prototypes)
        total = len(people.people) + self.further
        self.others = total - 1
        self._people = people
        self._further_sum = other_prototypes.sum(axis=0, dtype=np.float64)
        self._sum = people.total + self._further_sum
        density = max(float(self._sum @ self._sum - total) / max(total * self.others, 1), 0.0)
        self.common = float(correction.weight(self.others)) * density
        self._similar_groups, self._similar_sums, self._similar_counts = _similar_groups(people, other_prototypes)
        self._correction, self._density = correction, density

    @property
    def spread(self) -> float:
        """Largest difference between the corrections of two people's scores."""
        lowest, highest = self._people.commonness
        share, _ = self._shares(np.array([self.others]))
        return float(share[0]) * (highest - lowest + 2.0)

    def queries(self, probes: FloatArray) -> NDArray[np.float64] | None:
        """Return points ``(M, D)`` whose products with the prototypes rank as corrected similarities.

        Exact up to `1 / others`; None if the correction is not the same for all people.
        """
        if len(self._similar_groups):
            return None
        share, _ = self._shares(np.array([self.others]))
        return np.asarray((1.0 + share) * probes.astype(np.float64) - share * self._sum)

    def correct_scores(
        self, scores: FloatArray, similarities: FloatArray, probes: FloatArray, positions: NDArray[np.int64]
    ) -> FloatArray:
        """Return corrected scores, ``float32`` of shape ``(M, K)``.

        Parameters
        ----------
        scores, similarities
            Scores of M probes and K people, and cosines with the people's prototypes, ``(M, K)``.
        probes
            L2-normalized embeddings, ``float32`` of shape ``(M, D)``.
        positions
            Places of the people, ``(K,)``.
        """
        if not self._correction.share:
            return scores
        others = np.full(len(positions), self.others, dtype=np.int64)
        totals = products(self._sum, probes)[:, None] - similarities.astype(np.float64)
        common = self._people.common_with_others(positions)
        if self.further:
            prototypes = self._people.prototypes_of(positions)
            common += products(self._further_sum, prototypes)
            is_similar = np.isin(positions, self._similar_groups)
            indices = np.searchsorted(self._similar_groups, positions[is_similar])
            sums = self._similar_sums[indices]
            others[is_similar] -= self._similar_counts[indices]
            totals[:, is_similar] -= np.einsum("ad,md->ma", sums, probes.astype(np.float64))
            common[is_similar] -= np.einsum("ad,ad->a", prototypes[is_similar].astype(np.float64), sums)
        share, level = self._shares(others)
        return np.asarray(scores - share * totals + (level - share * common), dtype=np.float32)

    def _shares(self, others: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the subtracted and added fractions for each number of other people."""
        weights = self._correction.weight(others)
        share = self._correction.share * weights / np.maximum(others, 1)
        return share, self._correction.level * weights * self._density


def _similar_groups(
    people: PeopleIndex, groups: FloatArray
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the positions of enrolled people who resemble further ones, the sums of those, and their numbers."""
    if not len(groups):
        return np.empty(0, np.int64), np.empty((0, people.dimension)), np.empty(0, np.int64)
    is_similar = people.prototypes @ groups.T >= MAYBE_SAME_PERSON
    positions = np.flatnonzero(is_similar.any(axis=1)).astype(np.int64)
    similar = is_similar[positions]
    return positions, similar.astype(np.float64) @ groups.astype(np.float64), similar.sum(axis=1)


def exclude_enrolled(further: FloatArray, people: PeopleIndex) -> FloatArray:
    """Return the rows of `further`, ``(G, D)``, that are `SAME_PERSON` as none of the enrolled."""
    near = people.nearest_people.within(further.astype(np.float64), SAME_PERSON)
    is_other = [
        not len(positions) or people.similarities(probe, positions).max() < SAME_PERSON
        for probe, positions in zip(further, near, strict=True)
    ]
    return further[np.array(is_other, dtype=np.bool_)]


MAX_PEOPLE = 1000  # people in the file: those with most faces
_MAGIC = b"FBNKAP01"
_DIGEST_SIZE = 32
_HEADER_SIZE = len(_MAGIC) + 2 * _DIGEST_SIZE
_ADVICE = "free some space, or set FACEBANK_CACHE to a folder that can be written"

_warned: set[tuple[Path, int]] = set()


def write_album_people(gallery: Path, pack_digest: str, people: FloatArray) -> None:
    """Write the mean embeddings, ``float32`` of shape ``(G, D)``, of the people of a gallery's scan.

    The first `MAX_PEOPLE` are kept. Raises `StorageError` if the file cannot be written.
    """
    data = np.ascontiguousarray(people[:MAX_PEOPLE], dtype="<f4").tobytes()
    header = _MAGIC + _pack_hash(pack_digest) + hashlib.sha256(data).digest()
    write_file(cohort_file(gallery), header + data, advice=_ADVICE)


def album_version(gallery: Path) -> int:
    """Return a number that changes with the file; 0 if there is none."""
    try:
        return cohort_file(gallery).stat().st_mtime_ns
    except OSError:
        return 0


def read_album_people(gallery: Path, pack_digest: str, dimension: int) -> FloatArray | None:
    """Return the embeddings of `write_album_people`, ``(G, dimension)``; None if there is no usable file."""
    try:
        return _read(cohort_file(gallery), pack_digest, dimension)
    except InvalidValueError:
        return None


def album_people_problem(gallery: Path, pack_digest: str, dimension: int) -> str | None:
    """Return a sentence on why the file cannot be used and what to do; None if it can be used."""
    path = cohort_file(gallery)
    try:
        _read(path, pack_digest, dimension)
    except InvalidValueError as error:
        return (
            f"{printable(str(path))} {error}: until 'facebank scan' recreates it, decisions do not account for the "
            "people of the scan who are not enrolled"
        )
    return None


def warn_of_unusable_people(gallery: Path, pack_digest: str, dimension: int) -> None:
    """Log `album_people_problem` once for each process and version of the file."""
    version = cohort_file(gallery), album_version(gallery)
    problem = None if version in _warned else album_people_problem(gallery, pack_digest, dimension)
    if problem is not None:
        _warned.add(version)
        logging.getLogger("facebank").warning("%s", problem)


def _read(path: Path, pack_digest: str, dimension: int) -> FloatArray | None:
    """Return the embeddings, None without a file; raises `InvalidValueError` with the reason if it is unusable."""
    max_size = _HEADER_SIZE + MAX_PEOPLE * 4 * dimension
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or not _HEADER_SIZE <= status.st_size <= max_size:
            raise InvalidValueError("is damaged")
        with path.open("rb") as stream:
            content = stream.read(max_size + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidValueError(f"cannot be read ({error.strerror})") from error
    header, data = content[:_HEADER_SIZE], content[_HEADER_SIZE:]
    if header[: len(_MAGIC)] != _MAGIC or header[-_DIGEST_SIZE:] != hashlib.sha256(data).digest():
        raise InvalidValueError("is damaged")
    if header[len(_MAGIC) : -_DIGEST_SIZE] != _pack_hash(pack_digest) or len(data) % (4 * dimension):
        raise InvalidValueError("is damaged, or was made with another pack")
    people: FloatArray = np.frombuffer(data, dtype="<f4").reshape(-1, dimension).astype(np.float32)
    if not np.isfinite(people).all():
        raise InvalidValueError("is damaged")
    return people


def _pack_hash(digest: str) -> bytes:
    return hashlib.sha256(digest.encode()).digest()
