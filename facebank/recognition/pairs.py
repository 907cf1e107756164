"""Two people who look alike: how probable it is that a face is one of them rather than the other.

A face of one of two sisters is compared with the prototypes of both; the difference of the two cosines is its margin.
How much a margin says depends on the pair. It is read off the enrolled photos themselves: each is left out of its
person's prototype, and its margin is measured as if it were a probe (leave-one-out). Wide margins make a steep curve;
a photo that is nearer to the other person makes it doubtful that the folders are clean. Where there are few photos,
what is usual for people as similar as these stands in for them.

The numbers were fitted to brothers and sisters, to the same with a tenth of the photos in the wrong folder for three of
ten pairs, and, at a quarter of the weight, to people cut in two, who cannot be told apart: ``python -m
benchmarks.pair_fitting``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from facebank.index.people_index import weighted
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

ALIKE, VERY_ALIKE = 0.15, 0.30
"""Similarities of two prototypes: up to the first scores tell two people apart, from the second on margins do."""

USUAL_ERROR = 0.04
"""The share of names given between people who look alike that may be wrong, by default."""

NAMES_WRONG = ((0.023, 0.97), (0.034, 0.93), (0.04, 0.87), (0.046, 0.8), (0.052, 0.75), (0.064, 0.65), (0.09, 0.5))
"""Shares of names that are wrong, and from which probability one of the two must be named for that.

Of brothers and sisters of both halves, four photos each, a tenth in a wrong folder for three of ten pairs: ``python -m
benchmarks.pair_fitting``. With all folders in order about half as many are wrong.
"""

_SOFTNESS = 0.03
_LEAST_MARGIN = 1e-9
_STEEPEST = 60.0
_MOST_SIMILAR = 0.97
_MOST_DOUBT = 0.6


@dataclass(frozen=True, slots=True)
class PairModel:
    """What a margin between two people says.

    The log odds of the first person are ``steepness * (margin - lean)``; `doubt` is the share of faces of which nothing
    is known, because photos lie in the wrong folder.

    Attributes
    ----------
    steepness
        Logarithm of how much a margin counts.
    of_margin, of_similarity, of_samples
        How that depends on the usual margin of the pair's photos (a power), on one minus the prototypes' cosine (a
        negative power), and on the sum of the inverse numbers of samples (in the logarithm).
    prior_photos, prior_margin, prior_of_distance
        The margin that is usual for a pair: a constant, and a share of one minus the prototypes' cosine. It counts as
        so many photos (logarithm).
    lean
        How much nearer a face is to the person with more samples, for each logarithm of their ratio.
    doubt, doubt_photos, doubt_of_photo
        The usual share of faces in wrong folders, as how many photos it counts, and how much one photo adds that is
        nearer to the other person; logarithms.
    """

    steepness: float
    of_margin: float
    of_similarity: float
    of_samples: float
    prior_photos: float
    prior_margin: float
    prior_of_distance: float
    lean: float
    doubt: float
    doubt_photos: float
    doubt_of_photo: float

    @staticmethod
    def names() -> tuple[str, ...]:
        """Return the names of the numbers, in their order."""
        return tuple(field.name for field in fields(PairModel))


USUAL_PAIRS = PairModel(2.788, 0.2, 0.844, -0.235, 1.693, -0.874, 1.79, 0.129, -3.125, 2.602, -0.452)
"""What was measured for the embedded pack; stands in where a pack's calibration says nothing."""


@dataclass(frozen=True, slots=True)
class PairMargins:
    """What the enrolled photos of two people say of the pair.

    Attributes
    ----------
    similarity
        Cosine of the prototypes, -1..1.
    first, second
        How many samples each has.
    margins
        The margin of each photo that could be left out: how much nearer it is to its own person.
    """

    similarity: float
    first: int
    second: int
    margins: tuple[float, ...] = ()

    @classmethod
    def measure(
        cls, first: FloatArray, second: FloatArray, first_quality: FloatArray, second_quality: FloatArray
    ) -> PairMargins:
        """Leave out each photo of two people in turn.

        Parameters
        ----------
        first, second
            Their samples, L2-normalized, ``float32`` of shapes ``(N, D)`` and ``(M, D)``, at least one each.
        first_quality, second_quality
            The samples' qualities, 0..1, of shapes ``(N,)`` and ``(M,)``.
        """
        similarity, margins = left_out_margins(first, second, first_quality, second_quality)
        return cls(similarity, len(first), len(second), tuple(np.concatenate(margins).tolist()))


class PairCurve:
    """The curve from margins to probabilities of one pair.

    Parameters
    ----------
    model
        Of the pack.
    pair
        What the pair's photos say.
    common
        The similarity that any two people of the album have, 0..1; similarities and margins count from there.
    """

    def __init__(self, model: PairModel, pair: PairMargins, common: float = 0.0) -> None:
        self._scale = 1.0 - common
        similarity = (pair.similarity - common) / self._scale
        distance = 1.0 - min(similarity, _MOST_SIMILAR)
        margins, self._prior = np.array(pair.margins) / self._scale, math.exp(model.prior_photos)
        self._usual = model.prior_margin + model.prior_of_distance * (1.0 - similarity)
        margin = float(margins.sum() + self._prior * self._usual) / (len(margins) + self._prior)
        margin = max(_SOFTNESS * float(np.logaddexp(0.0, margin / _SOFTNESS)), _LEAST_MARGIN)
        inverse = 1.0 / pair.first + 1.0 / pair.second
        steepness = math.exp(model.steepness + model.of_samples * inverse)
        self._steepness = min(steepness * margin**model.of_margin / distance**model.of_similarity, _STEEPEST)
        self._lean = model.lean * math.log(pair.first / pair.second)
        counted = math.exp(model.doubt_photos)
        doubt = math.exp(model.doubt) * counted + math.exp(model.doubt_of_photo) * int((margins < 0).sum())
        self._doubt = min(doubt / (counted + len(margins)), _MOST_DOUBT)
        self._margins = margins

    @property
    def expected_error(self) -> float:
        """How often a photo of one of the two is taken for the other, 0..0.5, folders being in order."""
        wrong = 0.5 - 0.5 * np.tanh(0.5 * self._steepness * np.append(self._margins, self._usual))
        weights = np.append(np.ones(len(self._margins)), self._prior)
        return float(np.clip(np.average(wrong, weights=weights), 0.0, 0.5))

    def probability(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how probable the first person is, given that a face shows one of both.

        Parameters
        ----------
        margins
            How much more similar the faces are to the first person's prototype than to the second's, of any shape.
        """
        evidence = self._steepness * (np.asarray(margins, dtype=np.float64) / self._scale - self._lean)
        return np.asarray((1 - self._doubt) * 0.5 * (1.0 + np.tanh(0.5 * evidence)) + self._doubt / 2)


def least_before(error: float) -> float:
    """Return how probable one of two people who look alike must be to be named, given that it is one of them.

    Parameters
    ----------
    error
        The share of names given between such people that may be wrong; beyond `NAMES_WRONG` as at its ends.
    """
    errors, probabilities = zip(*NAMES_WRONG, strict=True)
    return float(np.interp(error, errors, probabilities))


def left_out_margins(
    first: FloatArray, second: FloatArray, first_quality: FloatArray, second_quality: FloatArray
) -> tuple[float, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the cosine of two people's prototypes, and how much nearer each of their photos is to its own person.

    Each photo is left out of its person's prototype; an only photo has no margin.

    Parameters
    ----------
    first, second, first_quality, second_quality
        As for `PairMargins.measure`.
    """
    one, other = (weighted(rows, quality) for rows, quality in ((first, first_quality), (second, second_quality)))
    mine, theirs = (normalized(rows.sum(axis=0)[None])[0] for rows in (one, other))
    margins = _left_out(first, one, theirs), _left_out(second, other, mine)
    return float(np.clip(mine @ theirs, -1.0, 1.0)), margins


def _left_out(samples: FloatArray, weighted: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the margin of each of a person's samples with the prototype of the rest; none for an only sample."""
    if len(samples) < 2:
        return np.empty(0)
    rest = normalized(weighted.sum(axis=0) - weighted)
    exact = samples.astype(np.float64)
    return np.asarray((exact * rest).sum(axis=1) - exact @ other)
