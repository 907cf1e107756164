"""Siblings: confusion if both are enrolled, and wrong names if only one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, SkippedEntry
from facebank.evaluation.figures import MIN_PEOPLE, Figure, format_percent
from facebank.evaluation.identification import decision_section
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.options import DEFAULT_FPIR, Enrolled, Fpir, People, RelativesFile, open_people
from facebank.evaluation.protocols.siblings_figures import (
    AnswerGroup,
    SiblingChoice,
    both_enrolled_figures,
    names_table,
    one_enrolled_figures,
    reasons_table,
    reliability_between,
    risk_curves,
    stranger_figures,
)
from facebank.evaluation.protocols.siblings_trials import (
    ONE_ENROLLED,
    Named,
    PairSetup,
    PairTrial,
    SiblingAnswers,
    SiblingPair,
    count_other_families,
    try_pair,
)
from facebank.evaluation.protocols.twins_pairs import count_photos_with_face
from facebank.evaluation.relatives import RelatedPair, families_of, read_relatives, relatives_in
from facebank.evaluation.report import Report, Section, Table
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet

_SHOWN_PAIRS = 20
_FAMILIES = 9


def _open(data: Path, relatives: RelativesFile = None, people: People = None) -> dict[str, Any]:
    listed = None if relatives is None else read_relatives(relatives)
    dataset = open_people(data, people)
    if listed is not None and people is not None:
        listed = tuple(pair for pair in listed if {pair.first, pair.second} <= set(dataset.people))
    return {"dataset": dataset, "relatives": listed}


@protocol(
    "siblings",
    open_data=_open,
    details="Reports the confusion of siblings if both are enrolled or only one is, the calibration of the "
    "probabilities between the two, and FPIR. An npz of embeddings made by the same pack may have an array 'family' "
    "instead of a list.",
    examples=("siblings people/ --relatives siblings.csv", "siblings siblings.npz --others 50"),
)
def siblings(
    bench: Bench,
    dataset: Dataset,
    *,
    relatives: Sequence[RelatedPair] | None = None,
    photos: Enrolled = 4,
    others: Annotated[int, Option("--others", "Other people enrolled in a second gallery.", "N", minimum=0)] = 20,
    draws: int = 5,
    fpir: Fpir = DEFAULT_FPIR,
) -> Report:
    """Return the report of the confusion of siblings.

    Parameters
    ----------
    relatives
        Pairs of siblings, each with its own gallery; None for up to ten pairs of each family in the data.
    photos
        Number of enrolled photos of each person; one less than the smaller count of a pair with fewer photos.
    others
        Number of other people enrolled in a second gallery; fewer if the data has fewer families.
    draws
        Number of random draws of photos, others and strangers.
    fpir
        Fraction of strangers that may get a name.

    Raises
    ------
    DatasetError
        No pair has two photos with a face of both people.
    UsageError
        The pack has no calibration for `fpir`.
    """
    if photos < 1 or draws < 1 or others < 0:
        raise DatasetError("the numbers of enrolled photos and of draws must be at least 1")
    settings = DecisionSettings(fpir=fpir)
    listed = relatives_in(dataset, bench.random(_FAMILIES)) if relatives is None else relatives
    faces = bench.read(replace(dataset, pairs=()))
    families = families_of(faces.dataset, listed)
    pairs, skipped = _pairs(faces, listed, families, photos)
    used = max(pair.enrolled for pair in pairs)
    setup = PairSetup(faces, families, 0, settings)
    setup = replace(setup, others=min(others, count_other_families(setup, used)))
    bench.progress.begin("siblings", len(pairs))
    trials = list[PairTrial]()
    for pair_number, pair in enumerate(pairs):
        trials.append(try_pair(bench, setup, pair_number, pair, draws))
        bench.progress.advance()
    return _report(bench, setup, trials, used, skipped)


def _pairs(
    faces: FaceSet, relatives: Sequence[RelatedPair], families: NDArray[np.int64], photos: int
) -> tuple[list[SiblingPair], list[SkippedEntry]]:
    """Return the testable pairs with their numbers of enrolled photos, and entries for the others."""
    counts, people = count_photos_with_face(faces), faces.dataset.people
    pairs, skipped = list[SiblingPair](), list[SkippedEntry]()
    for related in relatives:
        family = int(families[people.index(related.first)]) if related.first in counts else -1
        count = min(counts.get(related.first, 0), counts.get(related.second, 0))
        pair = SiblingPair((related.first, related.second), related.relation, family, min(photos, count - 1))
        if count >= 2:
            pairs.append(pair)
        else:
            stated = " and ".join(f"{counts.get(person, 0):,}" for person in pair.people)
            skipped.append(SkippedEntry(pair.label, f"not tested: {stated} photos with a face; two of each are needed"))
    if not pairs:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: no pair can be tested, since two photos with a face of both people are "
            "needed ('facebank bench twins' also compares single photos)"
        )
    return pairs, skipped


def _report(
    bench: Bench, setup: PairSetup, trials: Sequence[PairTrial], used: int, skipped: Sequence[SkippedEntry]
) -> Report:
    faces, fpir = setup.faces, setup.settings.fpir
    full = [trial for trial in trials if trial.pair.enrolled == used]
    both_groups = _answer_groups(setup, full, "both", used, f"{used} enrolled of each")
    stranger_groups = _answer_groups(setup, full, "strangers", used, f"{used} enrolled of each")
    figures: dict[str, Figure] = {}
    for group in both_groups:
        figures |= both_enrolled_figures(group)
    both_names = tuple(figures)
    for group in stranger_groups:
        figures |= stranger_figures(group, fpir)
    absent_figures: dict[str, Figure] = {}
    present, absent = (
        _answer_groups(setup, trials, name, ONE_ENROLLED, f"{ONE_ENROLLED} enrolled of one")
        for name in ("present", "absent")
    )
    if len(present) == len(absent):
        for pair in zip(present, absent, strict=True):
            absent_figures |= one_enrolled_figures(*pair)
    calibration_names = tuple(name for name in both_names if name.startswith("calibration_error"))
    answer_names = tuple(name for name in both_names if name not in calibration_names)
    fpir_names = tuple(name for name in figures if name.startswith("fpir"))
    sections = (
        Section(
            "Both enrolled",
            (*_BOTH, _units(setup)),
            answer_names,
            (names_table(both_groups), reasons_table(both_groups), risk_curves(both_groups)),
        ),
        Section("Probability between the two", _BETWEEN, calibration_names, (reliability_between(both_groups),)),
        Section("Strangers of other families", (_STRANGERS if fpir_names else _NO_STRANGERS,), fpir_names),
        Section("One enrolled, the other not", _ONE if absent_figures else _NO_ONE, tuple(absent_figures)),
        Section("Pair by pair", (_PAIRS,), (), (_table_by_photos(setup, trials, used), _hardest_table(trials))),
        decision_section(bench, faces),
    )
    figures |= absent_figures
    return bench.report(
        "siblings",
        "Siblings",
        faces,
        summary=_summary(setup, figures, trials, used, len(skipped)),
        figures=figures,
        sections=sections,
        failures=skipped,
    )


def _answer_groups(
    setup: PairSetup, trials: Sequence[PairTrial], probes: str, photos: int, enrolled: str
) -> list[AnswerGroup]:
    """Return the answers to one kind of probe, without other people and, if there are any, among others."""
    alone = [trial.alone[probes] for trial in trials if probes in trial.alone]
    among = [trial.among[probes] for trial in trials if probes in trial.among]
    galleries = (
        (alone, f"{photos}", enrolled),
        (among, f"{photos}_among_{setup.others}", f"{enrolled} among {setup.others} others"),
    )
    joined = ((SiblingAnswers.concatenate(parts), suffix, label) for parts, suffix, label in galleries if parts)
    return [AnswerGroup(suffix, label, answers, setup.faces) for answers, suffix, label in joined if len(answers)]


def _table_by_photos(setup: PairSetup, trials: Sequence[PairTrial], used: int) -> Table:
    """Return the answers by number of enrolled photos as a table."""
    rows = list[tuple[str, ...]]()
    for photos in sorted({trial.pair.enrolled for trial in trials}):
        selected = [trial for trial in trials if trial.pair.enrolled == photos]
        groups = _answer_groups(setup, selected, "both", photos, f"{photos}")
        rows += [(group.label, f"{len(selected):,}", *_counts(group.answers)) for group in groups]
    title = f"By number of enrolled photos; figures are for {used}"
    return Table(title, ("enrolled", "pairs", "searches", "likelier one right", *_NAMED), tuple(rows))


def _hardest_table(trials: Sequence[PairTrial]) -> Table:
    """Return a table of the most confused pairs."""
    rows = [
        (trial.pair.label, f"{trial.pair.enrolled}", *_counts(trial.alone["both"]))
        for trial in sorted(trials, key=lambda trial: float(SiblingChoice.of(trial.alone["both"]).right.mean()))
        if len(trial.alone["both"])
    ]
    headings = ("pair", "enrolled", "searches", "likelier one right", *_NAMED)
    return Table(f"The {min(_SHOWN_PAIRS, len(rows))} most confused pairs", headings, tuple(rows[:_SHOWN_PAIRS]))


def _counts(answers: SiblingAnswers) -> tuple[str, ...]:
    events = (
        SiblingChoice.of(answers).right,
        answers.named == Named.SHOWN,
        answers.named == Named.SIBLING,
        answers.uncertain,
    )
    return f"{len(answers):,}", *(f"{int(event.sum()):,}" for event in events)


def _summary(
    setup: PairSetup, figures: dict[str, Figure], trials: Sequence[PairTrial], used: int, untested: int
) -> tuple[str, ...]:
    full = [trial for trial in trials if trial.pair.enrolled == used]
    families = pluralize(len({trial.pair.family for trial in full}), "family", "families")
    sentences = [
        f"{pluralize(len(full), 'pair')} of {families}, {pluralize(used, 'enrolled photo')} of each and no other "
        f"people: the more probable sibling is right for {figures[f'two_class_accuracy_{used}']}."
    ]
    if f"wrong_among_names_{used}" in figures:
        sentences.append(f"Wrong names among the names given: {figures[f'wrong_among_names_{used}']}.")
    if f"fpir_{used}" in figures:
        sentences.append(
            f"FPIR for strangers of other families: {figures[f'fpir_{used}']}; "
            f"{format_percent(setup.settings.fpir, None)} is requested."
        )
    if f"absent_sibling_named_{ONE_ENROLLED}" in figures:
        sentences.append(
            "If only one sibling is enrolled, the other gets that name for "
            f"{figures[f'absent_sibling_named_{ONE_ENROLLED}']}."
        )
    if len(trials) > len(full):
        sentences.append(f"Pairs with fewer photos, listed in a table only: {len(trials) - len(full):,}.")
    if untested:
        sentences.append(f"Pairs not tested for lack of photos: {untested:,}.")
    return tuple(sentences)


def _units(setup: PairSetup) -> str:
    has_families = len(np.unique(setup.families)) >= MIN_PEOPLE
    unit = "families" if has_families else f"photos, since there are fewer than {MIN_PEOPLE} families"
    return f"Bootstrap intervals resample {unit}; a photo that is searched for in several draws counts as one."


_NAMED = ("named rightly", "named as the other", "uncertain")
_BOTH = (
    "Each gallery has two siblings and no other people; a second gallery also has people of other families, with as "
    "many photos each. All other photos of the siblings are searched for independently, with the decisions of "
    "'facebank identify'. Photos, other people and strangers are drawn several times.",
    "The two-class accuracy is how often the person shown has the larger probability of the two siblings. Risk and "
    "coverage rank answers by that probability divided by the sum of both: at coverage 0.7 the least confident 30 % "
    "are left unanswered.",
)
_BETWEEN = (
    "Compares the larger probability of the two, as a fraction of their sum, with how often it is right, in ten bins "
    "of equal count.",
)
_STRANGERS = (
    "One photo each of up to 20 people per gallery, of families that are not enrolled; any name given to them is wrong."
)
_NO_STRANGERS = "FPIR was not tested: the data has no people of other families."
_ONE = (
    "Each sibling in turn is enrolled with 3 photos, and the other is not. Compares how often the sibling who is not "
    "enrolled gets the other's name with how often the enrolled one does.",
)
_NO_ONE = ("Not tested: nobody has more than 3 photos with a face.",)
_PAIRS = "Counts without other people enrolled, pooled over all draws."
