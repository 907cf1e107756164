"""Shuffled labels: whoever learns something from these has been told the answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.checks.common import Check, Subjects
from facebank.evaluation.curves import Comparisons, ErrorCurve
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.figures import Figure, Kind, mean_figure, rate
from facebank.evaluation.searches import enroll

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet

SHUFFLES = 20
TOLERANCE = 4
"""Standard errors over the shuffles: chance is farther away once in 16,000 runs."""


def check_chance(bench: Bench, subjects: Subjects) -> list[Check]:
    """Shuffle the labels 20 times: rank-1 must be one in the number of people, and the equal error rate one half.

    Enrolled photos and probes are shuffled each among themselves, so that everybody keeps as many: whatever is
    decided is right in exactly one of N cases on average, unless the answers leak.
    """
    faces = subjects.faces
    people = len(np.unique(faces.dataset.owners[subjects.enrolled]))
    bench.progress.begin("shuffled labels", SHUFFLES)
    random, hits, rates = bench.random(2), [], []
    for _ in range(SHUFFLES):
        hits.append(_hits(bench, subjects, _shuffled(faces, [subjects.enrolled, subjects.probes], random)))
        rates.append(_equal_error_rate(faces, subjects, random))
        bench.progress.advance()
    true_hits = _hits(bench, subjects, faces)
    return [_rank_check(hits, true_hits, people), _pairs_check(np.array(rates), _equal_error_rate(faces, subjects))]


def is_chance(values: NDArray[np.float64], chance: float, least_error: float) -> bool:
    """Tell whether the mean of independent shuffles is within four standard errors of chance.

    Parameters
    ----------
    values
        One for each shuffle.
    chance
        What is expected.
    least_error
        The standard error is taken to be no less.
    """
    error = max(float(values.std(ddof=1)) / np.sqrt(len(values)), least_error)
    return bool(abs(values.mean() - chance) <= TOLERANCE * error)


def _rank_check(hits: list[NDArray[np.bool_]], true_hits: NDArray[np.bool_], people: int) -> Check:
    shuffles = np.repeat(np.arange(len(hits)), [len(part) for part in hits])
    together = np.concatenate(hits)
    shuffled = rate(together, shuffles, f"Probes whose shuffled name is the best candidate's; chance is 1 in {people}.")
    true = rate(true_hits, np.arange(len(true_hits)), "The same with the true names.")
    least = np.sqrt(1 / people * (1 - 1 / people) / len(together))
    return Check(
        "Shuffled labels, identification",
        f"rank-1 is chance: {1 / people:.2%}".replace("%", " %"),
        f"rank-1 is {shuffled.value:.2%}; {true.value:.2%} with the true labels".replace("%", " %"),
        is_chance(np.array([part.mean() for part in hits]), 1 / people, float(least)),
        {"rank_1_shuffled_labels": shuffled, "rank_1_true_labels": true},
        (
            f"The names of {people} people were shuffled among the enrolled photos and among the probes, {len(hits)} "
            f"times. It passes within {TOLERANCE} standard errors of chance.",
        ),
    )


def _pairs_check(rates: NDArray[np.float64], true: float) -> Check:
    meaning = "Mean over the shuffles; chance is one half."
    shuffled = replace(mean_figure(rates, np.arange(len(rates)), meaning), kind=Kind.RATE, descriptive=True)
    return Check(
        "Shuffled labels, verification",
        "the equal error rate is chance: 50 %",
        f"the equal error rate is {shuffled.value:.2%}; {true:.2%} with the true labels".replace("%", " %"),
        is_chance(rates, 0.5, 0.0025),
        {
            "equal_error_rate_shuffled_labels": shuffled,
            "equal_error_rate_true_labels": Figure(true, descriptive=True, meaning="The same with the true names."),
        },
        ("All pairs of the photos above, with the names shuffled among all of them.",),
    )


def _shuffled(faces: FaceSet, parts: list[NDArray[np.int64]], random: np.random.Generator) -> FaceSet:
    """Give the photos of each part the names of others of the part."""
    photos = list(faces.dataset.photos)
    for places in parts:
        for place, other in zip(places, random.permutation(places), strict=True):
            photos[place] = replace(photos[place], person=faces.dataset.photos[other].person)
    dataset = Dataset(faces.dataset.title, tuple(photos), pick=faces.dataset.pick)
    return replace(faces, dataset=dataset)


def _hits(bench: Bench, subjects: Subjects, faces: FaceSet) -> NDArray[np.bool_]:
    searches = enroll(bench.reader, faces, subjects.enrolled).search(subjects.probes)
    return ~searches.not_first


def _equal_error_rate(faces: FaceSet, subjects: Subjects, random: np.random.Generator | None = None) -> float:
    places = np.concatenate([subjects.enrolled, subjects.probes])
    owners = faces.dataset.owners[places]
    owners = owners if random is None else random.permutation(owners)
    first, second = np.triu_indices(len(places), k=1)
    embeddings = faces.embeddings[places].astype(np.float64)
    similarities = (embeddings @ embeddings.T)[first, second]
    return ErrorCurve.of(
        Comparisons(similarities, owners[first] == owners[second], owners[first], owners[second])
    ).equal_error_rate
