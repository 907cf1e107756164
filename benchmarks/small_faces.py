"""Recall and speed of detection at hints of small faces compared with two detections of the whole photo.

    python -m benchmarks.small_faces ../shared/data --people reporting --out benchmarks/reports/small_faces

Uses the photos of ``data/photos`` (every other one for development), unaltered, and resized to 1,000 to 4,000 pixels
with one to eight pasted heads of LFW's people of 18 to 150 pixels; a quarter of the heads are of actors and singers
aged 11 to 19. One photo of each of these people is enrolled. Both detections, with the manifest's ``hint_score`` and
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
SMALLEST, LARGEST, MOST, YOUNG_SHARE = 18, 150, 8, 0.25
SIZES = (0, 30, 50, 100, 10_000)
MEASURED, LARGE, ADULTS = 24, 960, 60
_SUFFIXES = {".jpg", ".jpeg", ".png"}
_TRIES, _NEAR, _SAME = 60, 0.6, 0.4


@dataclass(frozen=True, slots=True)
class Pasted:
    """A pasted head: its person, center, and face size in pixels."""

    person: str
    center: tuple[float, float]
    size: int

    @property
    def group(self) -> str:
        """Group by age and size."""
        least, most = next((low, high) for low, high in pairwise(SIZES) if low <= self.size < high)
        age = "11 to 19 years" if self.person in YOUNG else "adults"
        return f"{age}, {f'{least} to {most}' if most < SIZES[-1] else f'{least} and more'} pixels"

    def is_at(self, face: Face) -> bool:
        """Return whether a detected face is this one."""
        center = (face.box[:2] + face.box[2:]) / 2
        return bool((np.abs(center - self.center) < _NEAR * self.size).all() and face.size < 2.5 * self.size)


def album(data: Path, which: str) -> list[Path]:
    """Return the half of the photos for development or reporting."""
    photos = sorted(path for path in (data / "photos").rglob("*") if path.suffix in _SUFFIXES)
    return photos[::2] if which == "development" else photos[1::2]


def pictures(data: Path, which: str, count: int) -> Iterator[tuple[RGBImage, list[Pasted]]]:
    """Yield unaltered photos, then `count` photos with pasted heads."""
    backgrounds = album(data, which)
    for path in backgrounds:
        yield read_photo(path).pixels, []
    random = np.random.default_rng(5)
    heads = heads_of(data, which)
    adults, young = (sorted(name for name in heads if (name in YOUNG) is is_young) for is_young in (False, True))
    for number in range(count):
        long, short = SIDES[number % len(SIDES)], SIDES[number % len(SIDES)] * 3 // 4
        width, height = (short, long) if random.random() < 0.3 else (long, short)
        background = read_photo(backgrounds[int(random.integers(len(backgrounds)))]).pixels
        canvas = np.asarray(cv2.resize(background, (width, height)), dtype=np.uint8)
        taken: list[tuple[int, int, int, int]] = []
        pasted = []
        for _ in range(int(random.integers(1, MOST + 1))):
            name = str(random.choice(young if random.random() < YOUNG_SHARE else adults))
            size = round(float(np.exp(random.uniform(np.log(SMALLEST), np.log(LARGEST)))))
            tile = head(heads[name][int(random.integers(1, len(heads[name])))], size)
            place = free_place(taken, tile.shape[:2], (height, width), random)
            if place is not None:
                paste(canvas, tile, place, size // 12 + 1)
                taken.append((*place, *tile.shape[:2]))
                middle = (place[1] + tile.shape[1] / 2, place[0] + tile.shape[0] / 2)
                pasted.append(Pasted(name, middle, size))
        yield canvas, pasted


def heads_of(data: Path, which: str) -> dict[str, list[Path]]:
    """Return the photos by person of some adults of a list with two or more photos, and of the young people."""
    listed = {name: sorted((data / "lfw" / name).glob("*.jpg")) for name in sorted(read_people(data, LISTS[which]))}
    adults = [name for name, photos in listed.items() if len(photos) > 1 and name not in YOUNG][:ADULTS]
    return {name: sorted((data / "lfw" / name).glob("*.jpg")) for name in (*adults, *YOUNG)}


def free_place(
    taken: list[tuple[int, int, int, int]], tile: tuple[int, int], whole: tuple[int, int], random: np.random.Generator
) -> tuple[int, int] | None:
    """Return a row and column at which a tile covers no other one, None if none was found."""
    for _ in range(_TRIES):
        y, x = (int(random.integers(0, side - part)) for side, part in zip(whole, tile, strict=True))
        if all(y + tile[0] <= t or t + h <= y or x + tile[1] <= s or s + w <= x for t, s, h, w in taken):
            return y, x
    return None


def paste(canvas: RGBImage, tile: RGBImage, place: tuple[int, int], edge: int) -> None:
    """Paste a tile into an image, with soft edges."""
    height, width = tile.shape[:2]
    mask = np.zeros((height, width), np.float32)
    mask[edge:-edge, edge:-edge] = 1
    soft = np.asarray(cv2.blur(mask, (2 * edge + 1, 2 * edge + 1)))[..., None]
    part = canvas[place[0] : place[0] + height, place[1] : place[1] + width]
    part[:] = (tile * soft + part * (1 - soft)).astype(np.uint8)


def without_hints(folder: Path) -> Path:
    """Copy the embedded pack without ``hint_score``, so that whole large photos are detected twice."""
    shutil.copytree(EMBEDDED_FOLDER, folder)
    manifest = folder / "pack.toml"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if not line.startswith("hint_score")), encoding="utf-8")
    return folder


def finding_seconds(spec: DetectorSpec, photos: list[RGBImage]) -> float:
    """Return the processor seconds of detection on one thread."""
    finder = FaceFinder.from_spec(build_detector(load_pack(), "cpu", 1), spec)
    finder.find(photos[0])
    started = time.thread_time()
    for photo in photos:
        finder.find(photo)
    return time.thread_time() - started


def matching_face(face: Face, others: list[Face]) -> Face | None:
    """Return the overlapping face of the other detection, None without one."""
    if not others:
        return None
    shares = overlaps(face.box, np.stack([other.box for other in others]))
    return others[int(shares.argmax())] if shares.max() > _SAME else None


def compare(data: Path, which: str, count: int) -> dict[str, object]:
    """Compare both detections on all images."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    cosines, both, known, differ, renamed = list[float](), 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        place, everywhere = Path(scratch) / "a.facebank", without_hints(Path(scratch) / "pack")
        with (
            FaceBank.open(place, device="cpu") as now,
            FaceBank.open(place, pack=str(everywhere), device="cpu") as before,
        ):
            for name, photos_of_one in heads_of(data, which).items():
                now.enroll(name, photos_of_one[:1])
            for pixels, pasted in pictures(data, which, count):
                (ours,), (theirs,) = ([list(one.faces) for one in bank.identify([pixels])] for bank in (now, before))
                for head_ in pasted:
                    found[head_.group]["pasted"] += 1
                    found[head_.group]["everywhere"] += any(head_.is_at(face) for face in theirs)
                    found[head_.group]["where hints are"] += any(head_.is_at(face) for face in ours)
                for way, faces in (("everywhere", theirs), ("where hints are", ours)):
                    others = [face for face in faces if not any(head_.is_at(face) for head_ in pasted)]
                    kind = "others in pictures with heads" if pasted else "faces of photographs as they are"
                    found[kind][f"{way}, 30 pixels and more"] += sum(face.size >= SIZES[1] for face in others)
                    found[kind][way] += len(others)
                for face in theirs:
                    if (same := matching_face(face, ours)) is not None:
                        both += 1
                        cosines.append(float(face.embedding @ same.embedding))
                        known += face.person is not None
                        differ += (face.person, face.decision, face.reason) != (same.person, same.decision, same.reason)
                        renamed += face.person != same.person
    photos = [pixels for pixels, _ in pictures(data, which, MEASURED) if max(pixels.shape) > LARGE]
    spec = load_pack().manifest.detector
    seconds = {
        way: finding_seconds(one, photos)
        for way, one in (("everywhere", replace(spec, hint_score=None)), ("where hints are", spec))
    }
    return {
        "people": which,
        "pictures": count,
        "found": {group: dict(found[group]) for group in sorted(found)},
        "faces found both ways": both,
        "of these named": known,
        "other decisions or reasons": differ,
        "other names": renamed,
        "cosine, smallest and first percentile": [min(cosines), float(np.percentile(cosines, 1))],
        "milliseconds of finding": {way: round(1000 * each / len(photos), 1) for way, each in seconds.items()},
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
    text = json.dumps(report, indent=1)
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
