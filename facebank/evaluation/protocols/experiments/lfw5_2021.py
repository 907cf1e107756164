"""Five people of LFW, as in 2021; and a family of three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from facebank.evaluation.dataset import LeftOut
from facebank.evaluation.figures import rate
from facebank.evaluation.identification import confusion_matrix, person_by_person
from facebank.evaluation.protocols.experiments.parts import (
    accuracies,
    cast_table,
    draw_photos,
    drawn_rate,
    draws_table,
    error_tables,
    photos_of,
    require,
    search_draws,
    shots_curve,
    units_of,
    whom,
    with_most_photos,
)
from facebank.evaluation.report import Section

if TYPE_CHECKING:
    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Item, Report

SPLIT = (80, 20)
FAMILY = ("George_HW_Bush", "George_W_Bush", "Jeb_Bush")
FAMILY_PHOTOS = 4
_PURPOSE = 2021
_RULE = (
    "The five people with most photos, at least 100 each: in LFW these are the five of 2021, and nobody stands in for "
    "them. Which 100 photos were taken and how they were split is not published, so the draw is another. The published "
    "classifiers had to choose one of the five; beside them stands the share of photos whose best candidate is right. "
    "The share that is given the right name counts 'unknown' and 'uncertain' as errors too."
)
PUBLISHED = (
    "same people and sizes of the split, other draw: SVM 0.85, a CNN from scratch below, ResNet50 of ImageNet 0.94, "
    "ResNet50 of VGGFace 1.00"
)
PUBLISHED_FAMILY = "1.00 of a family of three, 4 + 4 photos each, ResNet50 of VGGFace; their photos are private"


def lfw5_2021(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Sequence[str] | None = None,
    family: Sequence[str] = FAMILY,
    photos: Sequence[int] = (1, 3, 5),
    draws: int = 5,
    split: tuple[int, int] = SPLIT,
    wrong_labels: frozenset[str] = frozenset(),
) -> Report:
    """Name five people with 100 photos each, from 80 photos and from few.

    Parameters
    ----------
    bench
        Where it runs.
    dataset
        LFW, or other photos of named people.
    people
        The five; None for those with most photos.
    family
        Three relatives; where one has too few photos, they are untested.
    photos
        How many photos of each are enrolled; all others are searched for.
    draws
        How often photos are drawn.
    split
        How many photos of each are enrolled and searched for in the split of 2021.
    wrong_labels
        Photos documented as showing somebody else, such as ``Michael_Schumacher_0008``.

    Raises
    ------
    DatasetError
        There are no five people with enough photos.
    """
    five = with_most_photos(dataset, 5, sum(split)) if people is None else require(dataset, people, sum(split))
    faces = bench.read(dataset.of(five))
    figures: dict[str, Figure] = {}
    as_then = _split(bench, faces, five, split, figures)
    few = _few(bench, faces, five, photos=photos, draws=draws, figures=figures, wrong_labels=wrong_labels)
    together, failures = _family(bench, dataset, family, figures)
    total, most = len(faces.faces), max(photos)
    summary = (
        f"Split as it was, {split[0]} photos of each enrolled: {figures['accuracy']} of the others have the right best "
        f"candidate; published: {PUBLISHED}.",
        f"With {most} photos of each, all of the remaining {total - most * len(five):,} photos searched for: not given "
        f"the right name in {draws} draws together: {figures[f'fnir_{most}']}.",
        together.text[-1],
    )
    sections = (
        whom(bench, faces, five, _RULE),
        as_then,
        few,
        together,
    )
    return bench.report(
        "lfw5-2021",
        "Five people of LFW, 2021",
        faces,
        summary=summary,
        figures=figures,
        sections=sections,
        failures=failures,
    )


def _split(
    bench: Bench, faces: FaceSet, five: Sequence[str], split: tuple[int, int], figures: dict[str, Figure]
) -> Section:
    """Enroll 80 and search for 20 of 100 photos each."""
    trained, tested = split
    draw = draw_photos(faces, five, trained, bench.random(_PURPOSE), most=tested)
    searches, trial = search_draws(bench, faces, [draw])
    units = units_of(faces, searches)
    figures["accuracy"] = rate(
        ~searches.not_first, units, f"Photos whose best candidate is right, {trained} enrolled of each."
    )
    figures["accuracy"] = replace(figures["accuracy"], published=PUBLISHED)
    figures[f"fnir_{trained}"] = rate(
        searches.missed, units, f"Photos that are not given the right name, {trained} enrolled of each."
    )
    return Section(
        "The split of 2021",
        (f"{trained + tested} photos of each are drawn; {trained} are enrolled and {tested} searched for.",),
        ("accuracy", f"fnir_{trained}"),
        person_by_person(searches, trial.names, "Who was named"),
    )


def _few(
    bench: Bench,
    faces: FaceSet,
    five: Sequence[str],
    *,
    photos: Sequence[int],
    draws: int,
    figures: dict[str, Figure],
    wrong_labels: frozenset[str],
) -> Section:
    """Enroll few photos of each and search for all others."""
    items: list[Item] = []
    for number in photos:
        drawn = [draw_photos(faces, five, number, bench.random(_PURPOSE, number, turn)) for turn in range(draws)]
        bench.progress.begin(f"{number} photos enrolled", draws)
        searches, trial = search_draws(bench, faces, drawn)
        figures |= accuracies(faces, searches, number)
        items.append(draws_table(drawn, searches, number))
        if number == max(photos):
            items += [
                *person_by_person(searches, trial.names, f"Who was named, {number} photos enrolled"),
                *error_tables(faces, trial, searches, wrong_labels),
            ]
    names = tuple(f"{key}_{number}" for number in photos for key in ("rank_1", "fnir"))
    text = (
        f"So many photos of each are drawn and enrolled, {draws} times, and all others are searched for; counts are of "
        f"all draws together, and intervals draw photos. A photo that is missed in every draw is hard or wrongly "
        f"labelled by itself; one missed in a single draw met weak photos in the gallery.",
    )
    return Section("Few photos", text, names, (shots_curve(figures, photos), *items))


def _family(
    bench: Bench, dataset: Dataset, family: Sequence[str], figures: dict[str, Figure]
) -> tuple[Section, tuple[LeftOut, ...]]:
    """Name three relatives from four photos each."""
    counts = photos_of(dataset)
    rule = (
        "The only three close relatives in LFW with at least eight photos each, a father and two sons, stand in for "
        "the private photos of a family."
    )
    few = [person for person in family if counts.get(person, 0) < 2 * FAMILY_PHOTOS]
    if few:
        why = f"The family is untested: {', '.join(few)} has fewer than {2 * FAMILY_PHOTOS} photos here."
        return Section("A family of three", (rule, why)), (LeftOut("a family of three", why),)
    faces = bench.read(dataset.of(family))
    turns = 20
    drawn = [
        draw_photos(faces, family, FAMILY_PHOTOS, bench.random(_PURPOSE, 3, turn), most=FAMILY_PHOTOS)
        for turn in range(turns)
    ]
    searches, trial = search_draws(bench, faces, drawn)
    right = drawn_rate(~searches.not_first, faces, searches, "Photos of the family whose best candidate is right.")
    figures["family_accuracy"] = replace(right, published=PUBLISHED_FAMILY)
    figures["family_fnir"] = drawn_rate(
        searches.missed, faces, searches, "Photos of the family that are not given the right name."
    )
    found = (
        f"A family of three, {FAMILY_PHOTOS} photos of each enrolled and {FAMILY_PHOTOS} searched for, {turns} draws: "
        f"{figures['family_accuracy']} have the right best candidate; published: {PUBLISHED_FAMILY}."
    )
    items = (cast_table(faces, family), confusion_matrix(searches, trial.names, "Who was named"))
    return Section("A family of three", (rule, found), ("family_accuracy", "family_fnir"), items), ()
