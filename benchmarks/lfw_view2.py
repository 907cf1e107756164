"""LFW View 2 end to end: 250 x 250 photos, ten folds of 600 pairs, failed detections counted as errors.

    python -m benchmarks.lfw_view2 ../shared/data --out benchmarks/reports/lfw_view2

In the protocol of G. B. Huang et al., "Labeled Faces in the Wild", UMass 07-49, 2007, each fold uses the best threshold
of the other nine; the result is the mean accuracy over the folds with its standard error. The face nearest to the
center of a photo is compared. A pair in which a face was not found counts as an error.

``--landmarks detector`` and ``--flip`` measure the effect of single steps. No part of facebank was tuned on these pairs
(see ``thresholds.py``).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import central_face, read_with_progress
from facebank.packs import Pack, load_pack
from facebank.vision import FaceAnalyzer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import AnalyzedPhoto, FloatArray

FOLDS = 10
# As in the reference evaluations of FaceNet and InsightFace: squared distances of 0 to 4 in steps of 0.01.
THRESHOLDS = 1 - np.arange(0, 4, 0.01) / 2


@dataclass(frozen=True, slots=True)
class ViewPairs:
    """Pairs of the protocol, in order of folds.

    Attributes
    ----------
    first, second
        Paths of the photos, relative to LFW's folder.
    same
        Whether both show one person.
    """

    first: list[str]
    second: list[str]
    same: NDArray[np.bool_]


def read_pairs(path: Path) -> ViewPairs:
    """Read ``pairs.txt`` of View 2."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    folds, pairs_per_class = (int(field) for field in header.split())
    if (folds, len(lines)) != (FOLDS, 2 * folds * pairs_per_class):
        sys.exit(f"{path} has {folds} folds and {len(lines)} pairs; replace it by the pairs.txt of LFW's View 2.")
    rows = [line.split("\t") for line in lines]
    return ViewPairs(
        first=[photo_path(row[0], row[1]) for row in rows],
        second=[photo_path(row[0], row[2]) if len(row) == 3 else photo_path(row[2], row[3]) for row in rows],
        same=np.array([len(row) == 3 for row in rows]),
    )


def photo_path(person: str, number: str) -> str:
    """Return the path of a photo, relative to LFW's folder."""
    return f"{person}/{person}_{int(number):04d}.jpg"


def central_embedding(analyzed: AnalyzedPhoto) -> FloatArray | None:
    """Return the embedding of the face nearest to the center, None without a face."""
    face = central_face(analyzed)
    return None if face is None else face.embedding


def embed(analyzer: FaceAnalyzer, folder: Path, paths: Iterable[str]) -> dict[str, FloatArray | None]:
    """Return the embedding of the central face by path, None without a face; prints progress to standard error."""
    paths = list(dict.fromkeys(paths))
    results = analyzer.analyze(read_with_progress([folder / path for path in paths]))
    return {path: central_embedding(analyzed) for path, analyzed in zip(paths, results, strict=True)}


def similarities(pairs: ViewPairs, embeddings: dict[str, FloatArray | None]) -> NDArray[np.float64]:
    """Return the similarities of the N pairs, of shape ``(N,)``; NaN if a face is missing."""
    values = np.full(len(pairs.same), np.nan)
    for index, paths in enumerate(zip(pairs.first, pairs.second, strict=True)):
        first, second = (embeddings[path] for path in paths)
        if first is not None and second is not None:
            values[index] = float(first @ second)
    return values


def fold_accuracies(values: NDArray[np.float64], same: NDArray[np.bool_]) -> tuple[NDArray[np.float64], list[float]]:
    """Return the accuracy of each fold, of shape ``(FOLDS,)``, and the best threshold of the other folds."""
    failed = np.isnan(values)
    right = ((values[:, None] > THRESHOLDS) == same[:, None]) & ~failed[:, None]
    folds = right.reshape(FOLDS, -1, len(THRESHOLDS))
    accuracies, thresholds = [], []
    for fold in range(FOLDS):
        chosen = int(np.delete(folds, fold, axis=0).mean(axis=(0, 1)).argmax())
        accuracies.append(folds[fold, :, chosen].mean())
        thresholds.append(float(THRESHOLDS[chosen]))
    return np.array(accuracies), thresholds


def build_analyzer(pack: Pack, landmarks: str, *, flip: bool) -> FaceAnalyzer:
    """Return an analyzer of the pack with the given landmarks and flip averaging."""
    manifest = pack.manifest
    detector = replace(manifest.detector, refine=landmarks == "refined")
    embedder = replace(manifest.embedder, flip=flip)
    return FaceAnalyzer.from_pack(replace(pack, manifest=replace(manifest, detector=detector, embedder=embedder)))


def main() -> None:
    """Run the protocol and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/pairs.txt")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument(
        "--landmarks",
        choices=["refined", "detector"],
        default="refined",
        help="landmarks for the alignment (default refined)",
    )
    parser.add_argument("--flip", action="store_true", help="average each embedding with the mirror image's")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()

    pairs = read_pairs(arguments.data / "lfw-meta" / "pairs.txt")
    pack = load_pack(arguments.pack)
    started = time.perf_counter()
    analyzer = build_analyzer(pack, arguments.landmarks, flip=arguments.flip)
    embeddings = embed(analyzer, arguments.data / "lfw", pairs.first + pairs.second)
    seconds = time.perf_counter() - started
    values = similarities(pairs, embeddings)
    accuracies, thresholds = fold_accuracies(values, pairs.same)
    report = {
        "protocol": "LFW View 2, unrestricted with labeled outside data",
        "pack": pack.name,
        "pack_digest": pack.digest,
        "landmarks": arguments.landmarks,
        "flip": arguments.flip,
        "photos": len(embeddings),
        "failed_detections": sorted(path for path, embedding in embeddings.items() if embedding is None),
        "accuracy": float(accuracies.mean()),
        "standard_error": float(accuracies.std(ddof=1) / np.sqrt(FOLDS)),
        "folds": accuracies.tolist(),
        "thresholds": thresholds,
        "seconds": round(seconds, 1),
    }
    write_json_report(arguments.out, report)
    print(f"accuracy {report['accuracy']:.4%} +- {report['standard_error']:.4%}, {len(embeddings)} photos")


if __name__ == "__main__":
    main()
