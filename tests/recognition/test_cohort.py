"""Correction of scores by the other people of the album."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.index.people_index import PeopleIndex
from facebank.recognition.cohort import MAY_BE_THE_SAME, NO_CORRECTION, SAME_PERSON, Cohort, Correction, not_enrolled
from tests.recognition.synthetic import DIMENSION, seeds, unit

CORRECTION = Correction(share=0.75, level=0.5)


def made(seed: int, count: int, alike: float = 0.0) -> np.ndarray:
    """Return random directions of people, which `alike` makes more similar to each other."""
    generator = np.random.default_rng(seed)
    return unit(generator.normal(size=(count, DIMENSION)) + alike * np.ones(DIMENSION))


def corrected(cohort: Cohort, prototypes: np.ndarray, probes: np.ndarray) -> np.ndarray:
    similarities = np.asarray(probes @ prototypes.T, dtype=np.float32)
    return cohort.corrected(similarities, similarities, probes, np.arange(len(prototypes)))


def index(prototypes: np.ndarray) -> PeopleIndex:
    """Return an index of people with one sample each."""
    count = len(prototypes)
    return PeopleIndex.of(prototypes.astype(np.float32), np.arange(count), np.ones(count, np.float32))


def by_hand(prototypes: np.ndarray, further: np.ndarray, probes: np.ndarray, correction: Correction) -> np.ndarray:
    """Return scores corrected pair by pair with the formula of the module's docstring."""
    everybody = np.concatenate([prototypes, further]).astype(np.float64)
    between = everybody @ everybody.T
    total = len(everybody)
    density = (between.sum() - total) / (total * (total - 1)) if total > 1 else 0.0
    found = np.empty((len(probes), len(prototypes)))
    for row, probe in enumerate(probes.astype(np.float64)):
        for place in range(len(prototypes)):
            counts = (np.arange(total) < len(prototypes)) | (between[place] < MAY_BE_THE_SAME)
            counts[place] = False
            others = np.flatnonzero(counts)
            weight = len(others) / (len(others) + correction.shrinkage)
            means = (probe @ everybody[others].T).mean() + between[place, others].mean() if len(others) else 0.0
            taken = weight * (correction.share * means - correction.level * max(density, 0.0))
            found[row, place] = probe @ everybody[place] - taken
    return found


@given(seeds, st.integers(1, 8), st.integers(0, 5), st.floats(0, 2))
def test_correction_matches_its_formula(seed: int, people: int, groups: int, alike: float) -> None:
    prototypes, further, probes = made(seed, people, alike), made(seed + 1, groups, alike), made(seed + 2, 3, alike)
    cohort = Cohort(index(prototypes), further, CORRECTION)
    expected = by_hand(prototypes, further, probes, CORRECTION)
    assert np.allclose(corrected(cohort, prototypes, probes), expected, atol=1e-5)
    assert cohort.others == people + groups - 1


def test_single_person_is_not_corrected() -> None:
    prototypes, probes = made(0, 1), made(1, 4)
    assert np.array_equal(
        corrected(Cohort(index(prototypes), None, CORRECTION), prototypes, probes), probes @ prototypes.T
    )


def test_scores_without_correction_are_unchanged() -> None:
    prototypes, probes = made(0, 5), made(1, 4)
    scores = np.asarray(probes @ prototypes.T, dtype=np.float32)
    assert Cohort(index(prototypes), None, NO_CORRECTION).corrected(scores, scores, probes, np.arange(5)) is scores


@given(seeds, st.integers(2, 6))
def test_order_of_enrolled_people_does_not_matter(seed: int, people: int) -> None:
    prototypes, probes = made(seed, people, 1.0), made(seed + 1, 3, 1.0)
    order = np.random.default_rng(seed).permutation(people)
    one = corrected(Cohort(index(prototypes), None, CORRECTION), prototypes, probes)
    other = corrected(Cohort(index(prototypes[order]), None, CORRECTION), prototypes[order], probes)
    assert np.allclose(one[:, order], other, atol=1e-5)


@given(seeds, st.integers(1, 5))
def test_correction_does_not_depend_on_other_probes(seed: int, count: int) -> None:
    prototypes, probes = made(seed, 4, 1.0), made(seed + 1, count, 1.0)
    cohort = Cohort(index(prototypes), None, CORRECTION)
    together = corrected(cohort, prototypes, probes)
    for row, probe in enumerate(probes):
        assert np.allclose(corrected(cohort, prototypes, probe[None])[0], together[row], atol=1e-6)


def test_look_alikes_in_the_cohort_do_not_raise_scores() -> None:
    """Strangers of a group of similar people score like other strangers if the album contains the group."""
    correction = Correction(share=0.75, level=0.5, shrinkage=0.01)
    means = []
    for alike in (0.0, 0.7):
        prototypes, probes = made(3, 40, alike), made(4, 300, alike)
        means.append(corrected(Cohort(index(prototypes), None, correction), prototypes, probes).mean())
    assert means[0] == pytest.approx(means[1], abs=0.03)
    assert (made(3, 40, 0.7) @ made(4, 300, 0.7).T).mean() > 0.25


def test_enrolled_people_are_excluded_from_the_cohort() -> None:
    prototypes = made(5, 3)
    near = unit(prototypes[:1] + 0.1 * made(6, 1))
    assert float(near[0] @ prototypes[0]) > SAME_PERSON
    others = made(7, 4)
    others = others[(others @ prototypes.T).max(axis=1) < SAME_PERSON]
    left = not_enrolled(np.concatenate([near, others]), index(prototypes))
    assert np.array_equal(left, others)


def test_own_poor_photos_in_the_cohort_do_not_lower_scores() -> None:
    """Unnamed groups of an enrolled person's dissimilar photos do not lower that person's scores."""
    generator = np.random.default_rng(8)
    prototypes, probes = made(9, 3), made(10, 2)
    away = generator.normal(size=(6, DIMENSION))
    away -= (away @ prototypes[0])[:, None] * prototypes[0]
    own = unit(0.42 * prototypes[0] + np.sqrt(1 - 0.42**2) * away / np.linalg.norm(away, axis=1, keepdims=True))
    assert (own @ prototypes[0] < SAME_PERSON).all()
    with_own = corrected(Cohort(index(prototypes), own, Correction(0.75, 0.0)), prototypes, probes)[:, 0]
    without = corrected(Cohort(index(prototypes), None, Correction(0.75, 0.0)), prototypes, probes)[:, 0]
    assert np.allclose(with_own, without, atol=1e-6)
