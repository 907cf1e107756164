"""Detections, crops and embeddings equal those of InsightFace 2.1 on the same files.

Its results were recorded by ``benchmarks/peers/record_insightface.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from facebank.packs import DetectorSpec, EmbedderSpec, open_session
from facebank.storage.files import sha256_of
from facebank.types import Detection
from facebank.vision.alignment import align
from facebank.vision.detector import Scrfd
from facebank.vision.embedding import NetworkEmbedder
from facebank.vision.geometry import letterbox

GOLDEN = Path(__file__).parent / "golden"
RECORD: dict[str, Any] = json.loads((GOLDEN / "insightface.json").read_text(encoding="utf-8"))
PHOTOS: list[dict[str, Any]] = RECORD["photos"]
SIZES: list[tuple[int, int]] = [(width, height) for width, height in RECORD["detector_sizes"]]

each_photo = pytest.mark.parametrize("photo", PHOTOS, ids=[Path(photo["path"]).stem for photo in PHOTOS])
each_embedded_photo = pytest.mark.parametrize(
    "photo",
    [photo for photo in PHOTOS if photo["path"].startswith("data/demo/")],
    ids=lambda photo: Path(photo["path"]).stem,
)


@pytest.fixture(scope="module")
def golden() -> Iterator[Any]:
    with np.load(GOLDEN / "insightface.npz", allow_pickle=False) as arrays:
        yield arrays


@pytest.fixture(scope="module")
def detector(shared: Path) -> Scrfd:
    spec = DetectorSpec(
        kind="scrfd",
        file=RECORD["detector"]["file"],
        sha256=RECORD["detector"]["sha256"],
        prepare=False,
        mean=(127.5, 127.5, 127.5),
        scale=(1 / 128, 1 / 128, 1 / 128),
        color="RGB",
        score_threshold=RECORD["score_threshold"],
        nms_threshold=RECORD["nms_threshold"],
        upright_score=0.8,
        refine=False,
    )
    return Scrfd(open_session(model_file(shared, "detector"), "cpu"), spec)


@pytest.fixture(scope="module")
def embedder(shared: Path) -> NetworkEmbedder:
    spec = EmbedderSpec(
        file=RECORD["embedder"]["file"],
        sha256=RECORD["embedder"]["sha256"],
        prepare=False,
        input="data",
        size=112,
        mean=(0.0, 0.0, 0.0),
        scale=(1.0, 1.0, 1.0),
        color="RGB",
        normalization="fixed",
        template="arcface",
        dimension=128,
        flip=False,
    )
    return NetworkEmbedder(open_session(model_file(shared, "embedder"), "cpu"), spec)


def model_file(shared: Path, role: str) -> Path:
    path = shared / "models" / "insightface-mbf" / str(RECORD[role]["file"])
    assert sha256_of(path) == RECORD[role]["sha256"], "the results were recorded with another network"
    return path


def read_rgb(shared: Path, photo: dict[str, Any]) -> NDArray[np.uint8]:
    path = shared / photo["path"]
    assert sha256_of(path) == photo["sha256"], "the results were recorded on another photo"
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def detect(detector: Scrfd, pixels: NDArray[np.uint8], size: tuple[int, int]) -> list[Detection]:
    frame, scale = letterbox(pixels, *size)
    return [
        Detection(detection.box / scale, detection.landmarks / scale, detection.detection_score)
        for detection in detector.detect(frame)
    ]


@each_photo
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_boxes_and_landmarks_are_equal_within_a_pixel(
    shared: Path, golden: Any, detector: Scrfd, photo: dict[str, Any], size: tuple[int, int]
) -> None:
    detections = detect(detector, read_rgb(shared, photo), size)
    key = f"{photo['key']}_{size[0]}x{size[1]}"
    assert len(detections) == len(golden[f"{key}_scores"])
    for detection, box, landmarks, score in zip(
        detections, golden[f"{key}_boxes"], golden[f"{key}_landmarks"], golden[f"{key}_scores"], strict=True
    ):
        assert np.abs(detection.box - box).max() < 1
        assert np.abs(detection.landmarks - landmarks).max() < 1
        assert abs(detection.detection_score - score) < 0.01


@each_embedded_photo
@pytest.mark.parametrize("detected_by", ["insightface", "facebank"])
def test_embeddings_are_equal(
    shared: Path, golden: Any, detector: Scrfd, embedder: NetworkEmbedder, photo: dict[str, Any], detected_by: str
) -> None:
    pixels = read_rgb(shared, photo)
    landmarks = golden[f"{photo['key']}_640x640_landmarks"]
    if detected_by == "facebank":
        landmarks = [detection.landmarks for detection in detect(detector, pixels, (640, 640))]
    crops = np.stack([align(pixels, face_landmarks, "arcface", 112) for face_landmarks in landmarks])
    cosines = np.sum(embedder.embed(crops) * golden[f"{photo['key']}_embeddings"], axis=1)
    assert len(cosines) > 0
    assert cosines.min() > 0.999


def test_crops_are_equal(shared: Path, golden: Any) -> None:
    photo = next(photo for photo in PHOTOS if photo["path"] == RECORD["crop_photo"])
    crop = align(read_rgb(shared, photo), golden[f"{photo['key']}_640x640_landmarks"][0], "arcface", 112)
    difference = np.abs(crop.astype(int) - golden["crop"].astype(int))
    assert difference.max() <= 2
    assert difference.mean() < 0.1


def test_the_record_has_photos_with_no_and_with_several_faces(golden: Any) -> None:
    counts = [len(golden[f"{photo['key']}_{width}x{height}_scores"]) for photo in PHOTOS for width, height in SIZES]
    assert min(counts) == 0, "no photo without faces was recorded"
    assert max(counts) >= 4, "no photo with several faces was recorded"
    assert {photo["key"] for photo in PHOTOS if f"{photo['key']}_embeddings" in golden} == {
        photo["key"] for photo in PHOTOS if photo["path"].startswith("data/demo/")
    }, "only embeddings of public-domain photos may be recorded"
