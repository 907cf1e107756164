"""Contribution of each step of the alignment, on LFW's development people (``peopleDevTrain.txt``).

    python -m benchmarks.alignment ../shared/data --out benchmarks/reports/alignment

The steps are: increasing enlargement of photos before detection, refinement of the landmarks on a crop of each face,
subtraction of the mean embedding, and averaging with the embedding of the mirrored crop. Reports d' for each step (the
distance between the means of genuine and impostor similarities in standard deviations), and FNMR at FMRs of 1/1,000 and
1/10,000. All people have equal weight. ``--every 3`` uses a third of the people.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, central_face, read_people, read_with_progress
from benchmarks.thresholds import MAX_PHOTOS
from benchmarks.verification import separation, verification
from facebank.packs import Pack, load_pack, open_session
from facebank.vision import FaceAnalyzer, FaceFinder, MultiScaleDetector, NetworkEmbedder, build_detector
from facebank.vision.finder import LandmarkRefiner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray


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


def development_paths(data: Path) -> list[Path]:
    """Return the paths of development people's photos, at most `MAX_PHOTOS` of each; omits people with one photo."""
    paths: list[Path] = []
    for name in sorted(read_people(data, DEVELOPMENT)):
        person_paths = sorted((data / "lfw" / name).glob("*.jpg"))[:MAX_PHOTOS]
        paths += person_paths if len(person_paths) > 1 else []
    return paths


def embed(paths: list[Path], analyzer: FaceAnalyzer) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the embeddings of the central faces, ``(N, D)``, and the numbers of their people, ``(N,)``.

    Photos without a face are omitted.
    """
    faces = [
        (face.embedding, path.parent.name)
        for path, analyzed in zip(paths, analyzer.analyze(read_with_progress(paths)), strict=True)
        if (face := central_face(analyzed)) is not None
    ]
    people = np.unique([name for _, name in faces], return_inverse=True)[1]
    return np.stack([embedding for embedding, _ in faces]), people


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--every", type=int, default=1, help="use every n-th person")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    paths = development_paths(arguments.data)
    people_folders = sorted({path.parent for path in paths})[:: arguments.every]
    paths = [path for path in paths if path.parent in people_folders]
    report: dict[str, object] = {"people": len(people_folders), "photos": len(paths)}
    for step, build in STEPS.items():
        embeddings, people = embed(paths, build(load_pack()))
        rates = verification(embeddings, people)
        figures = {"d_prime": separation(embeddings, people), "fnmr": {rate: rates[rate]["fnmr"] for rate in rates}}
        report[step] = figures
        print(f"{step}: {figures}", flush=True)
    write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
