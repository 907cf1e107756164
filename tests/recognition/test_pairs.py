"""Probabilities of two people who look alike by their margin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.recognition.pairs import DEFAULT_PAIR_MODEL, PairCurve, PairMargins, PairModel
from tests.recognition.synthetic import DIMENSION, normalize, seeds

WELL_APART = PairMargins(similarity=0.35, first=4, second=4, margins=8 * (0.3,))


def make_samples(seed: int, count: int, towards: np.ndarray, noise: float = 0.2) -> np.ndarray:
    return normalize(towards + noise * np.random.default_rng(seed).normal(size=(count, DIMENSION)))


def make_pair(seed: int, first: int, second: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    center, away = generator.normal(size=(2, DIMENSION))
    return make_samples(seed + 1, first, center), make_samples(seed + 2, second, center + distance * away)


def measure(first: np.ndarray, second: np.ndarray) -> PairMargins:
    return PairMargins.measure(first, second, np.ones(len(first), np.float32), np.ones(len(second), np.float32))


@given(seeds, st.integers(1, 5), st.integers(1, 5))
def test_margins_come_from_left_out_photos(seed: int, first: int, second: int) -> None:
    left, right = make_pair(seed, first, second, 0.5)
    pair = measure(left, right)
    margins = []
    for samples, other_samples in ((left, right), (right, left)):
        prototype = normalize(other_samples.astype(np.float64).mean(axis=0)).astype(np.float64)
        for row in range(len(samples) if len(samples) > 1 else 0):
            remaining = np.delete(samples, row, axis=0).astype(np.float64)
            remaining_prototype = normalize(remaining.mean(axis=0)).astype(np.float64)
            margins.append(float(samples[row] @ remaining_prototype - samples[row] @ prototype))
    assert pair.margins == pytest.approx(margins, abs=1e-5)


@given(seeds, st.integers(1, 6), st.integers(1, 6), st.floats(0, 2))
def test_probabilities_lie_in_bounds_and_rise(seed: int, first: int, second: int, distance: float) -> None:
    curve = PairCurve(DEFAULT_PAIR_MODEL, measure(*make_pair(seed, first, second, distance)))
    predicted = curve.probability(np.linspace(-1, 1, 101))
    assert ((predicted > 0) & (predicted < 1)).all()
    assert (np.diff(predicted) >= 0).all()
    assert 0 <= curve.expected_error <= 0.5


@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_swapping_the_two_people_is_symmetric(seed: int, first: int, second: int) -> None:
    left, right = make_pair(seed, first, second, 0.7)
    forward, backward = (PairCurve(DEFAULT_PAIR_MODEL, measure(*pair)) for pair in ((left, right), (right, left)))
    margins = np.linspace(-0.5, 0.5, 21)
    assert np.allclose(forward.probability(margins), 1 - backward.probability(-margins))
    assert forward.expected_error == pytest.approx(backward.expected_error)


def test_wide_margins_count_more_than_narrow_ones() -> None:
    narrow = replace(WELL_APART, margins=8 * (0.02,), similarity=0.7)
    wide, twins = PairCurve(DEFAULT_PAIR_MODEL, WELL_APART), PairCurve(DEFAULT_PAIR_MODEL, narrow)
    assert wide.expected_error < 0.1 < twins.expected_error
    assert float(wide.probability(np.array(0.3))) > 0.95


def test_one_person_split_in_two_is_not_distinguished() -> None:
    """Left-out photos are as often nearer to the other half: no margin suffices, as with twins."""
    named = total = 0
    for seed in range(40):
        photos = make_samples(seed, 12, np.random.default_rng([9, seed]).normal(size=DIMENSION), 0.35)
        left, right, probes = photos[:4], photos[4:8], photos[8:]
        curve = PairCurve(DEFAULT_PAIR_MODEL, measure(left, right))
        prototypes = np.stack([normalize(samples.mean(axis=0)) for samples in (left, right)])
        margins = probes @ (prototypes[0] - prototypes[1])
        predicted = curve.probability(margins)
        named += int((np.maximum(predicted, 1 - predicted) >= 0.85).sum())
        total += len(predicted)
        assert curve.expected_error > 0.1
    assert named / total < 0.05


def test_misfiled_photos_flatten_the_curve() -> None:
    mixed = replace(WELL_APART, margins=5 * (0.5,) + 3 * (-0.03,))
    certain, doubtful = (
        float(PairCurve(DEFAULT_PAIR_MODEL, pair).probability(np.array(0.6))) for pair in (WELL_APART, mixed)
    )
    assert certain > doubtful


def test_one_photo_each_falls_back_to_defaults() -> None:
    curve = PairCurve(DEFAULT_PAIR_MODEL, PairMargins(0.35, 1, 1))
    assert 0.02 < curve.expected_error < 0.25
    assert float(curve.probability(np.array(0.0))) == pytest.approx(0.5)


@given(st.lists(st.sampled_from([-20.0, -1.0, 0.0, 1.0, 20.0]), min_size=11, max_size=11), st.integers(0, 6))
def test_any_valid_parameters_make_a_curve(numbers: list[float], photos: int) -> None:
    for similarity in (-1.0, 0.2, 1.0):
        curve = PairCurve(PairModel(*numbers), PairMargins(similarity, 1, 4, photos * (-0.3,)), common=0.9)
        assert 0 <= curve.expected_error <= 0.5
        probabilities = curve.probability(np.array([-2.0, 0.0, 2.0]))
        assert ((probabilities >= 0) & (probabilities <= 1)).all()
