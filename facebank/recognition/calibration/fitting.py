"""Fitting of calibrators to simulated searches; needs SciPy, and is not imported for identification."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.calibration.calibration import (
    RATES,
    SAMPLES,
    Calibrator,
    SizeTable,
    prior_probabilities,
    sample_spread,
    sample_weights,
    softmax,
)
from facebank.recognition.calibration.simulation import GalleryPlan, Identities, SimulatedSearches, simulate
from facebank.recognition.cohort import Correction
from facebank.recognition.training import FITTED, MAX_KERNEL_SAMPLES
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from facebank.recognition.calibration.background import Background

SIZES = (1, 3, 10, 30, 100, 300, 1000)  # numbers of people in simulated galleries
SIZES_OF_FITTED = (1, 10, 100, 1000)  # the same for classifiers of `FITTED`, which are slow
CORRECTION = Correction(share=0.75, level=1.0)  # default correction by the album's other people
UNENROLLED = 100  # number of unenrolled people in simulated albums with unenrolled people
RELATIVES_FRACTION = 0.03  # fraction of strangers who are siblings of enrolled people, if families are known
MIN_PEOPLE = 20  # with two photos or more, and in total besides the enrolled ones
_KNOTS = 16
_MAX_GAP = 0.05
_SMOOTHNESS = 1e-4
_MIN_SPREAD = 0.5  # of mean logarithms of numbers of samples; below it a fit is not reliable
_MIN_LAPSE = 5e-4
_STRANGER_SHARE = 0.5
_SPARE = 50
_MIN_DIFFERENCE = 1e-6


@dataclass(frozen=True, slots=True)
class Effort:
    """The amount of simulation for each size of gallery and number of samples."""

    enrolled: int = 4000  # approximate number of enrolled people over all galleries
    strangers: int = 40_000  # approximate number of searched strangers over all galleries
    galleries: tuple[int, int] = (12, 200)  # minimum and maximum number of galleries

    def plan(self, size: int, samples_each: int, unenrolled: int = 0) -> tuple[int, GalleryPlan]:
        """Return the number of galleries to simulate, and their plan."""
        count = int(np.clip(self.enrolled // size, *self.galleries))
        return count, GalleryPlan(size, samples_each, int(np.clip(self.strangers // count, 200, 2000)), unenrolled)


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """People of one kind for a calibration."""

    identities: Identities  # the enrolled people and the strangers
    # if given, galleries are one family of the identities among these people; otherwise people of the identities
    unrelated: Identities | None = None
    # weight of the strangers in thresholds, above 0: the FPIR holds for the weighted mixture of populations
    weight: float = 1.0
    prior: float = 1.0  # frequency of searches of the kind for probabilities, above 0

    def sizes(self, sizes: Sequence[int]) -> list[int]:
        """Return the sizes of galleries that can be simulated: about half of the people may be enrolled."""
        people = len((self.identities if self.unrelated is None else self.unrelated).photos)
        return [size for size in sizes if 2 * size <= people + 1]


def fit_calibrator(
    people: Identities | Sequence[Population],
    classifier: str,
    background: Background | None,
    *,
    correction: Correction = CORRECTION,
    seed: int = 0,
    effort: Effort = Effort(),
    progress: Progress = SILENT,
) -> Calibrator:
    """Return the calibrator of a classifier's scores.

    Parameters
    ----------
    people
        People, at least `MIN_PEOPLE` of them with two photos. Each of several populations contributes at every size
        that it allows; the first determines the sizes.
    classifier
        One of `facebank.recognition.scoring.CLASSIFIERS`.
    background
        The pack's, for classifiers that need one.
    correction
        The correction of scores by the album's other people.
    seed
        Seed of the random numbers.
    effort
        The amount of simulation.
    progress
        Advanced with each simulated gallery.

    Raises
    ------
    UsageError
        There are too few people, or all embeddings are the same.
    """
    populations = [Population(people)] if isinstance(people, Identities) else list(people)

    def search(population_number: int, plan: GalleryPlan, gallery_number: int) -> SimulatedSearches:
        numbers = plan.size, plan.samples_each, gallery_number, population_number, plan.unenrolled
        random = np.random.default_rng([seed, *numbers])
        population = populations[population_number]
        searches = simulate(
            population.identities,
            plan,
            classifier,
            background,
            random,
            correction=correction,
            unrelated=population.unrelated,
        )
        progress.advance()
        return searches

    sizes = calibrated_sizes(populations[0].identities, classifier)
    if np.ptp(populations[0].identities.embeddings, axis=0).max() < _MIN_DIFFERENCE:
        raise UsageError("Cannot calibrate: all embeddings are the same; use photos of different people.")
    groups = {
        (size, unenrolled): [
            _Group(
                population.weight,
                population.prior,
                _simulate_searches(size, unenrolled, effort, population_number, search),
            )
            for population_number, population in enumerate(populations)
            if population_number == 0 or size in population.sizes(sizes)
        ]
        for size in sizes
        for unenrolled in ((0, UNENROLLED) if correction.share else (0,))
    }
    knots = _knots(
        [searches for size_groups in groups.values() for group in size_groups for searches in group.searches]
    )
    tables = [_table(size, unenrolled, size_groups, knots) for (size, unenrolled), size_groups in groups.items()]
    if not correction.share:
        tables = _make_thresholds_monotonic(tables)
    return Calibrator(classifier, tuple(float(knot) for knot in knots), tuple(tables), correction)


def calibrated_sizes(identities: Identities, classifier: str) -> list[int]:
    """Return the sizes of galleries that can be simulated: a third of the people may be enrolled.

    Raises `UsageError` if there are too few people.
    """
    photos = identities.photos
    repeated = int((photos > 1).sum())
    if repeated < MIN_PEOPLE or len(photos) < 2 * MIN_PEOPLE:
        raise UsageError(
            f"A calibration needs {2 * MIN_PEOPLE} people, {MIN_PEOPLE} of them with two photos or more; "
            f"there are {len(photos)}, {repeated} of them with two or more."
        )
    sizes = SIZES_OF_FITTED if classifier in FITTED else SIZES
    max_size = MAX_KERNEL_SAMPLES // max(SAMPLES) if classifier == "svm-rbf" else max(sizes)
    return [size for size in sizes if size <= max_size and 3 * size <= len(photos) + _SPARE]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The searches of one population in galleries of one size, equally many for each of `SAMPLES`, in order."""

    weight: float
    prior: float
    searches: Sequence[SimulatedSearches]

    def with_samples(self, index: int) -> Sequence[SimulatedSearches]:
        count = len(self.searches) // len(SAMPLES)
        return self.searches[index * count : (index + 1) * count]


def _simulate_searches(
    size: int,
    unenrolled: int,
    effort: Effort,
    population_number: int,
    search: Callable[[int, GalleryPlan, int], SimulatedSearches],
) -> list[SimulatedSearches]:
    searches = []
    for samples_each in SAMPLES:
        gallery_count, plan = effort.plan(size, samples_each, unenrolled)
        searches += [search(population_number, plan, gallery_number) for gallery_number in range(gallery_count)]
    return searches


def _knots(searches: Sequence[SimulatedSearches]) -> NDArray[np.float64]:
    """Return knots spread over the best scores of strangers and the scores of mated probes."""
    strangers = np.concatenate([search.scores[search.strangers, 0] for search in searches])
    own = np.concatenate([search.scores[search.right, 0] for search in searches])
    quantiles = np.concatenate(
        [
            np.quantile(strangers, np.linspace(0.02, 0.999, _KNOTS // 2)),
            np.quantile(own, np.linspace(0.005, 0.9, _KNOTS // 2)),
        ]
    )
    low, high = float(quantiles.min()), float(quantiles.max())
    knots = np.unique(np.round(np.sort(quantiles), 4))
    min_gap = (high - low) / (4 * _KNOTS)
    spaced = [knots[0]]
    for knot in knots[1:]:
        if knot - spaced[-1] >= min_gap:
            spaced.append(knot)
    if len(spaced) < 2:
        raise UsageError("Cannot calibrate: all scores are the same; use photos of different people.")
    return _fill_gaps(np.array(spaced, dtype=np.float64))


def _fill_gaps(knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill wide gaps between knots: scores are rare there, but decisive."""
    parts = [
        np.linspace(low, high, max(1, round((high - low) / _MAX_GAP)), endpoint=False)
        for low, high in itertools.pairwise(knots)
    ]
    return np.round(np.concatenate([*parts, knots[-1:]]), 4)


def _table(size: int, unenrolled: int, groups: Sequence[_Group], knots: NDArray[np.float64]) -> SizeTable:
    thresholds, slope = _thresholds(groups)
    evidence, lapse = _evidence(size, groups, knots)
    return SizeTable(size, evidence, thresholds, slope, lapse, unenrolled)


def _thresholds(groups: Sequence[_Group]) -> tuple[tuple[float, ...], float]:
    """Return the thresholds for galleries of one sample each, and their increase with more."""
    spreads, quantiles = [], []
    for index in range(len(SAMPLES)):
        best, weights, spread = [], [], []
        for group in groups:
            searches = group.with_samples(index)
            scores = np.concatenate([search.scores[search.strangers, 0] for search in searches])
            best.append(scores)
            weights.append(np.full(len(scores), group.weight / max(len(scores), 1)))
            spread += [sample_spread(search.enrolled) for search in searches]
        quantiles.append(_upper_quantiles(np.concatenate(best), np.concatenate(weights)))
        spreads.append(float(np.mean(spread)))
    reference = RATES.index(0.01)
    centered = np.array(spreads) - np.mean(spreads)
    at_reference = np.array([values[reference] for values in quantiles])
    slope = float(centered @ at_reference / max(centered @ centered, 1e-9)) if np.ptp(spreads) >= _MIN_SPREAD else 0.0
    base = np.mean([values - slope * spread for values, spread in zip(quantiles, spreads, strict=True)], axis=0)
    return tuple(float(value) for value in np.round(np.minimum.accumulate(base), 5)), round(slope, 5)


def _upper_quantiles(scores: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each of `RATES` the score that this fraction of the weight reaches."""
    order = np.argsort(-scores, kind="stable")
    reached = (np.cumsum(weights[order]) - weights[order] / 2) / max(weights.sum(), 1e-12)
    return np.interp(RATES, reached, scores[order].astype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class _Likelihood:
    """The penalized likelihood of a lapse and evidence curves, as a function of their starts and increments."""

    basis: csr_matrix
    own_columns: NDArray[np.int64]
    weights: NDArray[np.float64]
    prior: NDArray[np.float64]
    shape: tuple[int, int]

    def curves(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.cumsum(parameters[1:].reshape(self.shape), axis=1)

    def __call__(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the loss and its gradient."""
        lapse, curves = parameters[0], self.curves(parameters)
        evidence = (self.basis @ curves.ravel()).reshape(len(self.own_columns), -1)
        logits = evidence + np.log(self.prior[0] / self.prior[-1])
        predicted = softmax(np.concatenate([logits, np.zeros((len(logits), 1))], axis=1))
        rows = np.arange(len(predicted))
        predicted_own, prior_own = predicted[rows, self.own_columns], self.prior[self.own_columns]
        likelihood = np.maximum((1 - lapse) * predicted_own + lapse * prior_own, 1e-300)
        predicted[rows, self.own_columns] -= 1
        gain = self.weights * (1 - lapse) * predicted_own / likelihood
        slope = (self.basis.T @ (predicted[:, :-1] * gain[:, None]).ravel()).reshape(self.shape)
        slope_of_lapse = self.weights @ ((predicted_own - prior_own) / likelihood)
        bends = np.diff(curves, n=2, axis=1)
        penalty = np.zeros_like(curves)
        penalty[:, :-2] += bends
        penalty[:, 1:-1] -= 2 * bends
        penalty[:, 2:] += bends
        slope += 2 * _SMOOTHNESS * penalty
        loss = -float(self.weights @ np.log(likelihood)) + _SMOOTHNESS * float((bends**2).sum())
        return loss, np.append(slope_of_lapse, np.cumsum(slope[:, ::-1], axis=1)[:, ::-1].ravel())


def _evidence(
    size: int, groups: Sequence[_Group], knots: NDArray[np.float64]
) -> tuple[tuple[tuple[float, ...], ...], float]:
    """Fit the lapse and a non-decreasing curve for each of `SAMPLES`: multinomial logistic regression."""
    from scipy.optimize import minimize

    parts = [_weighted_searches(group) for group in groups]
    scores, sample_counts, own_columns, weights = (
        np.concatenate([part[index] for part in parts]) for index in range(4)
    )
    mated = own_columns >= 0
    weights[mated] *= (1 - _STRANGER_SHARE) / max(weights[mated].sum(), 1e-12)
    weights[~mated] *= _STRANGER_SHARE / max(weights[~mated].sum(), 1e-12)
    shape = (len(SAMPLES), len(knots))
    prior = prior_probabilities(scores.shape[1], size, _STRANGER_SHARE)
    likelihood = _Likelihood(
        basis=_basis(scores, sample_counts, knots),
        own_columns=np.where(mated, own_columns, scores.shape[1]),
        weights=weights,
        prior=prior / prior.sum(),
        shape=shape,
    )
    rises = len(knots) - 1
    start = np.tile(np.concatenate([[-4.0], np.full(rises, 16.0 / rises)]), (len(SAMPLES), 1))
    bounds = [(_MIN_LAPSE, 0.1), *([(-30.0, 30.0), *[(0.0, 30.0)] * rises] * len(SAMPLES))]
    fit = minimize(
        likelihood,
        np.append(2 * _MIN_LAPSE, start.ravel()),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 400},
    )
    curves = likelihood.curves(fit.x)
    return tuple(tuple(float(value) for value in np.round(curve, 4)) for curve in curves), float(round(fit.x[0], 6))


def _weighted_searches(
    group: _Group,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return scores, sample counts, own columns and weights of a population's usable searches.

    Mated probes and strangers are each weighted by the population's prior; relatives by `RELATIVES_FRACTION`.
    """
    usable = [search.own_columns < search.scores.shape[1] for search in group.searches]
    scores, sample_counts, own_columns, weights, relatives = (
        np.concatenate(
            [getattr(search, name)[is_usable] for search, is_usable in zip(group.searches, usable, strict=True)]
        )
        for name in ("scores", "sample_counts", "own_columns", "weights", "relatives")
    )
    mated = own_columns >= 0
    related = RELATIVES_FRACTION if relatives.any() else 0.0
    for chosen, fraction in ((mated, 1.0), (~mated & ~relatives, 1.0 - related), (relatives, related)):
        weights[chosen] *= group.prior * fraction / max(weights[chosen].sum(), 1e-12)
    return scores, sample_counts, own_columns, weights


def _basis(scores: NDArray[np.float32], sample_counts: NDArray[np.int64], knots: NDArray[np.float64]) -> csr_matrix:
    """Return the weight of each curve's value at each knot for each score, ``(M * K, curves * knots)``."""
    from scipy.sparse import csr_matrix

    positions = np.interp(scores.ravel(), knots, np.arange(len(knots)))  # the first knot for excluded people
    below = np.minimum(positions.astype(np.int64), len(knots) - 2)
    above_weight = positions - below
    curve_weights = sample_weights(sample_counts.ravel())
    rows = np.arange(len(positions))
    values, columns = [], []
    for curve, weight in enumerate(curve_weights):
        values += [weight * (1 - above_weight), weight * above_weight]
        columns += [curve * len(knots) + below, curve * len(knots) + below + 1]
    basis = csr_matrix(
        (np.concatenate(values), (np.tile(rows, len(values)), np.concatenate(columns))),
        shape=(len(positions), len(curve_weights) * len(knots)),
    )
    basis.eliminate_zeros()
    return basis


def _make_thresholds_monotonic(tables: Sequence[SizeTable]) -> list[SizeTable]:
    """Raise thresholds that are below those of smaller galleries by chance; corrected scores may decrease."""
    monotonic: list[SizeTable] = []
    for table in tables:
        thresholds = table.thresholds
        if monotonic:
            thresholds = tuple(max(pair) for pair in zip(thresholds, monotonic[-1].thresholds, strict=True))
        monotonic.append(replace(table, thresholds=thresholds))
    return monotonic
