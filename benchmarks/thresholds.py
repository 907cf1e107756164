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

from benchmarks.lfw import DEVELOPMENT, LfwFaces, lfw_faces, read_people
from facebank.packs import Pack, load_pack

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


def development_faces(data: Path, pack: Pack) -> LfwFaces:
    """Return the faces of development people with two or more photos, at most `MAX_PHOTOS` of each."""
    faces = lfw_faces(data, pack).select_people(read_people(data, DEVELOPMENT))
    people = faces.people
    number = np.arange(len(people)) - np.searchsorted(people, people)
    return faces.where((np.bincount(people)[people] > 1) & (number < MAX_PHOTOS) & faces.has_face)


def verification(embeddings: FloatArray, people: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Return the threshold and FNMR at FMRs of 1e-2 to 1e-5, by FMR."""
    pairs = np.triu_indices(len(people), 1)
    similarities = (embeddings @ embeddings.T)[pairs]
    same = people[pairs[0]] == people[pairs[1]]
    photos = np.bincount(people)[people[pairs[0]][same]]
    weights = 1 / (photos * (photos - 1))
    impostors = np.sort(similarities[~same])[::-1]
    figures = {}
    for fmr in (1e-2, 1e-3, 1e-4, 1e-5):
        threshold = float(impostors[int(fmr * len(impostors))])
        fnmr = float(weights[similarities[same] < threshold].sum() / weights.sum())
        figures[f"{fmr:g}"] = {"threshold": threshold, "fnmr": fnmr}
    return figures


def simulate_galleries(
    embeddings: FloatArray, people: NDArray[np.int64], size: int, photos_each: int, margin: float
) -> GalleryFigures:
    """Enroll random people, and search for another photo of each and one photo of every other person."""
    random = np.random.default_rng(20_240_501)
    thresholds = np.array(THRESHOLDS)
    counts = np.bincount(people)
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
    faces = development_faces(arguments.data, pack)
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
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report["verification"], indent=2))
    for figures in galleries:
        rates = ", ".join(
            f"{threshold}: {fpir:.2%} / {fnir:.2%}"
            for threshold, fpir, fnir in zip(THRESHOLDS, figures.fpir, figures.fnir, strict=True)
        )
        print(f"{figures.people} people, {figures.photos_each} photos each, threshold: FPIR / FNIR: {rates}")


if __name__ == "__main__":
    main()
