"""Two-fold cross-validation of a calibration over people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.calibration.background import LEAST_IDENTITIES, Background
from facebank.recognition.calibration.calibration import SAMPLES
from facebank.recognition.calibration.fitting import Effort, calibrated_sizes, fit_calibrator
from facebank.recognition.calibration.simulation import Identities, Searches, simulate
from facebank.recognition.recognizer import MIN_ODDS
from facebank.recognition.training import FITTED
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.calibration.calibration import Calibrator

FPIR = 0.01  # target fraction of strangers named
STRANGER_SHARE = 0.5  # prior fraction of strangers' faces
USUAL = Effort()  # default amount of simulation
_BINS = 15
_SHARE_OF_EFFORT = 2


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
    effort: Effort = USUAL,
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
    lessened = _reduce(effort)
    calibrators = []
    for half in halves:
        known = Background.measure(half.embeddings, half.people) if classifier in FITTED else None
        fitted = fit_calibrator(half, classifier, known, seed=seed, effort=lessened, progress=progress)
        calibrators.append((fitted, known))

    def searched(number: int, size: int) -> list[Searches]:
        found = []
        for samples_each in SAMPLES:
            count, plan = lessened.plan(size, samples_each)
            for gallery in range(count):
                random = np.random.default_rng([seed, 1 + number, size, samples_each, gallery])
                fitted, known = calibrators[number]
                found.append(
                    simulate(halves[1 - number], plan, classifier, known, random, correction=fitted.correction)
                )
                progress.advance()
        return found

    return tuple(
        reliability([(searched(number, size), calibrators[number][0]) for number in range(len(halves))])
        for size in sizes
    )


def galleries_of(identities: Identities, classifier: str, *, seed: int = 0, effort: Effort = USUAL) -> int:
    """Return the number of galleries that `cross_fit` simulates."""
    halves, sizes = _halves(identities, classifier, seed)
    if not sizes:
        return 0
    fitted = sum(simulated_galleries(half, classifier, _reduce(effort)) for half in halves)
    counted = sum(_reduce(effort).plan(*kind)[0] for kind in product(sizes, SAMPLES))
    return fitted + len(halves) * counted


def simulated_galleries(identities: Identities, classifier: str, effort: Effort = USUAL) -> int:
    """Return the number of galleries that `facebank.recognition.calibration.fitting.fit_calibrator` simulates."""
    kinds = product(calibrated_sizes(identities, classifier), SAMPLES)
    return 2 * sum(effort.plan(*kind)[0] for kind in kinds)  # with and without further people


def reliability(groups: Sequence[tuple[Sequence[Searches], Calibrator]]) -> Reliability:
    """Return the measurements of at least one gallery of one size, with the calibrators to evaluate."""
    judged = [(found, calibrator) for several, calibrator in groups for found in several]
    probabilities = np.concatenate([_probabilities(found, calibrator)[:, 0] for found, calibrator in judged])
    right = np.concatenate([found.right for found, _ in judged])
    mated = np.concatenate([found.mated for found, _ in judged])
    named = np.concatenate([_is_named(found, calibrator) for found, calibrator in judged])
    weights = np.concatenate([found.weights for found, _ in judged])
    weights[mated] *= (1 - STRANGER_SHARE) / max(weights[mated].sum(), 1e-12)
    weights[~mated] *= STRANGER_SHARE / max(weights[~mated].sum(), 1e-12)
    likelihood = np.maximum(np.where(right, probabilities, 1 - probabilities), 1e-15)
    return Reliability(
        size=judged[0][0].size,
        fpir=float(named[~mated].mean()),
        brier=float(weights @ (probabilities - right) ** 2),
        log_loss=-float(weights @ np.log(likelihood)),
        ece=_calibration_error(probabilities, right, weights),
    )


def _probabilities(found: Searches, calibrator: Calibrator) -> NDArray[np.float64]:
    return calibrator.probabilities(found.scores, found.samples, found.size, STRANGER_SHARE, found.further)


def _is_named(found: Searches, calibrator: Calibrator) -> NDArray[np.bool_]:
    named: NDArray[np.bool_] = found.scores[:, 0] >= calibrator.threshold(found.enrolled, FPIR, found.further)
    probabilities = _probabilities(found, calibrator)
    if found.scores.shape[1] > 1:
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
    halves = identities.of(mixed[::2]), identities.of(mixed[1::2])
    if classifier in FITTED and min(len(half.photos) for half in halves) < LEAST_IDENTITIES:
        return halves, ()
    try:
        sizes = [calibrated_sizes(half, classifier) for half in halves]
    except UsageError:  # too few people in each half
        return halves, ()
    return halves, tuple(size for size in sizes[0] if size in sizes[1])


def _reduce(effort: Effort) -> Effort:
    """Return the amount of simulation for each of four steps: two fits and two measurements."""
    least, most = effort.galleries
    return replace(
        effort,
        enrolled=effort.enrolled // _SHARE_OF_EFFORT,
        strangers=effort.strangers // _SHARE_OF_EFFORT,
        galleries=(max(1, least // _SHARE_OF_EFFORT), max(1, most // _SHARE_OF_EFFORT)),
    )
