"""How often two people who were joined by mistake are found, and how often one person is taken for two.

    python -m benchmarks.wrong_merges ../shared/data --out benchmarks/reports/wrong_merges

`facebank.recognition.resemblance.halves` is asked about kept embeddings: LFW, and brothers and sisters and people as
children and as adults of the folder ``hard``. People who are joined have 2 to 5 photos each; people who are not have
4, 6 or 10. Dates are not known here: with them, halves that years explain are no finding. Development people are those
of LFW's list and, in the folder ``hard``, the families and people with even numbers; the others are reported on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.enrollment_guard import Faces, hard_people, lfw_people
from benchmarks.lfw import DEVELOPMENT, REPORTING
from facebank.packs import load_pack
from facebank.recognition.resemblance import halves

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 3
SIZES = (4, 6, 10)
JOINED = ((2, 2), (3, 3), (5, 5), (5, 2))


def one_person(faces: Faces, count: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield so many photos of each person who has them, some times."""
    for person in np.unique(faces.people).tolist():
        rows = np.flatnonzero(faces.people == person)
        if len(rows) >= count:
            for _ in range(DRAWS):
                yield random.permutation(rows)[:count]


def two_people(
    faces: Faces, counts: tuple[int, int], random: np.random.Generator, *, related: bool
) -> Iterator[NDArray[np.int64]]:
    """Yield photos of two people, the first one's first."""
    rows = {person: np.flatnonzero(faces.people == person) for person in np.unique(faces.people).tolist()}
    enough = {person: theirs for person, theirs in rows.items() if len(theirs) >= max(counts)}
    for person, theirs in enough.items():
        family = faces.families[theirs[0]]
        others = [
            other for other in enough if other != person and bool(faces.families[enough[other][0]] == family) is related
        ]
        for _ in range(DRAWS if others else 0):
            other = enough[int(random.choice(others))]
            yield np.concatenate([random.permutation(theirs)[: counts[0]], random.permutation(other)[: counts[1]]])


def found(faces: Faces, chosen: Iterator[NDArray[np.int64]], first: int | None, verify: float) -> dict[str, object]:
    """Return how often halves are found, and the share of samples that are in the right half, of those found."""
    answers, right = list[bool](), list[float]()
    for rows in chosen:
        parts = halves(faces.embeddings[rows], verify)
        answers.append(parts is not None)
        if parts is not None and first is not None:
            agree = float((parts[0] == (np.arange(len(rows)) < first)).mean())
            right.append(max(agree, 1 - agree))
    share = round(float(np.mean(answers)), 4) if answers else None
    return {"people": len(answers), "found": share, "right half": round(float(np.mean(right)), 4) if right else None}


def measured(faces: Faces, verify: float, *, with_relatives: bool) -> dict[str, object]:
    """Measure people who were joined and people who were not."""
    random = np.random.default_rng(0)
    part: dict[str, object] = {
        f"one person, {count} photos": found(faces, one_person(faces, count, random), None, verify) for count in SIZES
    }
    for related in (False, True) if with_relatives else (False,):
        whose = "brothers and sisters" if related else "strangers"
        for counts in JOINED:
            chosen = two_people(faces, counts, random, related=related)
            part[f"{whose}, {counts[0]} and {counts[1]} photos"] = found(faces, chosen, counts[0], verify)
    return part


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/ and hard/")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(None)
    verify = pack.manifest.thresholds.verify
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest}
    for label, listing, parity in (("development", DEVELOPMENT, 0), ("reporting", REPORTING, 1)):
        siblings, ages = (hard_people(arguments.data, f"{name}.npz", parity) for name in ("siblings", "ages"))
        report[label] = {
            "LFW": measured(lfw_people(arguments.data, pack, listing), verify, with_relatives=False),
            "people with brothers and sisters": measured(siblings, verify, with_relatives=True),
            "people as children and adults": measured(ages, verify, with_relatives=False),
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
