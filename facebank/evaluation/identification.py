"""Results of searches under one condition: rates, calibration, confusion of people; and their tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.dataset import LeftOut, Pick
from facebank.evaluation.figures import Figure, Kind, Resamples, mean_figure, rate, sampling_units
from facebank.evaluation.report import Curves, Line, Matrix, Section, Table
from facebank.evaluation.searches import NOBODY, Searches
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet

BINS = 10
_FEW = 10
_EMBEDDED = (
    "The data are embeddings, not photos: they must have been made by this very pack. No masked or moved variants of "
    "enrolled faces exist, so that faces with a hidden mouth are searched for as all others are."
)
_LEAST_PROBABILITY = 1e-6
_SHARE = DecisionSettings().stranger_share
CALIBRATION = ("brier", "log_loss", "expected_calibration_error")
"""Beginnings of the names of figures of the calibration."""
NOBODY_COLUMN = "nobody"
UNCERTAIN_COLUMN = "uncertain"


def how_decided(bench: Bench) -> str:
    """Return the sentences that say what decisions rest on."""
    made_on = printable(bench.reader.engine.thresholds.calibrated_on)
    return (
        "All decisions are made as the program makes them, with the shipped settings; nothing was chosen in this run. "
        f"The pack's thresholds were made on: {made_on}. Where people of the data were among those, figures may be too "
        "good."
    )


def decided_section(bench: Bench, faces: FaceSet) -> Section:
    """Return the section that says what decisions rest on."""
    embedded = (_EMBEDDED,) if faces.dataset.pick is Pick.EMBEDDED else ()
    return Section("What the decisions rest on", (how_decided(bench), *embedded))


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """Searches under one condition, with the probes' faces as found under it.

    `name` is the suffix of the figures' names (lower case, words joined by underscores), `label` is for people, and
    `draws_people` is whether the bootstrap draws people even if they are few.
    """

    name: str
    label: str
    faces: FaceSet
    searches: Searches
    draws_people: bool = False

    @property
    def units(self) -> NDArray[np.int64]:
        """The bootstrap's unit of each search: a person, or a source of photos where people are few."""
        searches = self.searches
        people, groups = self.faces.dataset.owners[searches.places], self.faces.groups[searches.places]
        if self.draws_people:
            # Nobody named is everybody's own person.
            return np.where(people >= 0, people, len(self.faces.dataset.people) + searches.places).astype(np.int64)
        units = np.zeros(len(searches.places), dtype=np.int64)
        for number, part in enumerate((searches.mated, ~searches.mated)):
            # Enrolled people may be few and strangers many; units of the two are told apart by being even and odd.
            units[part] = 2 * sampling_units(people[part], groups[part]) + number
        return units

    @property
    def failures(self) -> tuple[LeftOut, ...]:
        """The probes without a face, with the condition."""
        places = self.searches.places[~self.searches.acquired]
        return tuple(LeftOut(f"{self.faces.names[place]} ({self.label})", "no face was found") for place in places)

    @property
    def median_size(self) -> float:
        """Median of the longer sides of the faces found, in pixels; NaN without one."""
        sizes = [
            face.assessment.size for place in self.searches.places if (face := self.faces.faces[place]) is not None
        ]
        return float(np.median(sizes)) if sizes else float("nan")

    def figures(self) -> dict[str, Figure]:
        """Return the figures by name; rates of nothing are missing."""
        searches, units, name = self.searches, self.units, self.name
        mated, found, photos = searches.mated, dict[str, Figure](), searches.places
        if len(units):
            found[f"failure_to_acquire_{name}"] = rate(
                ~searches.acquired, units, f"Photos in which no face is found, {self.label}.", things=photos
            )
        if mated.any():
            found[f"rank_1_{name}"] = rate(
                ~searches.not_first[mated],
                units[mated],
                f"Enrolled people who are the best candidate, {self.label}.",
                things=photos[mated],
            )
            found[f"fnir_{name}"] = rate(
                searches.missed[mated],
                units[mated],
                f"Enrolled people who are not given their name, {self.label}.",
                things=photos[mated],
            )
        if (~mated).any():
            found[f"fpir_{name}"] = rate(
                searches.misnamed[~mated],
                units[~mated],
                f"Strangers who are given a name, {self.label}.",
                things=photos[~mated],
            )
        return found | {f"{key}_{name}": figure for key, figure in trust(searches, units).items()}


def trust(searches: Searches, units: NDArray[np.int64]) -> dict[str, Figure]:
    """Compare the best candidates' probabilities with the truth, leaving out searches without a face.

    Mated and non-mated searches are weighted to the fraction of strangers that probabilities are made for. Returns
    ``brier``, ``log_loss`` and ``expected_calibration_error`` (ten equal bins); empty without a calibration, or
    without both kinds of searches.
    """
    judged = np.isfinite(searches.probabilities)
    said, true, weights = _judged(searches)
    if len(weights) == 0:
        return {}
    units, kept = units[judged], np.clip(said, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    losses = -np.where(true > 0, np.log(kept), np.log(1 - kept))
    return {
        "brier": mean_figure(weights * (said - true) ** 2, units, "Mean squared error of the probabilities."),
        "log_loss": mean_figure(weights * losses, units, "Mean surprise at what is so, in nats."),
        "expected_calibration_error": calibration_error(
            said,
            true,
            weights,
            bins=_bin(said),
            units=units,
            meaning="How far probabilities are from what is so, on average over ten bins; few searches make it larger.",
        ),
    }


def _judged(searches: Searches) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return probabilities, truths, and weights of mean 1; empty without both kinds of searches."""
    judged = np.isfinite(searches.probabilities)
    mated = searches.mated[judged]
    if not mated.any() or mated.all():
        nothing = np.zeros(0)
        return nothing, nothing, nothing
    weights = np.where(mated, (1 - _SHARE) / mated.mean(), _SHARE / (~mated).mean())
    true = (mated & (searches.first == searches.own)[judged]).astype(np.float64)
    return searches.probabilities[judged], true, weights


def calibration_error(
    said: NDArray[np.float64],
    true: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    bins: NDArray[np.int64],
    units: NDArray[np.int64],
    meaning: str,
) -> Figure:
    """Return the expected calibration error of N probabilities by their bins, with its interval by drawing units."""
    resamples = Resamples.of(units)
    gaps = [(bins == number) * weights * (said - true) for number in range(BINS)]
    drawn = sum(np.abs(resamples.sums(gap)) for gap in gaps) / np.maximum(resamples.sums(weights), 1e-12)
    value = sum(abs(float(gap.sum())) for gap in gaps) / float(weights.sum())
    return Figure(value, resamples.interval(drawn), len(said), kind=Kind.NUMBER, meaning=meaning)


def reliability_line(
    label: str,
    said: NDArray[np.float64],
    true: NDArray[np.float64],
    weights: NDArray[np.float64],
    bins: NDArray[np.int64],
) -> Line:
    """Return the mean truth over the mean probability of each bin that is not empty, with its weight."""
    totals = np.bincount(bins, weights, BINS).astype(np.float64)
    some = totals > 0
    x, y = (np.bincount(bins, weights * values, BINS)[some] / totals[some] for values in (said, true))
    return Line(label, x, y, weights=totals[some])


def _bin(said: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((said * BINS).astype(np.int64), BINS - 1)


def reliability(conditions: Sequence[Condition]) -> Curves:
    """Return the reliability diagram, a line for each condition."""
    lines = list[Line]()
    for condition in conditions:
        said, true, weights = _judged(condition.searches)
        if len(said):
            lines.append(reliability_line(condition.label, said, true, weights, _bin(said)))
    return Curves("Are the probabilities right?", "probability said", "share that is so", tuple(lines), diagonal=True)


def reliability_counts(conditions: Sequence[Condition]) -> Table:
    """Return how many searches each point of `reliability` rests on; fewer than ten are marked."""
    edges = [number / BINS for number in range(BINS + 1)]
    rows = list[tuple[str, ...]]()
    for condition in conditions:
        said, *_ = _judged(condition.searches)
        if len(said):
            counts = np.bincount(_bin(said), minlength=BINS)
            rows.append(
                (condition.label, *(f"{count:,} (few)" if 0 < count < _FEW else f"{count:,}" for count in counts))
            )
    headings = ("condition", *(f"{low:.1f} to {high:.1f}" for low, high in pairwise(edges)))
    return Table("Searches by the probability said", headings, tuple(rows))


def searches_table(conditions: Sequence[Condition]) -> Table:
    """Return the outcomes of photos of enrolled people."""
    headings = (
        "condition", "photos", "named rightly", "named as another", "uncertain", "unknown", "no face found",
        "best candidate right", "median face, pixels",
    )  # fmt: skip
    rows = []
    for condition in conditions:
        mated = condition.searches.where(condition.searches.mated)
        counts = _outcomes(mated)
        first = int((~mated.not_first).sum())
        rows.append((condition.label, *counts, f"{first:,}", f"{condition.median_size:.0f}"))
    return Table("Photos of enrolled people", headings, tuple(rows))


def strangers_table(conditions: Sequence[Condition]) -> Table:
    """Return the outcomes of photos of strangers."""
    headings = ("condition", "photos", "given a name", "uncertain", "unknown", "no face found")
    rows = []
    for condition in conditions:
        total, _, wrong, *others = _outcomes(condition.searches.where(~condition.searches.mated))
        rows.append((condition.label, total, wrong, *others))
    return Table("Photos of strangers", headings, tuple(rows))


def trust_table(conditions: Sequence[Condition]) -> Table:
    """Return the calibration of each condition."""
    rows = []
    for condition in conditions:
        found = trust(condition.searches, condition.units)
        said, true, weights = _judged(condition.searches)
        if found:
            means = (f"{np.average(values, weights=weights):.3f}" for values in (said, true))
            rows.append(
                (condition.label, f"{len(said):,}", *means, *(f"{found[key].value:.4f}" for key in CALIBRATION))
            )
    headings = ("condition", "judged", "mean probability", "share that is so", "Brier", "log loss", "ECE")
    return Table("Probabilities, half of the faces being strangers'", headings, tuple(rows))


def rates_over(title: str, x_label: str, x: Sequence[float], conditions: Sequence[Condition]) -> Curves:
    """Return rank-1, FNIR and FPIR over the strength of a condition, with their intervals."""
    wanted = (("rank_1", "rank-1"), ("fnir", "FNIR"), ("fpir", "FPIR"), ("failure_to_acquire", "no face found"))
    lines = list[Line]()
    for key, label in wanted:
        points = [
            (place, figure)
            for place, condition in zip(x, conditions, strict=True)
            if (figure := condition.figures().get(f"{key}_{condition.name}")) is not None
        ]
        if points:
            lines.append(line_of(label, [place for place, _ in points], [figure for _, figure in points]))
    return Curves(title, x_label, "share", tuple(lines))


def line_of(label: str, x: Sequence[float], figures: Sequence[Figure]) -> Line:
    """Return figures as a line of a plot, with their intervals as its band."""
    bounds = np.array([figure.interval or (figure.value, figure.value) for figure in figures], dtype=np.float64)
    values = np.array([figure.value for figure in figures], dtype=np.float64)
    return Line(label, np.array(x, dtype=np.float64), values, bounds[:, 0], bounds[:, 1])


def calibration_section(
    title: str, text: Sequence[str], conditions: Sequence[Condition], figures: Mapping[str, Figure]
) -> Section:
    """Return the calibration under some conditions, of those of the figures that measure it."""
    shown = tuple(name for name in figures if name.startswith(CALIBRATION))
    table = trust_table(conditions)
    items = (table, reliability(conditions), reliability_counts(conditions)) if table.rows else ()
    return Section(title, tuple(text), shown, items)


def _outcomes(searches: Searches) -> tuple[str, str, str, str, str, str]:
    """Return the numbers of all, named rightly, named wrongly, uncertain, unknown, and without a face."""
    named = searches.named != NOBODY
    right = named & (searches.named == searches.own)
    unknown = searches.acquired & ~named & ~searches.uncertain
    counts = (len(named), right.sum(), searches.misnamed.sum(), searches.uncertain.sum(), unknown.sum())
    total, ok, wrong, uncertain, nobody = (f"{int(count):,}" for count in counts)
    return total, ok, wrong, uncertain, nobody, f"{int((~searches.acquired).sum()):,}"


def confusion_matrix(searches: Searches, names: Sequence[str], title: str) -> Matrix:
    """Return the confusion matrix of people; strangers have a row if there are any."""
    size = len(names)
    decided = np.where(searches.uncertain, size + 1, np.where(searches.named < 0, size, searches.named))
    shown = np.where(searches.mated, searches.own, size)
    counts = np.zeros((size + 1, size + 2), dtype=np.int64)
    np.add.at(counts, (shown, decided), 1)
    rows = (*names, NOBODY_COLUMN)
    if searches.mated.all():
        counts, rows = counts[:-1], rows[:-1]
    return Matrix(title, rows, (*names, NOBODY_COLUMN, UNCERTAIN_COLUMN), counts)


def classification_report(matrix: Matrix, title: str) -> Table:
    """Return precision, recall, F1 and support of each person.

    An uncertain or unknown answer counts against recall, a named stranger against precision.
    """
    people = matrix.columns[:-2]
    right = np.diagonal(matrix.counts)[: len(people)]
    answered, support = matrix.counts.sum(axis=0)[: len(people)], matrix.counts.sum(axis=1)[: len(people)]
    columns = _shares(right, answered), _shares(right, support), _shares(2 * right, answered + support)
    rows = tuple(
        (person, *(_percent(column[place]) for column in columns), f"{support[place]:,}")
        for place, person in enumerate(people)
    )
    return Table(title, ("person", "precision", "recall", "F1", "photos"), rows)


def person_by_person(searches: Searches, names: Sequence[str], title: str) -> tuple[Matrix, Table]:
    """Return the confusion matrix and the classification report."""
    matrix = confusion_matrix(searches, names, title)
    return matrix, classification_report(matrix, "Classification report")


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.2f} %"
