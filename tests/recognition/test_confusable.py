"""Finding and distinguishing people who look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facebank.errors import UsageError
from facebank.recognition.calibration.background import Background
from facebank.recognition.confusable import MAX_PAIRS, MIN_EXPECTED_ERROR, Confusables, confusable_pairs
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.neighborhood import TYPICAL_AGREEMENT, typical_agreement

from .synthetic import normalize

if TYPE_CHECKING:
    from facebank.types import FloatArray

DIMENSION = 128


def draw_people(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Return unit directions of dissimilar people, ``(count, DIMENSION)``."""
    return normalize(np.random.default_rng(seed).normal(size=(count, DIMENSION))).astype(np.float64)


def make_siblings(similarity: float, seed: int = 0) -> NDArray[np.float64]:
    """Return the directions of two people with a given cosine."""
    first, other = draw_people(2, seed)
    other = normalize(other - (other @ first) * first).astype(np.float64)
    return np.stack([first, similarity * first + np.sqrt(1 - similarity**2) * other])


def make_photos(person: NDArray[np.float64], count: int, seed: int = 0) -> FloatArray:
    """Return embeddings of a person, ``(count, DIMENSION)``, with mutual cosines of about `TYPICAL_AGREEMENT`."""
    scatter = np.random.default_rng(seed + 77).normal(size=(count, DIMENSION)) / np.sqrt(DIMENSION)
    return normalize(np.sqrt(TYPICAL_AGREEMENT) * person + np.sqrt(1 - TYPICAL_AGREEMENT) * scatter)


def enroll(people: NDArray[np.float64], *counts: int, seed: int = 0) -> EnrolledSamples:
    """Return a gallery of people with IDs 10, 20, … and the given numbers of photos."""
    embeddings = np.concatenate(
        [
            make_photos(person, count, seed + number)
            for number, (person, count) in enumerate(zip(people, counts, strict=True))
        ]
    )
    person_ids = np.repeat(10 * (1 + np.arange(len(people))), counts)
    return EnrolledSamples(embeddings, person_ids, np.full(len(embeddings), 0.8, np.float32))


def make_background(seed: int = 3) -> Background:
    people = draw_people(300, seed)
    embeddings = np.concatenate([make_photos(person, 3, seed=1000 + number) for number, person in enumerate(people)])
    return Background.measure(embeddings, np.repeat(np.arange(300), 3))


def margin(enrolled: EnrolledSamples, probe: FloatArray) -> float:
    """Return the margin of a probe towards the first of two people."""
    person_indices = enrolled.person_indices
    first, second = (
        normalize(enrolled.embeddings[person_indices == index].astype(np.float64).mean(axis=0)) for index in (0, 1)
    )
    return float(probe @ first - probe @ second)


def test_siblings_are_found_in_a_large_gallery() -> None:
    people = draw_people(300)
    people[200] = make_siblings(0.85, seed=5)[1]
    people[17] = make_siblings(0.85, seed=5)[0]
    pairs = confusable_pairs(enroll(people, *[3] * 300).index)
    assert [(pair.first, pair.second) for pair in pairs] == [(180, 2010)]
    assert MIN_EXPECTED_ERROR <= pairs[0].expected_error <= 0.5
    assert 0.6 < pairs[0].similarity < 0.9


def test_pair_does_not_depend_on_the_rest_of_the_gallery() -> None:
    people = np.concatenate([draw_people(600), make_siblings(0.8)])
    enrolled = enroll(people, *[2] * 602)
    (pair,) = (pair for pair in confusable_pairs(enrolled.index) if (pair.first, pair.second) == (6010, 6020))
    confusables = Confusables(enrolled.index)
    assert confusables.expected_error(600, 601) == pytest.approx(pair.expected_error, abs=1e-9)
    assert confusables.margin_weight(600, 601) == 1
    assert confusables.margin_weight(0, 1) == 0


@given(st.floats(0.3, 0.9), st.integers(0, 1000))
def test_expected_confusion_rises_with_similarity(similarity: float, seed: int) -> None:
    nearer = enroll(make_siblings(similarity, seed), 4, 4, seed=seed)
    farther = enroll(make_siblings(similarity - 0.3, seed), 4, 4, seed=seed)
    errors = [Confusables(enrolled.index).expected_error(0, 1) for enrolled in (farther, nearer)]
    assert 0 < errors[0] <= errors[1] + 0.01 <= 0.51


def test_confusion_falls_with_number_of_samples() -> None:
    errors = []
    for count in (4, 10, 30):
        values = [
            Confusables(enroll(make_siblings(0.6, seed), count, count, seed=seed).index).expected_error(0, 1)
            for seed in range(20)
        ]
        errors.append(float(np.mean(values)))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.2 * errors[2]


def test_people_with_the_same_photo_are_confusable() -> None:
    single = EnrolledSamples(make_photos(draw_people(1)[0], 1), np.array([7]), np.ones(1, np.float32))
    assert confusable_pairs(single.index) == []
    twins = EnrolledSamples(single.embeddings[[0, 0]], np.array([7, 9]), np.ones(2, np.float32))
    (pair,) = confusable_pairs(twins.index)
    assert pair.similarity == pytest.approx(1)
    assert pair.expected_error > 0.3
    assert Confusables(twins.index).probability(0, 1, 0.0) == pytest.approx(0.5)


def test_photos_resembling_the_other_person_are_listed() -> None:
    people = make_siblings(0.5, 3)
    photos = [make_photos(people[0], 4, 1), make_photos(people[1], 1, 2), make_photos(people[1], 5, 3)]
    enrolled = EnrolledSamples(np.concatenate(photos), np.repeat([10, 20], 5), np.full(10, 0.8, np.float32))
    (pair,) = confusable_pairs(enrolled.index)
    assert pair.doubtful == (4,)


def test_many_lookalikes_are_reported_up_to_a_limit() -> None:
    photo = make_photos(draw_people(1)[0], 1)
    many = EnrolledSamples(np.repeat(photo, 1200, axis=0), np.arange(1200), np.ones(1200, np.float32))
    pairs = confusable_pairs(many.index, background=make_background())
    assert len(pairs) == MAX_PAIRS
    assert len({(pair.first, pair.second) for pair in pairs}) == MAX_PAIRS
    assert all(pair.first < pair.second for pair in pairs)


def test_component_common_to_all_faces_does_not_make_people_confusable() -> None:
    common = draw_people(1, seed=99)[0]
    people = draw_people(100)
    embeddings = np.concatenate([make_photos(person, 3, seed=number) for number, person in enumerate(people)])
    shifted = normalize(embeddings + 1.2 * common)
    enrolled = EnrolledSamples(shifted, np.repeat(np.arange(100), 3), np.ones(300, np.float32))
    assert float(shifted[0] @ shifted[3]) > 0.5
    assert Confusables(enrolled.index).margin_weight(0, 1) == 0
    assert confusable_pairs(enrolled.index) == []


def test_order_of_the_pair_does_not_matter() -> None:
    enrolled = enroll(make_siblings(0.8), 2, 4)
    confusables = Confusables(enrolled.index)
    difference = margin(enrolled, make_photos(make_siblings(0.8)[0], 1, seed=5)[0])
    assert confusables.probability(0, 1, difference) == pytest.approx(1 - confusables.probability(1, 0, -difference))


def test_confident_probabilities_name_the_right_person() -> None:
    correct = answered = 0
    for seed in range(40):
        people = make_siblings(0.7, seed)
        enrolled = enroll(people, 3, 3, seed=seed)
        confusables = Confusables(enrolled.index)
        for probe in make_photos(people[0], 20, seed=7000 + seed):
            predicted = confusables.probability(0, 1, margin(enrolled, probe))
            answered += max(predicted, 1 - predicted) >= 0.85
            correct += predicted >= 0.85
    assert answered > 0.5 * 800
    assert correct >= 0.98 * answered


def test_unknown_people_are_refused() -> None:
    with pytest.raises(UsageError, match="not 0 and 7"):
        Confusables(enroll(draw_people(2), 1, 1).index).expected_error(0, 7)


def test_many_samples_beside_one_give_valid_probabilities() -> None:
    enrolled = enroll(make_siblings(0.8), 1, 500)
    confusables = Confusables(enrolled.index)
    assert 0 < confusables.expected_error(0, 1) <= 0.5
    assert 0 < confusables.probability(0, 1, margin(enrolled, enrolled.embeddings[0])) < 1


def test_similarity_within_a_person_is_measured() -> None:
    assert typical_agreement(None) == TYPICAL_AGREEMENT
    assert typical_agreement(make_background()) == pytest.approx(TYPICAL_AGREEMENT, abs=0.03)
    background = Background(np.zeros(4, np.float32), np.eye(4, dtype=np.float32))
    assert typical_agreement(background) == TYPICAL_AGREEMENT
