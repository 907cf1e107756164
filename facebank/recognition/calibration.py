"""From scores to probabilities, and from a wanted rate of strangers named to a threshold.

A calibrator holds, for galleries of some sizes, what simulated searches taught (`facebank.recognition.fitting`):

- the *evidence* of a score: how many times likelier it is for the person's own face than for a stranger's, as a
  logarithm, for people with one, three and five samples. It never falls with the score.
- the *threshold* at which a share of strangers (FPIR) gets a best score at least as high.

Both are interpolated in the logarithms of the gallery's size and of the people's numbers of samples. The probability
that a face is a person's follows by Bayes' rule from the evidence of the best people and from the share of strangers
that is assumed: all enrolled people are as likely to be met. It rises with the score and with the margin over others.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from facebank.errors import UsageError
from facebank.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facebank.faces import FloatArray

SAMPLES = (1, 3, 5)
"""For how many samples of a person the evidence is tabulated."""

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""For which FPIR the threshold is tabulated."""

FORMAT = 1
_MAX_KNOTS = 200
_MAX_SIZES = 20


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
    """

    size: int
    evidence: tuple[tuple[float, ...], ...]
    thresholds: tuple[float, ...]
    thresholds_per_sample: float
    lapse: float


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
        One for each size, rising.
    """

    classifier: str
    knots: tuple[float, ...]
    tables: tuple[SizeTable, ...]

    def threshold(self, samples: NDArray[np.int64], fpir: float) -> float:
        """Return the score from which a person may be named.

        Parameters
        ----------
        samples
            How many samples each enrolled person has, of shape ``(P,)``, P at least 1.
        fpir
            The share of strangers that may be given a name, within `RATES`.

        Raises
        ------
        UsageError
            If the rate is outside what was measured.
        """
        if not RATES[0] <= fpir <= RATES[-1]:
            raise UsageError(f"An FPIR must be from {RATES[0]} to {RATES[-1]}, not {fpir}.")
        spread = sample_spread(samples)
        at_sizes = [
            float(np.interp(math.log(fpir), np.log(RATES), table.thresholds)) + spread * table.thresholds_per_sample
            for table in self.tables
        ]
        sizes = [math.log(table.size) for table in self.tables]
        never_falling = list(itertools.accumulate(at_sizes, max))
        return _extended(math.log(len(samples)), sizes, never_falling)

    def evidence(self, scores: FloatArray, samples: NDArray[np.int64], size: int) -> NDArray[np.float64]:
        """Return how much likelier scores are for the person's own face than for a stranger's.

        Parameters
        ----------
        scores
            Of any shape.
        samples
            How many samples the person has that a score is for, of the same shape.
        size
            How many people are enrolled.

        Returns
        -------
        NDArray[np.float64]
            Natural logarithms of the ratio, of the same shape.
        """
        tabulated = np.array([table.evidence for table in self.tables])
        lower, share = self._place(size)
        upper = min(lower + 1, len(self.tables) - 1)
        at_size = (1 - share) * tabulated[lower] + share * tabulated[upper]
        curves = np.stack([np.interp(scores, self.knots, curve) for curve in at_size])
        combined: NDArray[np.float64] = np.sum(sample_shares(samples) * curves, axis=0)
        return combined

    def probabilities(
        self, scores: FloatArray, samples: NDArray[np.int64], size: int, stranger_share: float
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
        logits = np.pad(self.evidence(scores, samples, size) + math.log(shares[0] / stranger_share), ((0, 0), (0, 1)))
        told = softmax(np.where(possible, logits, -np.inf))
        prior = np.where(possible, shares, 0.0)
        lower, share = self._place(size)
        upper = min(lower + 1, len(self.tables) - 1)
        lapse = (1 - share) * self.tables[lower].lapse + share * self.tables[upper].lapse
        mixed: NDArray[np.float64] = (1 - lapse) * told + lapse * prior / prior.sum(axis=1, keepdims=True)
        return mixed

    def _place(self, size: int) -> tuple[int, float]:
        return _between(math.log(size), [math.log(table.size) for table in self.tables])


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
    """

    pack_digest: str
    made_from: str
    people: int
    photos: int
    calibrators: tuple[Calibrator, ...]

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
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise UsageError(f"{printable(label)} is no calibration of a pack: {printable(str(error))}") from error


def prior_shares(candidates: int, size: int, stranger_share: float) -> NDArray[np.float64]:
    """Return how likely each candidate and a stranger are before anything was seen, of shape ``(candidates + 1,)``."""
    return np.append(np.full(candidates, (1 - stranger_share) / size), stranger_share)


def _of_this_format(content: object) -> dict[str, Any]:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
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


def _extended(value: float, points: list[float], values: list[float]) -> float:
    """Interpolate; beyond the last point go on as between the last two."""
    if value <= points[-1] or len(points) < 2:
        return float(np.interp(value, points, values))
    slope = (values[-1] - values[-2]) / (points[-1] - points[-2])
    return values[-1] + max(slope, 0.0) * (value - points[-1])


def _read_calibrator(entry: Mapping[str, Any]) -> Calibrator:
    knots = _numbers(entry["knots"])
    if not 2 <= len(knots) <= _MAX_KNOTS or (np.diff(knots) <= 0).any():
        raise ValueError("the knots do not rise")
    tables = tuple(_read_table(table, len(knots)) for table in entry["tables"])
    sizes = [table.size for table in tables]
    if not 1 <= len(sizes) <= _MAX_SIZES or sizes[0] < 1 or (np.diff(sizes) <= 0).any():
        raise ValueError("the sizes do not rise")
    return Calibrator(_text(entry["classifier"]), knots, tables)


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
    return SizeTable(_whole(table["size"]), evidence, thresholds, slope, lapse)


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
