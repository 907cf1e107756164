"""Pixels to faces: detection, alignment, embedding, quality. Knows nothing of people."""

from facebank.vision.alignment import align
from facebank.vision.analyzer import FaceAnalyzer, build_detector, build_embedder
from facebank.vision.detector import Detector
from facebank.vision.embedding import Embedder, NetworkEmbedder
from facebank.vision.finder import FaceFinder
from facebank.vision.looks import WholeLooks

__all__ = [
    "Detector",
    "Embedder",
    "FaceAnalyzer",
    "FaceFinder",
    "NetworkEmbedder",
    "WholeLooks",
    "align",
    "build_detector",
    "build_embedder",
]
