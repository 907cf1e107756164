"""Detection rate of photo copies, and false alarms on different shots of one moment.

    python -m benchmarks.planted_copies ../shared/data --out benchmarks/reports/planted_copies

Uses development people of LFW: the first photo of each is copied in many ways, and all pairs of their real photos with
sufficiently similar embeddings are compared as by `facebank.evaluation.leakage`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.json_report import write_json_report
from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pick
from facebank.evaluation.datasets import read_people
from facebank.evaluation.faces import FaceReader, FaceSet
from facebank.evaluation.leakage import MIN_SIMILARITY, are_one_image, small_gray
from facebank.media import read_photo
from facebank.operations.engine import load_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from facebank.types import FloatArray, RGBImage

MAX_PEOPLE = 200
MAX_PHOTOS = 6  # per person, in pairs of real photos


def recompress(quality: int) -> Callable[[RGBImage], RGBImage]:
    """Return a function that encodes pixels as JPEG and decodes them."""

    def copy(pixels: RGBImage) -> RGBImage:
        encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1])

    return copy


def resize(factor: float) -> Callable[[RGBImage], RGBImage]:
    """Return a function that resizes a photo."""
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return lambda pixels: np.asarray(
        cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=interpolation), dtype=np.uint8
    )


def crop(pixels: RGBImage) -> RGBImage:
    """Return a photo cropped unevenly by up to a twelfth per side."""
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(pixels[height // 12 : -height // 24, width // 24 : -width // 12])


def brighten(pixels: RGBImage) -> RGBImage:
    """Return a brighter photo."""
    return np.asarray(np.clip(pixels.astype(np.float32) * 1.15 + 8, 0, 255), dtype=np.uint8)


COPY_METHODS: dict[str, Callable[[RGBImage], RGBImage]] = {
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


def read_faces(reader: FaceReader, photos: Sequence[DatasetPhoto]) -> FaceSet:
    """Detect and embed the central faces of photos."""
    return reader.read(Dataset("photos", tuple(photos), pick=Pick.CENTRAL))


def measure_copies(
    reader: FaceReader, photos: Sequence[DatasetPhoto], real: FaceSet, gray_crops: dict[int, FloatArray]
) -> dict[str, dict[str, int]]:
    """Copy the first photo of each person, and count the copies and the reported ones, by method of copying.

    Parameters
    ----------
    reader
        Reader of faces.
    photos, real
        The real photos and their faces.
    gray_crops
        Results of `small_gray` by index of the photo; only of photos with a face.
    """
    firsts = [index for index in gray_crops if photos[index].name.endswith("_0001")]
    counts = {}
    for method, copy in COPY_METHODS.items():
        copies = [
            DatasetPhoto(f"copy of {photos[index].name}", None, copy(read_photo(str(photos[index].content)).pixels))
            for index in firsts
        ]
        faces = read_faces(reader, copies)
        is_near = np.einsum("nd,nd->n", faces.embeddings, real.embeddings[firsts]) >= MIN_SIMILARITY
        reported = sum(
            bool(is_near[number]) and are_one_image(small_gray(reader.crop(faces, number)), gray_crops[index])
            for number, index in enumerate(firsts)
        )
        counts[method] = {"copies": int(faces.has_face.sum()), "reported": reported}
        print(f"{method}: {reported} of {int(faces.has_face.sum())}", flush=True)
    return counts


def measure_real_pairs(
    photos: Sequence[DatasetPhoto], real: FaceSet, gray_crops: dict[int, FloatArray]
) -> dict[str, object]:
    """Return the counts of pairs of real photos, and the names of the reported pairs; see `measure_copies`."""
    indices = np.array(list(gray_crops))
    rows, columns = np.nonzero(np.triu(real.embeddings[indices] @ real.embeddings[indices].T, 1) >= MIN_SIMILARITY)
    pairs = [(int(indices[row]), int(indices[column])) for row, column in zip(rows, columns, strict=True)]
    reported_pairs = [pair for pair in pairs if are_one_image(gray_crops[pair[0]], gray_crops[pair[1]])]
    pair_count = len(indices) * (len(indices) - 1) // 2
    print(f"{len(reported_pairs)} of {pair_count:,} pairs of real photos reported; {len(pairs)} were compared")
    return {
        "pairs_of_real_photos": pair_count,
        "pairs_looked_at": len(pairs),
        "pairs_reported": [[photos[index].name for index in pair] for pair in reported_pairs],
    }


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    reader = FaceReader(load_engine(None, "cpu"))
    names = [person.name for person in read_people(arguments.data / "lfw-meta" / "peopleDevTrain.txt")]
    folders = [arguments.data / "lfw" / name for name in names if (arguments.data / "lfw" / name).is_dir()][:MAX_PEOPLE]
    photos = [
        DatasetPhoto(path.stem, folder.name, path)
        for folder in folders
        for path in sorted(folder.glob("*.jpg"))[:MAX_PHOTOS]
    ]
    real = read_faces(reader, photos)
    gray_crops = {int(index): small_gray(reader.crop(real, int(index))) for index in np.flatnonzero(real.has_face)}
    report = {
        "people": len(folders),
        "copies": measure_copies(reader, photos, real, gray_crops),
        **measure_real_pairs(photos, real, gray_crops),
    }
    write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
