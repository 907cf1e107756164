"""Records decisions for galleries of five sizes and every classifier: ``python tests/recognition/golden.py``.

Writes ``golden_decisions.json``, which `test_golden_decisions` compares with. The embeddings come from integers of
SHAKE-128 and are the same on every machine and with every version of NumPy.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.gallery import FaceKey, Gallery, NewSample
from facebank.operations.engine import load_engine
from facebank.operations.identify import identify_photo, prepare_identification
from facebank.recognition.settings import DecisionSettings
from facebank.types import Face, Photo, Quality

if TYPE_CHECKING:
    from facebank.operations.engine import Engine
    from facebank.types import FloatArray

GOLDEN = Path(__file__).with_name("golden_decisions.json")
SIZES = (1, 5, 60, 1_000, 12_000)
CLASSIFIERS = ("prototype", "knn", "svm", "logistic")
FITTED = ("svm", "logistic")
MAX_FITTED_PEOPLE = 60
"""Largest gallery for fitted classifiers, which take too long for more people."""

_SHARED = 0.35  # common to all faces, so that similarities of strangers spread like those of photos
_BATCH_SIZE = 4_000


@dataclass(frozen=True, slots=True)
class Case:
    """Size of a gallery and its classifier."""

    people: int
    classifier: str

    @property
    def name(self) -> str:
        """Key in the file."""
        return f"{self.people} {self.classifier}"


def cases() -> list[Case]:
    """Return all recorded cases."""
    return [
        Case(people, classifier)
        for people in SIZES
        for classifier in CLASSIFIERS
        if classifier not in FITTED or people <= MAX_FITTED_PEOPLE
    ]


def hash_direction(dimension: int, *values: object) -> FloatArray:
    """Return the unnormalized direction derived from some values, ``(dimension,)``."""
    data = hashlib.shake_128(repr(values).encode()).digest(8 * dimension)
    bits = np.frombuffer(data, np.uint8).reshape(dimension, 8).astype(np.int64)
    return np.asarray(bits.sum(axis=1) - 1020, dtype=np.float32)  # the sum of eight bytes is nearly normal


def mix(parts: Iterable[tuple[float, FloatArray]]) -> FloatArray:
    """Return the normalized weighted sum of directions."""
    total = sum(weight * part.astype(np.float64) for weight, part in parts)
    return np.asarray(total / np.sqrt(np.sum(np.square(total))), dtype=np.float32)


def list_directions(dimension: int, person_number: int) -> list[tuple[float, FloatArray]]:
    """Return the weighted directions of a person; every ninth person resembles the one before."""
    direction = (1.0, hash_direction(dimension, "person", person_number))
    shared = (_SHARED, hash_direction(dimension, "shared"))
    if person_number % 9 == 8:
        return [(0.95, hash_direction(dimension, "person", person_number - 1)), (0.3, direction[1]), shared]
    return [direction, shared]


def make_embedding(dimension: int, person_number: int, photo: object, noise: float) -> FloatArray:
    """Return a person's embedding in a photo."""
    return mix(
        [*list_directions(dimension, person_number), (noise, hash_direction(dimension, "photo", person_number, photo))]
    )


def make_samples(dimension: int, person_number: int) -> list[NewSample]:
    """Return one to three samples of a person."""
    return [
        NewSample(
            box=np.array([0, 0, 90, 90], np.float32),
            landmarks=np.zeros((5, 2), np.float32),
            detection_score=1.0,
            quality=0.3 + 0.1 * ((person_number + photo_number) % 7),
            path=f"{person_number}-{photo_number}.jpg",
            content_hash=hashlib.sha256(f"{person_number}-{photo_number}".encode()).hexdigest(),
            quarter_turns=0,
            taken_at=None,
            thumbnail=None,
            vectors={"plain": make_embedding(dimension, person_number, photo_number, 0.7)},
        )
        for photo_number in range(1 + person_number % 3)
    ]


def make_face(embedding: FloatArray, photo_number: int, quality: float = 0.8) -> Face:
    """Return a face in a photo."""
    box = np.array([100 * photo_number, 0, 100 * photo_number + 80, 80], np.float32)
    return Face(box, np.zeros((5, 2), np.float32), 0.9, Quality(quality, 80.0, 0.8, 0.8, 0.8, 0.0), embedding)


def make_probes(dimension: int, people: int) -> dict[str, list[Face]]:
    """Return the faces of the probe photos by photo name."""
    person_numbers = [number for number in (0, 1, 7, 8, 33, 59, 500, 999, 7_000, 11_999) if number < people]
    photos = {
        f"{number} at {noise}": [make_face(make_embedding(dimension, number, "probe", noise), 0)]
        for number in person_numbers
        for noise in (0.7, 1.3, 2.2)
    }
    first, last = person_numbers[0], person_numbers[-1]
    both = mix([*list_directions(dimension, first), *list_directions(dimension, last)])
    strangers = [make_embedding(dimension, 10**6 + number, "probe", 0.7) for number in range(8)]
    return {
        **photos,
        **{f"stranger {number}": [make_face(embedding, 0)] for number, embedding in enumerate(strangers)},
        "between two": [make_face(both, 0)],
        "poor": [make_face(make_embedding(dimension, first, "probe", 1.3), 0, 0.05)],
        "remembered": [make_face(make_embedding(dimension, 10**7, "again", 0.7), 0)],
        "denied": [make_face(make_embedding(dimension, first, "denied", 0.7), 0)],
        "together": [
            make_face(make_embedding(dimension, first, "left", 0.7), 0),
            make_face(make_embedding(dimension, first, "right", 0.8), 1),
            make_face(make_embedding(dimension, last, "third", 0.7), 2),
            make_face(strangers[0], 3),
        ],
    }


def make_gallery(path: Path, engine: Engine, people: int) -> None:
    """Enroll people, remember a stranger and deny a face."""
    dimension = engine.identity.dimension
    with Gallery.open(path, engine.identity, create=True) as gallery:
        for start in range(0, people, _BATCH_SIZE):
            person_numbers = range(start, min(start + _BATCH_SIZE, people))
            gallery.enroll_people([(f"Person {number}", make_samples(dimension, number)) for number in person_numbers])
        (stranger,) = make_samples(dimension, 3 * 10**6)
        embedding = make_embedding(dimension, 10**7, "first", 0.7)
        gallery.remember_stranger(
            NewSample(
                box=stranger.box,
                landmarks=stranger.landmarks,
                detection_score=stranger.detection_score,
                quality=stranger.quality,
                path=stranger.path,
                content_hash=stranger.content_hash,
                quarter_turns=0,
                taken_at=None,
                thumbnail=None,
                vectors={"plain": embedding},
            )
        )
        denied = make_photo("denied", make_probes(dimension, people)["denied"])
        gallery.deny("Person 0", FaceKey.from_photo(denied, denied.faces[0]))


def make_photo(name: str, faces: list[Face]) -> Photo:
    """Return a photo with faces."""
    content_hash = hashlib.sha256(name.encode()).hexdigest()
    return Photo(f"{name}.jpg", tuple(faces), width=400, height=100, content_hash=content_hash)


def decide(path: Path, engine: Engine, case: Case) -> dict[str, list[dict[str, Any]]]:
    """Return the decisions about all probes."""
    with Gallery.open(path, engine.identity) as gallery:
        identification = prepare_identification(gallery, engine, DecisionSettings(classifier=case.classifier))
        return {
            name: [
                to_record(face)
                for face in identify_photo(make_photo(name, faces), gallery, lambda: identification).faces
            ]
            for name, faces in make_probes(engine.identity.dimension, case.people).items()
        }


def to_record(face: Face) -> dict[str, Any]:
    """Return a decision in the format of the file."""
    return {
        "decision": str(face.decision),
        "reason": str(face.reason),
        "person": face.person,
        "candidates": [
            [candidate.person, round_number(candidate.similarity), round_number(candidate.probability)]
            for candidate in face.candidates
        ],
        "stranger": round_number(face.stranger_probability),
    }


def round_number(number: float | None) -> float | None:
    return None if number is None else round(number, 9)


def record_decisions() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the decisions of all cases."""
    engine = load_engine(None)
    decisions = {}
    with tempfile.TemporaryDirectory() as folder:
        for people in SIZES:
            path = Path(folder) / f"{people}.facebank"
            make_gallery(path, engine, people)
            decisions.update({case.name: decide(path, engine, case) for case in cases() if case.people == people})
    return decisions


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(decisions)}" for name, decisions in record_decisions().items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
