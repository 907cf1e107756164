"""Recall and speed of detection at hints of small faces compared with two detections of the whole photo.

    python -m benchmarks.small_faces ../shared/data --people reporting --out benchmarks/reports/small_faces

Uses the photos of ``data/photos`` (every other one for development), unaltered, and resized to 1,000 to 4,000 pixels
with one to eight pasted heads of 18 to 150 pixels. The heads are those of LFW's people, a quarter of them actors and
singers aged 11 to 19; one photo of each person is enrolled. Both detections, with the manifest's ``hint_score`` and
without it, run on the same images. Counts the pasted faces found by size and age, other detections, differing
decisions, and milliseconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.agreement import count_different_decisions, embedding_similarities
from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING, read_people
from benchmarks.orientation import head
from facebank import FaceBank, read_photo
from facebank.packs import EMBEDDED_FOLDER, load_pack
from facebank.storage.arrays import overlaps
from facebank.vision import FaceFinder, build_detector

if TYPE_CHECKING:
    from facebank.packs import DetectorSpec
    from facebank.types import Face, RGBImage

LISTS = {"development": DEVELOPMENT, "reporting": REPORTING}
# By date of birth and the years of LFW's photos, 2002 to 2004.
YOUNG = ("Amanda_Bynes", "Daniel_Radcliffe", "Emma_Watson", "Hilary_Duff", "Rupert_Grint")
SIDES = (1000, 1200, 1280, 1400, 1600, 1920, 3000, 4000)
MIN_FACE, MAX_FACE, MAX_HEADS, YOUNG_FRACTION = 18, 150, 8, 0.25
SIZES = (0, 30, 50, 100, 10_000)
TIMED_IMAGES, MIN_TIMED_SIDE, MAX_ADULTS = 24, 960, 60
_SUFFIXES = {".jpg", ".jpeg", ".png"}
_TRIES, _MAX_DISTANCE, _MIN_OVERLAP = 60, 0.6, 0.4  # distance relative to the face size


@dataclass(frozen=True, slots=True)
class PastedHead:
    """A pasted head."""

    person: str
    center: tuple[float, float]  # x, y in pixels
    size: int  # of the face, in pixels

    @property
    def group(self) -> str:
        """Group by age and size."""
        low, high = next(bounds for bounds in pairwise(SIZES) if bounds[0] <= self.size < bounds[1])
        age = "11 to 19 years" if self.person in YOUNG else "adults"
        return f"{age}, {f'{low} to {high}' if high < SIZES[-1] else f'{low} and more'} pixels"

    def is_at(self, face: Face) -> bool:
        """Return whether a detected face is that of this head."""
        center = (face.box[:2] + face.box[2:]) / 2
        return bool((np.abs(center - self.center) < _MAX_DISTANCE * self.size).all() and face.size < 2.5 * self.size)


def album_half(data: Path, half: str) -> list[Path]:
    """Return the paths of the half of the photos for development or reporting."""
    paths = sorted(path for path in (data / "photos").rglob("*") if path.suffix in _SUFFIXES)
    return paths[::2] if half == "development" else paths[1::2]


def make_images(data: Path, half: str, count: int) -> Iterator[tuple[RGBImage, list[PastedHead]]]:
    """Yield unaltered photos, then `count` photos with pasted heads."""
    backgrounds = album_half(data, half)
    for path in backgrounds:
        yield read_photo(path).pixels, []
    random = np.random.default_rng(5)
    heads = heads_of(data, half)
    adults, young = (sorted(name for name in heads if (name in YOUNG) is is_young) for is_young in (False, True))
    for number in range(count):
        long, short = SIDES[number % len(SIDES)], SIDES[number % len(SIDES)] * 3 // 4
        width, height = (short, long) if random.random() < 0.3 else (long, short)
        background = read_photo(backgrounds[int(random.integers(len(backgrounds)))]).pixels
        canvas = np.asarray(cv2.resize(background, (width, height)), dtype=np.uint8)
        occupied: list[tuple[int, int, int, int]] = []  # top, left, height, width
        pasted = []
        for _ in range(int(random.integers(1, MAX_HEADS + 1))):
            name = str(random.choice(young if random.random() < YOUNG_FRACTION else adults))
            size = round(float(np.exp(random.uniform(np.log(MIN_FACE), np.log(MAX_FACE)))))
            tile = head(heads[name][int(random.integers(1, len(heads[name])))], size)
            corner = find_free_corner(occupied, tile.shape[:2], (height, width), random)
            if corner is not None:
                paste(canvas, tile, corner, size // 12 + 1)
                occupied.append((*corner, *tile.shape[:2]))
                center = (corner[1] + tile.shape[1] / 2, corner[0] + tile.shape[0] / 2)
                pasted.append(PastedHead(name, center, size))
        yield canvas, pasted


def heads_of(data: Path, half: str) -> dict[str, list[Path]]:
    """Return the photos by person of some adults of a list with two or more photos, and of the young people."""
    names = sorted(read_people(data, LISTS[half]) - set(YOUNG))
    adults = [name for name in names if len(list((data / "lfw" / name).glob("*.jpg"))) > 1][:MAX_ADULTS]
    return {name: sorted((data / "lfw" / name).glob("*.jpg")) for name in (*adults, *YOUNG)}


def find_free_corner(
    occupied: list[tuple[int, int, int, int]], tile: tuple[int, int], size: tuple[int, int], random: np.random.Generator
) -> tuple[int, int] | None:
    """Return the row and column at which a tile covers none of the occupied rectangles, None if none was found.

    Parameters
    ----------
    occupied
        Top, left, height and width of each rectangle, in pixels.
    tile, size
        Height and width of the tile and of the image.
    random
        Generator of the tried positions.
    """
    for _ in range(_TRIES):
        y, x = (int(random.integers(0, side - part)) for side, part in zip(size, tile, strict=True))
        if all(
            y + tile[0] <= top or top + height <= y or x + tile[1] <= left or left + width <= x
            for top, left, height, width in occupied
        ):
            return y, x
    return None


def paste(canvas: RGBImage, tile: RGBImage, corner: tuple[int, int], edge: int) -> None:
    """Paste a tile into an image, with soft edges."""
    height, width = tile.shape[:2]
    mask = np.zeros((height, width), np.float32)
    mask[edge:-edge, edge:-edge] = 1
    soft = np.asarray(cv2.blur(mask, (2 * edge + 1, 2 * edge + 1)))[..., None]
    region = canvas[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    region[:] = (tile * soft + region * (1 - soft)).astype(np.uint8)


def copy_without_hints(folder: Path) -> Path:
    """Copy the embedded pack without ``hint_score``, so that whole large photos are detected twice."""
    shutil.copytree(EMBEDDED_FOLDER, folder)
    manifest = folder / "pack.toml"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if not line.startswith("hint_score")), encoding="utf-8")
    return folder


def detection_seconds(spec: DetectorSpec, images: list[RGBImage]) -> float:
    """Return the CPU seconds of detection on one thread."""
    finder = FaceFinder.from_spec(build_detector(load_pack(), "cpu", 1), spec)
    finder.find(images[0])
    started = time.thread_time()
    for image in images:
        finder.find(image)
    return time.thread_time() - started


def matching_face(face: Face, others: list[Face]) -> Face | None:
    """Return the overlapping face of the other detection, None without one."""
    if not others:
        return None
    ratios = overlaps(face.box, np.stack([other.box for other in others]))
    return others[int(ratios.argmax())] if ratios.max() > _MIN_OVERLAP else None


def compare(data: Path, half: str, count: int) -> dict[str, object]:
    """Return the report on both detections of all images."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    matches: list[tuple[Face, Face]] = []
    with tempfile.TemporaryDirectory() as scratch:
        gallery, pack_folder = Path(scratch) / "a.facebank", copy_without_hints(Path(scratch) / "pack")
        with (
            FaceBank.open(gallery, device="cpu") as with_hints,
            FaceBank.open(gallery, pack=str(pack_folder), device="cpu") as without_hints,
        ):
            for name, paths in heads_of(data, half).items():
                with_hints.enroll(name, paths[:1])
            for pixels, pasted in make_images(data, half, count):
                (hint_faces,), (full_faces,) = (
                    [list(photo.faces) for photo in bank.identify([pixels])] for bank in (with_hints, without_hints)
                )
                count_faces(counts, pasted, {"everywhere": full_faces, "where hints are": hint_faces})
                pairs = ((face, matching_face(face, hint_faces)) for face in full_faces)
                matches += [(face, match) for face, match in pairs if match is not None]
    return {
        "people": half,
        "pictures": count,
        "found": {group: dict(counts[group]) for group in sorted(counts)},
        **compare_matches(matches),
        "milliseconds of finding": measure_milliseconds(data, half),
    }


def count_faces(
    counts: dict[str, Counter[str]], pasted: list[PastedHead], faces_by_method: dict[str, list[Face]]
) -> None:
    """Add the pasted heads of an image that each detection finds, and the other faces, to the counts of each group."""
    for pasted_head in pasted:
        counts[pasted_head.group]["pasted"] += 1
        for method, faces in faces_by_method.items():
            counts[pasted_head.group][method] += any(pasted_head.is_at(face) for face in faces)
    group = "others in pictures with heads" if pasted else "faces of photographs as they are"
    for method, faces in faces_by_method.items():
        others = [face for face in faces if not any(pasted_head.is_at(face) for pasted_head in pasted)]
        counts[group][f"{method}, 30 pixels and more"] += sum(face.size >= SIZES[1] for face in others)
        counts[group][method] += len(others)


def compare_matches(matches: list[tuple[Face, Face]]) -> dict[str, object]:
    """Return the differences of decisions and embeddings between faces that both detections found."""
    similarities = embedding_similarities(matches)
    return {
        "faces found both ways": len(matches),
        "of these named": sum(face.person is not None for face, _ in matches),
        "other decisions or reasons": count_different_decisions(matches),
        "other names": sum(face.person != match.person for face, match in matches),
        "cosine, smallest and first percentile": [min(similarities), float(np.percentile(similarities, 1))],
    }


def measure_milliseconds(data: Path, half: str) -> dict[str, float]:
    """Return the CPU milliseconds of detection for each large image, by method."""
    images = [pixels for pixels, _ in make_images(data, half, TIMED_IMAGES) if max(pixels.shape) > MIN_TIMED_SIDE]
    spec = load_pack().manifest.detector
    specs = {"everywhere": replace(spec, hint_score=None), "where hints are": spec}
    return {
        method: round(1000 * detection_seconds(detector_spec, images) / len(images), 1)
        for method, detector_spec in specs.items()
    }


def main() -> None:
    """Compare and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/ and photos/")
    parser.add_argument(
        "--people", choices=tuple(LISTS), default="development", help="list of people of LFW (default development)"
    )
    parser.add_argument("--pictures", type=int, default=400, help="number of images with pasted heads (default 400)")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    report = compare(arguments.data, arguments.people, arguments.pictures)
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
