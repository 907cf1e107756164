"""Groups of people: differences in how often strangers are named and people missed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, LeftOut
from facebank.evaluation.figures import Figure, Kind, Resamples
from facebank.evaluation.identification import (
    CALIBRATION,
    calibration_section,
    decided_section,
    searches_table,
    strangers_table,
)
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.groups_trials import (
    Density,
    GroupTrial,
    PeopleGroup,
    across_figure,
    density,
    grouped_by,
    try_group,
)
from facebank.evaluation.protocols.options import USUAL_FPIR, Enrolled, Fpir, open_people
from facebank.evaluation.report import Histogram, Report, Section, Table
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.protocols.groups_trials import Grouping

LEAST_PEOPLE = 6
"""A group in which fewer people can be enrolled is not compared."""

_OF_PHOTOS = ("failure_to_acquire", "rank_1")
_KINDS = (("false_positive", "FPIR", "fpir"), ("false_negative", "FNIR", "fnir"))
_NOTHING = 1e-12


@protocol(
    "groups",
    open_data=open_people,
    details="How many strangers are named and people missed, group by group, by how much the groups differ, and how "
    "alike people of a group are.",
    examples=("groups people/ --by ages.csv --column age", "groups ages.npz --column young"),
)
def groups(
    bench: Bench,
    dataset: Dataset,
    column: Annotated[str, Option("--column", "The column that says the group.", "NAME")],
    by: Annotated[
        Path | None,
        Option("--by", "A CSV with a column 'person' or 'photo', and that one; else the npz's own.", "FILE"),
    ] = None,
    *,
    photos: Enrolled = 2,
    gallery_size: Annotated[
        int, Option("--gallery-size", "People enrolled at a time, if there are enough.", "N", least=1)
    ] = 20,
    draws: int = 20,
    fpir: Fpir = USUAL_FPIR,
) -> Report:
    """Compare error rates of groups of people.

    Parameters
    ----------
    column, by
        The column of the groups, and its table; None for the traits of the photos.
    photos
        Number of photos enrolled of each person.
    gallery_size
        The most people enrolled in a gallery: the same in all groups, half of the smallest group at most.
    draws
        Galleries of each group.
    fpir
        Fraction of strangers that may be named.

    Raises
    ------
    DatasetError
        Fewer than two groups have enough people.
    UsageError
        There is no calibration for the fraction of strangers.
    """
    if min(photos, gallery_size, draws) < 1:
        raise DatasetError("at least one photo of at least one person must be enrolled, and drawn at least once")
    settings, grouping = DecisionSettings(fpir=fpir), grouped_by(dataset, column, by)
    faces = bench.read(replace(dataset, pairs=()))
    groups_of_people, left_out = _groups_of_people(faces, grouping, photos)
    size = (min(gallery_size, min(len(group.able) for group in groups_of_people) // 2), photos, draws)
    bench.progress.begin(f"groups by {grouping.column}", draws * len(groups_of_people))
    trials = [
        try_group(bench, faces, groups_of_people, number, size=size, settings=settings)
        for number in range(len(groups_of_people))
    ]
    alike = [density(bench, faces, group, number) for number, group in enumerate(groups_of_people)]
    every = (*grouping.left_out, *left_out)
    return _report(bench, faces, grouping, trials, alike=alike, how=(size, fpir), left_out=every)


def _groups_of_people(faces: FaceSet, grouping: Grouping, photos: int) -> tuple[list[PeopleGroup], list[LeftOut]]:
    owners, groups_of_people, left_out = faces.dataset.owners, list[PeopleGroup](), list[LeftOut]()
    names = set[str]()
    for place, group in enumerate(grouping.names):
        mine = np.flatnonzero((grouping.of_photo == place) & faces.found & (owners >= 0)).astype(np.int64)
        counts = np.bincount(owners[mine], minlength=len(faces.dataset.people))
        able = np.flatnonzero(counts > photos).astype(np.int64)
        label = f"{grouping.column}: {group}"
        if len(able) < LEAST_PEOPLE:
            why = f"untested: {len(able)} people with more than {photos} photos with a face; {LEAST_PEOPLE} are needed"
            left_out.append(LeftOut(label, why))
            continue
        groups_of_people.append(PeopleGroup(_unlike(_figure_name(label, place), names), label, mine, able))
    if len(groups_of_people) < 2:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: fewer than two groups have {LEAST_PEOPLE} people with more than "
            f"{photos} photos with a face ({'; '.join(f'{one.what}: {one.why}' for one in left_out[:2])})"
        )
    return groups_of_people, left_out


def _figure_name(label: str, place: int) -> str:
    """Return a group's label as figure names contain it."""
    words = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    return words or f"group_{place + 1}"


def _unlike(name: str, names: set[str]) -> str:
    """Return a name that no other group has."""
    free, number = name, 2
    while free in names:
        free, number = f"{name}_{number}", number + 1
    names.add(free)
    return free


def _report(
    bench: Bench,
    faces: FaceSet,
    grouping: Grouping,
    trials: Sequence[GroupTrial],
    *,
    alike: Sequence[Density | None],
    how: tuple[tuple[int, int, int], float],
    left_out: Sequence[LeftOut],
) -> Report:
    (people, photos, draws), fpir = how
    conditions = [trial.within for trial in trials]
    within = {name: figure for one in conditions for name, figure in one.figures().items()}
    within = {name: figure for name, figure in within.items() if not name.startswith(_OF_PHOTOS)}
    trusted = {name: figure for name, figure in within.items() if name.startswith(CALIBRATION)}
    rates = {name: figure for name, figure in within.items() if name not in trusted}
    differ = differentials(trials, rates)
    across = {name: figure for trial in trials for name, figure in across_figure(faces, trial).items()}
    dense = {
        f"mean_similarity_{trial.group.name}": one.mean
        for trial, one in zip(trials, alike, strict=True)
        if one is not None
    }
    galleries = (
        f"Each gallery holds {people} people of one group with {photos} photos each: as many in every group, {draws} "
        "galleries of each, drawn anew. Their other photos of the group are searched for, and one photo each of "
        f"people of the same group who are not enrolled: strangers who are most like them. {100 * fpir:g} % of "
        "strangers may be named, as a calibration on other people expects."
    )
    trust = (searches_table(conditions), strangers_table(conditions))
    sections = (
        Section("Within groups", (galleries, _PEOPLE), tuple(rates), trust),
        Section("Differentials", (*_DIFFERENTIALS, *_without(differ)), tuple(differ)),
        Section("Strangers of other groups", (_ACROSS,), tuple(across)),
        Section("Why: how alike people of a group are", (_DENSE,), tuple(dense), _alike(trials, alike)),
        calibration_section("Are the probabilities right", (_TRUSTED,), conditions, trusted),
        decided_section(bench, faces),
    )
    figures = rates | differ | across | dense | trusted
    return bench.report(
        "groups",
        f"Groups of people, by {grouping.column}",
        faces,
        summary=_summary(trials, figures, how, len(left_out)),
        figures=figures,
        sections=sections,
        failures=left_out,
    )


def _alike(trials: Sequence[GroupTrial], alike: Sequence[Density | None]) -> tuple[Table, Histogram]:
    measured = [(trial.group, one) for trial, one in zip(trials, alike, strict=True) if one is not None]
    rows = tuple(
        (group.label, f"{len(group.able):,}", f"{len(one.similarities):,}", f"{one.mean.value:.3f}", f"{one.upper:.3f}")
        for group, one in measured
    )
    headings = ("group", "people who can be enrolled", "pairs of photos", "mean similarity", "one in a hundred reaches")
    histogram = Histogram(
        "Similarity of photos of different people of a group",
        "similarity",
        tuple((group.label, one.similarities) for group, one in measured),
    )
    return Table("Different people of a group", headings, rows), histogram


def _summary(
    trials: Sequence[GroupTrial], figures: dict[str, Figure], how: tuple[tuple[int, int, int], float], left_out: int
) -> tuple[str, ...]:
    (people, photos, _), fpir = how
    sentences = [f"{people} people with {photos} photos each in a gallery; {100 * fpir:g} % of strangers may be named."]
    for trial in trials:
        name = trial.group.name
        parts = [
            f"{words} {figures[f'{key}_{name}']}"
            for key, words in (
                ("fpir", "strangers of the group are given a name for"),
                ("fnir", "people are missed or wrongly named for"),
            )
            if f"{key}_{name}" in figures
        ]
        sentences.append(f"In the group {trial.group.label}, {'; '.join(parts)}.")
    for kind, words in (("positive", "strangers named"), ("negative", "people missed")):
        if f"false_{kind}_differential" in figures:
            ratio = figures[f"false_{kind}_differential"]
            sentences.append(f"False {kind} differential ({words}, highest group to lowest): {ratio}.")
    if left_out:
        sentences.append(f"Left out: {left_out:,}; the report lists them.")
    return tuple(sentences)


def _without(differ: dict[str, Figure]) -> tuple[str, ...]:
    """Return which differentials cannot be given."""
    kinds = (("positive", "no stranger was named"), ("negative", "nobody was missed"))
    return tuple(
        f"There is no false {kind} differential: in some group {what}, and a ratio to a rate of 0 is no number."
        for kind, what in kinds
        if f"false_{kind}_differential" not in differ
    )


_PEOPLE = "Intervals draw people, also where they are few; a photo that is searched for in several draws counts as one."
_DIFFERENTIALS = (
    "Terms of ISO/IEC 19795-10: a false positive differential compares the groups' FPIR, a false negative "
    "differential their FNIR. Each is given as the ratio of the highest rate to the lowest, and of the highest to "
    "the geometric mean of all groups. Rates of groups that do not differ give ratios above 1 by chance, more so "
    "with few people and many groups: a difference is shown where the whole interval is clearly above 1. Where "
    "people drawn anew leave a group without an error, the interval has no upper end.",
)
_ACROSS = "The same galleries, and strangers of all other groups, one photo of each person."
_DENSE = (
    "Strangers are named where people of a group are more alike to the network than the people whom it was "
    "calibrated on: the threshold is the same for all."
)
_TRUSTED = "The best candidate's probability, half of the searches weighing as strangers', group by group."


def differentials(trials: Sequence[GroupTrial], figures: dict[str, Figure]) -> dict[str, Figure]:
    """Return the differentials of ISO/IEC 19795-10 of rates that are not 0 in any group.

    False positive differentials compare the groups' FPIR, false negative ones their FNIR: ratios of the highest rate to
    the lowest, and to the geometric mean of all groups; 1 is no difference.
    """
    found: dict[str, Figure] = {}
    for kind, rate, key in _KINDS:
        rates = [figures.get(f"{key}_{trial.group.name}") for trial in trials]
        measured = [one for one in rates if one is not None]
        if len(measured) < len(trials) or min(one.value for one in measured) <= 0:
            continue
        values = np.array([[one.value] for one in measured])
        drawn = _drawn_rates(trials, positive=key == "fpir")
        fewest = min(one.distinct if one.distinct is not None else 0 for one in measured)
        for name, words, ratio in (
            ("", "lowest", _to_lowest),
            ("_to_geometric_mean", "geometric mean", _to_geometric_mean),
        ):
            low, high = np.quantile(ratio(drawn), (0.025, 0.975), method="inverted_cdf")  # some may be infinite
            found[f"{kind}_differential{name}"] = Figure(
                float(ratio(values)[0]),
                (float(low), float(high)),
                len(measured),
                kind=Kind.NUMBER,
                meaning=f"The highest {rate} of a group, divided by the {words} of all groups; 1 is no difference.",
                distinct=fewest,
            )
    return found


def _to_lowest(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratios(rates.max(axis=0), rates.min(axis=0))


def _to_geometric_mean(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratios(rates.max(axis=0), rates.prod(axis=0) ** (1 / len(rates)))


def _ratios(highest: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ratios; infinite to 0, and 1 if both are 0."""
    ratios = np.where(highest > 0, np.inf, 1.0)
    return np.divide(highest, others, out=ratios, where=others > 0)


def _drawn_rates(trials: Sequence[GroupTrial], *, positive: bool) -> NDArray[np.float64]:
    """Return each group's rate in each resample, ``(G, R)``; people of several groups are drawn once for all."""
    parts = []
    for place, trial in enumerate(trials):
        searches, units = trial.within.searches, trial.within.units
        some = ~searches.mated if positive else searches.mated
        events = (searches.misnamed if positive else searches.missed)[some]
        parts.append((np.full(len(events), place), units[some], events.astype(np.float64)))
    groups, units, events = (np.concatenate(column) for column in zip(*parts, strict=True))
    resamples = Resamples.of(units)
    rates = []
    for place in range(len(trials)):
        mine = (groups == place).astype(np.float64)
        # A resample without anybody of the group leaves its rate as it is.
        count = resamples.sums(mine)
        usual = float((events * mine).sum() / mine.sum())
        rates.append(np.where(count > 0, resamples.sums(events * mine) / np.maximum(count, _NOTHING), usual))
    return np.stack(rates)
