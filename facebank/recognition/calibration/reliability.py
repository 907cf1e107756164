"""Two-fold cross-validation of a calibration over people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.calibration.background import MIN_BACKGROUND_PEOPLE, Background
from facebank.recognition.calibration.calibration import SAMPLES
from facebank.recognition.calibration.fitting import Effort, calibrated_sizes, fit_calibrator
from facebank.recognition.calibration.simulation import Identities, SimulatedSearches, simulate
from facebank.recognition.recognizer import MIN_ODDS
from facebank.recognition.training import FITTED
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.calibration.calibration import Calibrator

FPIR = 0.01  # target fraction of strangers named
STRANGER_SHARE = 0.5  # prior fraction of strangers' faces
DEFAULT_EFFORT = Effort()  # default amount of simulation
_BINS = 15
_EFFORT_DIVISOR = 2


@dataclass(frozen=True, slots=True)
class Reliability:
    """Measurements in galleries of one size, on people whom the calibrator was not fitted to."""

    size: int  # number of enrolled people
    fpir: float  # fraction of strangers named at a target of `FPIR`
    brier: float  # mean squared difference between the best candidate's probability and its correctness
    log_loss: float  # mean negative natural logarithm of the probability of the outcome
    ece: float  # expected calibration error over bins of equal width


def cross_fit(
    identities: Identities,
    classifier: str,
    *,
    seed: int = 0,
    effort: Effort = DEFAULT_EFFORT,
    progress: Progress = SILENT,
) -> tuple[Reliability, ...]:
    """Return one measurement for each gallery size that half of the people allow, ascending; may be empty.

    Parameters
    ----------
    identities
        Known people.
    classifier
        One of `facebank.recognition.scoring.CLASSIFIERS`.
    seed
        Chooses the halves and galleries.
    effort
        The amount of simulation of a calibrator for all people; cross-validation costs twice as much.
    progress
        Advanced with each simulated gallery.
    """
    halves, sizes = _halves(identities, classifier, seed)
    if not sizes:
        return ()
    reduced = _reduce(effort)
    calibrators = []
    for half in halves:
        background = Background.measure(half.embeddings, half.person_ids) if classifier in FITTED else None
        fitted = fit_calibrator(half, classifier, background, seed=seed, effort=reduced, progress=progress)
        calibrators.append((fitted, background))

    def search(half: int, size: int) -> list[SimulatedSearches]:
        searches = []
        for samples_each in SAMPLES:
            count, plan = reduced.plan(size, samples_each)
            for gallery_number in range(count):
                random = np.random.default_rng([seed, 1 + half, size, samples_each, gallery_number])
                fitted, background = calibrators[half]
                searches.append(
                    simulate(halves[1 - half], plan, classifier, background, random, correction=fitted.correction)
                )
                progress.advance()
        return searches

    return tuple(
        measure_reliability([(search(half, size), calibrators[half][0]) for half in range(len(halves))])
        for size in sizes
    )


def count_cross_fit_galleries(
    identities: Identities, classifier: str, *, seed: int = 0, effort: Effort = DEFAULT_EFFORT
) -> int:
    """Return the number of galleries that `cross_fit` simulates."""
    halves, sizes = _halves(identities, classifier, seed)
    if not sizes:
        return 0
    fitted = sum(count_fit_galleries(half, classifier, _reduce(effort)) for half in halves)
    searched = sum(_reduce(effort).plan(size, samples_each)[0] for size, samples_each in product(sizes, SAMPLES))
    return fitted + len(halves) * searched


def count_fit_galleries(identities: Identities, classifier: str, effort: Effort = DEFAULT_EFFORT) -> int:
    """Return the number of galleries that `facebank.recognition.calibration.fitting.fit_calibrator` simulates."""
    sizes = calibrated_sizes(identities, classifier)
    galleries = sum(effort.plan(size, samples_each)[0] for size, samples_each in product(sizes, SAMPLES))
    return 2 * galleries  # with and without unenrolled people


def measure_reliability(groups: Sequence[tuple[Sequence[SimulatedSearches], Calibrator]]) -> Reliability:
    """Measure calibrators by simulated searches in galleries of one size; each pair is searches and a calibrator."""
    evaluated = [(searches, calibrator) for group, calibrator in groups for searches in group]
    probabilities = np.concatenate([_probabilities(searches, calibrator)[:, 0] for searches, calibrator in evaluated])
    right = np.concatenate([searches.right for searches, _ in evaluated])
    mated = np.concatenate([searches.mated for searches, _ in evaluated])
    named = np.concatenate([_is_named(searches, calibrator) for searches, calibrator in evaluated])
    weights = np.concatenate([searches.weights for searches, _ in evaluated])
    weights[mated] *= (1 - STRANGER_SHARE) / max(weights[mated].sum(), 1e-12)
    weights[~mated] *= STRANGER_SHARE / max(weights[~mated].sum(), 1e-12)
    likelihood = np.maximum(np.where(right, probabilities, 1 - probabilities), 1e-15)
    return Reliability(
        size=evaluated[0][0].size,
        fpir=float(named[~mated].mean()),
        brier=float(weights @ (probabilities - right) ** 2),
        log_loss=-float(weights @ np.log(likelihood)),
        ece=_calibration_error(probabilities, right, weights),
    )


def _probabilities(searches: SimulatedSearches, calibrator: Calibrator) -> NDArray[np.float64]:
    return calibrator.probabilities(
        searches.scores, searches.sample_counts, searches.size, STRANGER_SHARE, searches.unenrolled
    )


def _is_named(searches: SimulatedSearches, calibrator: Calibrator) -> NDArray[np.bool_]:
    named: NDArray[np.bool_] = searches.scores[:, 0] >= calibrator.threshold(
        searches.enrolled, FPIR, searches.unenrolled
    )
    probabilities = _probabilities(searches, calibrator)
    if searches.scores.shape[1] > 1:
        named &= probabilities[:, 0] >= MIN_ODDS * probabilities[:, 1]
    return named


def _calibration_error(
    probabilities: NDArray[np.float64], right: NDArray[np.bool_], weights: NDArray[np.float64]
) -> float:
    bins = np.minimum((probabilities * _BINS).astype(np.int64), _BINS - 1)
    return float(np.abs(np.bincount(bins, weights=weights * (probabilities - right), minlength=_BINS)).sum())


def _halves(
    identities: Identities, classifier: str, seed: int
) -> tuple[tuple[Identities, Identities], tuple[int, ...]]:
    """Return two halves of the people, photos spread evenly, and the gallery sizes that both allow."""
    mixed = np.random.default_rng(seed).permutation(len(identities.photos))
    mixed = mixed[np.argsort(identities.photos[mixed] == 1, kind="stable")]
    halves = identities.select(mixed[::2]), identities.select(mixed[1::2])
    if classifier in FITTED and min(len(half.photos) for half in halves) < MIN_BACKGROUND_PEOPLE:
        return halves, ()
    try:
        sizes = [calibrated_sizes(half, classifier) for half in halves]
    except UsageError:  # too few people in each half
        return halves, ()
    return halves, tuple(size for size in sizes[0] if size in sizes[1])


def _reduce(effort: Effort) -> Effort:
    """Return the amount of simulation for each of four steps: two fits and two measurements."""
    min_galleries, max_galleries = effort.galleries
    return replace(
        effort,
        enrolled=effort.enrolled // _EFFORT_DIVISOR,
        strangers=effort.strangers // _EFFORT_DIVISOR,
        galleries=(max(1, min_galleries // _EFFORT_DIVISOR), max(1, max_galleries // _EFFORT_DIVISOR)),
    )
