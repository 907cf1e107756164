"""What every detector does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from facebank.vision.candidates import Candidates, suppress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facebank.packs import DetectorSpec
    from facebank.types import Detection, RGBImage


class Detector(Protocol):
    """Finds faces in one picture, at the scale at which it is given.

    Every detector passes ``tests/vision/test_detector_contract.py``.
    """

    def detect(self, pixels: RGBImage) -> list[Detection]:
        """Find faces.

        Parameters
        ----------
        pixels
            RGB ``uint8`` of shape ``(height, width, 3)``, any size from 1 x 1.

        Returns
        -------
        list[Detection]
            Best score first, in pixels of the picture, overlapping ones suppressed.
        """
        ...


class NetworkDetector(ABC):
    """What the detectors that run a network of ours have in common; each knows how its outputs are read."""

    def __init__(self, spec: DetectorSpec) -> None:
        self._spec = spec

    def detect(self, pixels: RGBImage) -> list[Detection]:
        """Find faces; see `Detector.detect`."""
        (candidates,) = self.propose(pixels[None], self._spec.score_threshold)
        return suppress(candidates, self._spec.nms_threshold)

    @abstractmethod
    def propose(self, pictures: NDArray[np.uint8], score_threshold: float) -> list[Candidates]:
        """Find candidates, several a face.

        Parameters
        ----------
        pictures
            RGB ``uint8`` of shape ``(n, height, width, 3)``.
        score_threshold
            0..1; candidates below it are left out.

        Returns
        -------
        list[Candidates]
            One for each picture, in its pixels.
        """
