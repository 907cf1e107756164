"""Fit and evaluation of the mask classifier: detection rate on real masks, false alarms on bare faces.

    python -m benchmarks.real_masks ../shared/data --out benchmarks/reports/real_masks [--fit]

The classifier of `facebank.vision.quality` is fitted to drawn masks on LFW's development people, to real masks (aligned
crops, also combined with other people's upper faces), and to bare faces of development people. Some real masks are
covered by bare mouths, and bare faces get other backgrounds and lighting, so that the classifier depends on the mask
rather than on the source of its images. The weights are fitted on half of the development people; the threshold is the
score reached by the fraction `FALSE_ALARMS` of the augmented faces of the other half.

Reports the detection rate on real masks of classifiers fitted to the other half of them and to drawn masks only, and
the false alarms on all faces of the reporting people; mouths covered by other objects, found by eye, are counted
separately. The previous rule is measured in the same way. ``--fit`` writes the shipped parameters, fitted to all real
masks.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING
from benchmarks.mask_crops import (
    augment,
    load_bare_faces,
    load_drawn_masks,
    load_real_masks,
    move_mask,
    replace_background,
    uncover_mouth,
)
from benchmarks.resampling import wilson_interval
from facebank import read_photo
from facebank.packs import load_pack
from facebank.vision import FaceAnalyzer
from facebank.vision.quality import HIDDEN_MOUTH, MODEL_PATH, hidden_mouth, lower_face, rgb_to_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from benchmarks.mask_crops import Crops
    from facebank.types import FloatArray, RGBImage

COVERED = {
    "Adrian_Annus/Adrian_Annus_0001.jpg": "hand",
    "Gwendal_Peizerat/Gwendal_Peizerat_0002.jpg": "medal",
    "Jake_Plummer/Jake_Plummer_0001.jpg": "hand",
    "Jeremy_Greenstock/Jeremy_Greenstock_0013.jpg": "hand",
    "Sananda_Maitreya/Sananda_Maitreya_0001.jpg": "microphone",
    "Zach_Safrin/Zach_Safrin_0001.jpg": "hand",
}
"""Faces with an object at the mouth, found by inspecting the 60 highest-scoring faces of the reporting people."""
SAME_PERSON = {"003": "000", "018": "004", "019": "004"}
"""Groups of crops that show one person, found by eye; each group is kept in one half."""
FALSE_ALARMS = 0.001
STRENGTH = 1e-3
COPIES, UNCOVERED = 20, 16  # copies of each real mask, masked and with a bare mouth
BACKED, VARIED = 2500, 5000  # bare faces mirrored or with another background, and augmented
PROVENANCE = (
    "Logistic regression on facebank.vision.quality.lower_face, by python -m benchmarks.real_masks --fit. Bare "
    "faces: LFW, half of the people of peopleDevTrain.txt; the threshold: the other half. Masks: drawn on these faces; "
    "59 aligned crops of the Real-World Masked Face Dataset (Z. Wang et al., 2020; research use). It holds no picture."
)


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A linear classifier of masked mouths.

    Attributes
    ----------
    weights, intercept
        Parameters for the features of `lower_face`.
    threshold
        Lowest score of a masked mouth.
    """

    weights: FloatArray
    intercept: float
    threshold: float

    def scores(self, features: FloatArray) -> FloatArray:
        """Return the scores of faces minus the threshold."""
        return np.asarray(features @ self.weights + self.intercept - self.threshold, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Features (`lower_face`) of bare faces by augmentation, and of masked faces by origin.

    Attributes
    ----------
    bare, drawn
        People and features of bare faces and of faces with drawn masks, by augmentation: ``(N,)`` and
        ``(N, FEATURES)``.
    real
        Features of the M real masks, ``(M, FEATURES)``.
    copies, moved
        Features of augmented real masks, and of real masks on other faces, ``(M, COPIES, FEATURES)``.
    uncovered
        Features of real masks covered by bare mouths, ``(M, UNCOVERED, FEATURES)``.
    """

    bare: dict[str, tuple[NDArray[np.str_], FloatArray]]
    drawn: dict[str, tuple[NDArray[np.str_], FloatArray]]
    real: FloatArray
    copies: FloatArray
    moved: FloatArray
    uncovered: FloatArray


def features_of(crops: Iterable[RGBImage]) -> FloatArray:
    """Return the features of N crops, ``float32`` of shape ``(N, FEATURES)``."""
    return np.stack([lower_face(crop) for crop in crops])


def compute_features(faces: Crops, drawn: Crops, real: Sequence[RGBImage]) -> TrainingData:
    """Compute the features of all training faces."""
    random = np.random.default_rng(1)

    def sample(
        count: int, change: Callable[[RGBImage, np.random.Generator], RGBImage]
    ) -> tuple[NDArray[np.str_], FloatArray]:
        rows = random.permutation(len(faces.crops))[:count]
        return faces.people[rows], features_of(change(crop, random) for crop in faces.crops[rows])

    def copies_of_masks(change: Callable[[RGBImage], RGBImage], copies: int) -> FloatArray:
        return np.stack([features_of(change(mask) for _ in range(copies)) for mask in real])

    def random_face() -> RGBImage:
        return np.asarray(faces.crops[random.integers(len(faces.crops))], np.uint8)

    return TrainingData(
        bare={
            "as photographed": (faces.people, features_of(faces.crops)),
            "mirrored": sample(BACKED, lambda crop, _: np.ascontiguousarray(crop[:, ::-1])),
            "varied": sample(VARIED, augment),
            "other background": sample(BACKED, lambda crop, rng: augment(replace_background(crop, rng), rng)),
        },
        drawn={
            "as drawn": (drawn.people, features_of(drawn.crops)),
            "varied": (drawn.people, features_of(augment(crop, random) for crop in drawn.crops)),
        },
        real=features_of(real),
        copies=copies_of_masks(lambda mask: augment(mask, random), COPIES),
        moved=copies_of_masks(lambda mask: move_mask(mask, random_face(), random), COPIES),
        uncovered=copies_of_masks(lambda mask: uncover_mouth(mask, random_face(), random), UNCOVERED),
    )


WEIGHTS = {
    "as photographed": 0.6, "mirrored": 0.4, "varied": 0.5, "other background": 0.3, "uncovered": 0.2,
    "real": 0.2, "copies": 0.8, "moved": 0.5, "drawn": 0.5,
}  # fmt: skip
"""Total weight of each kind of face; bare and masked faces are then balanced."""


def fit(training: TrainingData, people: frozenset[str], real: NDArray[np.bool_]) -> Classifier:
    """Fit a classifier.

    Parameters
    ----------
    training
        Result of `compute_features`.
    people
        People whose bare and drawn faces fit the weights; those of the others determine the threshold.
    real
        Mask of the usable real masks, of shape ``(M,)``.
    """
    from sklearn.linear_model import LogisticRegression

    width = training.real.shape[1]
    kinds: list[tuple[str, int, FloatArray]] = []
    for name, (person_ids, rows) in training.bare.items():
        kinds.append((name, 0, rows[np.isin(person_ids, list(people))]))
    for person_ids, rows in training.drawn.values():
        kinds.append(("drawn", 1, rows[np.isin(person_ids, list(people))]))
    if real.any():
        kinds.append(("uncovered", 0, training.uncovered[real].reshape(-1, width)))
        kinds.append(("real", 1, training.real[real]))
        kinds.append(("copies", 1, training.copies[real].reshape(-1, width)))
        kinds.append(("moved", 1, training.moved[real].reshape(-1, width)))
    faces = np.concatenate([rows for _, _, rows in kinds])
    masked = np.concatenate([np.full(len(rows), label) for _, label, rows in kinds])
    weights = np.concatenate([np.full(len(rows), WEIGHTS[name] / len(rows)) for name, _, rows in kinds])
    for label in (0, 1):
        weights[masked == label] *= VARIED / weights[masked == label].sum()
    bare = faces[masked == 0]
    mean, spread = bare.mean(axis=0), bare.std(axis=0) + 1e-3
    model = LogisticRegression(C=STRENGTH, max_iter=500).fit((faces - mean) / spread, masked, sample_weight=weights)
    coefficients = (model.coef_[0] / spread).astype(np.float32)
    classifier = Classifier(coefficients, float(model.intercept_[0] - mean @ coefficients), 0.0)
    hard = [training.bare[name] for name in ("varied", "other background")]
    scores = np.concatenate([classifier.scores(rows[~np.isin(person_ids, list(people))]) for person_ids, rows in hard])
    return Classifier(classifier.weights, classifier.intercept, float(np.quantile(scores, 1 - FALSE_ALARMS)))


def cross_validated_scores(
    training: TrainingData, people: frozenset[str], groups: NDArray[np.str_]
) -> NDArray[np.float32]:
    """Return the score of each real mask by a classifier fitted to the other half of the real masks."""
    shuffled = np.random.default_rng(3).permutation(np.unique(groups))
    first = np.isin(groups, shuffled[::2])
    scores = np.zeros(len(groups), np.float32)
    for half in (first, ~first):
        scores[~half] = fit(training, people, half).scores(training.real[~half])
    return scores


def score_previous_rule(crop: RGBImage) -> float:
    """Return the score of the previous rule: difference in hue from the skin, and absence of lips."""
    skin = np.median(
        _colors(crop, (0.52, 0.59, 0.25, 0.375), (0.52, 0.59, 0.625, 0.75), (0.215, 0.34, 0.36, 0.64)), axis=0
    )
    hue = float(np.hypot(*(np.median(_colors(crop, (0.70, 0.93, 0.34, 0.66)), axis=0) - skin)[1:]))
    lightness = rgb_to_lab(_part(crop, (0.75, 0.89, 0.39, 0.61)))[..., 0]
    lips = float(np.ptp(lightness.mean(axis=1))) / max(float(skin[0]), 5.0)
    return float(np.clip((hue - 8) / 8, 0, 1) * np.clip((0.3 - lips) / 0.1, 0, 1))


def _colors(crop: RGBImage, *parts: tuple[float, float, float, float]) -> FloatArray:
    return rgb_to_lab(np.concatenate([_part(crop, part).reshape(-1, 3) for part in parts]))


def _part(crop: RGBImage, part: tuple[float, float, float, float]) -> RGBImage:
    top, bottom, left, right = (round(fraction * len(crop)) for fraction in part)
    return crop[top:bottom, left:right]


def percentage(count: int, total: int) -> dict[str, object]:
    """Return a fraction in percent with its counts and 95 % Wilson interval."""
    interval = [round(100 * bound, 2) for bound in wilson_interval(count, total)]
    return {"count": count, "of": total, "percent": round(100 * count / total, 2), "interval": interval}


def count_false_alarms(paths: Sequence[str], is_alarm: Sequence[bool] | NDArray[np.bool_]) -> dict[str, object]:
    """Count false alarms on faces of LFW; covered mouths (`COVERED`) are counted separately."""
    alarms = [path for path, alarm in zip(paths, is_alarm, strict=True) if alarm]
    covered = [path for path in paths if path in COVERED]
    bare_alarms = [path for path in alarms if path not in COVERED]
    return {
        **percentage(len(bare_alarms), len(paths) - len(covered)),
        "faces": bare_alarms,
        "covered mouths noticed": dict(Counter(COVERED[path] for path in alarms if path in COVERED)),
        "covered mouths seen by eye": dict(Counter(COVERED[path] for path in covered)),
    }


def is_masked(classifier: Classifier, crops: Sequence[RGBImage] | NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return whether each face is classified as masked."""
    return classifier.scores(features_of(crops)) > 0


def apply_previous_rule(crops: Iterable[RGBImage]) -> list[bool]:
    """Return whether each face is classified as masked by the previous rule."""
    return [score_previous_rule(crop) > HIDDEN_MOUTH for crop in crops]


def milliseconds(crops: Sequence[RGBImage] | NDArray[np.uint8]) -> float:
    """Return the processor time per face in milliseconds."""
    started = time.process_time()
    for crop in crops:
        hidden_mouth(crop)
    return round(1000 * (time.process_time() - started) / len(crops), 3)


def evaluate(data: Path, training: TrainingData, people: frozenset[str], classifier: Classifier) -> dict[str, object]:
    """Return the report on `classifier`, which is fitted to all real masks."""
    pack = load_pack(None)
    names, crops = load_real_masks(data)
    groups = np.array([SAME_PERSON.get(name, name) for name in names])
    drawn_only = fit(training, people, np.zeros(len(names), dtype=np.bool_))
    half_scores = cross_validated_scores(training, people, groups)
    reporting = load_bare_faces(data, pack, REPORTING)
    faces = features_of(reporting.crops)
    scores, paths = classifier.scores(faces), reporting.paths.tolist()
    other_faces = list(_other_faces(data, FaceAnalyzer.from_pack(pack)))
    person_ids, drawn = training.drawn["as drawn"]

    def positive_rate(scores: FloatArray) -> dict[str, object]:
        return percentage(int((scores > 0).sum()), len(scores))

    return {
        "real masks noticed": {
            "fitted to the other half of the people in real masks": positive_rate(half_scores),
            "fitted to drawn masks only": positive_rate(drawn_only.scores(training.real)),
            "as shipped, fitted to these": positive_rate(classifier.scores(training.real)),
            "the rule before": percentage(sum(apply_previous_rule(crops)), len(names)),
        },
        "drawn masks noticed": positive_rate(classifier.scores(drawn[~np.isin(person_ids, list(people))])),
        "bare faces of LFW, reporting people": {
            "as shipped": count_false_alarms(paths, scores > 0),
            "fitted to drawn masks only": count_false_alarms(paths, drawn_only.scores(faces) > 0),
            "the rule before": count_false_alarms(paths, apply_previous_rule(reporting.crops)),
            "like masked ones, by eye": [
                {"face": paths[row], "score": round(float(scores[row]), 2), "at the mouth": COVERED.get(paths[row])}
                for row in np.argsort(-scores)[:60].tolist()
            ],
        },
        "other bare faces": {
            "as shipped": percentage(int(is_masked(classifier, other_faces).sum()), len(other_faces)),
            "the rule before": percentage(sum(apply_previous_rule(other_faces)), len(other_faces)),
        },
        "milliseconds a face": milliseconds(reporting.crops[:500]),
    }


def _other_faces(data: Path, analyzer: FaceAnalyzer) -> Iterable[RGBImage]:
    """Yield all faces of the photos outside of LFW, in which nobody wears a mask."""
    for folder in ("demo", "photos"):
        for path in sorted((data / folder).rglob("*")):
            if path.suffix in (".jpg", ".jpeg", ".png"):
                analyzed = next(analyzer.analyze([read_photo(path)]))
                yield from (analyzer.crop(analyzed.photo, face) for face in analyzed.faces)


def main() -> None:
    """Fit, measure and write ``OUT.json``; with ``--fit`` also the classifier's parameters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/, hard/masks/ and photos/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    parser.add_argument("--fit", action="store_true", help=f"write {MODEL_PATH.name}")
    arguments = parser.parse_args()
    pack = load_pack(None)
    faces = load_bare_faces(arguments.data, pack, DEVELOPMENT)
    names, real = load_real_masks(arguments.data)
    training = compute_features(faces, load_drawn_masks(arguments.data, pack, faces, DEVELOPMENT), real)
    people = frozenset(np.unique(faces.people)[::2].tolist())
    classifier = fit(training, people, np.ones(len(names), dtype=np.bool_))
    if arguments.fit:
        np.savez(
            MODEL_PATH,
            weights=classifier.weights,
            intercept=np.float32(classifier.intercept),
            threshold=np.float32(classifier.threshold),
            provenance=np.array(PROVENANCE),
        )
    report = evaluate(arguments.data, training, people, classifier)
    write_json_report(arguments.out, report)
    print(json.dumps({key: report[key] for key in ("real masks noticed", "milliseconds a face")}, indent=2))


if __name__ == "__main__":
    main()
