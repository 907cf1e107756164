"""Photos to faces: detection, alignment and embedding, batched across photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.packs import at_work, open_shared
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


_DETECTORS: dict[str, type[YuNet] | type[Scrfd]] = {"yunet": YuNet, "scrfd": Scrfd}


def build_detector(pack: Pack, device: str = "auto", threads: int | None = None) -> NetworkDetector:
    """Load the detector of a verified pack; parameters and errors as for `FaceAnalyzer.from_pack`.

    Always into ONNX Runtime: OpenVINO compiles a network anew for each size of photo, and keeps what it compiled.
    """
    spec = pack.manifest.detector
    shape = (1, 3, _LOOK, _LOOK)
    session = open_shared(pack.detector_network, device, threads, "onnxruntime", sha256=spec.sha256, shape=shape)
    return _DETECTORS[spec.kind](session, spec)


def build_embedder(
    pack: Pack, device: str = "auto", threads: int | None = None, runtime: str = "onnxruntime"
) -> NetworkEmbedder:
    """Load the embedder of a verified pack; parameters and errors as for `FaceAnalyzer.from_pack`."""
    spec = pack.manifest.embedder
    shape = (1, 3, spec.size, spec.size)
    session = open_shared(pack.embedder_network, device, threads, runtime, sha256=spec.sha256, shape=shape)
    return NetworkEmbedder(session, spec)


_LOOK = 640
_CHUNK_FACES = 32
_CHUNK_PIXELS = 64_000_000


@dataclass(frozen=True, slots=True)
class _Found:
    """An upright photo with its detections and their aligned crops."""

    photo: DecodedPhoto
    quarter_turns: int
    detections: list[Detection]
    crops: list[RGBImage]


class FaceAnalyzer:
    """Finds and embeds the faces of any number of photos, with a finder and an `embedder`."""

    def __init__(self, finder: FaceFinder, embedder: Embedder) -> None:
        self._finder = finder
        self.embedder = embedder

    @classmethod
    def from_pack(
        cls, pack: Pack, device: str = "auto", threads: int | None = None, runtime: str = "onnxruntime"
    ) -> FaceAnalyzer:
        """Load both networks of a verified pack.

        Parameters
        ----------
        pack
            A verified pack.
        device
            ``auto``, ``cpu`` or ``cuda``.
        threads
            Threads for each network on the CPU; None for as many as this process may use.
        runtime
            Of the embedder: ``onnxruntime``, ``openvino``, or ``auto``: the faster one, if both are installed.

        Raises
        ------
        DeviceError
            CUDA was asked for and does not work.
        MissingDependencyError
            No runtime is installed.
        """
        detector = build_detector(pack, device, threads)
        finder = FaceFinder.from_spec(detector, pack.manifest.detector)
        return cls(finder, build_embedder(pack, device, threads, runtime))

    def analyze(self, photos: Iterable[DecodedPhoto]) -> Iterator[AnalyzedPhoto]:
        """Yield photos with their embedded faces, one for each photo, in order.

        `photos` are upright and consumed lazily, a bounded number ahead of what is yielded.
        """
        waiting: list[_Found] = []
        for photo in photos:
            with at_work():
                waiting.append(self._find(photo))
            faces = sum(len(found.crops) for found in waiting)
            pixels = sum(found.photo.pixels.size // 3 for found in waiting)
            if faces >= _CHUNK_FACES or pixels >= _CHUNK_PIXELS:
                yield from self._embed(waiting)
                waiting = []
        yield from self._embed(waiting)

    def crop(self, photo: DecodedPhoto, detection: Detection) -> RGBImage:
        """Cut a face of `photo` out as it is embedded: ``uint8`` of shape ``(size, size, 3)``."""
        return align(photo.pixels, detection.landmarks, self.embedder.template, self.embedder.size)

    def embed_variants(self, crop: RGBImage, variants: Sequence[str]) -> dict[str, FloatArray]:
        """Embed variants of a face.

        Parameters
        ----------
        crop
            As `crop` returns it.
        variants
            Names from `facebank.vision.augmentation.VARIANTS`; `UsageError` for any other.

        Returns
        -------
        dict[str, FloatArray]
            L2-normalized ``float32`` of shape ``(dimension,)`` by variant.
        """
        if not variants:
            return {}
        crops = np.stack([augment(crop, self.embedder.template, variant) for variant in variants])
        return dict(zip(variants, self.embedder.embed(crops), strict=True))

    def _find(self, photo: DecodedPhoto) -> _Found:
        upright, quarter_turns, detections = self._finder.find_upright(photo)
        return _Found(upright, quarter_turns, detections, [self.crop(upright, detection) for detection in detections])

    def _embed(self, waiting: list[_Found]) -> Iterator[AnalyzedPhoto]:
        crops = [crop for found in waiting for crop in found.crops]
        embeddings = iter(self.embedder.embed(np.stack(crops)) if crops else ())
        for found in waiting:
            faces = tuple(
                Face(
                    detection.box,
                    detection.landmarks,
                    detection.detection_score,
                    assess(detection, crop),
                    next(embeddings),
                )
                for detection, crop in zip(found.detections, found.crops, strict=True)
            )
            yield AnalyzedPhoto(found.photo, faces, found.quarter_turns)
