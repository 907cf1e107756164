"""How well faces are grouped by person when nobody is named, and what that costs.

    python -m benchmarks.clustering ../shared/data --out benchmarks/reports/clustering

On LFW, most of whose people have one photo. The two thresholds were chosen on the development people
(``peopleDevTrain.txt``); reported are they, the other people, and everybody together: the central faces of all photos,
each photo alone in its group counting as a group of one.

BCubed (A. Bagga, B. Baldwin, 1998; E. Amigo et al., 2009): of each face, the share of its group that is its person
(precision) and the share of its person that is in its group (recall); the mean over faces, and the mean over people of
their own means. For the cost with more faces than LFW has, its faces are turned in the space of embeddings: as many
further people who are as much alike as those of LFW are.
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

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
TRIED = ((0.52, 0.52), (0.56, 0.50), (0.56, 0.52), (0.58, 0.52), (0.60, 0.50), (0.60, 0.52), (0.62, 0.52), (0.62, 0.54))


@dataclass(frozen=True, slots=True)
class Quality:
    """BCubed figures of one grouping, each 0..1."""

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
    """What it takes to group so many faces."""

    faces: int
    groups: int
    seconds: float


def measure(faces: LfwFaces, thresholds: ClusteringThresholds) -> Quality:
    """Group faces, and compare the groups with whose they are."""
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
    """Group so many faces: LFW's, and turned ones where it has not enough."""
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
    parser.add_argument("--out", type=Path, required=True, help="the report, without suffix")
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
