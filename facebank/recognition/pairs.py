"""Probability that a face shows one of two people who look alike rather than the other.

A face's margin is its cosine with the first person's prototype minus that with the second's. The meaning of a margin
depends on the pair and is estimated from the enrolled photos, each left out of its person's prototype in turn: wide
margins give a steep curve, and photos nearer to the other person suggest misfiled photos. With few photos, typical
values for people of such similarity prevail. Fitted by ``python -m benchmarks.pair_fitting``: see docs/decisions.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from facebank.index.people_index import weight_samples
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

ALIKE, VERY_ALIKE = 0.15, 0.30  # prototype similarities: below, scores separate two people; above, margins do
DEFAULT_CONFUSABLE_ERROR = 0.04  # default fraction of wrong names between people who look alike
WRONG_NAME_FRACTIONS = (
    (0.023, 0.97),
    (0.034, 0.93),
    (0.04, 0.87),
    (0.046, 0.8),
    (0.052, 0.75),
    (0.064, 0.65),
    (0.09, 0.5),
)
"""Fractions of wrong names, and the minimum probability of one of the two people for a name at that fraction.

From ``python -m benchmarks.pair_fitting``, for siblings with misfiled photos: see docs/decisions.md.
"""

_SOFTNESS = 0.03
_MIN_MARGIN = 1e-9
_MAX_STEEPNESS = 60.0
_MAX_SIMILARITY = 0.97
_MAX_LAPSE = 0.6


@dataclass(frozen=True, slots=True)
class PairModel:
    """Coefficients of the probability for a margin.

    The log odds of the first person are a weight times the difference of the margin and an offset, which depend on the
    pair. A fraction of the faces, from photos in the wrong folder, is uninformative (`doubt`).
    """

    steepness: float  # logarithm of a margin's weight
    of_margin: float  # power of the pair's mean margin in the weight
    of_similarity: float  # negative power of one minus the prototypes' cosine in the weight
    of_samples: float  # factor of the sum of the inverse numbers of samples in the weight's logarithm
    prior_photos: float  # logarithm of the typical margin's weight, in photos
    prior_margin: float  # constant part of the typical margin
    prior_of_distance: float  # part of the typical margin per one minus the prototypes' cosine
    lean: float  # offset towards the person with more samples, per logarithm of their ratio
    doubt: float  # logarithm of the typical fraction of misfiled faces
    doubt_photos: float  # logarithm of that fraction's weight, in photos
    doubt_of_photo: float  # logarithm of the contribution of each photo that is nearer to the other person

    @staticmethod
    def names() -> tuple[str, ...]:
        """Return the names of the coefficients, in order."""
        return tuple(field.name for field in fields(PairModel))


# Of the embedded pack.
DEFAULT_PAIR_MODEL = PairModel(2.788, 0.2, 0.844, -0.235, 1.693, -0.874, 1.79, 0.129, -3.125, 2.602, -0.452)


@dataclass(frozen=True, slots=True)
class PairMargins:
    """The leave-one-out margins of two people's enrolled photos."""

    similarity: float  # cosine of the prototypes, -1..1
    first: int  # number of samples of the first person
    second: int  # number of samples of the second person
    margins: tuple[float, ...] = ()  # for each photo that could be left out, its margin towards its own person

    @classmethod
    def measure(
        cls, first: FloatArray, second: FloatArray, first_quality: FloatArray, second_quality: FloatArray
    ) -> PairMargins:
        """Return the margins of the samples ``(N, D)`` and ``(M, D)``, with qualities ``(N,)`` and ``(M,)``.

        Samples are L2-normalized ``float32``, at least one each; qualities are 0..1.
        """
        similarity, margins = leave_one_out_margins(first, second, first_quality, second_quality)
        return cls(similarity, len(first), len(second), tuple(np.concatenate(margins).tolist()))


class PairCurve:
    """The curve from margins to probabilities of one pair.

    `common`, 0..1, is the mean similarity of two people of the album, subtracted from similarities.
    """

    def __init__(self, model: PairModel, pair: PairMargins, common: float = 0.0) -> None:
        self._scale = 1.0 - common
        similarity = (pair.similarity - common) / self._scale
        distance = 1.0 - min(similarity, _MAX_SIMILARITY)
        margins, self._prior = np.array(pair.margins) / self._scale, math.exp(model.prior_photos)
        self._typical = model.prior_margin + model.prior_of_distance * (1.0 - similarity)
        margin = float(margins.sum() + self._prior * self._typical) / (len(margins) + self._prior)
        margin = max(_SOFTNESS * float(np.logaddexp(0.0, margin / _SOFTNESS)), _MIN_MARGIN)
        inverse = 1.0 / pair.first + 1.0 / pair.second
        steepness = math.exp(model.steepness + model.of_samples * inverse)
        self._steepness = min(steepness * margin**model.of_margin / distance**model.of_similarity, _MAX_STEEPNESS)
        self._lean = model.lean * math.log(pair.first / pair.second)
        weight = math.exp(model.doubt_photos)
        lapse = math.exp(model.doubt) * weight + math.exp(model.doubt_of_photo) * int((margins < 0).sum())
        self._lapse = min(lapse / (weight + len(margins)), _MAX_LAPSE)
        self._margins = margins

    @property
    def expected_error(self) -> float:
        """Expected fraction of photos nearer to the other person, 0..0.5, without misfiled photos."""
        wrong = 0.5 - 0.5 * np.tanh(0.5 * self._steepness * np.append(self._margins, self._typical))
        weights = np.append(np.ones(len(self._margins)), self._prior)
        return float(np.clip(np.average(wrong, weights=weights), 0.0, 0.5))

    def probability(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of the first person for margins of any shape, if the face shows one of the two."""
        evidence = self._steepness * (np.asarray(margins, dtype=np.float64) / self._scale - self._lean)
        return np.asarray((1 - self._lapse) * 0.5 * (1.0 + np.tanh(0.5 * evidence)) + self._lapse / 2)


def min_pair_probability(error: float) -> float:
    """Return the minimum probability of a name for a fraction of wrong names, from `WRONG_NAME_FRACTIONS`."""
    errors, probabilities = zip(*WRONG_NAME_FRACTIONS, strict=True)
    return float(np.interp(error, errors, probabilities))


def leave_one_out_margins(
    first: FloatArray, second: FloatArray, first_quality: FloatArray, second_quality: FloatArray
) -> tuple[float, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the cosine of two people's prototypes, and the margin of each photo towards its own person.

    Arguments as for `PairMargins.measure`. Each photo is left out of its person's prototype; a single photo has no
    margin.
    """
    a, b = (weight_samples(rows, quality) for rows, quality in ((first, first_quality), (second, second_quality)))
    first_prototype, second_prototype = (normalized(rows.sum(axis=0)[None])[0] for rows in (a, b))
    margins = _leave_one_out(first, a, second_prototype), _leave_one_out(second, b, first_prototype)
    return float(np.clip(first_prototype @ second_prototype, -1.0, 1.0)), margins


def _leave_one_out(
    samples: FloatArray, weighted: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    if len(samples) < 2:
        return np.empty(0)
    others = normalized(weighted.sum(axis=0) - weighted)
    samples64 = samples.astype(np.float64)
    return np.asarray((samples64 * others).sum(axis=1) - samples64 @ other)
