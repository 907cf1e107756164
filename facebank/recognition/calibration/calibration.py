"""From scores to probabilities, and from a wanted rate of strangers named to a threshold.

A calibrator holds, for galleries of some sizes, what simulated searches taught
(`facebank.recognition.calibration.fitting`):

- the *evidence* of a score: how many times likelier it is for the person's own face than for a stranger's, as a
  logarithm, for people with one, three and five samples. It never falls with the score.
- the *threshold* at which a share of strangers (FPIR) gets a best score at least as high.

Both are interpolated in the logarithms of the gallery's size and of the people's numbers of samples, and in how much
of the correction by the album's other people is made (`facebank.recognition.cohort`): for galleries whose cohort is
the enrolled people alone, and for albums with many further people. The probability that a face is a person's follows
by Bayes' rule from the evidence of the best people and from the share of strangers that is assumed: all enrolled
people are as likely to be met. It rises with the score and with the margin over others.
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
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from facebank.types import FloatArray

SAMPLES = (1, 3, 5)
"""For how many samples of a person the evidence is tabulated."""

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""For which FPIR the threshold is tabulated."""

FORMAT = 2
"""What is written; of the first format, which knew no correction, calibrations are read as well."""

_MAX_KNOTS = 200
_MAX_TABLES = 40
_MAX_FURTHER = 10_000
_MAX_PAIR_NUMBER = 20


@dataclass(frozen=True, slots=True)
class SizeTable:
    """What was learned from simulated galleries of one size.

    Attributes
    ----------
    size
        How many people were enrolled.
    evidence
        For each of `SAMPLES`, the log likelihood ratio at each of the calibrator's knots; never falling.
    thresholds
        For each of `RATES`, the score; never rising.
    thresholds_per_sample
        How much a threshold rises when the mean logarithm of people's numbers of samples grows by one.
    lapse
        How often the score says nothing, 0..1: a wrong label, a face behind a hand. No probability comes nearer to one
        than this.
    further
        How many further people the album had.
    """

    size: int
    evidence: tuple[tuple[float, ...], ...]
    thresholds: tuple[float, ...]
    thresholds_per_sample: float
    lapse: float
    further: int = 0


@dataclass(frozen=True, slots=True)
class Calibrator:
    """What one classifier's scores are worth.

    Attributes
    ----------
    classifier
        One of `facebank.recognition.scoring.CLASSIFIERS`.
    knots
        Rising scores at which the evidence is tabulated; outside them it stays as at the nearest.
    tables
        One or two for each size, rising; the first of each size is for albums without further people.
    correction
        What the scores were corrected by.
    """

    classifier: str
    knots: tuple[float, ...]
    tables: tuple[SizeTable, ...]
    correction: Correction = NO_CORRECTION

    def threshold(self, samples: NDArray[np.int64], fpir: float, further: int = 0) -> float:
        """Return the score from which a person may be named.

        Parameters
        ----------
        samples
            How many samples each enrolled person has, of shape ``(P,)``, P at least 1.
        fpir
            The share of strangers that may be given a name, within `RATES`.
        further
            How many further people the album has.

        Raises
        ------
        UsageError
            If the rate is outside what was measured.
        """
        if not RATES[0] <= fpir <= RATES[-1]:
            raise UsageError(f"An FPIR must be from {RATES[0]} to {RATES[-1]}, not {fpir}.")
        sizes = [math.log(row[0].size) for row in self._rows]
        at_sizes = self._at_sizes(fpir, samples, further)
        value = math.log(len(samples))
        if value <= sizes[-1] or len(sizes) < 2:
            return float(np.interp(value, sizes, at_sizes))
        # on as between the last two sizes, at all rates alike: thresholds of two rates never cross
        rises = [later[-1] - later[-2] for later in (self._at_sizes(rate, samples, further) for rate in RATES)]
        slope = max(float(np.mean(rises)) / (sizes[-1] - sizes[-2]), 0.0)
        return at_sizes[-1] + slope * (value - sizes[-1])

    def _at_sizes(self, fpir: float, samples: NDArray[np.int64], further: int) -> list[float]:
        """Return the threshold at each tabulated size, for people with so many samples."""
        spread = sample_spread(samples)

        def at(table: SizeTable) -> float:
            tabulated = float(np.interp(math.log(fpir), np.log(RATES), table.thresholds))
            return tabulated + spread * table.thresholds_per_sample

        found = [self._between_rows(row, at, len(samples), further) for row in self._rows]
        # Where scores are corrected, more people correct more, and a larger gallery may need less.
        return found if self.correction.share else list(itertools.accumulate(found, max))

    def evidence(
        self, scores: FloatArray, samples: NDArray[np.int64], size: int, further: int = 0
    ) -> NDArray[np.float64]:
        """Return how much likelier scores are for the person's own face than for a stranger's.

        Parameters
        ----------
        scores
            Of any shape.
        samples
            How many samples the person has that a score is for, of the same shape.
        size
            How many people are enrolled.
        further
            How many further people the album has.

        Returns
        -------
        NDArray[np.float64]
            Natural logarithms of the ratio, of the same shape.
        """
        at_size = np.sum([share * np.array(table.evidence) for share, table in self._mixture(size, further)], axis=0)
        curves = np.stack([np.interp(scores, self.knots, curve) for curve in at_size])
        combined: NDArray[np.float64] = np.sum(sample_shares(samples) * curves, axis=0)
        return combined

    def probabilities(
        self, scores: FloatArray, samples: NDArray[np.int64], size: int, stranger_share: float, further: int = 0
    ) -> NDArray[np.float64]:
        """Return the probability of each candidate, and that it is a stranger.

        Parameters
        ----------
        scores
            Of each probe's candidates, ``(M, K)``: the best people, or all; minus infinity for somebody who the face
            is known not to be, and whose probability is 0.
        samples
            How many samples those people have, ``(M, K)``.
        size
            How many people are enrolled.
        stranger_share
            Which share of all faces is taken to be strangers', above 0 and below 1.
        further
            How many further people the album has.

        Returns
        -------
        NDArray[np.float64]
            Of shape ``(M, K + 1)``; the last is the stranger's. Rows add to one.

        Raises
        ------
        UsageError
            If the share is no share.
        """
        if not 0 < stranger_share < 1:
            raise UsageError(f"The share of strangers must be above 0 and below 1, not {stranger_share}.")
        shares = prior_shares(scores.shape[1], size, stranger_share)
        possible = np.pad(scores > -np.inf, ((0, 0), (0, 1)), constant_values=True)
        logits = self.evidence(scores, samples, size, further) + math.log(shares[0] / stranger_share)
        told = softmax(np.where(possible, np.pad(logits, ((0, 0), (0, 1))), -np.inf))
        prior = np.where(possible, shares, 0.0)
        lapse = sum(share * table.lapse for share, table in self._mixture(size, further))
        mixed: NDArray[np.float64] = (1 - lapse) * told + lapse * prior / prior.sum(axis=1, keepdims=True)
        return mixed

    @property
    def _rows(self) -> list[list[SizeTable]]:
        """Return the tables of each size."""
        return [list(row) for _, row in itertools.groupby(self.tables, lambda table: table.size)]

    def _mixture(self, size: int, further: int) -> list[tuple[float, SizeTable]]:
        """Return the tables that count for a gallery, and how much; the shares add to one."""
        rows = self._rows
        lower, share = _between(math.log(size), [math.log(row[0].size) for row in rows])
        upper = min(lower + 1, len(rows) - 1)
        found = []
        for part, row in ((1 - share, rows[lower]), (share, rows[upper])):
            second = self._share_of_second(row, size, further)
            found += [(part * (1 - second), row[0]), (part * second, row[-1])]
        return [(part, table) for part, table in found if part > 0]

    def _between_rows(self, row: list[SizeTable], at: Callable[[SizeTable], float], size: int, further: int) -> float:
        second = self._share_of_second(row, size, further)
        return (1 - second) * at(row[0]) + second * at(row[-1])

    def _share_of_second(self, row: list[SizeTable], size: int, further: int) -> float:
        """Return how near a gallery is to albums with many further people, by how much correction is made; 0..1."""
        if len(row) == 1 or not further:
            return 0.0
        people = max(row[0].size, size) - 1
        none, some, many = self.correction.weight(np.array([people, people + further, people + row[-1].further]))
        return float(np.clip((some - none) / max(many - none, 1e-12), 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that is known of a pack's scores.

    Attributes
    ----------
    pack_digest
        The pack whose embeddings were scored.
    made_from
        The photographs, in words.
    people, photos
        How many there were.
    calibrators
        One for each classifier.
    pairs
        How people who look alike are told apart; None where that was not measured.
    """

    pack_digest: str
    made_from: str
    people: int
    photos: int
    calibrators: tuple[Calibrator, ...]
    pairs: PairModel | None = None

    def of(self, classifier: str) -> Calibrator | None:
        """Return the calibrator of a classifier; None where it was not calibrated."""
        return next((found for found in self.calibrators if found.classifier == classifier), None)

    def to_json(self) -> str:
        """Return the calibration as JSON that `from_json` reads back."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, label: str = "calibration") -> Self:
        """Read a calibration, nothing believed.

        Parameters
        ----------
        text
            JSON as `to_json` writes it.
        label
            The file's name, for messages.

        Raises
        ------
        UsageError
            It is no calibration.
        """
        try:
            content = _of_this_format(json.loads(text))
            return cls(
                pack_digest=_text(content["pack_digest"]),
                made_from=printable(_text(content["made_from"])),
                people=_whole(content["people"]),
                photos=_whole(content["photos"]),
                calibrators=tuple(_read_calibrator(entry) for entry in content["calibrators"]),
                pairs=_read_pairs(content.get("pairs")),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise UsageError(f"{printable(label)} is no calibration of a pack: {printable(str(error))}") from error


def prior_shares(candidates: int, size: int, stranger_share: float) -> NDArray[np.float64]:
    """Return how likely each candidate and a stranger are before anything was seen, of shape ``(candidates + 1,)``."""
    return np.append(np.full(candidates, (1 - stranger_share) / size), stranger_share)


def _of_this_format(content: object) -> dict[str, Any]:
    if not isinstance(content, dict) or content.get("format") not in {1, FORMAT}:
        raise ValueError("another format")
    return content


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return shares that add to one along the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return shares


def sample_spread(samples: NDArray[np.int64]) -> float:
    """Return the mean logarithm of people's numbers of samples; more than the last of `SAMPLES` count alike."""
    return float(np.log(np.minimum(samples, SAMPLES[-1])).mean())


def sample_shares(samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how much of each of the curves for `SAMPLES` counts, of shape ``(3, ...)``; they add to one."""
    places = np.interp(np.log(np.maximum(samples, 1)), np.log(SAMPLES), np.arange(len(SAMPLES)))
    shares: NDArray[np.float64] = np.stack([np.clip(1 - np.abs(places - i), 0, 1) for i in range(len(SAMPLES))])
    return shares


def _between(value: float, points: list[float]) -> tuple[int, float]:
    """Return the point below a value and how far it is to the next, 0..1; the ends where it lies outside."""
    place = float(np.interp(value, points, np.arange(len(points))))
    lower = int(place)
    return lower, place - lower


def _read_calibrator(entry: Mapping[str, Any]) -> Calibrator:
    knots = _numbers(entry["knots"])
    if not 2 <= len(knots) <= _MAX_KNOTS or (np.diff(knots) <= 0).any():
        raise ValueError("the knots do not rise")
    if not 1 <= len(entry["tables"]) <= _MAX_TABLES:
        raise ValueError("too many tables")
    tables = tuple(_read_table(table, len(knots)) for table in entry["tables"])
    kinds = [(table.size, table.further) for table in tables]
    sizes = [size for size, _ in kinds]
    if sizes[0] < 1 or kinds != sorted(set(kinds)) or max(sizes.count(size) for size in sizes) > 2:
        raise ValueError("the sizes do not rise")
    return Calibrator(_text(entry["classifier"]), knots, tables, _read_correction(entry.get("correction")))


def _read_correction(entry: Mapping[str, Any] | None) -> Correction:
    if entry is None:
        return NO_CORRECTION
    share, level, shrinkage = _numbers([entry["share"], entry["level"], entry["shrinkage"]])
    if not 0 <= share <= 1 or not 0 <= level <= 1 or shrinkage <= 0:
        raise ValueError("the correction is no share")
    return Correction(share, level, shrinkage)


def _read_pairs(entry: Mapping[str, Any] | None) -> PairModel | None:
    if entry is None:
        return None
    numbers = _numbers([entry[name] for name in PairModel.names()])
    if max(map(abs, numbers)) > _MAX_PAIR_NUMBER:
        raise ValueError("what tells people apart is no logarithm or power that was measured")
    return PairModel(*numbers)


def _read_table(table: Mapping[str, Any], knots: int) -> SizeTable:
    evidence = tuple(_numbers(curve) for curve in table["evidence"])
    thresholds = _numbers(table["thresholds"])
    if len(evidence) != len(SAMPLES) or any(len(curve) != knots or (np.diff(curve) < 0).any() for curve in evidence):
        raise ValueError("the evidence falls, or does not fit the knots")
    if len(thresholds) != len(RATES) or (np.diff(thresholds) > 0).any():
        raise ValueError("the thresholds rise with the rate")
    slope, lapse = _numbers([table["thresholds_per_sample"], table["lapse"]])
    if not 0 <= lapse < 1:
        raise ValueError("the lapse is no share")
    further = _whole(table.get("further", 0))
    if further > _MAX_FURTHER:
        raise ValueError("too many further people")
    return SizeTable(_whole(table["size"]), evidence, thresholds, slope, lapse, further)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError("a number is not whole")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a name is no text")
    return value


def _numbers(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(type(value) in {int, float} for value in values):
        raise ValueError("a number is no number")
    numbers = tuple(float(value) for value in values)
    if not all(math.isfinite(number) and abs(number) < 1e6 for number in numbers):
        raise ValueError("a number is not finite")
    return numbers


_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class StrangersNamed:
    """The share of strangers who are given a name.

    Attributes
    ----------
    share
        It is not above this, 0..1.
    is_below
        Whether this is the lowest rate that was measured, and the share is somewhere below it.
    """

    share: float
    is_below: bool


def named_strangers(
    calibrator: Calibrator,
    samples: NDArray[np.int64],
    *,
    fpir: float,
    stranger_share: float,
    least_probability: float,
    further: int = 0,
) -> StrangersNamed:
    """Return the share of strangers whose best score is high enough for a name, at most.

    A name needs the score that belongs to the FPIR, and the score at which somebody who is the only candidate has the
    least probability. The share of strangers who reach the higher of the two is read off the calibrator's thresholds,
    for each number of samples that people have, and averaged over the people. Runner-ups too near and poor faces take
    more names away.

    Parameters
    ----------
    calibrator
        Of the classifier.
    samples
        How many samples each enrolled person has, of shape ``(P,)``, P at least 1.
    fpir, stranger_share, least_probability
        As `facebank.recognition.settings.DecisionSettings` has them.
    further
        How many further people the album has.

    Returns
    -------
    StrangersNamed
        The share is from the lowest of `facebank.recognition.calibration.calibration.RATES` to `fpir`.
    """
    each, people = np.unique(samples, return_counts=True)

    def reached(rate: float) -> NDArray[np.bool_]:
        """Tell for each number of samples whether the threshold of a rate has the least probability."""
        scores = np.full((len(each), 1), calibrator.threshold(samples, rate, further), dtype=np.float32)
        told = calibrator.probabilities(scores, each[:, None], len(samples), stranger_share, further)
        return np.asarray(told[:, 0] >= least_probability)

    lowest, highest = np.full(len(each), math.log(RATES[0])), np.full(len(each), math.log(fpir))
    lowest[reached(fpir)] = math.log(fpir)
    measured = reached(RATES[0])
    for place in np.flatnonzero(measured & (lowest < highest)):
        for _ in range(_HALVINGS):  # the higher the rate, the lower the score, and the lower the probability
            middle = (lowest[place] + highest[place]) / 2
            if reached(math.exp(middle))[place]:
                lowest[place] = middle
            else:
                highest[place] = middle
    return StrangersNamed(float(np.average(np.exp(lowest), weights=people)), is_below=not measured.any())
