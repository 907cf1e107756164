"""Fit of the parameters of `facebank.recognition.pairs`, and their accuracy on siblings.

    python -m benchmarks.pair_fitting ../shared/data --out benchmarks/reports/pair_fitting [--fit]

Two people of each family of ``hard/siblings.npz`` are enrolled with 1, 2, 3, 4 or 8 photos each (or 1 and 4), and their
other photos are classified by their margins alone. Families with even numbers are for fitting, with odd ones for
reporting. Each draw is made twice: with clean folders, and with 10 % of the photos swapped in 30 % of the pairs, as
is typical of family folders. People of LFW's lists, split in two, serve as twins; when fitting, with a weight of 1/4.

Reports, of the fitted or the shipped parameters: accuracy, accuracy by coverage ranked by probability, calibration
error (ten bins of equal count), and the correct and wrong names above several probabilities.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.hard_cases import COVERAGES, bins_error
from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING, lfw_faces, read_people
from facebank.index.people_index import PeopleIndex
from facebank.packs import load_pack
from facebank.recognition.pairs import DEFAULT_PAIR_MODEL, PairCurve, PairMargins, PairModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

PHOTO_COUNTS = ((1, 1), (2, 2), (3, 3), (4, 4), (8, 8), (1, 4))
DRAWS, TWIN_DRAWS = 5, 2
SWAPPED_PAIR_FRACTION, SWAPPED_PHOTO_FRACTION = 0.3, 0.1  # of the pairs, and of their photos
MIN_PROBABILITIES = (0.5, 0.65, 0.75, 0.8, 0.85, 0.88, 0.9, 0.93, 0.97)
TWINS_WEIGHT = 0.25
MIN_TWIN_PHOTOS, MAX_TWIN_PHOTOS = 10, 20


@dataclass(frozen=True, slots=True, eq=False)
class FamilyFaces:
    """Faces of people in families of at least two."""

    embeddings: FloatArray  # of shape ``(N, D)``
    qualities: FloatArray  # of shape ``(N,)``
    person_ids: NDArray[np.int64]  # of shape ``(N,)``
    family_ids: NDArray[np.int64]  # of shape ``(N,)``


@dataclass(frozen=True, slots=True)
class MarginTrial:
    """A pair, and the margins of photos: similarity to the own person minus similarity to the other."""

    pair: PairMargins
    first_margins: tuple[float, ...]  # of the first person's photos
    second_margins: tuple[float, ...]  # of the second person's photos


def read_siblings(data: Path, parity: int) -> FamilyFaces:
    """Return the families whose id modulo 2 is `parity`."""
    with np.load(data / "hard" / "siblings.npz", allow_pickle=False) as arrays:
        chosen = arrays["family"] % 2 == parity
        return FamilyFaces(*(arrays[name][chosen] for name in ("embedding", "quality", "person", "family")))


def make_twins(data: Path, listing: str) -> FamilyFaces:
    """Return pairs of indistinguishable people, made by splitting people of LFW in two."""
    faces = lfw_faces(data, load_pack())
    faces = faces.select_people(read_people(data, listing))
    faces = faces.where(faces.has_face)
    rows, person_ids, family_ids = [], [], []
    random = np.random.default_rng(0)
    for person in range(faces.people.max() + 1):
        person_rows = random.permutation(np.flatnonzero(faces.people == person))[:MAX_TWIN_PHOTOS]
        if len(person_rows) >= MIN_TWIN_PHOTOS:
            rows.append(person_rows)
            person_ids.append(2 * person + (np.arange(len(person_rows)) % 2))
            family_ids.append(np.full(len(person_rows), person))
    chosen = np.concatenate(rows)
    return FamilyFaces(
        faces.embeddings[chosen], faces.qualities[chosen], np.concatenate(person_ids), np.concatenate(family_ids)
    )


def draw_trials(
    faces: FamilyFaces, photo_counts: tuple[int, int], *, is_swapped: bool, draws: int = DRAWS
) -> Iterator[MarginTrial]:
    """Enroll two people of each family and yield the margins of their other photos.

    Parameters
    ----------
    faces
        Faces of families.
    photo_counts
        Numbers of photos to enroll of the two people.
    is_swapped
        Whether some pairs have swapped photos.
    draws
        Number of random draws.
    """
    random = np.random.default_rng([7, *photo_counts, is_swapped])
    for _ in range(draws):
        for family_id in np.unique(faces.family_ids):
            members = random.permutation(np.unique(faces.person_ids[faces.family_ids == family_id]))[:2]
            folders = [random.permutation(np.flatnonzero(faces.person_ids == person_id)) for person_id in members]
            if is_swapped and random.random() < SWAPPED_PAIR_FRACTION:
                folders = _swap_photos(folders, random)
            counts = [min(count, len(folder) - 1) for count, folder in zip(photo_counts, folders, strict=True)]
            if min(counts) < 1:
                continue
            enrolled = [folder[:count] for folder, count in zip(folders, counts, strict=True)]
            pair = PairMargins.measure(
                *(faces.embeddings[rows] for rows in enrolled), *(faces.qualities[rows] for rows in enrolled)
            )
            rows, person_ids = np.concatenate(enrolled), np.repeat([0, 1], counts)
            index = PeopleIndex.from_samples(faces.embeddings[rows], person_ids, faces.qualities[rows])
            axis = index.prototypes[0] - index.prototypes[1]
            first, second = (
                faces.embeddings[folder[count:]] @ axis for folder, count in zip(folders, counts, strict=True)
            )
            yield MarginTrial(pair, tuple(first.tolist()), tuple((-second).tolist()))


def _swap_photos(folders: Sequence[NDArray[np.int64]], random: np.random.Generator) -> list[NDArray[np.int64]]:
    rows = np.concatenate(folders)
    sides = np.repeat([0, 1], [len(folder) for folder in folders])
    sides = np.where(random.random(len(rows)) < SWAPPED_PHOTO_FRACTION, 1 - sides, sides)
    return [random.permutation(rows[sides == side]) for side in (0, 1)]


def own_probabilities(model: PairModel, trials: Sequence[MarginTrial]) -> NDArray[np.float64]:
    """Return the probability of each of N photos' own person, ``(N,)``, given that it is one of the two."""
    probabilities = []
    for trial in trials:
        curve = PairCurve(model, trial.pair)
        probabilities += [
            curve.probability(np.array(trial.first_margins)),
            1 - curve.probability(-np.array(trial.second_margins)),
        ]
    return np.concatenate(probabilities)


def fit(groups: Sequence[tuple[float, Sequence[MarginTrial]]]) -> PairModel:
    """Return parameters that minimize the weighted mean log loss, regularized toward the shipped ones."""
    from scipy.optimize import minimize

    start = np.array([getattr(DEFAULT_PAIR_MODEL, name) for name in PairModel.names()])
    total = sum(weight for weight, _ in groups)

    def loss(parameters: NDArray[np.float64]) -> float:
        model = PairModel(*map(float, parameters))
        losses = [
            weight * -np.log(np.maximum(own_probabilities(model, trials), 1e-9)).mean() for weight, trials in groups
        ]
        return float(sum(losses) / total + 1e-4 * ((parameters - start) ** 2).sum())

    result = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 1500, "xatol": 1e-3, "fatol": 1e-7})
    return PairModel(*(round(float(parameter), 3) for parameter in result.x))


def evaluate(own: NDArray[np.float64]) -> dict[str, object]:
    """Return accuracy and calibration, given the result of `own_probabilities`."""
    is_correct, confidence = own > 0.5, np.maximum(own, 1 - own)
    order = np.argsort(-confidence, kind="stable")
    named = {}
    for min_probability in MIN_PROBABILITIES:
        chosen = confidence >= min_probability
        wrong = float((~is_correct[chosen]).mean()) if chosen.any() else 0.0
        correct = float((chosen & is_correct).mean())
        named[f"{min_probability:g}"] = {"correct": round(correct, 4), "wrong fraction of names": round(wrong, 4)}
    return {
        "photos": len(own),
        "accuracy": round(float(is_correct.mean()), 4),
        **{
            f"at {coverage:g}": round(float(is_correct[order[: int(len(own) * coverage)]].mean()), 4)
            for coverage in COVERAGES
        },
        "calibration error": round(bins_error(confidence, is_correct), 4),
        "by minimum probability": named,
    }


def main() -> None:
    """Fit or evaluate, and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/ and hard/")
    parser.add_argument("--fit", action="store_true", help="fit the parameters to the development families")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    model = DEFAULT_PAIR_MODEL
    if arguments.fit:
        siblings, twins = read_siblings(arguments.data, 0), make_twins(arguments.data, DEVELOPMENT)
        groups = []
        for counts in PHOTO_COUNTS:
            groups += [
                (1.0, list(draw_trials(siblings, counts, is_swapped=is_swapped))) for is_swapped in (False, True)
            ]
            groups.append((TWINS_WEIGHT, list(draw_trials(twins, counts, is_swapped=False, draws=TWIN_DRAWS))))
        model = fit(groups)
        print(model)
    report: dict[str, object] = {name: getattr(model, name) for name in PairModel.names()}
    for part, parity, listing in (("development", 0, DEVELOPMENT), ("reporting", 1, REPORTING)):
        siblings, twins = read_siblings(arguments.data, parity), make_twins(arguments.data, listing)
        for counts in PHOTO_COUNTS:
            for condition, faces, is_swapped, draws in (
                ("clean", siblings, False, DRAWS),
                ("swapped", siblings, True, DRAWS),
                ("twins", twins, False, TWIN_DRAWS),
            ):
                trials = list(draw_trials(faces, counts, is_swapped=is_swapped, draws=draws))
                figures = evaluate(own_probabilities(model, trials))
                report[f"{part}, {counts[0]} and {counts[1]} photos, {condition}"] = figures
                print(f"{part}, {counts}, {condition}: {figures}", flush=True)
    write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
