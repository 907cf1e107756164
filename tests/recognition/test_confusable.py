"""Who will be confused, and how two people are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facebank.errors import UsageError
from facebank.recognition.background import Background
from facebank.recognition.confusable import (
    LEAST_EXPECTED_ERROR,
    MOST_PAIRS,
    Confusables,
    PairDiscriminator,
    confusable_pairs,
)
from facebank.recognition.enrolled import Enrolled
from facebank.recognition.photo_model import TYPICAL_AGREEMENT, PhotoModel, agreement

if TYPE_CHECKING:
    from facebank.faces import FloatArray

DIMENSION = 128


def unit(rows: NDArray[np.float64]) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def identities(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Make up people: directions of length 1 that have little in common."""
    return unit(np.random.default_rng(seed).normal(size=(count, DIMENSION))).astype(np.float64)


def siblings(alike: float, seed: int = 0) -> NDArray[np.float64]:
    """Make up two people whose directions have a given cosine."""
    one, other = identities(2, seed)
    other = unit(other - (other @ one) * one).astype(np.float64)
    return np.stack([one, alike * one + np.sqrt(1 - alike**2) * other])


def photos(person: NDArray[np.float64], count: int, seed: int = 0) -> FloatArray:
    """Make up photos of a person whose cosines with one another are about `TYPICAL_AGREEMENT`."""
    scatter = np.random.default_rng(seed + 77).normal(size=(count, DIMENSION)) / np.sqrt(DIMENSION)
    return unit(np.sqrt(TYPICAL_AGREEMENT) * person + np.sqrt(1 - TYPICAL_AGREEMENT) * scatter)


def enrol(people: NDArray[np.float64], *counts: int, seed: int = 0) -> Enrolled:
    """Enrol people, numbered 10, 20 and so on, with some photos each."""
    matrix = np.concatenate([photos(one, n, seed + i) for i, (one, n) in enumerate(zip(people, counts, strict=True))])
    owners = np.repeat(10 * (1 + np.arange(len(people))), counts)
    return Enrolled(matrix, owners, np.full(len(matrix), 0.8, np.float32))


def made_background(seed: int = 3) -> Background:
    people = identities(300, seed)
    matrix = np.concatenate([photos(one, 3, seed=1000 + i) for i, one in enumerate(people)])
    return Background.measure(matrix, np.repeat(np.arange(300), 3))


def test_siblings_are_found_among_many_people() -> None:
    people = identities(300)
    people[200] = siblings(0.85, seed=5)[1]
    people[17] = siblings(0.85, seed=5)[0]
    pairs = confusable_pairs(enrol(people, *[3] * 300))
    assert [(pair.first, pair.second) for pair in pairs] == [(180, 2010)]
    assert LEAST_EXPECTED_ERROR <= pairs[0].expected_error <= 0.5
    assert 0.6 < pairs[0].similarity < 0.9


def test_a_pair_is_the_same_wherever_it_is_looked_for() -> None:
    people = np.concatenate([identities(600), siblings(0.8)])
    enrolled = enrol(people, *[2] * 602)
    (pair,) = (found for found in confusable_pairs(enrolled) if (found.first, found.second) == (6010, 6020))
    confusables = Confusables(enrolled)
    assert confusables.expected_error(6010, 6020) == pytest.approx(pair.expected_error, abs=1e-9)
    assert confusables.expected_error(6020, 6010) == pytest.approx(pair.expected_error, abs=1e-9)
    assert confusables.are_confusable(6010, 6020)
    assert not confusables.are_confusable(10, 20)


def test_photos_that_scatter_evenly_are_confused_no_more_than_expected() -> None:
    happened, expected = [], []
    for seed in range(60):
        people = siblings(0.8, seed)
        enrolled = enrol(people, 1, 1, seed=seed)
        expected.append(Confusables(enrolled).expected_error(10, 20))
        for own, other in ((0, 1), (1, 0)):
            probes = photos(people[own], 200, seed=9000 + 2 * seed + own)
            nearer = probes @ enrolled.matrix[other] > probes @ enrolled.matrix[own]
            happened.append(nearer.mean())
    assert 0 < np.mean(happened) < np.mean(expected)


@given(st.floats(0.0, 0.9), st.integers(0, 1000))
def test_the_more_alike_the_more_is_expected(alike: float, seed: int) -> None:
    nearer = enrol(siblings(alike, seed), 3, 3, seed=seed)
    farther = enrol(siblings(alike - 0.3, seed), 3, 3, seed=seed)
    errors = [Confusables(enrolled).expected_error(10, 20) for enrolled in (farther, nearer)]
    assert 0 < errors[0] <= errors[1] <= 0.5


def test_more_samples_are_confused_less() -> None:
    errors = []
    for count in (1, 3, 10):
        found = [Confusables(enrol(siblings(0.6, s), count, count, seed=s)).expected_error(10, 20) for s in range(20)]
        errors.append(float(np.mean(found)))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 3 * errors[2]


def test_one_person_and_people_with_the_same_photo() -> None:
    alone = Enrolled(photos(identities(1)[0], 1), np.array([7]), np.ones(1, np.float32))
    assert confusable_pairs(alone) == []
    twice = Enrolled(alone.matrix[[0, 0]], np.array([7, 9]), np.ones(2, np.float32))
    (pair,) = confusable_pairs(twice)
    assert pair.similarity == pytest.approx(1)
    assert pair.expected_error == pytest.approx(0.5, abs=0.05)
    confusables = Confusables(twice)
    assert confusables.probability(7, 9, alone.matrix[0]) == pytest.approx(0.5)
    assert confusables.which(7, 9, alone.matrix[0]) is None


def test_many_who_are_all_alike_are_told_of_up_to_a_limit() -> None:
    one = photos(identities(1)[0], 1)
    many = Enrolled(np.repeat(one, 1200, axis=0), np.arange(1200), np.ones(1200, np.float32))
    background = made_background()
    pairs = confusable_pairs(many, background)
    assert len(pairs) == MOST_PAIRS
    assert len({(pair.first, pair.second) for pair in pairs}) == MOST_PAIRS
    assert all(pair.first < pair.second for pair in pairs)


def test_what_all_faces_have_in_common_is_no_resemblance() -> None:
    common = identities(1, seed=99)[0]
    people = identities(100)
    rows = np.concatenate([photos(one, 3, seed=i) for i, one in enumerate(people)])
    shifted = unit(rows + 1.2 * common)
    enrolled = Enrolled(shifted, np.repeat(np.arange(100), 3), np.ones(300, np.float32))
    assert float(shifted[0] @ shifted[3]) > 0.5
    assert confusable_pairs(enrolled) == []


@pytest.mark.parametrize("known", [True, False])
def test_a_discriminator_knows_the_two_people(known: bool) -> None:
    model = PhotoModel(DIMENSION, made_background() if known else None)
    one, other = siblings(0.7)
    discriminator = PairDiscriminator(model, photos(one, 3, seed=1), photos(other, 3, seed=2))
    of_one = discriminator.probabilities(photos(one, 200, seed=3))
    of_other = discriminator.probabilities(photos(other, 200, seed=4))
    assert (of_one > 0.5).mean() > 0.95
    assert (of_other < 0.5).mean() > 0.95
    assert ((of_one > 0) & (of_one < 1)).all()


def test_both_orders_agree() -> None:
    enrolled = enrol(siblings(0.8), 2, 4)
    confusables = Confusables(enrolled, made_background())
    probe = photos(siblings(0.8)[0], 1, seed=5)[0]
    forth, back = confusables.probability(10, 20, probe), confusables.probability(20, 10, probe)
    assert forth == pytest.approx(1 - back)
    assert confusables.which(10, 20, probe) == confusables.which(20, 10, probe)
    assert confusables.told_apart(10, 20, probe) == (confusables.which(10, 20, probe) == 10)


def test_somebody_with_one_sample_is_not_taken_for_the_sibling_with_ten() -> None:
    background = made_background()
    plain, ours = [], []
    for seed in range(40):
        people = siblings(0.8, seed)
        enrolled = enrol(people, 1, 10, seed=seed)
        probes = photos(people[0], 50, seed=5000 + seed)
        mean = unit(enrolled.matrix[1:].astype(np.float64).sum(axis=0))
        plain.append((probes @ mean > probes @ enrolled.matrix[0]).mean())
        model = PhotoModel(DIMENSION, background)
        discriminator = PairDiscriminator(model, enrolled.matrix[:1], enrolled.matrix[1:])
        ours.append((discriminator.probabilities(probes) < 0.5).mean())
    assert np.mean(ours) < 0.9 * np.mean(plain)


def test_those_told_apart_are_told_rightly() -> None:
    right = answered = 0
    for seed in range(40):
        people = siblings(0.7, seed)
        enrolled = enrol(people, 3, 3, seed=seed)
        confusables = Confusables(enrolled)
        for probe in photos(people[0], 20, seed=7000 + seed):
            which = confusables.which(10, 20, probe)
            answered += which is not None
            right += which == 10
    assert answered > 0.5 * 800
    assert right >= 0.99 * answered


def test_unknown_people_and_wrong_embeddings_are_refused() -> None:
    confusables = Confusables(enrol(identities(2), 1, 1))
    with pytest.raises(UsageError, match="no person 11"):
        confusables.are_confusable(10, 11)
    with pytest.raises(UsageError, match="embeddings"):
        confusables.probability(10, 20, np.ones(5, np.float32))
    with pytest.raises(UsageError, match="finite"):
        confusables.probability(10, 20, np.full(DIMENSION, np.nan, np.float32))


def test_five_hundred_samples_beside_one() -> None:
    enrolled = enrol(siblings(0.8), 1, 500)
    confusables = Confusables(enrolled)
    assert confusables.are_confusable(10, 20)
    assert 0 < confusables.probability(10, 20, enrolled.matrix[0]) < 1


def test_how_alike_photos_of_one_person_are_is_measured() -> None:
    assert agreement(None) == TYPICAL_AGREEMENT
    assert agreement(made_background()) == pytest.approx(TYPICAL_AGREEMENT, abs=0.03)
    without = Background(np.zeros(4, np.float32), np.eye(4, dtype=np.float32))
    assert agreement(without) == TYPICAL_AGREEMENT
