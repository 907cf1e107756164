"""Detection rate of wrongly merged people, and false alarms on single people.

    python -m benchmarks.wrong_merges ../shared/data --out benchmarks/reports/wrong_merges

Runs `facebank.recognition.resemblance.halves` on stored embeddings of LFW, of siblings, and of people as children and
adults (folder ``hard``). Merged people have 2 to 5 photos each, single people 4, 6 or 10. The data has no dates, by
which facebank would dismiss splits that are explained by age. Development people are those of LFW's list and, in
``hard``, the families and people with even numbers; results are reported on the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.enrollment_guard import RelatedFaces, hard_people, lfw_people
from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING
from facebank.packs import load_pack
from facebank.recognition.resemblance import split_into_halves

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 3
SIZES = (4, 6, 10)
MERGED_COUNTS = ((2, 2), (3, 3), (5, 5), (5, 2))


def draw_single(faces: RelatedFaces, count: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield random sets of `count` photos of each person with enough photos."""
    for person in np.unique(faces.people).tolist():
        rows = np.flatnonzero(faces.people == person)
        if len(rows) >= count:
            for _ in range(DRAWS):
                yield random.permutation(rows)[:count]


def draw_merged(
    faces: RelatedFaces, counts: tuple[int, int], random: np.random.Generator, *, related: bool
) -> Iterator[NDArray[np.int64]]:
    """Yield random photos of pairs of people, those of the first person first."""
    rows_of = {person: np.flatnonzero(faces.people == person) for person in np.unique(faces.people).tolist()}
    candidates = {person: rows for person, rows in rows_of.items() if len(rows) >= max(counts)}
    for person, person_rows in candidates.items():
        family = faces.families[person_rows[0]]
        others = [
            other
            for other, rows in candidates.items()
            if other != person and bool(faces.families[rows[0]] == family) is related
        ]
        for _ in range(DRAWS if others else 0):
            other_rows = candidates[int(random.choice(others))]
            first, second = random.permutation(person_rows)[: counts[0]], random.permutation(other_rows)[: counts[1]]
            yield np.concatenate([first, second])


def split_rates(
    faces: RelatedFaces, chosen: Iterator[NDArray[np.int64]], first_count: int | None, threshold: float
) -> dict[str, object]:
    """Return the fraction of sets that are split, and the mean fraction of correctly assigned samples."""
    is_split, right = list[bool](), list[float]()
    for rows in chosen:
        parts = split_into_halves(faces.embeddings[rows], threshold)
        is_split.append(parts is not None)
        if parts is not None and first_count is not None:
            accuracy = float((parts[0] == (np.arange(len(rows)) < first_count)).mean())
            right.append(max(accuracy, 1 - accuracy))
    split_rate, accuracy_rate = (round(float(np.mean(values)), 4) if values else None for values in (is_split, right))
    return {"people": len(is_split), "found": split_rate, "right half": accuracy_rate}


def evaluate(faces: RelatedFaces, threshold: float, *, with_relatives: bool) -> dict[str, object]:
    """Return the rates for merged people and for single people."""
    random = np.random.default_rng(0)
    results: dict[str, object] = {
        f"one person, {count} photos": split_rates(faces, draw_single(faces, count, random), None, threshold)
        for count in SIZES
    }
    for related in (False, True) if with_relatives else (False,):
        relation = "brothers and sisters" if related else "strangers"
        for counts in MERGED_COUNTS:
            chosen = draw_merged(faces, counts, random, related=related)
            title = f"{relation}, {counts[0]} and {counts[1]} photos"
            results[title] = split_rates(faces, chosen, counts[0], threshold)
    return results


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/ and hard/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(None)
    threshold = pack.manifest.thresholds.verify
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest}
    for label, listing, parity in (("development", DEVELOPMENT, 0), ("reporting", REPORTING, 1)):
        siblings, ages = (hard_people(arguments.data, f"{name}.npz", parity) for name in ("siblings", "ages"))
        report[label] = {
            "LFW": evaluate(lfw_people(arguments.data, pack, listing), threshold, with_relatives=False),
            "people with brothers and sisters": evaluate(siblings, threshold, with_relatives=True),
            "people as children and adults": evaluate(ages, threshold, with_relatives=False),
        }
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
