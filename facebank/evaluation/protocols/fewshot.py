"""Accuracy by number of enrolled photos and by classifier.

People, probes and draws are the same for all numbers of photos and all classifiers. Smaller sets of enrolled photos are
subsets of larger ones, so a curve shows the effect of the number alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np

from facebank.errors import DatasetError, UsageError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, SkippedEntry
from facebank.evaluation.figures import format_percent
from facebank.evaluation.identification import classification_report, confusion_matrix, decision_note, line_of
from facebank.evaluation.leakage import find_leakage, leak_entries
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.draws import pooled_rate
from facebank.evaluation.protocols.options import Shots, open_people
from facebank.evaluation.report import Curves, Line, Report, Section, Table
from facebank.evaluation.searches import NOBODY, Searches, TrialGallery, enroll, exclude_related, round_robin
from facebank.evaluation.verification import complement_line
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Item

SHOTS = (1, 2, 3, 5, 10, 20)
REPORTED_PHOTOS = 5
"""Number of photos in the confusion matrix, or the next smaller one that was measured."""

_MEASURES = {"rank_1": "best candidate right", "fnir": "not given the right name", "fpir": "strangers given a name"}
_MAX_PEOPLE_NEEDED = 10
_MAX_LISTED = 10
_MAX_STRANGERS = 300
_PURPOSE = 6


@protocol(
    "fewshot",
    open_data=open_people,
    details="All other photos are searched for, with all classifiers.",
    examples=("fewshot people/", "fewshot people/ --enrolled 1 --enrolled 5 --classifier svm"),
)
def fewshot(
    bench: Bench,
    dataset: Dataset,
    *,
    shots: Shots = SHOTS,
    classifiers: Annotated[
        Sequence[str],
        Option(
            "--classifier",
            "Classifier to measure: prototype, knn, svm, svm-rbf or logistic; may be repeated. Default: all.",
            "KIND",
        ),
    ] = CLASSIFIERS,
    draws: int = 3,
    probes_each: int = 20,
) -> Report:
    """Return the report of searches after enrolling few photos of each person, with several classifiers.

    If the dataset has splits, training photos are enrolled and test photos are searched for.

    Parameters
    ----------
    shots
        Numbers of enrolled photos of each person. A number is skipped if fewer than ten people (or all, if fewer) have
        enough photos; people with too few for the largest remaining number are skipped.
    classifiers
        Names in `facebank.recognition.scoring.CLASSIFIERS`.
    draws
        Number of random draws of the enrolled photos.
    probes_each
        Largest number of probes of each person in a draw.

    Raises
    ------
    DatasetError
        Fewer than two people have enough photos, or no photo has a face.
    UsageError
        A classifier is unknown, or a number is below 1.
    """
    _check(shots, classifiers, draws, probes_each)
    faces = bench.read(replace(dataset, pairs=()))
    plan = plan_shots(faces, shots)
    drawn, leaks = draw_all(bench, faces, plan, draws, probes_each)
    trials, refused = _search_all(bench, faces, plan, drawn, classifiers)
    figures = {name: figure for trial in trials for name, figure in trial.figures(faces).items()}
    searches = trials[0].searches
    mated = searches.select(searches.mated)
    figures["failure_to_acquire"] = pooled_rate(
        ~mated.acquired, faces, mated, "Photos of enrolled people in which no face is found."
    )
    return bench.report(
        "fewshot",
        "Accuracy by number of enrolled photos",
        faces,
        summary=_summary(plan, trials, figures),
        figures=figures,
        sections=(
            Section(
                "Method",
                (_method_text(plan, drawn, has_strangers=len(mated.shown) < len(searches.shown)), decision_note(bench)),
                ("failure_to_acquire",),
            ),
            *(
                _measure_section(trials, figures, measure)
                for measure in _MEASURES
                if trials[0].name(measure) in figures
            ),
            _by_person(faces, _reported_trial(trials)),
        ),
        failures=(*plan.skipped, *leaks, *refused),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Searches of all draws with one classifier and number of photos, and the gallery of the last draw."""

    photos: int
    classifier: str
    searches: Searches
    gallery: TrialGallery

    def name(self, measure: str) -> str:
        """Return the name of a figure; the classifier is its suffix, except for the prototype."""
        suffix = "" if self.classifier == "prototype" else "_" + self.classifier.replace("-", "_")
        return f"{measure}_{self.photos}{suffix}"

    def figures(self, faces: FaceSet) -> dict[str, Figure]:
        mated = self.searches.select(self.searches.mated)
        strangers = self.searches.select(~self.searches.mated)
        measures = {
            "rank_1": (mated, ~mated.not_first),
            "fnir": (mated, mated.missed),
            "fpir": (strangers, strangers.misnamed),
        }
        return {
            self.name(measure): pooled_rate(
                events,
                faces,
                searches,
                f"Photos, {_MEASURES[measure]}: {self.photos} enrolled of each person, {self.classifier}.",
            )
            for measure, (searches, events) in measures.items()
            if len(events)
        }


_SECTIONS = {
    "rank_1": ("Best candidate", "The fraction of photos whose best candidate is right.", "best candidate right"),
    "fnir": ("Named", "FNIR counts photos that are unknown, uncertain or given another name.", "named correctly"),
    "fpir": (
        "Strangers",
        "FPIR counts photos of people who are not enrolled that get any name, with the shipped settings.",
        "strangers given a name",
    ),
}
_STRANGERS = "All other people are strangers; each draw searches for one photo each of at most 300 of them."
_NO_STRANGERS = "FPIR was not tested, since all people are enrolled."


def _check(shots: Sequence[int], classifiers: Sequence[str], draws: int, probes_each: int) -> None:
    unknown = next((name for name in classifiers if name not in CLASSIFIERS), None)
    if unknown is not None or not classifiers:
        raise UsageError(f"unknown classifier {printable(unknown or 'none')}; choose from {', '.join(CLASSIFIERS)}")
    if not shots or min(*shots, draws, probes_each) < 1:
        raise UsageError("the numbers of enrolled photos, draws and probes must be at least 1")


def _search_all(
    bench: Bench, faces: FaceSet, plan: Plan, drawn: Sequence[ShotDraw], classifiers: Sequence[str]
) -> tuple[list[_Trial], list[SkippedEntry]]:
    """Enroll and search with every classifier; classifiers that reject galleries of this size are skipped."""
    trials, refused = list[_Trial](), list[SkippedEntry]()
    for photos in plan.shots:
        bench.progress.begin(f"{pluralize(photos, 'photo')} of each person", len(drawn) * len(classifiers))
        for classifier in classifiers:
            searches, gallery, settings = list[Searches](), None, DecisionSettings(classifier=classifier)
            try:
                for draw in drawn:
                    gallery = enroll(bench.reader, faces, draw.enrolled(photos), settings)
                    searches.append(gallery.search(draw.probes))
                    bench.progress.advance()
            except UsageError as error:
                refused.append(SkippedEntry(f"{classifier}, {pluralize(photos, 'photo')} enrolled", str(error)))
                continue
            if gallery is not None:
                trials.append(_Trial(photos, classifier, Searches.concatenate(searches), gallery))
    if not trials:
        raise DatasetError(f"{printable(faces.dataset.title)}: {refused[0].reason}")
    return trials, refused


def _by_person(faces: FaceSet, reported: _Trial) -> Section:
    """Return the section with the confusion matrix, the classification report and the missed photos."""
    matrix = confusion_matrix(
        reported.searches, reported.gallery.names, f"Decisions, {pluralize(reported.photos, 'photo')} of each"
    )
    text = (
        f"Classifier {reported.classifier}, pooled over all draws. A photo that is missed in every draw is probably "
        "hard or mislabeled; one that is missed in a single draw met weak photos in the gallery."
    )
    report = classification_report(matrix, f"Classification report, {pluralize(reported.photos, 'photo')} of each")
    items: tuple[Item, ...] = (matrix, report, *_missed_tables(faces, reported))
    return Section(f"Person by person, {pluralize(reported.photos, 'photo')} of each", (text,), items=items)


def _missed_tables(faces: FaceSet, reported: _Trial) -> tuple[Table, ...]:
    """Return a table of the missed photos, each once; empty without any."""
    names, rows = reported.gallery.names, list[tuple[str, ...]]()
    for index in np.unique(reported.searches.indices[reported.searches.missed]):
        searches = reported.searches.select(reported.searches.indices == index)
        face, is_wrong_first = faces.faces[index], searches.not_first & (searches.first != NOBODY)
        named, first = (
            ", ".join(sorted({names[number] for number in numbers}))
            for numbers in (searches.named[searches.misnamed], searches.first[is_wrong_first])
        )
        weaknesses = "no face found" if face is None else ", ".join(face.assessment.weaknesses)
        rows.append(
            (str(faces.names[index]), named, first, f"{searches.missed.sum()} of {len(searches.indices)}", weaknesses)
        )
    headings = ("photo", "named wrongly", "wrong best candidate", "missed in draws", "weaknesses")
    return (Table("Photos not given the right name", headings, tuple(rows)),) if rows else ()


def _method_text(plan: Plan, drawn: Sequence[ShotDraw], *, has_strangers: bool) -> str:
    numbers = ", ".join(map(str, plan.shots))
    searched = len(np.unique(np.concatenate([draw.probes for draw in drawn])))
    splits = (
        " Training photos of the dataset are enrolled, and test photos are searched for." if plan.has_splits else ""
    )
    return (
        f"{len(plan.people):,} people are enrolled with {numbers} photos each, in {len(drawn)} random draws; "
        f"{searched:,} different photos are searched for. People, draws and probes are the same for all numbers and "
        f"classifiers, and smaller sets of enrolled photos are subsets of larger ones. "
        f"{_STRANGERS if has_strangers else _NO_STRANGERS} Bootstrap intervals resample people, or sources of photos "
        f"if people are few.{splits}"
    )


def _measure_section(trials: Sequence[_Trial], figures: dict[str, Figure], measure: str) -> Section:
    """Return the section of one measure for all classifiers; FNIR is plotted as photos named correctly."""
    names = tuple(trial.name(measure) for trial in trials)
    title, text, label = _SECTIONS[measure]
    classifiers, shots = (
        tuple(dict.fromkeys(values)) for values in zip(*((t.classifier, t.photos) for t in trials), strict=True)
    )
    by_trial = {(trial.photos, trial.classifier): figures[trial.name(measure)] for trial in trials}
    rows = tuple(
        (str(photos), *(_percent(by_trial.get((photos, classifier))) for classifier in classifiers)) for photos in shots
    )
    table = Table(f"{title}: {_MEASURES[measure]}", ("photos of each", *classifiers), rows)
    lines = tuple(_line(trials, figures, classifier, measure) for classifier in classifiers)
    return Section(
        title, (text,), names, (Curves(title, "photos enrolled of each person", f"fraction, {label}", lines), table)
    )


def _line(trials: Sequence[_Trial], figures: dict[str, Figure], classifier: str, measure: str) -> Line:
    selected = [trial for trial in trials if trial.classifier == classifier]
    line = line_of(
        classifier, [trial.photos for trial in selected], [figures[trial.name(measure)] for trial in selected]
    )
    return complement_line(line) if measure == "fnir" else line


def _percent(figure: Figure | None) -> str:
    return "refused" if figure is None else format_percent(figure.value)


def _reported_trial(trials: Sequence[_Trial]) -> _Trial:
    """Return the trial reported person by person: the first classifier with five photos, or the next fewer."""
    first = [trial for trial in trials if trial.classifier == "prototype"] or list(trials)
    candidates = [trial for trial in first if trial.photos <= REPORTED_PHOTOS] or first[:1]
    return next(trial for trial in candidates if trial.photos == candidates[-1].photos)


def _summary(plan: Plan, trials: Sequence[_Trial], figures: dict[str, Figure]) -> tuple[str, ...]:
    reported = _reported_trial(trials)
    same_classifier = [trial for trial in trials if trial.classifier == reported.classifier]
    fewest, most = same_classifier[0], same_classifier[-1]
    same_photos = [trial for trial in trials if trial.photos == reported.photos]
    fpir = figures.get(reported.name("fpir"))
    strangers = "FPIR was not tested: there are no strangers." if fpir is None else f"Strangers given a name: {fpir}."
    by_classifier = ", ".join(f"{trial.classifier} {_percent(figures[trial.name('rank_1')])}" for trial in same_photos)
    return (
        f"{len(plan.people):,} people enrolled with {pluralize(reported.photos, 'photo')} each, {reported.classifier}: "
        f"the best candidate is right for {figures[reported.name('rank_1')]}.",
        f"Not given the right name, with the shipped settings: {figures[reported.name('fnir')]}. {strangers}",
        f"Best candidate right, from {fewest.photos} to {most.photos} photos of each: "
        f"{_percent(figures[fewest.name('rank_1')])} to {_percent(figures[most.name('rank_1')])}; not given the "
        f"right name: {_percent(figures[fewest.name('fnir')])} to {_percent(figures[most.name('fnir')])}.",
        f"Best candidate right by classifier, {pluralize(reported.photos, 'photo')} of each: {by_classifier}.",
    )


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The people and numbers of photos of a run.

    `people` are indices into ``dataset.people``, ``int64`` of shape ``(P,)``; all others are strangers. `shots` are the
    numbers of enrolled photos, smallest first. `may_enroll` and `may_search` are masks of the photos, taken from the
    dataset's splits if `has_splits`. `skipped` lists the unused numbers of photos and people.
    """

    people: NDArray[np.int64]
    shots: tuple[int, ...]
    may_enroll: NDArray[np.bool_]
    may_search: NDArray[np.bool_]
    has_splits: bool
    skipped: tuple[SkippedEntry, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ShotDraw:
    """Indices of each person's photos to enroll, in order, and of the probes, including strangers': ``int64``."""

    orders: tuple[NDArray[np.int64], ...]
    probes: NDArray[np.int64]

    def enrolled(self, photos: int) -> NDArray[np.int64]:
        """Return the indices of the first `photos` photos of each person, ``int64`` of shape ``(N,)``."""
        return np.concatenate([order[:photos] for order in self.orders])


def plan_shots(faces: FaceSet, shots: Sequence[int]) -> Plan:
    """Return the numbers of photos that enough people have, and these people; raises `DatasetError` if none."""
    may_enroll, may_search, has_splits = _split_masks(faces.dataset)
    may_enroll &= faces.has_face
    may_search &= np.array([bool(content_hash) for content_hash in faces.hashes], dtype=np.bool_)
    limits = _count(faces, may_enroll)
    if has_splits:
        limits = np.where(_count(faces, may_search & faces.has_face) > 0, limits, 0)
    else:
        limits = np.maximum(limits - 1, 0)
    numbers = sorted(set(shots))
    counts = {photos: int((limits >= photos).sum()) for photos in numbers}
    if counts[numbers[0]] < 2:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: {counts[numbers[0]]} people have {numbers[0] + 1} photos with a face, "
            f"to enroll {numbers[0]} and search for one; two people are needed: add photos, or enroll fewer with "
            "--enrolled"
        )
    needed = min(_MAX_PEOPLE_NEEDED, counts[numbers[0]])
    used = tuple(photos for photos in numbers if counts[photos] >= needed)
    dropped = tuple(
        SkippedEntry(
            f"{pluralize(photos, 'photo')} enrolled", f"{counts[photos]} people have enough photos; {needed} are needed"
        )
        for photos in numbers
        if photos not in used
    )
    skipped = (*dropped, *_too_few(faces, limits, used[-1]))
    return Plan(np.flatnonzero(limits >= used[-1]).astype(np.int64), used, may_enroll, may_search, has_splits, skipped)


def _split_masks(dataset: Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_], bool]:
    """Return masks of the photos to enroll and to search for, and whether they come from the dataset's splits."""
    splits = np.array([photo.split or "" for photo in dataset.photos])
    train, validation, test = (splits == name for name in ("train", "validation", "test"))
    if not test.any():
        validation, test = test, validation
    train = train | validation
    if train.any() and test.any():
        return train, test, True
    return np.ones(len(splits), dtype=np.bool_), np.ones(len(splits), dtype=np.bool_), False


def _count(faces: FaceSet, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of masked photos of each person, ``int64`` of shape ``(P,)``."""
    person_indices = faces.dataset.person_indices
    return np.bincount(person_indices[mask & (person_indices >= 0)], minlength=len(faces.dataset.people)).astype(
        np.int64
    )


def _too_few(faces: FaceSet, limits: NDArray[np.int64], photos: int) -> tuple[SkippedEntry, ...]:
    """Return entries for the people with too few photos, summarized if there are many.

    `limits` is the largest number of photos that can be enrolled of each person, ``int64`` of shape ``(P,)``.
    """
    people, is_single = faces.dataset.people, _count(faces, faces.has_face) <= 1
    reasons = (
        (is_single, "fewer than two photos with a face, so that none is left to search for"),
        (~is_single & (limits < photos), f"too few photos with a face to enroll {photos} and search for another"),
    )
    skipped: list[SkippedEntry] = []
    for has_too_few, reason in reasons:
        names = [people[person] for person in np.flatnonzero(has_too_few)]
        if len(names) > _MAX_LISTED:
            skipped.append(SkippedEntry(f"{len(names):,} people", reason))
        else:
            skipped += [SkippedEntry(name, reason) for name in names]
    return tuple(skipped)


def draw_all(
    bench: Bench, faces: FaceSet, plan: Plan, draws: int, probes_each: int
) -> tuple[tuple[ShotDraw, ...], tuple[SkippedEntry, ...]]:
    """Return several draws of photos, and entries for the probes that were removed as copies of enrolled photos.

    Each draw has at most `probes_each` probes of each person and one of each stranger. Raises `DatasetError` if no
    probe of an enrolled person is left.
    """
    drawn, leaks = list[ShotDraw](), dict[str, SkippedEntry]()
    bench.progress.begin("draws of photos", draws)
    for draw_number in range(draws):
        draw = _draw(faces, plan, bench.random(_PURPOSE, draw_number), probes_each)
        enrolled = draw.enrolled(plan.shots[-1])
        copies = find_leakage(bench.reader, faces, enrolled, draw.probes)
        leaks |= {leak.entry: leak for leak in leak_entries(faces, copies)}
        probes = exclude_related(faces, draw.probes, enrolled)
        drawn.append(replace(draw, probes=probes[~np.isin(probes, [leak.probe for leak in copies])]))
        bench.progress.advance()
    person_indices = faces.dataset.person_indices
    if not all(np.isin(person_indices[draw.probes], plan.people).any() for draw in drawn):
        raise DatasetError(
            f"{printable(faces.dataset.title)}: no probes are left, since all other photos share their source with an "
            "enrolled photo or are copies of one; add photos of other occasions"
        )
    return tuple(drawn), tuple(leaks.values())


def _draw(faces: FaceSet, plan: Plan, random: np.random.Generator, probes_each: int) -> ShotDraw:
    """Draw photos grouped by source, to leave as many sources as possible for probes."""
    person_indices, groups = faces.dataset.person_indices, faces.groups
    group_ranks = random.permutation(int(groups.max()) + 1)
    orders: list[NDArray[np.int64]] = []
    probes: list[NDArray[np.int64]] = []
    for person in plan.people:
        mixed = random.permutation(np.flatnonzero(person_indices == person)).astype(np.int64)
        mixed = mixed[np.argsort(group_ranks[groups[mixed]], kind="stable")]
        order = mixed[plan.may_enroll[mixed]][: plan.shots[-1]]
        searchable = mixed[plan.may_search[mixed] & ~np.isin(groups[mixed], groups[order])]
        orders.append(order)
        probes.append(random.permutation(searchable)[:probes_each])
    return ShotDraw(tuple(orders), np.concatenate([*probes, _strangers(faces, plan, random)]))


def _strangers(faces: FaceSet, plan: Plan, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw one photo of each person who is not enrolled, and unlabeled photos."""
    person_indices = faces.dataset.person_indices
    is_candidate = plan.may_search & faces.has_face & ~np.isin(person_indices, plan.people)
    people = random.permutation(np.unique(person_indices[is_candidate & (person_indices >= 0)]))
    photos = [random.permutation(np.flatnonzero(is_candidate & (person_indices == person)))[:1] for person in people]
    photos += [np.array([index]) for index in random.permutation(np.flatnonzero(is_candidate & (person_indices < 0)))]
    return round_robin(photos, _MAX_STRANGERS)
