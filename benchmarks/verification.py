"""Comparison of all pairs of LFW's faces: FNMR at several FMRs, and the separation of similarities."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.lfw import LfwFaces
    from facebank.types import FloatArray

FMRS = (1e-2, 1e-3, 1e-4, 1e-5)


def people_with_pairs(faces: LfwFaces, max_photos: int) -> LfwFaces:
    """Return the faces of people with two or more photos, from at most `max_photos` photos of each."""
    people = faces.people
    number = np.arange(len(people)) - np.searchsorted(people, people)
    return faces.where((np.bincount(people)[people] > 1) & (number < max_photos) & faces.has_face)


def verification(embeddings: FloatArray, person_ids: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Return the ``threshold`` and ``fnmr`` (0..1) at each of `FMRS`, by FMR.

    Parameters
    ----------
    embeddings
        ``float32`` of shape ``(N, D)``.
    person_ids
        Id of each face's person, of shape ``(N,)``. All people have equal weight in FNMR.
    """
    pairs = _all_pairs(embeddings, person_ids)
    impostors = np.sort(pairs.impostors)[::-1]
    figures = {}
    for fmr in FMRS:
        threshold = float(impostors[int(fmr * len(impostors))])
        fnmr = float(pairs.weights[pairs.genuine < threshold].sum() / pairs.weights.sum())
        figures[f"{fmr:g}"] = {"threshold": threshold, "fnmr": fnmr}
    return figures


def separation(embeddings: FloatArray, person_ids: NDArray[np.int64]) -> float:
    """Return d', the distance of the means of genuine and impostor similarities in standard deviations.

    The parameters are those of `verification`.
    """
    genuine, impostors, weights = _all_pairs(embeddings, person_ids)
    mean = np.average(genuine, weights=weights)
    variance = np.average((genuine - mean) ** 2, weights=weights)
    return float((mean - impostors.mean()) / np.sqrt((variance + impostors.var()) / 2))


class _Pairs(NamedTuple):
    """Similarities of all pairs of faces."""

    genuine: FloatArray
    impostors: FloatArray
    weights: NDArray[np.float64]  # of genuine pairs, so that people count equally


def _all_pairs(embeddings: FloatArray, person_ids: NDArray[np.int64]) -> _Pairs:
    rows, columns = np.triu_indices(len(person_ids), 1)
    similarities = (embeddings @ embeddings.T)[rows, columns]
    same = person_ids[rows] == person_ids[columns]
    photos = np.bincount(person_ids)[person_ids[rows][same]]
    return _Pairs(similarities[same], similarities[~same], 1 / (photos * (photos - 1)))
