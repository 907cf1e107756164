"""YuNet.

W. Wu, H. Peng, S. Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research, 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import ManifestError
from facebank.vision.candidates import Candidates, concatenated
from facebank.vision.detector import NetworkDetector
from facebank.vision.geometry import pad_to_multiple
from facebank.vision.network import check_input, network_input, run

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from facebank.packs import DetectorSpec
    from facebank.types import FloatArray

_STRIDES = (8, 16, 32)
_HEADS = ("cls", "obj", "bbox", "kps")
_OUTPUTS = [f"{head}_{stride}" for stride in _STRIDES for head in _HEADS]


class YuNet(NetworkDetector):
    """The YuNet detector on ONNX Runtime; its answers are those of OpenCV's ``FaceDetectorYN``.

    Parameters
    ----------
    session
        The network, with free batch, height and width.
    spec
        Preprocessing and thresholds from the pack's manifest.

    Raises
    ------
    ManifestError
        The network is not a YuNet.
    """

    def __init__(self, session: InferenceSession, spec: DetectorSpec) -> None:
        super().__init__(spec)
        self._session = session
        check_input(session, spec.file)
        if not {output.name for output in session.get_outputs()}.issuperset(_OUTPUTS):
            raise ManifestError(f"{spec.file} is no YuNet detector: correct the detector's kind or file in pack.toml")

    def propose(self, pictures: NDArray[np.uint8], score_threshold: float) -> list[Candidates]:
        """Find candidates; see `NetworkDetector.propose`."""
        padded = pad_to_multiple(pictures, max(_STRIDES))
        outputs = run(self._session, network_input(padded, self._spec), _OUTPUTS)
        return [
            self._decode([output[i] for output in outputs], padded.shape[2], score_threshold)
            for i in range(len(pictures))
        ]

    def _decode(self, outputs: list[FloatArray], width: int, score_threshold: float) -> Candidates:
        levels = []
        for level, stride in enumerate(_STRIDES):
            classes, objectness, offsets, points = outputs[level * len(_HEADS) : (level + 1) * len(_HEADS)]
            scores = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objectness[:, 0], 0, 1))
            chosen = np.flatnonzero(scores >= score_threshold)
            columns = width // stride
            cells = np.stack([chosen % columns, chosen // columns], axis=1).astype(np.float32)
            levels.append(
                Candidates(
                    _decode_boxes(offsets[chosen], cells, stride),
                    (points[chosen].reshape(-1, 5, 2) + cells[:, None]) * stride,
                    scores[chosen],
                )
            )
        return concatenated(levels)


def _decode_boxes(offsets: FloatArray, cells: FloatArray, stride: int) -> FloatArray:
    centres = (cells + offsets[:, :2]) * stride
    halves = np.exp(np.minimum(offsets[:, 2:], 16)) * (stride / 2)
    return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)
