"""Error rates of the check at enrollment: refused correct photos, and accepted wrong ones.

    python -m benchmarks.enrollment_guard ../shared/data --out benchmarks/reports/enrollment_guard

Runs the rule of `facebank.recognition.resemblance` on stored embeddings of LFW (people with two or more photos, five
each), of siblings, and of people as children and adults (folder ``hard``). People are enrolled in random order, all
photos in one call; a wrong photo is among one to four correct ones. With ``--raw``, people of LFW with two or more
photos are enrolled from files into a new gallery, and all reasons are counted. Development people are those of LFW's
list and, in ``hard``, those with even numbers; results are reported on the others. Intervals are 95 % bootstrap
intervals over people or families.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lfw import DEVELOPMENT, REPORTING, lfw_faces, people_listed
from facebank import FaceBank
from facebank.packs import load_pack
from facebank.recognition.resemblance import OtherPeople, compare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Pack
    from facebank.types import FloatArray

ORDERS = 3
BOOTSTRAPS = 1000
TAKEN = "enrolled"


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Embeddings with the number of each one's person and family, arrays of equal length."""

    embeddings: FloatArray
    people: NDArray[np.int64]
    families: NDArray[np.int64]

    def of(self, people: list[int], most: int, random: np.random.Generator) -> dict[int, NDArray[np.int64]]:
        """Return up to `most` random faces of each person."""
        return {person: random.permutation(np.flatnonzero(self.people == person))[:most] for person in people}

    def others(self, places: list[NDArray[np.int64]]) -> OtherPeople:
        """Return the enrolled people of some faces."""
        chosen = np.concatenate([np.zeros(0, dtype=np.int64), *places])
        return OtherPeople.of(self.people[chosen], self.embeddings[chosen])


Decision = tuple[int, str]
"""Family or person, and reason of one photo."""


def verdicts(faces: Faces, offered: NDArray[np.int64], others: OtherPeople, verify: float) -> list[str]:
    """Return the reasons for faces that are enrolled together as a new person."""
    embeddings = faces.embeddings[offered]
    found = compare(embeddings, embeddings[:0], others, verify).doubts
    return [TAKEN if doubt is None else doubt.kind.name.lower() for doubt in found]


def true_photos(faces: Faces, most: int, verify: float) -> Iterator[Decision]:
    """Enroll all people in random order, and yield the outcome of each photo."""
    for seed in range(ORDERS):
        random = np.random.default_rng(seed)
        chosen = faces.of(random.permutation(np.unique(faces.people)).tolist(), most, random)
        enrolled: list[NDArray[np.int64]] = []
        for places in chosen.values():
            family = int(faces.families[places[0]])
            yield from ((family, reason) for reason in verdicts(faces, places, faces.others(enrolled), verify))
            enrolled.append(places)


def wrong_photos(faces: Faces, most: int, verify: float, *, of_family: bool, is_enrolled: bool) -> Iterator[Decision]:
    """Enroll one to four photos of a person with one of another person, and yield the outcome of the latter."""
    for seed in range(ORDERS):
        random = np.random.default_rng(seed)
        chosen = faces.of(np.unique(faces.people).tolist(), most, random)
        for person, places in chosen.items():
            family = int(faces.families[places[0]])
            related = [
                other
                for other in chosen
                if other != person and (int(faces.families[chosen[other][0]]) == family) is of_family
            ]
            if not related:
                continue
            other = chosen[int(random.choice(related))]
            wrong = random.integers(len(other))
            offered = np.append(random.permutation(places)[: random.integers(1, 5)], other[wrong])
            enrolled = [np.delete(other, wrong)] if is_enrolled and len(other) > 1 else []
            yield family, verdicts(faces, offered, faces.others(enrolled), verify)[-1]


def from_files(data: Path, people: list[str]) -> Iterator[Decision]:
    """Enroll people of LFW from files, and yield the outcome of each photo."""
    with tempfile.TemporaryDirectory() as folder, FaceBank.open(Path(folder) / "guard.facebank") as bank:
        for number, name in enumerate(people):
            photos = sorted((data / "lfw" / name).glob("*.jpg"))[:5]
            yield from ((number, photo.reason.value) for photo in bank.enroll(name, list(photos)).photos)


def summary(outcomes: Iterator[Decision]) -> dict[str, object]:
    """Return the counts of reasons, and the fraction refused with its interval."""
    listed = list(outcomes)
    groups = np.array([group for group, _ in listed])
    refused = np.array([reason not in (TAKEN, "already_enrolled") for _, reason in listed])
    _, owners = np.unique(groups, return_inverse=True)
    totals, counts = np.bincount(owners), np.bincount(owners, weights=refused)
    drawn = np.random.default_rng(0).integers(len(totals), size=(BOOTSTRAPS, len(totals)))
    rates = counts[drawn].sum(axis=1) / totals[drawn].sum(axis=1)
    low, high = np.percentile(rates, [2.5, 97.5])
    return {
        "photos": len(listed),
        "groups": len(totals),
        "refused": round(float(refused.mean()), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "reasons": dict(sorted(Counter(reason for _, reason in listed).items())),
    }


def lfw_people(data: Path, pack: Pack, listing: str) -> Faces:
    """Return the faces of people of an LFW list with two or more photos."""
    theirs = lfw_faces(data, pack).of(people_listed(data, listing))
    theirs = theirs.where(theirs.found)
    counts = np.bincount(theirs.people)
    theirs = theirs.where(counts[theirs.people] >= 2)
    return Faces(theirs.embeddings, theirs.people, theirs.people)


def hard_people(data: Path, name: str, parity: int) -> Faces:
    """Return the people of a file in ``hard`` whose family number (or own number) is even or odd."""
    with np.load(data / "hard" / name) as arrays:
        people = arrays["person"].astype(np.int64)
        families = arrays["family"].astype(np.int64) if "family" in arrays else people
        kept = families % 2 == parity
        return Faces(arrays["embedding"][kept], people[kept], families[kept])


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/ and hard/")
    parser.add_argument("--raw", type=int, default=0, metavar="N", help="also enroll N people of LFW from files")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(None)
    verify = pack.manifest.thresholds.verify
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest}
    for label, listing, parity in (("development", DEVELOPMENT, 0), ("reporting", REPORTING, 1)):
        adults = lfw_people(arguments.data, pack, listing)
        siblings, ages = (hard_people(arguments.data, f"{name}.npz", parity) for name in ("siblings", "ages"))
        part = {
            "true: adults": summary(true_photos(adults, 5, verify)),
            "true: siblings": summary(true_photos(siblings, 10, verify)),
            "true: the same people young and adult": summary(true_photos(ages, 20, verify)),
        }
        for name, faces, of_family in (
            ("another adult's", adults, False),
            ("a sibling's", siblings, True),
            ("a stranger's, among siblings' photos", siblings, False),
            ("a stranger's, among photos across years", ages, False),
        ):
            for is_enrolled in (True, False):
                what = f"wrong: {name}, {'who is enrolled' if is_enrolled else 'who is not enrolled'}"
                part[what] = summary(wrong_photos(faces, 10, verify, of_family=of_family, is_enrolled=is_enrolled))
        if arguments.raw:
            names = sorted(people_listed(arguments.data, listing))
            several = [name for name in names if len(list((arguments.data / "lfw" / name).glob("*.jpg"))) >= 2]
            chosen = np.random.default_rng(0).permutation(several)[: arguments.raw].tolist()
            part["true: adults, from files, all reasons"] = summary(from_files(arguments.data, chosen))
        report[label] = part
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
