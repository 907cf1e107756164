"""SCRFD: J. Guo et al.: "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022.

Decoding of the InsightFace models with three strides (8, 16, 32) and two anchors a cell, with keypoints: scores,
distances from the cell to the four sides of the box and to the five keypoints, both in strides.
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
_ANCHORS = 2


class Scrfd(NetworkDetector):
    """The SCRFD detector on ONNX Runtime, from unchanged InsightFace files.

    Parameters
    ----------
    session
        The network, with free height and width and nine outputs.
    spec
        Preprocessing and thresholds from the pack's manifest.

    Raises
    ------
    ManifestError
        The network is not an SCRFD with keypoints.
    """

    def __init__(self, session: InferenceSession, spec: DetectorSpec) -> None:
        super().__init__(spec)
        self._session = session
        check_input(session, spec.file)
        outputs = len(session.get_outputs())
        if outputs != 3 * len(_STRIDES):
            raise ManifestError(
                f"{spec.file} has {outputs} outputs, but an SCRFD detector with keypoints has 9: "
                "correct the detector's kind or file in pack.toml"
            )

    def propose(self, pictures: NDArray[np.uint8], score_threshold: float) -> list[Candidates]:
        """Find candidates; see `NetworkDetector.propose`. The network's batch is 1."""
        padded = pad_to_multiple(pictures, max(_STRIDES))
        return [
            self._decode(
                run(self._session, network_input(padded[i : i + 1], self._spec)), padded.shape[2], score_threshold
            )
            for i in range(len(padded))
        ]

    def _decode(self, outputs: list[FloatArray], width: int, score_threshold: float) -> Candidates:
        levels = []
        for level, stride in enumerate(_STRIDES):
            scores, distances, points = (outputs[head * len(_STRIDES) + level] for head in range(3))
            scores = scores.reshape(-1)
            chosen = np.flatnonzero(scores >= score_threshold)
            cells, columns = chosen // _ANCHORS, width // stride
            centres = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32) * stride
            levels.append(
                Candidates(
                    _decode_boxes(distances.reshape(-1, 4)[chosen] * stride, centres),
                    centres[:, None] + points.reshape(-1, 5, 2)[chosen] * stride,
                    scores[chosen],
                )
            )
        return concatenated(levels)


def _decode_boxes(distances: FloatArray, centres: FloatArray) -> FloatArray:
    return np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
