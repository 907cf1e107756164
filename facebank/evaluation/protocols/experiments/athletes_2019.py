"""Seven athletes, as in 2019; and somebody who is none of them, ranked by resemblance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.figures import rate, sampling_units
from facebank.evaluation.identification import person_by_person
from facebank.evaluation.protocols.experiments.parts import (
    OTHER_PHOTOS,
    accuracies,
    draw_photos,
    error_tables,
    false_names,
    photos_of,
    require,
    search_draws,
    whom,
    with_most_photos,
)
from facebank.evaluation.report import Section, Table
from facebank.gallery import VectorTable
from facebank.operations.lookalike import HEADING, rank_resemblance

if TYPE_CHECKING:
    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Report
    from facebank.evaluation.searches import TrialGallery

ATHLETES = (
    "Aaron_Peirsol", "Amelie_Mauresmo", "Andre_Agassi", "Andy_Roddick", "Anna_Kournikova", "Carlos_Moya",
    "David_Beckham", "David_Nalbandian", "Guillermo_Coria", "Ian_Thorpe", "Jason_Kidd", "Jelena_Dokic",
    "Jennifer_Capriati", "Juan_Carlos_Ferrero", "Kim_Clijsters", "Lance_Armstrong", "LeBron_James",
    "Lindsay_Davenport", "Lleyton_Hewitt", "Michael_Jordan", "Michael_Phelps", "Michael_Schumacher", "Monica_Seles",
    "Natalie_Coughlin", "Oscar_De_La_Hoya", "Paradorn_Srichaphan", "Pete_Sampras", "Ralf_Schumacher",
    "Roberto_Carlos", "Roger_Federer", "Ronaldo_Luis_Nazario_de_Lima", "Rubens_Barrichello", "Serena_Williams",
    "Tiger_Woods", "Tim_Henman", "Venus_Williams", "Vitali_Klitschko", "Yao_Ming",
)  # fmt: skip
"""People of LFW who are athletes, from general knowledge."""
WOMEN = frozenset(
    {
        "Amelie_Mauresmo", "Anna_Kournikova", "Jelena_Dokic", "Jennifer_Capriati", "Kim_Clijsters",
        "Lindsay_Davenport", "Monica_Seles", "Natalie_Coughlin", "Serena_Williams", "Venus_Williams",
    }
)  # fmt: skip
NUMBER, ENROLLED, SHOWN = 7, 5, 4
PUBLISHED = "0.88 of 42 validation photos of seven athletes after 166 training photos, MobileNetV2; not the same photos"
PUBLISHED_STRANGER = "a man who is none of the seven: Neymar 41.6 %, Ronaldo 17.9 %, ..., and no way to say 'nobody'"
_PURPOSE = 2019
_RULE = (
    "The seven people with most photos on a list of athletes in LFW, from general knowledge. LFW documents a wrong "
    "label among athletes, Michael_Schumacher_0008, who is Rubens Barrichello; it was not removed."
)


def athletes_2019(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Sequence[str] | None = None,
    stranger: str | None = None,
    photos: int = ENROLLED,
    draws: int = 10,
    wrong_labels: frozenset[str] = frozenset(),
) -> Report:
    """Name seven athletes from five photos each, and rank a man who is none of them by resemblance.

    Parameters
    ----------
    bench
        Where it runs.
    dataset
        Photos of named people.
    people
        The seven; None for those of `ATHLETES` with most photos.
    stranger
        Who is none of them; None for the man of `ATHLETES` with most photos among the others.
    photos
        How many photos of each are enrolled.
    draws
        How often they are drawn.
    wrong_labels
        Photos documented as showing somebody else, such as ``Michael_Schumacher_0008``.

    Raises
    ------
    DatasetError
        There are no seven with enough photos.
    """
    least = photos + 1
    seven = with_most_photos(dataset, NUMBER, least, ATHLETES) if people is None else require(dataset, people, least)
    nobody, others = _nobody(dataset, seven, stranger)
    faces = bench.read(dataset.of([*seven, *others]))
    drawn = [draw_photos(faces, seven, photos, bench.random(_PURPOSE, turn)) for turn in range(draws)]
    bench.progress.begin("seven athletes", draws)
    searches, trial = search_draws(bench, faces, drawn)
    figures: dict[str, Figure] = accuracies(faces, searches, photos)
    figures["accuracy"] = replace(figures[f"rank_1_{photos}"], published=PUBLISHED)
    strangers = _strangers(faces, trial, seven, nobody, figures)
    summary = (
        f"Seven athletes, {photos} photos of each enrolled: {figures['accuracy']} of all their other photos have the "
        f"right best candidate; published: {PUBLISHED}.",
        f"Not given the right name: {figures[f'fnir_{photos}']}.",
        *strangers.text[-1:],
    )
    sections = (
        whom(bench, faces, seven, _RULE, OTHER_PHOTOS),
        Section(
            "Seven athletes",
            (f"{photos} photos of each are enrolled and all others searched for; {draws} draws, counted together.",),
            ("accuracy", f"rank_1_{photos}", f"fnir_{photos}"),
            (
                *person_by_person(searches, trial.names, "Who was named"),
                *error_tables(faces, trial, searches, wrong_labels),
            ),
        ),
        strangers,
    )
    return bench.report(
        "athletes-2019", "Seven athletes of 2019", faces, summary=summary, figures=figures, sections=sections
    )


def _nobody(dataset: Dataset, seven: Sequence[str], stranger: str | None) -> tuple[str | None, tuple[str, ...]]:
    """Return the man who is none of the seven, None without one, and everybody who is searched for as a stranger."""
    counts = photos_of(dataset)
    others = tuple(person for person in ATHLETES if person in counts and person not in seven)
    if stranger is not None:
        return require(dataset, [stranger], 1)[0], tuple(dict.fromkeys([*others, stranger]))
    men = sorted((person for person in others if person not in WOMEN), key=lambda person: (-counts[person], person))
    return (men[0] if men else None), others


def _strangers(
    faces: FaceSet, trial: TrialGallery, seven: Sequence[str], nobody: str | None, figures: dict[str, Figure]
) -> Section:
    """Search for athletes who are none of the seven, and rank one of them by resemblance."""
    people, owners = faces.dataset.people, faces.dataset.owners
    known = np.isin(owners, [people.index(person) for person in seven])
    places = np.flatnonzero(~known & faces.found).astype(np.int64)
    if not len(places) or nobody is None:
        return Section("Somebody who is none of them", ("Untested: there are no photos of anybody else here.",))
    searches = trial.search(places)
    units = sampling_units(owners[places], faces.groups[places])
    figures["fpir"] = rate(searches.misnamed, units, "Photos of other athletes that are given a name.")
    table, said = _ranking(faces, trial, nobody)
    text = (
        f"Published: {PUBLISHED_STRANGER}. Here it is {nobody}, the man with most photos among the athletes who are "
        f"not enrolled, in his first {SHOWN} photos: resemblance says whom he looks like most, and the decision "
        "whether it is anybody. Shares of resemblance are no probabilities.",
        f"All photos of the {len(np.unique(owners[places]))} athletes who are none of the seven, in the last gallery: "
        f"{figures['fpir']} are given a name. {said}",
    )
    items = (table, *false_names(faces, trial, searches))
    return Section("Somebody who is none of them", text, ("fpir",), items)


def _ranking(faces: FaceSet, trial: TrialGallery, nobody: str) -> tuple[Table, str]:
    owners = faces.dataset.owners
    enrolled = trial.enrolled
    table = VectorTable(enrolled, owners[enrolled], faces.embeddings[enrolled])
    names = dict(enumerate(faces.dataset.people))
    mine = np.flatnonzero((owners == faces.dataset.people.index(nobody)) & faces.found)[:SHOWN]
    rows, outcomes = list[tuple[str, ...]](), list[str]()
    for place in mine:
        face = faces.faces[place]
        if face is None:
            continue
        decision = trial.recognizer.identify([face])[0]
        outcomes.append(decision.decision.value)
        alike = rank_resemblance(face.embedding, table, names)[:3]
        ranked = ", ".join(f"{one.person} {one.share:.1%}".replace("%", " %") for one in alike)
        likely = "" if decision.probability is None else f"{decision.probability:.4f}"
        rows.append((str(faces.names[place]), ranked, decision.decision.value, decision.person or "", likely))
    headings = ("photo", HEADING, "decision", "named", "probability of the first")
    said = f"{nobody} was unknown in {outcomes.count('unknown')} of {len(outcomes)} photos that are ranked."
    return Table(f"{nobody}: {HEADING}", headings, tuple(rows)), said
