"""How often enrolment refuses honest photos as nearer to another, and how often it stops wrong ones, on LFW.

    python -m benchmarks.protection ../shared/data --out benchmarks/reports/protection

People are enrolled one after the other, in random order, with five photos each, by the rule of `facebank.enrolment`.
Wrong photos are further ones of somebody enrolled, offered as another person's or as a new person's. Siblings are those
of LFW's list of relatives: each is enrolled beside the other with up to five photos, many times.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, lfw_faces, people_listed
from facebank.enrolment import is_nearer_to_another
from facebank.packs import load_pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.faces import FloatArray
    from facebank.packs import Thresholds

PHOTOS_EACH = 5
ORDERS = 5
REPETITIONS = 60


def offered(
    embedding: FloatArray, own: list[FloatArray], others: dict[str, list[FloatArray]], thresholds: Thresholds
) -> bool:
    """Return whether a face is refused."""
    nearest = max((_likeness(embedding, samples) for samples in others.values() if samples), default=None)
    mine = _likeness(embedding, own) if own else None
    return nearest is not None and is_nearer_to_another(mine, nearest, thresholds)


def _likeness(embedding: FloatArray, samples: list[FloatArray]) -> float:
    mean = np.mean(samples, axis=0)
    return float(embedding @ mean / np.linalg.norm(mean))


def enrol_everybody(faces: LfwFaces, names: list[str], thresholds: Thresholds) -> dict[str, NDArray[np.int64]]:
    """Return refused and offered photos: a person's first, the following ones, and wrong ones of both kinds."""
    counts = {what: np.zeros(2, dtype=np.int64) for what in ("first", "following", "wrong, new", "wrong, known")}
    rows = {name: np.flatnonzero((faces.names == name) & faces.found) for name in names}
    for seed in range(ORDERS):
        random = np.random.default_rng(seed)
        gallery: dict[str, list[FloatArray]] = {}
        spare: dict[str, FloatArray] = {}
        for name in random.permutation(np.array(names)).tolist():
            places = random.permutation(rows[name])
            if len(places) > PHOTOS_EACH:
                spare[name] = faces.embeddings[places[PHOTOS_EACH]]
            mine: list[FloatArray] = []
            for place in places[:PHOTOS_EACH]:
                refused = offered(faces.embeddings[place], mine, gallery, thresholds)
                counts["following" if mine else "first"] += (refused, 1)
                mine.append(faces.embeddings[place])
            gallery[name] = mine
        for name, embedding in spare.items():
            claimed = str(random.choice([other for other in names if other != name]))
            others = {other: samples for other, samples in gallery.items() if other != claimed}
            counts["wrong, known"] += (offered(embedding, gallery[claimed], others, thresholds), 1)
            counts["wrong, new"] += (offered(embedding, [], gallery, thresholds), 1)
    return counts


def enrol_siblings(faces: LfwFaces, pair: tuple[str, str], thresholds: Thresholds) -> NDArray[np.int64]:
    """Return refused and offered photos of the second, enrolled after the first."""
    count = np.zeros(2, dtype=np.int64)
    first, second = (np.flatnonzero((faces.names == name) & faces.found) for name in pair)
    for seed in range(REPETITIONS):
        random = np.random.default_rng(seed)
        others = {pair[0]: list(faces.embeddings[random.permutation(first)[:PHOTOS_EACH]])}
        mine: list[FloatArray] = []
        for place in random.permutation(second)[:PHOTOS_EACH]:
            count += (offered(faces.embeddings[place], mine, others, thresholds), 1)
            mine.append(faces.embeddings[place])
    return count


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    faces, thresholds = lfw_faces(arguments.data, pack), pack.manifest.thresholds
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest, "known": thresholds.known}
    for label, listing in (("development", DEVELOPMENT), ("reporting", REPORTING)):
        theirs = faces.of(people_listed(arguments.data, listing))
        names, photos = np.unique(theirs.names[theirs.found], return_counts=True)
        for least in (2, PHOTOS_EACH):
            chosen = [str(name) for name in names[photos >= least]]
            counts = enrol_everybody(theirs, chosen, thresholds)
            report[f"{label}, {len(chosen)} people with {least} photos or more"] = {
                what: {"refused": int(refused), "offered": int(total)} for what, (refused, total) in counts.items()
            }
    lines = (arguments.data / "lfw-meta" / "relatives.tsv").read_text(encoding="utf-8").splitlines()[1:]
    relatives = [line.split("\t")[:3] for line in lines]
    siblings = [(a, b, kind) for a, b, kind in relatives if kind in ("siblings", "twins")]
    report["siblings"] = {
        f"{second} after {first} ({kind})": enrol_siblings(faces, (first, second), thresholds).tolist()
        for a, b, kind in siblings
        for first, second in ((a, b), (b, a))
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
