"""Error rates of orientation detection for photos without EXIF orientation, in all four rotations.

    python -m benchmarks.orientation ../shared/data --out benchmarks/reports/orientation

Uses unaltered and degraded photos (blurred, dark, small within a large image), and contact sheets of 2 to 20 faces of
several sizes (plain, blurred, dark, noisy). Some sheets are placed within a large image, others get one larger rotated
face. Counts upright images that are rotated, and rotated ones that are not corrected. Settings were chosen on
development people.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING, read_people
from facebank import read_photo
from facebank.media import turn_photo
from facebank.packs import load_pack
from facebank.types import DecodedPhoto
from facebank.vision import FaceFinder, build_detector

if TYPE_CHECKING:
    from facebank.types import RGBImage

SINGLE_FACES, DEGRADED_FACES, HEADS = 150, 60, 900  # numbers of photos
FOLDERS = ("demo", "photos/enrol", "photos/probe")
LIGHTS = ("plain", "blurred", "more blurred", "dark", "noisy")
OUTCOMES = ("upright", "upright turned", "turned", "not put right")
_HEAD = (slice(45, 225), slice(40, 210))  # rows and columns of the head in LFW's photos
_FACE = 92  # approximate width of LFW's faces, in pixels


def first_photos(data: Path, listing: str, count: int, seed: int) -> list[Path]:
    """Return the first photo of each of some people."""
    first = [next(iter(sorted((data / "lfw" / name).glob("*.jpg"))), None) for name in read_people(data, listing)]
    present = sorted(path for path in first if path is not None)
    return [present[index] for index in np.random.default_rng(seed).permutation(len(present))[:count]]


def head(path: Path, face_width: int) -> RGBImage:
    """Return a crop of a head from a photo of LFW, with a face of `face_width` pixels."""
    pixels = read_photo(path).pixels[_HEAD]
    height, width = (round(side * face_width / _FACE) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def background(path: Path, height: int, width: int) -> RGBImage:
    """Return the top of a photo of LFW, which shows no face, stretched to the given size."""
    strip = read_photo(path).pixels[5:60, 5:245]
    return np.asarray(cv2.resize(strip, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def contact_sheet(paths: list[Path], face_width: int, random: np.random.Generator) -> RGBImage:
    """Return a grid of heads with random offsets."""
    columns, cell = int(np.ceil(np.sqrt(1.4 * len(paths)))), round(2.1 * face_width)
    rows = -(-len(paths) // columns)
    sheet = background(paths[0], rows * cell + 2 * face_width, columns * cell + 2 * face_width)
    for index, path in enumerate(paths):
        tile = head(path, face_width)
        row, column = divmod(index, columns)
        y, x = (
            face_width + cell_index * cell + int(random.integers(0, max(1, cell - side)))
            for cell_index, side in zip((row, column), tile.shape[:2], strict=True)
        )
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet


def degrade(pixels: RGBImage, light: str, face_width: float, random: np.random.Generator) -> RGBImage:
    """Return a blurred, dark or noisy image; the strength depends on the face width."""
    blur = {"blurred": 0.045, "more blurred": 0.07, "noisy": 0.02}.get(light)
    values = pixels if blur is None else cv2.GaussianBlur(pixels, (0, 0), blur * face_width)
    dark = {"dark": 0.18, "noisy": 0.5}.get(light, 1.0)
    noise = random.normal(0, 18, pixels.shape) if light == "noisy" else 0.0
    return np.asarray(np.clip(values * np.float32(dark) + noise, 0, 255), dtype=np.uint8)


def add_head(sheet: RGBImage, tile: RGBImage) -> RGBImage:
    """Return a contact sheet with one more head on the right."""
    height = max(sheet.shape[0], tile.shape[0])
    combined = np.full((height, sheet.shape[1] + tile.shape[1] + 20, 3), sheet.mean(axis=(0, 1)), dtype=np.uint8)
    combined[: sheet.shape[0], : sheet.shape[1]] = sheet
    combined[-tile.shape[0] :, -tile.shape[1] :] = tile
    return combined


def place_sheet(sheet: RGBImage, path: Path, random: np.random.Generator) -> RGBImage:
    """Return a contact sheet at a random position within a large image."""
    large = background(path, max(1900, sheet.shape[0]), max(2600, sheet.shape[1]))
    y, x = (int(random.integers(0, large.shape[axis] - sheet.shape[axis] + 1)) for axis in (0, 1))
    large[y : y + sheet.shape[0], x : x + sheet.shape[1]] = sheet
    return large


def make_images(data: Path, listing: str) -> Iterator[tuple[str, RGBImage]]:
    """Yield the kind of each test image and the upright image."""
    random = np.random.default_rng(3)
    if listing == REPORTING:
        paths = [path for folder in FOLDERS for path in sorted((data / folder).rglob("*"))]
        for path in paths:
            if path.suffix in {".jpg", ".jpeg", ".png"} and path.name != "32bit.png":
                yield "album", read_photo(path).pixels
    for path in first_photos(data, listing, SINGLE_FACES, 5):
        yield "one face", read_photo(path).pixels
    for index, path in enumerate(first_photos(data, listing, DEGRADED_FACES, 6)):
        pixels = read_photo(path).pixels
        yield "one face, made worse", degrade(pixels, ("blurred", "dark", "noisy")[index % 3], _FACE, random)
        small = background(path, 480, 640)
        small[200:290, 300:390] = cv2.resize(pixels, (90, 90), interpolation=cv2.INTER_AREA)
        yield "one face, small", small
    heads = first_photos(data, listing, HEADS, 8)

    def draw_heads(count: int) -> list[Path]:
        return [heads[index] for index in random.permutation(len(heads))[:count]]

    for count, face_width, light in product((2, 4, 8, 12, 20), (14, 20, 28, 40, 70), LIGHTS):
        yield "group", degrade(contact_sheet(draw_heads(count), face_width, random), light, face_width, random)
    for count, face_width, light, turn in product((3, 6, 12, 20), (14, 20, 28, 40), LIGHTS, (1, 2, 3)):
        sheet = degrade(contact_sheet(draw_heads(count), face_width, random), light, face_width, random)
        turned_head = head(draw_heads(1)[0], int(face_width * random.uniform(1, 2.5)))
        yield "group, one face turned", add_head(sheet, np.asarray(np.rot90(turned_head, turn)))
    for count, face_width, light in product((2, 6, 12), (16, 22, 30), LIGHTS):
        sheet = degrade(contact_sheet(draw_heads(count), face_width, random), light, face_width, random)
        yield "group, small in a large picture", place_sheet(sheet, draw_heads(1)[0], random)


def count_mistakes(finder: FaceFinder, images: Iterator[tuple[str, RGBImage]]) -> dict[str, dict[str, int]]:
    """Count, by kind of image, upright ones that are rotated and rotated ones that are not corrected."""
    counts: dict[str, Counter[str]] = {}
    for kind, pixels in images:
        upright = DecodedPhoto(kind, pixels, "0" * 64, False, None)
        counter = counts.setdefault(kind, Counter(dict.fromkeys(OUTCOMES, 0)))
        for rotation in range(4):
            photo = replace(turn_photo(upright, rotation), has_orientation=False)
            detected_rotation, detections = finder.find_upright(photo)[1:]
            counter["turned" if rotation else "upright"] += 1
            counter["not put right" if rotation else "upright turned"] += (detected_rotation + rotation) % 4 != 0
            counter["faces found"] += len(detections)
    return {kind: dict(counter) for kind, counter in counts.items()}


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/, demo/ and photos/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    finder = FaceFinder.from_spec(build_detector(pack), replace(pack.manifest.detector, refine=False))
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest}
    for label, listing in (("development", DEVELOPMENT), ("reporting", REPORTING)):
        report[label] = count_mistakes(finder, make_images(arguments.data, listing))
        print(f"{label}: {json.dumps(report[label])}", flush=True)
    write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
