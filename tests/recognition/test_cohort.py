"""Correction of scores by the other people of the album."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.index.people_index import PeopleIndex
from facebank.recognition.cohort import (
    MAYBE_SAME_PERSON,
    NO_CORRECTION,
    SAME_PERSON,
    Cohort,
    Correction,
    exclude_enrolled,
)
from tests.recognition.synthetic import DIMENSION, normalize, seeds

CORRECTION = Correction(share=0.75, level=0.5)


def make_people(seed: int, count: int, shift: float = 0.0) -> np.ndarray:
    """Return random directions of people; `shift` makes them more similar to each other."""
    generator = np.random.default_rng(seed)
    return normalize(generator.normal(size=(count, DIMENSION)) + shift * np.ones(DIMENSION))


def correct(cohort: Cohort, prototypes: np.ndarray, probes: np.ndarray) -> np.ndarray:
    similarities = np.asarray(probes @ prototypes.T, dtype=np.float32)
    return cohort.correct_scores(similarities, similarities, probes, np.arange(len(prototypes)))


def make_index(prototypes: np.ndarray) -> PeopleIndex:
    """Return an index of people with one sample each."""
    count = len(prototypes)
    return PeopleIndex.from_samples(prototypes.astype(np.float32), np.arange(count), np.ones(count, np.float32))


def correct_by_formula(
    prototypes: np.ndarray, unenrolled_prototypes: np.ndarray, probes: np.ndarray, correction: Correction
) -> np.ndarray:
    """Return scores corrected pair by pair with the formula of the module's docstring."""
    people = np.concatenate([prototypes, unenrolled_prototypes]).astype(np.float64)
    between = people @ people.T
    total = len(people)
    density = (between.sum() - total) / (total * (total - 1)) if total > 1 else 0.0
    scores = np.empty((len(probes), len(prototypes)))
    for row, probe in enumerate(probes.astype(np.float64)):
        for column in range(len(prototypes)):
            is_counted = (np.arange(total) < len(prototypes)) | (between[column] < MAYBE_SAME_PERSON)
            is_counted[column] = False
            others = np.flatnonzero(is_counted)
            weight = len(others) / (len(others) + correction.shrinkage)
            means = (probe @ people[others].T).mean() + between[column, others].mean() if len(others) else 0.0
            deduction = weight * (correction.share * means - correction.level * max(density, 0.0))
            scores[row, column] = probe @ people[column] - deduction
    return scores


@given(seeds, st.integers(1, 8), st.integers(0, 5), st.floats(0, 2))
def test_correction_matches_its_formula(seed: int, people: int, groups: int, shift: float) -> None:
    prototypes, unenrolled_prototypes, probes = (
        make_people(seed, people, shift),
        make_people(seed + 1, groups, shift),
        make_people(seed + 2, 3, shift),
    )
    cohort = Cohort(make_index(prototypes), unenrolled_prototypes, CORRECTION)
    expected = correct_by_formula(prototypes, unenrolled_prototypes, probes, CORRECTION)
    assert np.allclose(correct(cohort, prototypes, probes), expected, atol=1e-5)
    assert cohort.other_people == people + groups - 1


def test_single_person_is_not_corrected() -> None:
    prototypes, probes = make_people(0, 1), make_people(1, 4)
    assert np.array_equal(
        correct(Cohort(make_index(prototypes), None, CORRECTION), prototypes, probes), probes @ prototypes.T
    )


def test_scores_without_correction_are_unchanged() -> None:
    prototypes, probes = make_people(0, 5), make_people(1, 4)
    scores = np.asarray(probes @ prototypes.T, dtype=np.float32)
    assert (
        Cohort(make_index(prototypes), None, NO_CORRECTION).correct_scores(scores, scores, probes, np.arange(5))
        is scores
    )


@given(seeds, st.integers(2, 6))
def test_order_of_enrolled_people_does_not_matter(seed: int, people: int) -> None:
    prototypes, probes = make_people(seed, people, 1.0), make_people(seed + 1, 3, 1.0)
    order = np.random.default_rng(seed).permutation(people)
    first = correct(Cohort(make_index(prototypes), None, CORRECTION), prototypes, probes)
    second = correct(Cohort(make_index(prototypes[order]), None, CORRECTION), prototypes[order], probes)
    assert np.allclose(first[:, order], second, atol=1e-5)


@given(seeds, st.integers(1, 5))
def test_correction_does_not_depend_on_other_probes(seed: int, count: int) -> None:
    prototypes, probes = make_people(seed, 4, 1.0), make_people(seed + 1, count, 1.0)
    cohort = Cohort(make_index(prototypes), None, CORRECTION)
    joint = correct(cohort, prototypes, probes)
    for row, probe in enumerate(probes):
        assert np.allclose(correct(cohort, prototypes, probe[None])[0], joint[row], atol=1e-6)


def test_look_alikes_in_the_cohort_do_not_raise_scores() -> None:
    """Strangers of a group of similar people score like other strangers if the album contains the group."""
    correction = Correction(share=0.75, level=0.5, shrinkage=0.01)
    means = []
    for shift in (0.0, 0.7):
        prototypes, probes = make_people(3, 40, shift), make_people(4, 300, shift)
        means.append(correct(Cohort(make_index(prototypes), None, correction), prototypes, probes).mean())
    assert means[0] == pytest.approx(means[1], abs=0.03)
    assert (make_people(3, 40, 0.7) @ make_people(4, 300, 0.7).T).mean() > 0.25


def test_enrolled_people_are_excluded_from_the_cohort() -> None:
    prototypes = make_people(5, 3)
    near = normalize(prototypes[:1] + 0.1 * make_people(6, 1))
    assert float(near[0] @ prototypes[0]) > SAME_PERSON
    others = make_people(7, 4)
    others = others[(others @ prototypes.T).max(axis=1) < SAME_PERSON]
    remaining = exclude_enrolled(np.concatenate([near, others]), make_index(prototypes))
    assert np.array_equal(remaining, others)


def test_own_poor_photos_in_the_cohort_do_not_lower_scores() -> None:
    """Unnamed groups of an enrolled person's dissimilar photos do not lower that person's scores."""
    generator = np.random.default_rng(8)
    prototypes, probes = make_people(9, 3), make_people(10, 2)
    away = generator.normal(size=(6, DIMENSION))
    away -= (away @ prototypes[0])[:, None] * prototypes[0]
    poor_photos = normalize(
        0.42 * prototypes[0] + np.sqrt(1 - 0.42**2) * away / np.linalg.norm(away, axis=1, keepdims=True)
    )
    assert (poor_photos @ prototypes[0] < SAME_PERSON).all()
    with_photos = correct(Cohort(make_index(prototypes), poor_photos, Correction(0.75, 0.0)), prototypes, probes)[:, 0]
    without_photos = correct(Cohort(make_index(prototypes), None, Correction(0.75, 0.0)), prototypes, probes)[:, 0]
    assert np.allclose(with_photos, without_photos, atol=1e-6)
