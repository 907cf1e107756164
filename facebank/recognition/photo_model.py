"""How photos scatter around a person and people around the average face: two normal distributions.

A photo's embedding is taken for the sum of who it shows and of how the photo was taken (the two-covariance model of
Brümmer and De Villiers, "The speaker partitioning problem", 2010). What is known of a person after some samples is then
a normal distribution, the narrower the more samples there are, and a new photo's is that one widened by how photos
scatter. So a person with one sample and one with ten are judged alike, which a cosine with each one's mean does not:
it is higher for the mean of ten, whoever comes.

A blurred or covered face tells less of its person. How much it tells is not known, so every share in `SIGNALS` is
considered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.recognition.enrolled import check_embeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.faces import FloatArray
    from facebank.recognition.background import Background

TYPICAL_AGREEMENT = 0.65
"""The mean cosine of two photos of one person, where a pack's background does not tell it."""

SHRINKAGE = 0.2
"""How far both covariances are drawn towards spheres, so that small directions do not decide."""

SIGNALS = (0.1, 0.2, 0.35, 0.55, 0.8, 1.0, 1.3)
"""Squares of how much a photo tells of its person; 1 is what photos tell on average."""

SIGNAL_SHARES = (1e-6, 1e-5, 4e-4, 1.2e-2, 0.45, 0.45, 0.0876)
"""How likely each of `SIGNALS` is before the photo is seen."""

_LEAST_VARIANCE = 1e-6
_LEAST_SCATTER = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What a person's samples tell of the person, in the axes of a `PhotoModel`.

    Attributes
    ----------
    mean, variance
        ``float64`` of shape ``(D,)``.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


class PhotoModel:
    """Judges how well photos go with what is known of a person.

    Parameters
    ----------
    dimension
        Length D of an embedding.
    background
        The pack's; None to take spheres for the covariances.
    """

    def __init__(self, dimension: int, background: Background | None = None) -> None:
        self._mean = np.zeros(dimension) if background is None else background.mean.astype(np.float64)
        between, within = _covariances(dimension, background)
        lower = np.linalg.cholesky(within)
        whitening = np.linalg.inv(lower)
        spread, axes = np.linalg.eigh(whitening @ between @ whitening.T)
        self._axes = whitening.T @ axes
        self._spread = np.maximum(spread, 0.0)
        share = float(np.trace(between) / np.trace(within))
        total = 1.0 + share
        self._scatters = np.maximum(total - np.array(SIGNALS) * share, _LEAST_SCATTER)
        self._log_shares = np.log(np.array(SIGNAL_SHARES) / sum(SIGNAL_SHARES))

    def seen(self, embeddings: FloatArray) -> NDArray[np.float64]:
        """Return L2-normalised embeddings ``(N, D)`` in the model's axes, where photos scatter alike in all."""
        checked = check_embeddings(embeddings, "embeddings", len(self._mean))
        rows: NDArray[np.float64] = (checked.astype(np.float64) - self._mean) @ self._axes
        return rows

    def believe(self, samples: FloatArray) -> Belief:
        """Return what a person's samples, ``(K, D)`` with K at least 1, tell of the person."""
        rows = self.seen(samples)
        known = self._spread * len(rows)
        return Belief(rows.mean(axis=0) * known / (known + 1.0), self._spread / (known + 1.0))

    def log_likelihoods(self, probes: NDArray[np.float64], person: Belief) -> NDArray[np.float64]:
        """Return how well photos go with a person, of shape ``(M,)``.

        Parameters
        ----------
        probes
            As `seen` returns them, ``(M, D)``.
        person
            As `believe` returns it.
        """
        terms = []
        for signal, scatter, log_share in zip(SIGNALS, self._scatters, self._log_shares, strict=True):
            variance = scatter + signal * person.variance
            distances = ((probes - np.sqrt(signal) * person.mean) ** 2 / variance).sum(axis=1)
            terms.append(log_share - 0.5 * (distances + np.log(variance).sum()))
        stacked = np.stack(terms)
        highest = stacked.max(axis=0)
        summed: NDArray[np.float64] = highest + np.log(np.exp(stacked - highest).sum(axis=0))
        return summed


def agreement(background: Background | None) -> float:
    """Return the mean cosine of two photos of one person as seen from the average face, above 0 and below 1."""
    if background is None or background.within is None:
        return TYPICAL_AGREEMENT
    possible = max(1.0 - float((background.mean.astype(np.float64) ** 2).sum()), _LEAST_VARIANCE)
    return float(np.clip(1.0 - np.trace(background.within.astype(np.float64)) / possible, 0.05, 0.95))


def _covariances(dimension: int, background: Background | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the covariances between people and within them."""
    sphere = np.eye(dimension) / dimension
    if background is None:
        return TYPICAL_AGREEMENT * sphere, (1 - TYPICAL_AGREEMENT) * sphere
    together = background.covariance.astype(np.float64)
    if background.within is None:
        within = (1 - TYPICAL_AGREEMENT) * float(np.trace(together)) * sphere
    else:
        within = background.within.astype(np.float64)
    variances, axes = np.linalg.eigh(together - within)
    between = (axes * np.maximum(variances, 0.0)) @ axes.T
    return _rounded(between), _rounded(within)


def _rounded(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = float(np.trace(covariance)) / len(covariance)
    sphere = max(mean, _LEAST_VARIANCE) * np.eye(len(covariance))
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * sphere
