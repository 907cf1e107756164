"""Confusion of people who look alike, in a gallery of just these people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.curves import risk_coverage
from facebank.evaluation.dataset import Dataset, SkippedEntry
from facebank.evaluation.datasets import open_dataset
from facebank.evaluation.figures import INTERVAL, Figure, FigureKind, Resamples
from facebank.evaluation.identification import classification_report, confusion_matrix, decision_note
from facebank.evaluation.protocols import protocol
from facebank.evaluation.protocols.draws import count_photos, draw_photos, pooled_rate, units_of
from facebank.evaluation.protocols.options import Person, RelativesFile
from facebank.evaluation.protocols.twins_pairs import (
    TwinGroup,
    compare_pairs,
    count_photos_with_face,
    groups_of,
    select_comparable,
    select_testable,
    untested_reason,
)
from facebank.evaluation.relatives import RelatedPair, read_relatives
from facebank.evaluation.report import Curves, Histogram, Item, Report, Section, Table
from facebank.evaluation.searches import Searches, TrialGallery, enroll, exclude_related, first_per_person
from facebank.storage.text import pluralize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet

SHOTS = (1, 2, 3, 5)
_COVERAGE = 0.7
_RESAMPLES = 200
_MATRICES = 3
_DRAW, _STRANGERS, _OTHERS = 1, 4, 5
_STRANGERS_PER_DRAW = 20
_MAX_OTHERS = 500
"""Maximum number of other people, with one photo each, who form 100,000 pairs of unrelated people."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Searches in the galleries of one group, for its people and for strangers.

    `probabilities` are those of the person shown, ``float64``, NaN without a face or a calibration.
    """

    group: TwinGroup
    photos: int
    searches: Searches
    probabilities: NDArray[np.float64]
    strangers: Searches


def _open(data: Path, relatives: RelativesFile = None) -> dict[str, Any]:
    listed = None if relatives is None else read_relatives(relatives)
    return {"dataset": open_dataset(data), "relatives": listed}


@protocol(
    "twins",
    open_data=_open,
    details="Reports confusion matrices, and the error by coverage.",
    examples=("twins people/ --person Ada --person Byron", "twins lfw/ --relatives relatives.tsv"),
)
def twins(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Person = None,
    relatives: Sequence[RelatedPair] | None = None,
    shots: Sequence[int] = SHOTS,
    draws: int = 10,
) -> Report:
    """Return the report of the confusion of people who look alike.

    Parameters
    ----------
    people
        Two or more people for one gallery.
    relatives
        Pairs, each with its own gallery. Without `people` and `relatives`, all people of a dataset of at most twelve
        form one gallery.
    shots
        Numbers of enrolled photos of each person; groups with too few photos are only compared as pairs.
    draws
        Number of random draws of the enrolled photos.

    Raises
    ------
    DatasetError
        A given person is not in the dataset, nobody is given, or no group has two people with a photo with a face.
    """
    if not shots or min(shots) < 1 or draws < 1:
        raise DatasetError("the numbers of enrolled photos and of draws must be at least 1")
    groups, used = groups_of(dataset, people, relatives), sorted(set(shots))
    present, absent = select_comparable(dataset, groups, count_photos(dataset), "photos")
    lookalikes = {person for group in groups for person in group.people}
    faces = bench.read(_select_photos(bench, replace(dataset, pairs=()), lookalikes))
    present, faceless = select_comparable(dataset, present, count_photos_with_face(faces), "photos with a face")
    strangers = _strangers(bench, faces, lookalikes)
    tested_groups, too_few = select_testable(present, count_photos_with_face(faces), "photos with a face")
    trials_by_shots, rows = _run_trials(bench, faces, tested_groups, used, draws=draws, strangers=strangers)
    with_trials = {trial.group for trials in trials_by_shots.values() for trial in trials}
    untested = [
        SkippedEntry(group.label, "not tested with any of these numbers of photos")
        for group in tested_groups
        if group not in with_trials
    ]
    skipped = (*absent, *faceless, *too_few, *untested)
    pair_figures, pair_sections, sentences = compare_pairs(bench, faces, present, lookalikes, used)
    figures, trial_sections = _trial_sections(faces, trials_by_shots, rows) if trials_by_shots else ({}, ())
    return bench.report(
        "twins",
        "Confusion of people who look alike",
        faces,
        summary=(*_summary(figures | pair_figures, trials_by_shots, len(skipped)), *sentences),
        figures=figures | pair_figures,
        sections=(*trial_sections, *pair_sections, Section("Basis of the decisions", (decision_note(bench),))),
        failures=skipped,
    )


def _trial_sections(
    faces: FaceSet, trials_by_shots: dict[int, list[Trial]], rows: tuple[tuple[str, ...], ...]
) -> tuple[dict[str, Figure], tuple[Section, ...]]:
    rates = {
        name: figure
        for photos, trials in trials_by_shots.items()
        for name, figure in _rates(faces, trials, photos).items()
    }
    middle = max((photos for photos in trials_by_shots if photos <= 3), default=min(trials_by_shots))
    risk, trials = _risk(faces, trials_by_shots[middle], middle), trials_by_shots[middle]
    items = (Table("Group by group", _HEADINGS, rows), *_matrices(trials), *_wrong_photos(faces, trials))
    strangers = _STRANGER_TEXT if any(name.startswith("fpir") for name in rates) else _NO_STRANGERS
    return rates | risk, (
        Section("Confusion", (f"{_METHOD} {strangers}", _CAVEAT), tuple(rates), items),
        Section("Risk and coverage", _RISK_TEXT, tuple(risk), (_curves(trials_by_shots), *_histogram(trials_by_shots))),
    )


def _run_trials(
    bench: Bench,
    faces: FaceSet,
    groups: Sequence[TwinGroup],
    shots: Sequence[int],
    *,
    draws: int,
    strangers: NDArray[np.int64],
) -> tuple[dict[int, list[Trial]], tuple[tuple[str, ...], ...]]:
    """Return the trials of every group with every number of photos, and a table row for each combination."""
    counts, trials_by_shots, rows = count_photos_with_face(faces), dict[int, list[Trial]](), list[tuple[str, ...]]()
    bench.progress.begin("people who look alike", len(shots) * len(groups))
    for photos in shots:
        for group in groups:
            start, trial = (group.label, f"{photos}"), None
            reason = untested_reason(group, counts)
            if min(counts[person] for person in group.people) > photos:
                trial = _run_trial(bench, faces, group, photos, draws=draws, strangers=strangers)
                reason = "not tested: all other photos share a source"
            bench.progress.advance()
            if trial is None:
                rows.append((*start, reason, "", "", "", ""))
                continue
            trials_by_shots.setdefault(photos, []).append(trial)
            searches = trial.searches
            events = (~searches.not_first, searches.missed, searches.misnamed, searches.uncertain)
            rows.append((*start, f"{len(searches.shown):,}", *(f"{int(event.sum()):,}" for event in events)))
    return trials_by_shots, tuple(rows)


def _select_photos(bench: Bench, dataset: Dataset, lookalikes: set[str]) -> Dataset:
    """Return the photos of people who look alike, and one photo each of up to 500 other people."""
    is_omitted = np.array([photo.person not in lookalikes for photo in dataset.photos])
    mixed = bench.random(_OTHERS).permutation(np.flatnonzero(is_omitted))
    named = mixed[dataset.person_indices[mixed] >= 0]
    first = np.sort(np.unique(dataset.person_indices[named], return_index=True)[1])
    is_omitted[np.concatenate([named[first], mixed[dataset.person_indices[mixed] < 0]])[:_MAX_OTHERS]] = False
    return dataset.select(~is_omitted)


def _strangers(bench: Bench, faces: FaceSet, lookalikes: set[str]) -> NDArray[np.int64]:
    """Return one drawn photo of each other person, and unlabeled photos."""
    person_indices, random = faces.dataset.person_indices, bench.random(_STRANGERS)
    excluded = [number for number, person in enumerate(faces.dataset.people) if person in lookalikes]
    mixed = random.permutation(np.flatnonzero(faces.has_face & ~np.isin(person_indices, excluded)))
    return random.permutation(first_per_person(person_indices, mixed))


def _run_trial(
    bench: Bench, faces: FaceSet, group: TwinGroup, photos: int, *, draws: int, strangers: NDArray[np.int64]
) -> Trial | None:
    """Return the searches of several draws; None if all other photos of a person share a source with enrolled ones."""
    seed = sum(map(ord, "".join(group.people))) % 2**16
    searches, probabilities, stranger_searches = [], [], []
    for draw_number in range(draws):
        draw = draw_photos(faces, group.people, photos, bench.random(_DRAW, seed, photos, draw_number))
        trial = enroll(bench.reader, faces, draw.enrolled)
        searches.append(trial.search(draw.probes))
        stranger_probes = np.roll(strangers, -_STRANGERS_PER_DRAW * (seed + draw_number))[:_STRANGERS_PER_DRAW]
        stranger_searches.append(trial.search(exclude_related(faces, stranger_probes, draw.enrolled)))
        probabilities.append(_shown_probabilities(trial, searches[-1]))
    joined = Searches.concatenate(searches)
    if len(np.unique(joined.shown)) < len(group.people):
        return None
    return Trial(group, photos, joined, np.concatenate(probabilities), Searches.concatenate(stranger_searches))


def _shown_probabilities(trial: TrialGallery, searches: Searches) -> NDArray[np.float64]:
    """Return the probability of the person shown in each search, 0 if not among the candidates."""
    probabilities = searches.probabilities.copy()
    for index in np.flatnonzero(searches.not_first & searches.acquired):
        face, name = trial.faces.faces[searches.indices[index]], trial.names[searches.shown[index]]
        if face is not None and np.isfinite(probabilities[index]):
            candidates = trial.recognizer.identify([face])[0].candidates
            probabilities[index] = next(
                (candidate.probability or 0.0 for candidate in candidates if candidate.person == name), 0.0
            )
    return probabilities


def _pool_searches(trials: Sequence[Trial]) -> Searches:
    return Searches.concatenate([trial.searches for trial in trials])


def _rates(faces: FaceSet, trials: Sequence[Trial], photos: int) -> dict[str, Figure]:
    searches = _pool_searches(trials)
    events_by_name = {
        "accuracy": (~searches.not_first, "the best candidate is right"),
        "fnir": (searches.missed, "the right name is not given"),
        "wrongly_named": (searches.misnamed, "a wrong name is given"),
        "uncertain": (searches.uncertain, "the answer is uncertain"),
    }
    rates = {
        f"{name}_{photos}": pooled_rate(events, faces, searches, f"Photos, {photos} enrolled of each: {meaning}.")
        for name, (events, meaning) in events_by_name.items()
    }
    strangers = Searches.concatenate([trial.strangers for trial in trials])
    if len(strangers.shown):
        meaning = f"Photos of strangers that get a name, {photos} enrolled of each."
        rates[f"fpir_{photos}"] = pooled_rate(strangers.misnamed, faces, strangers, meaning)
    return rates


def _confidence_ranks(searches: Searches) -> NDArray[np.float64]:
    """Return ranks by the best candidate's probability, with ties (such as 1.0) broken by similarity."""
    values = (np.nan_to_num(column, nan=-np.inf) for column in (searches.similarities, searches.probabilities))
    return np.unique(np.stack(list(values)[::-1], axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(float)


def _risk(faces: FaceSet, trials: Sequence[Trial], photos: int) -> dict[str, Figure]:
    """Return the error among the most confident 70 % of answers, and the area under the risk-coverage curve."""
    searches = _pool_searches(trials)
    confidences, wrong = _confidence_ranks(searches), searches.not_first
    order = np.argsort(-confidences, kind="stable")
    part = searches.select(np.isin(np.arange(len(wrong)), order[: int(np.ceil(_COVERAGE * len(wrong)))]))
    error = pooled_rate(
        part.not_first, faces, part, f"Wrong among the most confident 70 % of answers, {photos} enrolled."
    )
    resamples = Resamples.of(units_of(faces, searches), _RESAMPLES)
    areas = []
    for counts in resamples.draws:
        weights = counts[resamples.indices][order]
        answered = np.maximum(np.cumsum(weights), 1e-12)
        areas.append(float((np.cumsum(weights * wrong[order]) / answered) @ weights / answered[-1]))
    low, high = np.quantile(areas, INTERVAL)
    area = Figure(
        risk_coverage(confidences, wrong).area,
        (float(low), float(high)) if wrong.any() and resamples.draws.shape[1] > 1 else None,
        len(wrong),
        kind=FigureKind.NUMBER,
        descriptive=True,
        meaning=f"Mean fraction wrong over all coverages, {photos} enrolled; lower is better.",
    )
    return {"error_at_coverage_70": replace(error, descriptive=True), "area_under_risk_coverage": area}


def _curves(trials_by_shots: dict[int, list[Trial]]) -> Curves:
    by_photos = {photos: _pool_searches(trials) for photos, trials in trials_by_shots.items()}
    lines = [
        risk_coverage(_confidence_ranks(searches), searches.not_first).line(f"{photos} enrolled")
        for photos, searches in by_photos.items()
    ]
    return Curves("Risk by coverage", "fraction answered", "fraction wrong", tuple(lines))


def _histogram(trials_by_shots: dict[int, list[Trial]]) -> tuple[Item, ...]:
    probabilities = {
        photos: np.concatenate([trial.probabilities for trial in trials]) for photos, trials in trials_by_shots.items()
    }
    finite = [(f"{photos} enrolled", values[np.isfinite(values)]) for photos, values in probabilities.items()]
    groups = tuple((label, values) for label, values in finite if len(values))
    return (Histogram("Probability of the person shown", "probability", groups),) if groups else ()


def _matrices(trials: Sequence[Trial]) -> tuple[Item, ...]:
    """Return confusion matrices and classification reports of the groups with most misses."""
    items = list[Item]()
    for trial in sorted(trials, key=lambda trial: -int(trial.searches.missed.sum()))[:_MATRICES]:
        title = f"{trial.group.label}, {trial.photos} enrolled of each"
        matrix = confusion_matrix(trial.searches, tuple(sorted(trial.group.people)), title)
        items += [matrix, classification_report(matrix, f"{title}: person by person")]
    return tuple(items)


def _wrong_photos(faces: FaceSet, trials: Sequence[Trial]) -> tuple[Table, ...]:
    """Return a table of the photos whose best candidate is wrong, each once per group; empty without any."""
    rows = list[tuple[str, ...]]()
    for trial in trials:
        searches = trial.searches
        for index in np.unique(searches.indices[searches.not_first]):
            is_photo = searches.indices == index
            named = "yes" if (is_photo & searches.misnamed).any() else "no"
            times = f"{int((is_photo & searches.not_first).sum())} of {int(is_photo.sum())}"
            rows.append((str(faces.names[index]), trial.group.label, times, named))
    title = f"Photos whose best candidate is wrong, {trials[0].photos} enrolled of each"
    headings = ("photo", "in the gallery of", "wrong in draws", "wrong name given")
    return (Table(title, headings, tuple(rows)),) if rows else ()


def _summary(figures: dict[str, Figure], trials_by_shots: dict[int, list[Trial]], untested: int) -> tuple[str, ...]:
    sentences = [
        f"{photos} enrolled of each, {pluralize(len(trials), 'group')}: the best candidate is "
        f"right for {figures[f'accuracy_{photos}']}; a wrong name is given for "
        f"{figures[f'wrongly_named_{photos}']}."
        for photos, trials in trials_by_shots.items()
        if photos in (min(trials_by_shots), max(trials_by_shots))
    ]
    name = next((name for name in figures if name.startswith("twin_fmr")), None)
    if name is not None:
        unrelated = "the threshold with an FMR of 0.01 % for unrelated people"
        threshold = unrelated if "unrelated" in name else "the shipped threshold"
        sentences.append(f"Pairs of photos of people who look alike that match at {threshold}: {figures[name]}.")
    if untested:
        sentences.append(f"{pluralize(untested, 'group was', 'groups were')} not tested, for lack of photos.")
    return tuple(sentences)


_HEADINGS = ("who", "enrolled of each", "searches", "best right", "not named rightly", "another's name", "uncertain")
_METHOD = (
    "Each gallery has only people who look alike. Some photos of each are enrolled and all others searched for, "
    "in several random draws. Photos that share a source with an enrolled one are excluded from the probes."
)
_STRANGER_TEXT = (
    "Strangers (FPIR) are all other people of the data, with one photo each and 20 different ones for each gallery."
)
_NO_STRANGERS = "FPIR was not tested: the data has no other people."
_CAVEAT = (
    "Groups with many photos dominate these figures, and fewer groups have enough photos for larger numbers. Compare "
    "numbers of photos within a group."
)
_RISK_TEXT = (
    "Answers are ranked by the best candidate's probability, then by its similarity, and the least confident ones are "
    "withheld. Coverage is the fraction of searches answered; risk is the fraction of those answers that are wrong.",
)
