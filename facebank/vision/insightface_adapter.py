"""Packs named ``insightface:FOLDER``, whose networks the ``insightface`` library runs.

Needs the extra ``insightface`` (2.1 or newer). A FOLDER is a FaceAnalysis folder without a ``pack.toml``, or a manifest
package of the library (``manifest.json``, version 2). Its thresholds are unknown; conservative defaults are used and
marked as not calibrated.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import DeviceError, MissingDependencyError, PackError, PackNotFoundError, UsageError
from facebank.packs import Thresholds, check_network, register_session
from facebank.storage.arrays import normalized
from facebank.storage.files import read_reason, sha256_of
from facebank.storage.text import printable
from facebank.types import Detection
from facebank.vision.detector import Candidates, NetworkDetector
from facebank.vision.geometry import letterbox, pad_to_multiple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage

PREFIX = "insightface:"

_BATCH_SIZE = 16
_STRIDE = 32
_TEMPLATE_SIZE = 112
_UNSUPPORTED_VERSIONS = ("0.", "1.", "2.0")
_UNCALIBRATED = Thresholds(
    known=0.45,
    margin=0.05,
    verify=0.4,
    minimum_quality=0.2,
    calibrated_on="no data (conservative defaults)",
)
_PROVIDERS = {
    "auto": None,  # chosen by the library: CUDA if it works, else the CPU
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
}


@dataclass(frozen=True, slots=True)
class InsightFacePackage:
    """A FaceAnalysis package folder.

    Attributes
    ----------
    folder, name
        The folder with the ONNX files; the pack's name, ``insightface:`` and the folder's name.
    digest
        SHA-256 in hex over the names and hashes of its ONNX files and its ``manifest.json``.
    thresholds
        Conservative thresholds; `Thresholds.calibrated_on` states that they are not calibrated.
    """

    folder: Path
    name: str
    digest: str
    thresholds: Thresholds

    def load(self, device: str = "auto") -> tuple[InsightFaceDetector, InsightFaceEmbedder]:
        """Return the detector and embedder, loaded with the library's ``FaceAnalysis``.

        Parameters
        ----------
        device
            ``auto``, ``cpu`` or ``cuda``; others raise `UsageError`.

        Raises
        ------
        MissingDependencyError
            The library is not installed or cannot be imported.
        PackError
            The library cannot use the folder, or a network in it refers to weights in another file.
        DeviceError
            CUDA was requested, but a network runs on the CPU.
        """
        if device not in _PROVIDERS:
            raise UsageError(f"unknown device {printable(device)!r}: use auto, cpu or cuda")
        face_analysis = _import_face_analysis()
        for path in _network_paths(self.folder):
            check_network(path)
        try:
            app = face_analysis(
                name=str(self.folder),
                allowed_modules=["detection", "recognition"],
                providers=_PROVIDERS[device],
                static_shape_sessions=False,  # otherwise the library keeps a session for each size of photo
            )
            networks = InsightFaceDetector(app.models["detection"]), InsightFaceEmbedder(app.models["recognition"])
        except Exception as error:
            reason = printable(str(error)) or "it needs a detector and an embedder"
            raise PackError(f"insightface cannot use {printable(str(self.folder))}: {reason}") from error
        if device == "cuda":
            _require_cuda(app)
        for model in app.models.values():
            register_session(model.session)
        return networks


class InsightFaceDetector(NetworkDetector):
    """A detector that runs InsightFace's SCRFD class; raises `PackError` if `model` does not find landmarks."""

    def __init__(self, model: Any) -> None:
        if not model.use_kps:
            raise PackError(
                "its detector does not find landmarks, which are needed to align faces; use another package"
            )
        self._model = model

    @property
    def score_threshold(self) -> float:
        """The smallest score of a face, 0..1, as set in the library."""
        return float(self._model.det_thresh)

    def select_faces(self, candidates: Candidates) -> list[Detection]:
        """Return the faces among candidates; see `facebank.vision.detector.NetworkDetector.select_faces`."""
        candidates = candidates.select(candidates.scores >= self.score_threshold)
        faces = candidates.select(self._model.nms(np.column_stack([candidates.boxes, candidates.scores])))
        return [
            Detection(box, landmarks, float(score))
            for box, landmarks, score in zip(faces.boxes, faces.landmarks, faces.scores, strict=True)
        ]

    def propose(self, images: NDArray[np.uint8], score_threshold: float) -> list[Candidates]:
        """Return candidates; see `facebank.vision.detector.NetworkDetector.propose`."""
        return [self._propose(image, score_threshold) for image in images]

    def _propose(self, pixels: RGBImage, score_threshold: float) -> Candidates:
        # The resizing in the library's detect() can lose a row of pixels, which changes the scale.
        fixed_size = self._model.static_input_size
        if fixed_size is None:
            frame, scale = pad_to_multiple(pixels[None], _STRIDE)[0], 1.0
        else:
            frame, scale = letterbox(pixels, *fixed_size)
        scores, boxes, landmarks = (
            np.concatenate(levels).astype(np.float32) for levels in self._model.forward(_bgr(frame), score_threshold)
        )
        return Candidates(boxes, landmarks, scores[:, 0]).transform(scale)


class InsightFaceEmbedder:
    """An embedder that runs InsightFace's recognition class.

    Raises
    ------
    PackError
        `model` needs crops of a size that cannot be aligned, or the library would normalize crops twice.
    """

    template = "arcface"

    def __init__(self, model: Any) -> None:
        if model.input_mean != 0 and _has_normalization(Path(model.model_file)):
            raise PackError(
                "the library would normalize crops twice, so that all faces look alike: add to the folder "
                'a manifest.json with "preprocessing": "embedded" for the task recognition'
            )
        self._model = model
        self.size = int(model.input_size[0])
        if self.size % _TEMPLATE_SIZE:
            raise PackError(
                f"its embedder needs crops of {self.size} pixels, but only multiples of 112 are supported; use "
                "another package"
            )
        self.dimension = int(model.output_shape[-1])
        self.batch_size = 1 if isinstance(model.input_shape[0], int) else _BATCH_SIZE

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        """Return the embeddings of aligned faces; see `facebank.vision.embedding.Embedder.embed`."""
        batches = [
            self._model.get_feat([_bgr(crop) for crop in crops[start : start + self.batch_size]])
            for start in range(0, len(crops), self.batch_size)
        ]
        return normalized(np.concatenate(batches)) if batches else np.empty((0, self.dimension), dtype=np.float32)


def open_package(name: str) -> InsightFacePackage:
    """Return the package of a pack name ``insightface:FOLDER``, without loading its networks.

    Raises `PackNotFoundError` if the folder is missing or holds no ONNX file, and `PackError` if a file cannot be read.
    """
    folder = Path(name.removeprefix(PREFIX))
    try:
        folder = folder.expanduser()
        paths = _network_paths(folder) if name != PREFIX and folder.is_dir() else []
    except (OSError, RuntimeError):  # a name that is too long, or an unknown user's home folder
        paths = []
    if not paths:
        raise PackNotFoundError(
            f"{printable(str(folder))} is not a folder with ONNX files: put a FaceAnalysis package after 'insightface:'"
        )
    return InsightFacePackage(folder, PREFIX + folder.resolve().name, _digest(folder, paths), _UNCALIBRATED)


def _network_paths(folder: Path) -> list[Path]:
    """Return the paths of the ONNX files below a folder, including names that end in ``.ONNX``, as in the library."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".onnx")


def _digest(folder: Path, network_paths: list[Path]) -> str:
    manifest = folder / "manifest.json"
    paths = [*network_paths, manifest] if manifest.is_file() else network_paths
    try:
        hashes = {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
    except OSError as error:
        raise PackError(f"cannot read {printable(str(error.filename))}: {read_reason(error)}") from error
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def _has_normalization(path: Path) -> bool:
    """Return whether a network begins with a subtraction and a scaling; the library only checks node names."""
    import onnx

    nodes = onnx.load(path, load_external_data=False).graph.node
    operations = [node.op_type for node in nodes[:2]]
    return operations in (["Sub", "Mul"], ["Sub", "Div"])


def _import_face_analysis() -> Any:
    try:
        import insightface
        from insightface.app import FaceAnalysis
    except ModuleNotFoundError as error:
        if error.name != "insightface":
            raise _import_error(error) from error
        raise MissingDependencyError(
            "insightface is not installed: python -m pip install 'facebank[insightface]', preferably in a separate "
            "virtual environment, because its onnxruntime and opencv-python overwrite onnxruntime-gpu and "
            "opencv-python-headless"
        ) from error
    except ImportError as error:
        raise _import_error(error) from error
    if insightface.__version__.startswith(_UNSUPPORTED_VERSIONS):
        raise MissingDependencyError(
            f"insightface {insightface.__version__} is too old: python -m pip install --upgrade 'insightface>=2.1'"
        )
    return FaceAnalysis


def _import_error(error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(f"insightface cannot be imported: {printable(str(error))}; see 'facebank doctor'")


def _require_cuda(app: Any) -> None:
    for task, model in app.models.items():
        if model.session.get_providers()[0] != "CUDAExecutionProvider":
            raise DeviceError(f"CUDA was requested, but insightface's {task} runs on the CPU: see 'facebank doctor'")


def _bgr(pixels: RGBImage) -> RGBImage:
    return np.ascontiguousarray(pixels[..., ::-1])
