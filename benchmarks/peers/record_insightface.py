"""Records InsightFace's results as golden arrays for the parity test.

Runs in the virtual environment of this folder (see README.md), from the project's root::

    benchmarks/peers/.venv/bin/python benchmarks/peers/record_insightface.py --shared ../shared

Writes ``tests/vision/golden/insightface.json`` (inputs and versions) and ``insightface.npz`` (results): boxes, scores
and landmarks of all photos at two detector sizes, embeddings of the public-domain demo photos only, and one aligned
crop.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parents[2]
GOLDEN = PROJECT / "tests" / "vision" / "golden"
DETECTOR = "det_500m.onnx"
EMBEDDER = "insightface_y1_mobilefacenet.onnx"
PREPROCESSING = "embedded"
DETECTOR_SIZES = ((640, 640), (800, 608))  # width, height; not square, to detect swapped axes
SCORE_THRESHOLD = 0.5
NMS_THRESHOLD = 0.4
CROP_PHOTO = "data/demo/eileen_collins.png"
PHOTOS = (
    "data/demo/barack_obama_blue_room.jpg",
    "data/demo/barack_obama_portrait_2012.jpg",
    "data/demo/barack_obama_speech.jpg",
    "data/demo/eileen_collins.png",
    "data/demo/joe_biden_blue_room.jpg",
    "data/photos/probe/alex_lacamoire1.jpg",
    "data/photos/probe/couple.jpg",
    "data/photos/probe/image0.jpg",
    "data/photos/probe/kit_with_rose.jpg",
    "data/photos/probe/obama_and_biden.jpg",
    "data/photos/probe/obama_partial_face.jpg",
    "data/photos/probe/two_people.jpg",
    "data/lfw/Jesus_Cardenal/Jesus_Cardenal_0001.jpg",
    "data/lfw/Mohammed_Ashraf_Hafiz/Mohammed_Ashraf_Hafiz_0001.jpg",
)


def main() -> None:
    """Run InsightFace on all photos and write the results."""
    arguments = parse_arguments()
    detector, embedder = load_models(arguments.shared / "models" / "insightface-mbf")
    arrays: dict[str, NDArray[Any]] = {}
    photos = []
    for number, relative_path in enumerate(PHOTOS):
        path = arguments.shared / relative_path
        bgr = read_bgr(path)
        photos.append(
            {
                "path": relative_path,
                "sha256": sha256_hex(path),
                "width": bgr.shape[1],
                "height": bgr.shape[0],
                "key": f"{number:02}",
            }
        )
        for size in DETECTOR_SIZES:
            faces, landmarks = detector.detect(bgr, input_size=size)
            key = f"{number:02}_{size[0]}x{size[1]}"
            arrays[f"{key}_boxes"] = faces[:, :4].astype(np.float32)
            arrays[f"{key}_scores"] = faces[:, 4].astype(np.float32)
            arrays[f"{key}_landmarks"] = landmarks.astype(np.float32)
            print(f"{relative_path} at {size[0]}x{size[1]}: {len(faces)} faces")
        if relative_path.startswith("data/demo/"):
            crops = align_faces(bgr, arrays[f"{number:02}_640x640_landmarks"])
            arrays[f"{number:02}_embeddings"] = normalize(embedder.get_feat(crops))
            if relative_path == CROP_PHOTO:
                arrays["crop"] = np.ascontiguousarray(crops[0][..., ::-1])
    write(arguments.out, describe_run(arguments.shared, photos), arrays)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Record InsightFace's results as golden arrays.")
    parser.add_argument("--shared", type=Path, required=True, help="folder that holds data/ and models/")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="output folder (default: tests/vision/golden)")
    arguments = parser.parse_args()
    arguments.shared = arguments.shared.resolve()
    return arguments


def load_models(folder: Path) -> tuple[Any, Any]:
    """Return InsightFace's detector and embedder, loaded from the unchanged files."""
    from insightface.model_zoo import get_model

    providers = ["CPUExecutionProvider"]
    detector = get_model(str(folder / DETECTOR), providers=providers)
    detector.prepare(-1, det_thresh=SCORE_THRESHOLD, nms_thresh=NMS_THRESHOLD)
    # The network's first two nodes normalize its input, but InsightFace recognizes them only by names that this file
    # lacks. Without the setting it would normalize twice, and all faces would look alike.
    embedder = get_model(
        str(folder / EMBEDDER),
        model_task="recognition",
        model_metadata={"preprocessing": PREPROCESSING},
        providers=providers,
    )
    return detector, embedder


def read_bgr(path: Path) -> NDArray[np.uint8]:
    """Decode a photo as facebank does (Pillow, EXIF orientation applied), then convert to InsightFace's BGR."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    return np.ascontiguousarray(rgb[..., ::-1])


def align_faces(bgr: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Return aligned crops by InsightFace's ``norm_crop``."""
    from insightface.utils.face_align import norm_crop

    return [norm_crop(bgr, face_landmarks) for face_landmarks in landmarks]


def normalize(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows scaled to length 1."""
    return np.asarray(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), dtype=np.float32)


def sha256_hex(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe_run(shared: Path, photos: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the inputs and versions from which the test repeats the run."""
    from importlib.metadata import version

    models = shared / "models" / "insightface-mbf"
    libraries = ("insightface", "onnxruntime", "opencv-python", "pillow", "numpy")
    return {
        "made_by": "benchmarks/peers/record_insightface.py",
        "versions": {name: version(name) for name in libraries},
        "detector": {"file": DETECTOR, "sha256": sha256_hex(models / DETECTOR)},
        "embedder": {"file": EMBEDDER, "sha256": sha256_hex(models / EMBEDDER), "preprocessing": PREPROCESSING},
        "score_threshold": SCORE_THRESHOLD,
        "nms_threshold": NMS_THRESHOLD,
        "detector_sizes": [list(size) for size in DETECTOR_SIZES],
        "crop_photo": CROP_PHOTO,
        "photos": photos,
    }


def write(folder: Path, description: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write the description and the arrays to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "insightface.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    np.savez_compressed(folder / "insightface.npz", allow_pickle=False, **arrays)
    print(f"{len(arrays)} arrays written to {folder}")


if __name__ == "__main__":
    main()
