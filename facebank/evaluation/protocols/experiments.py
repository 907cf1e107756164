"""Reruns of five earlier experiments with few photos per person, each with its published figure.

The originals used private photographs; the reruns use photos of other people, chosen by documented rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets import find_pairs, open_dataset
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.draws import count_photos
from facebank.evaluation.protocols.experiment_composites import composite_photos, video_frames
from facebank.evaluation.protocols.experiment_steps import (
    Experiment,
    ExperimentRun,
    family,
    few_photos,
    list_people,
    masks_sizes_and_poses,
    published_split,
    ranked_stranger,
    strangers,
)
from facebank.evaluation.protocols.options import Person, find_errata, open_all
from facebank.evaluation.report import Report
from facebank.storage.text import printable

MIN_OF_RELATIVES = 8
"""Smallest number of photos of each of two chosen relatives."""

# Occupations and relations of people in LFW are from general knowledge.
ATHLETES = (
    "Aaron_Peirsol", "Amelie_Mauresmo", "Andre_Agassi", "Andy_Roddick", "Anna_Kournikova", "Carlos_Moya",
    "David_Beckham", "David_Nalbandian", "Guillermo_Coria", "Ian_Thorpe", "Jason_Kidd", "Jelena_Dokic",
    "Jennifer_Capriati", "Juan_Carlos_Ferrero", "Kim_Clijsters", "Lance_Armstrong", "LeBron_James",
    "Lindsay_Davenport", "Lleyton_Hewitt", "Michael_Jordan", "Michael_Phelps", "Michael_Schumacher", "Monica_Seles",
    "Natalie_Coughlin", "Oscar_De_La_Hoya", "Paradorn_Srichaphan", "Pete_Sampras", "Ralf_Schumacher",
    "Roberto_Carlos", "Roger_Federer", "Ronaldo_Luis_Nazario_de_Lima", "Rubens_Barrichello", "Serena_Williams",
    "Tiger_Woods", "Tim_Henman", "Venus_Williams", "Vitali_Klitschko", "Yao_Ming",
)  # fmt: skip
WOMEN = frozenset(
    {
        "Amelie_Mauresmo", "Anna_Kournikova", "Jelena_Dokic", "Jennifer_Capriati", "Kim_Clijsters",
        "Lindsay_Davenport", "Monica_Seles", "Natalie_Coughlin", "Serena_Williams", "Venus_Williams",
    }
)  # fmt: skip
FOOTBALLERS = (
    "David_Beckham", "Luis_Figo", "Michael_Ballack", "Rio_Ferdinand", "Roberto_Carlos",
    "Ronaldo_Luis_Nazario_de_Lima", "Zinedine_Zidane",
)  # fmt: skip
SISTERS = (
    ("Ashley_Olsen", "Mary-Kate_Olsen", "twins"),
    ("Serena_Williams", "Venus_Williams", "siblings"),
)
BROTHERS = (
    ("Michael_Schumacher", "Ralf_Schumacher", "siblings"),
    ("George_W_Bush", "Jeb_Bush", "siblings"),
    ("Prince_William", "Prince_Harry", "siblings"),
    ("Enrique_Iglesias", "Julio_Iglesias_Jr", "siblings"),
    ("Lachlan_Murdoch", "James_Murdoch", "siblings"),
    ("Ralph_Fiennes", "Joseph_Fiennes", "siblings"),
)
_CLOSEST = ("twins", "siblings")

_OTHER_PHOTOS = (
    "The published figure was measured on other photographs, which are not public, with a classifier that always chose "
    "one of its people. It corresponds to the fraction of photos whose best candidate is right. FNIR also counts the "
    "answers 'unknown' and 'uncertain' as errors."
)
_RELATIVES = (
    "Rule: twins before other siblings; among these, the pair whose smaller number of photos is largest, at least "
    f"{MIN_OF_RELATIVES} each. In a dataset of two people, these two."
)
_MISSED = "Not given the right name: {fnir}."


def run_experiment(
    bench: Bench,
    dataset: Dataset,
    experiment: Experiment,
    *,
    people: Sequence[str] | None = None,
    video: Path | None = None,
    wrong_labels: frozenset[str] = frozenset(),
) -> Report:
    """Return the report of one of `EXPERIMENTS`.

    Parameters
    ----------
    people
        People to enroll; None to apply the rule of the experiment.
    video
        Video to search frame by frame, for experiments that include one; None skips that step. An unreadable video is
        listed as skipped.
    wrong_labels
        Names of photos documented as mislabeled, such as ``Michael_Schumacher_0008``.

    Raises
    ------
    DatasetError
        Too few people have enough photos.
    """
    kinship = ""
    if people is not None:
        chosen = tuple(people)
    elif experiment.relatives:
        chosen, kinship = choose_relatives(dataset, experiment.relatives, MIN_OF_RELATIVES)
    else:
        chosen = choose_frequent_people(dataset, experiment.people_count, experiment.min_photos, experiment.listed)
    _check_photos(dataset, chosen, experiment.min_photos)
    choose_strangers = experiment.choose_strangers
    strangers = () if choose_strangers is None else choose_strangers(bench, dataset, chosen, experiment)
    faces = bench.read(dataset.select_people([*chosen, *strangers]))
    names = " and ".join(chosen) + (f" ({kinship})" if kinship else "")
    run = ExperimentRun(bench, dataset, experiment, chosen, faces, names, video, wrong_labels)
    for step in (list_people, *experiment.steps):
        step(run)
    return bench.report(
        experiment.name,
        experiment.title,
        faces,
        summary=run.summary,
        figures=run.figures,
        sections=run.sections,
        failures=run.failures,
    )


def choose_frequent_people(
    dataset: Dataset, people_count: int, min_photos: int, listed: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the `people_count` people with most photos, at least `min_photos` each; ties are in order of names.

    `listed` restricts the choice, unless the dataset has exactly `people_count` people. Raises `DatasetError` if there
    are too few.
    """
    counts = count_photos(dataset)
    candidates = set(counts) if listed is None or len(counts) == people_count else set(listed)
    eligible = sorted(
        (-count, person) for person, count in counts.items() if person in candidates and count >= min_photos
    )
    if len(eligible) < people_count:
        where = "" if candidates == set(counts) else " of the experiment's list"
        raise DatasetError(
            f"{printable(dataset.title)}: {people_count} people{where} with at least {min_photos} photos are "
            f"needed, but there are {len(eligible)}; add photos, or choose people with --person"
        )
    return tuple(person for _, person in eligible[:people_count])


def choose_relatives(
    dataset: Dataset, pairs: Sequence[tuple[str, str, str]], min_photos: int
) -> tuple[tuple[str, str], str]:
    """Return the closest relatives with enough photos, and their kinship; in a dataset of two people, these and "".

    Raises `DatasetError` if no pair has enough photos.
    """
    counts = count_photos(dataset)
    if len(counts) == 2:
        first, second = counts
        return (first, second), ""

    def smaller_count(pair: tuple[str, str, str]) -> int:
        return min(counts.get(pair[0], 0), counts.get(pair[1], 0))

    eligible = [pair for pair in pairs if smaller_count(pair) >= min_photos]
    if not eligible:
        raise DatasetError(
            f"{printable(dataset.title)}: no pair of the experiment's list of relatives has {min_photos} photos each; "
            f"pass two people with --person"
        )
    chosen = min(eligible, key=lambda pair: (_CLOSEST.index(pair[2]), -smaller_count(pair), pair))
    return (chosen[0], chosen[1]), chosen[2]


def _check_photos(dataset: Dataset, people: Sequence[str], min_photos: int) -> None:
    counts = count_photos(dataset)
    lacking = next((person for person in people if counts.get(person, 0) < min_photos), None)
    if lacking is not None:
        raise DatasetError(
            f"{printable(dataset.title)}: {printable(lacking)} has {counts.get(lacking, 0)} photos; "
            f"{min_photos} are needed; add photos, or choose others with --person"
        )


def _choose_other_athletes(
    _bench: Bench, dataset: Dataset, people: Sequence[str], _experiment: Experiment
) -> tuple[str, ...]:
    return tuple(person for person in ATHLETES if person in dataset.people and person not in people)


def _draw_strangers(bench: Bench, dataset: Dataset, people: Sequence[str], experiment: Experiment) -> tuple[str, ...]:
    """Return drawn strangers, people with a single photo first."""
    counts = np.array(list(count_photos(dataset).values()))
    order = bench.random(experiment.purpose).permutation(len(dataset.people))
    ordered = order[np.argsort(counts[order] > 1, kind="stable")]
    return tuple(dataset.people[index] for index in ordered if dataset.people[index] not in people)[
        : experiment.strangers
    ]


def _draw_single_photos(
    bench: Bench, dataset: Dataset, people: Sequence[str], experiment: Experiment
) -> tuple[str, ...]:
    """Return strangers drawn among people with a single photo."""
    candidates = [person for person, count in count_photos(dataset).items() if count == 1 and person not in people]
    order = bench.random(experiment.purpose).permutation(candidates)
    return tuple(str(person) for person in order[: experiment.strangers])


EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType(
    {
        row.name: row
        for row in (
            Experiment(
                name="twins-2020",
                title="Two people who look alike (rerun of 2020)",
                published="about 0.80 on baby twin sisters, about 600 tagged faces each, InceptionResNetV1 "
                "fine-tuned; their photos are private",
                rules=(_RELATIVES, _OTHER_PHOTOS),
                purpose=2020,
                photos=(1, 3, 5),
                draws=20,
                heading="Confusion",
                text="Counts are pooled over {draws} random draws of enrolled photos from the training split; all "
                "photos of the test split are searched for. Intervals resample sources of photos. Nothing was trained, "
                "and the validation split is not used. Photos that share a source are in one split.",
                summary=(
                    "{who}, {photos} photos of each enrolled: {accuracy} of the test photos have the right best "
                    "candidate; published: {published}.",
                    _MISSED,
                ),
                steps=(few_photos,),
                relatives=SISTERS + BROTHERS,
                by_splits=True,
                lists_errors=True,
            ),
            Experiment(
                name="athletes-2019",
                title="Seven athletes (rerun of 2019)",
                published="0.88 of 42 validation photos of seven athletes after 166 training photos, MobileNetV2; not "
                "the same photos",
                rules=(
                    "Rule: the seven people with most photos on a list of athletes in LFW, from general knowledge. "
                    "LFW documents one of these photos as mislabeled, Michael_Schumacher_0008, which shows Rubens "
                    "Barrichello; it was not removed.",
                    _OTHER_PHOTOS,
                ),
                purpose=2019,
                photos=(5,),
                draws=10,
                heading="Seven athletes",
                text="{photos} photos of each are enrolled and all others searched for; counts are pooled over "
                "{draws} random draws.",
                summary=(
                    "Seven athletes, {photos} photos of each enrolled: {accuracy} of all their other photos have the "
                    "right best candidate; published: {published}.",
                    _MISSED,
                ),
                steps=(few_photos, partial(ranked_stranger, women=WOMEN)),
                people_count=7,
                listed=ATHLETES,
                choose_strangers=_choose_other_athletes,
                lists_errors=True,
            ),
            Experiment(
                name="celebrities-2018",
                title="Three footballers (rerun of 2018)",
                published="about 0.90 training accuracy of three footballers, Inception v3 with its last layer "
                "trained; not these photos",
                rules=(
                    "Rule: the three people with most photos, at least {min_photos}, on a list of footballers in LFW, "
                    "from general knowledge. LFW has few photos of footballers: for a person with four, each draw "
                    "searches for one photo.",
                    _OTHER_PHOTOS,
                ),
                purpose=2018,
                photos=(3,),
                draws=10,
                heading="Three footballers",
                text="{photos} photos of each are enrolled; counts are pooled over {draws} random draws.",
                summary=(
                    "Three footballers, {photos} photos of each enrolled: {accuracy} of their other photos have the "
                    "right best candidate; published: {published}.",
                ),
                steps=(few_photos, strangers, composite_photos, video_frames),
                people_count=3,
                listed=FOOTBALLERS,
                choose_strangers=_draw_strangers,
                strangers=200,
                composites=60,
            ),
            Experiment(
                name="lfw5-2021",
                title="Five people of LFW (rerun of 2021)",
                published="same people and sizes of the split, other draw: SVM 0.85, a CNN from scratch below, "
                "ResNet50 of ImageNet 0.94, ResNet50 of VGGFace 1.00",
                rules=(
                    "Rule: the five people with most photos, at least 100 each; in LFW these are the people of 2021. "
                    "The published selection and split of 100 photos each are unknown, so the draw differs. The "
                    "published classifiers always chose one of the five, which corresponds to the fraction of photos "
                    "whose best candidate is right. FNIR also counts the answers 'unknown' and 'uncertain' as errors.",
                ),
                purpose=2021,
                photos=(1, 3, 5),
                draws=5,
                heading="Few photos",
                text="Few photos of each are enrolled and all others searched for; counts are pooled over {draws} "
                "random draws, and intervals resample photos. A photo that is missed in every draw is probably hard or "
                "mislabeled; one that is missed in a single draw met weak photos in the gallery.",
                summary=(
                    "With {photos} photos of each enrolled and the remaining {others} searched for, not given the "
                    "right name, pooled over {draws} draws: {fnir}.",
                ),
                steps=(published_split, few_photos, family),
                people_count=5,
                published_sizes=(80, 20),
                lists_draws=True,
                lists_errors=True,
            ),
            Experiment(
                name="sisters-2021",
                title="Two sisters (rerun of 2021)",
                published="0.97 with a CNN from scratch, 0.984 with VGG16, after 2,794 augmented photos of two "
                "sisters; not these photos",
                rules=(_RELATIVES, _OTHER_PHOTOS),
                purpose=20210,
                photos=(1, 3, 5),
                draws=10,
                heading="Few photos",
                text="Few photos of both are enrolled; counts are pooled over {draws} random draws.",
                summary=(
                    "{who}, {photos} photos of each enrolled: {accuracy} of their other photos have the right best "
                    "candidate; published: {published}.",
                ),
                steps=(few_photos, masks_sizes_and_poses),
                relatives=SISTERS,
                choose_strangers=_draw_single_photos,
                strangers=100,
            ),
        )
    }
)
"""Experiments by the name of their command."""


def _open_labeled(data: Path) -> dict[str, Any]:
    """Open a dataset, and the names of photos documented as mislabeled; raises `DatasetError`."""
    listed = find_pairs(data) if data.is_dir() else None
    errata = None if listed is None else find_errata(listed)
    return {"dataset": open_dataset(data), "wrong_labels": frozenset() if errata is None else errata.photos}


def _register(experiment: Experiment) -> None:
    name, open_data = experiment.name, _open_labeled if experiment.lists_errors else open_all

    @protocol(name, open_data=open_data, examples=(f"{name} lfw/",))
    def run(bench: Bench, dataset: Dataset, *, people: Person = None, **options: Any) -> Report:
        return run_experiment(bench, dataset, experiment, people=people, **options)


for _row in EXPERIMENTS.values():
    if video_frames not in _row.steps:
        _register(_row)


@protocol("celebrities-2018", open_data=open_all, examples=("celebrities-2018 lfw/",))
def _celebrities(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Person = None,
    video: Annotated[Path | None, Option("--video", "Video to search frame by frame.", "FILE")] = None,
) -> Report:
    return run_experiment(bench, dataset, EXPERIMENTS["celebrities-2018"], people=people, video=video)
