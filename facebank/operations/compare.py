"""Comparison of a face with all faces of a photo, or with a person's samples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.index.exact import cosines
from facebank.media import open_photo
from facebank.operations.inputs import largest_face
from facebank.recognition.scoring import top_indices
from facebank.types import Sample

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.media import PhotoInput
    from facebank.operations.engine import Engine
    from facebank.types import AnalyzedPhoto, Face, FloatArray, Photo


@dataclass(frozen=True, slots=True, eq=False)
class ComparedFace:
    """A face of the photo, and its similarity to the source face."""

    face: Face
    similarity: float  # cosine of the two embeddings, -1..1
    same: bool  # whether the similarity reaches the threshold


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The comparison of a source face with all faces of a photo."""

    source: Face | Sample  # the face to compare
    photo: Photo  # the other photo, with its faces
    threshold: float  # the pack's similarity threshold for verification
    faces: tuple[ComparedFace, ...] = field(repr=False)  # of the other photo, largest first


def compare_faces(engine: Engine, a: PhotoInput, b: PhotoInput) -> Comparison:
    """Return the largest face of a photo compared with all of another; raises `PhotoError` if one has no face."""
    engine.preload()
    first, second = engine.analyzer.analyze([open_photo(a), open_photo(b)])
    source = largest_face(first)
    return _compare(engine, source, source.embedding, second)


def compare_sample(engine: Engine, gallery: Gallery, sample: Sample, photo: PhotoInput) -> Comparison:
    """Return an enrolled face compared with all of a photo.

    Raises `PhotoError` (the photo cannot be read or has no face) or `UsageError` (the sample was removed).
    """
    gallery.sample(sample.id)  # raises if it was removed meanwhile
    (embedding,) = gallery.vectors_of([sample.id])
    (analyzed,) = engine.analyzer.analyze([open_photo(photo)])
    return _compare(engine, sample, embedding, analyzed)


def most_similar_samples(
    gallery: Gallery, embedding: FloatArray, name: str, limit: int = 3
) -> list[tuple[Sample, float]]:
    """Return a person's samples that are most similar to a face, with their cosines, -1..1, most similar first.

    Raises `PersonNotFoundError` if the name is not enrolled.
    """
    samples = gallery.samples(name)
    if not samples:
        return []
    similarities = cosines(embedding, gallery.vectors_of([sample.id for sample in samples]))
    (indices,) = top_indices(similarities[None], limit)
    return [(samples[index], float(similarities[index])) for index in indices.tolist()]


def _compare(engine: Engine, source: Face | Sample, embedding: FloatArray, analyzed: AnalyzedPhoto) -> Comparison:
    largest_face(analyzed)  # raises if there is none
    photo, threshold = replace(analyzed.without_pixels, opener=open_photo), engine.thresholds.verify
    similarities = [float(np.dot(embedding, face.embedding)) for face in photo.faces]
    faces = tuple(
        ComparedFace(face, similarity, similarity >= threshold)
        for face, similarity in zip(photo.faces, similarities, strict=True)
    )
    return Comparison(source, photo, threshold, faces)
