"""Analysis of photos: detection, alignment, embedding and quality of faces, batched across photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.packs import open_shared, share_cores
from facebank.types import AnalyzedPhoto, DecodedPhoto, Detection, Face
from facebank.vision.alignment import align
from facebank.vision.augmentation import augment
from facebank.vision.detector import Scrfd, YuNet
from facebank.vision.embedding import NetworkEmbedder
from facebank.vision.finder import FaceFinder
from facebank.vision.quality import assess

if TYPE_CHECKING:
    from facebank.packs import Pack
    from facebank.types import FloatArray, RGBImage
    from facebank.vision.detector import NetworkDetector
    from facebank.vision.embedding import Embedder


_DETECTOR_SIDE = 640  # side of a typical input of the detector, in pixels
# Pending photos are embedded together once they have this many faces or pixels.
_CHUNK_FACES = 32
_CHUNK_PIXELS = 64_000_000
_DETECTORS: dict[str, type[YuNet] | type[Scrfd]] = {"yunet": YuNet, "scrfd": Scrfd}


def build_detector(pack: Pack, device: str = "auto", threads: int | None = None) -> NetworkDetector:
    """Return the detector of a verified pack; parameters and errors as for `FaceAnalyzer.from_pack`.

    It always runs on ONNX Runtime: OpenVINO compiles a network for each size of photo, and keeps them all in memory.
    """
    spec = pack.manifest.detector
    shape = (1, 3, _DETECTOR_SIDE, _DETECTOR_SIDE)
    session = open_shared(pack.detector_file, device, threads, "onnxruntime", shape=shape)
    return _DETECTORS[spec.kind](session, spec)


def build_embedder(
    pack: Pack, device: str = "auto", threads: int | None = None, runtime: str = "onnxruntime"
) -> NetworkEmbedder:
    """Return the embedder of a verified pack; parameters and errors as for `FaceAnalyzer.from_pack`."""
    spec = pack.manifest.embedder
    shape = (1, 3, spec.size, spec.size)
    session = open_shared(pack.embedder_file, device, threads, runtime, shape=shape)
    return NetworkEmbedder(session, spec)


@dataclass(frozen=True, slots=True)
class _DetectedFaces:
    """An upright photo with its detections and their aligned crops."""

    photo: DecodedPhoto
    quarter_turns: int
    detections: list[Detection]
    crops: list[RGBImage]


class FaceAnalyzer:
    """Finds and embeds the faces of any number of photos.

    Parameters
    ----------
    finder
        Finds the faces of a photo.
    embedder
        Embeds their aligned crops.
    """

    def __init__(self, finder: FaceFinder, embedder: Embedder) -> None:
        self._finder = finder
        self.embedder = embedder

    @classmethod
    def from_pack(
        cls, pack: Pack, device: str = "auto", threads: int | None = None, runtime: str = "onnxruntime"
    ) -> FaceAnalyzer:
        """Return an analyzer with the networks of a verified pack.

        Parameters
        ----------
        pack
            A verified pack.
        device
            ``auto``, ``cpu`` or ``cuda``.
        threads
            Threads for each network on the CPU; None for as many as this process may use.
        runtime
            Runtime of the embedder: ``onnxruntime``, ``openvino``, or ``auto`` for the faster of those installed.

        Raises
        ------
        UsageError
            `device` or `runtime` is unknown.
        DeviceError
            CUDA was requested and does not work, or with OpenVINO.
        MissingDependencyError
            No runtime is installed.
        PackIntegrityError
            A network is altered or cannot be loaded.
        ManifestError
            A network does not have the format that the manifest states.
        """
        detector = build_detector(pack, device, threads)
        finder = FaceFinder.from_spec(detector, pack.manifest.detector)
        return cls(finder, build_embedder(pack, device, threads, runtime))

    def analyze(self, photos: Iterable[DecodedPhoto]) -> Iterator[AnalyzedPhoto]:
        """Yield a result with the embedded faces for each photo, in order.

        `photos` are upright. They are consumed lazily; a bounded number of photos is held at a time. Raises `PackError`
        if a network of the pack cannot be run.
        """
        pending: list[_DetectedFaces] = []
        for photo in photos:
            with share_cores():
                pending.append(self._detect(photo))
            face_count = sum(len(detected.crops) for detected in pending)
            pixel_count = sum(detected.photo.pixels.size // 3 for detected in pending)
            if face_count >= _CHUNK_FACES or pixel_count >= _CHUNK_PIXELS:
                yield from self._embed(pending)
                pending = []
        yield from self._embed(pending)

    def crop(self, photo: DecodedPhoto, detection: Detection) -> RGBImage:
        """Return the aligned crop of a face, the input of the embedder: RGB ``uint8`` of shape ``(size, size, 3)``."""
        return align(photo.pixels, detection.landmarks, self.embedder.template, self.embedder.size)

    def embed_variants(self, crop: RGBImage, variants: Sequence[str]) -> dict[str, FloatArray]:
        """Return the embeddings of variants of a face.

        Parameters
        ----------
        crop
            The aligned face, as returned by `crop`.
        variants
            Names from `facebank.vision.augmentation.VARIANTS`; others raise `UsageError`.

        Returns
        -------
        dict[str, FloatArray]
            L2-normalized ``float32`` of shape ``(dimension,)`` by variant.
        """
        if not variants:
            return {}
        crops = np.stack([augment(crop, self.embedder.template, variant) for variant in variants])
        return dict(zip(variants, self.embedder.embed(crops), strict=True))

    def _detect(self, photo: DecodedPhoto) -> _DetectedFaces:
        upright, quarter_turns, detections = self._finder.find_upright(photo)
        crops = [self.crop(upright, detection) for detection in detections]
        return _DetectedFaces(upright, quarter_turns, detections, crops)

    def _embed(self, pending: list[_DetectedFaces]) -> Iterator[AnalyzedPhoto]:
        crops = [crop for detected in pending for crop in detected.crops]
        embeddings = iter(self.embedder.embed(np.stack(crops)) if crops else ())
        for detected in pending:
            faces = tuple(
                Face(
                    detection.box,
                    detection.landmarks,
                    detection.detection_score,
                    assess(detection, crop),
                    next(embeddings),
                )
                for detection, crop in zip(detected.detections, detected.crops, strict=True)
            )
            yield AnalyzedPhoto(detected.photo, faces, detected.quarter_turns)
