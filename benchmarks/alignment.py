"""Contribution of each step of the alignment, on LFW's development people (``peopleDevTrain.txt``).

    python -m benchmarks.alignment ../shared/data --out benchmarks/reports/alignment

The steps are: increasing enlargement of photos before detection, refinement of the landmarks on a crop of each face,
subtraction of the mean embedding, and averaging with the embedding of the mirrored crop. Reports d' for each step (the
distance between the means of genuine and impostor similarities in standard deviations), and FNMR at FMRs of 1/1,000 and
1/10,000. All people have equal weight. ``--every 3`` uses a third of the people.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lfw import DEVELOPMENT, central_face, read_people
from benchmarks.thresholds import MAX_PHOTOS, verification
from facebank import read_photo
from facebank.packs import Pack, load_pack, open_session
from facebank.vision import FaceAnalyzer, FaceFinder, MultiScaleDetector, NetworkEmbedder, build_detector
from facebank.vision.finder import LandmarkRefiner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import DecodedPhoto, FloatArray


def enlargement_passes(factor: float, side: int) -> list[float]:
    """Return `factor` as the only enlargement, for photos of any size."""
    del side
    return [factor]


def make_analyzer(pack: Pack, enlarge: float, *, refine: bool, center: bool, flip: bool) -> FaceAnalyzer:
    """Return an analyzer of the pack with the given steps."""
    detector = build_detector(pack)
    refiner = LandmarkRefiner(detector) if refine else None
    multiscale = MultiScaleDetector(detector, partial(enlargement_passes, enlarge))
    finder = FaceFinder(multiscale, refiner, pack.manifest.detector.upright_score)
    shipped = pack.manifest.embedder
    spec = replace(shipped, center=shipped.center if center else (), flip=flip)
    return FaceAnalyzer(finder, NetworkEmbedder(open_session(pack.embedder_path()), spec))


STEPS: dict[str, Callable[[Pack], FaceAnalyzer]] = {
    "landmarks at the photo's own size": partial(make_analyzer, enlarge=1.0, refine=False, center=False, flip=False),
    "photo enlarged 1.6 times": partial(make_analyzer, enlarge=1.6, refine=False, center=False, flip=False),
    "photo enlarged 2 times": partial(make_analyzer, enlarge=2.0, refine=False, center=False, flip=False),
    "and landmarks refined": partial(make_analyzer, enlarge=2.0, refine=True, center=False, flip=False),
    "and centred (as shipped)": partial(make_analyzer, enlarge=2.0, refine=True, center=True, flip=False),
    "and flip averaged": partial(make_analyzer, enlarge=2.0, refine=True, center=True, flip=True),
}


def development_photos(data: Path) -> list[Path]:
    """Return the photos of development people with two or more photos, at most `MAX_PHOTOS` of each."""
    paths: list[Path] = []
    for name in sorted(read_people(data, DEVELOPMENT)):
        person_paths = sorted((data / "lfw" / name).glob("*.jpg"))[:MAX_PHOTOS]
        paths += person_paths if len(person_paths) > 1 else []
    return paths


def embed(paths: list[Path], analyzer: FaceAnalyzer) -> tuple[FloatArray, NDArray[np.int64]]:
    """Embed the central face of each photo; photos without a face are omitted."""

    def decode() -> Iterator[DecodedPhoto]:
        for i, path in enumerate(paths):
            if i % 500 == 0:
                print(f"{i} of {len(paths)} photos", file=sys.stderr, flush=True)
            yield read_photo(path)

    faces = [
        (face.embedding, path.parent.name)
        for path, analyzed in zip(paths, analyzer.analyze(decode()), strict=True)
        if (face := central_face(analyzed)) is not None
    ]
    people = np.unique([name for _, name in faces], return_inverse=True)[1]
    return np.stack([embedding for embedding, _ in faces]), people


def separation(embeddings: FloatArray, people: NDArray[np.int64]) -> float:
    """Return d' of genuine and impostor similarities."""
    upper = np.triu_indices(len(people), 1)
    similarities = (embeddings @ embeddings.T)[upper]
    same = people[upper[0]] == people[upper[1]]
    photos = np.bincount(people)[people[upper[0]][same]]
    weights = 1 / (photos * (photos - 1))
    mean = np.average(similarities[same], weights=weights)
    variance = np.average((similarities[same] - mean) ** 2, weights=weights)
    impostors = similarities[~same]
    return float((mean - impostors.mean()) / np.sqrt((variance + impostors.var()) / 2))


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--every", type=int, default=1, help="use every n-th person")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    paths = development_photos(arguments.data)
    people_folders = sorted({path.parent for path in paths})[:: arguments.every]
    paths = [path for path in paths if path.parent in people_folders]
    report: dict[str, object] = {"people": len(people_folders), "photos": len(paths)}
    for step, build in STEPS.items():
        embeddings, people = embed(paths, build(load_pack()))
        rates = verification(embeddings, people)
        figures = {"d_prime": separation(embeddings, people), "fnmr": {rate: rates[rate]["fnmr"] for rate in rates}}
        report[step] = figures
        print(f"{step}: {figures}", flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
