"""How many real masks are noticed, and on how many bare faces one is seen that is not there; fits the judge of it.

    python -m benchmarks.real_masks ../shared/data --out benchmarks/reports/real_masks [--fit]

`facebank.vision.quality` is fitted to drawn masks on LFW's development people, to real masks (aligned crops, moved
under other people's eyes too) and to bare faces of development people. So that it judges the mask and neither its
pictures' source nor their background, bare mouths are laid over real masks and bare faces get other backgrounds and
light. Half of the development people fit the weights; the threshold is the score that `FALSE_ALARMS` of the other
half's faces reach once they are varied, which is harder than as they are.

Reported are: real masks noticed by a judge that was fitted to the other half of them, and by one that never saw a real
mask; false alarms on all faces of the reporting people, those whose mouth something covers counted apart (by eye); the
rule that was used before, beside it. With ``--fit`` the numbers that ship are written, fitted to all real masks.
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

from benchmarks.lfw import DEVELOPMENT, REPORTING
from benchmarks.mask_crops import bare_faces, drawn_masks, evenly_backed, moved_mask, real_masks, uncovered, varied
from facebank import read_photo
from facebank.packs import load_pack
from facebank.vision import FaceAnalyzer
from facebank.vision.quality import NOTICED, NUMBERS, hidden_mouth, lab_of, lower_face

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
"""Of the reporting faces, the 60 that look most like masked ones were looked at: these have something at the mouth."""
SAME_PERSON = {"003": "000", "018": "004", "019": "004"}
"""Crops that show one person, by eye: they are never on both sides."""
FALSE_ALARMS = 0.001
STRENGTH = 1e-3
COPIES, UNCOVERED = 20, 16
BACKED, VARIED = 2500, 5000
PROVENANCE = (
    "Logistic regression on facebank.vision.quality.lower_face, by python -m benchmarks.real_masks --fit. Bare "
    "faces: LFW, half of the people of peopleDevTrain.txt; the threshold: the other half. Masks: drawn on these faces; "
    "59 aligned crops of the Real-World Masked Face Dataset (Z. Wang et al., 2020; research use). It holds no picture."
)


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A linear judge.

    Attributes
    ----------
    weights, intercept
        Of `lower_face`.
    threshold
        The score from which a mouth counts as hidden.
    """

    weights: FloatArray
    intercept: float
    threshold: float

    def scores(self, features: FloatArray) -> FloatArray:
        """Return how far each face is above the threshold."""
        return np.asarray(features @ self.weights + self.intercept - self.threshold, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Described faces (`lower_face`): bare ones by what was done to them, masked ones by how they were made."""

    bare: dict[str, tuple[NDArray[np.str_], FloatArray]]
    drawn: dict[str, tuple[NDArray[np.str_], FloatArray]]
    real: FloatArray
    copies: FloatArray
    moved: FloatArray
    uncovered: FloatArray


def described(crops: Iterable[RGBImage]) -> FloatArray:
    """Describe faces: ``(N, FEATURES)``."""
    return np.stack([lower_face(crop) for crop in crops])


def gather(faces: Crops, drawn: Crops, real: Sequence[RGBImage]) -> Material:
    """Make all that a judge is fitted to."""
    random = np.random.default_rng(1)

    def some(
        count: int, change: Callable[[RGBImage, np.random.Generator], RGBImage]
    ) -> tuple[NDArray[np.str_], FloatArray]:
        rows = random.permutation(len(faces.crops))[:count]
        return faces.people[rows], described(change(crop, random) for crop in faces.crops[rows])

    def each(change: Callable[[RGBImage], RGBImage], copies: int) -> FloatArray:
        return np.stack([described(change(mask) for _ in range(copies)) for mask in real])

    def anybody() -> RGBImage:
        return np.asarray(faces.crops[random.integers(len(faces.crops))], np.uint8)

    return Material(
        bare={
            "as photographed": (faces.people, described(faces.crops)),
            "mirrored": some(BACKED, lambda crop, _: np.ascontiguousarray(crop[:, ::-1])),
            "varied": some(VARIED, varied),
            "other background": some(BACKED, lambda crop, rng: varied(evenly_backed(crop, rng), rng)),
        },
        drawn={
            "as drawn": (drawn.people, described(drawn.crops)),
            "varied": (drawn.people, described(varied(crop, random) for crop in drawn.crops)),
        },
        real=described(real),
        copies=each(lambda mask: varied(mask, random), COPIES),
        moved=each(lambda mask: moved_mask(mask, anybody(), random), COPIES),
        uncovered=each(lambda mask: uncovered(mask, anybody(), random), UNCOVERED),
    )


WEIGHTS = {
    "as photographed": 0.6, "mirrored": 0.4, "varied": 0.5, "other background": 0.3, "uncovered": 0.2,
    "real": 0.2, "copies": 0.8, "moved": 0.5, "drawn": 0.5,
}  # fmt: skip
"""What each kind of face counts in a fit, its faces together; bare and masked ones count the same in the end."""


def fit(material: Material, people: frozenset[str], real: NDArray[np.bool_]) -> Judge:
    """Fit a judge.

    Parameters
    ----------
    material
        As `gather` makes it.
    people
        Whose bare and drawn faces fit the weights; the others' choose the threshold.
    real
        Which real masks may be used, of shape ``(M,)``.
    """
    from sklearn.linear_model import LogisticRegression

    width = material.real.shape[1]
    kinds: list[tuple[str, int, FloatArray]] = []
    for name, (owners, rows) in material.bare.items():
        kinds.append((name, 0, rows[np.isin(owners, list(people))]))
    for owners, rows in material.drawn.values():
        kinds.append(("drawn", 1, rows[np.isin(owners, list(people))]))
    if real.any():
        kinds.append(("uncovered", 0, material.uncovered[real].reshape(-1, width)))
        kinds.append(("real", 1, material.real[real]))
        kinds.append(("copies", 1, material.copies[real].reshape(-1, width)))
        kinds.append(("moved", 1, material.moved[real].reshape(-1, width)))
    faces = np.concatenate([rows for _, _, rows in kinds])
    masked = np.concatenate([np.full(len(rows), label) for _, label, rows in kinds])
    weights = np.concatenate([np.full(len(rows), WEIGHTS[name] / len(rows)) for name, _, rows in kinds])
    for label in (0, 1):
        weights[masked == label] *= VARIED / weights[masked == label].sum()
    bare = faces[masked == 0]
    mean, spread = bare.mean(axis=0), bare.std(axis=0) + 1e-3
    model = LogisticRegression(C=STRENGTH, max_iter=500).fit((faces - mean) / spread, masked, sample_weight=weights)
    coefficients = (model.coef_[0] / spread).astype(np.float32)
    judge = Judge(coefficients, float(model.intercept_[0] - mean @ coefficients), 0.0)
    hard = [material.bare[name] for name in ("varied", "other background")]
    scores = np.concatenate([judge.scores(rows[~np.isin(owners, list(people))]) for owners, rows in hard])
    return Judge(judge.weights, judge.intercept, float(np.quantile(scores, 1 - FALSE_ALARMS)))


def noticed_by_others(material: Material, people: frozenset[str], groups: NDArray[np.str_]) -> NDArray[np.float32]:
    """Return each real mask's score from a judge that was fitted to the other half of the people in real masks."""
    wearers = np.random.default_rng(3).permutation(np.unique(groups))
    first = np.isin(groups, wearers[::2])
    scores = np.zeros(len(groups), np.float32)
    for half in (first, ~first):
        scores[~half] = fit(material, people, half).scores(material.real[~half])
    return scores


def rule_before(crop: RGBImage) -> float:
    """Say how surely a mouth is hidden by the rule used before: another hue than the skin's, and no lips."""
    skin = np.median(
        _colors(crop, (0.52, 0.59, 0.25, 0.375), (0.52, 0.59, 0.625, 0.75), (0.215, 0.34, 0.36, 0.64)), axis=0
    )
    hue = float(np.hypot(*(np.median(_colors(crop, (0.70, 0.93, 0.34, 0.66)), axis=0) - skin)[1:]))
    lips = float(np.ptp(lab_of(_part(crop, (0.75, 0.89, 0.39, 0.61)))[..., 0].mean(axis=1))) / max(float(skin[0]), 5.0)
    return float(np.clip((hue - 8) / 8, 0, 1) * np.clip((0.3 - lips) / 0.1, 0, 1))


def _colors(crop: RGBImage, *parts: tuple[float, float, float, float]) -> FloatArray:
    return lab_of(np.concatenate([_part(crop, part).reshape(-1, 3) for part in parts]))


def _part(crop: RGBImage, part: tuple[float, float, float, float]) -> RGBImage:
    top, bottom, left, right = (round(share * len(crop)) for share in part)
    return crop[top:bottom, left:right]


def share(count: int, total: int) -> dict[str, object]:
    """Return a share in per cent with its 95 % interval (Wilson)."""
    rate, z = count / total, 1.96
    middle = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z * np.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    interval = [round(100 * max(0.0, float(middle - half)), 2), round(100 * min(1.0, float(middle + half)), 2)]
    return {"count": count, "of": total, "percent": round(100 * rate, 2), "interval": interval}


def false_alarms(names: Sequence[str], alarmed: Sequence[bool] | NDArray[np.bool_]) -> dict[str, object]:
    """Count alarms on faces of LFW; those with something at the mouth (`COVERED`) are none, and counted apart."""
    alarms = [name for name, alarm in zip(names, alarmed, strict=True) if alarm]
    covered = [name for name in names if name in COVERED]
    return {
        **share(sum(name not in COVERED for name in alarms), len(names) - len(covered)),
        "faces": [name for name in alarms if name not in COVERED],
        "covered mouths noticed": dict(Counter(COVERED[name] for name in alarms if name in COVERED)),
        "covered mouths seen by eye": dict(Counter(COVERED[name] for name in covered)),
    }


def judged(judge: Judge, crops: Sequence[RGBImage] | NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say in which faces a hidden mouth is noticed."""
    return judge.scores(described(crops)) > 0


def by_rule(crops: Iterable[RGBImage]) -> list[bool]:
    """Say in which faces the rule used before notices a hidden mouth."""
    return [rule_before(crop) > NOTICED for crop in crops]


def milliseconds(crops: Sequence[RGBImage] | NDArray[np.uint8]) -> float:
    """Return the processor time for one face."""
    begin = time.process_time()
    for crop in crops:
        hidden_mouth(crop)
    return round(1000 * (time.process_time() - begin) / len(crops), 3)


def report_on(data: Path, material: Material, people: frozenset[str], judge: Judge) -> dict[str, object]:
    """Return all figures; `judge` is fitted to all real masks."""
    pack = load_pack(None)
    names, crops = real_masks(data)
    groups = np.array([SAME_PERSON.get(name, name) for name in names])
    drawn_only = fit(material, people, np.zeros(len(names), dtype=np.bool_))
    by_halves = noticed_by_others(material, people, groups)
    reporting = bare_faces(data, pack, REPORTING)
    faces = described(reporting.crops)
    scores, photos = judge.scores(faces), reporting.photos.tolist()
    other = list(_other_faces(data, FaceAnalyzer.from_pack(pack)))
    owners, drawn = material.drawn["as drawn"]
    return {
        "real masks noticed": {
            "fitted to the other half of the people in real masks": share(int((by_halves > 0).sum()), len(names)),
            "fitted to drawn masks only": share(int((drawn_only.scores(material.real) > 0).sum()), len(names)),
            "as shipped, fitted to these": share(int((judge.scores(material.real) > 0).sum()), len(names)),
            "the rule before": share(sum(by_rule(crops)), len(names)),
        },
        "drawn masks noticed": share(
            int((judge.scores(drawn[~np.isin(owners, list(people))]) > 0).sum()),
            int((~np.isin(owners, list(people))).sum()),
        ),
        "bare faces of LFW, reporting people": {
            "as shipped": false_alarms(photos, scores > 0),
            "fitted to drawn masks only": false_alarms(photos, drawn_only.scores(faces) > 0),
            "the rule before": false_alarms(photos, by_rule(reporting.crops)),
            "like masked ones, by eye": [
                {"face": photos[row], "score": round(float(scores[row]), 2), "at the mouth": COVERED.get(photos[row])}
                for row in np.argsort(-scores)[:60].tolist()
            ],
        },
        "other bare faces": {
            "as shipped": share(int(judged(judge, other).sum()), len(other)),
            "the rule before": share(sum(by_rule(other)), len(other)),
        },
        "milliseconds a face": milliseconds(reporting.crops[:500]),
    }


def _other_faces(data: Path, analyzer: FaceAnalyzer) -> Iterable[RGBImage]:
    """Yield every face of the photos that are not LFW's; nobody in them wears a mask."""
    for folder in ("demo", "photos"):
        for path in sorted((data / folder).rglob("*")):
            if path.suffix in (".jpg", ".jpeg", ".png"):
                analyzed = next(analyzer.analyze([read_photo(path)]))
                yield from (analyzer.crop(analyzed.photo, face) for face in analyzed.faces)


def main() -> None:
    """Fit, measure and write ``OUT.json``; with ``--fit`` also the judge's numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/, hard/masks/ and photos/")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, without suffix")
    parser.add_argument("--fit", action="store_true", help=f"write {NUMBERS.name}")
    arguments = parser.parse_args()
    pack = load_pack(None)
    faces = bare_faces(arguments.data, pack, DEVELOPMENT)
    names, real = real_masks(arguments.data)
    material = gather(faces, drawn_masks(arguments.data, pack, faces, DEVELOPMENT), real)
    people = frozenset(np.unique(faces.people)[::2].tolist())
    judge = fit(material, people, np.ones(len(names), dtype=np.bool_))
    if arguments.fit:
        np.savez(
            NUMBERS,
            weights=judge.weights,
            intercept=np.float32(judge.intercept),
            threshold=np.float32(judge.threshold),
            provenance=np.array(PROVENANCE),
        )
    report = report_on(arguments.data, material, people, judge)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: report[key] for key in ("real masks noticed", "milliseconds a face")}, indent=2))


if __name__ == "__main__":
    main()
