"""Comparison of packs or settings on the same pairs, or the same searches, with paired differences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from facebank.errors import UsageError
from facebank.evaluation.bench import Bench
from facebank.evaluation.curves import Comparisons, ErrorCurve, equal_error_rate, resampled_weights
from facebank.evaluation.dataset import Dataset, LeftOut
from facebank.evaluation.figures import Figure, Kind, difference, pair_rate, rate
from facebank.evaluation.identification import Condition, searches_table, strangers_table
from facebank.evaluation.pairing import Compared, compare_faces, drawn_units, only_compared, pairs_of
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.lfw import decide_folds
from facebank.evaluation.protocols.options import Pairs, open_pairs
from facebank.evaluation.report import Report, Section, Table
from facebank.evaluation.searches import choose_roles, enroll
from facebank.evaluation.verification import (
    RATES,
    curve_figures,
    error_curves,
    failure_to_acquire,
    fnmr_name,
    never_apart,
    of_shares,
    operating_figures,
    pair_difference,
)
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet


class Question(StrEnum):
    """What is compared."""

    VERIFY = "verify"
    """Pairs: do two photos show one person?"""
    OPENSET = "openset"
    """Searches: who is it, if anybody?"""


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A pack on its bench, with settings, under the name that the report uses."""

    name: str
    bench: Bench
    settings: DecisionSettings = field(default_factory=DecisionSettings)

    @property
    def key(self) -> str:
        """Suffix of its figures' names: lower case, words joined by underscores."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.casefold()).strip("_")


def compare(
    contenders: Sequence[Contender],
    dataset: Dataset,
    question: Question = Question.VERIFY,
    *,
    photos: int = 3,
    searches: int = 1000,
) -> Report:
    """Measure contenders on the same data, and the differences of the others from the first, with intervals.

    Parameters
    ----------
    contenders
        At least two; the first's seed is used.
    dataset
        With pairs or photos of people for `Question.VERIFY`, with photos of people for `Question.OPENSET`.
    question
        What is compared.
    photos
        Number of photos enrolled of each person, for searches.
    searches
        The most photos of enrolled people, and of strangers, searched for.

    Raises
    ------
    UsageError
        There are fewer than two contenders, or two of one name.
    DatasetError
        The dataset does not suffice, or no photo has a face.
    """
    _check_names(contenders)
    made = (
        _verification(contenders, dataset)
        if question is Question.VERIFY
        else _identification(contenders, dataset, photos, searches)
    )
    report = contenders[0].bench.report(
        "compare",
        f"Comparison: {', '.join(contender.name for contender in contenders)}",
        made.faces[0],
        summary=(made.description, *_sentences(contenders, made.figures)),
        figures=made.figures,
        sections=(
            _packs_section(contenders),
            _figures_section(contenders, made.figures),
            Section("Paired differences", (_DIFFERENCES,), tuple(name for name in made.figures if "_minus_" in name)),
            made.shown,
        ),
        failures=[
            LeftOut(f"{failure.what} ({contender.name})", failure.why)
            for contender, faces in zip(contenders[1:], made.faces[1:], strict=True)
            for failure in faces.failures
        ],
    )
    packs = ((one.name, one.bench.reader.engine.identity) for one in contenders[1:])
    others = ", ".join(f"{name}: {identity.name} {identity.digest}" for name, identity in packs)
    return replace(report, pack={**report.pack, "compared_with": others})


def _open(
    data: Path,
    pairs: Pairs = None,
    searches: Annotated[bool, Option("--searches", "Search for people, instead of comparing pairs.")] = False,
) -> dict[str, Any]:
    if pairs is not None and searches:
        raise UsageError("people are searched for without pairs: leave out --pairs or --searches")
    return {"dataset": open_pairs(data, pairs), "question": Question.OPENSET if searches else Question.VERIFY}


@protocol(
    "compare",
    open_data=_open,
    details="They get the very same photos; the differences have intervals.",
    examples=("compare people/ --with buffalo_l", "compare people/ --searches --with-classifier svm"),
)
def compare_with(
    bench: Bench,
    dataset: Dataset,
    question: Question,
    *,
    packs: Annotated[Sequence[str], Option("--with", "Another pack; may be repeated.", "PACK")] = (),
    classifiers: Annotated[
        Sequence[str], Option("--with-classifier", "Another classifier of the same pack; may be repeated.", "KIND")
    ] = (),
) -> Report:
    """Compare the bench's pack with other packs, or with other classifiers; raises `UsageError` as `compare` does."""
    if classifiers and question is not Question.OPENSET:
        raise UsageError("classifiers decide searches, and pairs need none: add --searches")

    def name(pack: str | None) -> str:
        return "opencv" if pack is None else Path(pack).name

    contenders = [
        Contender("prototype" if classifiers else name(bench.pack), bench),
        *(Contender(name(pack), bench.with_pack(pack)) for pack in packs),
        *(Contender(kind, bench, DecisionSettings(classifier=kind)) for kind in classifiers),
    ]
    return compare(contenders, dataset, question)


def _check_names(contenders: Sequence[Contender]) -> None:
    keys = [contender.key for contender in contenders]
    if len(keys) < 2 or "" in keys:
        raise UsageError("A comparison needs two packs or settings or more, each with a name of its own.")
    if len(set(keys)) != len(keys):
        names = ", ".join(printable(contender.name) for contender in contenders)
        raise UsageError(f"A comparison of something with itself says nothing: {names}; name another one.")


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What a report is made of."""

    description: str
    faces: list[FaceSet]
    figures: dict[str, Figure]
    shown: Section


def _verification(contenders: Sequence[Contender], dataset: Dataset) -> _Measured:
    shown = only_compared(dataset)
    faces = [contender.bench.read(shown) for contender in contenders]
    pairing = pairs_of(faces[0], contenders[0].bench.random())
    compared = [
        Compared(own, pairing, compare_faces(own, pairing.pairs), one.bench.reader.engine.thresholds)
        for one, own in zip(contenders, faces, strict=True)
    ]
    figures: dict[str, Figure] = {}
    for contender, trial in zip(contenders, compared, strict=True):
        figures |= {f"{name}_{contender.key}": figure for name, figure in _own_figures(trial).items()}
    for contender, trial in zip(contenders[1:], compared[1:], strict=True):
        ending = f"{contender.key}_minus_{contenders[0].key}"
        figures |= {f"{name}_{ending}": figure for name, figure in _pair_differences(trial, compared[0]).items()}
    lines = [(one.name, trial.comparisons) for one, trial in zip(contenders, compared, strict=True)]
    return _Measured(pairing.description, faces, figures, Section("Curves", items=error_curves(lines)))


def _own_figures(trial: Compared) -> dict[str, Figure]:
    comparisons, right = trial.comparisons, _right_by_folds(trial)
    meaning = "Pairs decided rightly, each fold with the threshold that is best on all other folds."
    accuracy = None if right is None else pair_rate(right, comparisons.first, comparisons.second, meaning)
    return {
        **({} if accuracy is None else {"accuracy": accuracy}),
        **operating_figures(comparisons, trial.threshold),
        **curve_figures(comparisons, RATES),
        "failure_to_acquire": failure_to_acquire(trial),
    }


def _right_by_folds(trial: Compared) -> NDArray[np.bool_] | None:
    folds = np.array([pair.fold for pair in trial.pairing.pairs], dtype=np.int64)
    return decide_folds(trial.comparisons, folds).right if len(np.unique(folds)) > 1 else None


def _pair_differences(ours: Compared, theirs: Compared) -> dict[str, Figure]:
    """Return differences on the same pairs; positive if ours is larger."""
    first, second, same = ours.comparisons.first, ours.comparisons.second, ours.comparisons.same
    a, b = ours.comparisons, theirs.comparisons

    def apart(mine: NDArray[np.bool_], other: NDArray[np.bool_], chosen: NDArray[np.bool_], what: str) -> Figure:
        a, b = (part[chosen].astype(np.float64) for part in (mine, other))
        return pair_difference(a, b, first[chosen], second[chosen], f"Difference in {what}, on the same pairs.")

    figures = {}
    right = [_right_by_folds(trial) for trial in (ours, theirs)]
    if right[0] is not None and right[1] is not None:
        figures["accuracy"] = apart(right[0], right[1], np.ones(len(same), dtype=np.bool_), "accuracy")
    matched = [trial.comparisons.matched(trial.threshold) for trial in (ours, theirs)]
    figures["fmr_at_shipped_threshold"] = apart(matched[0], matched[1], ~same, "FMR at the shipped thresholds")
    figures["fnmr_at_shipped_threshold"] = apart(~matched[0], ~matched[1], same, "FNMR at the shipped thresholds")
    figures["equal_error_rate"] = _eer_difference(a, b)
    for fmr in RATES:
        if fmr * int((~same).sum()) >= 1:
            missed = [~one.matched(one.threshold_at(fmr)) for one in (a, b)]
            figure = apart(missed[0], missed[1], same, f"FNMR, each at its own threshold of an FMR of {100 * fmr:g} %")
            figures[fnmr_name(fmr)] = replace(figure, descriptive=True, expected=round(fmr * int((~same).sum()), 6))
    return figures


def _eer_difference(ours: Comparisons, theirs: Comparisons) -> Figure:
    def apart(weights: NDArray[np.float64] | None) -> float:
        rates = [ErrorCurve.of(comparisons, weights).equal_error_rate for comparisons in (ours, theirs)]
        return rates[0] - rates[1]

    drawn = [apart(weights) for weights in resampled_weights(ours)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (-1.0, 1.0)
    return Figure(
        apart(None),
        (float(low), float(high)),
        len(ours.same),
        kind=Kind.NUMBER,
        points=True,
        distinct=min(equal_error_rate(one).distinct or 0 for one in (ours, theirs)),
        descriptive=True,
        meaning="Difference in the equal error rate, on the same pairs.",
    )


def _identification(contenders: Sequence[Contender], dataset: Dataset, photos: int, searches: int) -> _Measured:
    read = [contender.bench.read(dataset) for contender in contenders]
    everywhere = np.logical_and.reduce([faces.found for faces in read])
    faces = [own.where(everywhere) for own in read]
    roles = choose_roles(
        faces[0], photos=photos, mated=searches, strangers=searches, random=contenders[0].bench.random()
    )
    conditions = []
    for contender, own in zip(contenders, faces, strict=True):
        gallery = enroll(contender.bench.reader, own, roles.enrolled, contender.settings)
        conditions.append(Condition(contender.key, contender.name, own, gallery.search(roles.probes)))
    figures: dict[str, Figure] = {}
    for condition, own in zip(conditions, read, strict=True):
        figures |= condition.figures()
        meaning = "Photos in which no face was found, or that could not be read."
        figures[f"failure_to_acquire_{condition.name}"] = rate(~own.found, drawn_units(own, ()), meaning)
    for condition in conditions[1:]:
        ending = f"{condition.name}_minus_{conditions[0].name}"
        found = _search_differences(condition, conditions[0])
        figures |= {f"{name}_{ending}": figure for name, figure in found.items()}
    people = len(np.unique(faces[0].dataset.owners[roles.enrolled]))
    description = (
        f"{photos} photos each of {people:,} people were enrolled, and {len(roles.mated):,} photos of them and "
        f"{len(roles.strangers):,} of strangers searched for: the same for all, from photos in which each found a face."
    )
    shown = Section("Searches", items=(searches_table(conditions), strangers_table(conditions)))
    return _Measured(description, read, figures, shown)


def _search_differences(ours: Condition, theirs: Condition) -> dict[str, Figure]:
    a, b, units, mated = ours.searches, theirs.searches, ours.units, ours.searches.mated
    figures = {}
    for name, what, mine, other, chosen in (
        ("rank_1", "the share of enrolled people who are the best candidate", ~a.not_first, ~b.not_first, mated),
        ("fnir", "the share of enrolled people who are not given their name", a.missed, b.missed, mated),
        ("fpir", "the share of strangers who are given a name", a.misnamed, b.misnamed, ~mated),
    ):
        if chosen.any():
            values = [part[chosen].astype(np.float64) for part in (mine, other)]
            meaning = f"Difference in {what}, in the same searches."
            figure = of_shares(difference(values[0], values[1], units[chosen], meaning), values[0], values[1])
            figures[name] = never_apart(figure, values[0], values[1])
    return figures


def _packs_section(contenders: Sequence[Contender]) -> Section:
    rows = []
    for contender in contenders:
        engine, settings = contender.bench.reader.engine, contender.settings
        threshold = f"{engine.thresholds.verify:g}"
        rows.append(
            (contender.name, printable(engine.identity.name), threshold, settings.classifier, f"{settings.fpir:g}")
        )
    headings = ("Name", "Pack", "Shipped verification threshold", "Classifier", "FPIR")
    return Section("What is compared", items=(Table("Packs and settings", headings, tuple(rows)),))


def _figures_section(contenders: Sequence[Contender], figures: dict[str, Figure]) -> Section:
    keys = [contender.key for contender in contenders]
    names = [
        name.removesuffix(f"_{keys[0]}") for name in figures if name.endswith(f"_{keys[0]}") and "_minus_" not in name
    ]
    rows = tuple((name.replace("_", " "), *(str(figures.get(f"{name}_{key}", "-")) for key in keys)) for name in names)
    headings = ("Figure", *(contender.name for contender in contenders))
    return Section("Each by itself", items=(Table("Side by side", headings, rows),))


_DIFFERENCES = (
    "Each with a 95 % interval for which the same people were drawn for both. An interval that holds 0 says that the "
    "data do not tell them apart."
)


def _sentences(contenders: Sequence[Contender], figures: dict[str, Figure]) -> list[str]:
    """Return how each differs from the first."""
    sentences = []
    for contender in contenders[1:]:
        ending = f"_{contender.key}_minus_{contenders[0].key}"
        name = next(name for name in ("accuracy", "equal_error_rate", "fnir", "fpir") if f"{name}{ending}" in figures)
        figure = figures[name + ending]
        low, high = figure.interval or (0.0, 0.0)
        words = name.upper() if name in ("fnir", "fpir") else name.replace("_", " ")
        verdict = "the data do not tell them apart" if low <= 0 <= high else "more than chance"
        sentences.append(
            f"{contender.name} has {100 * figure.value:+.2f} percentage points of {words} "
            f"[{100 * low:+.2f}, {100 * high:+.2f}] against {contenders[0].name}: {verdict}."
        )
    return sentences
