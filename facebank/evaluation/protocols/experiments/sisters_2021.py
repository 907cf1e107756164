"""Two sisters, as in 2021: few photos, drawn masks, turned heads and small faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.changes import MASKS, SIZES
from facebank.evaluation.identification import Condition, person_by_person, searches_table, strangers_table
from facebank.evaluation.protocols.degraded import by_frontality, degrade, summary
from facebank.evaluation.protocols.experiments.parts import (
    OTHER_PHOTOS,
    accuracies,
    draw_photos,
    require,
    search_draws,
    shots_curve,
    whom,
)
from facebank.evaluation.protocols.experiments.relatives import RULE, SISTERS, closest
from facebank.evaluation.report import Section
from facebank.evaluation.searches import Roles

if TYPE_CHECKING:
    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Item, Report

PUBLISHED = (
    "0.97 with a CNN from scratch, 0.984 with VGG16, after 2,794 augmented photos of two sisters; not these photos"
)
_PURPOSE = 20210
_LEAST = 8
_MASKS_AND_SIZES = (
    "The same photos as they are, with masks drawn at the landmarks, and shrunk until the face is so many pixels; "
    "enrolled are photos as they are. Strangers are people with a single photo."
)
_TURNED = (
    "The photos as they are, sorted by how frontal the head is by its landmarks: 1 from the front, 0 with the nose at "
    "the side of the face. Heads are not turned artificially."
)


def sisters_2021(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Sequence[str] | None = None,
    photos: Sequence[int] = (1, 3, 5),
    draws: int = 10,
    strangers: int = 100,
) -> Report:
    """Tell two sisters apart from few photos, without and with masks, turned and small.

    Parameters
    ----------
    bench
        Where it runs.
    dataset
        Photos of named people.
    people
        The two; None for two sisters by the written rule, or for those of a dataset of two people.
    photos
        How many photos of each are enrolled.
    draws
        How often they are drawn.
    strangers
        At most so many photos of others are searched for, one of each.

    Raises
    ------
    DatasetError
        There are no two with enough photos.
    """
    chosen, relation = closest(dataset, SISTERS, _LEAST) if people is None else (people, "")
    two = require(dataset, chosen, max(photos) + 1)
    faces = bench.read(dataset.of([*two, *_others(bench, dataset, two, strangers)]))
    figures: dict[str, Figure] = {}
    shots = _shots(bench, faces, two, photos=photos, draws=draws, figures=figures)
    most = max(photos)
    conditions, plots = degrade(bench, faces, _roles(bench, faces, two, most), (*MASKS, *SIZES))
    turned = by_frontality(conditions[0].faces, conditions[0].searches)[0]
    for condition in (*conditions, *turned):
        figures |= _rates(condition)
    kinship = f" ({relation})" if relation else ""
    told = (
        f"{two[0]} and {two[1]}{kinship}, {most} photos of each enrolled: {figures['accuracy']} of their other photos "
        f"have the right best candidate; published: {PUBLISHED}.",
        *summary(conditions),
    )
    sections = (
        whom(bench, faces, two, RULE.format(_LEAST), OTHER_PHOTOS),
        shots,
        _steps("Masks and small faces", conditions, plots, _MASKS_AND_SIZES),
        _steps("Turned heads", turned, (), _TURNED),
    )
    return bench.report(
        "sisters-2021",
        "Two sisters, after those of 2021",
        faces,
        summary=told,
        figures=figures,
        sections=sections,
        failures=[failure for condition in conditions for failure in condition.failures],
    )


def _others(bench: Bench, dataset: Dataset, two: Sequence[str], most: int) -> tuple[str, ...]:
    """Draw people who have one photo only: strangers without a choice of photo."""
    counts = np.bincount(dataset.owners[dataset.owners >= 0], minlength=len(dataset.people))
    able = [person for person, count in zip(dataset.people, counts, strict=True) if count == 1 and person not in two]
    return tuple(str(person) for person in bench.random(_PURPOSE).permutation(able)[:most])


def _roles(bench: Bench, faces: FaceSet, two: Sequence[str], photos: int) -> Roles:
    """Enroll photos of both, search for all others of theirs; everybody else is a stranger."""
    draw = draw_photos(faces, two, photos, bench.random(_PURPOSE, photos))
    known = np.isin(faces.dataset.owners, [faces.dataset.people.index(person) for person in two])
    return Roles(draw.enrolled, draw.probes, np.flatnonzero(~known).astype(np.int64))


def _rates(condition: Condition) -> dict[str, Figure]:
    """Return a condition's figures but those of probabilities: two people are too few for these."""
    wanted = ("rank_1", "fnir", "fpir", "failure")
    return {name: figure for name, figure in condition.figures().items() if name.startswith(wanted)}


def _shots(
    bench: Bench,
    faces: FaceSet,
    two: Sequence[str],
    *,
    photos: Sequence[int],
    draws: int,
    figures: dict[str, Figure],
) -> Section:
    """Enroll few photos of both and search for all others of theirs."""
    items: list[Item] = []
    for number in photos:
        drawn = [draw_photos(faces, two, number, bench.random(_PURPOSE, number, turn)) for turn in range(draws)]
        bench.progress.begin(f"{number} photos enrolled", draws)
        searches, trial = search_draws(bench, faces, drawn)
        figures |= accuracies(faces, searches, number)
        if number == max(photos):
            figures["accuracy"] = replace(figures[f"rank_1_{number}"], published=PUBLISHED)
            items = [
                *person_by_person(searches, trial.names, f"Who was named, {number} photos enrolled"),
            ]
    text = f"So many photos of both are drawn and enrolled, {draws} times; counts are of all draws together."
    return Section("Few photos", (text,), tuple(figures), (shots_curve(figures, photos), *items))


def _steps(title: str, conditions: Sequence[Condition], plots: Sequence[Item], how: str) -> Section:
    names = tuple(name for condition in conditions for name in _rates(condition))
    return Section(title, (how,), names, (*plots, searches_table(conditions), strangers_table(conditions)))
