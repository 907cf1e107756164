"""Brothers and sisters: told apart where both are enrolled, and named wrongly where one is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.dataset import LeftOut, Pick
from facebank.evaluation.families import families_of, relatives_in
from facebank.evaluation.measuring import how_decided
from facebank.evaluation.protocols.siblings_figures import (
    Choice,
    Question,
    both_enrolled,
    names_table,
    one_enrolled,
    reasons_table,
    reliability_between,
    risk_curves,
    strangers_named,
)
from facebank.evaluation.protocols.siblings_trials import (
    ONE_ENROLLED,
    Answers,
    Circumstances,
    Named,
    Pair,
    PairTrial,
    able_others,
    try_pair,
)
from facebank.evaluation.protocols.twins_groups import photos_found
from facebank.evaluation.rates import LEAST_PEOPLE
from facebank.evaluation.report import Report, Section, Table
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.laboratory import FaceSet
    from facebank.evaluation.relatives import Relatives

_SHOWN_PAIRS = 20
_FAMILIES = 9


def siblings(
    bench: Bench,
    dataset: Dataset,
    *,
    relatives: Sequence[Relatives] | None = None,
    photos: int = 4,
    others: int = 20,
    draws: int = 5,
    fpir: float = DecisionSettings().fpir,
) -> Report:
    """Tell brothers and sisters apart.

    Parameters
    ----------
    bench, dataset
        Where it runs, and on which photos, or embeddings.
    relatives
        Pairs of siblings, each a gallery of its own; None for the pairs of the families that the data name, at most ten
        of each.
    photos
        How many of each are enrolled; fewer of a pair that has not one more of each.
    others
        How many other people are enrolled in a second gallery; fewer where the data have fewer families.
    draws
        How often photos, others and strangers are drawn.
    fpir
        The share of strangers that may be named.

    Raises
    ------
    DatasetError
        Nobody is said to be related, or of no pair have both two photos with a face.
    UsageError
        The share of strangers is none that a calibration is measured for.
    """
    if photos < 1 or draws < 1 or others < 0:
        raise DatasetError("at least one photo of each person must be enrolled, and drawn at least once")
    settings = DecisionSettings(fpir=fpir)
    listed = relatives_in(dataset, bench.random(_FAMILIES)) if relatives is None else relatives
    faces = bench.read(replace(dataset, pairs=()))
    families = families_of(faces.dataset, listed)
    pairs, left_out = _pairs(faces, listed, families, photos)
    used = max(pair.enrolled for pair in pairs)
    around = Circumstances(faces, families, 0, settings)
    around = replace(around, others=min(others, able_others(around, used)))
    bench.progress.begin("brothers and sisters", len(pairs))
    trials = list[PairTrial]()
    for number, pair in enumerate(pairs):
        trials.append(try_pair(bench, around, number, pair, draws))
        bench.progress.advance()
    return _report(bench, around, trials, used, left_out)


def _pairs(
    faces: FaceSet, relatives: Sequence[Relatives], families: np.ndarray[tuple[int], np.dtype[np.int64]], photos: int
) -> tuple[list[Pair], list[LeftOut]]:
    """Return the pairs that can be tried, with how many photos of each are enrolled, and those that cannot."""
    counts, people = photos_found(faces), faces.dataset.people
    pairs, left_out = list[Pair](), list[LeftOut]()
    for one in relatives:
        family = int(families[people.index(one.first)]) if one.first in counts else -1
        least = min(counts.get(one.first, 0), counts.get(one.second, 0))
        pair = Pair((one.first, one.second), one.relation, family, min(photos, least - 1))
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
    bench: Bench, around: Circumstances, trials: Sequence[PairTrial], used: int, left_out: Sequence[LeftOut]
) -> Report:
    faces, fpir = around.faces, around.settings.fpir
    full = [trial for trial in trials if trial.pair.enrolled == used]
    both = _questions(around, full, "both", used, f"{used} enrolled of each")
    strange = _questions(around, full, "strangers", used, f"{used} enrolled of each")
    figures: dict[str, Figure] = {}
    for question in both:
        figures |= both_enrolled(question)
    apart = tuple(figures)
    for question in strange:
        figures |= strangers_named(question, fpir)
    absent_figures: dict[str, Figure] = {}
    present, absent = (
        _questions(around, trials, name, ONE_ENROLLED, f"{ONE_ENROLLED} enrolled of one")
        for name in ("present", "absent")
    )
    if len(present) == len(absent):
        for pair in zip(present, absent, strict=True):
            absent_figures |= one_enrolled(*pair)
    error = tuple(name for name in apart if name.startswith("calibration_error"))
    told = tuple(name for name in apart if name not in error)
    fpirs = tuple(name for name in figures if name.startswith("fpir"))
    sections = (
        Section(
            "Both enrolled", (*_BOTH, _units(around)), told, (names_table(both), reasons_table(both), risk_curves(both))
        ),
        Section("Which of the two it is, as a probability", _BETWEEN, error, (reliability_between(both),)),
        Section("Strangers of other families", (_STRANGERS if fpirs else _NO_STRANGERS,), fpirs),
        Section("One enrolled, the other not", _ONE if absent_figures else _NO_ONE, tuple(absent_figures)),
        Section("Pair by pair", (_PAIRS,), (), (_fewer(around, trials, used), _hardest(trials))),
        Section("What the decisions rest on", (how_decided(bench), *_embedded(faces))),
    )
    figures |= absent_figures
    return bench.report(
        "siblings",
        "Brothers and sisters",
        faces,
        summary=_summary(around, figures, trials, used, len(left_out)),
        figures=figures,
        sections=sections,
        failures=left_out,
    )


def _questions(
    around: Circumstances, trials: Sequence[PairTrial], kind: str, photos: int, enrolled: str
) -> list[Question]:
    """Return the answers of one kind: with nobody else enrolled, and among others where there are any."""
    alone = [trial.alone[kind] for trial in trials if kind in trial.alone]
    among = [trial.among[kind] for trial in trials if kind in trial.among]
    made = (
        (alone, f"{photos}", enrolled),
        (among, f"{photos}_among_{around.others}", f"{enrolled} among {around.others} others"),
    )
    joined = ((Answers.joined(parts), suffix, label) for parts, suffix, label in made if parts)
    return [Question(suffix, label, answers, around.faces) for answers, suffix, label in joined if len(answers)]


def _fewer(around: Circumstances, trials: Sequence[PairTrial], used: int) -> Table:
    """Count what was answered by how many photos are enrolled."""
    rows = list[tuple[str, ...]]()
    for photos in sorted({trial.pair.enrolled for trial in trials}):
        some = [trial for trial in trials if trial.pair.enrolled == photos]
        questions = _questions(around, some, "both", photos, f"{photos}")
        rows += [(one.label, f"{len(some):,}", *_counts(one.answers)) for one in questions]
    title = f"By photos enrolled of each; figures are those of {used}"
    return Table(title, ("enrolled", "pairs", "searches", "likelier one right", *_NAMED), tuple(rows))


def _hardest(trials: Sequence[PairTrial]) -> Table:
    """List the pairs that are told apart worst."""
    rows = [
        (trial.pair.label, f"{trial.pair.enrolled}", *_counts(trial.alone["both"]))
        for trial in sorted(trials, key=lambda one: float(Choice.of(one.alone["both"]).right.mean()))
        if len(trial.alone["both"])
    ]
    headings = ("pair", "enrolled", "searches", "likelier one right", *_NAMED)
    return Table(f"The {min(_SHOWN_PAIRS, len(rows))} hardest pairs", headings, tuple(rows[:_SHOWN_PAIRS]))


def _counts(answers: Answers) -> tuple[str, ...]:
    events = (
        Choice.of(answers).right,
        answers.named == Named.SHOWN,
        answers.named == Named.SIBLING,
        answers.uncertain,
    )
    return f"{len(answers):,}", *(f"{int(event.sum()):,}" for event in events)


def _summary(
    around: Circumstances,
    figures: dict[str, Figure],
    trials: Sequence[PairTrial],
    used: int,
    untested: int,
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
            f"{100 * around.settings.fpir:g} % is asked for."
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


def _units(around: Circumstances) -> str:
    enough = len(np.unique(around.families)) >= LEAST_PEOPLE
    what = "families" if enough else f"photos, because there are fewer than {LEAST_PEOPLE} families"
    return f"Intervals draw {what}; a photo that is searched for in several draws counts as one."


def _embedded(faces: FaceSet) -> tuple[str, ...]:
    return (EMBEDDED,) if faces.dataset.pick is Pick.EMBEDDED else ()


EMBEDDED = (
    "The data are embeddings, not photos: they must have been made by this very pack. No masked or moved variants of "
    "enrolled faces exist, so that faces with a hidden mouth are searched for as all others are."
)
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
