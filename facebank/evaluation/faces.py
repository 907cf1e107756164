"""Detection and embedding of a dataset's faces, cached by pack and photo content."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebank.errors import DatasetError, PhotoError
from facebank.evaluation.dataset import (
    Dataset,
    DatasetPhoto,
    Pick,
    SkippedEntry,
    load_pixels,
    pixels_digest,
    read_dataset_photo,
)
from facebank.evaluation.face_cache import round_trip
from facebank.evaluation.report import Timing
from facebank.media import turn_photo
from facebank.storage.files import read_reason, sha256_of
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import AnalyzedPhoto, Detection, Face
from facebank.vision.alignment import template_landmarks
from facebank.vision.augmentation import augment
from facebank.vision.quality import assess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.face_cache import FaceCache
    from facebank.gallery import PackIdentity
    from facebank.operations.engine import Engine
    from facebank.types import DecodedPhoto, FloatArray, RGBImage
    from facebank.vision import FaceAnalyzer

NO_FACE = "no face was found"
"""The reason recorded for a readable photo without a face."""

_BATCH = 32


class Change(Protocol):
    """An alteration of a photo before faces are detected in it, such as blur."""

    @property
    def name(self) -> str:
        """Unique key of the change, with its strength and version."""
        ...

    def __call__(self, photo: DecodedPhoto, face: Detection) -> DecodedPhoto:
        """Return the changed photo; `face` is the face detected in the original."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FaceSet:
    """The faces of a dataset's N photos, at most one each.

    A photo that has no face or cannot be read has None in `faces` and an entry in `failures`. `turns` are the
    counter-clockwise quarter turns that made each photo upright, `hashes` the SHA-256 of each content in hex, "" if
    unreadable, and `dimension` is the length of the embeddings.
    """

    dataset: Dataset
    faces: tuple[Face | None, ...]
    turns: tuple[int, ...]
    hashes: tuple[str, ...]
    dimension: int
    failures: tuple[SkippedEntry, ...]

    @property
    def has_face(self) -> NDArray[np.bool_]:
        """Whether each photo has a face: ``bool`` of shape ``(N,)``."""
        return np.array([face is not None for face in self.faces], dtype=np.bool_)

    @property
    def embeddings(self) -> FloatArray:
        """Embeddings, ``float32`` of shape ``(N, D)``; zeros for photos without a face."""
        zeros = np.zeros(self.dimension, dtype=np.float32)
        return np.stack([zeros if face is None else face.embedding for face in self.faces])

    @property
    def qualities(self) -> FloatArray:
        """Qualities, ``float32`` of shape ``(N,)``; 0 for photos without a face."""
        return np.array([0 if face is None else face.quality for face in self.faces], dtype=np.float32)

    @property
    def names(self) -> NDArray[np.str_]:
        """Names of the photos, ``str`` of shape ``(N,)``."""
        return np.array([photo.name for photo in self.dataset.photos])

    @property
    def groups(self) -> NDArray[np.int64]:
        """Number of each photo's source, ``int64`` of shape ``(N,)``; photos without a group have their own."""
        sources = [photo.group or f"\0{number}" for number, photo in enumerate(self.dataset.photos)]
        return np.unique(sources, return_inverse=True)[1].astype(np.int64)

    @property
    def photo_counts(self) -> NDArray[np.int64]:
        """Number of photos with a face of each of the dataset's P people, ``int64`` of shape ``(P,)``."""
        person_indices = self.dataset.person_indices[self.has_face]
        return np.bincount(person_indices[person_indices >= 0], minlength=len(self.dataset.people)).astype(np.int64)

    def upright(self, index: int) -> DecodedPhoto:
        """Return a photo in the orientation in which its face was found; raises `PhotoError` if it cannot be read."""
        return turn_photo(read_dataset_photo(self.dataset.photos[index]), self.turns[index])

    def select(self, mask: NDArray[np.bool_]) -> FaceSet:
        """Return the faces of the photos for which `mask`, of shape ``(N,)``, is true."""
        indices = np.flatnonzero(mask)
        return replace(
            self,
            dataset=self.dataset.select(mask.tolist()),
            faces=tuple(self.faces[index] for index in indices),
            turns=tuple(self.turns[index] for index in indices),
            hashes=tuple(self.hashes[index] for index in indices),
        )


class FaceReader:
    """Finds and embeds the faces of datasets, reusing results from an optional cache.

    Parameters
    ----------
    engine
        The engine with the pack, whose networks are loaded on the first cache miss.
    cache
        The cache of the same pack; None for none.
    """

    def __init__(self, engine: Engine, cache: FaceCache | None = None) -> None:
        self.engine = engine
        self._cache = cache
        self._photos, self._face_count, self._seconds = 0, 0, 0.0

    @property
    def timing(self) -> Timing | None:
        """Photos, faces and seconds so far; None if all photos came from the cache."""
        return Timing(self._photos, self._face_count, self._seconds) if self._photos else None

    @property
    def _analyzer(self) -> FaceAnalyzer:
        return self.engine.analyzer

    def read(self, dataset: Dataset, progress: Progress = SILENT, change: Change | None = None) -> FaceSet:
        """Return the face of each photo that ``dataset.pick`` selects.

        With `change`, each photo with a face is altered and its faces are detected again. Raises `DatasetError` if no
        photo has a face, the embeddings belong to another pack, or `change` is given for a dataset of embeddings.
        """
        if dataset.pick is Pick.EMBEDDED:
            faces = embedded_faces(dataset, self.engine.identity, changed=change is not None)
            hashes = tuple(hashlib.sha256(face.embedding.tobytes()).hexdigest() for face in faces)
            return FaceSet(dataset, faces, (0,) * len(faces), hashes, self.engine.identity.dimension, ())
        results = self._read_originals(dataset, progress if change is None else SILENT)
        if change is not None:
            results = self._read_changed(dataset, results, change, progress)
        failures = tuple(
            SkippedEntry(photo.name, result.reason)
            for photo, result in zip(dataset.photos, results, strict=True)
            if result.face is None
        )
        if change is None and len(failures) == len(results):
            raise DatasetError(
                f"{printable(dataset.title)}: no photo shows a face; the first, {printable(failures[0].entry)}: "
                f"{failures[0].reason}"
            )
        return FaceSet(
            dataset,
            tuple(result.face for result in results),
            tuple(result.turns for result in results),
            tuple(result.content_hash for result in results),
            self.engine.identity.dimension,
            failures,
        )

    def crop(self, faces: FaceSet, index: int) -> RGBImage:
        """Return the aligned crop that is embedded for a photo, RGB ``uint8`` of shape ``(S, S, 3)``.

        Raises `PhotoError` if the photo can no longer be read, `DatasetError` if it has no face.
        """
        face, photo = faces.faces[index], faces.dataset.photos[index]
        if face is None:
            raise DatasetError(f"{printable(photo.name)}: {NO_FACE}")
        decoded = read_dataset_photo(photo)
        if faces.dataset.pick is Pick.ALIGNED:
            return self._resize(decoded.pixels)
        return self._analyzer.crop(turn_photo(decoded, faces.turns[index]), face)

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        """Return embeddings, ``float32`` of shape ``(N, D)``, of crops, RGB ``uint8`` of shape ``(N, S, S, 3)``."""
        keys = [hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops]
        return self._embed(keys, lambda number: crops[number], self.engine.identity.dimension)

    def embed_variant(self, faces: FaceSet, indices: Sequence[int], variant: str) -> FloatArray:
        """Return embeddings of an augmented variant of P photos with a face, ``float32`` of shape ``(P, D)``.

        `variant` is a key of `facebank.vision.augmentation.VARIANTS`.
        """
        photos, pick = faces.dataset.photos, faces.dataset.pick
        keys = [f"{_cache_key(photos[index], faces.hashes[index], pick)}:{variant}" for index in indices]

        def make_crop(number: int) -> RGBImage:
            return augment(self.crop(faces, indices[number]), self._analyzer.embedder.template, variant)

        return self._embed(keys, make_crop, faces.dimension)

    def _embed(self, keys: Sequence[str], make_crop: Callable[[int], RGBImage], dimension: int) -> FloatArray:
        """Return embeddings by cache key; missing crops are made and embedded in batches."""
        embeddings = np.zeros((len(keys), dimension), dtype=np.float32)
        cached = [None if self._cache is None else self._cache.embedding(key) for key in keys]
        for number, embedding in enumerate(cached):
            if embedding is not None:
                embeddings[number] = embedding
        missing = [number for number, embedding in enumerate(cached) if embedding is None]
        for start in range(0, len(missing), _BATCH):
            numbers = missing[start : start + _BATCH]
            embeddings[numbers] = self._analyzer.embedder.embed(np.stack([make_crop(number) for number in numbers]))
            for number in numbers:
                if self._cache is not None:
                    self._cache.store_embedding(keys[number], embeddings[number])
        return embeddings

    def _read_originals(self, dataset: Dataset, progress: Progress) -> list[_ReadPhoto]:
        originals: list[_ReadPhoto] = []
        for photo in dataset.photos:
            try:
                originals.append(_ReadPhoto(None, 0, _content_hash(photo)))
            except PhotoError as error:
                originals.append(_ReadPhoto(None, 0, "", str(error)))
        keys = [
            _cache_key(photo, original.content_hash, dataset.pick) if original.content_hash else None
            for photo, original in zip(dataset.photos, originals, strict=True)
        ]

        def load_photo(index: int) -> DecodedPhoto:
            return read_dataset_photo(dataset.photos[index])

        return self._read_faces(dataset, originals, keys, load_photo, progress)

    def _read_changed(
        self, dataset: Dataset, originals: list[_ReadPhoto], change: Change, progress: Progress
    ) -> list[_ReadPhoto]:
        def load_changed(index: int) -> DecodedPhoto:
            original = originals[index]
            upright = turn_photo(read_dataset_photo(dataset.photos[index]), original.turns)
            return upright if original.face is None else replace(change(upright, original.face), has_orientation=True)

        keys = [
            None if original.face is None else f"{_cache_key(photo, original.content_hash, dataset.pick)}:{change.name}"
            for photo, original in zip(dataset.photos, originals, strict=True)
        ]
        return self._read_faces(dataset, originals, keys, load_changed, progress)

    def _read_faces(
        self,
        dataset: Dataset,
        originals: list[_ReadPhoto],
        keys: list[str | None],
        load_photo: Callable[[int], DecodedPhoto],
        progress: Progress,
    ) -> list[_ReadPhoto]:
        """Return the faces of photos, from the cache or by detection; entries without a key are unchanged."""
        results, missing = list(originals), list[int]()
        for index, key in enumerate(keys):
            cached = None if key is None or self._cache is None else self._cache.faces(key)
            if cached is not None:
                results[index] = _make_result(cached[0], cached[1], originals[index].content_hash)
            elif key is not None:
                missing.append(index)
                continue
            progress.advance()
        began = time.perf_counter()
        for index, turns, faces, reason in self._detect(missing, load_photo, dataset.pick):
            results[index] = _make_result(turns, faces, originals[index].content_hash, reason)
            key = keys[index]
            if self._cache is not None and key is not None and not reason:
                self._cache.store_faces(key, turns, faces)
            progress.advance()
        self._photos += len(missing)
        self._seconds += time.perf_counter() - began
        return results

    def _detect(
        self, indices: list[int], load_photo: Callable[[int], DecodedPhoto], pick: Pick
    ) -> Iterator[tuple[int, int, tuple[Face, ...], str]]:
        """Yield index, quarter turns, the selected face if any, and the error of an unreadable photo."""
        analyzed_indices: list[int] = []
        unreadable: list[tuple[int, str]] = []

        def photos() -> Iterator[DecodedPhoto]:
            for index in indices:
                try:
                    photo = load_photo(index)
                except PhotoError as error:
                    unreadable.append((index, str(error)))
                else:
                    analyzed_indices.append(index)
                    yield photo

        if not indices:
            return
        for number, (turns, face) in enumerate(self._faces(photos(), pick)):
            yield analyzed_indices[number], turns, () if face is None else (round_trip(face),), ""
        for index, reason in unreadable:
            yield index, 0, (), reason

    def _faces(self, photos: Iterator[DecodedPhoto], pick: Pick) -> Iterator[tuple[int, Face | None]]:
        if pick is Pick.ALIGNED:
            for photo in photos:
                self._face_count += 1
                yield 0, self._align(photo.pixels)
        else:
            for analyzed in self._analyzer.analyze(photos):
                self._face_count += len(analyzed.faces)
                yield analyzed.quarter_turns, pick_face(analyzed, pick)

    def _align(self, pixels: RGBImage) -> Face:
        crop = self._resize(pixels)
        size = crop.shape[0]
        landmarks = template_landmarks(self._analyzer.embedder.template, size)
        detection = Detection(np.array([0, 0, size, size], dtype=np.float32), landmarks, 1.0)
        return Face(
            detection.box,
            detection.landmarks,
            detection.detection_score,
            assess(detection, crop),
            self._analyzer.embedder.embed(crop[None])[0],
        )

    def _resize(self, pixels: RGBImage) -> RGBImage:
        import cv2

        side = self._analyzer.embedder.size
        if pixels.shape[:2] == (side, side):
            return pixels
        return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class _ReadPhoto:
    face: Face | None
    turns: int
    content_hash: str
    reason: str = ""


def pick_face(analyzed: AnalyzedPhoto, pick: Pick) -> Face | None:
    """Return the face that `pick` selects; None without a face."""
    if not analyzed.faces:
        return None
    if pick is Pick.LARGEST:
        return analyzed.faces[0]
    middle = np.array([analyzed.photo.width, analyzed.photo.height]) / 2
    boxes = np.stack([face.box for face in analyzed.faces])
    distances = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - middle, axis=1)
    return analyzed.faces[int(np.argmin(distances))]


def _make_result(turns: int, faces: Sequence[Face], content_hash: str, reason: str = "") -> _ReadPhoto:
    return _ReadPhoto(faces[0] if faces else None, turns, content_hash, reason or ("" if faces else NO_FACE))


def _content_hash(photo: DatasetPhoto) -> str:
    content = photo.content
    if isinstance(content, Face):
        raise PhotoError(f"{printable(photo.name)} is an embedding and has no pixels; pass the photo")
    if isinstance(content, Path):
        try:
            return sha256_of(content)
        except OSError as error:
            raise PhotoError(f"{printable(photo.name)} cannot be read: {read_reason(error)}") from error
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    return pixels_digest(load_pixels(content))


def _cache_key(photo: DatasetPhoto, content_hash: str, pick: Pick) -> str:
    region = photo.region
    box = "" if region is None else f":{region.left:g},{region.top:g},{region.width:g},{region.height:g}"
    return f"{content_hash}{box}:{pick}"


def embedded_faces(dataset: Dataset, pack: PackIdentity, *, changed: bool = False) -> tuple[Face, ...]:
    """Return the faces of a dataset of embeddings.

    Raises `DatasetError` if `changed` is true, or `pack` did not make the embeddings.
    """
    if changed:
        raise DatasetError(
            f"{printable(dataset.title)}: this protocol alters photos, but the file contains only embeddings; pass the "
            "photos"
        )
    faces = tuple(photo.content for photo in dataset.photos if isinstance(photo.content, Face))
    lengths = {len(face.embedding) for face in faces}
    if len(faces) != len(dataset.photos) or lengths != {pack.dimension}:
        stated = " or ".join(str(length) for length in sorted(lengths))
        raise DatasetError(
            f"{printable(dataset.title)}: embeddings of length {stated} do not fit the pack {printable(pack.name)} "
            f"(length {pack.dimension}); pass the pack that made them with --pack"
        )
    if dataset.pack and dataset.pack != pack.digest:
        raise DatasetError(
            f"{printable(dataset.title)}: the embeddings were made by another pack (digest "
            f"{printable(dataset.pack[:12])}..., not {pack.digest[:12]}... of {printable(pack.name)}); pass that pack "
            "with --pack, or embed the photos again"
        )
    return faces
