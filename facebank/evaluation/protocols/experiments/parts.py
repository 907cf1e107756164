"""What several of the experiments need: whom they run on, draws of photos, and the tables that they print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.figures import Figure, rate, sampling_units
from facebank.evaluation.identification import how_decided
from facebank.evaluation.report import Curves, Line, Section, Table
from facebank.evaluation.searches import Searches, TrialGallery, enroll, unrelated
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet

OTHER_PHOTOS = (
    "The published figure was measured on other photographs, which are private or not published, and by a classifier "
    "that had to choose one of its people; beside it stands the share of photos whose best candidate is right. The "
    "share that is given the right name counts 'unknown' and 'uncertain' as errors too."
)


def photos_of(dataset: Dataset) -> dict[str, int]:
    """Count everybody's photos."""
    counts = np.bincount(dataset.owners[dataset.owners >= 0], minlength=len(dataset.people))
    return {person: int(count) for person, count in zip(dataset.people, counts, strict=True)}


def with_most_photos(dataset: Dataset, number: int, least: int, listed: Sequence[str] | None = None) -> tuple[str, ...]:
    """Choose so many people, those with most photos first, and by name where they have as many.

    Parameters
    ----------
    dataset
        Where they are looked for.
    number
        How many.
    least
        How many photos each needs.
    listed
        Who may be chosen; None for everybody. Of a dataset with just so many people, all are chosen.

    Raises
    ------
    DatasetError
        There are fewer.
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


def require(dataset: Dataset, people: Sequence[str], least: int) -> tuple[str, ...]:
    """Return the people, whom somebody chose.

    Raises
    ------
    DatasetError
        One has fewer photos than needed.
    """
    counts = photos_of(dataset)
    few = next((person for person in people if counts.get(person, 0) < least), None)
    if few is not None:
        raise DatasetError(
            f"{printable(dataset.title)}: {printable(few)} has {counts.get(few, 0)} photos, and {least} are needed"
        )
    return tuple(people)


def cast_table(faces: FaceSet, people: Sequence[str], part: str = "enrolled") -> Table:
    """List people with their photos."""
    counts = photos_of(faces.dataset)
    found = {
        person: int(faces.found[faces.dataset.owners == faces.dataset.people.index(person)].sum()) for person in people
    }
    rows = tuple((person, part, f"{counts[person]:,}", f"{found[person]:,}") for person in people)
    return Table("Who stands in", ("person", "part", "photos", "with a face"), rows)


def whom(bench: Bench, faces: FaceSet, people: Sequence[str], *text: str) -> Section:
    """Say whom an experiment runs on, by what rule, and what its decisions rest on."""
    return Section("Whom it runs on", (*text, how_decided(bench)), items=(cast_table(faces, people),))


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Which photos are enrolled and which are searched for: ``int64`` each."""

    enrolled: NDArray[np.int64]
    probes: NDArray[np.int64]


def draw_photos(
    faces: FaceSet, people: Sequence[str], photos: int, random: np.random.Generator, most: int | None = None
) -> Draw:
    """Enroll so many photos of each person, and search for the others: all, or at most so many of each.

    Photos that share a source with an enrolled one are not searched for.
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
    """Search all draws, each in a gallery of its own; the last gallery is returned too."""
    found = list[Searches]()
    for draw in draws:
        trial = enroll(bench.reader, faces, draw.enrolled)
        found.append(trial.search(draw.probes))
    return Searches.joined(found), trial


def units_of(faces: FaceSet, searches: Searches) -> NDArray[np.int64]:
    """Return what the bootstrap draws: people, or sources of photos where people are few."""
    return sampling_units(faces.dataset.owners[searches.places], faces.groups[searches.places])


def accuracies(faces: FaceSet, searches: Searches, photos: int, published: str | None = None) -> dict[str, Figure]:
    """Return how often the best candidate is right and how often the name is missed, with so many photos enrolled."""
    first = drawn_rate(
        ~searches.not_first, faces, searches, f"Photos whose best candidate is right, {photos} enrolled of each."
    )
    return {
        f"rank_1_{photos}": replace(first, published=published),
        f"fnir_{photos}": drawn_rate(
            searches.missed, faces, searches, f"Photos that are not given the right name, {photos} enrolled of each."
        ),
    }


def drawn_rate(events: NDArray[np.bool_], faces: FaceSet, searches: Searches, meaning: str) -> Figure:
    """Return a rate of several draws: a photo that was searched for in several of them is no more than one photo."""
    return rate(events, units_of(faces, searches), meaning, things=searches.places)


def draws_table(draws: Sequence[Draw], searches: Searches, photos: int) -> Table:
    """Say what each draw gave."""
    ends = np.cumsum([len(draw.probes) for draw in draws])
    rows = list[tuple[str, ...]]()
    for number, (end, draw) in enumerate(zip(ends, draws, strict=True), start=1):
        part = slice(int(end) - len(draw.probes), int(end))
        total = len(draw.probes)
        first, named = (total - int(wrong[part].sum()) for wrong in (searches.not_first, searches.missed))
        rows.append((f"{photos}", f"{number}", f"{total:,}", f"{first:,}", f"{named:,}", f"{named / total:.2%}"))
    headings = ("photos enrolled", "draw", "searched for", "best candidate right", "named rightly", "share")
    return Table(f"Draw by draw, {photos} enrolled", headings, tuple(rows))


def false_names(faces: FaceSet, trial: TrialGallery, searches: Searches) -> tuple[Table, ...]:
    """List which strangers were given whose name, and how probable the program called it; none without any."""
    cases: dict[tuple[str, str], list[float]] = {}
    for number in np.flatnonzero(searches.misnamed & ~searches.mated):
        person = faces.dataset.photos[searches.places[number]].person or ""
        cases.setdefault((person, trial.names[searches.named[number]]), []).append(searches.probabilities[number])
    photos = photos_of(faces.dataset)
    rows = tuple(
        (person, name, f"{len(said)} of {photos.get(person, 0)}", f"{min(said):.2f} to {max(said):.2f}")
        for (person, name), said in sorted(cases.items(), key=lambda case: (-len(case[1]), case[0]))
    )
    headings = ("stranger", "named", "photos", "probability")
    return (Table("Strangers who are given a name", headings, rows),) if rows else ()


def shots_curve(figures: dict[str, Figure], photos: Sequence[int]) -> Curves:
    """Draw how rank-1 and misses change with the number of enrolled photos."""
    lines = list[Line]()
    for key, label in (("rank_1", "best candidate right"), ("fnir", "not given the right name")):
        shown = [(number, figures[f"{key}_{number}"]) for number in photos if f"{key}_{number}" in figures]
        bounds = np.array([figure.interval or (figure.value, figure.value) for _, figure in shown])
        x, y = np.array([float(number) for number, _ in shown]), np.array([figure.value for _, figure in shown])
        lines.append(Line(label, x, y, bounds[:, 0], bounds[:, 1]))
    return Curves("Photos enrolled of each person", "photos enrolled", "share", tuple(lines))


def error_tables(
    faces: FaceSet, trial: TrialGallery, searches: Searches, wrong_labels: frozenset[str]
) -> tuple[Table, ...]:
    """List the photos that were not given the right name, each once, with what may be the reason; none without any."""
    rows = list[tuple[str, ...]]()
    for place in np.unique(searches.places[searches.missed]):
        mine = searches.places == place
        face, name = faces.faces[place], str(faces.names[place])
        if face is None:
            said, reason, weak = "no face found", "", ""
        else:
            decision = trial.recognizer.identify([face])[0]
            named = searches.named[mine & searches.misnamed]
            said = ", ".join(sorted({trial.names[number] for number in named})) or "nobody"
            reason, weak = decision.reason.value, ", ".join(face.assessment.weaknesses)
        known = "documented as wrongly labelled" if _stem(name) in wrong_labels else ""
        often = f"{int((mine & searches.missed).sum())} of {int(mine.sum())}"
        rows.append((name, said, often, reason.replace("_", " "), weak, known))
    headings = ("photo", "named", "missed in draws", "reason in the last draw", "weaknesses", "label")
    return (Table("Photos not given the right name", headings, tuple(rows)),) if rows else ()


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
