"""Conversion of scores to probabilities, and of a target rate of named strangers (FPIR) to a threshold.

A calibrator tabulates the results of simulated searches in galleries of several sizes
(`facebank.recognition.calibration.fitting`):

- the *evidence* of a score: the log likelihood ratio of the person's own face and a stranger's, for people with one,
  three and five samples. It does not decrease with the score.
- the *threshold* that the best scores of a given fraction of strangers (FPIR) reach.

Both are interpolated in the logarithms of the gallery's size and of the numbers of samples, and in the weight of the
correction by other people (`facebank.recognition.cohort`): between galleries without and albums with many unenrolled
people. Probabilities follow by Bayes' rule from the evidence of the best people and the assumed fraction of strangers,
with the same prior for all enrolled people. They increase with the score and with the margin over others.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.cohort import NO_CORRECTION, Correction
from facebank.recognition.pairs import PairModel
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facebank.types import FloatArray

SAMPLES = (1, 3, 5)  # numbers of samples for which the evidence is tabulated
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # FPIRs for which the threshold is tabulated
FORMAT = 2  # format 1, without a correction, can be read too
_MAX_KNOTS = 200
_MAX_TABLES = 40
_MAX_UNENROLLED = 10_000
_MAX_PAIR_NUMBER = 20
_UNENROLLED_KEY = "further"  # of `SizeTable.unenrolled` in the file


@dataclass(frozen=True, slots=True)
class SizeTable:
    """The results of simulated galleries of one size."""

    size: int  # number of enrolled people
    # for each of `SAMPLES`, the log likelihood ratio at each of the calibrator's knots; non-decreasing
    evidence: tuple[tuple[float, ...], ...]
    thresholds: tuple[float, ...]  # for each of `RATES`, the score; non-increasing
    thresholds_per_sample: float  # increase of a threshold per unit of the mean logarithm of the numbers of samples
    # fraction of uninformative scores, 0..1, such as from wrong labels; bounds every probability away from one
    lapse: float
    unenrolled: int = 0  # number of unenrolled people in the album


@dataclass(frozen=True, slots=True)
class Calibrator:
    """The calibration of one classifier's scores."""

    classifier: str  # one of `facebank.recognition.scoring.CLASSIFIERS`
    knots: tuple[float, ...]  # ascending scores at which the evidence is tabulated; constant outside them
    # one or two for each size, ascending; the first of each size is for albums without unenrolled people
    tables: tuple[SizeTable, ...]
    correction: Correction = NO_CORRECTION  # the correction of the scores

    def threshold(self, sample_counts: NDArray[np.int64], fpir: float, unenrolled: int = 0) -> float:
        """Return the minimum score for a name.

        Parameters
        ----------
        sample_counts
            Number of samples of each enrolled person, ``(P,)``, P at least 1.
        fpir
            Maximum fraction of strangers named; raises `UsageError` unless within the range of `RATES`.
        unenrolled
            Number of unenrolled people in the album.
        """
        if not RATES[0] <= fpir <= RATES[-1]:
            raise UsageError(f"An FPIR must be from {RATES[0]} to {RATES[-1]}, not {fpir}.")
        log_sizes = [math.log(row[0].size) for row in self._rows]
        at_sizes = self._at_sizes(fpir, sample_counts, unenrolled)
        log_size = math.log(len(sample_counts))
        if log_size <= log_sizes[-1] or len(log_sizes) < 2:
            return float(np.interp(log_size, log_sizes, at_sizes))
        # extrapolate from the last two sizes, equally at all rates, so that thresholds of two rates never cross
        rises = [later[-1] - later[-2] for later in (self._at_sizes(rate, sample_counts, unenrolled) for rate in RATES)]
        slope = max(float(np.mean(rises)) / (log_sizes[-1] - log_sizes[-2]), 0.0)
        return at_sizes[-1] + slope * (log_size - log_sizes[-1])

    def _at_sizes(self, fpir: float, sample_counts: NDArray[np.int64], unenrolled: int) -> list[float]:
        spread = sample_spread(sample_counts)

        def at(table: SizeTable) -> float:
            tabulated = float(np.interp(math.log(fpir), np.log(RATES), table.thresholds))
            return tabulated + spread * table.thresholds_per_sample

        weights = [self._weight_of_second(row, len(sample_counts), unenrolled) for row in self._rows]
        thresholds = [
            (1 - weight) * at(row[0]) + weight * at(row[-1]) for row, weight in zip(self._rows, weights, strict=True)
        ]
        # With a correction, more people correct more, so that a larger gallery may need a lower threshold.
        return thresholds if self.correction.share else list(itertools.accumulate(thresholds, max))

    def evidence(
        self, scores: FloatArray, sample_counts: NDArray[np.int64], size: int, unenrolled: int = 0
    ) -> NDArray[np.float64]:
        """Return natural logarithms of the likelihood ratio of the person's own face and a stranger's.

        Parameters
        ----------
        scores, sample_counts
            Scores, and the numbers of samples of their people, of the same shape.
        size, unenrolled
            Numbers of enrolled and of unenrolled people in the album.
        """
        at_size = np.sum(
            [weight * np.array(table.evidence) for weight, table in self._mixture(size, unenrolled)], axis=0
        )
        curves = np.stack([np.interp(scores, self.knots, curve) for curve in at_size])
        combined: NDArray[np.float64] = np.sum(sample_weights(sample_counts) * curves, axis=0)
        return combined

    def probabilities(
        self,
        scores: FloatArray,
        sample_counts: NDArray[np.int64],
        size: int,
        stranger_share: float,
        unenrolled: int = 0,
    ) -> NDArray[np.float64]:
        """Return the probability of each candidate and, last, of a stranger, ``(M, K + 1)``; rows sum to one.

        Parameters
        ----------
        scores
            Scores of each probe's candidates, ``(M, K)``: the best people, or all; minus infinity gives probability 0.
        sample_counts
            Numbers of samples of those people, ``(M, K)``.
        size, unenrolled
            Numbers of enrolled and of unenrolled people in the album.
        stranger_share
            Prior fraction of strangers' faces; raises `UsageError` unless above 0 and below 1.
        """
        if not 0 < stranger_share < 1:
            raise UsageError(f"The fraction of strangers must be above 0 and below 1, not {stranger_share}.")
        priors = prior_probabilities(scores.shape[1], size, stranger_share)
        possible = np.pad(scores > -np.inf, ((0, 0), (0, 1)), constant_values=True)
        logits = self.evidence(scores, sample_counts, size, unenrolled) + math.log(priors[0] / stranger_share)
        predicted = softmax(np.where(possible, np.pad(logits, ((0, 0), (0, 1))), -np.inf))
        prior = np.where(possible, priors, 0.0)
        lapse = sum(weight * table.lapse for weight, table in self._mixture(size, unenrolled))
        mixed: NDArray[np.float64] = (1 - lapse) * predicted + lapse * prior / prior.sum(axis=1, keepdims=True)
        return mixed

    @property
    def _rows(self) -> list[list[SizeTable]]:
        return [list(row) for _, row in itertools.groupby(self.tables, lambda table: table.size)]

    def _mixture(self, size: int, unenrolled: int) -> list[tuple[float, SizeTable]]:
        """Return the tables for a gallery with their weights, which sum to one."""
        rows = self._rows
        lower, fraction = _between(math.log(size), [math.log(row[0].size) for row in rows])
        upper = min(lower + 1, len(rows) - 1)
        weighted = []
        for weight, row in ((1 - fraction, rows[lower]), (fraction, rows[upper])):
            second = self._weight_of_second(row, size, unenrolled)
            weighted += [(weight * (1 - second), row[0]), (weight * second, row[-1])]
        return [(weight, table) for weight, table in weighted if weight > 0]

    def _weight_of_second(self, row: list[SizeTable], size: int, unenrolled: int) -> float:
        """Return the weight of the table with unenrolled people, by the weight of the correction; 0..1."""
        if len(row) == 1 or not unenrolled:
            return 0.0
        people = max(row[0].size, size) - 1
        none, some, many = self.correction.weight(np.array([people, people + unenrolled, people + row[-1].unenrolled]))
        return float(np.clip((some - none) / max(many - none, 1e-12), 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration of a pack."""

    pack_digest: str  # the pack whose embeddings were scored
    made_from: str  # description of the photographs
    people: int  # number of people, strangers included
    photos: int  # number of faces
    calibrators: tuple[Calibrator, ...]  # one for each classifier
    pairs: PairModel | None = None  # the pair model; None if it was not measured

    def calibrator(self, classifier: str) -> Calibrator | None:
        """Return the calibrator of a classifier; None if it is not calibrated."""
        return next((calibrator for calibrator in self.calibrators if calibrator.classifier == classifier), None)

    def to_json(self) -> str:
        """Return the calibration as JSON for `from_json`."""
        content = {"format": FORMAT, **asdict(self, dict_factory=_with_keys)}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, label: str = "calibration") -> Self:
        """Return the calibration of untrusted JSON; raises `UsageError`, with the file's `label`, if it is invalid."""
        try:
            content = _check_format(json.loads(text))
            return cls(
                pack_digest=_text(content["pack_digest"]),
                made_from=printable(_text(content["made_from"])),
                people=_whole(content["people"]),
                photos=_whole(content["photos"]),
                calibrators=tuple(_read_calibrator(entry) for entry in content["calibrators"]),
                pairs=_read_pairs(content.get("pairs")),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise UsageError(f"{printable(label)} is not a calibration of a pack: {printable(str(error))}") from error


def prior_probabilities(candidates: int, size: int, stranger_share: float) -> NDArray[np.float64]:
    """Return the prior probabilities of each candidate and a stranger, ``(candidates + 1,)``."""
    return np.append(np.full(candidates, (1 - stranger_share) / size), stranger_share)


def _check_format(content: object) -> dict[str, Any]:
    if not isinstance(content, dict) or content.get("format") not in {1, FORMAT}:
        raise ValueError("unsupported format")
    return content


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax along the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def sample_spread(sample_counts: NDArray[np.int64]) -> float:
    """Return the mean logarithm of the numbers of samples, each capped at the last of `SAMPLES`."""
    return float(np.log(np.minimum(sample_counts, SAMPLES[-1])).mean())


def sample_weights(sample_counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weight of each of the curves for `SAMPLES`, ``(3, ...)``; they sum to one."""
    positions = np.interp(np.log(np.maximum(sample_counts, 1)), np.log(SAMPLES), np.arange(len(SAMPLES)))
    weights: NDArray[np.float64] = np.stack([np.clip(1 - np.abs(positions - i), 0, 1) for i in range(len(SAMPLES))])
    return weights


def _between(value: float, points: list[float]) -> tuple[int, float]:
    """Return the index of the point below a value and the fraction of the way to the next, both clamped."""
    position = float(np.interp(value, points, np.arange(len(points))))
    lower = int(position)
    return lower, position - lower


def _with_keys(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a dataclass by their keys in the file format."""
    return {_UNENROLLED_KEY if name == "unenrolled" else name: value for name, value in fields}


def _read_calibrator(entry: Mapping[str, Any]) -> Calibrator:
    knots = _numbers(entry["knots"])
    if not 2 <= len(knots) <= _MAX_KNOTS or (np.diff(knots) <= 0).any():
        raise ValueError("the knots do not increase")
    if not 1 <= len(entry["tables"]) <= _MAX_TABLES:
        raise ValueError("too many tables")
    tables = tuple(_read_table(table, len(knots)) for table in entry["tables"])
    keys = [(table.size, table.unenrolled) for table in tables]
    sizes = [size for size, _ in keys]
    if sizes[0] < 1 or keys != sorted(set(keys)) or max(sizes.count(size) for size in sizes) > 2:
        raise ValueError("the sizes do not increase")
    return Calibrator(_text(entry["classifier"]), knots, tables, _read_correction(entry.get("correction")))


def _read_correction(entry: Mapping[str, Any] | None) -> Correction:
    if entry is None:
        return NO_CORRECTION
    share, level, shrinkage = _numbers([entry["share"], entry["level"], entry["shrinkage"]])
    if not 0 <= share <= 1 or not 0 <= level <= 1 or shrinkage <= 0:
        raise ValueError("the correction is not a fraction")
    return Correction(share, level, shrinkage)


def _read_pairs(entry: Mapping[str, Any] | None) -> PairModel | None:
    if entry is None:
        return None
    numbers = _numbers([entry[name] for name in PairModel.names()])
    if max(map(abs, numbers)) > _MAX_PAIR_NUMBER:
        raise ValueError("the pair model is out of range")
    return PairModel(*numbers)


def _read_table(table: Mapping[str, Any], knots: int) -> SizeTable:
    evidence = tuple(_numbers(curve) for curve in table["evidence"])
    thresholds = _numbers(table["thresholds"])
    if len(evidence) != len(SAMPLES) or any(len(curve) != knots or (np.diff(curve) < 0).any() for curve in evidence):
        raise ValueError("the evidence decreases, or does not match the knots")
    if len(thresholds) != len(RATES) or (np.diff(thresholds) > 0).any():
        raise ValueError("the thresholds increase with the rate")
    slope, lapse = _numbers([table["thresholds_per_sample"], table["lapse"]])
    if not 0 <= lapse < 1:
        raise ValueError("the lapse is not a fraction")
    unenrolled = _whole(table.get(_UNENROLLED_KEY, 0))
    if unenrolled > _MAX_UNENROLLED:
        raise ValueError("too many unenrolled people")
    return SizeTable(_whole(table["size"]), evidence, thresholds, slope, lapse, unenrolled)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError("a number is not an integer")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a name is not text")
    return value


def _numbers(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(type(value) in {int, float} for value in values):
        raise ValueError("a value is not a number")
    numbers = tuple(float(value) for value in values)
    if not all(math.isfinite(number) and abs(number) < 1e6 for number in numbers):
        raise ValueError("a number is not finite")
    return numbers


_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class NamedStrangerBound:
    """An upper bound on the fraction of strangers named."""

    fraction: float  # the bound, 0..1
    is_below: bool  # whether the bound is the lowest tabulated rate, so that the fraction may be far below it


def named_strangers(
    calibrator: Calibrator,
    sample_counts: NDArray[np.int64],
    *,
    fpir: float,
    stranger_share: float,
    least_probability: float,
    unenrolled: int = 0,
) -> NamedStrangerBound:
    """Return an upper bound on the fraction of strangers who reach the score and the probability of a name.

    The fraction that reaches the higher of the two limits is read off the calibrator's thresholds for each number of
    samples and averaged over the people. It is between ``RATES[0]`` and `fpir`; near runners-up and poor faces lower it
    further.

    Parameters
    ----------
    calibrator
        The calibrator of the classifier.
    sample_counts
        Number of samples of each enrolled person, ``(P,)``, P at least 1.
    fpir, stranger_share, least_probability
        As in `facebank.recognition.settings.DecisionSettings`.
    unenrolled
        Number of unenrolled people in the album.
    """
    counts, people = np.unique(sample_counts, return_counts=True)

    def reaches_probability(rate: float) -> NDArray[np.bool_]:
        scores = np.full((len(counts), 1), calibrator.threshold(sample_counts, rate, unenrolled), dtype=np.float32)
        predicted = calibrator.probabilities(scores, counts[:, None], len(sample_counts), stranger_share, unenrolled)
        return np.asarray(predicted[:, 0] >= least_probability)

    lowest, highest = np.full(len(counts), math.log(RATES[0])), np.full(len(counts), math.log(fpir))
    lowest[reaches_probability(fpir)] = math.log(fpir)
    reaches_at_lowest = reaches_probability(RATES[0])
    for index in np.flatnonzero(reaches_at_lowest & (lowest < highest)):
        for _ in range(_HALVINGS):  # a higher rate means a lower score and a lower probability
            middle = (lowest[index] + highest[index]) / 2
            if reaches_probability(math.exp(middle))[index]:
                lowest[index] = middle
            else:
                highest[index] = middle
    return NamedStrangerBound(float(np.average(np.exp(lowest), weights=people)), is_below=not reaches_at_lowest.any())
