"""The InsightFace adapter, on fake models with the interface of the library.

The library cannot be installed beside facebank's dependencies, because its own overwrite them. These fakes have the
attributes, methods and shapes of its detection and recognition models. ``benchmarks/peers/check_adapter.py`` checks the
adapter with the library itself.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from facebank.errors import DeviceError, MissingDependencyError, PackError
from facebank.vision.detector import Detector
from facebank.vision.embedding import Embedder
from facebank.vision.insightface_adapter import InsightFaceDetector, InsightFaceEmbedder, open_package

BLUE = (0, 0, 255)
RED = (255, 0, 0)
LANDMARKS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
SCORES = (0.9, 0.6)


class FakeDetection:
    """Finds a blue patch at the first of three strides, and again, slightly shifted, at the second."""

    det_thresh = 0.5

    def __init__(self, static_input_size: tuple[int, int] | None = None, use_kps: bool = True) -> None:
        self.static_input_size = static_input_size
        self.use_kps = use_kps
        self.session = FakeSession()

    def forward(
        self, img: NDArray[np.uint8], threshold: float
    ) -> tuple[list[NDArray[Any]], list[NDArray[Any]], list[NDArray[Any]]]:
        """Return scores (n, 1), boxes (n, 4) and landmarks (n, 5, 2) of a BGR image, one array per stride."""
        assert img.dtype == np.uint8
        assert img.flags.c_contiguous
        height, width = img.shape[:2]
        assert (width, height) == self.static_input_size or (width % 32 == height % 32 == 0)
        rows, columns = np.nonzero((img[..., 0] > 128) & (img[..., 2] < 128))
        accepted_scores = [score for score in SCORES if score >= threshold and len(rows)]
        scores, boxes, landmarks = ([np.empty((0, *shape)) for _ in range(3)] for shape in ((1,), (4,), (5, 2)))
        for stride, score in enumerate(accepted_scores):
            corner = np.array([columns.min(), rows.min()]) + stride
            sides = np.array([np.ptp(columns), np.ptp(rows)]) + 1
            scores[stride] = np.array([[score]], dtype=np.float32)
            boxes[stride] = np.concatenate([corner, corner + sides])[None]
            landmarks[stride] = (corner + LANDMARKS * sides)[None]
        return scores, boxes, landmarks

    def nms(self, dets: NDArray[np.float32]) -> list[np.intp]:
        """Return the indices to keep of boxes and scores, (n, 5)."""
        assert dets.dtype == np.float32
        assert dets.shape[1] == 5
        return [np.argmax(dets[:, 4])] if len(dets) else []


class FakeRecognition:
    """Embeds a crop as its mean blue, green and red, followed by 1."""

    input_mean = 127.5

    def __init__(self, model_file: Path, size: int = 112, batch: int | str = "None") -> None:
        self.model_file = str(model_file)
        self.input_size = (size, size)
        self.input_shape = [batch, 3, size, size]
        self.output_shape = [batch, 4]
        self.session = FakeSession()
        self.batches: list[int] = []

    def get_feat(self, imgs: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return a vector of any length for each BGR crop of the input size."""
        assert isinstance(imgs, list)
        assert {img.shape for img in imgs} == {(*self.input_size, 3)}
        self.batches.append(len(imgs))
        means = [img.mean(axis=(0, 1)) for img in imgs]
        return np.column_stack([means, np.ones(len(imgs))]).astype(np.float32)


class FakeSession:
    """A session that runs on the CPU."""

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def write_network(path: Path, *operations: str) -> Path:
    """Write a network of the given operations, each with a constant."""
    names = ["pixels", *(f"after_{operation}" for operation in operations)]
    nodes = [
        helper.make_node(operation, [before, "constant"], [after])
        for operation, before, after in zip(operations, names[:-1], names[1:], strict=True)
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor("constant", TensorProto.FLOAT, [1], [127.5])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


@pytest.fixture
def recognizer_path(tmp_path: Path) -> Path:
    """Return a recognition network without normalization."""
    return write_network(tmp_path / "recognizer.onnx", "Add")


def make_image(height: int, width: int, color: tuple[int, int, int] = BLUE) -> NDArray[np.uint8]:
    """Return a black image with a patch from a quarter to a half of each side."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = color
    return pixels


def patch_box(height: int, width: int) -> NDArray[np.float64]:
    """Return the box of the patch."""
    return np.array([width // 4, height // 4, width // 2, height // 2], dtype=float)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (31, 33), (97, 352), (700, 500)])
@pytest.mark.parametrize("fixed", [None, (320, 320)], ids=["any size", "fixed size"])
def test_a_face_is_found_once_in_pixels_of_the_image(height: int, width: int, fixed: tuple[int, int] | None) -> None:
    detector: Detector = InsightFaceDetector(FakeDetection(fixed))
    (detection,) = detector.detect(make_image(height, width))
    assert detection.box.dtype == detection.landmarks.dtype == np.float32
    assert isinstance(detection.detection_score, float)
    assert detection.detection_score == pytest.approx(SCORES[0])
    expected = patch_box(height, width)
    tolerance = 0.0 if fixed is None else 1 + max(height, width) / 160
    np.testing.assert_allclose(detection.box, expected, atol=tolerance)
    np.testing.assert_allclose(
        detection.landmarks, expected[:2] + LANDMARKS * (expected[2:] - expected[:2]), atol=tolerance + 1e-3
    )


@pytest.mark.parametrize("fixed", [None, (320, 320)], ids=["any size", "fixed size"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 1920), (1920, 1), (31, 33)])
def test_images_of_any_size_are_accepted(shape: tuple[int, int], fixed: tuple[int, int] | None) -> None:
    assert InsightFaceDetector(FakeDetection(fixed)).detect(np.zeros((*shape, 3), dtype=np.uint8)) == []


def test_colors_of_the_image_are_not_swapped() -> None:
    assert InsightFaceDetector(FakeDetection()).detect(make_image(64, 64, RED)) == []


def test_candidates_are_separate_for_each_image() -> None:
    detector = InsightFaceDetector(FakeDetection())
    both = np.stack([make_image(64, 96), np.zeros((64, 96, 3), dtype=np.uint8)])
    first, second = detector.propose(both, 0.5)
    np.testing.assert_allclose(first.scores, SCORES)
    assert first.landmarks.shape == (2, 5, 2)
    assert (len(second), second.boxes.shape, second.landmarks.shape) == (0, (0, 4), (0, 5, 2))
    assert [len(candidates) for candidates in detector.propose(both, 0.8)] == [1, 0]


def test_a_detector_without_landmarks_is_an_error() -> None:
    with pytest.raises(PackError, match="does not find landmarks"):
        InsightFaceDetector(FakeDetection(use_kps=False))


def test_embeddings_are_unit_vectors_of_crops_in_the_right_colors(recognizer_path: Path) -> None:
    embedder: Embedder = InsightFaceEmbedder(FakeRecognition(recognizer_path))
    assert (embedder.size, embedder.dimension, embedder.template) == (112, 4, "arcface")
    crops = np.stack([np.full((112, 112, 3), color, dtype=np.uint8) for color in (BLUE, RED)])
    embeddings = embedder.embed(crops)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    assert embeddings.argmax(axis=1).tolist() == [0, 2]


def test_no_faces_give_no_embeddings(recognizer_path: Path) -> None:
    model = FakeRecognition(recognizer_path)
    assert InsightFaceEmbedder(model).embed(np.empty((0, 112, 112, 3), dtype=np.uint8)).shape == (0, 4)
    assert model.batches == []


@pytest.mark.parametrize(("batch", "sizes"), [("None", [16, 3]), (1, [1] * 19)])
def test_batches_have_the_size_of_the_network(recognizer_path: Path, batch: int | str, sizes: list[int]) -> None:
    model = FakeRecognition(recognizer_path, batch=batch)
    crops = np.random.default_rng(0).integers(0, 256, (19, 112, 112, 3), dtype=np.uint8)
    batched = InsightFaceEmbedder(model).embed(crops)
    assert model.batches == sizes
    np.testing.assert_allclose(batched[-1:], InsightFaceEmbedder(model).embed(crops[-1:]), atol=1e-6)


def test_a_recognizer_with_an_odd_size_is_an_error(recognizer_path: Path) -> None:
    with pytest.raises(PackError, match="crops of 100 pixels"):
        InsightFaceEmbedder(FakeRecognition(recognizer_path, size=100))
    assert InsightFaceEmbedder(FakeRecognition(recognizer_path, size=224)).size == 224


@pytest.mark.parametrize("operations", [("Sub", "Mul"), ("Sub", "Div")])
def test_normalizing_twice_is_an_error(tmp_path: Path, operations: tuple[str, str]) -> None:
    model = FakeRecognition(write_network(tmp_path / "normalizing.onnx", *operations))
    with pytest.raises(PackError, match="twice"):
        InsightFaceEmbedder(model)
    model.input_mean = 0.0  # the library's value if it has noticed the network's own normalization
    assert InsightFaceEmbedder(model).dimension == 4


class FakeLibrary:
    """A replacement for the library in `sys.modules` that records the arguments of ``FaceAnalysis``."""

    def __init__(self, models: dict[str, object], version: str = "2.1.0") -> None:
        self.arguments: dict[str, object] = {}
        self.version = version
        self.models = models

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the library into `sys.modules`."""
        package, app = ModuleType("insightface"), ModuleType("insightface.app")
        vars(package).update(__version__=self.version, app=app)
        vars(app).update(FaceAnalysis=self._face_analysis)
        monkeypatch.setitem(sys.modules, "insightface", package)
        monkeypatch.setitem(sys.modules, "insightface.app", app)

    def _face_analysis(self, **arguments: object) -> SimpleNamespace:
        self.arguments = arguments
        if not self.models:
            raise RuntimeError("no usable model\x1b")
        return SimpleNamespace(models=self.models)


@pytest.fixture
def library(recognizer_path: Path) -> FakeLibrary:
    return FakeLibrary({"detection": FakeDetection(), "recognition": FakeRecognition(recognizer_path)})


def test_a_folder_is_loaded_through_the_library(
    recognizer_path: Path, library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.install(monkeypatch)
    detector, embedder = open_package(f"insightface:{recognizer_path.parent}").load("cpu")
    assert library.arguments["name"] == str(recognizer_path.parent)
    assert library.arguments["providers"] == ["CPUExecutionProvider"]
    assert len(detector.detect(make_image(64, 64))) == 1
    assert embedder.dimension == 4


def test_unused_cuda_is_an_error(recognizer_path: Path, library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    library.install(monkeypatch)
    with pytest.raises(DeviceError, match="detection runs on the CPU"):
        open_package(f"insightface:{recognizer_path.parent}").load("cuda")


def test_an_error_of_the_library_is_one_printable_line(recognizer_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeLibrary({}).install(monkeypatch)
    with pytest.raises(PackError, match="no usable model") as caught:
        open_package(f"insightface:{recognizer_path.parent}").load("cpu")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("version", ["0.7.3", "2.0.1"])
def test_an_old_version_of_the_library_is_an_error(
    recognizer_path: Path, library: FakeLibrary, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.version = version
    library.install(monkeypatch)
    with pytest.raises(MissingDependencyError, match="too old"):
        open_package(f"insightface:{recognizer_path.parent}").load("cpu")
