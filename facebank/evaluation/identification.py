"""Figures, tables and plots of identification: error rates, calibration and confusion matrices by condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.dataset import Pick, SkippedEntry
from facebank.evaluation.figures import (
    Figure,
    FigureKind,
    Resamples,
    format_percent,
    mean_figure,
    rate,
    sampling_units,
)
from facebank.evaluation.report import Curves, Line, Matrix, Section, Table
from facebank.evaluation.searches import NOBODY, Searches
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet

BINS = 10
_MIN_COUNT = 10
_EMBEDDED = (
    "The data is embeddings made by this pack, not photos. Masked and shifted variants of enrolled faces cannot be "
    "computed, so faces with a covered mouth are searched for like all others."
)
_MIN_PROBABILITY = 1e-6
_STRANGER_FRACTION = DecisionSettings().stranger_share
CALIBRATION = ("brier", "log_loss", "expected_calibration_error")
"""Prefixes of the names of calibration figures."""
NOBODY_COLUMN = "nobody"
UNCERTAIN_COLUMN = "uncertain"


def decision_note(bench: Bench) -> str:
    """Return a paragraph on the settings and thresholds behind all decisions."""
    calibrated_on = printable(bench.reader.engine.thresholds.calibrated_on)
    return (
        "All decisions use the same code and shipped settings as 'facebank identify'; nothing was tuned in this run. "
        f"The pack's thresholds were calibrated on: {calibrated_on}. If people of this dataset were among those, the "
        "figures are optimistic."
    )


def decision_section(bench: Bench, faces: FaceSet) -> Section:
    """Return the report section on the settings and thresholds behind all decisions."""
    embedded = (_EMBEDDED,) if faces.dataset.pick is Pick.EMBEDDED else ()
    return Section("Basis of the decisions", (decision_note(bench), *embedded))


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """Searches under one condition, and the faces of the probes found under it.

    `name` is the suffix of figure names (lower case, words joined by underscores), `label` the name in text, and
    `resamples_people` is whether the bootstrap resamples people even if they are few.
    """

    name: str
    label: str
    faces: FaceSet
    searches: Searches
    resamples_people: bool = False

    @property
    def units(self) -> NDArray[np.int64]:
        """The bootstrap unit of each search, ``int64`` ``(M,)``: a person, or a source of photos if people are few."""
        searches = self.searches
        people, groups = self.faces.dataset.person_indices[searches.indices], self.faces.groups[searches.indices]
        if self.resamples_people:
            # each unlabeled photo counts as a separate person
            return np.where(people >= 0, people, len(self.faces.dataset.people) + searches.indices).astype(np.int64)
        units = np.zeros(len(searches.indices), dtype=np.int64)
        for number, part in enumerate((searches.mated, ~searches.mated)):
            # even and odd numbers, since units are chosen separately: enrolled people may be few and strangers many
            units[part] = 2 * sampling_units(people[part], groups[part]) + number
        return units

    @property
    def failures(self) -> tuple[SkippedEntry, ...]:
        """Probes in which no face was found under this condition."""
        indices = self.searches.indices[~self.searches.acquired]
        return tuple(
            SkippedEntry(f"{self.faces.names[index]} ({self.label})", "no face was found") for index in indices
        )

    @property
    def median_size(self) -> float:
        """Median over the found faces of the longer side of the box, in pixels; NaN without a face."""
        sizes = [
            face.assessment.size for index in self.searches.indices if (face := self.faces.faces[index]) is not None
        ]
        return float(np.median(sizes)) if sizes else float("nan")

    def figures(self) -> dict[str, Figure]:
        """Return the figures by name, without rates that have no trials."""
        searches, units, name = self.searches, self.units, self.name
        mated, figures, photos = searches.mated, dict[str, Figure](), searches.indices
        if len(units):
            figures[f"failure_to_acquire_{name}"] = rate(
                ~searches.acquired, units, f"Photos in which no face is found, {self.label}.", ids=photos
            )
        if mated.any():
            figures[f"rank_1_{name}"] = rate(
                ~searches.not_first[mated],
                units[mated],
                f"Photos of enrolled people whose best candidate is right, {self.label}.",
                ids=photos[mated],
            )
            figures[f"fnir_{name}"] = rate(
                searches.missed[mated],
                units[mated],
                f"Photos of enrolled people that do not get the right name, {self.label}.",
                ids=photos[mated],
            )
        if (~mated).any():
            figures[f"fpir_{name}"] = rate(
                searches.misnamed[~mated],
                units[~mated],
                f"Photos of strangers that get a name, {self.label}.",
                ids=photos[~mated],
            )
        return figures | {f"{key}_{name}": figure for key, figure in calibration_figures(searches, units).items()}


def calibration_figures(searches: Searches, units: NDArray[np.int64]) -> dict[str, Figure]:
    """Return calibration figures of the best candidates' probabilities, without searches that found no face.

    `units` are those of the bootstrap, ``int64`` of shape ``(M,)``.
    Mated and non-mated searches are reweighted to the fraction of strangers that probabilities assume. The keys are
    ``brier``, ``log_loss`` and ``expected_calibration_error`` (ten equal bins); empty without a calibration, without
    mated or without non-mated searches.
    """
    has_probability = np.isfinite(searches.probabilities)
    predicted, outcomes, weights = _calibration_data(searches)
    if len(weights) == 0:
        return {}
    units, clipped = units[has_probability], np.clip(predicted, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    losses = -np.where(outcomes > 0, np.log(clipped), np.log(1 - clipped))
    return {
        "brier": mean_figure(weights * (predicted - outcomes) ** 2, units, "Mean squared error of the probabilities."),
        "log_loss": mean_figure(
            weights * losses, units, "Mean negative logarithm of the probability of the outcomes, in nats."
        ),
        "expected_calibration_error": calibration_error(
            predicted,
            outcomes,
            weights,
            bins=_bin(predicted),
            units=units,
            meaning="Mean gap between probabilities and observed frequencies over ten bins; few searches inflate it.",
        ),
    }


def _calibration_data(searches: Searches) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return probabilities, outcomes (0 or 1) and weights of mean 1; empty without mated or non-mated searches."""
    has_probability = np.isfinite(searches.probabilities)
    mated = searches.mated[has_probability]
    if not mated.any() or mated.all():
        empty = np.zeros(0)
        return empty, empty, empty
    weights = np.where(mated, (1 - _STRANGER_FRACTION) / mated.mean(), _STRANGER_FRACTION / (~mated).mean())
    outcomes = (mated & (searches.first == searches.shown)[has_probability]).astype(np.float64)
    return searches.probabilities[has_probability], outcomes, weights


def calibration_error(
    predicted: NDArray[np.float64],
    outcomes: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    bins: NDArray[np.int64],
    units: NDArray[np.int64],
    meaning: str,
) -> Figure:
    """Return the expected calibration error of binned probabilities, with its bootstrap interval over `units`.

    Arrays have shape ``(N,)``; `outcomes` are 0 or 1, and `bins` are numbers from 0 to 9.
    """
    resamples = Resamples.of(units)
    gaps = [(bins == number) * weights * (predicted - outcomes) for number in range(BINS)]
    resampled = sum(np.abs(resamples.sums(gap)) for gap in gaps) / np.maximum(resamples.sums(weights), 1e-12)
    value = sum(abs(float(gap.sum())) for gap in gaps) / float(weights.sum())
    return Figure(value, resamples.interval(resampled), len(predicted), kind=FigureKind.NUMBER, meaning=meaning)


def reliability_line(
    label: str,
    predicted: NDArray[np.float64],
    outcomes: NDArray[np.float64],
    weights: NDArray[np.float64],
    bins: NDArray[np.int64],
) -> Line:
    """Return the observed frequency over the mean probability of each non-empty bin, with the bin's weight.

    Arrays are as in `calibration_error`.
    """
    totals = np.bincount(bins, weights, BINS).astype(np.float64)
    is_filled = totals > 0
    x, y = (
        np.bincount(bins, weights * values, BINS)[is_filled] / totals[is_filled] for values in (predicted, outcomes)
    )
    return Line(label, x, y, weights=totals[is_filled])


def _bin(predicted: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((predicted * BINS).astype(np.int64), BINS - 1)


def reliability(conditions: Sequence[Condition]) -> Curves:
    """Return the reliability diagram, with one line per condition."""
    lines = list[Line]()
    for condition in conditions:
        predicted, outcomes, weights = _calibration_data(condition.searches)
        if len(predicted):
            lines.append(reliability_line(condition.label, predicted, outcomes, weights, _bin(predicted)))
    return Curves(
        "Are the probabilities calibrated?", "predicted probability", "observed frequency", tuple(lines), diagonal=True
    )


def reliability_counts(conditions: Sequence[Condition]) -> Table:
    """Return the number of searches behind each point of `reliability`; fewer than ten are marked."""
    edges = [number / BINS for number in range(BINS + 1)]
    rows = list[tuple[str, ...]]()
    for condition in conditions:
        predicted, *_ = _calibration_data(condition.searches)
        if len(predicted):
            counts = np.bincount(_bin(predicted), minlength=BINS)
            rows.append(
                (condition.label, *(f"{count:,} (few)" if 0 < count < _MIN_COUNT else f"{count:,}" for count in counts))
            )
    headings = ("condition", *(f"{low:.1f} to {high:.1f}" for low, high in pairwise(edges)))
    return Table("Searches by predicted probability", headings, tuple(rows))


def searches_table(conditions: Sequence[Condition]) -> Table:
    """Return the outcomes of mated searches, one row per condition."""
    headings = (
        "condition", "photos", "named rightly", "named as another", "uncertain", "unknown", "no face found",
        "best candidate right", "median face, pixels",
    )  # fmt: skip
    rows = []
    for condition in conditions:
        mated = condition.searches.select(condition.searches.mated)
        counts = _outcomes(mated)
        first = int((~mated.not_first).sum())
        rows.append((condition.label, *counts, f"{first:,}", f"{condition.median_size:.0f}"))
    return Table("Photos of enrolled people", headings, tuple(rows))


def strangers_table(conditions: Sequence[Condition]) -> Table:
    """Return the outcomes of non-mated searches, one row per condition."""
    headings = ("condition", "photos", "given a name", "uncertain", "unknown", "no face found")
    rows = []
    for condition in conditions:
        total, _, wrong, *others = _outcomes(condition.searches.select(~condition.searches.mated))
        rows.append((condition.label, total, wrong, *others))
    return Table("Photos of strangers", headings, tuple(rows))


def calibration_table(conditions: Sequence[Condition]) -> Table:
    """Return the calibration figures, one row per condition."""
    rows = []
    for condition in conditions:
        figures = calibration_figures(condition.searches, condition.units)
        predicted, outcomes, weights = _calibration_data(condition.searches)
        if figures:
            means = (f"{np.average(values, weights=weights):.3f}" for values in (predicted, outcomes))
            rows.append(
                (condition.label, f"{len(predicted):,}", *means, *(f"{figures[key].value:.4f}" for key in CALIBRATION))
            )
    headings = ("condition", "searches", "mean probability", "observed frequency", "Brier", "log loss", "ECE")
    return Table("Calibration, with half of the faces weighted as strangers'", headings, tuple(rows))


def rate_curves(title: str, x_label: str, x: Sequence[float], conditions: Sequence[Condition]) -> Curves:
    """Return rank-1, FNIR, FPIR and failures to acquire over the strength of a condition, with intervals."""
    measures = (("rank_1", "rank-1"), ("fnir", "FNIR"), ("fpir", "FPIR"), ("failure_to_acquire", "no face found"))
    lines = list[Line]()
    for key, label in measures:
        points = [
            (strength, figure)
            for strength, condition in zip(x, conditions, strict=True)
            if (figure := condition.figures().get(f"{key}_{condition.name}")) is not None
        ]
        if points:
            lines.append(line_of(label, [strength for strength, _ in points], [figure for _, figure in points]))
    return Curves(title, x_label, "fraction", tuple(lines))


def line_of(label: str, x: Sequence[float], figures: Sequence[Figure]) -> Line:
    """Return figures as a line of a plot, with their intervals as the band."""
    bounds = np.array([figure.interval or (figure.value, figure.value) for figure in figures], dtype=np.float64)
    values = np.array([figure.value for figure in figures], dtype=np.float64)
    return Line(label, np.array(x, dtype=np.float64), values, bounds[:, 0], bounds[:, 1])


def calibration_section(
    title: str, text: Sequence[str], conditions: Sequence[Condition], figures: Mapping[str, Figure]
) -> Section:
    """Return a section with the calibration figures, table and reliability diagram of some conditions."""
    names = tuple(name for name in figures if name.startswith(CALIBRATION))
    table = calibration_table(conditions)
    items = (table, reliability(conditions), reliability_counts(conditions)) if table.rows else ()
    return Section(title, tuple(text), names, items)


def _outcomes(searches: Searches) -> tuple[str, str, str, str, str, str]:
    """Return six counts: all, named correctly, named wrongly, uncertain, unknown, and without a face."""
    is_named = searches.named != NOBODY
    correct = is_named & (searches.named == searches.shown)
    unknown = searches.acquired & ~is_named & ~searches.uncertain
    counts = (len(is_named), correct.sum(), searches.misnamed.sum(), searches.uncertain.sum(), unknown.sum())
    total, right, wrong, uncertain, nobody = (f"{int(count):,}" for count in counts)
    return total, right, wrong, uncertain, nobody, f"{int((~searches.acquired).sum()):,}"


def confusion_matrix(searches: Searches, names: Sequence[str], title: str) -> Matrix:
    """Return the confusion matrix of people, with a row for strangers if there are any."""
    size = len(names)
    columns = np.where(searches.uncertain, size + 1, np.where(searches.named < 0, size, searches.named))
    rows = np.where(searches.mated, searches.shown, size)
    counts = np.zeros((size + 1, size + 2), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    row_names = (*names, NOBODY_COLUMN)
    if searches.mated.all():
        counts, row_names = counts[:-1], row_names[:-1]
    return Matrix(title, row_names, (*names, NOBODY_COLUMN, UNCERTAIN_COLUMN), counts)


def classification_report(matrix: Matrix, title: str) -> Table:
    """Return precision, recall, F1 and support of each person.

    Uncertain and unknown answers lower the recall; named strangers lower the precision.
    """
    people = matrix.columns[:-2]
    right = np.diagonal(matrix.counts)[: len(people)]
    answered, support = matrix.counts.sum(axis=0)[: len(people)], matrix.counts.sum(axis=1)[: len(people)]
    columns = _ratios(right, answered), _ratios(right, support), _ratios(2 * right, answered + support)
    rows = tuple(
        (person, *(_percent(column[index]) for column in columns), f"{support[index]:,}")
        for index, person in enumerate(people)
    )
    return Table(title, ("person", "precision", "recall", "F1", "photos"), rows)


def person_by_person(searches: Searches, names: Sequence[str], title: str) -> tuple[Matrix, Table]:
    """Return the confusion matrix and the classification report."""
    matrix = confusion_matrix(searches, names, title)
    return matrix, classification_report(matrix, "Classification report")


def _ratios(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratios: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratios


def _percent(fraction: float) -> str:
    return "-" if np.isnan(fraction) else format_percent(fraction)
