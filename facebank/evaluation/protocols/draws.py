"""Draws of enrolled photos and probes, repeated for few people, and the rates of all draws together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.figures import rate, sampling_units
from facebank.evaluation.identification import line_of
from facebank.evaluation.report import Curves, Line, Table
from facebank.evaluation.searches import Searches, TrialGallery, enroll, unrelated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Places of the enrolled photos and of the probes in a dataset's photos, ``int64`` each."""

    enrolled: NDArray[np.int64]
    probes: NDArray[np.int64]


def photos_of(dataset: Dataset) -> dict[str, int]:
    """Return the number of photos of each person."""
    counts = np.bincount(dataset.owners[dataset.owners >= 0], minlength=len(dataset.people))
    return {person: int(count) for person, count in zip(dataset.people, counts, strict=True)}


def draw_photos(
    faces: FaceSet, people: Sequence[str], photos: int, random: np.random.Generator, most: int | None = None
) -> Draw:
    """Draw `photos` enrolled photos of each person; the probes are all others, or at most `most` of each.

    Photos that share a source with an enrolled one are no probes.
    """
    enrolled: list[NDArray[np.int64]] = []
    others: list[NDArray[np.int64]] = []
    for person in people:
        places = random.permutation(np.flatnonzero(faces.dataset.owners == faces.dataset.people.index(person)))
        shown = places[faces.found[places]][:photos]
        enrolled.append(shown)
        others.append(places[~np.isin(places, shown)])
    every = np.concatenate(enrolled).astype(np.int64)
    probes = [unrelated(faces, places.astype(np.int64), every)[:most] for places in others]
    return Draw(every, np.concatenate(probes))


def search_draws(bench: Bench, faces: FaceSet, draws: Sequence[Draw]) -> tuple[Searches, TrialGallery]:
    """Return the searches of all draws, each in a gallery of its own, and the last gallery."""
    found = list[Searches]()
    for draw in draws:
        trial = enroll(bench.reader, faces, draw.enrolled)
        found.append(trial.search(draw.probes))
    return Searches.joined(found), trial


def units_of(faces: FaceSet, searches: Searches) -> NDArray[np.int64]:
    """Return the units of the bootstrap: people, or sources of photos if people are few."""
    return sampling_units(faces.dataset.owners[searches.places], faces.groups[searches.places])


def drawn_rate(events: NDArray[np.bool_], faces: FaceSet, searches: Searches, meaning: str) -> Figure:
    """Return a rate over several draws, in which a photo that was searched for repeatedly counts as one."""
    return rate(events, units_of(faces, searches), meaning, things=searches.places)


def accuracies(faces: FaceSet, searches: Searches, photos: int) -> dict[str, Figure]:
    """Return ``rank_1_N`` and ``fnir_N`` with N photos enrolled of each person."""
    enrolled = f"{photos} enrolled of each."
    right, missed = "Photos whose best candidate is right", "Photos that are not given the right name"
    return {
        f"rank_1_{photos}": drawn_rate(~searches.not_first, faces, searches, f"{right}, {enrolled}"),
        f"fnir_{photos}": drawn_rate(searches.missed, faces, searches, f"{missed}, {enrolled}"),
    }


def draws_table(draws: Sequence[Draw], searches: Searches, photos: int) -> Table:
    """Return the counts of each draw."""
    ends = np.cumsum([len(draw.probes) for draw in draws])
    rows = list[tuple[str, ...]]()
    for number, (end, draw) in enumerate(zip(ends, draws, strict=True), start=1):
        part = slice(int(end) - len(draw.probes), int(end))
        total = len(draw.probes)
        first, named = (total - int(wrong[part].sum()) for wrong in (searches.not_first, searches.missed))
        rows.append((f"{photos}", f"{number}", f"{total:,}", f"{first:,}", f"{named:,}", f"{named / total:.2%}"))
    headings = ("photos enrolled", "draw", "searched for", "best candidate right", "named rightly", "share")
    return Table(f"Draw by draw, {photos} enrolled", headings, tuple(rows))


def shots_curve(figures: dict[str, Figure], photos: Sequence[int]) -> Curves:
    """Return rank-1 and FNIR over the number of enrolled photos."""
    lines = list[Line]()
    for key, label in (("rank_1", "best candidate right"), ("fnir", "not given the right name")):
        shown = {number: figures[f"{key}_{number}"] for number in photos if f"{key}_{number}" in figures}
        lines.append(line_of(label, list(shown), list(shown.values())))
    return Curves("Photos enrolled of each person", "photos enrolled", "share", tuple(lines))
