"""Detection rate of photo copies, and false alarms on different shots of one moment.

    python -m benchmarks.planted_copies ../shared/data --out benchmarks/reports/planted_copies

Uses development people of LFW: the first photo of each is copied in many ways, and all pairs of their real photos with
sufficiently similar embeddings are compared as by `facebank.evaluation.leakage`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pick
from facebank.evaluation.datasets import read_people
from facebank.evaluation.faces import FaceReader, FaceSet
from facebank.evaluation.leakage import MIN_SIMILARITY, are_one_picture, small_gray
from facebank.media import read_photo
from facebank.operations.engine import load_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from facebank.types import RGBImage

PEOPLE = 200
MOST_PHOTOS = 6  # per person, in pairs of real photos


def recompress(quality: int) -> Callable[[RGBImage], RGBImage]:
    """Return a function that encodes pixels as JPEG and decodes them."""

    def change(pixels: RGBImage) -> RGBImage:
        encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1])

    return change


def resize(factor: float) -> Callable[[RGBImage], RGBImage]:
    """Return a function that resizes a photo."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return lambda pixels: np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=how), dtype=np.uint8)


def crop(pixels: RGBImage) -> RGBImage:
    """Return a photo cropped unevenly by up to a twelfth per side."""
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(pixels[height // 12 : -height // 24, width // 24 : -width // 12])


def brighten(pixels: RGBImage) -> RGBImage:
    """Return a brighter photo."""
    return np.asarray(np.clip(pixels.astype(np.float32) * 1.15 + 8, 0, 255), dtype=np.uint8)


WAYS: dict[str, Callable[[RGBImage], RGBImage]] = {
    "JPEG quality 60": recompress(60),
    "JPEG quality 30": recompress(30),
    "three quarters of the size": resize(0.75),
    "half the size": resize(0.5),
    "two fifths of the size": resize(0.4),
    "one and a half times the size": resize(1.5),
    "cut": crop,
    "brighter": brighten,
    "half the size, JPEG quality 40": lambda pixels: recompress(40)(resize(0.5)(pixels)),
}


def read(reader: FaceReader, photos: Sequence[DatasetPhoto]) -> FaceSet:
    """Find and embed the central faces of photos."""
    return reader.read(Dataset("photos", tuple(photos), pick=Pick.CENTRAL))


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    reader = FaceReader(load_engine(None, "cpu"))
    listed = [person.name for person in read_people(arguments.data / "lfw-meta" / "peopleDevTrain.txt")]
    folders = [arguments.data / "lfw" / name for name in listed if (arguments.data / "lfw" / name).is_dir()][:PEOPLE]
    photos = [
        DatasetPhoto(path.stem, folder.name, path)
        for folder in folders
        for path in sorted(folder.glob("*.jpg"))[:MOST_PHOTOS]
    ]
    real = read(reader, photos)
    found = np.flatnonzero(real.found)
    pictures = {int(place): small_gray(reader.crop(real, int(place))) for place in found}
    firsts = [int(place) for place in found if photos[place].name.endswith("_0001")]
    copies: dict[str, Any] = {}
    for way, change in WAYS.items():
        made = [
            DatasetPhoto(f"copy of {photos[place].name}", None, change(read_photo(str(photos[place].content)).pixels))
            for place in firsts
        ]
        faces = read(reader, made)
        near = np.einsum("nd,nd->n", faces.embeddings, real.embeddings[firsts]) >= MIN_SIMILARITY
        reported = sum(
            bool(near[number]) and are_one_picture(small_gray(reader.crop(faces, number)), pictures[place])
            for number, place in enumerate(firsts)
        )
        copies[way] = {"copies": int(faces.found.sum()), "reported": reported}
        print(f"{way}: {reported} of {int(faces.found.sum())}", flush=True)
    rows, columns = np.nonzero(np.triu(real.embeddings[found] @ real.embeddings[found].T, 1) >= MIN_SIMILARITY)
    pairs = [(int(found[row]), int(found[column])) for row, column in zip(rows, columns, strict=True)]
    alarms = [pair for pair in pairs if are_one_picture(pictures[pair[0]], pictures[pair[1]])]
    every = len(found) * (len(found) - 1) // 2
    report = {
        "people": len(folders),
        "copies": copies,
        "pairs_of_real_photos": every,
        "pairs_looked_at": len(pairs),
        "pairs_reported": [[photos[place].name for place in pair] for pair in alarms],
    }
    print(f"{len(alarms)} of {every:,} pairs of real photos reported; {len(pairs)} were compared")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
