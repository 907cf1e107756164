"""Few photos of each person: accuracy by number of photos and classifier.

The same people, probes and draws serve every number of photos and every classifier, and fewer enrolled photos are a
subset of more. So a curve shows the effect of the number alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np

from facebank.errors import DatasetError, UsageError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, LeftOut
from facebank.evaluation.identification import classification_report, confusion_matrix, how_decided, line_of
from facebank.evaluation.leakage import find_leakage, leaks_as_failures
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.draws import drawn_rate
from facebank.evaluation.protocols.options import Shots, open_people
from facebank.evaluation.report import Curves, Line, Report, Section, Table
from facebank.evaluation.searches import NOBODY, Searches, TrialGallery, enroll, in_turns, unrelated
from facebank.evaluation.verification import opposite_line
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Item, Report

SHOTS = (1, 2, 3, 5, 10, 20)
STATED = 5
"""Photos enrolled of each in the confusion matrix, or the next smaller number measured."""

_MEASURES = {"rank_1": "best candidate right", "fnir": "not given the right name", "fpir": "strangers given a name"}
_MOST_PEOPLE_NEEDED = 10
_MOST_LISTED = 10
_MOST_STRANGERS = 300
_PURPOSE = 6


@protocol(
    "fewshot",
    open_data=open_people,
    details="All other photos are searched for, by all classifiers side by side.",
    examples=("fewshot people/", "fewshot people/ --enrolled 1 --enrolled 5 --classifier svm"),
)
def fewshot(
    bench: Bench,
    dataset: Dataset,
    *,
    shots: Shots = SHOTS,
    classifiers: Annotated[
        Sequence[str],
        Option("--classifier", "prototype, knn, svm, svm-rbf or logistic; may be repeated. Else all.", "KIND"),
    ] = CLASSIFIERS,
    draws: int = 3,
    probes_each: int = 20,
) -> Report:
    """Enroll few photos of each person and search for others, by several classifiers.

    If the photos have parts, those to train on are enrolled and those to test on are searched for.

    Parameters
    ----------
    shots
        Numbers of photos enrolled of each person. Numbers for which fewer than ten people (or all, if fewer) have
        enough photos are left out, and so are people with too few for the largest number left.
    classifiers
        Of `facebank.recognition.scoring.CLASSIFIERS`.
    draws
        How often the enrolled photos are drawn.
    probes_each
        The most other photos of each person searched for in a draw.

    Raises
    ------
    DatasetError
        There are no two people with enough photos, or no photo has a face.
    UsageError
        There is no such classifier, or a number is below 1.
    """
    _check(shots, classifiers, draws, probes_each)
    faces = bench.read(replace(dataset, pairs=()))
    plan = plan_shots(faces, shots)
    drawn, leaks = draw_all(bench, faces, plan, draws, probes_each)
    trials, refused = _search_all(bench, faces, plan, drawn, classifiers)
    figures = {name: figure for trial in trials for name, figure in trial.figures(faces).items()}
    searches = trials[0].searches
    mated = searches.where(searches.mated)
    figures["failure_to_acquire"] = drawn_rate(
        ~mated.acquired, faces, mated, "Photos of enrolled people in which no face is found."
    )
    return bench.report(
        "fewshot",
        "Few photos of each person",
        faces,
        summary=_summary(plan, trials, figures),
        figures=figures,
        sections=(
            Section(
                "What was done",
                (_how(plan, drawn, strangers=len(mated.own) < len(searches.own)), how_decided(bench)),
                ("failure_to_acquire",),
            ),
            *(_measured(trials, figures, measure) for measure in _MEASURES if trials[0].name(measure) in figures),
            _by_person(faces, _stated(trials)),
        ),
        failures=(*plan.left_out, *leaks, *refused),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Searches of all draws with one classifier and number of photos; the gallery is the last draw's."""

    photos: int
    classifier: str
    searches: Searches
    gallery: TrialGallery

    def name(self, measure: str) -> str:
        """Return the name of a figure; the prototype's have no suffix."""
        ending = "" if self.classifier == "prototype" else "_" + self.classifier.replace("-", "_")
        return f"{measure}_{self.photos}{ending}"

    def figures(self, faces: FaceSet) -> dict[str, Figure]:
        mated = self.searches.where(self.searches.mated)
        strangers = self.searches.where(~self.searches.mated)
        counted = {
            "rank_1": (mated, ~mated.not_first),
            "fnir": (mated, mated.missed),
            "fpir": (strangers, strangers.misnamed),
        }
        return {
            self.name(measure): drawn_rate(
                events,
                faces,
                searches,
                f"Photos, {_MEASURES[measure]}: {self.photos} enrolled of each person, {self.classifier}.",
            )
            for measure, (searches, events) in counted.items()
            if len(events)
        }


_SHOWN = {
    "rank_1": ("Best candidate", "The share of photos whose best candidate is right.", "best candidate right"),
    "fnir": ("Named", "A miss (FNIR) is a photo that is called unknown, uncertain or somebody else.", "named rightly"),
    "fpir": (
        "Strangers",
        "A false name (FPIR) is any name for a photo of somebody who is not enrolled, with the shipped settings.",
        "strangers given a name",
    ),
}
_STRANGERS = "Everybody else is a stranger: one photo of each is searched for, of 300 at most, drawn anew in each draw."
_NO_STRANGERS = "Nobody is a stranger here, so that FPIR is untested: no names for strangers could be counted."


def _check(shots: Sequence[int], classifiers: Sequence[str], draws: int, probes_each: int) -> None:
    unknown = next((name for name in classifiers if name not in CLASSIFIERS), None)
    if unknown is not None or not classifiers:
        raise UsageError(f"a classifier is one of {', '.join(CLASSIFIERS)}, not {printable(unknown or 'none')}")
    if not shots or min(*shots, draws, probes_each) < 1:
        raise UsageError("the numbers of enrolled photos, of draws and of photos to search for are at least 1")


def _search_all(
    bench: Bench, faces: FaceSet, plan: Plan, drawn: Sequence[ShotDraw], classifiers: Sequence[str]
) -> tuple[list[_Trial], list[LeftOut]]:
    """Enroll and search with every classifier; one that refuses a gallery of such a size is left out."""
    trials, refused = list[_Trial](), list[LeftOut]()
    for photos in plan.shots:
        bench.progress.begin(f"{photos} photos of each person", len(drawn) * len(classifiers))
        for classifier in classifiers:
            found, gallery, settings = list[Searches](), None, DecisionSettings(classifier=classifier)
            try:
                for draw in drawn:
                    gallery = enroll(bench.reader, faces, draw.enrolled(photos), settings)
                    found.append(gallery.search(draw.probes))
                    bench.progress.advance()
            except UsageError as error:
                refused.append(LeftOut(f"{classifier}, {photos} photos enrolled", str(error)))
                continue
            if gallery is not None:
                trials.append(_Trial(photos, classifier, Searches.joined(found), gallery))
    if not trials:
        raise DatasetError(f"{printable(faces.dataset.title)}: {refused[0].why}")
    return trials, refused


def _by_person(faces: FaceSet, stated: _Trial) -> Section:
    """Return who was taken for whom, and the missed photos."""
    matrix = confusion_matrix(stated.searches, stated.gallery.names, f"Who was named, {stated.photos} photos of each")
    text = (
        f"By the classifier {stated.classifier}, all draws together. A photo that is missed in every draw is hard, or "
        "wrongly labelled; one missed in a single draw met weak photos in the gallery."
    )
    report = classification_report(matrix, f"Classification report, {stated.photos} photos of each")
    items: tuple[Item, ...] = (matrix, report, *_missed(faces, stated))
    return Section(f"Person by person, {stated.photos} photos of each", (text,), items=items)


def _missed(faces: FaceSet, stated: _Trial) -> tuple[Table, ...]:
    """Return the missed photos, each once, as a table; nothing without any."""
    names, rows = stated.gallery.names, list[tuple[str, ...]]()
    for place in np.unique(stated.searches.places[stated.searches.missed]):
        mine = stated.searches.where(stated.searches.places == place)
        face, others = faces.faces[place], mine.not_first & (mine.first != NOBODY)
        named, first = (
            ", ".join(sorted({names[number] for number in numbers}))
            for numbers in (mine.named[mine.misnamed], mine.first[others])
        )
        weak = "no face found" if face is None else ", ".join(face.assessment.weaknesses)
        rows.append((str(faces.names[place]), named, first, f"{mine.missed.sum()} of {len(mine.places)}", weak))
    headings = ("photo", "named wrongly", "wrong best candidate", "missed in draws", "weaknesses")
    return (Table("Photos not given the right name", headings, tuple(rows)),) if rows else ()


def _how(plan: Plan, drawn: Sequence[ShotDraw], *, strangers: bool) -> str:
    numbers = ", ".join(map(str, plan.shots))
    searched = len(np.unique(np.concatenate([draw.probes for draw in drawn])))
    parts = " The dataset's own parts say which photos are enrolled and which are searched for." if plan.parts else ""
    return (
        f"{len(plan.people):,} people, all of them in the gallery, with {numbers} photos of each enrolled, drawn "
        f"{len(drawn)} times; {searched:,} different photos are searched for. People, draws and photos to search for "
        "are the same for all numbers and classifiers, and with more photos enrolled the fewer are among them. "
        f"{_STRANGERS if strangers else _NO_STRANGERS} Intervals draw people, or sources of photos where people are "
        f"few.{parts}"
    )


def _measured(trials: Sequence[_Trial], figures: dict[str, Figure], measure: str) -> Section:
    """Return one measure of all classifiers; misses are drawn as photos named rightly."""
    names = tuple(trial.name(measure) for trial in trials)
    title, text, label = _SHOWN[measure]
    classifiers, shots = (
        tuple(dict.fromkeys(found)) for found in zip(*((t.classifier, t.photos) for t in trials), strict=True)
    )
    shown = {(trial.photos, trial.classifier): figures[trial.name(measure)] for trial in trials}
    rows = tuple(
        (str(photos), *(_percent(shown.get((photos, classifier))) for classifier in classifiers)) for photos in shots
    )
    table = Table(f"{title}: {_MEASURES[measure]}", ("photos of each", *classifiers), rows)
    lines = tuple(_line(trials, figures, classifier, measure) for classifier in classifiers)
    return Section(
        title, (text,), names, (Curves(title, "photos enrolled of each person", f"share, {label}", lines), table)
    )


def _line(trials: Sequence[_Trial], figures: dict[str, Figure], classifier: str, measure: str) -> Line:
    mine = [trial for trial in trials if trial.classifier == classifier]
    found = [figures[trial.name(measure)] for trial in mine]
    line = line_of(classifier, [trial.photos for trial in mine], found)
    return opposite_line(line) if measure == "fnir" else line


def _percent(figure: Figure | None) -> str:
    return "refused" if figure is None else f"{100 * figure.value:.2f} %"


def _stated(trials: Sequence[_Trial]) -> _Trial:
    """Return the trial shown person by person: the first classifier's with five photos, or the next fewer."""
    first = [trial for trial in trials if trial.classifier == "prototype"] or list(trials)
    few = [trial for trial in first if trial.photos <= STATED] or first[:1]
    return next(trial for trial in few if trial.photos == few[-1].photos)


def _summary(plan: Plan, trials: Sequence[_Trial], figures: dict[str, Figure]) -> tuple[str, ...]:
    stated = _stated(trials)
    alike = [trial for trial in trials if trial.classifier == stated.classifier]
    among = [trial for trial in trials if trial.photos == stated.photos]
    named = figures.get(stated.name("fpir"))
    strangers = "FPIR is untested: there are no strangers." if named is None else f"Strangers given a name: {named}."
    beside = ", ".join(f"{trial.classifier} {_percent(figures[trial.name('rank_1')])}" for trial in among)
    return (
        f"{len(plan.people):,} people in the gallery, {stated.photos} photos of each, {stated.classifier}: the best "
        f"candidate is right for {figures[stated.name('rank_1')]}.",
        f"Not given the right name with the shipped settings: {figures[stated.name('fnir')]}. {strangers}",
        f"Best candidate right, from {alike[0].photos} to {alike[-1].photos} photos of each: "
        f"{_percent(figures[alike[0].name('rank_1')])} to {_percent(figures[alike[-1].name('rank_1')])}; not given the "
        f"right name: {_percent(figures[alike[0].name('fnir')])} to {_percent(figures[alike[-1].name('fnir')])}.",
        f"Classifiers side by side, {stated.photos} photos of each, best candidate right: {beside}.",
    )


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Who takes part, with how many photos.

    `people` are numbers, ``int64`` of shape ``(P,)``; all others are strangers. `shots` are the numbers of photos
    enrolled, smallest first. `may_enroll` and `may_search` have a truth value for each of N photos, by the dataset's
    own parts if `parts`. `left_out` has the numbers of photos and the people that do not take part.
    """

    people: NDArray[np.int64]
    shots: tuple[int, ...]
    may_enroll: NDArray[np.bool_]
    may_search: NDArray[np.bool_]
    parts: bool
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ShotDraw:
    """Places of each person's photos to enroll (fewer are the first of them), and of the probes, strangers included."""

    orders: tuple[NDArray[np.int64], ...]
    probes: NDArray[np.int64]

    def enrolled(self, photos: int) -> NDArray[np.int64]:
        """Return what is enrolled with so many photos of each person."""
        return np.concatenate([order[:photos] for order in self.orders])


def plan_shots(faces: FaceSet, shots: Sequence[int]) -> Plan:
    """Return the numbers of photos that enough people have, and the people with enough; raises `DatasetError`."""
    may_enroll, may_search, parts = _parts(faces.dataset)
    may_enroll &= faces.found
    may_search &= np.array([bool(digest) for digest in faces.hashes], dtype=np.bool_)
    room = _count(faces, may_enroll)
    room = np.where(_count(faces, may_search & faces.found) > 0, room, 0) if parts else np.maximum(room - 1, 0)
    wanted = sorted(set(shots))
    able = {photos: int((room >= photos).sum()) for photos in wanted}
    if able[wanted[0]] < 2:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: {able[wanted[0]]} people have photos with a face for {wanted[0]} to be "
            "enrolled and another to be searched for, and two are needed"
        )
    needed = min(_MOST_PEOPLE_NEEDED, able[wanted[0]])
    used = tuple(photos for photos in wanted if able[photos] >= needed)
    dropped = tuple(
        LeftOut(
            f"{photos} photos enrolled", f"only {able[photos]} of the people have enough photos; {needed} are needed"
        )
        for photos in wanted
        if photos not in used
    )
    left_out = (*dropped, *_too_few(faces, room, used[-1]))
    return Plan(np.flatnonzero(room >= used[-1]).astype(np.int64), used, may_enroll, may_search, parts, left_out)


def _parts(dataset: Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_], bool]:
    """Return which photos may be enrolled, which may be searched for, and whether the dataset's parts say so."""
    splits = np.array([photo.split or "" for photo in dataset.photos])
    train, validation, test = (splits == name for name in ("train", "validation", "test"))
    if not test.any():
        validation, test = test, validation
    train = train | validation
    if train.any() and test.any():
        return train, test, True
    return np.ones(len(splits), dtype=np.bool_), np.ones(len(splits), dtype=np.bool_), False


def _count(faces: FaceSet, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    owners = faces.dataset.owners
    return np.bincount(owners[chosen & (owners >= 0)], minlength=len(faces.dataset.people)).astype(np.int64)


def _too_few(faces: FaceSet, room: NDArray[np.int64], photos: int) -> tuple[LeftOut, ...]:
    """Return who has too few photos, one by one if they are few."""
    people, single = faces.dataset.people, _count(faces, faces.found) <= 1
    kinds = (
        (single, "a single photo with a face, or none: nothing is left to search for when it is enrolled"),
        (~single & (room < photos), f"too few photos with a face to enroll {photos} and search for another"),
    )
    left_out: list[LeftOut] = []
    for few, why in kinds:
        names = [people[person] for person in np.flatnonzero(few)]
        if len(names) > _MOST_LISTED:
            left_out.append(LeftOut(f"{len(names):,} people", why))
        else:
            left_out += [LeftOut(name, why) for name in names]
    return tuple(left_out)


def draw_all(
    bench: Bench, faces: FaceSet, plan: Plan, draws: int, probes_each: int
) -> tuple[tuple[ShotDraw, ...], tuple[LeftOut, ...]]:
    """Draw photos several times; copies of enrolled photos are returned as left out, not searched for.

    In a draw at most `probes_each` other photos of each person are searched for, and one photo of each stranger. Raises
    `DatasetError` if nothing is left to search for.
    """
    drawn, leaks = list[ShotDraw](), dict[str, LeftOut]()
    bench.progress.begin("draws of photos", draws)
    for turn in range(draws):
        draw = _draw(faces, plan, bench.random(_PURPOSE, turn), probes_each)
        enrolled = draw.enrolled(plan.shots[-1])
        copies = find_leakage(bench.reader, faces, enrolled, draw.probes)
        leaks |= {one.what: one for one in leaks_as_failures(faces, copies)}
        probes = unrelated(faces, draw.probes, enrolled)
        drawn.append(replace(draw, probes=probes[~np.isin(probes, [leak.probe for leak in copies])]))
        bench.progress.advance()
    owners = faces.dataset.owners
    if not all(np.isin(owners[draw.probes], plan.people).any() for draw in drawn):
        raise DatasetError(
            f"{printable(faces.dataset.title)}: every photo that could be searched for shares its source with an "
            "enrolled one, or is a copy of it"
        )
    return tuple(drawn), tuple(leaks.values())


def _draw(faces: FaceSet, plan: Plan, random: np.random.Generator, probes_each: int) -> ShotDraw:
    """Draw photos source by source, so that sources are left to search for."""
    owners, groups = faces.dataset.owners, faces.groups
    turn = random.permutation(int(groups.max()) + 1)
    orders: list[NDArray[np.int64]] = []
    probes: list[NDArray[np.int64]] = []
    for person in plan.people:
        mixed = random.permutation(np.flatnonzero(owners == person)).astype(np.int64)
        mixed = mixed[np.argsort(turn[groups[mixed]], kind="stable")]
        order = mixed[plan.may_enroll[mixed]][: plan.shots[-1]]
        others = mixed[plan.may_search[mixed] & ~np.isin(groups[mixed], groups[order])]
        orders.append(order)
        probes.append(random.permutation(others)[:probes_each])
    return ShotDraw(tuple(orders), np.concatenate([*probes, _strangers(faces, plan, random)]))


def _strangers(faces: FaceSet, plan: Plan, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw one photo of each person who is not enrolled, in turn, and photos of nobody named."""
    owners = faces.dataset.owners
    may = plan.may_search & faces.found & ~np.isin(owners, plan.people)
    people = random.permutation(np.unique(owners[may & (owners >= 0)]))
    photos = [random.permutation(np.flatnonzero(may & (owners == person)))[:1] for person in people]
    photos += [np.array([place]) for place in random.permutation(np.flatnonzero(may & (owners < 0)))]
    return in_turns(photos, _MOST_STRANGERS)
