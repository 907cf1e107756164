"""Records decisions for galleries of five sizes and every classifier: ``python tests/recognition/golden.py``.

Writes ``golden_decisions.json``, which `test_golden_decisions` compares with. The embeddings come from integers of
SHAKE-128, so that they are the same on every machine and with every version of NumPy.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.gallery import FaceKey, Gallery, NewSample
from facebank.operations.engine import load_engine
from facebank.operations.identify import identified_photo, prepare_identification
from facebank.recognition.settings import DecisionSettings
from facebank.types import Face, Photo, Quality

if TYPE_CHECKING:
    from facebank.operations.engine import Engine
    from facebank.types import FloatArray

GOLDEN = Path(__file__).with_name("golden_decisions.json")
SIZES = (1, 5, 60, 1_000, 12_000)
CLASSIFIERS = ("prototype", "knn", "svm", "logistic")
FITTED = ("svm", "logistic")
LARGEST_FITTED = 60
"""Largest gallery for fitted classifiers, which take too long for more people."""

_SHARED = 0.35  # common to all faces, so that similarities of strangers spread like those of photos
_AT_ONCE = 4_000


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
        Case(people, kind) for people in SIZES for kind in CLASSIFIERS if kind not in FITTED or people <= LARGEST_FITTED
    ]


def hashed_direction(dimension: int, *what: object) -> FloatArray:
    """Return the unnormalized direction derived from some values, ``(dimension,)``."""
    data = hashlib.shake_128(repr(what).encode()).digest(8 * dimension)
    bits = np.frombuffer(data, np.uint8).reshape(dimension, 8).astype(np.int64)
    return np.asarray(bits.sum(axis=1) - 1020, dtype=np.float32)  # the sum of eight bytes is nearly normal


def mixed(parts: Iterator[tuple[float, FloatArray]] | list[tuple[float, FloatArray]]) -> FloatArray:
    """Return the normalized weighted sum of directions."""
    total = sum(weight * part.astype(np.float64) for weight, part in parts)
    return np.asarray(total / np.sqrt(np.sum(np.square(total))), dtype=np.float32)


def person(dimension: int, number: int) -> list[tuple[float, FloatArray]]:
    """Return the weighted directions of a person; every ninth person resembles the one before."""
    own = (1.0, hashed_direction(dimension, "person", number))
    shared = (_SHARED, hashed_direction(dimension, "shared"))
    if number % 9 == 8:
        return [(0.95, hashed_direction(dimension, "person", number - 1)), (0.3, own[1]), shared]
    return [own, shared]


def face_of(dimension: int, number: int, photo: object, noise: float) -> FloatArray:
    """Return a person's embedding in a photo."""
    return mixed([*person(dimension, number), (noise, hashed_direction(dimension, "photo", number, photo))])


def samples(dimension: int, number: int) -> list[NewSample]:
    """Return one to three samples of a person."""
    return [
        NewSample(
            box=np.array([0, 0, 90, 90], np.float32),
            landmarks=np.zeros((5, 2), np.float32),
            detection_score=1.0,
            quality=0.3 + 0.1 * ((number + place) % 7),
            path=f"{number}-{place}.jpg",
            content_hash=hashlib.sha256(f"{number}-{place}".encode()).hexdigest(),
            quarter_turns=0,
            taken_at=None,
            thumbnail=None,
            vectors={"plain": face_of(dimension, number, place, 0.7)},
        )
        for place in range(1 + number % 3)
    ]


def face(embedding: FloatArray, place: int, quality: float = 0.8) -> Face:
    """Return a face in a photo."""
    box = np.array([100 * place, 0, 100 * place + 80, 80], np.float32)
    return Face(box, np.zeros((5, 2), np.float32), 0.9, Quality(quality, 80.0, 0.8, 0.8, 0.8, 0.0), embedding)


def probes(dimension: int, people: int) -> dict[str, list[Face]]:
    """Return the faces of the probe photos by photo name."""
    shown = [number for number in (0, 1, 7, 8, 33, 59, 500, 999, 7_000, 11_999) if number < people]
    photos = {
        f"{number} at {noise}": [face(face_of(dimension, number, "probe", noise), 0)]
        for number in shown
        for noise in (0.7, 1.3, 2.2)
    }
    first, last = shown[0], shown[-1]
    both = mixed([*person(dimension, first), *person(dimension, last)])
    strangers = [face_of(dimension, 10**6 + number, "probe", 0.7) for number in range(8)]
    return {
        **photos,
        **{f"stranger {number}": [face(vector, 0)] for number, vector in enumerate(strangers)},
        "between two": [face(both, 0)],
        "poor": [face(face_of(dimension, first, "probe", 1.3), 0, 0.05)],
        "remembered": [face(face_of(dimension, 10**7, "again", 0.7), 0)],
        "denied": [face(face_of(dimension, first, "denied", 0.7), 0)],
        "together": [
            face(face_of(dimension, first, "left", 0.7), 0),
            face(face_of(dimension, first, "right", 0.8), 1),
            face(face_of(dimension, last, "third", 0.7), 2),
            face(strangers[0], 3),
        ],
    }


def make_gallery(path: Path, engine: Engine, people: int) -> None:
    """Enroll people, remember a stranger and deny a face."""
    dimension = engine.identity.dimension
    with Gallery.open(path, engine.identity, create=True) as gallery:
        for start in range(0, people, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, people))
            gallery.enroll_people([(f"Person {number}", samples(dimension, number)) for number in numbers])
        (stranger,) = samples(dimension, 3 * 10**6)
        vector = face_of(dimension, 10**7, "first", 0.7)
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
                vectors={"plain": vector},
            )
        )
        denied = photo("denied", probes(dimension, people)["denied"])
        gallery.deny("Person 0", FaceKey.from_photo(denied, denied.faces[0]))


def photo(name: str, faces: list[Face]) -> Photo:
    """Return a photo with faces."""
    content_hash = hashlib.sha256(name.encode()).hexdigest()
    return Photo(f"{name}.jpg", tuple(faces), width=400, height=100, content_hash=content_hash)


def decided(path: Path, engine: Engine, case: Case) -> dict[str, list[dict[str, Any]]]:
    """Return the decisions about all probes."""
    with Gallery.open(path, engine.identity) as gallery:
        identification = prepare_identification(gallery, engine, DecisionSettings(classifier=case.classifier))
        return {
            name: [
                written(found) for found in identified_photo(photo(name, faces), gallery, lambda: identification).faces
            ]
            for name, faces in probes(engine.identity.dimension, case.people).items()
        }


def written(face: Face) -> dict[str, Any]:
    """Return a decision in the format of the file."""
    return {
        "decision": str(face.decision),
        "reason": str(face.reason),
        "person": face.person,
        "candidates": [
            [candidate.person, _rounded(candidate.similarity), _rounded(candidate.probability)]
            for candidate in face.candidates
        ],
        "stranger": _rounded(face.stranger_probability),
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 9)


def recorded() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the decisions of all cases."""
    engine = load_engine(None)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for people in SIZES:
            path = Path(folder) / f"{people}.facebank"
            make_gallery(path, engine, people)
            found.update({case.name: decided(path, engine, case) for case in cases() if case.people == people})
    return found


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in recorded().items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
