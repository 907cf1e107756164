"""Face detectors, SCRFD and YuNet, with their candidates and non-maximum suppression.

Sources:
J. Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022 (SCRFD);
W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research, 2023.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebank.errors import ManifestError
from facebank.storage.arrays import overlaps
from facebank.types import Detection
from facebank.vision.network import check_input, network_input, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import DetectorSpec, Session
    from facebank.types import FloatArray, RGBImage

_MIRRORED_LANDMARKS = [1, 0, 2, 4, 3]
_ON_FACE = 0.4  # overlap (IoU) with a face above which a candidate belongs to it
_STRIDES = (8, 16, 32)
_YUNET_HEADS = ("cls", "obj", "bbox", "kps")
_YUNET_OUTPUTS = [f"{head}_{stride}" for stride in _STRIDES for head in _YUNET_HEADS]
_SCRFD_ANCHORS = 2


class Detector(Protocol):
    """Finds faces in one image, at its own scale.

    Every detector passes ``tests/vision/test_detector_contract.py``.
    """

    def detect(self, pixels: RGBImage) -> list[Detection]:
        """Return the faces in an RGB ``uint8`` image of shape ``(height, width, 3)``, of any size from 1 x 1.

        Returns
        -------
        list[Detection]
            Best score first, in pixels of the image, after non-maximum suppression.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Candidates of one image before suppression, several per face.

    Attributes
    ----------
    boxes
        ``float32`` of shape ``(n, 4)``: x1, y1, x2, y2 in pixels.
    landmarks
        ``float32`` of shape ``(n, 5, 2)``.
    scores
        ``float32`` of shape ``(n,)``, 0..1.
    """

    boxes: FloatArray
    landmarks: FloatArray
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def centers(self) -> FloatArray:
        """The centers of the boxes, ``float32`` of shape ``(n, 2)``."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) * np.float32(0.5)

    @property
    def sizes(self) -> FloatArray:
        """The longer sides of the boxes in pixels, ``float32`` of shape ``(n,)``."""
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1, initial=0), dtype=np.float32)

    def select(self, selection: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        """Return the candidates at indices ``(m,)`` or in a mask ``(n,)``."""
        return Candidates(self.boxes[selection], self.landmarks[selection], self.scores[selection])

    def transform(self, scale: float, offset: tuple[float, float] = (0.0, 0.0)) -> Candidates:
        """Return the candidates in another image's pixels: divided by `scale`, then shifted by `offset` (x, y)."""
        shift = np.asarray(offset, dtype=np.float32)
        factor = np.float32(1 / scale)
        return Candidates(self.boxes * factor + np.tile(shift, 2), self.landmarks * factor + shift, self.scores)

    def mirror(self, width: int) -> Candidates:
        """Return the candidates in the mirrored image, which is `width` pixels wide."""
        boxes = self.boxes.copy()
        boxes[:, [0, 2]] = width - 1 - self.boxes[:, [2, 0]]
        landmarks = self.landmarks[:, _MIRRORED_LANDMARKS].copy()
        landmarks[..., 0] = width - 1 - landmarks[..., 0]
        return Candidates(boxes, landmarks, self.scores)


def concatenate(parts: Sequence[Candidates]) -> Candidates:
    """Return the candidates of several parts, in order; empty without parts."""
    if not parts:
        return Candidates(*(np.empty(shape, dtype=np.float32) for shape in ((0, 4), (0, 5, 2), (0,))))
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def suppress(candidates: Candidates, threshold: float) -> list[Detection]:
    """Return one candidate per face, best score first, by greedy non-maximum suppression.

    If two candidates overlap by more than `threshold` (intersection over union, 0..1), the one with the lower score
    is dropped.
    """
    ordered = candidates.select(np.argsort(-candidates.scores, kind="stable"))
    remaining = np.ones(len(ordered), dtype=bool)
    detections = []
    for i in range(len(ordered)):
        if remaining[i]:
            detections.append(Detection(ordered.boxes[i], ordered.landmarks[i], float(ordered.scores[i])))
            remaining[i:] &= overlaps(ordered.boxes[i], ordered.boxes[i:]) <= threshold
    return detections


def best_score(candidates: Candidates, box: FloatArray) -> float:
    """Return the best score, 0..1, of the candidates on the face in `box` ``(4,)``; 0 if there are none."""
    if not len(candidates):
        return 0.0
    return float(candidates.scores[overlaps(box, candidates.boxes) > _ON_FACE].max(initial=0.0))


def mean_landmarks(candidates: Candidates, box: FloatArray, threshold: float = 0.5) -> FloatArray | None:
    """Return the mean landmarks of the candidates on the face in `box` ``(4,)``, weighted by their scores.

    A network proposes each face from several cells with independent errors, which the mean reduces. The mean is
    taken over the candidates that overlap the best one by more than `threshold` (intersection over union, 0..1).

    Returns
    -------
    FloatArray or None
        ``float32`` of shape ``(5, 2)``; None if no candidate overlaps the box by more than 0.4.
    """
    if not len(candidates):
        return None
    on_face = np.flatnonzero(overlaps(box, candidates.boxes) > _ON_FACE)
    if not len(on_face):
        return None
    best = on_face[np.argmax(candidates.scores[on_face])]
    members = candidates.select(overlaps(candidates.boxes[best], candidates.boxes) > threshold)
    weights = members.scores / members.scores.sum()
    return np.tensordot(weights, members.landmarks, axes=1).astype(np.float32)


class NetworkDetector(ABC):
    """A detector that runs a network; subclasses decode the outputs.

    Parameters
    ----------
    session
        The network, with one input of free height and width.
    spec
        Preprocessing and thresholds from the pack's manifest.

    Raises
    ------
    ManifestError
        The network does not have the format that the manifest states.
    """

    def __init__(self, session: Session, spec: DetectorSpec) -> None:
        self._session = session
        self._spec = spec
        check_input(session, spec.file)

    def detect(self, pixels: RGBImage) -> list[Detection]:
        """Return the faces; see `Detector.detect`."""
        (candidates,) = self.propose(pixels[None], self.score_threshold)
        return self.select_faces(candidates)

    @property
    def score_threshold(self) -> float:
        """The smallest score of a face, 0..1."""
        return self._spec.score_threshold

    def select_faces(self, candidates: Candidates) -> list[Detection]:
        """Return the faces among candidates of one image, best score first."""
        faces = candidates.select(candidates.scores >= self.score_threshold)
        return suppress(faces, self._spec.nms_threshold)

    @abstractmethod
    def propose(self, images: NDArray[np.uint8], score_threshold: float) -> list[Candidates]:
        """Return for each image the candidates with a score of at least `score_threshold` (0..1), several per face.

        `images` are RGB ``uint8`` of shape ``(n, height, width, 3)``; candidates are in the image's pixels. Raises
        `PackError` if the network cannot be run.
        """


class YuNet(NetworkDetector):
    """YuNet, with the same results as OpenCV's ``FaceDetectorYN``; runs images in one batch."""

    def __init__(self, session: Session, spec: DetectorSpec) -> None:
        super().__init__(session, spec)
        if not {output.name for output in session.get_outputs()}.issuperset(_YUNET_OUTPUTS):
            raise ManifestError(
                f"{spec.file} is not a YuNet detector: correct the detector's kind or file in pack.toml"
            )

    def propose(self, images: NDArray[np.uint8], score_threshold: float) -> list[Candidates]:
        """Return the candidates; see `NetworkDetector.propose`."""
        tensor = network_input(images, self._spec, max(_STRIDES))
        outputs = run(self._session, tensor, _YUNET_OUTPUTS)
        return [
            self._decode([output[i] for output in outputs], tensor.shape[3], score_threshold)
            for i in range(len(images))
        ]

    def _decode(self, outputs: list[FloatArray], width: int, score_threshold: float) -> Candidates:
        levels = []
        for level, stride in enumerate(_STRIDES):
            classes, objectness, offsets, landmarks = outputs[
                level * len(_YUNET_HEADS) : (level + 1) * len(_YUNET_HEADS)
            ]
            scores = np.sqrt(classes[:, 0].clip(0, 1) * objectness[:, 0].clip(0, 1))
            selected = np.flatnonzero(scores >= score_threshold)
            if not len(selected):
                continue
            cells = _cells(selected, width // stride)
            centers = (cells + offsets[selected, :2]) * stride
            halves = np.exp(np.minimum(offsets[selected, 2:], 16)) * (stride / 2)
            levels.append(
                Candidates(
                    np.concatenate([centers - halves, centers + halves], axis=1).astype(np.float32),
                    (landmarks[selected].reshape(-1, 5, 2) + cells[:, None]) * stride,
                    scores[selected],
                )
            )
        return concatenate(levels)


class Scrfd(NetworkDetector):
    """SCRFD with keypoints, from unchanged InsightFace files; runs one image at a time.

    The nine outputs are, for each of three strides: the scores, the distances from a cell to the sides of the box, and
    those to the five keypoints. Distances are in units of the stride, and a cell has two anchors.
    """

    def __init__(self, session: Session, spec: DetectorSpec) -> None:
        super().__init__(session, spec)
        outputs = len(session.get_outputs())
        if outputs != 3 * len(_STRIDES):
            raise ManifestError(
                f"{spec.file} has {outputs} outputs, but an SCRFD detector with keypoints has 9: "
                "correct the detector's kind or file in pack.toml"
            )

    def propose(self, images: NDArray[np.uint8], score_threshold: float) -> list[Candidates]:
        """Return the candidates; see `NetworkDetector.propose`."""
        tensors = (network_input(image[None], self._spec, max(_STRIDES)) for image in images)
        return [self._decode(run(self._session, tensor), tensor.shape[3], score_threshold) for tensor in tensors]

    def _decode(self, outputs: list[FloatArray], width: int, score_threshold: float) -> Candidates:
        levels = []
        for level, stride in enumerate(_STRIDES):
            scores, distances, points = (outputs[head * len(_STRIDES) + level] for head in range(3))
            scores = scores.reshape(-1)
            selected = np.flatnonzero(scores >= score_threshold)
            if not len(selected):
                continue
            centers = _cells(selected // _SCRFD_ANCHORS, width // stride) * stride
            sides = distances.reshape(-1, 4)[selected] * stride
            levels.append(
                Candidates(
                    np.concatenate([centers - sides[:, :2], centers + sides[:, 2:]], axis=1),
                    centers[:, None] + points.reshape(-1, 5, 2)[selected] * stride,
                    scores[selected],
                )
            )
        return concatenate(levels)


def _cells(indices: NDArray[np.intp], columns: int) -> FloatArray:
    cells = np.empty((len(indices), 2), dtype=np.float32)
    cells[:, 1], cells[:, 0] = np.divmod(indices, columns)
    return cells
