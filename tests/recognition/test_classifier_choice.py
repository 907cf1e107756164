"""The choice of a classifier for galleries whose best classifier is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.recognition.calibration.background import Background
from facebank.recognition.classifier_choice import (
    COMPARED,
    DEFAULT_CLASSIFIER,
    FOLDS,
    MAX_SAMPLES,
    MIN_SAMPLES,
    MIN_TRIALS,
    SIGNIFICANCE,
    choose_classifier,
    make_folds,
    sign_test,
)
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.scoring import CLASSIFIERS

from .synthetic import normalize, scatter

DIMENSION = 12
BACKGROUND = Background(np.zeros(DIMENSION, np.float32), np.diag(np.full(DIMENSION, 1 / DIMENSION, np.float32)))

sample_counts = st.lists(st.integers(1, 12), min_size=1, max_size=12)


def make_people(counts: list[int], noise: float = 0.3, seed: int = 0) -> EnrolledSamples:
    """Return synthetic people whose samples scatter around one direction each, in random order."""
    generator = np.random.default_rng(seed)
    person_ids = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    embeddings = scatter(generator, person_ids, noise, DIMENSION)
    return EnrolledSamples(embeddings, person_ids + 1, np.ones(len(person_ids), np.float32))


def make_two_faced_people(people: int = 10, samples: int = 10, seed: int = 0) -> EnrolledSamples:
    """Return people with two opposite appearances each: a mean resembles nobody, so nearest samples work best."""
    generator = np.random.default_rng(seed)
    person_ids = np.repeat(np.arange(people), samples)
    looks = generator.normal(size=(people, DIMENSION))
    directions = np.where(np.arange(len(person_ids))[:, None] % 2, looks[person_ids], -looks[person_ids])
    embeddings = normalize(directions + 0.2 * generator.normal(size=directions.shape))
    return EnrolledSamples(embeddings, person_ids + 1, np.ones(len(person_ids), np.float32))


@pytest.mark.parametrize("counts", [[1] * 100, [MIN_SAMPLES - 1] * 100, [MIN_TRIALS - 1, 2, 2, 1], [500]], ids=len)
def test_default_is_chosen_with_too_few_samples(counts: list[int]) -> None:
    choice = choose_classifier(make_people(counts), BACKGROUND)
    assert choice.classifier == DEFAULT_CLASSIFIER
    assert "too few" in choice.reason


def test_no_classifier_is_tried_on_a_large_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("facebank.recognition.classifier_choice.build_scorer")
    choice = choose_classifier(make_people([10] * (MAX_SAMPLES // 10 + 1)), BACKGROUND)
    assert (choice.classifier, "too many" in choice.reason) == (DEFAULT_CLASSIFIER, True)


@pytest.mark.parametrize("background", [BACKGROUND, None], ids=["background", "no background"])
def test_default_is_chosen_if_all_classifiers_are_right(background: Background | None) -> None:
    choice = choose_classifier(make_people([5] * 10, noise=0.05), background)
    assert choice.classifier == DEFAULT_CLASSIFIER
    assert "none was clearly better" in choice.reason
    assert all(f"{classifier} 100.0%" in choice.reason for classifier in COMPARED)


def test_clearly_better_classifier_is_chosen() -> None:
    choice = choose_classifier(make_two_faced_people(), BACKGROUND)
    assert choice.classifier == "knn"
    assert "correct most often on 100 samples" in choice.reason
    assert "knn 100.0%" in choice.reason
    assert "knn" not in choose_classifier(make_two_faced_people(), BACKGROUND, [DEFAULT_CLASSIFIER, "svm"]).reason


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(3, 9), min_size=5, max_size=9), st.floats(0.1, 1.5))
def test_choice_does_not_depend_on_names(seed: int, counts: list[int], noise: float) -> None:
    enrolled = make_people(counts, noise, seed)
    choice = choose_classifier(enrolled, BACKGROUND)
    assert choice == choose_classifier(enrolled, BACKGROUND)
    assert choice.classifier in COMPARED
    renumbered = EnrolledSamples(enrolled.embeddings, enrolled.person_ids * 7 + 100, enrolled.qualities)
    assert choose_classifier(renumbered, BACKGROUND) == choice


def test_compared_classifiers_exist_and_include_the_default() -> None:
    assert DEFAULT_CLASSIFIER in COMPARED
    assert set(COMPARED) <= set(CLASSIFIERS)


@given(sample_counts, st.integers(0, 2**32 - 1))
def test_each_sample_is_left_out_once_and_nobody_loses_all_samples(counts: list[int], seed: int) -> None:
    person_indices = make_people(counts, seed=seed).person_indices
    is_tested = np.bincount(person_indices)[person_indices] >= MIN_SAMPLES
    folds = make_folds(person_indices, is_tested)
    assert len(folds) <= FOLDS
    left_out = np.sum(folds, axis=0) if folds else np.zeros(len(person_indices))
    np.testing.assert_array_equal(left_out, is_tested)
    for fold in folds:
        assert fold.any()
        assert set(person_indices[~fold]) == set(person_indices)


@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_test_is_binomial(better: int, worse: int) -> None:
    p_value = sign_test(better, worse)
    assert 0 < p_value <= 1
    assert p_value >= sign_test(better + 1, worse)
    probability = math.comb(better + worse, better) / 2 ** (better + worse)
    assert p_value + sign_test(worse, better) == pytest.approx(1 + probability)


def test_five_of_five_is_significant_and_four_of_five_is_not() -> None:
    assert sign_test(5, 0) == 1 / 32 < SIGNIFICANCE < sign_test(4, 1)
