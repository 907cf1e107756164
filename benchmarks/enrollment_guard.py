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

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING, lfw_faces, read_people
from benchmarks.resampling import bootstrap_interval
from facebank import FaceBank
from facebank.packs import load_pack
from facebank.recognition.resemblance import OtherPeople, compare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Pack
    from facebank.types import FloatArray

ORDERS = 3
ACCEPTED = "enrolled"


@dataclass(frozen=True, slots=True, eq=False)
class RelatedFaces:
    """Faces of people in families."""

    embeddings: FloatArray  # of shape ``(N, D)``
    people: NDArray[np.int64]  # number of each face's person, of shape ``(N,)``
    families: NDArray[np.int64]  # number of each face's family, of shape ``(N,)``; that of the person if unrelated

    def draw(self, people: list[int], max_photos: int, random: np.random.Generator) -> dict[int, NDArray[np.int64]]:
        """Return the indices of up to `max_photos` random faces of each person."""
        return {person: random.permutation(np.flatnonzero(self.people == person))[:max_photos] for person in people}

    def as_enrolled(self, indices: list[NDArray[np.int64]]) -> OtherPeople:
        """Return the people of some faces, given as one array of indices per person, as enrolled people."""
        chosen = np.concatenate([np.zeros(0, dtype=np.int64), *indices])
        return OtherPeople.from_samples(self.people[chosen], self.embeddings[chosen])


PhotoOutcome = tuple[int, str]
"""Number of the family, or of a person without one, and the reason for accepting or refusing one photo."""


def check_faces(faces: RelatedFaces, indices: NDArray[np.int64], others: OtherPeople, threshold: float) -> list[str]:
    """Return the outcome of the check for each face of a new person: `ACCEPTED`, or the reason for the refusal."""
    embeddings = faces.embeddings[indices]
    doubts = compare(embeddings, embeddings[:0], others, threshold).doubts
    return [ACCEPTED if doubt is None else doubt.kind.name.lower() for doubt in doubts]


def enroll_correct_photos(faces: RelatedFaces, max_photos: int, threshold: float) -> Iterator[PhotoOutcome]:
    """Enroll all people in random order, and yield the outcome of each photo."""
    for seed in range(ORDERS):
        random = np.random.default_rng(seed)
        chosen = faces.draw(random.permutation(np.unique(faces.people)).tolist(), max_photos, random)
        enrolled: list[NDArray[np.int64]] = []
        for indices in chosen.values():
            family = int(faces.families[indices[0]])
            others = faces.as_enrolled(enrolled)
            yield from ((family, reason) for reason in check_faces(faces, indices, others, threshold))
            enrolled.append(indices)


def enroll_wrong_photos(
    faces: RelatedFaces, max_photos: int, threshold: float, *, of_family: bool, is_enrolled: bool
) -> Iterator[PhotoOutcome]:
    """Enroll one to four photos of a person with one of another person, and yield the outcome of the latter."""
    for seed in range(ORDERS):
        random = np.random.default_rng(seed)
        chosen = faces.draw(np.unique(faces.people).tolist(), max_photos, random)
        for person, indices in chosen.items():
            family = int(faces.families[indices[0]])
            related = [
                other
                for other in chosen
                if other != person and (int(faces.families[chosen[other][0]]) == family) is of_family
            ]
            if not related:
                continue
            other_indices = chosen[int(random.choice(related))]
            wrong = random.integers(len(other_indices))
            offered = np.append(random.permutation(indices)[: random.integers(1, 5)], other_indices[wrong])
            enrolled = [np.delete(other_indices, wrong)] if is_enrolled and len(other_indices) > 1 else []
            yield family, check_faces(faces, offered, faces.as_enrolled(enrolled), threshold)[-1]


def enroll_files(data: Path, people: list[str]) -> Iterator[PhotoOutcome]:
    """Enroll people of LFW from files, and yield the outcome of each photo."""
    with tempfile.TemporaryDirectory() as folder, FaceBank.open(Path(folder) / "guard.facebank") as bank:
        for number, name in enumerate(people):
            paths = sorted((data / "lfw" / name).glob("*.jpg"))[:5]
            yield from ((number, photo.reason.value) for photo in bank.enroll(name, paths).photos)


def summarize(photo_outcomes: Iterator[PhotoOutcome]) -> dict[str, object]:
    """Return the counts of reasons, and the fraction refused (0..1) with its interval."""
    outcomes = list(photo_outcomes)
    units = np.array([unit for unit, _ in outcomes])
    refused = np.array([reason not in (ACCEPTED, "already_enrolled") for _, reason in outcomes])
    low, high = bootstrap_interval(refused, units)
    return {
        "photos": len(outcomes),
        "groups": len(np.unique(units)),
        "refused": round(float(refused.mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "reasons": dict(sorted(Counter(reason for _, reason in outcomes).items())),
    }


def lfw_people(data: Path, pack: Pack, listing: str) -> RelatedFaces:
    """Return the faces of people of an LFW list with two or more photos."""
    faces = lfw_faces(data, pack).select_people(read_people(data, listing))
    faces = faces.where(faces.has_face)
    counts = np.bincount(faces.people)
    faces = faces.where(counts[faces.people] >= 2)
    return RelatedFaces(faces.embeddings, faces.people, faces.people)


def hard_people(data: Path, name: str, parity: int) -> RelatedFaces:
    """Return the people of a file in ``hard`` with even (`parity` 0) or odd (1) numbers of the family or person."""
    with np.load(data / "hard" / name) as arrays:
        people = arrays["person"].astype(np.int64)
        families = arrays["family"].astype(np.int64) if "family" in arrays else people
        chosen = families % 2 == parity
        return RelatedFaces(arrays["embedding"][chosen], people[chosen], families[chosen])


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/ and hard/")
    parser.add_argument("--raw", type=int, default=0, metavar="N", help="also enroll N people of LFW from files")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(None)
    threshold = pack.manifest.thresholds.verify
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest}
    for label, listing, parity in (("development", DEVELOPMENT, 0), ("reporting", REPORTING, 1)):
        adults = lfw_people(arguments.data, pack, listing)
        siblings, ages = (hard_people(arguments.data, f"{name}.npz", parity) for name in ("siblings", "ages"))
        results = {
            "true: adults": summarize(enroll_correct_photos(adults, 5, threshold)),
            "true: siblings": summarize(enroll_correct_photos(siblings, 10, threshold)),
            "true: the same people young and adult": summarize(enroll_correct_photos(ages, 20, threshold)),
        }
        for name, faces, of_family in (
            ("another adult's", adults, False),
            ("a sibling's", siblings, True),
            ("a stranger's, among siblings' photos", siblings, False),
            ("a stranger's, among photos across years", ages, False),
        ):
            for is_enrolled in (True, False):
                title = f"wrong: {name}, {'who is enrolled' if is_enrolled else 'who is not enrolled'}"
                results[title] = summarize(
                    enroll_wrong_photos(faces, 10, threshold, of_family=of_family, is_enrolled=is_enrolled)
                )
        if arguments.raw:
            names = sorted(read_people(arguments.data, listing))
            candidates = [name for name in names if len(list((arguments.data / "lfw" / name).glob("*.jpg"))) >= 2]
            chosen = np.random.default_rng(0).permutation(candidates)[: arguments.raw].tolist()
            results["true: adults, from files, all reasons"] = summarize(enroll_files(arguments.data, chosen))
        report[label] = results
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
