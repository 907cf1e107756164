"""Fit of the parameters of `facebank.recognition.pairs`, and their accuracy on siblings.

    python -m benchmarks.pair_fitting ../shared/data --out benchmarks/reports/pair_fitting [--fit]

Two people of each family of ``hard/siblings.npz`` are enrolled with 1, 2, 3, 4 or 8 photos each (or 1 and 4), and their
other photos are classified by their margins alone. Families with even numbers are for fitting, with odd ones for
reporting. Each draw is made with clean folders, and with a tenth of both people's photos swapped for three of ten
pairs, as is typical of family folders. People of LFW's development list, split in two, serve as twins with a weight of
1/4.

Without ``--fit`` the shipped parameters are evaluated: accuracy, accuracy by coverage ranked by probability,
calibration error (ten bins of equal count), and the correct and wrong names above several probabilities.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.hard_cases import COVERAGES, bins_error
from benchmarks.lfw import DEVELOPMENT, REPORTING, lfw_faces, read_people
from facebank.index.people_index import QUALITY_FLOOR
from facebank.packs import load_pack
from facebank.recognition.pairs import USUAL_PAIRS, PairCurve, PairMargins, PairModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

PHOTOS = ((1, 1), (2, 2), (3, 3), (4, 4), (8, 8), (1, 4))
DRAWS = 5
MIXED_PAIRS, MIXED_PHOTOS = 0.3, 0.1
NAMED_FROM = (0.5, 0.65, 0.75, 0.8, 0.85, 0.88, 0.9, 0.93, 0.97)
TWINS_WEIGHT = 0.25
LEAST_OF_TWINS, MOST_OF_TWINS = 10, 20


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Faces of people in families of at least two."""

    embeddings: FloatArray
    qualities: FloatArray
    people: NDArray[np.int64]
    families: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trial:
    """A pair, and the margins of photos: similarity to the own person minus similarity to the other."""

    pair: PairMargins
    first: tuple[float, ...]
    second: tuple[float, ...]


def siblings(data: Path, remainder: int) -> Faces:
    """Read the families with even or odd numbers."""
    with np.load(data / "hard" / "siblings.npz", allow_pickle=False) as arrays:
        kept = arrays["family"] % 2 == remainder
        return Faces(*(arrays[name][kept] for name in ("embedding", "quality", "person", "family")))


def twins(data: Path, listing: str) -> Faces:
    """Return pairs made by splitting people of LFW in two, which cannot be told apart."""
    faces = lfw_faces(data, load_pack())
    faces = faces.select_people(read_people(data, listing))
    faces = faces.where(faces.has_face)
    rows, people, families = [], [], []
    random = np.random.default_rng(0)
    for person in range(faces.people.max() + 1):
        theirs = random.permutation(np.flatnonzero(faces.people == person))[:MOST_OF_TWINS]
        if len(theirs) >= LEAST_OF_TWINS:
            rows.append(theirs)
            people.append(2 * person + (np.arange(len(theirs)) % 2))
            families.append(np.full(len(theirs), person))
    chosen = np.concatenate(rows)
    return Faces(faces.embeddings[chosen], faces.qualities[chosen], np.concatenate(people), np.concatenate(families))


def trials(faces: Faces, photos: tuple[int, int], mixed: bool, draws: int = DRAWS) -> Iterator[Trial]:
    """Enroll two people of each family and return the margins of their other photos."""
    random = np.random.default_rng([7, *photos, mixed])
    for _ in range(draws):
        for family in np.unique(faces.families):
            members = random.permutation(np.unique(faces.people[faces.families == family]))[:2]
            folders = [random.permutation(np.flatnonzero(faces.people == person)) for person in members]
            if mixed and random.random() < MIXED_PAIRS:
                folders = _swap_photos(folders, random)
            counts = [min(count, len(rows) - 1) for count, rows in zip(photos, folders, strict=True)]
            if min(counts) < 1:
                continue
            enrolled = [rows[:count] for rows, count in zip(folders, counts, strict=True)]
            pair = PairMargins.measure(
                *(faces.embeddings[rows] for rows in enrolled), *(faces.qualities[rows] for rows in enrolled)
            )
            one, other = (_prototype(faces, rows) for rows in enrolled)
            first, second = (
                faces.embeddings[rows[count:]] @ (one - other) for rows, count in zip(folders, counts, strict=True)
            )
            yield Trial(pair, tuple(first.tolist()), tuple((-second).tolist()))


def _swap_photos(folders: Sequence[NDArray[np.int64]], random: np.random.Generator) -> list[NDArray[np.int64]]:
    rows = np.concatenate(folders)
    owner = np.repeat([0, 1], [len(folder) for folder in folders])
    owner = np.where(random.random(len(rows)) < MIXED_PHOTOS, 1 - owner, owner)
    return [random.permutation(rows[owner == side]) for side in (0, 1)]


def _prototype(faces: Faces, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    weights = np.maximum(faces.qualities[rows], QUALITY_FLOOR).astype(np.float64)
    mean: NDArray[np.float64] = (faces.embeddings[rows] * weights[:, None]).sum(axis=0)
    return mean / np.linalg.norm(mean)


def own_probabilities(model: PairModel, several: Sequence[Trial]) -> NDArray[np.float64]:
    """Return the probability of each photo's own person, given that it is one of the two."""
    found = []
    for one in several:
        curve = PairCurve(model, one.pair)
        found += [curve.probability(np.array(one.first)), 1 - curve.probability(-np.array(one.second))]
    return np.concatenate(found)


def fit(groups: Sequence[tuple[float, Sequence[Trial]]]) -> PairModel:
    """Return parameters that minimize the weighted mean log loss, regularized towards the shipped ones."""
    from scipy.optimize import minimize

    start = np.array([getattr(USUAL_PAIRS, name) for name in PairModel.names()])
    total = sum(weight for weight, _ in groups)

    def loss(numbers: NDArray[np.float64]) -> float:
        model = PairModel(*map(float, numbers))
        losses = [
            weight * -np.log(np.maximum(own_probabilities(model, several), 1e-9)).mean() for weight, several in groups
        ]
        return float(sum(losses) / total + 1e-4 * ((numbers - start) ** 2).sum())

    found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 1500, "xatol": 1e-3, "fatol": 1e-7})
    return PairModel(*(round(float(number), 3) for number in found.x))


def evaluate(own: NDArray[np.float64]) -> dict[str, object]:
    """Return accuracy and calibration, given the probabilities of the photos' own people."""
    right, sure = own > 0.5, np.maximum(own, 1 - own)
    order = np.argsort(-sure, kind="stable")
    named = {}
    for least in NAMED_FROM:
        chosen = sure >= least
        wrong = float((~right[chosen]).mean()) if chosen.any() else 0.0
        named[f"{least:g}"] = {"right": round(float((chosen & right).mean()), 4), "wrong of names": round(wrong, 4)}
    return {
        "photos": len(own),
        "accuracy": round(float(right.mean()), 4),
        **{f"at {part:g}": round(float(right[order[: int(len(own) * part)]].mean()), 4) for part in COVERAGES},
        "calibration error": round(bins_error(sure, right), 4),
        "named from": named,
    }


def main() -> None:
    """Fit or evaluate, and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/ and hard/")
    parser.add_argument("--fit", action="store_true", help="fit the parameters to the development families")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    model = USUAL_PAIRS
    if arguments.fit:
        known, halves = siblings(arguments.data, 0), twins(arguments.data, DEVELOPMENT)
        groups = [(1.0, list(trials(known, photos, mixed))) for photos in PHOTOS for mixed in (False, True)]
        groups += [(TWINS_WEIGHT, list(trials(halves, photos, mixed=False, draws=2))) for photos in PHOTOS]
        model = fit(groups)
        print(model)
    report: dict[str, object] = {name: getattr(model, name) for name in PairModel.names()}
    for part, remainder, listing in (("development", 0, DEVELOPMENT), ("reporting", 1, REPORTING)):
        people, halves = siblings(arguments.data, remainder), twins(arguments.data, listing)
        for photos in PHOTOS:
            for kind, faces, mixed in (
                ("in order", people, False),
                ("mixed", people, True),
                ("cut in two", halves, False),
            ):
                found = evaluate(
                    own_probabilities(model, list(trials(faces, photos, mixed, draws=2 if faces is halves else DRAWS)))
                )
                report[f"{part}, {photos[0]} and {photos[1]} photos, {kind}"] = found
                print(f"{part}, {photos}, {kind}: {found}", flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
