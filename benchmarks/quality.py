"""Predictive value of face quality: error-versus-discard curves on LFW.

    python -m benchmarks.quality ../shared/data --out benchmarks/reports/quality

Probes of people with three or more photos are used unaltered (a random one and the least frontal one) and degraded:
blurred, downsized, darkened, overexposed, masked, with dark glasses. Each is compared with the mean of the person's
other photos. Reports the rank correlation of quality with genuine similarity, and FNMR at an FMR of 0.1 % after
discarding the probes of lowest quality, also without each component of the quality. Settings were chosen on development
people; the fraction of detail that remains after a second blur is 0.13 to 0.21 on LFW's unaltered photos.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, central_face, lfw_faces, read_people
from facebank import read_photo
from facebank.packs import load_pack
from facebank.types import Detection
from facebank.vision import FaceAnalyzer
from facebank.vision.alignment import align
from facebank.vision.analyzer import build_embedder
from facebank.vision.augmentation import augment
from facebank.vision.masking import MASK_COLORS, MaskShape, draw_mask
from facebank.vision.quality import add_stability, assess, frontality, quality_score, remaining_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Pack
    from facebank.types import FloatArray, RGBImage
    from facebank.vision import Embedder

    Doubles = NDArray[np.float64]

PEOPLE = 150
MAX_PHOTOS = 6
MAX_TURNED_FRONTALITY = 0.6
FMR = 0.001
DISCARDED_FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.3)
GROUPS = {
    "as photographed": ("plain", "turned"),
    "turned": ("turned",),
    "blurred": ("plain", "blurred 0.015", "blurred 0.03", "blurred 0.05"),
    "small": ("plain", "40 pixels", "24 pixels", "16 pixels"),
    "light": ("plain", "dark 0.25", "dark 0.08", "bright 2", "bright 3.5"),
    "covered": ("plain", "masked", "dark glasses"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A probe with its qualities and similarities.

    Attributes
    ----------
    person
        Id of the person.
    condition
        Degradation of the photo.
    similarities
        Similarities with the mean of each person's other photos, ``(people,)``.
    factors
        Factor of the quality for each weakness, 0..1.
    stable_quality
        Quality including the stability of the embedding, 0..1.
    """

    person: int
    condition: str
    similarities: FloatArray
    factors: Mapping[str, float]
    stable_quality: float


def degradations(pixels: RGBImage, detection: Detection, number: int) -> Iterator[tuple[str, RGBImage, float]]:
    """Yield degraded versions of a photo: name of the degradation, photo, and scale."""
    size, landmarks = detection.size, detection.landmarks
    values = pixels.astype(np.float32)
    noise = np.random.default_rng(number).normal(0, 2, pixels.shape)
    yield "plain", pixels, 1.0
    for sigma in (0.015, 0.03, 0.05):
        yield f"blurred {sigma:g}", _pixels(cv2.GaussianBlur(pixels, (0, 0), sigma * size)), 1.0
    for side in (40, 24, 16):
        scale = side / size
        resized = (max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale)))
        yield f"{side} pixels", _pixels(cv2.resize(pixels, resized, interpolation=cv2.INTER_AREA)), scale
    for factor in (0.25, 0.08):
        yield f"dark {factor:g}", _pixels(values * factor + noise), 1.0
    for factor in (2.0, 3.5):
        yield f"bright {factor:g}", _pixels(values * factor), 1.0
    mask_shape, color = list(MaskShape)[number % 4], list(MASK_COLORS.values())[number // 4 % 8]
    yield "masked", draw_mask(pixels, landmarks, mask_shape, color, number), 1.0
    yield "dark glasses", draw_glasses(pixels, landmarks), 1.0


def draw_glasses(pixels: RGBImage, landmarks: FloatArray) -> RGBImage:
    """Draw a dark band over the eyes."""
    covered = pixels.copy()
    eye_line = landmarks[1] - landmarks[0]
    ends = np.rint([landmarks[0] - 0.45 * eye_line, landmarks[1] + 0.45 * eye_line]).astype(int).tolist()
    cv2.line(covered, ends[0], ends[1], (20, 20, 22), max(1, round(0.68 * float(np.linalg.norm(eye_line)))))
    return covered


def _pixels(values: NDArray[np.generic]) -> RGBImage:
    return np.asarray(np.rint(np.clip(values.astype(np.float32), 0, 255)), dtype=np.uint8)


def make_probes(data: Path, names: list[str], faces: LfwFaces, pack: Pack) -> list[Probe]:
    """Return the embedded and assessed probes of some people."""
    analyzer, embedder = FaceAnalyzer.from_pack(pack), build_embedder(pack, "auto")
    random = np.random.default_rng(11)
    chosen: list[tuple[int, str, Detection, RGBImage, str]] = []
    for number, name in enumerate(names):
        paths = random.permutation(np.array(faces.paths[faces.names == name], dtype=object))[:MAX_PHOTOS]
        detected: list[tuple[Detection, RGBImage, str]] = []
        for path in paths:
            photo = read_photo(data / "lfw" / path)
            face = central_face(next(analyzer.analyze([photo])))
            if face is not None:
                detected.append((face, photo.pixels, str(path)))
        if len(detected) < 3:
            continue
        turned = min(detected[1:], key=lambda photo_face: frontality(photo_face[0].landmarks))
        chosen.append((number, "plain", *detected[0]))
        if frontality(turned[0].landmarks) < MAX_TURNED_FRONTALITY:
            chosen.append((number, "turned", *turned))
    probes: list[Probe] = []
    for index, (person, condition, detection, pixels, path) in enumerate(chosen):
        if index % 20 == 0:
            print(f"{index} of {len(chosen)} photos", file=sys.stderr, flush=True)
        means = _means(faces, names, path)
        degraded = list(degradations(pixels, detection, index))[: 1 if condition == "turned" else None]
        probes += [
            _probe(
                embedder,
                _scale_detection(detection, scale),
                degraded_pixels,
                means,
                person=person,
                condition=condition if degradation == "plain" else degradation,
            )
            for degradation, degraded_pixels, scale in degraded
        ]
    return probes


def _means(faces: LfwFaces, names: list[str], excluded_path: str) -> FloatArray:
    """Return the normalized mean embedding of each person, ``(people, D)``, excluding one photo."""
    means = []
    for name in names:
        rows = faces.embeddings[(faces.names == name) & (faces.paths != excluded_path) & faces.has_face]
        mean = rows.mean(axis=0)
        means.append(mean / np.linalg.norm(mean))
    return np.asarray(np.stack(means), dtype=np.float32)


def _scale_detection(detection: Detection, scale: float) -> Detection:
    factor = np.float32(scale)
    landmarks = (detection.landmarks + np.float32(0.5)) * factor - np.float32(0.5)
    return Detection(detection.box * factor, landmarks, detection.detection_score)


def _probe(
    embedder: Embedder, detection: Detection, pixels: RGBImage, means: FloatArray, *, person: int, condition: str
) -> Probe:
    crop = align(pixels, detection.landmarks, embedder.template, embedder.size)
    crops = [crop, *(augment(crop, embedder.template, variant) for variant in ("flip", "shifted"))]
    embedding, *augmented = embedder.embed(np.stack(crops))
    stable_quality = add_stability(assess(detection, crop), embedding, np.stack(augmented)).score
    factors = remaining_similarity(detection, crop)
    return Probe(person, condition, means @ embedding, factors, stable_quality)


def compute_scores(probes: list[Probe]) -> dict[str, Doubles]:
    """Return the qualities of the probes: as shipped, without each component, and with stability."""
    scores = {"quality": np.array([quality_score(probe.factors) for probe in probes])}
    for weakness in probes[0].factors:
        reduced = [{name: factor for name, factor in probe.factors.items() if name != weakness} for probe in probes]
        scores[f"without '{weakness}'"] = np.array([quality_score(factors) for factors in reduced])
    scores["with stability (at enrollment)"] = np.array([probe.stable_quality for probe in probes])
    return scores


def error_versus_discard(probes: list[Probe], scores: Doubles, threshold: float) -> dict[str, object]:
    """Return the correlation with genuine similarity, and FNMR in percent by fraction of discarded probes."""
    genuine = np.array([probe.similarities[probe.person] for probe in probes])
    order = np.argsort(scores, kind="stable")
    remaining = [order[int(fraction * len(order)) :] for fraction in DISCARDED_FRACTIONS]
    fnmr = [float((genuine[rows] < threshold).mean()) for rows in remaining]
    return {
        "correlation": round(_rank_correlation(scores, genuine), 3),
        "fnmr": [round(100 * rate, 2) for rate in fnmr],
    }


def _rank_correlation(first_values: Doubles, second_values: Doubles) -> float:
    first, second = _ranks(first_values), _ranks(second_values)
    return float(np.corrcoef(first, second)[0, 1]) if first.std() > 0 and second.std() > 0 else 0.0


def _ranks(values: Doubles) -> Doubles:
    """Return ranks, averaged over ties."""
    _, indices, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[indices]


def evaluate(probes: list[Probe]) -> dict[str, object]:
    """Return the figures of the quality and of each of its components."""
    plain = [probe for probe in probes if probe.condition in ("plain", "turned")]
    impostors = np.concatenate([np.delete(probe.similarities, probe.person) for probe in plain])
    threshold = float(np.quantile(impostors, 1 - FMR))
    scores = compute_scores(probes)
    conditions = np.array([probe.condition for probe in probes])
    table: dict[str, object] = {"threshold": threshold, "discarded": DISCARDED_FRACTIONS, "probes": len(probes)}
    table["all"] = {name: error_versus_discard(probes, values, threshold) for name, values in scores.items()}
    for group, members in GROUPS.items():
        rows = np.flatnonzero(np.isin(conditions, members))
        group_probes = [probes[row] for row in rows]
        table[group] = {
            "probes": len(group_probes),
            **{name: error_versus_discard(group_probes, scores[name][rows], threshold) for name in scores},
        }
    table["means"] = {
        str(condition): {
            "similarity": round(
                float(np.mean([p.similarities[p.person] for p in probes if p.condition == condition])), 3
            ),
            "quality": round(float(scores["quality"][conditions == condition].mean()), 3),
        }
        for condition in dict.fromkeys(conditions)
    }
    return table


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--people", type=int, default=PEOPLE, help="number of people of each list of LFW")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    faces = lfw_faces(arguments.data, pack)
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest}
    for label, listing in (("development", DEVELOPMENT), ("reporting", REPORTING)):
        list_faces = faces.select_people(read_people(arguments.data, listing))
        names, counts = np.unique(list_faces.names[list_faces.has_face], return_counts=True)
        chosen = np.random.default_rng(3).permutation(names[counts >= 3])[: arguments.people]
        report[label] = evaluate(make_probes(arguments.data, [str(name) for name in chosen], list_faces, pack))
        write_json_report(arguments.out, report)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
