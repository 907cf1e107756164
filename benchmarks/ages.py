"""Effect of weighting samples of similar age for people enrolled with photos of different ages.

    python -m benchmarks.ages ../shared/data/hard/ages.npz

Uses people with faces both as children or young people and as adults. Each young face is searched for among all people
of its half, enrolled with all their other faces, of which young ones have a weight of one, two, four, or infinity. A
weight would be chosen on people with even numbers and reported on the others. Prints the fraction of probes whose own
person is most similar, and FNMR at an FMR of 1 % against other people's prototypes; differences from equal weights have
95 % intervals over people.

The faces have only two age classes and no dates, so a benefit would still have to be confirmed for finer ages.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.resampling import bootstrap_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

WEIGHTS = (1.0, 2.0, 4.0, np.inf)
FMR = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class AgedFaces:
    """Faces of people at two ages, by row."""

    embeddings: FloatArray  # of shape ``(N, D)``
    people: NDArray[np.int64]  # number of each face's person, of shape ``(N,)``
    young: NDArray[np.bool_]  # whether the face is of a child or young person, of shape ``(N,)``
    qualities: FloatArray  # of shape ``(N,)``

    def where(self, chosen: NDArray[np.bool_]) -> AgedFaces:
        """Return the faces at which the mask `chosen` is true."""
        return AgedFaces(self.embeddings[chosen], self.people[chosen], self.young[chosen], self.qualities[chosen])


def read_faces(path: Path) -> AgedFaces:
    """Read the faces of people with at least two young faces and one adult face."""
    with np.load(path, allow_pickle=False) as data:
        faces = AgedFaces(
            data["embedding"], data["person"].astype(np.int64), data["young"], data["quality"].astype(np.float32)
        )
    people = [
        person
        for person in np.unique(faces.people)
        if faces.young[faces.people == person].sum() >= 2 and not faces.young[faces.people == person].all()
    ]
    return faces.where(np.isin(faces.people, people))


def prototype(faces: AgedFaces, rows: NDArray[np.bool_], weight: float) -> FloatArray:
    """Return the normalized quality-weighted mean of the faces at some rows, ``float32`` of shape ``(D,)``.

    Parameters
    ----------
    faces
        All faces.
    rows
        Mask of the faces to use, of shape ``(N,)``.
    weight
        Additional weight of young faces; infinity excludes all others.
    """
    selected = rows & faces.young if np.isinf(weight) else rows
    age_weights = np.where(faces.young, 1.0 if np.isinf(weight) else weight, 1.0)
    mean = (faces.qualities * age_weights * selected) @ faces.embeddings
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def search(faces: AgedFaces, weight: float) -> tuple[NDArray[np.int64], FloatArray]:
    """Search for each young face among all people, enrolled with their other faces.

    Returns
    -------
    NDArray[np.int64]
        Index of the person of each of the N young faces, ``(N,)``.
    FloatArray
        Similarities with the prototypes of all P people, ``(N, P)``.
    """
    people = np.unique(faces.people)
    prototypes = np.stack([prototype(faces, faces.people == person, weight) for person in people])
    person_indices, rows = [], []
    for row in np.flatnonzero(faces.young):
        column = int(np.searchsorted(people, faces.people[row]))
        enrolled = faces.people == faces.people[row]
        enrolled[row] = False
        similarities = prototypes @ faces.embeddings[row]
        similarities[column] = prototype(faces, enrolled, weight) @ faces.embeddings[row]
        person_indices.append(column)
        rows.append(similarities)
    return np.array(person_indices), np.stack(rows).astype(np.float32)


def evaluate_weight(
    person_indices: NDArray[np.int64], similarities: FloatArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each of N probes, as 0 or 1, whether its person is the most similar, and whether `FMR` misses it."""
    own = similarities[np.arange(len(person_indices)), person_indices]
    others = np.ones(similarities.shape, dtype=bool)
    others[np.arange(len(person_indices)), person_indices] = False
    threshold = np.quantile(similarities[others], 1 - FMR)
    return (similarities.argmax(axis=1) == person_indices).astype(float), (own < threshold).astype(float)


def report(label: str, faces: AgedFaces) -> None:
    """Print the results of each weight."""
    print(f"{label}: {len(np.unique(faces.people))} people, {int(faces.young.sum())} young faces searched")
    baseline = evaluate_weight(*search(faces, WEIGHTS[0]))
    for weight in WEIGHTS:
        person_indices, similarities = search(faces, weight)
        cells = []
        results = evaluate_weight(person_indices, similarities)
        for metric, values, equal in zip(("first", "FNMR"), results, baseline, strict=True):
            low, high = bootstrap_interval(values - equal, person_indices)
            cells.append(f"{metric} {values.mean():6.1%} ({low:+.1%} to {high:+.1%})")
        genuine = similarities[np.arange(len(person_indices)), person_indices].mean()
        weighting = "young only" if np.isinf(weight) else f"young x {weight:g}"
        print(f"  {weighting:<11}{'  '.join(cells)}  own similarity {genuine:.3f}")


def main() -> None:
    """Print the fractions and error rates for each weight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, help="path of ages.npz")
    faces = read_faces(parser.parse_args().faces)
    report("development", faces.where(faces.people % 2 == 0))
    report("reporting", faces.where(faces.people % 2 == 1))


if __name__ == "__main__":
    main()
