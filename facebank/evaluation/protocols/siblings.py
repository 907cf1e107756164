"""Brothers and sisters: told apart if both are enrolled, and named wrongly if one is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.curves import risk_coverage
from facebank.evaluation.dataset import Dataset, LeftOut
from facebank.evaluation.figures import LEAST_PEOPLE, Figure, Resamples, pair_rate, rate, sampling_units
from facebank.evaluation.identification import BINS, decided_section, reliability_line
from facebank.evaluation.identification import calibration_error as expected_error
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.options import USUAL_FPIR, Enrolled, Fpir, People, RelativesFile, open_people
from facebank.evaluation.protocols.siblings_trials import (
    ONE_ENROLLED,
    Answers,
    Named,
    PairSetup,
    PairTrial,
    SiblingPair,
    able_others,
    try_pair,
)
from facebank.evaluation.protocols.twins_pairs import photos_found
from facebank.evaluation.relatives import Relatives, families_of, read_relatives, relatives_in
from facebank.evaluation.report import Curves, Report, Section, Table
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet

_SHOWN_PAIRS = 20
_FAMILIES = 9
COVERAGES = (0.5, 0.7, 0.8, 0.9)
_RESAMPLES = 200


def _open(data: Path, relatives: RelativesFile = None, people: People = None) -> dict[str, Any]:
    listed = None if relatives is None else read_relatives(relatives)
    dataset = open_people(data, people)
    if listed is not None and people is not None:
        listed = tuple(pair for pair in listed if {pair.first, pair.second} <= set(dataset.people))
    return {"dataset": dataset, "relatives": listed}


@protocol(
    "siblings",
    open_data=_open,
    details="Which of the two it is, and how sure; how often the one is named as the other where both are enrolled or "
    "only one is; and whether strangers are named more often than was asked for. An npz of embeddings, made by the "
    "very pack, may have an array 'family' instead of a list.",
    examples=("siblings people/ --relatives siblings.csv", "siblings siblings.npz --others 50"),
)
def siblings(
    bench: Bench,
    dataset: Dataset,
    *,
    relatives: Sequence[Relatives] | None = None,
    photos: Enrolled = 4,
    others: Annotated[int, Option("--others", "Other people enrolled in a second gallery.", "N", least=0)] = 20,
    draws: int = 5,
    fpir: Fpir = USUAL_FPIR,
) -> Report:
    """Tell brothers and sisters apart.

    Parameters
    ----------
    relatives
        Pairs of siblings, each a gallery of its own; None for up to ten pairs of each family that the data name.
    photos
        Number of photos enrolled of each; fewer of a pair that has not one more of each.
    others
        Number of other people enrolled in a second gallery; fewer if the data have fewer families.
    draws
        How often photos, others and strangers are drawn.
    fpir
        Fraction of strangers that may be named.

    Raises
    ------
    DatasetError
        Nobody is related, or of no pair have both two photos with a face.
    UsageError
        There is no calibration for the fraction of strangers.
    """
    if photos < 1 or draws < 1 or others < 0:
        raise DatasetError("at least one photo of each person must be enrolled, and drawn at least once")
    settings = DecisionSettings(fpir=fpir)
    listed = relatives_in(dataset, bench.random(_FAMILIES)) if relatives is None else relatives
    faces = bench.read(replace(dataset, pairs=()))
    families = families_of(faces.dataset, listed)
    pairs, left_out = _pairs(faces, listed, families, photos)
    used = max(pair.enrolled for pair in pairs)
    setup = PairSetup(faces, families, 0, settings)
    setup = replace(setup, others=min(others, able_others(setup, used)))
    bench.progress.begin("brothers and sisters", len(pairs))
    trials = list[PairTrial]()
    for number, pair in enumerate(pairs):
        trials.append(try_pair(bench, setup, number, pair, draws))
        bench.progress.advance()
    return _report(bench, setup, trials, used, left_out)


def _pairs(
    faces: FaceSet, relatives: Sequence[Relatives], families: np.ndarray[tuple[int], np.dtype[np.int64]], photos: int
) -> tuple[list[SiblingPair], list[LeftOut]]:
    """Return the pairs that can be tried, with the number of photos enrolled, and those that cannot."""
    counts, people = photos_found(faces), faces.dataset.people
    pairs, left_out = list[SiblingPair](), list[LeftOut]()
    for one in relatives:
        family = int(families[people.index(one.first)]) if one.first in counts else -1
        least = min(counts.get(one.first, 0), counts.get(one.second, 0))
        pair = SiblingPair((one.first, one.second), one.relation, family, min(photos, least - 1))
        if least >= 2:
            pairs.append(pair)
        else:
            has = " and ".join(f"{counts.get(person, 0):,}" for person in pair.people)
            left_out.append(LeftOut(pair.label, f"untested: {has} photos with a face; two of each are needed"))
    if not pairs:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: untested: of no pair have both two photos with a face, so that one "
            "could be enrolled and another searched for ('facebank bench twins' says what fewer photos show)"
        )
    return pairs, left_out


def _report(
    bench: Bench, setup: PairSetup, trials: Sequence[PairTrial], used: int, left_out: Sequence[LeftOut]
) -> Report:
    faces, fpir = setup.faces, setup.settings.fpir
    full = [trial for trial in trials if trial.pair.enrolled == used]
    both = _questions(setup, full, "both", used, f"{used} enrolled of each")
    strange = _questions(setup, full, "strangers", used, f"{used} enrolled of each")
    figures: dict[str, Figure] = {}
    for question in both:
        figures |= both_enrolled(question)
    apart = tuple(figures)
    for question in strange:
        figures |= strangers_named(question, fpir)
    absent_figures: dict[str, Figure] = {}
    present, absent = (
        _questions(setup, trials, name, ONE_ENROLLED, f"{ONE_ENROLLED} enrolled of one")
        for name in ("present", "absent")
    )
    if len(present) == len(absent):
        for pair in zip(present, absent, strict=True):
            absent_figures |= one_enrolled(*pair)
    error = tuple(name for name in apart if name.startswith("calibration_error"))
    shown = tuple(name for name in apart if name not in error)
    fpirs = tuple(name for name in figures if name.startswith("fpir"))
    sections = (
        Section(
            "Both enrolled", (*_BOTH, _units(setup)), shown, (names_table(both), reasons_table(both), risk_curves(both))
        ),
        Section("Which of the two it is, as a probability", _BETWEEN, error, (reliability_between(both),)),
        Section("Strangers of other families", (_STRANGERS if fpirs else _NO_STRANGERS,), fpirs),
        Section("One enrolled, the other not", _ONE if absent_figures else _NO_ONE, tuple(absent_figures)),
        Section("Pair by pair", (_PAIRS,), (), (_fewer(setup, trials, used), _hardest(trials))),
        decided_section(bench, faces),
    )
    figures |= absent_figures
    return bench.report(
        "siblings",
        "Brothers and sisters",
        faces,
        summary=_summary(setup, figures, trials, used, len(left_out)),
        figures=figures,
        sections=sections,
        failures=left_out,
    )


def _questions(
    setup: PairSetup, trials: Sequence[PairTrial], kind: str, photos: int, enrolled: str
) -> list[AnswerGroup]:
    """Return the answers of one kind: with nobody else enrolled, and among others if there are any."""
    alone = [trial.alone[kind] for trial in trials if kind in trial.alone]
    among = [trial.among[kind] for trial in trials if kind in trial.among]
    made = (
        (alone, f"{photos}", enrolled),
        (among, f"{photos}_among_{setup.others}", f"{enrolled} among {setup.others} others"),
    )
    joined = ((Answers.joined(parts), suffix, label) for parts, suffix, label in made if parts)
    return [AnswerGroup(suffix, label, answers, setup.faces) for answers, suffix, label in joined if len(answers)]


def _fewer(setup: PairSetup, trials: Sequence[PairTrial], used: int) -> Table:
    """Return the answers by number of enrolled photos."""
    rows = list[tuple[str, ...]]()
    for photos in sorted({trial.pair.enrolled for trial in trials}):
        some = [trial for trial in trials if trial.pair.enrolled == photos]
        questions = _questions(setup, some, "both", photos, f"{photos}")
        rows += [(one.label, f"{len(some):,}", *_counts(one.answers)) for one in questions]
    title = f"By photos enrolled of each; figures are those of {used}"
    return Table(title, ("enrolled", "pairs", "searches", "likelier one right", *_NAMED), tuple(rows))


def _hardest(trials: Sequence[PairTrial]) -> Table:
    """Return the pairs that are told apart worst."""
    rows = [
        (trial.pair.label, f"{trial.pair.enrolled}", *_counts(trial.alone["both"]))
        for trial in sorted(trials, key=lambda one: float(Choice.of(one.alone["both"]).right.mean()))
        if len(trial.alone["both"])
    ]
    headings = ("pair", "enrolled", "searches", "likelier one right", *_NAMED)
    return Table(f"The {min(_SHOWN_PAIRS, len(rows))} hardest pairs", headings, tuple(rows[:_SHOWN_PAIRS]))


def _counts(answers: Answers) -> tuple[str, ...]:
    events = (Choice.of(answers).right, answers.named == Named.SHOWN, answers.named == Named.SIBLING, answers.uncertain)
    return f"{len(answers):,}", *(f"{int(event.sum()):,}" for event in events)


def _summary(
    setup: PairSetup, figures: dict[str, Figure], trials: Sequence[PairTrial], used: int, untested: int
) -> tuple[str, ...]:
    full = [trial for trial in trials if trial.pair.enrolled == used]
    end, count = f"{used}", len({trial.pair.family for trial in full})
    families = "1 family" if count == 1 else f"{count:,} families"
    pairs = "1 pair" if len(full) == 1 else f"{len(full):,} pairs"
    sentences = [
        f"{pairs} of {families}, {used} photos enrolled of each and nobody else: the likelier of the two is right "
        f"for {figures[f'two_class_accuracy_{end}']}."
    ]
    if f"wrong_among_names_{end}" in figures:
        sentences.append(f"Of the names given, {figures[f'wrong_among_names_{end}']} are wrong.")
    if f"fpir_{end}" in figures:
        sentences.append(
            f"Strangers of other families are given a name for {figures[f'fpir_{end}']}, where "
            f"{100 * setup.settings.fpir:g} % is asked for."
        )
    if f"absent_sibling_named_{ONE_ENROLLED}" in figures:
        sentences.append(
            "With one of them enrolled, the other is named as that one for "
            f"{figures[f'absent_sibling_named_{ONE_ENROLLED}']}."
        )
    if len(trials) > len(full):
        sentences.append(f"Pairs with fewer photos are in a table only: {len(trials) - len(full):,}.")
    if untested:
        sentences.append(f"Untested, because somebody has too few photos: {untested:,}.")
    return tuple(sentences)


def _units(setup: PairSetup) -> str:
    enough = len(np.unique(setup.families)) >= LEAST_PEOPLE
    what = "families" if enough else f"photos, because there are fewer than {LEAST_PEOPLE} families"
    return f"Intervals draw {what}; a photo that is searched for in several draws counts as one."


_NAMED = ("named rightly", "named as the other", "uncertain")
_BOTH = (
    "Each gallery holds two siblings and nobody else; in a second one, others of other families are enrolled too, as "
    "many photos of each. All their other photos are searched for, one at a time, and decided exactly as 'facebank "
    "identify' decides. Photos, others and strangers are drawn several times.",
    "The two-class accuracy asks only which of the two has the larger probability among the candidates. Risk and "
    "coverage rank these answers by that probability's share of the sum of both: coverage .7 leaves the least sure "
    "30 % unanswered.",
)
_BETWEEN = (
    "The larger probability of the two as a share of their sum, against how often it is right: ten bins of equal "
    "count.",
)
_STRANGERS = (
    "One photo each of people of families that are not in the gallery, up to 20 a gallery: given any name, they are "
    "named wrongly."
)
_NO_STRANGERS = "The data hold nobody of another family: FPIR is untested."
_ONE = (
    "One of the two is enrolled with 3 photos, the other is not: by turns. How often the one who is not enrolled "
    "gets the other's name, beside how often the one who is enrolled does.",
)
_NO_ONE = ("Untested: nobody has more than 3 photos with a face.",)
_PAIRS = "Counts with nobody else enrolled, all draws together."


@dataclass(frozen=True, slots=True, eq=False)
class AnswerGroup:
    """Answers of one kind of gallery, with the suffix of their figures' names and a label for people."""

    suffix: str
    label: str
    answers: Answers
    faces: FaceSet

    @property
    def units(self) -> NDArray[np.int64]:
        """The bootstrap's units: families, or sources of photos if families are few."""
        return sampling_units(self.answers.galleries, self.faces.groups[self.answers.places])

    def rate(self, events: NDArray[np.bool_], meaning: str) -> Figure:
        """Return a fraction of all answers; a photo that is searched for several times is one photo."""
        return rate(events, self.units, f"{meaning}, {self.label}.", things=self.answers.places)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Which of the two siblings each answer is for.

    Attributes
    ----------
    right
        Whether it is the one shown; false if neither is a candidate.
    sureness
        The larger probability as a fraction of the sum of both; without a calibration the difference of the
        similarities. NaN if neither is a candidate.
    calibrated
        Whether it is a fraction.
    """

    right: NDArray[np.bool_]
    sureness: NDArray[np.float64]
    calibrated: bool

    @classmethod
    def of(cls, answers: Answers) -> Choice:
        """Choose the larger of the two probabilities."""
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


def both_enrolled(question: AnswerGroup) -> dict[str, Figure]:
    """Return the figures of searches for two enrolled siblings."""
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


def strangers_named(question: AnswerGroup, fpir: float) -> dict[str, Figure]:
    """Return how often strangers get a name, drawing the families enrolled and the strangers."""
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


def one_enrolled(present: AnswerGroup, absent: AnswerGroup) -> dict[str, Figure]:
    """Return how often each of two siblings is named if only one is enrolled."""
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


def at_coverage(question: AnswerGroup, choice: Choice, coverage: float) -> Figure:
    """Return the accuracy of the surest answers; equally sure ones share their errors."""
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


def calibration_error(question: AnswerGroup, choice: Choice) -> Figure | None:
    """Return the expected calibration error of the larger fraction, over ten bins of equal count.

    None without a calibration, or if no answer has one of the two among its candidates.
    """
    judged = np.isfinite(choice.sureness)
    if not choice.calibrated or not judged.any():
        return None
    said, true = choice.sureness[judged], choice.right[judged].astype(np.float64)
    meaning = (
        "How far the probability between the two is from the share that is so, over ten bins of equal count, "
        f"{question.label}; few searches make it larger."
    )
    units, ones = question.units[judged], np.ones(len(said))
    return expected_error(said, true, ones, bins=_bins(said), units=units, meaning=meaning)


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each value's bin, of ten of equal count."""
    places = np.empty(len(values), dtype=np.int64)
    places[np.argsort(values, kind="stable")] = np.arange(len(values))
    return places * BINS // max(len(values), 1)


def reliability_between(questions: Sequence[AnswerGroup]) -> Curves:
    """Return the reliability diagram of the likelier sibling, in bins of equal count."""
    lines = []
    for question in questions:
        choice = Choice.of(question.answers)
        judged = np.isfinite(choice.sureness)
        if choice.calibrated and judged.any():
            said, true = choice.sureness[judged], choice.right[judged].astype(np.float64)
            lines.append(reliability_line(question.label, said, true, np.ones(len(said)), _bins(said)))
    title = "Is the probability between the two right?"
    return Curves(title, "larger probability of the two, of their sum", "share right", tuple(lines), diagonal=True)


def risk_curves(questions: Sequence[AnswerGroup]) -> Curves:
    """Return the risk over the coverage."""
    lines = []
    for question in questions:
        choice = Choice.of(question.answers)
        lines.append(risk_coverage(choice.sureness, ~choice.right).line(question.label))
    return Curves("Wrong sibling among the answers given", "share answered", "share wrong", tuple(lines))


def names_table(questions: Sequence[AnswerGroup]) -> Table:
    """Return the answers where both are enrolled."""
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


def reasons_table(questions: Sequence[AnswerGroup]) -> Table:
    """Return the reasons of uncertain answers."""
    counts = [Counter(question.answers.reasons[question.answers.uncertain].tolist()) for question in questions]
    reasons = sorted({reason for each in counts for reason in each})
    rows = tuple((reason.replace("_", " "), *(f"{each[reason]:,}" for each in counts)) for reason in reasons)
    return Table("Why answers are uncertain", ("reason", *(question.label for question in questions)), rows)
