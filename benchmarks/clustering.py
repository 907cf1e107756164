"""Quality and cost of clustering unlabeled faces by person.

    python -m benchmarks.clustering ../shared/data --out benchmarks/reports/clustering

Uses the central faces of all photos of LFW, most of whose people have one photo. The two thresholds were chosen on the
development people (``peopleDevTrain.txt``). Results are reported for these, for the other people, and for all together;
a face without a group counts as a group of one.

BCubed (A. Bagga, B. Baldwin, 1998; E. Amigo et al., 2009): for each face, the fraction of its group that shows its
person (precision) and the fraction of its person that is in its group (recall), averaged over faces, and over the means
of people. To measure the cost beyond the size of LFW, rotated copies of its embeddings serve as further people with the
same similarities.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, LfwFaces, lfw_faces, read_people
from facebank.album.groups.clustering import ClusteringThresholds, FaceTable, cluster, clustering_thresholds
from facebank.packs import load_pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
GRID = ((0.52, 0.52), (0.56, 0.50), (0.56, 0.52), (0.58, 0.52), (0.60, 0.50), (0.60, 0.52), (0.62, 0.52), (0.62, 0.54))


@dataclass(frozen=True, slots=True)
class ClusteringQuality:
    """Counts, BCubed figures (each 0..1) and seconds of a clustering."""

    faces: int
    people: int
    groups: int  # including groups of one face
    precision: float
    recall: float
    precision_over_people: float
    recall_over_people: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ClusteringCost:
    """Seconds of clustering a number of faces, and the number of groups."""

    faces: int
    groups: int
    seconds: float


def measure_quality(faces: LfwFaces, thresholds: ClusteringThresholds) -> ClusteringQuality:
    """Cluster faces and return the quality of the groups."""
    started = time.perf_counter()
    groups = cluster(_table(faces.embeddings, faces.qualities), thresholds)
    seconds = time.perf_counter() - started
    people = faces.people
    counts = np.zeros((groups.max() + 1, people.max() + 1), dtype=np.int32)
    np.add.at(counts, (groups, people), 1)
    shared = counts[groups, people]
    precision = shared / counts.sum(axis=1)[groups]
    recall = shared / counts.sum(axis=0)[people]
    photos = np.bincount(people)
    means = [float((np.bincount(people, values) / photos).mean()) for values in (precision, recall)]
    return ClusteringQuality(
        faces=len(people),
        people=len(photos),
        groups=int(groups.max()) + 1,
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        precision_over_people=means[0],
        recall_over_people=means[1],
        seconds=seconds,
    )


def measure_cost(faces: LfwFaces, thresholds: ClusteringThresholds, count: int) -> ClusteringCost:
    """Cluster `count` faces: LFW's, with rotated copies of them if LFW has fewer."""
    random = np.random.default_rng(count)
    copies = [faces.embeddings]
    while sum(map(len, copies)) < count:
        rotation, _ = np.linalg.qr(random.normal(size=(faces.embeddings.shape[1],) * 2))
        copies.append(np.asarray(faces.embeddings @ rotation, dtype=np.float32))
    embeddings = np.concatenate(copies)[random.permutation(sum(map(len, copies)))[:count]]
    started = time.perf_counter()
    groups = cluster(_table(embeddings, np.ones(count, dtype=np.float32)), thresholds)
    return ClusteringCost(count, int(groups.max()) + 1, time.perf_counter() - started)


def _table(embeddings: FloatArray, qualities: FloatArray) -> FaceTable:
    no_pairs: NDArray[np.int64] = np.zeros((0, 2), dtype=np.int64)
    return FaceTable(embeddings, np.arange(len(embeddings)), qualities, no_pairs)


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack()
    faces = lfw_faces(arguments.data, pack)
    faces = faces.where(faces.has_face)
    development = read_people(arguments.data, DEVELOPMENT)
    other_people = frozenset(faces.names) - development
    chosen = clustering_thresholds(pack.manifest.thresholds)
    report = {
        "thresholds": asdict(chosen),
        "tried_on_development_people": [
            {**asdict(candidate), **asdict(measure_quality(faces.select_people(development), candidate))}
            for candidate in (ClusteringThresholds(*pair) for pair in GRID)
        ],
        "other_people": asdict(measure_quality(faces.select_people(other_people), chosen)),
        "everybody": asdict(measure_quality(faces, chosen)),
        "cost": [asdict(measure_cost(faces, chosen, count)) for count in SIZES],
    }
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
