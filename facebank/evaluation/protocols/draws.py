"""Random draws of enrolled photos and probes, and rates pooled over several draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.figures import format_percent, rate, sampling_units
from facebank.evaluation.identification import line_of
from facebank.evaluation.report import Curves, Line, Table
from facebank.evaluation.searches import Searches, TrialGallery, enroll, exclude_related

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Indices of the enrolled photos and of the probes in ``dataset.photos``, ``int64`` each."""

    enrolled: NDArray[np.int64]
    probes: NDArray[np.int64]


def count_photos(dataset: Dataset) -> dict[str, int]:
    """Return the number of photos of each person."""
    counts = np.bincount(dataset.person_indices[dataset.person_indices >= 0], minlength=len(dataset.people))
    return {person: int(count) for person, count in zip(dataset.people, counts, strict=True)}


def draw_photos(
    faces: FaceSet, people: Sequence[str], photos: int, random: np.random.Generator, max_probes: int | None = None
) -> Draw:
    """Return a draw of `photos` photos of each person; all others, or at most `max_probes` of each, are probes.

    Photos that share a source with an enrolled one are excluded from the probes.
    """
    enrolled: list[NDArray[np.int64]] = []
    remaining: list[NDArray[np.int64]] = []
    for person in people:
        indices = random.permutation(np.flatnonzero(faces.dataset.person_indices == faces.dataset.people.index(person)))
        selected = indices[faces.has_face[indices]][:photos]
        enrolled.append(selected)
        remaining.append(indices[~np.isin(indices, selected)])
    all_enrolled = np.concatenate(enrolled).astype(np.int64)
    probes = [exclude_related(faces, indices.astype(np.int64), all_enrolled)[:max_probes] for indices in remaining]
    return Draw(all_enrolled, np.concatenate(probes))


def search_draws(bench: Bench, faces: FaceSet, draws: Sequence[Draw]) -> tuple[Searches, TrialGallery]:
    """Return the pooled searches of all draws, each with its own gallery, and the last gallery."""
    searches = list[Searches]()
    for draw in draws:
        trial = enroll(bench.reader, faces, draw.enrolled)
        searches.append(trial.search(draw.probes))
    return Searches.concatenate(searches), trial


def units_of(faces: FaceSet, searches: Searches) -> NDArray[np.int64]:
    """Return the bootstrap unit of each search, ``int64`` ``(M,)``: its person, or its source if people are few."""
    return sampling_units(faces.dataset.person_indices[searches.indices], faces.groups[searches.indices])


def pooled_rate(events: NDArray[np.bool_], faces: FaceSet, searches: Searches, meaning: str) -> Figure:
    """Return the rate of events ``(M,)`` pooled over draws, in which repeated searches for a photo count as one."""
    return rate(events, units_of(faces, searches), meaning, ids=searches.indices)


def accuracies(faces: FaceSet, searches: Searches, photos: int) -> dict[str, Figure]:
    """Return the figures ``rank_1_N`` and ``fnir_N`` for N enrolled photos of each person."""
    enrolled = f"{photos} enrolled of each."
    right, missed = "Photos whose best candidate is right", "Photos that do not get the right name"
    return {
        f"rank_1_{photos}": pooled_rate(~searches.not_first, faces, searches, f"{right}, {enrolled}"),
        f"fnir_{photos}": pooled_rate(searches.missed, faces, searches, f"{missed}, {enrolled}"),
    }


def draws_table(draws: Sequence[Draw], searches: Searches, photos: int) -> Table:
    """Return the counts of each draw as a table."""
    ends = np.cumsum([len(draw.probes) for draw in draws])
    rows = list[tuple[str, ...]]()
    for number, (end, draw) in enumerate(zip(ends, draws, strict=True), start=1):
        part = slice(int(end) - len(draw.probes), int(end))
        total = len(draw.probes)
        first, named = (total - int(wrong[part].sum()) for wrong in (searches.not_first, searches.missed))
        rows.append((f"{photos}", f"{number}", f"{total:,}", f"{first:,}", f"{named:,}", format_percent(named / total)))
    headings = ("photos enrolled", "draw", "searched for", "best candidate right", "named rightly", "fraction")
    return Table(f"Draw by draw, {photos} enrolled", headings, tuple(rows))


def shots_curve(figures: dict[str, Figure], photos: Sequence[int]) -> Curves:
    """Return rank-1 and FNIR over the number of enrolled photos."""
    lines = list[Line]()
    for key, label in (("rank_1", "best candidate right"), ("fnir", "not given the right name")):
        measured = {number: figures[f"{key}_{number}"] for number in photos if f"{key}_{number}" in figures}
        lines.append(line_of(label, list(measured), list(measured.values())))
    return Curves("Photos enrolled of each person", "photos enrolled", "fraction", tuple(lines))
