"""Calibrators fitted to synthetic people and tested on other synthetic people."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.optimize import check_grad

from facebank.errors import UsageError
from facebank.recognition.calibration import fitting
from facebank.recognition.calibration.background import Background
from facebank.recognition.calibration.calibration import RATES, SAMPLES, Calibration, Calibrator, prior_probabilities
from facebank.recognition.calibration.fitting import (
    CORRECTION,
    MIN_PEOPLE,
    SIZES,
    SIZES_OF_FITTED,
    UNENROLLED,
    Effort,
    Population,
    calibrated_sizes,
    fit_calibrator,
)
from facebank.recognition.calibration.simulation import GalleryPlan, Identities, SimulatedSearches, simulate
from facebank.recognition.cohort import Correction
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.training import MAX_KERNEL_SAMPLES
from tests.recorder import Recorder

from .synthetic import IDENTITY_DIMENSION, make_identities, normalize

SMALL = Effort(enrolled=150, strangers=2500, galleries=(6, 10))
TINY = Effort(enrolled=60, strangers=600, galleries=(2, 3))
BACKGROUND = Background(
    np.zeros(IDENTITY_DIMENSION, np.float32),
    np.diag(np.full(IDENTITY_DIMENSION, 1 / IDENTITY_DIMENSION, np.float32)),
)


@cache
def fit_small() -> Calibrator:
    """Return a calibrator fitted to 260 people for galleries of 1 to 100."""
    return fit_calibrator(make_identities(260), "prototype", None, effort=SMALL)


@cache
def simulate_searches(size: int, samples_each: int) -> tuple[SimulatedSearches, ...]:
    """Return searches in galleries of other people."""
    others = make_identities(700, seed=99)
    plan = GalleryPlan(size, samples_each, strangers=600)
    return tuple(
        simulate(
            others,
            plan,
            "prototype",
            None,
            np.random.default_rng([1, size, samples_each, number]),
            correction=CORRECTION,
        )
        for number in range(8)
    )


galleries = pytest.mark.parametrize(("size", "samples_each"), [(5, 1), (30, 2), (100, 1), (100, 5)])


@galleries
@pytest.mark.parametrize("fpir", [0.02, 0.1])
def test_strangers_are_named_at_about_the_requested_rate(size: int, samples_each: int, fpir: float) -> None:
    rates = []
    for searches in simulate_searches(size, samples_each):
        threshold = fit_small().threshold(searches.enrolled, fpir)
        rates.append((searches.scores[~searches.mated, 0] >= threshold).mean())
    assert fpir / 2 < np.mean(rates) < 2 * fpir


@galleries
@pytest.mark.parametrize("stranger_share", [0.1, 0.5, 0.9])
def test_probabilities_match_observed_frequencies(size: int, samples_each: int, stranger_share: float) -> None:
    probabilities, right, weights = [], [], []
    for searches in simulate_searches(size, samples_each):
        predicted = fit_small().probabilities(searches.scores, searches.sample_counts, size, stranger_share)
        probabilities.append(predicted[:, 0])
        right.append(searches.right)
        mated = searches.mated
        mated_weights = (1 - stranger_share) * searches.weights / searches.weights[mated].sum()
        weights.append(np.where(mated, mated_weights, stranger_share / (~mated).sum()))
    predicted, true, weight = (np.concatenate(parts) for parts in (probabilities, right, weights))
    weight /= weight.sum()
    bins = np.minimum((predicted * 10).astype(int), 9)
    error = sum(abs((weight * (predicted - true))[bins == number].sum()) for number in range(10))
    assert error < 0.03
    # They are also more informative than a constant.
    assert (weight * (predicted - true) ** 2).sum() < 0.75 * (weight @ true) * (1 - weight @ true)


def test_fitted_calibrator_can_be_saved() -> None:
    calibration = Calibration("ab" * 32, "a test", 260, 1560, (fit_small(),))
    assert Calibration.from_json(calibration.to_json()) == calibration
    sizes = [(table.size, table.unenrolled) for table in fit_small().tables]
    assert sizes == [(size, unenrolled) for size in (1, 3, 10, 30, 100) for unenrolled in (0, UNENROLLED)]
    for table in fit_small().tables:
        assert 0 < table.lapse <= 0.1
        assert [len(curve) for curve in table.evidence] == [len(fit_small().knots)] * len(SAMPLES)


def test_evidence_is_negative_for_low_scores_and_positive_for_high_ones() -> None:
    for samples in SAMPLES:
        low, high = fit_small().evidence(np.array([0.1, 0.9]), np.array([samples] * 2), 10)
        assert low < -2
        assert high > 2


def test_larger_galleries_need_higher_scores() -> None:
    thresholds = [fit_small().threshold(np.ones(size, np.int64), 0.01) for size in (1, 10, 100)]
    assert thresholds[0] < thresholds[1] < thresholds[2]


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_every_classifier_can_be_calibrated(classifier: str) -> None:
    progress = Recorder()
    identities = make_identities(20, 3, singles=30)
    calibrator = fit_calibrator(identities, classifier, BACKGROUND, effort=TINY, progress=progress, seed=3)
    assert calibrator.classifier == classifier
    sizes = calibrated_sizes(identities, classifier)
    assert [table.size for table in calibrator.tables] == [size for size in sizes for _ in range(2)]
    assert progress.advances == 2 * sum(TINY.plan(size, samples)[0] for size in sizes for samples in SAMPLES)
    assert 0 < calibrator.threshold(np.ones(10, np.int64), 0.01) < 1


def test_same_seed_gives_same_calibrator() -> None:
    first, second, other = (
        fit_calibrator(make_identities(25, 2, singles=30), "prototype", None, effort=TINY, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == second != other


def test_mislabeled_photos_make_no_score_certain() -> None:
    identities = make_identities(60, 4, noise=0.4)
    wrong = identities.person_ids.copy()
    generator = np.random.default_rng(0)
    swapped = generator.permutation(len(wrong))[:24]
    wrong[swapped] = np.roll(wrong[swapped], 1)
    mislabeled = Identities(identities.embeddings, wrong, identities.qualities)
    calibrator = fit_calibrator(mislabeled, "prototype", None, effort=Effort(200, 2000, (6, 20)))
    clean = fit_calibrator(identities, "prototype", None, effort=Effort(200, 2000, (6, 20)))
    highest = [
        fitted.probabilities(np.array([[0.95]], np.float32), np.array([[1]]), 1, 0.5)[0, 0]
        for fitted in (calibrator, clean)
    ]
    assert highest[0] < highest[1]


def test_populations_have_the_given_weights() -> None:
    """Strangers who resemble everybody raise thresholds in proportion to their weight."""
    plain, alike = make_identities(120, 3), make_identities(120, 3, seed=5)
    embeddings = alike.embeddings + 0.6 * np.ones(IDENTITY_DIMENSION, np.float32) / np.sqrt(IDENTITY_DIMENSION)
    dense = Identities(normalize(embeddings), alike.person_ids, alike.qualities)
    thresholds = []
    for weight in (0.01, 1.0):
        populations = [Population(plain), Population(dense, weight=weight)]
        calibrator = fit_calibrator(
            populations, "prototype", None, correction=Correction(), effort=Effort(100, 2000, (6, 10))
        )
        thresholds.append(calibrator.threshold(np.ones(10, np.int64), 0.01))
    assert thresholds[1] > thresholds[0] + 0.02


def test_families_are_searched_among_other_people() -> None:
    identities = make_identities(40, 4)
    families = Identities(identities.embeddings, identities.person_ids, identities.qualities, np.arange(40) // 2)
    searches = simulate(
        families,
        GalleryPlan(5, 2, 30),
        "prototype",
        None,
        np.random.default_rng(1),
        unrelated=make_identities(60, 3, seed=9),
    )
    assert searches.size == 5
    assert searches.relatives.sum() in {0, 1}  # one or both of a family of two are enrolled
    assert 0 < searches.mated.sum() <= 2 * 5
    assert searches.strangers.sum() == 30 - searches.relatives.sum()
    with pytest.raises(UsageError, match="families"):
        simulate(identities, GalleryPlan(5, 2, 30), "prototype", None, np.random.default_rng(1), unrelated=identities)


@pytest.mark.parametrize(
    ("several", "singles", "expected"),
    [
        (20, 20, [1, 3, 10, 30]),
        (300, 0, [1, 3, 10, 30, 100]),
        (20, 2930, [1, 3, 10, 30, 100, 300, 1000]),
        (20, 229, [1, 3, 10, 30]),
        (20, 230, [1, 3, 10, 30, 100]),
    ],
)
def test_about_two_thirds_stay_strangers_in_simulated_galleries(
    several: int, singles: int, expected: list[int]
) -> None:
    identities = make_identities(several, 2, singles=singles)
    assert calibrated_sizes(identities, "prototype") == expected
    fitted_sizes = [size for size in expected if size in SIZES_OF_FITTED]
    assert calibrated_sizes(identities, "svm") == fitted_sizes
    assert calibrated_sizes(identities, "svm-rbf") == [size for size in fitted_sizes if size <= MAX_KERNEL_SAMPLES // 5]
    assert set(expected) <= set(SIZES)


@pytest.mark.parametrize(("several", "singles"), [(0, 1), (MIN_PEOPLE - 1, 500), (MIN_PEOPLE, MIN_PEOPLE - 1)])
def test_too_few_people_are_refused(several: int, singles: int) -> None:
    with pytest.raises(UsageError, match=rf"needs 40 people, 20 of them .* {several + singles}, {several} of them"):
        fit_calibrator(make_identities(several, 2, singles=singles), "prototype", None, effort=TINY)


def test_uninformative_embeddings_are_refused() -> None:
    identities = make_identities(50, 3)
    alike = Identities(np.repeat(identities.embeddings[:1], 150, axis=0), identities.person_ids, identities.qualities)
    with pytest.raises(UsageError, match="Cannot calibrate"):
        fit_calibrator(alike, "prototype", None, effort=TINY)


@pytest.mark.parametrize(("size", "expected"), [(1, 200), (100, 40), (1000, 12)])
def test_trials_are_spread_over_sizes(size: int, expected: int) -> None:
    count, plan = Effort().plan(size, 3)
    assert (count, plan.size, plan.samples_each) == (expected, size, 3)
    assert 200 <= plan.strangers <= 2000


@pytest.mark.parametrize("lapse", [0.001, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_likelihood_gradient_matches_finite_differences(seed: int, lapse: float) -> None:
    generator = np.random.default_rng(seed)
    probes, candidates, knots = 40, 4, np.array([-0.2, 0.1, 0.3, 0.6, 0.8])
    scores = -np.sort(-generator.uniform(-0.3, 0.9, (probes, candidates)).astype(np.float32), axis=1)
    likelihood = fitting._Likelihood(
        basis=fitting._basis(scores, generator.integers(1, 8, scores.shape), knots),
        own_columns=generator.integers(0, candidates + 1, probes),
        weights=generator.uniform(0.1, 1, probes) / probes,
        prior=prior_probabilities(candidates, 10, 0.5),
        shape=(len(SAMPLES), len(knots)),
    )
    curves = np.concatenate([generator.normal(-3, 1, (len(SAMPLES), 1)), generator.uniform(0, 3, (3, 4))], axis=1)
    parameters = np.append(lapse, curves.ravel())
    np.testing.assert_allclose(likelihood.curves(parameters), np.cumsum(curves, axis=1))
    error = check_grad(lambda x: likelihood(x)[0], lambda x: likelihood(x)[1], parameters, epsilon=1e-7)
    assert error < 1e-5 * max(1.0, float(np.linalg.norm(likelihood(parameters)[1])))


def test_basis_matches_the_calibrators_interpolation() -> None:
    generator = np.random.default_rng(0)
    table, knots = fit_small().tables[1], np.array(fit_small().knots)
    scores = generator.uniform(-1, 1, (30, 5)).astype(np.float32)
    samples = generator.integers(1, 12, scores.shape)
    evidence = (fitting._basis(scores, samples, knots) @ np.array(table.evidence).ravel()).reshape(scores.shape)
    np.testing.assert_allclose(evidence, fit_small().evidence(scores, samples, table.size, table.unenrolled), atol=1e-5)


def test_thresholds_never_fall_with_gallery_size() -> None:
    first, second = fit_small().tables[:2]
    adjusted = fitting._make_thresholds_monotonic([second, first])
    assert adjusted[1].thresholds == second.thresholds
    assert adjusted[1].evidence == first.evidence
    assert len(adjusted[0].thresholds) == len(RATES)
