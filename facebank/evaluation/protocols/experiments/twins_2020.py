"""Two people who look alike, as the twins of 2020."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.identification import person_by_person
from facebank.evaluation.protocols.experiments.parts import (
    OTHER_PHOTOS,
    Draw,
    accuracies,
    error_tables,
    require,
    search_draws,
    shots_curve,
    whom,
)
from facebank.evaluation.protocols.experiments.relatives import BROTHERS, RULE, SISTERS, closest
from facebank.evaluation.report import Section, Table
from facebank.evaluation.searches import unrelated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Item, Report

PUBLISHED = (
    "about 0.80 on baby twin sisters, about 600 tagged faces each, InceptionResNetV1 fine-tuned; their photos are "
    "private"
)
SHARES = (0.6, 0.2, 0.2)
"""Of train, validation and test, where the dataset has no such parts."""
PARTS = ("train", "validation", "test")
_PURPOSE = 2020
_LEAST = 8
_HOW = (
    "Counts are of {} draws together, in each of which photos are drawn from the training part, and all of the test "
    "part is searched for; intervals draw sources of photos. Nothing was trained and nothing was chosen on the "
    "validation part, which is left alone. Photos that share a source lie in one part."
)


def twins_2020(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Sequence[str] | None = None,
    photos: Sequence[int] = (1, 3, 5),
    draws: int = 20,
) -> Report:
    """Tell two people who look alike apart, from few photos of each.

    Parameters
    ----------
    bench
        Where it runs.
    dataset
        Such as a VoTT export with the parts train, validation and test; parts are drawn where it has none.
    people
        The two; None for the closest relatives by the written rule, or for those of a dataset of two people.
    photos
        How many photos of each are enrolled, out of the training part.
    draws
        How often they are drawn.

    Raises
    ------
    DatasetError
        There are no two with enough photos.
    """
    chosen, relation = closest(dataset, SISTERS + BROTHERS, _LEAST) if people is None else (people, "")
    two = require(dataset, chosen, 2)
    faces = bench.read(dataset.of(two))
    figures: dict[str, Figure] = {}
    told_apart = _told_apart(bench, faces, photos, draws, figures)
    who = f"{two[0]} and {two[1]}" + (f" ({relation})" if relation else "")
    most = max(photos)
    summary = (
        f"{who}, {most} photos of each enrolled: {figures['accuracy']} of the test photos have the right best "
        f"candidate; published: {PUBLISHED}.",
        f"Not given the right name: {figures[f'fnir_{most}']}.",
    )
    sections = (
        whom(bench, faces, two, RULE.format(_LEAST), OTHER_PHOTOS),
        told_apart,
    )
    return bench.report(
        "twins-2020",
        "Two who look alike, after the twins of 2020",
        faces,
        summary=summary,
        figures=figures,
        sections=sections,
    )


def _told_apart(bench: Bench, faces: FaceSet, photos: Sequence[int], draws: int, figures: dict[str, Figure]) -> Section:
    """Enroll few photos of both out of the training part, and search for the test part."""
    items: list[Item] = []
    for number in photos:
        drawn = [_draw(bench, faces, number, turn) for turn in range(draws)]
        bench.progress.begin(f"{number} photos enrolled", draws)
        searches, trial = search_draws(bench, faces, [draw for draw, _ in drawn])
        published = PUBLISHED if number == max(photos) else None
        figures |= accuracies(faces, searches, number, published)
        if number == max(photos):
            figures["accuracy"] = replace(figures[f"rank_1_{number}"], published=PUBLISHED)
            items = [
                _parts_table(faces, drawn[0][1]),
                *person_by_person(searches, trial.names, f"Who was named, {number} photos enrolled"),
                *error_tables(faces, trial, searches, frozenset()),
            ]
    return Section("Told apart", (_HOW.format(draws),), tuple(figures), (shots_curve(figures, photos), *items))


def _draw(bench: Bench, faces: FaceSet, photos: int, turn: int) -> tuple[Draw, NDArray[np.int64]]:
    """Draw enrolled photos and probes; and tell each photo's part: a place in `PARTS`, -1 for none."""
    given = np.array([PARTS.index(photo.split) if photo.split in PARTS else -1 for photo in faces.dataset.photos])
    random = bench.random(_PURPOSE, photos, turn)
    parts = given if {0, 2} <= set(given.tolist()) else _drawn_parts(faces, random)
    enrolled: list[NDArray[np.int64]] = []
    for person in range(len(faces.dataset.people)):
        able = np.flatnonzero((faces.dataset.owners == person) & (parts == 0) & faces.found)
        enrolled.append(random.permutation(able)[:photos])
    every = np.concatenate(enrolled).astype(np.int64)
    tested = np.flatnonzero((parts == 2) & (faces.dataset.owners >= 0)).astype(np.int64)
    return Draw(every, unrelated(faces, tested, every)), parts


def _drawn_parts(faces: FaceSet, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw each person's parts, the photos of one source together; of each part at least one source."""
    parts = np.zeros(len(faces.faces), dtype=np.int64)
    for person in range(len(faces.dataset.people)):
        mine = np.flatnonzero(faces.dataset.owners == person)
        sources = random.permutation(np.unique(faces.groups[mine]))
        validated, tested = (max(1, round(share * len(sources))) for share in SHARES[1:])
        later = {int(source): 2 for source in sources[:tested]}
        later |= {
            int(source): 1 for source in sources[tested : tested + validated][: max(0, len(sources) - tested - 1)]
        }
        parts[mine] = [later.get(int(source), 0) for source in faces.groups[mine]]
    return parts


def _parts_table(faces: FaceSet, parts: NDArray[np.int64]) -> Table:
    owners = faces.dataset.owners
    rows = tuple(
        (name, *(f"{int(((owners == number) & (parts == part)).sum()):,}" for part in range(len(PARTS))))
        for number, name in enumerate(faces.dataset.people)
    )
    return Table("Parts of the first draw, in photos", ("person", *PARTS), rows)
