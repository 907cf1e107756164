"""Comparison of packs or classifiers on the same pairs or searches, with paired differences."""

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
from facebank.evaluation.curves import Comparisons, ErrorCurve, equal_error_rate, resample_weights
from facebank.evaluation.dataset import Dataset, SkippedEntry
from facebank.evaluation.figures import INTERVAL, Figure, FigureKind, difference, format_percent, pair_rate, rate
from facebank.evaluation.identification import Condition, searches_table, strangers_table
from facebank.evaluation.pairing import ComparedPairs, bootstrap_units, compare_faces, pairs_of, select_compared
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.lfw import decide_folds
from facebank.evaluation.protocols.options import Pairs, open_pairs
from facebank.evaluation.report import Report, Section, Table
from facebank.evaluation.searches import choose_roles, enroll
from facebank.evaluation.verification import (
    RATES,
    apply_rule_of_three,
    curve_figures,
    error_curves,
    failure_to_acquire,
    fnmr_name,
    operating_figures,
    pair_difference,
    to_points,
)
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceSet


class Task(StrEnum):
    """The task on which systems are compared."""

    VERIFY = "verify"
    """Verification: do two photos show one person?"""
    OPENSET = "openset"
    """Open-set identification: searches for enrolled people and strangers."""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedSystem:
    """A pack with decision settings; `name` is used in the report, and `bench` reads faces with the pack."""

    name: str
    bench: Bench
    settings: DecisionSettings = field(default_factory=DecisionSettings)

    @property
    def key(self) -> str:
        """Suffix of figure names: lower case, words joined by underscores."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.casefold()).strip("_")


def compare(
    systems: Sequence[ComparedSystem],
    dataset: Dataset,
    task: Task = Task.VERIFY,
    *,
    photos: int = 3,
    searches: int = 1000,
) -> Report:
    """Return the report of systems on the same data, and of their differences from the first one, with intervals.

    Parameters
    ----------
    systems
        At least two systems with different names; the seed is that of the first.
    dataset
        Pairs or labeled photos for `Task.VERIFY`, labeled photos for `Task.OPENSET`.
    task
        The task to compare.
    photos
        Number of enrolled photos of each person, for `Task.OPENSET`.
    searches
        Maximum number of probes of enrolled people, and of strangers.

    Raises
    ------
    UsageError
        There are fewer than two systems, or two have the same name.
    DatasetError
        The dataset does not suffice for the task, or no photo has a face.
    """
    _check_names(systems)
    content = (
        _verification(systems, dataset) if task is Task.VERIFY else _identification(systems, dataset, photos, searches)
    )
    report = systems[0].bench.report(
        "compare",
        f"Comparison: {', '.join(system.name for system in systems)}",
        content.faces[0],
        summary=(content.description, *_sentences(systems, content.figures)),
        figures=content.figures,
        sections=(
            _packs_section(systems),
            _figures_section(systems, content.figures),
            Section(
                "Paired differences", (_DIFFERENCES,), tuple(name for name in content.figures if "_minus_" in name)
            ),
            content.details,
        ),
        failures=[
            SkippedEntry(f"{failure.entry} ({system.name})", failure.reason)
            for system, faces in zip(systems[1:], content.faces[1:], strict=True)
            for failure in faces.failures
        ],
    )
    packs = ((system.name, system.bench.reader.engine.identity) for system in systems[1:])
    others = ", ".join(f"{name}: {identity.name} {identity.digest}" for name, identity in packs)
    return replace(report, pack={**report.pack, "compared_with": others})


def _open(
    data: Path,
    pairs: Pairs = None,
    searches: Annotated[bool, Option("--searches", "Compare searches for people instead of pairs of photos.")] = False,
) -> dict[str, Any]:
    if pairs is not None and searches:
        raise UsageError("--searches does not use pairs; omit --pairs or --searches")
    return {"dataset": open_pairs(data, pairs), "task": Task.OPENSET if searches else Task.VERIFY}


@protocol(
    "compare",
    open_data=_open,
    details="All get the same photos; differences are reported with intervals.",
    examples=("compare people/ --with buffalo_l", "compare people/ --searches --with-classifier svm"),
)
def compare_with(
    bench: Bench,
    dataset: Dataset,
    task: Task,
    *,
    packs: Annotated[Sequence[str], Option("--with", "Pack to compare with; may be repeated.", "PACK")] = (),
    classifiers: Annotated[
        Sequence[str], Option("--with-classifier", "Classifier to compare with; may be repeated.", "KIND")
    ] = (),
) -> Report:
    """Return a report that compares the bench's pack with other packs or classifiers.

    Raises `UsageError` as `compare` does.
    """
    if classifiers and task is not Task.OPENSET:
        raise UsageError("classifiers are used in searches only; add --searches")

    def pack_name(pack: str | None) -> str:
        return "opencv" if pack is None else Path(pack).name

    systems = [
        ComparedSystem("prototype" if classifiers else pack_name(bench.pack), bench),
        *(ComparedSystem(pack_name(pack), bench.with_pack(pack)) for pack in packs),
        *(ComparedSystem(name, bench, DecisionSettings(classifier=name)) for name in classifiers),
    ]
    return compare(systems, dataset, task)


def _check_names(systems: Sequence[ComparedSystem]) -> None:
    keys = [system.key for system in systems]
    if len(keys) < 2 or "" in keys:
        raise UsageError(
            "a comparison needs at least two packs or classifiers with different names: add --with or --with-classifier"
        )
    if len(set(keys)) != len(keys):
        names = ", ".join(printable(system.name) for system in systems)
        raise UsageError(f"two compared systems have the same name: {names}; choose another pack or classifier")


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """Content of the report: what was compared, the faces of each system, figures, and a section with details."""

    description: str
    faces: list[FaceSet]
    figures: dict[str, Figure]
    details: Section


def _verification(systems: Sequence[ComparedSystem], dataset: Dataset) -> _Content:
    selected = select_compared(dataset)
    face_sets = [system.bench.read(selected) for system in systems]
    pairing = pairs_of(face_sets[0], systems[0].bench.random())
    compared = [
        ComparedPairs(face_set, pairing, compare_faces(face_set, pairing.pairs), system.bench.reader.engine.thresholds)
        for system, face_set in zip(systems, face_sets, strict=True)
    ]
    figures: dict[str, Figure] = {}
    for system, trial in zip(systems, compared, strict=True):
        figures |= {f"{name}_{system.key}": figure for name, figure in _system_figures(trial).items()}
    for system, trial in zip(systems[1:], compared[1:], strict=True):
        suffix = f"{system.key}_minus_{systems[0].key}"
        figures |= {f"{name}_{suffix}": figure for name, figure in _pair_differences(trial, compared[0]).items()}
    lines = [(system.name, trial.comparisons) for system, trial in zip(systems, compared, strict=True)]
    return _Content(pairing.description, face_sets, figures, Section("Curves", items=error_curves(lines)))


def _system_figures(trial: ComparedPairs) -> dict[str, Figure]:
    comparisons, right = trial.comparisons, _right_by_folds(trial)
    meaning = "Pairs decided correctly, each fold with the threshold that is best on the other folds."
    accuracy = None if right is None else pair_rate(right, comparisons.first, comparisons.second, meaning)
    return {
        **({} if accuracy is None else {"accuracy": accuracy}),
        **operating_figures(comparisons, trial.threshold),
        **curve_figures(comparisons, RATES),
        "failure_to_acquire": failure_to_acquire(trial),
    }


def _right_by_folds(trial: ComparedPairs) -> NDArray[np.bool_] | None:
    folds = np.array([pair.fold for pair in trial.pairing.pairs], dtype=np.int64)
    return decide_folds(trial.comparisons, folds).right if len(np.unique(folds)) > 1 else None


def _pair_differences(ours: ComparedPairs, theirs: ComparedPairs) -> dict[str, Figure]:
    """Return the differences ours - theirs on the same pairs."""
    comparisons = (ours.comparisons, theirs.comparisons)
    first, second, same = comparisons[0].first, comparisons[0].second, comparisons[0].same

    def paired_difference(
        our_events: NDArray[np.bool_], their_events: NDArray[np.bool_], mask: NDArray[np.bool_], measure: str
    ) -> Figure:
        our_values, their_values = (events[mask].astype(np.float64) for events in (our_events, their_events))
        meaning = f"Difference in {measure}, on the same pairs."
        return pair_difference(our_values, their_values, first[mask], second[mask], meaning)

    figures = {}
    right = [_right_by_folds(trial) for trial in (ours, theirs)]
    if right[0] is not None and right[1] is not None:
        figures["accuracy"] = paired_difference(right[0], right[1], np.ones(len(same), dtype=np.bool_), "accuracy")
    matched = [trial.comparisons.matches(trial.threshold) for trial in (ours, theirs)]
    figures["fmr_at_shipped_threshold"] = paired_difference(
        matched[0], matched[1], ~same, "FMR at the shipped thresholds"
    )
    figures["fnmr_at_shipped_threshold"] = paired_difference(
        ~matched[0], ~matched[1], same, "FNMR at the shipped thresholds"
    )
    figures["equal_error_rate"] = _eer_difference(*comparisons)
    for fmr in RATES:
        if fmr * int((~same).sum()) >= 1:
            missed = [~compared.matches(compared.threshold_at(fmr)) for compared in comparisons]
            measure = f"FNMR, each at its own threshold of an FMR of {format_percent(fmr, None)}"
            figure = paired_difference(missed[0], missed[1], same, measure)
            figures[fnmr_name(fmr)] = replace(figure, descriptive=True, expected=round(fmr * int((~same).sum()), 6))
    return figures


def _eer_difference(ours: Comparisons, theirs: Comparisons) -> Figure:
    def difference_of_rates(weights: NDArray[np.float64] | None) -> float:
        rates = [ErrorCurve.of(comparisons, weights).equal_error_rate for comparisons in (ours, theirs)]
        return rates[0] - rates[1]

    resampled = [difference_of_rates(weights) for weights in resample_weights(ours)]
    low, high = np.quantile(resampled, INTERVAL) if resampled else (-1.0, 1.0)
    return Figure(
        difference_of_rates(None),
        (float(low), float(high)),
        len(ours.same),
        kind=FigureKind.NUMBER,
        points=True,
        distinct=min(equal_error_rate(comparisons).distinct or 0 for comparisons in (ours, theirs)),
        descriptive=True,
        meaning="Difference in the equal error rate, on the same pairs.",
    )


def _identification(systems: Sequence[ComparedSystem], dataset: Dataset, photos: int, searches: int) -> _Content:
    face_sets = [system.bench.read(dataset) for system in systems]
    found_by_all = np.logical_and.reduce([faces.has_face for faces in face_sets])
    common_faces = [faces.select(found_by_all) for faces in face_sets]
    roles = choose_roles(
        common_faces[0], photos=photos, mated=searches, strangers=searches, random=systems[0].bench.random()
    )
    conditions = []
    for system, faces in zip(systems, common_faces, strict=True):
        gallery = enroll(system.bench.reader, faces, roles.enrolled, system.settings)
        conditions.append(Condition(system.key, system.name, faces, gallery.search(roles.probes)))
    figures: dict[str, Figure] = {}
    for condition, faces in zip(conditions, face_sets, strict=True):
        figures |= condition.figures()
        meaning = "Photos in which no face was found, or that could not be read."
        figures[f"failure_to_acquire_{condition.name}"] = rate(~faces.has_face, bootstrap_units(faces, ()), meaning)
    for condition in conditions[1:]:
        suffix = f"{condition.name}_minus_{conditions[0].name}"
        differences = _search_differences(condition, conditions[0])
        figures |= {f"{name}_{suffix}": figure for name, figure in differences.items()}
    people = len(np.unique(common_faces[0].dataset.person_indices[roles.enrolled]))
    description = (
        f"{pluralize(photos, 'photo')} each of {people:,} people were enrolled; {len(roles.mated):,} photos of them "
        f"and {len(roles.strangers):,} of strangers were searched for. All systems get the same photos, in which each "
        "found a face."
    )
    details = Section("Searches", items=(searches_table(conditions), strangers_table(conditions)))
    return _Content(description, face_sets, figures, details)


def _search_differences(ours: Condition, theirs: Condition) -> dict[str, Figure]:
    both, units, mated = (ours.searches, theirs.searches), ours.units, ours.searches.mated
    measures = (
        ("rank_1", "the fraction of probes whose best candidate is right", [~part.not_first for part in both], mated),
        ("fnir", "FNIR", [part.missed for part in both], mated),
        ("fpir", "FPIR", [part.misnamed for part in both], ~mated),
    )
    figures = {}
    for name, measure, events, mask in measures:
        if mask.any():
            our_values, their_values = (part[mask].astype(np.float64) for part in events)
            figure = difference(
                our_values, their_values, units[mask], f"Difference in {measure}, in the same searches."
            )
            figures[name] = apply_rule_of_three(to_points(figure, our_values, their_values), our_values, their_values)
    return figures


def _packs_section(systems: Sequence[ComparedSystem]) -> Section:
    rows = []
    for system in systems:
        engine, settings = system.bench.reader.engine, system.settings
        threshold = f"{engine.thresholds.verify:g}"
        rows.append(
            (system.name, printable(engine.identity.name), threshold, settings.classifier, f"{settings.fpir:g}")
        )
    headings = ("Name", "Pack", "Shipped verification threshold", "Classifier", "FPIR")
    return Section("Compared systems", items=(Table("Packs and settings", headings, tuple(rows)),))


def _figures_section(systems: Sequence[ComparedSystem], figures: dict[str, Figure]) -> Section:
    keys = [system.key for system in systems]
    names = [
        name.removesuffix(f"_{keys[0]}") for name in figures if name.endswith(f"_{keys[0]}") and "_minus_" not in name
    ]
    rows = tuple((name.replace("_", " "), *(str(figures.get(f"{name}_{key}", "-")) for key in keys)) for name in names)
    headings = ("Figure", *(system.name for system in systems))
    return Section("Figures of each system", items=(Table("Side by side", headings, rows),))


_DIFFERENCES = (
    "Differences with 95 % paired bootstrap intervals. If an interval contains 0, the difference is not significant on "
    "these data."
)


def _sentences(systems: Sequence[ComparedSystem], figures: dict[str, Figure]) -> list[str]:
    """Return a sentence on the difference of each system from the first."""
    sentences = []
    for system in systems[1:]:
        suffix = f"_{system.key}_minus_{systems[0].key}"
        name = next(name for name in ("accuracy", "equal_error_rate", "fnir", "fpir") if f"{name}{suffix}" in figures)
        figure = figures[name + suffix]
        low, high = figure.interval or (0.0, 0.0)
        measure = name.upper() if name in ("fnir", "fpir") else name.replace("_", " ")
        verdict = "not significant on these data" if low <= 0 <= high else "significant at 95 %"
        sentences.append(
            f"{system.name} has {100 * figure.value:+.2f} percentage points of {measure} "
            f"[{100 * low:+.2f}, {100 * high:+.2f}] against {systems[0].name}: {verdict}."
        )
    return sentences
