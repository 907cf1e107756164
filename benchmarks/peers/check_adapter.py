"""Checks of the ``insightface:FOLDER`` adapter against the insightface library.

Runs in the virtual environment of this folder (see README.md), from the project's root::

    benchmarks/peers/.venv/bin/python benchmarks/peers/check_adapter.py --shared ../shared

The folder ``insightface-mbf`` must be rejected as it is, because its input would be normalized twice. With a manifest
of the library, its results must match ``tests/vision/golden``. Prints a line per check; exits with 1 if one fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

from facebank.errors import PackError  # noqa: E402 - the checkout may not be installed
from facebank.vision.alignment import align  # noqa: E402
from facebank.vision.geometry import letterbox  # noqa: E402
from facebank.vision.insightface_adapter import open_package  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebank.types import FloatArray, RGBImage
    from facebank.vision.insightface_adapter import InsightFaceDetector, InsightFaceEmbedder

GOLDEN = PROJECT / "tests" / "vision" / "golden"
MANIFEST = {
    "manifest_version": 2,
    "model_id": "mbf",
    "license": "MODEL.LICENSE",
    "tasks": {
        "detection": {"file": "det_500m.onnx"},
        "recognition": {
            "file": "insightface_y1_mobilefacenet.onnx",
            "preprocessing": "embedded",
            "embedding_dimension": 128,
        },
    },
}


def main() -> int:
    """Run all checks and print the results."""
    parser = argparse.ArgumentParser(description="Check the insightface adapter against the real library.")
    parser.add_argument("--shared", type=Path, required=True, help="folder that holds data/ and models/")
    shared: Path = parser.parse_args().shared.resolve()
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        for title, passed in run_checks(shared, Path(scratch)):
            print(f"{'ok    ' if passed else 'FAILED'} {title}")
            failures += not passed
    return 1 if failures else 0


def run_checks(shared: Path, scratch: Path) -> Iterator[tuple[str, bool]]:
    """Yield the title of each check and whether it passed."""
    networks = shared / "models" / "insightface-mbf"
    try:
        open_package(f"insightface:{networks}").load("cpu")
        yield "an embedder whose input would be normalized twice is rejected", False
    except PackError as error:
        yield f"rejected: {error}", "twice" in str(error)
    package = open_package(f"insightface:{copy_with_manifest(networks, scratch / 'mbf')}")
    detector, embedder = package.load("cpu")
    yield (
        f"{package.name}: embeddings of length {embedder.dimension} from crops of {embedder.size} pixels",
        embedder.dimension == 128,
    )
    yield from check_contract(detector, embedder)
    yield from check_parity(shared, detector, embedder)


def copy_with_manifest(networks: Path, folder: Path) -> Path:
    """Copy a folder of networks and add a manifest as in the library's newer packages."""
    shutil.copytree(networks, folder)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    (folder / "MODEL.LICENSE").write_text("for this check only\n", encoding="utf-8")
    return folder


def check_contract(detector: InsightFaceDetector, embedder: InsightFaceEmbedder) -> Iterator[tuple[str, bool]]:
    """Check edge cases of the detector and embedder contracts."""
    for height, width in ((1, 1), (31, 33), (97, 352)):
        black = np.zeros((height, width, 3), dtype=np.uint8)
        yield f"no faces in {width}x{height} black pixels", detector.detect(black) == []
    no_embeddings = embedder.embed(np.empty((0, embedder.size, embedder.size, 3), dtype=np.uint8))
    yield "no embeddings from no crops", no_embeddings.shape == (0, embedder.dimension)
    noise = np.random.default_rng(0).integers(0, 256, (19, embedder.size, embedder.size, 3), dtype=np.uint8)
    embeddings = embedder.embed(noise)
    yield (
        "one embedding per crop for more crops than fit in a batch",
        embeddings.shape == (19, embedder.dimension) and embeddings.dtype == np.float32,
    )
    yield "embeddings have length 1", bool(np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5))
    yield (
        "embeddings from a batch equal those of single crops",
        bool(np.allclose(embeddings[-1], embedder.embed(noise[-1:])[0], atol=1e-4)),
    )


def check_parity(
    shared: Path, detector: InsightFaceDetector, embedder: InsightFaceEmbedder
) -> Iterator[tuple[str, bool]]:
    """Compare detections and embeddings with the golden results."""
    record = json.loads((GOLDEN / "insightface.json").read_text(encoding="utf-8"))
    with np.load(GOLDEN / "insightface.npz", allow_pickle=False) as golden:
        for photo in record["photos"]:
            pixels = read_rgb(shared / photo["path"])
            for width, height in record["detector_sizes"]:
                frame, scale = letterbox(pixels, width, height)
                detections = detector.detect(frame)
                key = f"{photo['key']}_{width}x{height}"
                same = len(detections) == len(golden[f"{key}_boxes"]) and all(
                    np.abs(detection.landmarks / scale - landmarks).max() < 1
                    and np.abs(detection.box / scale - box).max() < 1
                    for detection, landmarks, box in zip(
                        detections, golden[f"{key}_landmarks"], golden[f"{key}_boxes"], strict=True
                    )
                )
                yield f"{photo['path']} at {width}x{height}: {len(detections)} faces", same
            yield from check_embeddings(photo, pixels, golden, embedder)


def check_embeddings(
    photo: dict[str, Any], pixels: RGBImage, golden: Any, embedder: InsightFaceEmbedder
) -> Iterator[tuple[str, bool]]:
    """Compare the embeddings of one photo, if recorded."""
    if f"{photo['key']}_embeddings" not in golden:
        return
    crops = [
        align(pixels, landmarks, "arcface", embedder.size) for landmarks in golden[f"{photo['key']}_640x640_landmarks"]
    ]
    expected: FloatArray = golden[f"{photo['key']}_embeddings"]
    cosine = float(np.sum(embedder.embed(np.stack(crops)) * expected, axis=1).min())
    yield f"{photo['path']}: cosine of embeddings {cosine:.6f}", cosine > 0.999


def read_rgb(path: Path) -> RGBImage:
    """Decode a photo as for the golden results."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


if __name__ == "__main__":
    sys.exit(main())
