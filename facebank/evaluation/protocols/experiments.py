"""The five experiments that the project grew from, each beside its published figure.

They ran on photographs that are not public; here they run on photos of other people, chosen by a written rule.
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
from facebank.evaluation.protocols.draws import photos_of
from facebank.evaluation.protocols.experiment_composites import film, put_together
from facebank.evaluation.protocols.experiment_steps import (
    Experiment,
    ExperimentRun,
    family,
    few_photos,
    masks_sizes_and_poses,
    published_split,
    ranked_stranger,
    strangers,
    whom,
)
from facebank.evaluation.protocols.options import Person, errata_beside, open_everybody
from facebank.evaluation.report import Report
from facebank.storage.text import printable

FEWEST_OF_RELATIVES = 8
"""Photos that each of two relatives needs to be chosen."""

# Who in LFW is an athlete, a footballer or a relative is from general knowledge.
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
    "The published figure was measured on other photographs, which are private or not published, and by a classifier "
    "that had to choose one of its people; beside it stands the share of photos whose best candidate is right. The "
    "share that is given the right name counts 'unknown' and 'uncertain' as errors too."
)
_RELATIVES = (
    "Twins before other siblings; of these the two of whom the one with fewer photos has most; each needs at least "
    f"{FEWEST_OF_RELATIVES} photos. A dataset of just two people is taken as it is."
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
    """Run one of `EXPERIMENTS`.

    Parameters
    ----------
    people
        Whom it runs on; None for those whom the experiment's rule chooses.
    video
        Searched frame by frame, if the experiment does that; None leaves it untested.
    wrong_labels
        Photos documented as showing somebody else, such as ``Michael_Schumacher_0008``.

    Raises
    ------
    DatasetError
        Too few people have enough photos. A video that cannot be read is listed as left out.
    """
    kinship = ""
    if people is not None:
        chosen = tuple(people)
    elif experiment.relatives:
        chosen, kinship = closest(dataset, experiment.relatives, FEWEST_OF_RELATIVES)
    else:
        chosen = with_most_photos(dataset, experiment.number, experiment.least, experiment.listed)
    _require(dataset, chosen, experiment.least)
    others = () if experiment.others is None else experiment.others(bench, dataset, chosen, experiment)
    faces = bench.read(dataset.of([*chosen, *others]))
    who = " and ".join(chosen) + (f" ({kinship})" if kinship else "")
    run = ExperimentRun(bench, dataset, experiment, chosen, faces, who, video, wrong_labels)
    for step in (whom, *experiment.steps):
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


def with_most_photos(dataset: Dataset, number: int, least: int, listed: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the `number` people with most photos, at least `least`; in the order of names among equals.

    Only those listed may be chosen, but a dataset of just so many people is taken as it is. Raises `DatasetError` if
    there are fewer.
    """
    counts = photos_of(dataset)
    may = set(counts) if listed is None or len(counts) == number else set(listed)
    able = sorted((-count, person) for person, count in counts.items() if person in may and count >= least)
    if len(able) < number:
        where = "" if may == set(counts) else " of the list that the experiment chooses from"
        raise DatasetError(
            f"{printable(dataset.title)}: {number} people{where} with at least {least} photos are needed, and there "
            f"are {len(able)}"
        )
    return tuple(person for _, person in able[:number])


def closest(dataset: Dataset, pairs: Sequence[tuple[str, str, str]], least: int) -> tuple[tuple[str, str], str]:
    """Return the closest relatives with enough photos, and their kinship; "" for a dataset of just two people.

    Raises `DatasetError` if no two have enough photos.
    """
    counts = photos_of(dataset)
    if len(counts) == 2:
        first, second = counts
        return (first, second), ""

    def fewest(pair: tuple[str, str, str]) -> int:
        return min(counts.get(pair[0], 0), counts.get(pair[1], 0))

    able = [pair for pair in pairs if fewest(pair) >= least]
    if not able:
        raise DatasetError(
            f"{printable(dataset.title)}: no two relatives that the experiment knows of have {least} photos each; name "
            f"two people"
        )
    chosen = min(able, key=lambda pair: (_CLOSEST.index(pair[2]), -fewest(pair), pair))
    return (chosen[0], chosen[1]), chosen[2]


def _require(dataset: Dataset, people: Sequence[str], least: int) -> None:
    counts = photos_of(dataset)
    few = next((person for person in people if counts.get(person, 0) < least), None)
    if few is not None:
        raise DatasetError(
            f"{printable(dataset.title)}: {printable(few)} has {counts.get(few, 0)} photos, and {least} are needed"
        )


def _other_athletes(_bench: Bench, dataset: Dataset, people: Sequence[str], _experiment: Experiment) -> tuple[str, ...]:
    return tuple(person for person in ATHLETES if person in dataset.people and person not in people)


def _drawn_others(bench: Bench, dataset: Dataset, people: Sequence[str], experiment: Experiment) -> tuple[str, ...]:
    """Draw strangers, people with a single photo first."""
    counts = np.array(list(photos_of(dataset).values()))
    order = bench.random(experiment.purpose).permutation(len(dataset.people))
    able = order[np.argsort(counts[order] > 1, kind="stable")]
    return tuple(dataset.people[place] for place in able if dataset.people[place] not in people)[: experiment.strangers]


def _single_photos(bench: Bench, dataset: Dataset, people: Sequence[str], experiment: Experiment) -> tuple[str, ...]:
    """Draw strangers, all with a single photo."""
    able = [person for person, count in photos_of(dataset).items() if count == 1 and person not in people]
    drawn = bench.random(experiment.purpose).permutation(able)
    return tuple(str(person) for person in drawn[: experiment.strangers])


EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType(
    {
        row.name: row
        for row in (
            Experiment(
                name="twins-2020",
                title="Two who look alike, after the twins of 2020",
                published="about 0.80 on baby twin sisters, about 600 tagged faces each, InceptionResNetV1 "
                "fine-tuned; their photos are private",
                rules=(_RELATIVES, _OTHER_PHOTOS),
                purpose=2020,
                photos=(1, 3, 5),
                draws=20,
                heading="Told apart",
                text="Counts are of {draws} draws together, in each of which photos are drawn from the training part, "
                "and all of the test part is searched for; intervals draw sources of photos. Nothing was trained and "
                "nothing was chosen on the validation part, which is left alone. Photos that share a source lie in one "
                "part.",
                summary=(
                    "{who}, {photos} photos of each enrolled: {accuracy} of the test photos have the right best "
                    "candidate; published: {published}.",
                    _MISSED,
                ),
                steps=(few_photos,),
                relatives=SISTERS + BROTHERS,
                by_parts=True,
                lists_errors=True,
            ),
            Experiment(
                name="athletes-2019",
                title="Seven athletes of 2019",
                published="0.88 of 42 validation photos of seven athletes after 166 training photos, MobileNetV2; not "
                "the same photos",
                rules=(
                    "The seven people with most photos on a list of athletes in LFW, from general knowledge. LFW "
                    "documents a wrong label among athletes, Michael_Schumacher_0008, who is Rubens Barrichello; it "
                    "was not removed.",
                    _OTHER_PHOTOS,
                ),
                purpose=2019,
                photos=(5,),
                draws=10,
                heading="Seven athletes",
                text="{photos} photos of each are enrolled and all others searched for; {draws} draws, counted "
                "together.",
                summary=(
                    "Seven athletes, {photos} photos of each enrolled: {accuracy} of all their other photos have the "
                    "right best candidate; published: {published}.",
                    _MISSED,
                ),
                steps=(few_photos, partial(ranked_stranger, women=WOMEN)),
                number=7,
                listed=ATHLETES,
                others=_other_athletes,
                lists_errors=True,
            ),
            Experiment(
                name="celebrities-2018",
                title="Three footballers of 2018",
                published="about 0.90 training accuracy of three footballers, Inception v3 with its last layer "
                "trained; not these photos",
                rules=(
                    "The three people with most photos, at least {least}, on a list of footballers in LFW, from "
                    "general knowledge. LFW has few photos of footballers: of somebody with just four, each draw "
                    "searches for one photo.",
                    _OTHER_PHOTOS,
                ),
                purpose=2018,
                photos=(3,),
                draws=10,
                heading="Three footballers",
                text="{photos} photos of each are drawn and enrolled, {draws} times; counts are of all draws together.",
                summary=(
                    "Three footballers, {photos} photos of each enrolled: {accuracy} of their other photos have the "
                    "right best candidate; published: {published}.",
                ),
                steps=(few_photos, strangers, put_together, film),
                number=3,
                listed=FOOTBALLERS,
                others=_drawn_others,
                strangers=200,
                composites=60,
            ),
            Experiment(
                name="lfw5-2021",
                title="Five people of LFW, 2021",
                published="same people and sizes of the split, other draw: SVM 0.85, a CNN from scratch below, "
                "ResNet50 of ImageNet 0.94, ResNet50 of VGGFace 1.00",
                rules=(
                    "The five people with most photos, at least 100 each: in LFW these are the five of 2021, and "
                    "nobody stands in for them. Which 100 photos were taken and how they were split is not published, "
                    "so the draw is another. The published classifiers had to choose one of the five; beside them "
                    "stands the share of photos whose best candidate is right. The share that is given the right name "
                    "counts 'unknown' and 'uncertain' as errors too.",
                ),
                purpose=2021,
                photos=(1, 3, 5),
                draws=5,
                heading="Few photos",
                text="So many photos of each are drawn and enrolled, {draws} times, and all others are searched for; "
                "counts are of all draws together, and intervals draw photos. A photo that is missed in every draw is "
                "hard or wrongly labeled by itself; one missed in a single draw met weak photos in the gallery.",
                summary=(
                    "With {photos} photos of each, all of the remaining {others} photos searched for: not given the "
                    "right name in {draws} draws together: {fnir}.",
                ),
                steps=(published_split, few_photos, family),
                number=5,
                split=(80, 20),
                lists_draws=True,
                lists_errors=True,
            ),
            Experiment(
                name="sisters-2021",
                title="Two sisters, after those of 2021",
                published="0.97 with a CNN from scratch, 0.984 with VGG16, after 2,794 augmented photos of two "
                "sisters; not these photos",
                rules=(_RELATIVES, _OTHER_PHOTOS),
                purpose=20210,
                photos=(1, 3, 5),
                draws=10,
                heading="Few photos",
                text="So many photos of both are drawn and enrolled, {draws} times; counts are of all draws together.",
                summary=(
                    "{who}, {photos} photos of each enrolled: {accuracy} of their other photos have the right best "
                    "candidate; published: {published}.",
                ),
                steps=(few_photos, masks_sizes_and_poses),
                relatives=SISTERS,
                others=_single_photos,
                strangers=100,
            ),
        )
    }
)
"""By the name that the command has."""


def _open_labeled(data: Path) -> dict[str, Any]:
    """Return a dataset, and which of its labels are documented to be wrong; raises `DatasetError`."""
    listed = find_pairs(data) if data.is_dir() else None
    errata = None if listed is None else errata_beside(listed)
    return {"dataset": open_dataset(data), "wrong_labels": frozenset() if errata is None else errata.photos}


def _register(experiment: Experiment) -> None:
    name, open_data = experiment.name, _open_labeled if experiment.lists_errors else open_everybody

    @protocol(name, open_data=open_data, examples=(f"{name} lfw/",))
    def run(bench: Bench, dataset: Dataset, *, people: Person = None, **more: Any) -> Report:
        return run_experiment(bench, dataset, experiment, people=people, **more)


for _row in EXPERIMENTS.values():
    if film not in _row.steps:
        _register(_row)


@protocol("celebrities-2018", open_data=open_everybody, examples=("celebrities-2018 lfw/",))
def _celebrities(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Person = None,
    video: Annotated[Path | None, Option("--video", "A video to look at frame by frame.", "FILE")] = None,
) -> Report:
    return run_experiment(bench, dataset, EXPERIMENTS["celebrities-2018"], people=people, video=video)
