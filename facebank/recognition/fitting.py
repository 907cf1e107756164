"""Calibrators from simulated searches; needs SciPy, and is never loaded to identify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.calibration import (
    RATES,
    SAMPLES,
    Calibrator,
    SizeTable,
    prior_shares,
    sample_shares,
    sample_spread,
    softmax,
)
from facebank.recognition.simulation import GalleryPlan, Identities, Searches, simulate
from facebank.recognition.training import MOST_FOR_KERNEL

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from facebank.recognition.background import Background

SIZES = (1, 10, 100, 1000)
"""How many people the simulated galleries have, where there are people enough."""

LEAST_PEOPLE = 20
"""How many people with two photos or more a calibration needs, and how many people in all besides those enrolled."""

_KNOTS = 16
_SMOOTHNESS = 1e-4
_LEAST_SPREAD = 0.5  # of mean logarithms of numbers of samples: less of it teaches chance
_LEAST_LAPSE = 5e-4
_STRANGER_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is simulated for each size of gallery and number of samples.

    Attributes
    ----------
    enrolled
        About how many people are enrolled over all galleries.
    strangers
        About how many strangers are searched over all galleries.
    galleries
        How many galleries are made at least and at most.
    """

    enrolled: int = 4000
    strangers: int = 40_000
    galleries: tuple[int, int] = (12, 200)

    def plan(self, size: int, samples_each: int) -> tuple[int, GalleryPlan]:
        """Return how many galleries to make, and of what kind."""
        count = int(np.clip(self.enrolled // size, *self.galleries))
        return count, GalleryPlan(size, samples_each, strangers=int(np.clip(self.strangers // count, 200, 2000)))


def fit_calibrator(
    identities: Identities,
    classifier: str,
    background: Background | None,
    *,
    seed: int = 0,
    effort: Effort = Effort(),
    on_gallery: Callable[[], None] | None = None,
) -> Calibrator:
    """Learn what a classifier's scores are worth.

    Parameters
    ----------
    identities
        Known people; at least `LEAST_PEOPLE` of them with two photos.
    classifier
        One of `facebank.recognition.scoring.CLASSIFIERS`.
    background
        The pack's, for classifiers that need one.
    seed
        The same seed gives the same calibrator.
    effort
        How much is simulated.
    on_gallery
        Called after each simulated gallery.

    Raises
    ------
    UsageError
        There are too few people, or the embeddings tell nobody apart.
    """

    def search(plan: GalleryPlan, number: int) -> Searches:
        random = np.random.default_rng([seed, plan.size, plan.samples_each, number])
        found = simulate(identities, plan, classifier, background, random)
        if on_gallery is not None:
            on_gallery()
        return found

    searches = {size: _searches_of(size, effort, search) for size in calibrated_sizes(identities, classifier)}
    knots = _knots([found for several in searches.values() for found in several])
    tables = [_table(size, found, knots) for size, found in searches.items()]
    return Calibrator(classifier, tuple(float(knot) for knot in knots), _never_falling_with_size(tables))


def calibrated_sizes(identities: Identities, classifier: str) -> list[int]:
    """Return which sizes of galleries can be simulated: a third of the people may be enrolled.

    Raises
    ------
    UsageError
        There are too few people.
    """
    photos = identities.photos
    several = int((photos > 1).sum())
    if several < LEAST_PEOPLE or len(photos) < 2 * LEAST_PEOPLE:
        raise UsageError(
            f"A calibration needs {2 * LEAST_PEOPLE} people, {LEAST_PEOPLE} of them with two photos or more; "
            f"there are {len(photos)}, {several} of them with two or more."
        )
    most = MOST_FOR_KERNEL // max(SAMPLES) if classifier == "svm-rbf" else max(SIZES)
    return [size for size in SIZES if size <= most and 3 * size <= len(photos) + 50]


def _searches_of(size: int, effort: Effort, search: Callable[[GalleryPlan, int], Searches]) -> list[Searches]:
    """Search galleries of one size, those of each of `SAMPLES` equally many and together."""
    found = []
    for samples_each in SAMPLES:
        galleries, plan = effort.plan(size, samples_each)
        found += [search(plan, number) for number in range(galleries)]
    return found


def _knots(searches: Sequence[Searches]) -> NDArray[np.float64]:
    """Spread knots where scores of strangers' best people and of own people lie."""
    strangers = np.concatenate([found.scores[~found.mated, 0] for found in searches])
    own = np.concatenate([found.scores[found.right, 0] for found in searches])
    places = np.concatenate(
        [
            np.quantile(strangers, np.linspace(0.02, 0.999, _KNOTS // 2)),
            np.quantile(own, np.linspace(0.005, 0.9, _KNOTS // 2)),
        ]
    )
    low, high = float(places.min()), float(places.max())
    knots = np.unique(np.round(np.sort(places), 4))
    apart = (high - low) / (4 * _KNOTS)
    kept = [knots[0]]
    for knot in knots[1:]:
        if knot - kept[-1] >= apart:
            kept.append(knot)
    if len(kept) < 2:
        raise UsageError("These embeddings tell nobody apart: all scores are the same.")
    return np.array(kept, dtype=np.float64)


def _table(size: int, searches: Sequence[Searches], knots: NDArray[np.float64]) -> SizeTable:
    thresholds, slope = _thresholds(searches)
    evidence, lapse = _evidence(size, searches, knots)
    return SizeTable(size, evidence, thresholds, slope, lapse)


def _thresholds(searches: Sequence[Searches]) -> tuple[tuple[float, ...], float]:
    """Return the thresholds for galleries of one sample each, and how they rise with more."""
    spreads, quantiles = [], []
    for samples_each in range(len(SAMPLES)):
        group = _group(searches, samples_each)
        best = np.concatenate([found.scores[~found.mated, 0] for found in group])
        quantiles.append(np.quantile(best, [1 - rate for rate in RATES]))
        spreads.append(float(np.mean([sample_spread(found.enrolled) for found in group])))
    one = RATES.index(0.01)
    centred = np.array(spreads) - np.mean(spreads)
    at_one = np.array([values[one] for values in quantiles])
    slope = float(centred @ at_one / max(centred @ centred, 1e-9)) if np.ptp(spreads) >= _LEAST_SPREAD else 0.0
    base = np.mean([values - slope * spread for values, spread in zip(quantiles, spreads, strict=True)], axis=0)
    return tuple(float(value) for value in np.round(np.minimum.accumulate(base), 5)), round(slope, 5)


def _group(searches: Sequence[Searches], samples_each: int) -> Sequence[Searches]:
    share = len(searches) // len(SAMPLES)
    return searches[samples_each * share : (samples_each + 1) * share]


@dataclass(frozen=True, slots=True, eq=False)
class _Likelihood:
    """The penalised likelihood of a lapse and of curves of evidence, as a function of their starts and rises."""

    basis: csr_matrix
    own: NDArray[np.int64]
    weights: NDArray[np.float64]
    prior: NDArray[np.float64]
    shape: tuple[int, int]

    def curves(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the curves of evidence."""
        return np.cumsum(parameters[1:].reshape(self.shape), axis=1)

    def __call__(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the loss and its slope."""
        lapse, curves = parameters[0], self.curves(parameters)
        evidence = (self.basis @ curves.ravel()).reshape(len(self.own), -1)
        logits = evidence + np.log(self.prior[0] / self.prior[-1])
        told = softmax(np.concatenate([logits, np.zeros((len(logits), 1))], axis=1))
        rows = np.arange(len(told))
        told_own, prior_own = told[rows, self.own], self.prior[self.own]
        likelihood = np.maximum((1 - lapse) * told_own + lapse * prior_own, 1e-300)
        told[rows, self.own] -= 1
        telling = self.weights * (1 - lapse) * told_own / likelihood
        slope = (self.basis.T @ (told[:, :-1] * telling[:, None]).ravel()).reshape(self.shape)
        slope_of_lapse = self.weights @ ((told_own - prior_own) / likelihood)
        bends = np.diff(curves, n=2, axis=1)
        penalty = np.zeros_like(curves)
        penalty[:, :-2] += bends
        penalty[:, 1:-1] -= 2 * bends
        penalty[:, 2:] += bends
        slope += 2 * _SMOOTHNESS * penalty
        loss = -float(self.weights @ np.log(likelihood)) + _SMOOTHNESS * float((bends**2).sum())
        return loss, np.append(slope_of_lapse, np.cumsum(slope[:, ::-1], axis=1)[:, ::-1].ravel())


def _evidence(
    size: int, searches: Sequence[Searches], knots: NDArray[np.float64]
) -> tuple[tuple[tuple[float, ...], ...], float]:
    """Fit the lapse and a never-falling curve for each of `SAMPLES`: multinomial logistic regression."""
    from scipy.optimize import minimize

    usable = [found.own < found.scores.shape[1] for found in searches]
    scores, samples, own, weights = (
        np.concatenate([getattr(found, name)[good] for found, good in zip(searches, usable, strict=True)])
        for name in ("scores", "samples", "own", "weights")
    )
    mated = own >= 0
    weights[mated] *= (1 - _STRANGER_SHARE) / max(weights[mated].sum(), 1e-12)
    weights[~mated] *= _STRANGER_SHARE / max(weights[~mated].sum(), 1e-12)
    shape = (len(SAMPLES), len(knots))
    prior = prior_shares(scores.shape[1], size, _STRANGER_SHARE)
    likelihood = _Likelihood(
        basis=_basis(scores, samples, knots),
        own=np.where(mated, own, scores.shape[1]),
        weights=weights,
        prior=prior / prior.sum(),
        shape=shape,
    )
    rises = len(knots) - 1
    start = np.tile(np.concatenate([[-4.0], np.full(rises, 16.0 / rises)]), (len(SAMPLES), 1))
    bounds = [(_LEAST_LAPSE, 0.1), *([(-30.0, 30.0), *[(0.0, 30.0)] * rises] * len(SAMPLES))]
    found = minimize(
        likelihood,
        np.append(2 * _LEAST_LAPSE, start.ravel()),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 400},
    )
    curves = likelihood.curves(found.x)
    return tuple(tuple(float(value) for value in np.round(curve, 4)) for curve in curves), float(round(found.x[0], 6))


def _basis(scores: NDArray[np.float32], samples: NDArray[np.int64], knots: NDArray[np.float64]) -> csr_matrix:
    """Return how much each curve's value at each knot counts for each score, ``(M * K, curves * knots)``."""
    from scipy.sparse import csr_matrix

    places = np.interp(scores.ravel(), knots, np.arange(len(knots)))
    below = np.minimum(places.astype(np.int64), len(knots) - 2)
    above_share = places - below
    shares = sample_shares(samples.ravel())
    rows = np.arange(len(places))
    values, columns = [], []
    for curve, share in enumerate(shares):
        values += [share * (1 - above_share), share * above_share]
        columns += [curve * len(knots) + below, curve * len(knots) + below + 1]
    basis = csr_matrix(
        (np.concatenate(values), (np.tile(rows, len(values)), np.concatenate(columns))),
        shape=(len(places), len(shares) * len(knots)),
    )
    basis.eliminate_zeros()
    return basis


def _never_falling_with_size(tables: Sequence[SizeTable]) -> tuple[SizeTable, ...]:
    """Lift thresholds that chance has put below those of smaller galleries."""
    kept: list[SizeTable] = []
    for table in tables:
        thresholds = table.thresholds
        if kept:
            thresholds = tuple(max(pair) for pair in zip(thresholds, kept[-1].thresholds, strict=True))
        kept.append(replace(table, thresholds=thresholds))
    return tuple(kept)
