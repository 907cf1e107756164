"""Synthetic embeddings, galleries, probes and calibrators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st

from facebank.recognition import Recognizer, Rule
from facebank.recognition.calibration.background import Background
from facebank.recognition.calibration.calibration import RATES, Calibrator, SizeTable
from facebank.recognition.calibration.simulation import Identities
from facebank.recognition.confusable import Confusables
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.training import build_scorer
from facebank.types import Decision, Detection, Face, Identity, Quality, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

DIMENSION = 16
IDENTITY_DIMENSION = 24
"""Dimension of the embeddings of `make_identities`."""

BACKGROUND = Background(np.zeros(DIMENSION, np.float32), np.diag(np.full(DIMENSION, 1 / DIMENSION, np.float32)))
SHIFTED_BACKGROUND = Background(np.full(DIMENSION, 0.05, np.float32), BACKGROUND.covariance)
"""A background that is not centered at the origin."""

KNOTS = (0.0, 0.2, 0.4, 0.6, 0.8)
CURVES = tuple(tuple(steepness * odds for odds in (-6.0, -2.0, 3.0, 9.0, 12.0)) for steepness in (0.8, 1.0, 1.2))
CALIBRATOR = Calibrator(
    "prototype",
    KNOTS,
    tuple(
        SizeTable(size, CURVES, tuple(base - 0.03 * step for step in range(len(RATES))), 0.01, 0.001)
        for size, base in ((1, 0.4), (10, 0.5), (100, 0.6))
    ),
)
PLAIN = Rule(threshold=0.5, margin=0.1, minimum_quality=0.2, stranger_threshold=0.45)
CALIBRATED = replace(PLAIN, calibrator=CALIBRATOR)

rules = pytest.mark.parametrize("rule", [PLAIN, CALIBRATED], ids=["uncalibrated", "calibrated"])
classifiers = pytest.mark.parametrize("classifier", CLASSIFIERS)
seeds = st.integers(0, 2**32 - 1)
sample_counts = st.lists(st.integers(1, 6), min_size=1, max_size=14)


def normalize(embeddings: Any) -> FloatArray:
    """Return embeddings, ``(..., D)``, scaled to length 1, as ``float32``."""
    normalized: FloatArray = (embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)).astype(np.float32)
    return normalized


def scatter(
    generator: np.random.Generator, person_ids: NDArray[np.int64], noise: float = 0.4, dimension: int = DIMENSION
) -> FloatArray:
    """Return embeddings, ``(len(person_ids), dimension)``, near one random direction for each ID from 0."""
    centers = generator.normal(size=(int(person_ids.max()) + 1, dimension))
    return normalize(centers[person_ids] + noise * generator.normal(size=(len(person_ids), dimension)))


def make_people(generator: np.random.Generator, counts: Sequence[int]) -> EnrolledSamples:
    """Return a synthetic gallery of people with IDs from 1, whose samples scatter around one direction each."""
    person_ids = np.repeat(np.arange(len(counts)), counts)
    embeddings = scatter(generator, person_ids)
    return EnrolledSamples(embeddings, person_ids + 1, generator.uniform(size=len(person_ids)).astype(np.float32))


def make_equal_samples(counts: Sequence[int], noise: float = 0.4, seed: int = 0) -> EnrolledSamples:
    """Return a synthetic gallery like that of `make_people`, whose samples all have quality 1."""
    person_ids = np.repeat(np.arange(len(counts)), counts)
    embeddings = scatter(np.random.default_rng(seed), person_ids, noise)
    return EnrolledSamples(embeddings, person_ids + 1, np.ones(len(person_ids), np.float32))


def shuffle(generator: np.random.Generator, enrolled: EnrolledSamples) -> EnrolledSamples:
    """Return a gallery with its samples in random order."""
    order = generator.permutation(enrolled.count)
    return EnrolledSamples(enrolled.embeddings[order], enrolled.person_ids[order], enrolled.qualities[order])


def make_identities(count: int, photos: int = 6, *, singles: int = 0, noise: float = 0.7, seed: int = 0) -> Identities:
    """Return people with `photos` scattered embeddings each, followed by `singles` people with one each."""
    person_ids = np.repeat(np.arange(count + singles), [photos] * count + [1] * singles)
    embeddings = scatter(np.random.default_rng(seed), person_ids, noise, IDENTITY_DIMENSION)
    return Identities(embeddings, person_ids.astype(np.int64), np.ones(len(person_ids), np.float32))


def make_names(enrolled: EnrolledSamples) -> dict[int, str]:
    """Return names of people, made from their IDs."""
    return {int(person_id): f"person {person_id}" for person_id in enrolled.distinct_ids}


def make_recognizer(
    enrolled: EnrolledSamples, rule: Rule = PLAIN, classifier: str = "prototype", **options: Any
) -> Recognizer:
    """Return a recognizer of a gallery whose people are named after their IDs."""
    return Recognizer(
        enrolled.index, make_names(enrolled), build_scorer(classifier, enrolled, BACKGROUND), rule, **options
    )


def make_face(embedding: FloatArray, quality: float = 0.9) -> Face:
    """Return a face with a given embedding."""
    detection = Detection(np.array([0, 0, 50, 60], np.float32), np.zeros((5, 2), np.float32), 0.9)
    return Face(
        detection.box, detection.landmarks, detection.detection_score, Quality(quality, 60.0, 1.0, 1.0), embedding
    )


def make_probes(generator: np.random.Generator, enrolled: EnrolledSamples, count: int = 6) -> list[Face]:
    """Return probes, some of them near a sample and some random."""
    near = enrolled.embeddings[generator.integers(enrolled.count, size=count)]
    noise = generator.uniform(0, 1.5, size=(count, 1))
    return [make_face(embedding) for embedding in normalize(near + noise * generator.normal(size=(count, DIMENSION)))]


def axis(index: int) -> FloatArray:
    """Return the unit vector of a coordinate axis, ``(DIMENSION,)``."""
    vector = np.zeros(DIMENSION, np.float32)
    vector[index] = 1
    return vector


def unit_vector(*cosines: float) -> FloatArray:
    """Return a unit vector with given cosines to the first axes."""
    vector = np.zeros(DIMENSION)
    vector[: len(cosines)] = cosines
    vector[-1] = (1 - (vector**2).sum()) ** 0.5
    return vector.astype(np.float32)


def make_enrolled(*samples: tuple[int, FloatArray]) -> EnrolledSamples:
    """Return a gallery of samples, given as person IDs and embeddings."""
    person_ids = np.array([person_id for person_id, _ in samples], dtype=np.int64)
    embeddings = np.stack([embedding for _, embedding in samples])
    return EnrolledSamples(embeddings, person_ids, np.ones(len(samples), np.float32))


class FixedPairs(Confusables):
    """Look-alike pairs by ID from 1, in which the person nearer to the face has a fixed probability."""

    def __init__(self, enrolled: EnrolledSamples, pairs: set[frozenset[int]], value: float) -> None:
        super().__init__(enrolled.index)
        self.pairs, self.value = pairs, value
        self.queried: list[tuple[int, int]] = []

    def margin_weight(self, first: int, second: int) -> float:
        return float(frozenset({first + 1, second + 1}) in self.pairs)

    def expected_error(self, first: int, second: int) -> float:
        return 0.2

    def probability(self, first: int, second: int, margin: float) -> float:
        self.queried.append((first + 1, second + 1))
        return self.value if margin >= 0 else 1 - self.value


ONE_AND_TWO = {frozenset({1, 2})}
DISTINGUISHED, UNDISTINGUISHED = 0.95, 0.7

TWO = make_enrolled((1, axis(0)), (2, axis(1)))
THREE = make_enrolled((1, axis(0)), (2, axis(1)), (3, axis(2)))


def decide(recognizer: Recognizer, *cosines: float, quality: float = 0.9, denied: Sequence[set[int]] = ()) -> Identity:
    """Return the identity of a face with given cosines to the first axes."""
    (identity,) = recognizer.identify([make_face(unit_vector(*cosines), quality)], denied)
    return identity


def identify_separately(recognizer: Recognizer, faces: Sequence[Face]) -> list[Identity]:
    """Return the identities of faces that are each in a separate photo."""
    return [recognizer.identify([probe])[0] for probe in faces]


def outcome(identity: Identity) -> tuple[Decision, Reason, str | None]:
    return identity.decision, identity.reason, identity.person


MATCH = (Decision.KNOWN, Reason.MATCH)
BELOW = (Decision.UNKNOWN, Reason.BELOW_THRESHOLD, None)
TOO_NEAR = (Decision.UNCERTAIN, Reason.RUNNER_UP_TOO_NEAR, None)
POOR = (Decision.UNCERTAIN, Reason.FACE_TOO_POOR, None)
IMPROBABLE = (Decision.UNCERTAIN, Reason.IMPROBABLE, None)
