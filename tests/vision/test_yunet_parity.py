"""YuNet gives the results of OpenCV's ``FaceDetectorYN`` with the official file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facebank.packs import Pack
from facebank.types import DecodedPhoto
from facebank.vision import build_detector
from facebank.vision.geometry import resize


@pytest.mark.parametrize("side", [320, 500, 640, 1011])
def test_boxes_landmarks_and_scores_equal_those_of_opencv(
    opencv_pack: Pack, demo_photos: list[DecodedPhoto], side: int
) -> None:
    spec = opencv_pack.manifest.detector
    path = Path(opencv_pack.folder) / spec.file
    detector = build_detector(opencv_pack, "cpu")
    for photo in demo_photos:
        scale = side / max(photo.width, photo.height)
        image = resize(photo.pixels, round(photo.width * scale), round(photo.height * scale))
        size = (image.shape[1], image.shape[0])
        reference = cv2.FaceDetectorYN.create(str(path), "", size, spec.score_threshold, spec.nms_threshold, 5000)
        _, rows = reference.detect(np.ascontiguousarray(image[..., ::-1]))
        detections = detector.detect(image)
        assert rows is not None
        assert len(detections) == len(rows)
        for detection, row in zip(detections, sorted(rows, key=lambda row: -row[14]), strict=True):
            np.testing.assert_allclose(detection.box, [*row[:2], *(row[:2] + row[2:4])], atol=0.05)
            np.testing.assert_allclose(detection.landmarks.ravel(), row[4:14], atol=0.05)
            assert detection.detection_score == pytest.approx(row[14], abs=1e-3)
