"""Rejection of false detections by face quality, and its cost for real faces.

    python -m benchmarks.no_faces ../shared/data --out benchmarks/reports/no_faces

False detections come from the margins of LFW's photos, rotated and enlarged. They were inspected, and those that show
no face (but an ear, a hand, fabric or a pattern) are listed in ``no_faces.tsv``. Faces are LFW's, unaltered and
degraded as in ``benchmarks.quality`` but detected again. Reports the fraction below the pack's minimum quality, without
and with the weakness "hardly a face".
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING, central_face, read_people
from benchmarks.quality import degradations
from facebank import read_photo
from facebank.packs import load_pack
from facebank.storage.arrays import overlaps
from facebank.types import DecodedPhoto
from facebank.vision import FaceAnalyzer
from facebank.vision.quality import quality_score, remaining_similarity

if TYPE_CHECKING:
    from facebank.types import AnalyzedPhoto, Face, RGBImage

FALSE_DETECTIONS = Path(__file__).with_name("no_faces.tsv")
HARDLY_A_FACE = "hardly a face"
STRIPS = {
    "left": (slice(0, 250), slice(0, 72)),
    "right": (slice(0, 250), slice(178, 250)),
    "below": (slice(185, 250), slice(0, 250)),
    "above": (slice(0, 52), slice(0, 250)),
}
PHOTOS, DEGRADED_PHOTOS = {DEVELOPMENT: 300, REPORTING: 1500}, 40


def make_photo(pixels: RGBImage, *, has_orientation: bool = True) -> DecodedPhoto:
    """Return a photo with the given pixels."""
    return DecodedPhoto("photo", np.ascontiguousarray(pixels), "0" * 64, has_orientation, None)


def assess_twice(analyzer: FaceAnalyzer, analyzed: AnalyzedPhoto, face: Face) -> tuple[float, float]:
    """Return a face's quality without and with the weakness "hardly a face", 0..1."""
    similarities = remaining_similarity(face, analyzer.crop(analyzed.photo, face))
    of_other_weaknesses = {weakness: value for weakness, value in similarities.items() if weakness != HARDLY_A_FACE}
    return quality_score(of_other_weaknesses), quality_score(similarities)


def read_false_detections(data: Path, analyzer: FaceAnalyzer, names: frozenset[str]) -> Iterator[tuple[float, float]]:
    """Yield the qualities of the listed false detections in photos of some people."""
    for line in FALSE_DETECTIONS.read_text(encoding="utf-8").splitlines()[1:]:
        file_name, strip, quarter_turns, *corners = line.split("\t")
        person = file_name.rsplit("_", 1)[0]
        if person not in names:
            continue
        pixels = read_photo(data / "lfw" / person / file_name).pixels[STRIPS[strip]]
        enlarged = cv2.resize(np.ascontiguousarray(np.rot90(pixels, int(quarter_turns))), None, fx=2, fy=2)
        analyzed = next(analyzer.analyze([make_photo(np.asarray(enlarged, dtype=np.uint8))]))
        box = np.array([float(corner) for corner in corners], dtype=np.float32)
        for face in analyzed.faces:
            if overlaps(box, face.box[None])[0] > 0.5:
                yield assess_twice(analyzer, analyzed, face)


def read_faces(
    data: Path, analyzer: FaceAnalyzer, names: frozenset[str], count: int
) -> Iterator[tuple[str, int, float, float]]:
    """Yield the condition, quarter turns, and qualities of the central face of `count` photos, some also degraded."""
    paths = sorted(path for name in names for path in (data / "lfw" / name).glob("*.jpg"))
    chosen = np.random.default_rng(17).permutation(len(paths))[:count]
    for order, path in enumerate(paths[number] for number in chosen):
        analyzed = next(analyzer.analyze([make_photo(read_photo(path).pixels, has_orientation=False)]))
        face = central_face(analyzed)
        if face is None:
            continue
        yield "as photographed", analyzed.quarter_turns, *assess_twice(analyzer, analyzed, face)
        if order >= DEGRADED_PHOTOS:
            continue
        for condition, pixels, _ in degradations(analyzed.photo.pixels, face, order):
            degraded = next(analyzer.analyze([make_photo(pixels)]))
            degraded_face = central_face(degraded)
            if degraded_face is not None and condition != "plain":
                yield condition, degraded.quarter_turns, *assess_twice(analyzer, degraded, degraded_face)


def rejection_rates(qualities: list[tuple[float, float]], minimum: float) -> dict[str, float]:
    """Return the count, and the fractions below the minimum quality without and with the weakness."""
    scores = np.array(qualities).reshape(-1, 2)
    plain, total = (scores < minimum).mean(axis=0) if len(scores) else (math.nan, math.nan)
    return {"count": len(scores), "too poor without": round(float(plain), 4), "too poor": round(float(total), 4)}


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack()
    analyzer, minimum = FaceAnalyzer.from_pack(pack), pack.manifest.thresholds.minimum_quality
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest, "minimum": minimum}
    for label, listing in (("development", DEVELOPMENT), ("reporting", REPORTING)):
        names = read_people(arguments.data, listing)
        table = {"no faces": rejection_rates(list(read_false_detections(arguments.data, analyzer, names)), minimum)}
        faces = list(read_faces(arguments.data, analyzer, names, PHOTOS[listing]))
        for condition in dict.fromkeys(name for name, *_ in faces):
            qualities = [(plain, total) for name, _, plain, total in faces if name == condition]
            table[condition] = rejection_rates(qualities, minimum)
        report[label] = {**table, "turned": sum(turns > 0 for name, turns, *_ in faces if name == "as photographed")}
        print(f"{label}: {json.dumps(report[label])}", flush=True)
    write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
