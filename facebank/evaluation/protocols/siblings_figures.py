"""Figures, tables and plots of answers to searches for siblings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.curves import risk_coverage
from facebank.evaluation.figures import (
    MIN_PEOPLE,
    Figure,
    Resamples,
    format_percent,
    pair_rate,
    rate,
    sampling_units,
    zero_event_bound,
)
from facebank.evaluation.identification import BINS, reliability_line
from facebank.evaluation.identification import calibration_error as expected_error
from facebank.evaluation.protocols.siblings_trials import Named, SiblingAnswers
from facebank.evaluation.report import Curves, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet

COVERAGES = (0.5, 0.7, 0.8, 0.9)
"""Coverages at which the accuracy of the more probable sibling is reported."""
_RESAMPLES = 200


@dataclass(frozen=True, slots=True, eq=False)
class AnswerGroup:
    """Answers in one kind of gallery; `suffix` ends the names of their figures, `label` is their name in text."""

    suffix: str
    label: str
    answers: SiblingAnswers
    faces: FaceSet

    @property
    def units(self) -> NDArray[np.int64]:
        """The bootstrap unit of each answer, ``int64`` ``(N,)``: a family, or a photo's source if these are few."""
        return sampling_units(self.answers.galleries, self.faces.groups[self.answers.indices])

    def rate(self, events: NDArray[np.bool_], meaning: str) -> Figure:
        """Return the fraction of events ``(N,)``, in which repeated searches for a photo count as one."""
        return rate(events, self.units, f"{meaning}, {self.label}.", ids=self.answers.indices)


@dataclass(frozen=True, slots=True, eq=False)
class SiblingChoice:
    """The sibling with the larger probability in each of N answers; arrays of shape ``(N,)``.

    Attributes
    ----------
    right
        Whether it is the person shown; false if neither is a candidate.
    confidences
        The larger probability as a fraction of the sum of both, or without a calibration the difference of the
        similarities. NaN if neither is a candidate.
    is_calibrated
        Whether `confidences` are fractions.
    """

    right: NDArray[np.bool_]
    confidences: NDArray[np.float64]
    is_calibrated: bool

    @classmethod
    def of(cls, answers: SiblingAnswers) -> SiblingChoice:
        """Return the choice between the two siblings in each answer."""
        shown, sibling = answers.shown_probability, answers.sibling_probability
        is_calibrated = not (np.isnan(shown).any() or np.isnan(sibling).any())
        is_nearer = answers.shown_similarity > answers.sibling_similarity
        if not is_calibrated:
            gap = np.abs(answers.shown_similarity - answers.sibling_similarity)
            return cls(is_nearer, np.where(answers.acquired, gap, np.nan), is_calibrated=False)
        total = shown + sibling
        larger = np.maximum(shown, sibling)
        fractions = np.divide(larger, total, out=np.full(len(total), np.nan), where=total > 0)
        # Similarity resolves equal probabilities: 0 and 0, or 1 and 1 in double precision.
        right = (shown > sibling) | ((shown == sibling) & (total > 0) & is_nearer)
        return cls(right, fractions, is_calibrated=True)


def both_enrolled_figures(group: AnswerGroup) -> dict[str, Figure]:
    """Return the figures of searches for two enrolled siblings."""
    answers, suffix = group.answers, group.suffix
    choice = SiblingChoice.of(answers)
    is_named = answers.named != Named.NOBODY
    figures = {
        f"two_class_accuracy_{suffix}": group.rate(
            choice.right, "The person shown is the more probable of the two siblings"
        )
    }
    for coverage in COVERAGES:
        name = f"two_class_accuracy_at_coverage_{100 * coverage:.0f}_{suffix}"
        figures[name] = accuracy_at_coverage(group, choice, coverage)
    figures[f"named_rightly_{suffix}"] = group.rate(answers.named == Named.SHOWN, "The right name is given")
    is_sibling = answers.named == Named.SIBLING
    figures[f"named_as_sibling_{suffix}"] = group.rate(is_sibling, "The name of the sibling is given")
    if is_named.any():
        named_group = replace(group, answers=answers.select(is_named))
        figures[f"wrong_among_names_{suffix}"] = named_group.rate(
            named_group.answers.named != Named.SHOWN, "Wrong names among the names given"
        )
    figures[f"uncertain_{suffix}"] = group.rate(answers.uncertain, "The answer is uncertain")
    error = calibration_error(group, choice)
    return figures | ({f"calibration_error_between_{suffix}": error} if error is not None else {})


def stranger_figures(group: AnswerGroup, fpir: float) -> dict[str, Figure]:
    """Return the FPIR for strangers of other families; the bootstrap resamples enrolled families and strangers."""
    answers = group.answers
    events = answers.named != Named.NOBODY
    meaning = f"Strangers of other families that get a name ({format_percent(fpir, None)} requested), {group.label}."
    has_enough = min(len(np.unique(answers.galleries)), len(np.unique(answers.families))) >= MIN_PEOPLE
    if has_enough and events.any():
        person_indices = np.where(answers.families >= 0, answers.families, answers.indices + answers.families.max() + 1)
        figure = pair_rate(events, answers.galleries, person_indices, meaning)
        counts = (len(np.unique(answers.indices[mask])) for mask in (events, ~events))
        return {f"fpir_{group.suffix}": replace(figure, distinct=min(counts))}
    return {f"fpir_{group.suffix}": rate(events, group.units, meaning, ids=answers.indices)}


def one_enrolled_figures(present: AnswerGroup, absent: AnswerGroup) -> dict[str, Figure]:
    """Return the fractions of searches that name each of two siblings if only one is enrolled."""
    suffix, answers = absent.suffix, absent.answers
    is_named = answers.named == Named.SIBLING
    figures = {
        f"enrolled_sibling_named_{suffix}": present.rate(
            present.answers.named == Named.SHOWN, "The enrolled sibling is named"
        ),
        f"absent_sibling_named_{suffix}": absent.rate(
            is_named, "The sibling who is not enrolled gets the name of the enrolled one"
        ),
    }
    if not np.isnan(answers.sibling_probability).any():
        figures[f"absent_sibling_probable_{suffix}"] = absent.rate(
            answers.sibling_probability >= 0.5,
            "The sibling who is not enrolled is the enrolled one with a probability of 0.5 or more",
        )
        figures[f"absent_sibling_named_and_probable_{suffix}"] = absent.rate(
            is_named & (answers.sibling_probability >= 0.5),
            "The sibling who is not enrolled gets the name of the enrolled one, with a probability of 0.5 or more",
        )
    return figures


def accuracy_at_coverage(group: AnswerGroup, choice: SiblingChoice, coverage: float) -> Figure:
    """Return the accuracy of the most confident answers; ties share their errors."""
    order = np.argsort(-np.nan_to_num(choice.confidences, nan=-np.inf), kind="stable")
    risk = risk_coverage(choice.confidences, ~choice.right).risk
    count = int(np.ceil(coverage * len(order)))
    errors = np.diff(np.concatenate([[0.0], risk * np.arange(1, len(risk) + 1)]))  # errors in order, ties averaged
    resamples = Resamples.of(group.units, _RESAMPLES)
    values = []
    for draw in resamples.draws:
        weights = draw[resamples.indices][order]
        answered = np.cumsum(weights)
        last = int(np.searchsorted(answered, coverage * answered[-1])) + 1
        values.append(1 - float(weights[:last] @ errors[:last]) / max(float(answered[last - 1]), 1e-12))
    indices = group.answers.indices[order[:count]]
    right = choice.right[order[:count]]
    wrong = float(risk[count - 1] * count)
    return Figure(
        1 - wrong / count,
        resamples.interval(np.array(values)) if wrong > 0 else (1 - zero_event_bound(len(np.unique(indices))), 1.0),
        count,
        count - round(wrong),
        descriptive=True,
        meaning=f"The same among the most confident {format_percent(coverage, None)} of answers, {group.label}.",
        distinct=min(len(np.unique(indices[right])), len(np.unique(indices[~right]))),
    )


def calibration_error(group: AnswerGroup, choice: SiblingChoice) -> Figure | None:
    """Return the expected calibration error of `SiblingChoice.confidences`, over ten bins of equal count.

    None without a calibration, or if no answer has a sibling among its candidates.
    """
    has_sibling = np.isfinite(choice.confidences)
    if not choice.is_calibrated or not has_sibling.any():
        return None
    predicted, outcomes = choice.confidences[has_sibling], choice.right[has_sibling].astype(np.float64)
    meaning = (
        "Mean gap between the probability between the two and the observed frequency, over ten bins of equal count, "
        f"{group.label}; few searches inflate it."
    )
    units, ones = group.units[has_sibling], np.ones(len(predicted))
    return expected_error(predicted, outcomes, ones, bins=_bins(predicted), units=units, meaning=meaning)


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each value, of ten bins of equal count."""
    indices = np.empty(len(values), dtype=np.int64)
    indices[np.argsort(values, kind="stable")] = np.arange(len(values))
    return indices * BINS // max(len(values), 1)


def reliability_between(groups: Sequence[AnswerGroup]) -> Curves:
    """Return the reliability diagram of `SiblingChoice.confidences`, in bins of equal count."""
    lines = []
    for group in groups:
        choice = SiblingChoice.of(group.answers)
        has_sibling = np.isfinite(choice.confidences)
        if choice.is_calibrated and has_sibling.any():
            predicted, outcomes = choice.confidences[has_sibling], choice.right[has_sibling].astype(np.float64)
            lines.append(reliability_line(group.label, predicted, outcomes, np.ones(len(predicted)), _bins(predicted)))
    title = "Calibration of the probability between the two"
    return Curves(title, "larger probability of the two, of their sum", "fraction right", tuple(lines), diagonal=True)


def risk_curves(groups: Sequence[AnswerGroup]) -> Curves:
    """Return the risk-coverage curves."""
    lines = []
    for group in groups:
        choice = SiblingChoice.of(group.answers)
        lines.append(risk_coverage(choice.confidences, ~choice.right).line(group.label))
    return Curves("Wrong sibling among the answers given", "fraction answered", "fraction wrong", tuple(lines))


def names_table(groups: Sequence[AnswerGroup]) -> Table:
    """Return the outcomes if both siblings are enrolled, as a table."""
    headings = ("gallery", "searches", "named rightly", "named as the other", "named as another", "uncertain",
                "unknown", "no face found")  # fmt: skip
    rows = []
    for group in groups:
        answers = group.answers
        nobody = (answers.named == Named.NOBODY) & answers.acquired & ~answers.uncertain
        counts = [int((answers.named == name).sum()) for name in (Named.SHOWN, Named.SIBLING, Named.ANOTHER)]
        counts += [int(mask.sum()) for mask in (answers.uncertain, nobody, ~answers.acquired)]
        rows.append((group.label, f"{len(answers):,}", *(f"{count:,}" for count in counts)))
    return Table("Answers", headings, tuple(rows))


def reasons_table(groups: Sequence[AnswerGroup]) -> Table:
    """Return the reasons of uncertain answers as a table."""
    counts = [Counter(group.answers.reasons[group.answers.uncertain].tolist()) for group in groups]
    reasons = sorted({reason for counter in counts for reason in counter})
    rows = tuple((reason.replace("_", " "), *(f"{counter[reason]:,}" for counter in counts)) for reason in reasons)
    return Table("Reasons of uncertain answers", ("reason", *(group.label for group in groups)), rows)
