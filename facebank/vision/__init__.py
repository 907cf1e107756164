"""Detection, alignment, embedding and quality of faces in photos."""

from facebank.vision.alignment import align
from facebank.vision.analyzer import FaceAnalyzer, build_detector, build_embedder
from facebank.vision.detector import Detector
from facebank.vision.embedding import Embedder, NetworkEmbedder
from facebank.vision.finder import FaceFinder
from facebank.vision.multiscale import MultiScaleDetector

__all__ = [
    "Detector",
    "Embedder",
    "FaceAnalyzer",
    "FaceFinder",
    "MultiScaleDetector",
    "NetworkEmbedder",
    "align",
    "build_detector",
    "build_embedder",
]
