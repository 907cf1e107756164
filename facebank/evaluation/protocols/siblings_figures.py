"""What the answers about siblings amount to: two-class accuracy, risk and coverage, names given, and calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.figures import Figure, Kind
from facebank.evaluation.protocols.siblings_trials import Answers, Named
from facebank.evaluation.rates import LEAST_PEOPLE, Resamples, pair_rate, rate, sampling_units
from facebank.evaluation.report import Curves, Line, Table
from facebank.evaluation.risk_coverage import risk_coverage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.laboratory import FaceSet

COVERAGES = (0.5, 0.7, 0.8, 0.9)
BINS = 10
_RESAMPLES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Answers of one kind of gallery.

    Attributes
    ----------
    suffix
        Ends the names of its figures.
    label
        For people.
    answers
        Not empty.
    faces
        Of the dataset.
    """

    suffix: str
    label: str
    answers: Answers
    faces: FaceSet

    @property
    def units(self) -> NDArray[np.int64]:
        """What the bootstrap draws: families, or sources of photos where the families are few."""
        return sampling_units(self.answers.galleries, self.faces.groups[self.answers.places])

    def rate(self, events: NDArray[np.bool_], meaning: str) -> Figure:
        """Return a share of all answers; a photo that is searched for several times is one photo."""
        return rate(events, self.units, f"{meaning}, {self.label}.", things=self.answers.places)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Which of the two siblings each answer is for.

    Attributes
    ----------
    right
        Whether it is the one shown; an answer in which neither is a candidate is for nobody.
    sureness
        The larger of the two probabilities, as a share of their sum; without a calibration, by how much the larger
        similarity is larger. NaN where neither is a candidate.
    calibrated
        Whether it is a share.
    """

    right: NDArray[np.bool_]
    sureness: NDArray[np.float64]
    calibrated: bool

    @classmethod
    def of(cls, answers: Answers) -> Choice:
        """Choose by the larger of the two probabilities."""
        calibrated = not (np.isnan(answers.own).any() or np.isnan(answers.other).any())
        nearer = answers.own_similarity > answers.other_similarity
        if not calibrated:
            gap = np.abs(answers.own_similarity - answers.other_similarity)
            return cls(nearer, np.where(answers.acquired, gap, np.nan), calibrated=False)
        total = answers.own + answers.other
        larger = np.maximum(answers.own, answers.other)
        shares = np.divide(larger, total, out=np.full(len(total), np.nan), where=total > 0)
        # Probabilities of 0 and 0, or 1 and 1 in double precision, leave it to the similarity.
        right = (answers.own > answers.other) | ((answers.own == answers.other) & (total > 0) & nearer)
        return cls(right, shares, calibrated=True)


def both_enrolled(question: Question) -> dict[str, Figure]:
    """Return the figures of searches for two siblings who are both enrolled."""
    answers, end = question.answers, question.suffix
    choice = Choice.of(answers)
    named = answers.named != Named.NOBODY
    figures = {
        f"two_class_accuracy_{end}": question.rate(
            choice.right, "The one shown is the likelier of the two siblings, by the candidates' probabilities"
        )
    }
    for coverage in COVERAGES:
        figures[f"two_class_accuracy_at_coverage_{100 * coverage:.0f}_{end}"] = at_coverage(question, choice, coverage)
    figures[f"named_rightly_{end}"] = question.rate(answers.named == Named.SHOWN, "The right name is given")
    figures[f"named_as_sibling_{end}"] = question.rate(
        answers.named == Named.SIBLING, "The name of the brother or sister is given"
    )
    if named.any():
        given = replace(question, answers=answers.where(named))
        figures[f"wrong_among_names_{end}"] = given.rate(
            given.answers.named != Named.SHOWN, "Of the names given, those that are wrong"
        )
    figures[f"uncertain_{end}"] = question.rate(answers.uncertain, "The answer is uncertain")
    error = calibration_error(question, choice)
    return figures | ({f"calibration_error_between_{end}": error} if error is not None else {})


def strangers_named(question: Question, fpir: float) -> dict[str, Figure]:
    """Return how many strangers get a name; both the families enrolled and the strangers are drawn anew."""
    answers = question.answers
    events = answers.named != Named.NOBODY
    meaning = (
        f"Strangers of other families who are given a name, where {100 * fpir:g} % is asked for, {question.label}."
    )
    enough = min(len(np.unique(answers.galleries)), len(np.unique(answers.shown))) >= LEAST_PEOPLE
    if enough and events.any():
        owners = np.where(answers.shown >= 0, answers.shown, answers.places + answers.shown.max() + 1)
        figure = pair_rate(events, answers.galleries, owners, meaning)
        seen = (len(np.unique(answers.places[some])) for some in (events, ~events))
        return {f"fpir_{question.suffix}": replace(figure, distinct=min(seen))}
    return {f"fpir_{question.suffix}": rate(events, question.units, meaning, things=answers.places)}


def one_enrolled(present: Question, absent: Question) -> dict[str, Figure]:
    """Return how often each of two siblings is named where only one is enrolled."""
    end, answers = absent.suffix, absent.answers
    named = answers.named == Named.SIBLING
    figures = {
        f"enrolled_sibling_named_{end}": present.rate(
            present.answers.named == Named.SHOWN, "The one who is enrolled is named"
        ),
        f"absent_sibling_named_{end}": absent.rate(
            named, "The one who is not enrolled is given the name of the brother or sister"
        ),
    }
    if not np.isnan(answers.other).any():
        figures[f"absent_sibling_probable_{end}"] = absent.rate(
            answers.other >= 0.5,
            "The one who is not enrolled is the brother or sister with a probability of .5 or more",
        )
        figures[f"absent_sibling_named_and_probable_{end}"] = absent.rate(
            named & (answers.other >= 0.5),
            "The one who is not enrolled is given the name of the brother or sister, with a probability of .5 or more",
        )
    return figures


def at_coverage(question: Question, choice: Choice, coverage: float) -> Figure:
    """Return the accuracy among the surest answers; equally sure ones share their errors."""
    order = np.argsort(-np.nan_to_num(choice.sureness, nan=-np.inf), kind="stable")
    risk = risk_coverage(choice.sureness, ~choice.right).risk
    count = int(np.ceil(coverage * len(order)))
    errors = np.diff(np.concatenate([[0.0], risk * np.arange(1, len(risk) + 1)]))  # in order, ties shared
    drawn = Resamples.of(question.units, _RESAMPLES)
    values = []
    for draw in drawn.draws:
        weights = draw[drawn.places][order]
        answered = np.cumsum(weights)
        last = int(np.searchsorted(answered, coverage * answered[-1])) + 1
        values.append(1 - float(weights[:last] @ errors[:last]) / max(float(answered[last - 1]), 1e-12))
    places = question.answers.places[order[:count]]
    right = choice.right[order[:count]]
    wrong = float(risk[count - 1] * count)
    return Figure(
        1 - wrong / count,
        drawn.interval(np.array(values)) if wrong > 0 else (max(0.0, 1 - 3 / len(np.unique(places))), 1.0),
        count,
        count - round(wrong),
        descriptive=True,
        meaning=f"The same among the surest {100 * coverage:g} % of answers, {question.label}.",
        distinct=min(len(np.unique(places[right])), len(np.unique(places[~right]))),
    )


def calibration_error(question: Question, choice: Choice) -> Figure | None:
    """Return how far the larger share is from the share that is right, over ten bins of equal count.

    None where nothing is calibrated, or no answer has one of the two among its candidates.
    """
    judged = np.isfinite(choice.sureness)
    if not choice.calibrated or not judged.any():
        return None
    gaps = choice.sureness[judged] - choice.right[judged]
    resamples = Resamples.of(question.units[judged])
    bins = _bins(choice.sureness[judged])
    total = np.maximum(resamples.sums(np.ones(len(gaps))), 1e-12)
    values = sum(np.abs(resamples.sums((bins == number) * gaps)) for number in range(BINS)) / total
    return Figure(
        sum(abs(float(gaps[bins == number].sum())) for number in range(BINS)) / len(gaps),
        resamples.interval(values),
        len(gaps),
        kind=Kind.NUMBER,
        meaning=(
            "How far the probability between the two is from the share that is so, over ten bins of equal count, "
            f"{question.label}; few searches make it larger."
        ),
    )


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the place of each value's bin, of ten that hold equally many."""
    places = np.empty(len(values), dtype=np.int64)
    places[np.argsort(values, kind="stable")] = np.arange(len(values))
    return places * BINS // max(len(values), 1)


def reliability_between(questions: Sequence[Question]) -> Curves:
    """Draw how often the likelier sibling is right, over how likely it was called, in bins of equal count."""
    lines = []
    for question in questions:
        choice = Choice.of(question.answers)
        judged = np.isfinite(choice.sureness)
        if choice.calibrated and judged.any():
            said, true = choice.sureness[judged], choice.right[judged].astype(np.float64)
            bins = _bins(said)
            counts = np.bincount(bins, minlength=BINS).astype(np.float64)
            some = counts > 0
            x, y = (np.bincount(bins, each, BINS)[some] / counts[some] for each in (said, true))
            lines.append(Line(question.label, x, y, weights=counts[some]))
    title = "Is the probability between the two right?"
    return Curves(title, "larger probability of the two, of their sum", "share right", tuple(lines), diagonal=True)


def risk_curves(questions: Sequence[Question]) -> Curves:
    """Draw the risk over the coverage."""
    lines = []
    for question in questions:
        choice = Choice.of(question.answers)
        lines.append(risk_coverage(choice.sureness, ~choice.right).line(question.label))
    return Curves("Wrong sibling among the answers given", "share answered", "share wrong", tuple(lines))


def names_table(questions: Sequence[Question]) -> Table:
    """Count what was answered where both are enrolled."""
    headings = ("gallery", "searches", "named rightly", "named as the other", "named as somebody else", "uncertain",
                "unknown", "no face found")  # fmt: skip
    rows = []
    for question in questions:
        answers = question.answers
        nobody = (answers.named == Named.NOBODY) & answers.acquired & ~answers.uncertain
        counts = [int((answers.named == name).sum()) for name in (Named.SHOWN, Named.SIBLING, Named.ANOTHER)]
        counts += [int(some.sum()) for some in (answers.uncertain, nobody, ~answers.acquired)]
        rows.append((question.label, f"{len(answers):,}", *(f"{count:,}" for count in counts)))
    return Table("What was answered", headings, tuple(rows))


def reasons_table(questions: Sequence[Question]) -> Table:
    """Count the reasons of uncertain answers."""
    counts = [Counter(question.answers.reasons[question.answers.uncertain].tolist()) for question in questions]
    reasons = sorted({reason for each in counts for reason in each})
    rows = tuple((reason.replace("_", " "), *(f"{each[reason]:,}" for each in counts)) for reason in reasons)
    return Table("Why answers are uncertain", ("reason", *(question.label for question in questions)), rows)
