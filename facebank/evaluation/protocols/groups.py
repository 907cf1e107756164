"""Differences between groups of people in FPIR and FNIR."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, SkippedEntry
from facebank.evaluation.figures import INTERVAL, Figure, FigureKind, Resamples, format_percent
from facebank.evaluation.identification import (
    CALIBRATION,
    calibration_section,
    decision_section,
    searches_table,
    strangers_table,
)
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.groups_trials import (
    GallerySize,
    GroupSimilarity,
    GroupTrial,
    PeopleGroup,
    across_figure,
    group_photos,
    measure_similarity,
    try_group,
)
from facebank.evaluation.protocols.options import DEFAULT_FPIR, Enrolled, Fpir, open_people
from facebank.evaluation.report import Histogram, Report, Section, Table
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.protocols.groups_trials import Grouping

MIN_PEOPLE = 6
"""Smallest number of people with enough photos for a group to be compared."""

_OF_PHOTOS = ("failure_to_acquire", "rank_1")
_ERROR_RATES = (("false_positive", "FPIR", "fpir"), ("false_negative", "FNIR", "fnir"))
_EPSILON = 1e-12


@protocol(
    "groups",
    open_data=open_people,
    details="Reports FPIR and FNIR of each group, the ratios between groups, and the similarity of different people "
    "within a group.",
    examples=("groups people/ --by ages.csv --column age", "groups ages.npz --column young"),
)
def groups(
    bench: Bench,
    dataset: Dataset,
    column: Annotated[str, Option("--column", "Column with the group.", "NAME")],
    by: Annotated[
        Path | None,
        Option("--by", "CSV with this column and 'person' or 'photo'; default: the traits of an npz.", "FILE"),
    ] = None,
    *,
    photos: Enrolled = 2,
    gallery_size: Annotated[
        int, Option("--gallery-size", "People in a gallery, if there are enough.", "N", minimum=1)
    ] = 20,
    draws: int = 20,
    fpir: Fpir = DEFAULT_FPIR,
) -> Report:
    """Return a report that compares error rates of groups of people.

    Parameters
    ----------
    column, by
        Column with the groups, and its CSV table; None for the traits of the photos.
    photos
        Number of enrolled photos of each person.
    gallery_size
        Maximum number of people in a gallery; the same in all groups, at most half of the smallest group.
    draws
        Number of galleries of each group.
    fpir
        Fraction of strangers that may get a name.

    Raises
    ------
    DatasetError
        Fewer than two groups have enough people.
    UsageError
        The pack has no calibration for `fpir`.
    """
    if min(photos, gallery_size, draws) < 1:
        raise DatasetError("the numbers of enrolled photos, of people and of draws must be at least 1")
    settings, grouping = DecisionSettings(fpir=fpir), group_photos(dataset, column, by)
    faces = bench.read(replace(dataset, pairs=()))
    groups_of_people, skipped = _groups_of_people(faces, grouping, photos)
    people = min(gallery_size, min(len(group.eligible) for group in groups_of_people) // 2)
    size = GallerySize(people, photos, draws)
    bench.progress.begin(f"groups by {grouping.column}", draws * len(groups_of_people))
    trials = [
        try_group(bench, faces, groups_of_people, number, size=size, settings=settings)
        for number in range(len(groups_of_people))
    ]
    similarities = [measure_similarity(bench, faces, group, number) for number, group in enumerate(groups_of_people)]
    all_skipped = (*grouping.skipped, *skipped)
    return _report(bench, faces, grouping, trials, similarities=similarities, size=size, fpir=fpir, skipped=all_skipped)


def _groups_of_people(faces: FaceSet, grouping: Grouping, photos: int) -> tuple[list[PeopleGroup], list[SkippedEntry]]:
    person_indices, groups_of_people, skipped = faces.dataset.person_indices, list[PeopleGroup](), list[SkippedEntry]()
    names = set[str]()
    for index, group in enumerate(grouping.names):
        photo_indices = np.flatnonzero((grouping.of_photo == index) & faces.has_face & (person_indices >= 0)).astype(
            np.int64
        )
        counts = np.bincount(person_indices[photo_indices], minlength=len(faces.dataset.people))
        eligible = np.flatnonzero(counts > photos).astype(np.int64)
        label = f"{grouping.column}: {group}"
        if len(eligible) < MIN_PEOPLE:
            reason = (
                f"not tested: {len(eligible)} people with more than {pluralize(photos, 'photo')} with a face; "
                f"{MIN_PEOPLE} are needed"
            )
            skipped.append(SkippedEntry(label, reason))
            continue
        groups_of_people.append(
            PeopleGroup(_unique_name(_figure_name(label, index), names), label, photo_indices, eligible)
        )
    if len(groups_of_people) < 2:
        reasons = "; ".join(f"{item.entry}: {item.reason}" for item in skipped[:2])
        raise DatasetError(
            f"{printable(faces.dataset.title)}: fewer than two groups have {MIN_PEOPLE} people with more than "
            f"{pluralize(photos, 'photo')} with a face ({reasons}); add photos, or enroll fewer with --enrolled"
        )
    return groups_of_people, skipped


def _figure_name(label: str, index: int) -> str:
    """Return a group's label in the form of figure names."""
    words = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    return words or f"group_{index + 1}"


def _unique_name(name: str, names: set[str]) -> str:
    """Return the name, numbered if it is already in `names`, and add it there."""
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
    similarities: Sequence[GroupSimilarity | None],
    size: GallerySize,
    fpir: float,
    skipped: Sequence[SkippedEntry],
) -> Report:
    conditions = [trial.within for trial in trials]
    within = {name: figure for condition in conditions for name, figure in condition.figures().items()}
    within = {name: figure for name, figure in within.items() if not name.startswith(_OF_PHOTOS)}
    calibration = {name: figure for name, figure in within.items() if name.startswith(CALIBRATION)}
    rates = {name: figure for name, figure in within.items() if name not in calibration}
    ratios = differentials(trials, rates)
    across = {name: figure for trial in trials for name, figure in across_figure(faces, trial).items()}
    mean_similarities = {
        f"mean_similarity_{trial.group.name}": similarity.mean
        for trial, similarity in zip(trials, similarities, strict=True)
        if similarity is not None
    }
    galleries = (
        f"{size.draws} random galleries of each group have {size.people} people of the group with "
        f"{pluralize(size.photos, 'photo')} each. Probes are their other photos of the group, and one photo each of "
        "strangers of the same group, who are the most similar ones. The settings allow "
        f"{format_percent(fpir, None)} of strangers to get a name, according to a calibration on other people."
    )
    tables = (searches_table(conditions), strangers_table(conditions))
    sections = (
        Section("Within groups", (galleries, _PEOPLE), tuple(rates), tables),
        Section("Differentials", (*_DIFFERENTIALS, *_undefined_sentences(ratios)), tuple(ratios)),
        Section("Strangers of other groups", (_ACROSS,), tuple(across)),
        Section(
            "Similarity of different people of a group",
            (_SIMILARITY,),
            tuple(mean_similarities),
            _similarity_items(trials, similarities),
        ),
        calibration_section("Calibration of probabilities", (_CALIBRATION_TEXT,), conditions, calibration),
        decision_section(bench, faces),
    )
    figures = rates | ratios | across | mean_similarities | calibration
    return bench.report(
        "groups",
        f"Groups of people, by {grouping.column}",
        faces,
        summary=_summary(trials, figures, size, fpir, skipped=len(skipped)),
        figures=figures,
        sections=sections,
        failures=skipped,
    )


def _similarity_items(
    trials: Sequence[GroupTrial], similarities: Sequence[GroupSimilarity | None]
) -> tuple[Table, Histogram]:
    measured = [(trial.group, item) for trial, item in zip(trials, similarities, strict=True) if item is not None]
    rows = tuple(
        (
            group.label,
            f"{len(group.eligible):,}",
            f"{len(item.similarities):,}",
            f"{item.mean.value:.3f}",
            f"{item.upper:.3f}",
        )
        for group, item in measured
    )
    headings = ("group", "people who can be enrolled", "pairs of photos", "mean similarity", "one in a hundred reaches")
    histogram = Histogram(
        "Similarity of photos of different people of a group",
        "similarity",
        tuple((group.label, item.similarities) for group, item in measured),
    )
    return Table("Different people of a group", headings, rows), histogram


def _summary(
    trials: Sequence[GroupTrial], figures: dict[str, Figure], size: GallerySize, fpir: float, *, skipped: int
) -> tuple[str, ...]:
    sentences = [
        f"{size.people} people with {pluralize(size.photos, 'photo')} each in a gallery; an FPIR of "
        f"{format_percent(fpir, None)} is requested."
    ]
    for trial in trials:
        name = trial.group.name
        parts = [
            f"{words} {figures[f'{key}_{name}']}"
            for key, words in (
                ("fpir", "FPIR (strangers of the group given a name)"),
                ("fnir", "FNIR (people missed or wrongly named)"),
            )
            if f"{key}_{name}" in figures
        ]
        sentences.append(f"Group {trial.group.label}: {'; '.join(parts)}.")
    for sign, words in (("positive", "strangers named"), ("negative", "people missed")):
        if f"false_{sign}_differential" in figures:
            ratio = figures[f"false_{sign}_differential"]
            sentences.append(f"False {sign} differential ({words}, highest group to lowest): {ratio}.")
    if skipped:
        sentences.append(f"{skipped:,} skipped entries are listed in the report.")
    return tuple(sentences)


def _undefined_sentences(ratios: dict[str, Figure]) -> tuple[str, ...]:
    """Return sentences on the differentials that are not defined."""
    events = (("positive", "no stranger was named"), ("negative", "nobody was missed"))
    return tuple(
        f"The false {sign} differential is not defined: in some group {event}, and a ratio to a rate of 0 is infinite."
        for sign, event in events
        if f"false_{sign}_differential" not in ratios
    )


_PEOPLE = "Intervals resample people, even if there are few; a photo that is searched for several times counts as one."
_DIFFERENTIALS = (
    "Terms of ISO/IEC 19795-10: a false positive differential compares the FPIR of groups, a false negative "
    "differential their FNIR. Each is given as the ratio of the highest rate to the lowest, and of the highest to the "
    "geometric mean of all groups. Equal groups have ratios above 1 by chance, the more so with few people and many "
    "groups: only an interval clearly above 1 shows a difference. If a bootstrap resample has a group without errors, "
    "the interval has no upper end.",
)
_ACROSS = "The same galleries, with probes of strangers of all other groups, one photo of each person."
_SIMILARITY = (
    "The threshold is the same for all groups, so strangers get names more often in groups whose people are more "
    "similar to the network than the people of the calibration."
)
_CALIBRATION_TEXT = (
    "Compares the probability of the best candidate with the truth, weighting half of the searches as strangers'."
)


def differentials(trials: Sequence[GroupTrial], figures: dict[str, Figure]) -> dict[str, Figure]:
    """Return the differentials of ISO/IEC 19795-10, for rates that are not 0 in any group.

    False positive differentials compare the groups' FPIR, false negative ones their FNIR, as ratios of the highest rate
    to the lowest and to the geometric mean of all groups; 1 means no difference.
    """
    ratios: dict[str, Figure] = {}
    for error, rate, key in _ERROR_RATES:
        rates = [figures.get(f"{key}_{trial.group.name}") for trial in trials]
        measured = [figure for figure in rates if figure is not None]
        if len(measured) < len(trials) or min(figure.value for figure in measured) <= 0:
            continue
        values = np.array([[figure.value] for figure in measured])
        resampled = _resampled_rates(trials, positive=key == "fpir")
        distinct = min(figure.distinct if figure.distinct is not None else 0 for figure in measured)
        for name, words, ratio in (
            ("", "lowest", _to_lowest),
            ("_to_geometric_mean", "geometric mean", _to_geometric_mean),
        ):
            low, high = np.quantile(ratio(resampled), INTERVAL, method="inverted_cdf")  # values may be infinite
            ratios[f"{error}_differential{name}"] = Figure(
                float(ratio(values)[0]),
                (float(low), float(high)),
                len(measured),
                kind=FigureKind.NUMBER,
                meaning=f"The highest {rate} of a group divided by the {words} of all groups; 1 means no difference.",
                distinct=distinct,
            )
    return ratios


def _to_lowest(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratios(rates.max(axis=0), rates.min(axis=0))


def _to_geometric_mean(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratios(rates.max(axis=0), rates.prod(axis=0) ** (1 / len(rates)))


def _ratios(highest: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return elementwise ratios: infinite if only the divisor is 0, 1 if both are 0."""
    ratios = np.where(highest > 0, np.inf, 1.0)
    return np.divide(highest, others, out=ratios, where=others > 0)


def _resampled_rates(trials: Sequence[GroupTrial], *, positive: bool) -> NDArray[np.float64]:
    """Return the rate of each group in each resample, ``(G, R)``; all groups share the draws of people."""
    parts = []
    for index, trial in enumerate(trials):
        searches, units = trial.within.searches, trial.within.units
        mask = ~searches.mated if positive else searches.mated
        events = (searches.misnamed if positive else searches.missed)[mask]
        parts.append((np.full(len(events), index), units[mask], events.astype(np.float64)))
    groups, units, events = (np.concatenate(column) for column in zip(*parts, strict=True))
    resamples = Resamples.of(units)
    rates = []
    for index in range(len(trials)):
        is_of_group = (groups == index).astype(np.float64)
        # The overall rate replaces that of a resample without people of the group.
        count = resamples.sums(is_of_group)
        overall = float((events * is_of_group).sum() / is_of_group.sum())
        rates.append(np.where(count > 0, resamples.sums(events * is_of_group) / np.maximum(count, _EPSILON), overall))
    return np.stack(rates)
