"""Derivation of the embedded pack's thresholds from LFW's development people (``peopleDevTrain.txt``).

    python -m benchmarks.thresholds ../shared/data --out benchmarks/reports/thresholds

Embeds at most six photos of each development person with two or more. Prints the similarity thresholds at several
false match rates (FMR) with the false non-match rate (FNMR, with equal weight per person), and FPIR and FNIR of
simulated galleries at a range of thresholds.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, lfw_faces, read_people
from benchmarks.verification import people_with_pairs, verification
from facebank.errors import DatasetError
from facebank.packs import load_pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

MAX_PHOTOS = 6  # per person
REPETITIONS = 20
THRESHOLDS = (0.28, 0.30, 0.32, 0.34, 0.36, 0.38, 0.40, 0.42, 0.44)


@dataclass(frozen=True, slots=True)
class GalleryFigures:
    """Open-set rates for galleries of one size."""

    people: int
    photos_each: int  # enrolled photos per person
    fpir: list[float]  # 0..1, for each of `THRESHOLDS`
    fnir: list[float]  # 0..1, for each of `THRESHOLDS`


def simulate_galleries(
    embeddings: FloatArray, people: NDArray[np.int64], size: int, photos_each: int, margin: float
) -> GalleryFigures:
    """Return the rates of galleries of `size` random people.

    Searches for another photo of each person, and for one photo of every other person. Raises `DatasetError` if there
    are not enough people with `photos_each` + 1 photos, or no stranger remains.
    """
    random = np.random.default_rng(20_240_501)
    thresholds = np.array(THRESHOLDS)
    counts = np.bincount(people)
    eligible = int((counts > photos_each).sum())
    if eligible < size or len(counts) == size:
        raise DatasetError(
            f"the data has {eligible} people with {photos_each + 1} photos or more, of {len(counts)}, but {size} and a "
            "stranger are needed: use all of LFW"
        )
    fpir, fnir = [], []
    for _ in range(REPETITIONS):
        order = random.permutation(len(counts))
        enrolled = order[counts[order] > photos_each][:size]
        shuffled = {person: random.permutation(np.flatnonzero(people == person)) for person in order}
        samples = np.concatenate([shuffled[person][:photos_each] for person in enrolled])
        probes = np.array([shuffled[person][photos_each] for person in enrolled])
        strangers = np.array([shuffled[person][0] for person in np.setdiff1d(order, enrolled)])
        best, second = _two_best_people(embeddings[strangers] @ embeddings[samples].T, people[samples])
        fpir.append(((best[:, None] >= thresholds) & (best - second >= margin)[:, None]).mean(axis=0))
        similarities = embeddings[probes] @ embeddings[samples].T
        own = people[samples] == people[probes][:, None]
        right = np.where(own, similarities, -1).max(axis=1)
        wrong = np.where(own, -1, similarities).max(axis=1)
        fnir.append(((right[:, None] < thresholds) | (right - wrong < margin)[:, None]).mean(axis=0))
    return GalleryFigures(size, photos_each, np.mean(fpir, axis=0).tolist(), np.mean(fnir, axis=0).tolist())


def _two_best_people(
    similarities: FloatArray, people: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each probe's similarities to the most similar and the second most similar person."""
    by_person = np.stack([similarities[:, people == person].max(axis=1) for person in np.unique(people)], axis=1)
    second, best = np.sort(by_person, axis=1)[:, -2:].T
    return best, second


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    development = lfw_faces(arguments.data, pack).select_people(read_people(arguments.data, DEVELOPMENT))
    faces = people_with_pairs(development, MAX_PHOTOS)
    embeddings, people = faces.embeddings, faces.people
    margin = pack.manifest.thresholds.margin
    galleries = [
        simulate_galleries(embeddings, people, size, photos_each, margin)
        for size in (5, 20, 100, 300)
        for photos_each in (1, 2, 3)
    ]
    report = {
        "people": int(people.max()) + 1,
        "photos": len(people),
        "verification": verification(embeddings, people),
        "margin": margin,
        "thresholds": THRESHOLDS,
        "galleries": [asdict(figures) for figures in galleries],
    }
    write_json_report(arguments.out, report)
    print(json.dumps(report["verification"], indent=2))
    for figures in galleries:
        rates = ", ".join(
            f"{threshold}: {fpir:.2%} / {fnir:.2%}"
            for threshold, fpir, fnir in zip(THRESHOLDS, figures.fpir, figures.fnir, strict=True)
        )
        print(f"{figures.people} people, {figures.photos_each} photos each, threshold: FPIR / FNIR: {rates}")


if __name__ == "__main__":
    main()
