"""Comparison of three ways to combine the faces of a track into a decision.

    python -m benchmarks.track_evidence ../shared/data --out benchmarks/reports/track_evidence

Faces are those of LFW's reporting people (``peopleDevTest.txt``). In each of forty galleries of 100 people with one
photo each, half of the people with six or more photos are enrolled; the others are strangers. A probe is five photos of
one person, taken on different days and thus nearly independent; frames of a real track are more similar to each other,
and for copies of one photo all three ways agree.

- ``one photo``: the first photo only.
- ``mean score``: mean of the five scores weighted by squared quality, treated like the score of one photo, as in
  ``facebank video``.
- ``mean embedding``: normalized mean of the embeddings, treated like one photo.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.decisions import FPIR
from benchmarks.json_report import write_json_report
from benchmarks.lfw import REPORTING, LfwFaces, lfw_faces, read_people
from facebank.gallery import PackIdentity
from facebank.packs import load_pack
from facebank.recognition.calibration.files import find_pack_calibration
from facebank.recognition.calibration.simulation import MAX_SCORES
from facebank.recognition.cohort import Cohort
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.scoring import PrototypeScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.calibration.calibration import Calibrator
    from facebank.types import FloatArray

GALLERIES, SIZE, FACES = 40, 100, 5
METHODS = ("one photo", "mean score", "mean embedding")

Outcome = tuple[bool, bool, bool, float]
"""Whether the person is enrolled, is the best candidate, and is named, and the best candidate's probability."""


def score_track(
    scorer: PrototypeScorer, cohort: Cohort, faces: FloatArray, qualities: FloatArray
) -> dict[str, FloatArray]:
    """Return the corrected scores of a track by method, ``(people,)`` each."""

    def corrected_scores(probes: FloatArray) -> FloatArray:
        similarities = scorer.scores(probes)
        return cohort.correct_scores(similarities, similarities, probes, np.arange(similarities.shape[1]))

    weights = qualities.astype(np.float64) ** 2
    weights /= weights.sum()
    face_scores = corrected_scores(faces)
    mean = weights @ faces
    normalized = (mean / np.linalg.norm(mean)).astype(np.float32)
    rows = (face_scores[0], (weights @ face_scores).astype(np.float32), corrected_scores(normalized[None])[0])
    return dict(zip(METHODS, rows, strict=True))


def draw_gallery(
    faces: LfwFaces, names: NDArray[np.str_], random: np.random.Generator
) -> tuple[EnrolledSamples, list[tuple[int, NDArray[np.int64]]]]:
    """Draw a gallery and its tracks, each as the id of the person (-1 for a stranger) and the indices of faces."""
    people, counts = np.unique(names, return_counts=True)
    frequent = random.permutation(people[counts > FACES])
    enrolled, strangers = frequent[: len(frequent) // 2], frequent[len(frequent) // 2 :]
    others = random.permutation(people[counts <= FACES])[: SIZE - len(enrolled)]
    indices = {person: random.permutation(np.flatnonzero(names == person)) for person in (*frequent, *others)}
    samples = np.array([indices[person][0] for person in (*enrolled, *others)])
    tracks = [(number, indices[person][1 : FACES + 1]) for number, person in enumerate(enrolled)]
    tracks += [(-1, indices[person][:FACES]) for person in strangers]
    return EnrolledSamples(faces.embeddings[samples], np.arange(len(samples)), faces.qualities[samples]), tracks


def evaluate(faces: LfwFaces, calibrator: Calibrator) -> dict[str, dict[str, float]]:
    """Decide all tracks of all galleries, and return the rates."""
    outcomes: dict[str, list[Outcome]] = {method: [] for method in METHODS}
    names = faces.names
    for seed in range(GALLERIES):
        enrolled, tracks = draw_gallery(faces, names, np.random.default_rng(seed))
        scorer = PrototypeScorer(enrolled.index)
        cohort = Cohort(enrolled.index, None, calibrator.correction)
        threshold = calibrator.threshold(np.bincount(enrolled.person_indices), FPIR)
        samples = np.ones(MAX_SCORES, dtype=np.int64)
        for person, indices in tracks:
            embeddings, qualities = faces.embeddings[indices], faces.qualities[indices]
            for method, scores in score_track(scorer, cohort, embeddings, qualities).items():
                best = np.argsort(-scores)[:MAX_SCORES]
                probabilities = calibrator.probabilities(scores[best][None], samples[None], SIZE, 0.5)
                named = bool(scores[best[0]] >= threshold)
                outcomes[method].append((person >= 0, bool(best[0] == person), named, float(probabilities[0, 0])))
    return {method: _figures(np.array(rows)) for method, rows in outcomes.items()}


def _figures(rows: NDArray[np.float64]) -> dict[str, float]:
    mated, right, named, probability = rows[:, 0] > 0, rows[:, 1], rows[:, 2], np.clip(rows[:, 3], 1e-6, 1 - 1e-6)
    likelihood = np.where(right > 0, np.log(probability), np.log(1 - probability))
    return {
        "mated_tracks": int(mated.sum()),
        "strangers_tracks": int((~mated).sum()),
        "fnir": float(1 - (right * named)[mated].mean()),
        "fpir": float(named[~mated].mean()),
        "mean_probability": float(probability.mean()),
        "share_right": float(right.mean()),
        "log_loss": float(-likelihood.mean()),
    }


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(None)
    faces = lfw_faces(arguments.data, pack)
    faces = faces.where(faces.has_face).select_people(read_people(arguments.data, REPORTING))
    identity = PackIdentity(pack.name, pack.digest, faces.embeddings.shape[1])
    calibration = find_pack_calibration(identity, pack.folder).calibration
    calibrator = None if calibration is None else calibration.calibrator("prototype")
    if calibrator is None:
        parser.error(
            f"The pack {pack.name} has no calibration of the classifier prototype; "
            f"run 'facebank packs calibrate {pack.name} PHOTOS'."
        )
    report = {"pack": pack.name, "people": SIZE, "faces_a_track": FACES, **evaluate(faces, calibrator)}
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
