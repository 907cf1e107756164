"""Error rates of the decision whether two folders show one person, as made by ``facebank enroll A/ B/``.

    python -m benchmarks.folders_of_one_person ../shared/data --out benchmarks/reports/folders_of_one_person

Runs `facebank.recognition.resemblance.is_one_person` on stored embeddings of siblings (``hard/siblings.npz``): two
folders of one person, of two siblings, and of people of different families, with 1 to 5 photos each. Families with even
numbers are for development; results are reported on those with odd numbers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.json_report import write_json_report
from facebank.packs import load_pack
from facebank.recognition.resemblance import is_one_person

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

DRAWS = 10
SIZES = (1, 2, 3, 5)


def merge_rates(
    embeddings: FloatArray, people: NDArray[np.int64], families: NDArray[np.int64], count: int, threshold: float
) -> dict[str, dict[str, float]]:
    """Return the fraction of pairs of folders with `count` photos that are taken for one person, by relation."""
    random = np.random.default_rng(count)
    decisions: dict[str, list[bool]] = {"one person": [], "brothers and sisters": [], "strangers": []}
    family_of = {person: int(families[people == person][0]) for person in np.unique(people).tolist()}
    for _ in range(DRAWS):
        drawn = {person: random.permutation(np.flatnonzero(people == person)) for person in family_of}
        stranger = dict(zip(family_of, random.permutation(list(family_of)).tolist(), strict=True))
        for person, rows in drawn.items():
            first = embeddings[rows[:count]]
            others = [("one person", rows[count : 2 * count])]
            for other, other_rows in drawn.items():
                if other != person and family_of[other] == family_of[person]:
                    others.append(("brothers and sisters", other_rows[:count]))
                elif other == stranger[person] and family_of[other] != family_of[person]:
                    others.append(("strangers", other_rows[:count]))
            for relation, second_rows in others:
                if len(first) == len(second_rows) == count:
                    decisions[relation].append(is_one_person(first, embeddings[second_rows], threshold))
    return {
        relation: {"pairs": len(merged), "taken for one": round(float(np.mean(merged)), 4)}
        for relation, merged in decisions.items()
    }


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with hard/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(None)
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest}
    with np.load(arguments.data / "hard" / "siblings.npz") as arrays:
        embeddings, people, families = (arrays[name] for name in ("embedding", "person", "family"))
    for label, parity in (("development", 0), ("reporting", 1)):
        chosen = families % 2 == parity
        report[label] = {
            f"{count} photos each": merge_rates(
                embeddings[chosen],
                people[chosen].astype(np.int64),
                families[chosen].astype(np.int64),
                count,
                pack.manifest.thresholds.verify,
            )
            for count in SIZES
        }
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
