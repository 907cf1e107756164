"""Common properties of all scorers, and the definition of each."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.index.people_index import QUALITY_FLOOR
from facebank.recognition.calibration.background import Background
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.scoring import (
    NEIGHBORS,
    TEMPERATURE,
    KernelScorer,
    KnnScorer,
    LinearScorer,
    PrototypeScorer,
    top_indices,
)
from facebank.recognition.training import build_scorer

from .synthetic import DIMENSION, classifiers, normalize, scatter, seeds, shuffle

sample_counts = st.lists(st.integers(1, 14), min_size=1, max_size=6)


def make_people(generator: np.random.Generator, counts: list[int], noise: float = 0.4) -> EnrolledSamples:
    """Return synthetic people with the IDs 5, 15, …, whose samples scatter around one direction each."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    embeddings = scatter(generator, numbers, noise)
    return EnrolledSamples(embeddings, 10 * numbers + 5, generator.uniform(size=len(numbers)).astype(np.float32))


def make_background() -> Background:
    """Return a background that is not centered at the origin."""
    mean = np.full(DIMENSION, 0.05, dtype=np.float32)
    return Background(mean, np.diag(np.linspace(0.02, 0.1, DIMENSION)).astype(np.float32))


def test_scoring_does_not_load_scikit_learn() -> None:
    program = (
        "import sys, numpy as np\n"
        "from facebank.recognition.enrolled import EnrolledSamples\n"
        "from facebank.recognition.calibration.background import Background\n"
        "from facebank.recognition.scoring import CLASSIFIERS\n"
        "from facebank.recognition.training import build_scorer\n"
        "enrolled = EnrolledSamples(np.eye(3, 4), np.arange(3), np.ones(3))\n"
        "background = Background(np.zeros(4), np.eye(4))\n"
        "for classifier in CLASSIFIERS: build_scorer(classifier, enrolled, background).scores(np.eye(4))\n"
        "print(*sorted({'sklearn', 'scipy', 'joblib', 'faiss', 'pandas'} & set(sys.modules)))\n"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout.split() == []


@classifiers
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts)
def test_scores_have_the_right_shape_and_range(classifier: str, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    scorer = build_scorer(classifier, enrolled, make_background())
    scores = scorer.scores(normalize(generator.normal(size=(7, DIMENSION))))
    assert scorer.person_ids.tolist() == enrolled.distinct_ids.tolist()
    assert scores.shape == (7, len(counts))
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() <= 2 if classifier == "svm-rbf" else np.abs(scores).max() <= 1 + 1e-6
    assert scorer.scores(np.empty((0, DIMENSION), np.float32)).shape == (0, len(counts))


@classifiers
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts)
def test_probe_scores_do_not_depend_on_other_probes(classifier: str, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    scorer = build_scorer(classifier, make_people(generator, counts), make_background())
    probes = normalize(generator.normal(size=(9, DIMENSION)))
    single = np.concatenate([scorer.scores(probe[None]) for probe in probes])
    np.testing.assert_allclose(scorer.scores(probes), single, rtol=0, atol=1e-7)


@classifiers
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts)
def test_order_of_samples_does_not_matter(classifier: str, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    shuffled = shuffle(generator, enrolled)
    probes = normalize(generator.normal(size=(5, DIMENSION)))
    first, second = (
        build_scorer(classifier, samples, make_background()).scores(probes) for samples in (enrolled, shuffled)
    )
    np.testing.assert_allclose(first, second, rtol=0, atol=2e-3)


@classifiers
@pytest.mark.parametrize("background", [make_background(), None], ids=["background", "no background"])
def test_enrolled_face_scores_highest_for_its_person(classifier: str, background: Background | None) -> None:
    enrolled = make_people(np.random.default_rng(1), [1, 5, 1, 20, 3], noise=0.2)
    scorer = build_scorer(classifier, enrolled, background)
    nearest = scorer.person_ids[scorer.scores(enrolled.embeddings).argmax(axis=1)]
    assert nearest.tolist() == enrolled.person_ids.tolist()


@classifiers
def test_single_sample_is_distinguished_from_strangers(classifier: str) -> None:
    enrolled = make_people(np.random.default_rng(2), [1])
    scores = build_scorer(classifier, enrolled, make_background()).scores(enrolled.embeddings)
    strangers = build_scorer(classifier, enrolled, make_background()).scores(make_background().draw(200, seed=7))
    assert scores.shape == (1, 1)
    assert scores[0, 0] > strangers.max() + 0.05


@classifiers
@pytest.mark.parametrize("background", [make_background(), None], ids=["background", "no background"])
def test_two_people_with_the_same_photo_have_equal_scores(classifier: str, background: Background | None) -> None:
    face = normalize(np.random.default_rng(3).normal(size=(1, DIMENSION)))
    enrolled = EnrolledSamples(np.repeat(face, 2, axis=0), np.array([1, 2]), np.ones(2, np.float32))
    scores = build_scorer(classifier, enrolled, background).scores(face)
    assert np.isfinite(scores).all()
    assert scores[0, 0] == pytest.approx(scores[0, 1], abs=1e-5)


@classifiers
def test_five_hundred_samples_do_not_outweigh_one(classifier: str) -> None:
    generator = np.random.default_rng(4)
    count = 499 if classifier == "svm-rbf" else 500  # the kernel SVM supports 500 samples in all
    enrolled = make_people(generator, [count, 1], noise=0.3)
    photos = enrolled.embeddings[-1] + 0.05 * generator.normal(size=(50, DIMENSION))
    strangers = make_background().draw(2000, seed=9)
    scorer = build_scorer(classifier, enrolled, make_background())
    assert (scorer.scores(normalize(photos)).argmax(axis=1) == 1).all()
    assert (scorer.scores(enrolled.embeddings[:-1]).argmax(axis=1) == 0).mean() > 0.98
    assert 0.2 < (scorer.scores(strangers).argmax(axis=1) == 0).mean() < 0.8


@classifiers
def test_two_thousand_people_are_scored(classifier: str) -> None:
    enrolled = make_people(np.random.default_rng(5), [2] * 2000, noise=0.1)
    if classifier == "svm-rbf":
        with pytest.raises(UsageError, match=r"svm-rbf supports at most 500 samples.*4000"):
            build_scorer(classifier, enrolled, make_background())
        return
    scores = build_scorer(classifier, enrolled, make_background()).scores(enrolled.embeddings[::40])
    assert scores.shape == (100, 2000)
    assert (scores.argmax(axis=1) == enrolled.person_indices[::40]).mean() > 0.9


@classifiers
@pytest.mark.parametrize(
    ("probes", "message"),
    [
        (np.ones((2, DIMENSION + 1)), r"\(N, 16\) but got \(2, 17\)"),
        (np.ones(DIMENSION), r"\(N, 16\) but got \(16,\)"),
        (np.full((1, DIMENSION), np.nan), "finite"),
        (np.full((1, DIMENSION), -np.inf), "finite"),
        (np.full((1, DIMENSION), "face"), "real numbers"),
    ],
)
def test_invalid_probes_are_refused(classifier: str, probes: Any, message: str) -> None:
    scorer = build_scorer(classifier, make_people(np.random.default_rng(6), [2, 2]), make_background())
    with pytest.raises(UsageError, match=message):
        scorer.scores(probes)


@classifiers
def test_background_of_another_length_is_refused(classifier: str) -> None:
    other = Background(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
    with pytest.raises(UsageError, match=r"length 3.*16"):
        build_scorer(classifier, make_people(np.random.default_rng(7), [2, 2]), other)


def test_unknown_classifier_is_refused() -> None:
    with pytest.raises(UsageError, match="prototype, knn, svm, svm-rbf, logistic"):
        build_scorer("oracle", make_people(np.random.default_rng(8), [2, 2]))


@given(seeds, sample_counts)
def test_prototype_is_the_quality_weighted_mean(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    probes = normalize(generator.normal(size=(4, DIMENSION)))
    scores = PrototypeScorer(enrolled.index).scores(probes)
    for column, person_id in enumerate(enrolled.distinct_ids):
        is_sample = enrolled.person_ids == person_id
        mean = np.average(
            enrolled.embeddings[is_sample], axis=0, weights=enrolled.qualities[is_sample].clip(QUALITY_FLOOR)
        )
        np.testing.assert_allclose(scores[:, column], probes @ mean / np.linalg.norm(mean), atol=1e-5)


def test_prototype_without_qualities_is_the_mean() -> None:
    embeddings = np.eye(2, DIMENSION, dtype=np.float32)
    enrolled = EnrolledSamples(embeddings, np.array([1, 1]), np.zeros(2, np.float32))
    scores = PrototypeScorer(enrolled.index).scores(embeddings)
    np.testing.assert_allclose(scores[:, 0], 2**-0.5, atol=1e-6)


def test_samples_that_cancel_out_resemble_nobody() -> None:
    embedding = np.eye(1, DIMENSION, dtype=np.float32)
    opposite = EnrolledSamples(np.concatenate([embedding, -embedding]), np.array([1, 1]), np.ones(2, np.float32))
    assert PrototypeScorer(opposite.index).scores(embedding).tolist() == [[0.0]]


@given(seeds, sample_counts)
def test_knn_weights_samples_by_similarity(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    probe = normalize(generator.normal(size=(1, DIMENSION)))
    scores = KnnScorer(enrolled.index).scores(probe)
    for column, person_id in enumerate(enrolled.distinct_ids):
        similarities = np.sort(enrolled.embeddings[enrolled.person_ids == person_id] @ probe[0])[-NEIGHBORS:]
        expected = np.average(similarities, weights=np.exp(similarities / TEMPERATURE))
        assert scores[0, column] == pytest.approx(expected, abs=1e-5)


@given(seeds, sample_counts)
def test_knn_with_one_neighbor_scores_the_most_similar_sample(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    probes = normalize(generator.normal(size=(3, DIMENSION)))
    similarities = probes @ enrolled.embeddings.T
    best = [similarities[:, enrolled.person_ids == person_id].max(axis=1) for person_id in enrolled.distinct_ids]
    np.testing.assert_allclose(KnnScorer(enrolled.index, neighbors=1).scores(probes), np.stack(best, axis=1), atol=1e-6)


@pytest.mark.parametrize(("neighbors", "temperature"), [(0, 0.1), (5, 0.0), (5, -1.0), (5, float("nan"))])
def test_knn_without_neighbors_or_temperature_is_refused(neighbors: int, temperature: float) -> None:
    enrolled = make_people(np.random.default_rng(9), [2, 2])
    with pytest.raises(UsageError, match="kNN needs"):
        KnnScorer(enrolled.index, neighbors=neighbors, temperature=temperature)


def test_linear_scorer_centers_probes() -> None:
    center = np.eye(1, DIMENSION, dtype=np.float32)[0] * 0.5
    weights = normalize(np.random.default_rng(10).normal(size=(2, DIMENSION)))
    probes = normalize(np.random.default_rng(11).normal(size=(5, DIMENSION)))
    people, biases = np.array([1, 2]), np.zeros(2, dtype=np.float32)
    expected = LinearScorer(people, weights, biases).scores(normalize(probes - center))
    centered = LinearScorer(people, weights, biases, center=center)
    np.testing.assert_allclose(centered.scores(probes), expected, atol=1e-5)
    assert centered.scores(center[None]).tolist() == [[0.0, 0.0]]


def test_mismatched_coefficients_are_refused() -> None:
    people = np.array([1, 2])
    zeros = np.zeros((2, 3), np.float32)
    with pytest.raises(UsageError, match="do not fit 2 people"):
        LinearScorer(people, zeros[:1], zeros[0, :2])
    with pytest.raises(UsageError, match="do not fit 2 people"):
        KernelScorer(people, zeros, zeros, zeros[0, :2], 1.0)


def test_kernel_scorer_sums_over_support_vectors() -> None:
    generator = np.random.default_rng(12)
    support, probes = normalize(generator.normal(size=(4, 3))), normalize(generator.normal(size=(6, 3)))
    duals, biases = generator.normal(size=(2, 4)).astype(np.float32), np.array([0.5, -1], np.float32)
    distances = ((probes[:, None] - support[None]) ** 2).sum(axis=2)
    scores = KernelScorer(np.array([1, 2]), support, duals, biases, 0.7).scores(probes)
    np.testing.assert_allclose(scores, np.exp(-0.7 * distances) @ duals.T + biases, atol=1e-5)


@given(seeds, st.integers(1, 40), st.integers(1, 12))
def test_top_scores_are_sorted_stably(seed: int, people: int, count: int) -> None:
    scores = np.random.default_rng(seed).integers(-3, 4, (5, people)).astype(np.float32)
    scores[scores == -3] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    assert np.array_equal(top_indices(scores, count), expected)
