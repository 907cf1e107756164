"""Quality and cost of clustering unlabeled faces by person.

    python -m benchmarks.clustering ../shared/data --out benchmarks/reports/clustering

Uses the central faces of all photos of LFW, most of whose people have one photo. The two thresholds were chosen on the
development people (``peopleDevTrain.txt``). Results are reported for these, for the other people, and for all together;
a face without a group counts as a group of one.

BCubed (A. Bagga, B. Baldwin, 1998; E. Amigo et al., 2009): for each face, the fraction of its group that shows its
person (precision) and the fraction of its person that is in its group (recall), averaged over faces, and over people of
their own means. To measure the cost beyond the size of LFW, rotated copies of its embeddings serve as further people
with the same similarities.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lfw import DEVELOPMENT, LfwFaces, lfw_faces, people_listed
from facebank.album.groups.clustering import ClusteringThresholds, FaceTable, cluster, clustering_thresholds
from facebank.packs import load_pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
TRIED = ((0.52, 0.52), (0.56, 0.50), (0.56, 0.52), (0.58, 0.52), (0.60, 0.50), (0.60, 0.52), (0.62, 0.52), (0.62, 0.54))


@dataclass(frozen=True, slots=True)
class Quality:
    """BCubed figures of a clustering, each 0..1."""

    faces: int
    people: int
    groups: int
    precision: float
    recall: float
    precision_over_people: float
    recall_over_people: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Time and memory of clustering a number of faces."""

    faces: int
    groups: int
    seconds: float


def measure(faces: LfwFaces, thresholds: ClusteringThresholds) -> Quality:
    """Cluster faces and return the quality of the groups."""
    started = time.perf_counter()
    groups = cluster(_table(faces.embeddings, faces.qualities), thresholds)
    seconds = time.perf_counter() - started
    people = faces.people
    shared = np.zeros((groups.max() + 1, people.max() + 1), dtype=np.int32)
    np.add.at(shared, (groups, people), 1)
    both = shared[groups, people]
    precision = both / shared.sum(axis=1)[groups]
    recall = both / shared.sum(axis=0)[people]
    photos = np.bincount(people)
    over_people = [float((np.bincount(people, values) / photos).mean()) for values in (precision, recall)]
    return Quality(
        faces=len(people),
        people=len(photos),
        groups=int(groups.max()) + 1,
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        precision_over_people=over_people[0],
        recall_over_people=over_people[1],
        seconds=seconds,
    )


def cost(faces: LfwFaces, thresholds: ClusteringThresholds, count: int) -> Cost:
    """Cluster `count` faces: LFW's, and rotated copies if there are not enough."""
    random = np.random.default_rng(count)
    turned = [faces.embeddings]
    while sum(map(len, turned)) < count:
        turn, _ = np.linalg.qr(random.normal(size=(faces.embeddings.shape[1],) * 2))
        turned.append(np.asarray(faces.embeddings @ turn, dtype=np.float32))
    embeddings = np.concatenate(turned)[random.permutation(sum(map(len, turned)))[:count]]
    started = time.perf_counter()
    groups = cluster(_table(embeddings, np.ones(count, dtype=np.float32)), thresholds)
    return Cost(count, int(groups.max()) + 1, time.perf_counter() - started)


def _table(embeddings: FloatArray, qualities: FloatArray) -> FaceTable:
    nobody_apart: NDArray[np.int64] = np.zeros((0, 2), dtype=np.int64)
    return FaceTable(embeddings, np.arange(len(embeddings)), qualities, nobody_apart)


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack()
    everybody = lfw_faces(arguments.data, pack)
    everybody = everybody.where(everybody.found)
    development = people_listed(arguments.data, DEVELOPMENT)
    others = frozenset(everybody.names) - development
    chosen = clustering_thresholds(pack.manifest.thresholds)
    report = {
        "thresholds": asdict(chosen),
        "tried_on_development_people": [
            {**asdict(tried), **asdict(measure(everybody.of(development), tried))}
            for tried in (ClusteringThresholds(*pair) for pair in TRIED)
        ],
        "other_people": asdict(measure(everybody.of(others), chosen)),
        "everybody": asdict(measure(everybody, chosen)),
        "cost": [asdict(cost(everybody, chosen, count)) for count in SIZES],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
