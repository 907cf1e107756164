"""Labeled Faces in the Wild, View 2: ten folds of pairs, each with the best threshold of the other nine.

Protocol: G. B. Huang, M. Ramesh, T. Berg and E. Learned-Miller, "Labeled Faces in the Wild", UMass Amherst, Technical
Report 07-49, 2007, and G. B. Huang and E. Learned-Miller, "Labeled Faces in the Wild: updates and new reporting
procedures", 2014: "unrestricted with labeled outside data". No part of facebank was tuned on these pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets import Errata, find_pairs, find_wrong_pairs, open_dataset, read_lfw
from facebank.evaluation.figures import Figure, format_percent, pair_rate
from facebank.evaluation.pairing import ComparedPairs
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.options import find_errata
from facebank.evaluation.report import Report, Section, Table
from facebank.evaluation.verification import (
    RATES,
    acquired_sentence,
    curve_figures,
    curve_items,
    errors_section,
    failure_to_acquire,
    failures_section,
    operating_figures,
    operating_sentence,
    pair_scores,
    rate_text,
    true_accept_figures,
)
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.curves import Comparisons

THRESHOLDS = 1 - np.arange(0, 4, 0.01) / 2
"""Candidate thresholds: squared distances 0 to 4 in steps of 0.01, as similarities, as in the reference evaluations
of FaceNet and InsightFace."""
FINE_THRESHOLDS = 1 - np.arange(0, 4, 0.001) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Decisions on N pairs in F folds: accuracy and threshold per fold, and whether each pair is decided correctly."""

    accuracies: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    right: NDArray[np.bool_]

    @property
    def standard_error(self) -> float:
        """Standard error of the mean accuracy over folds."""
        return float(self.accuracies.std(ddof=1) / np.sqrt(len(self.accuracies)))

    def figure(self, comparisons: Comparisons, meaning: str) -> Figure:
        """Return the mean accuracy over folds, with the bootstrap interval over people."""
        pooled = pair_rate(self.right, comparisons.first, comparisons.second, meaning)
        return replace(pooled, value=float(self.accuracies.mean()), standard_error=self.standard_error)


def decide_folds(
    comparisons: Comparisons, folds: NDArray[np.int64], thresholds: NDArray[np.float64] = THRESHOLDS
) -> Folds:
    """Return the decisions about the pairs of each fold, with the threshold that is best on all other folds.

    Of equally good thresholds, the highest is used. A pair matches above the threshold; a pair that could not be
    compared is wrong.

    Parameters
    ----------
    comparisons
        N pairs.
    folds
        Fold of each pair, ``int64`` of shape ``(N,)``; at least two folds.
    thresholds
        Candidate thresholds in decreasing order.
    """
    values, is_compared = comparisons.similarities, ~np.isnan(comparisons.similarities)
    numbers = np.unique(folds)
    counts = []
    for fold in numbers:
        mated, non_mated = (
            np.sort(values[is_compared & (folds == fold) & mask]) for mask in (comparisons.same, ~comparisons.same)
        )
        above = len(mated) - np.searchsorted(mated, thresholds, side="right")
        counts.append(above + np.searchsorted(non_mated, thresholds, side="right"))
    right_counts = np.stack(counts)
    chosen = thresholds[(right_counts.sum(axis=0) - right_counts).argmax(axis=1)]
    pair_thresholds = chosen[np.searchsorted(numbers, folds)]
    right = is_compared & ((np.nan_to_num(values) > pair_thresholds) == comparisons.same)
    return Folds(np.array([right[folds == fold].mean() for fold in numbers]), chosen, right)


def _open(
    data: Path,
    pairs: Annotated[
        Path | None,
        Option("--pairs", "LFW's list of pairs; default: pairs.txt in the folder, its parent or lfw-meta.", "FILE"),
    ] = None,
) -> dict[str, Any]:
    """Open LFW's photos and pairs, and the label errors documented next to the pairs; raises `DatasetError`."""
    if not data.is_dir():
        return {"dataset": open_dataset(data)}
    listed = pairs or find_pairs(data)
    if listed is None:
        raise DatasetError(
            f"no pairs.txt in {printable(str(data))}, its parent folder or lfw-meta there; pass it with --pairs"
        )
    return {"dataset": read_lfw(data, listed), "errata": find_errata(listed)}


@protocol(
    "lfw",
    open_data=_open,
    details="Compares the pairs of Labeled Faces in the Wild in ten folds, each with the best threshold of the other "
    "nine.",
    examples=("lfw lfw/ --out report/", "lfw lfw/ --pairs lfw-meta/pairs.txt"),
    has_scores=True,
)
def lfw(bench: Bench, dataset: Dataset, errata: Errata | None = None) -> Report:
    """Return the report of View 2 of LFW, or of the same protocol on any pairs in folds.

    Parameters
    ----------
    dataset
        A dataset with pairs. With a single fold, the shipped threshold is used.
    errata
        Documented label errors; they are counted as labeled and also reported separately. None for none.

    Raises
    ------
    DatasetError
        There are no mated or no non-mated pairs, or no photo has a face.
    """
    if not dataset.pairs:
        raise DatasetError(
            f"{printable(dataset.title)}: no pairs; the protocol needs a list of pairs such as pairs.txt"
        )
    compared = ComparedPairs.of(bench, dataset)
    comparisons, wrong_labels = compared.comparisons, _wrong_labels(compared.faces.dataset, errata)
    folds = np.array([pair.fold for pair in compared.pairing.pairs], dtype=np.int64)
    by_folds = decide_folds(comparisons, folds) if len(np.unique(folds)) > 1 else None
    right = compared.right if by_folds is None else by_folds.right
    curve = curve_figures(comparisons, RATES[:2])
    figures = {
        **_accuracies(compared, folds, by_folds),
        **operating_figures(comparisons, compared.threshold),
        **curve,
        **true_accept_figures(curve),
        "failure_to_acquire": failure_to_acquire(compared),
        **_label_figures(comparisons, wrong_labels, right),
    }
    return bench.report(
        "lfw",
        "LFW View 2: do two photos show one person?",
        compared.faces,
        summary=_summary(figures, compared, right, wrong_labels),
        figures=figures,
        sections=(
            _accuracy_section(folds, by_folds),
            _curves_section(compared, figures),
            _labels_section(compared, figures, right, wrong_labels),
            failures_section(compared),
            errors_section(bench, compared, dict.fromkeys(map(int, wrong_labels), "documented label error")),
        ),
        failures=compared.pairing.failures,
        scores=pair_scores(compared),
    )


def _wrong_labels(dataset: Dataset, errata: Errata | None) -> NDArray[np.int64]:
    return np.array([] if errata is None else find_wrong_pairs(dataset, errata), dtype=np.int64)


def _accuracies(compared: ComparedPairs, folds: NDArray[np.int64], by_folds: Folds | None) -> dict[str, Figure]:
    comparisons, figures = compared.comparisons, {}
    if by_folds is not None:
        figures["accuracy"] = by_folds.figure(
            comparisons, "Pairs decided correctly, each fold with the threshold that is best on the other folds."
        )
        figures["accuracy_in_fine_steps"] = decide_folds(comparisons, folds, FINE_THRESHOLDS).figure(
            comparisons, "The same, with thresholds in steps of 0.001 of the squared distance instead of 0.01."
        )
    figures["accuracy_at_shipped_threshold"] = pair_rate(
        compared.right, comparisons.first, comparisons.second, "Pairs decided correctly at the shipped threshold."
    )
    return figures


def _label_figures(
    comparisons: Comparisons, wrong_labels: NDArray[np.int64], right: NDArray[np.bool_]
) -> dict[str, Figure]:
    if not len(wrong_labels):
        return {}
    is_sound = np.ones(len(right), dtype=np.bool_)
    is_sound[wrong_labels] = False

    def accuracy(events: NDArray[np.bool_], mask: NDArray[np.bool_], meaning: str) -> Figure:
        return pair_rate(events[mask], comparisons.first[mask], comparisons.second[mask], meaning)

    figures = {
        "accuracy_without_label_errors": accuracy(
            right, is_sound, "The same decisions without the pairs that are documented as mislabeled."
        )
    }
    if not right.all():
        figures["label_errors_among_wrong_pairs"] = accuracy(
            ~is_sound, ~right, "Pairs counted as wrong that are documented as mislabeled."
        )
    return figures


def _summary(
    figures: Mapping[str, Figure], compared: ComparedPairs, right: NDArray[np.bool_], wrong_labels: NDArray[np.int64]
) -> tuple[str, ...]:
    accuracy = figures.get("accuracy")
    shipped = figures["accuracy_at_shipped_threshold"]
    if accuracy is None:
        first = (
            f"Of {len(right):,} pairs {rate_text(shipped)} are decided correctly at the shipped threshold. With a "
            "single fold, no threshold can be chosen on other folds."
        )
    else:
        first = (
            f"Of {len(right):,} pairs {rate_text(accuracy)} are decided correctly, each fold with the threshold that "
            f"is best on the others; {rate_text(shipped)} at the shipped threshold."
        )
    sentences = [
        first,
        operating_sentence(figures),
        acquired_sentence(compared, "count as errors"),
    ]
    if len(wrong_labels):
        sentences.append(
            f"{int((~right[wrong_labels]).sum())} of the {int((~right).sum())} pairs counted as wrong are documented "
            "label errors of the dataset."
        )
    return tuple(sentences)


def _accuracy_section(folds: NDArray[np.int64], by_folds: Folds | None) -> Section:
    names = ("accuracy", "accuracy_in_fine_steps", "accuracy_at_shipped_threshold")
    text: tuple[str, ...] = (
        "Unrestricted with labeled outside data: the networks were trained on photos of other people. A pair in which "
        "a face was not found counts as an error.",
    )
    if by_folds is None:
        text += ("All pairs are in one fold: the accuracy is that at the shipped threshold.",)
        return Section("Accuracy", text, ("accuracy_at_shipped_threshold",))
    rows = []
    for number, accuracy, threshold in zip(np.unique(folds), by_folds.accuracies, by_folds.thresholds, strict=True):
        in_fold = folds == number
        wrong = int((~by_folds.right[in_fold]).sum())
        rows.append(
            (
                str(number + 1),
                f"{int(in_fold.sum()):,}",
                f"{threshold:.3f}",
                format_percent(accuracy),
                f"{wrong:,}",
            )
        )
    headings = ("Fold", "Pairs", "Threshold of the others", "Accuracy", "Wrong")
    return Section("Accuracy", text, names, (Table("Fold by fold", headings, tuple(rows)),))


def _curves_section(compared: ComparedPairs, figures: Mapping[str, Figure]) -> Section:
    names = [name for name in figures if "_at_f" in name or name in ("equal_error_rate", "area_under_roc")]
    text = (
        compared.threshold_note,
        "Points read off the curves use thresholds chosen on the same pairs, and are no estimate for other data.",
    )
    return Section(
        "Error rates",
        text,
        ("fmr_at_shipped_threshold", "fnmr_at_shipped_threshold", *names),
        curve_items(compared, figures),
    )


def _labels_section(
    compared: ComparedPairs, figures: Mapping[str, Figure], right: NDArray[np.bool_], wrong_labels: NDArray[np.int64]
) -> Section:
    if not len(wrong_labels):
        return Section("Label errors", ("No pair is documented as mislabeled.",))
    photos, rows = compared.faces.dataset.photos, []
    for index in wrong_labels:
        pair = compared.pairing.pairs[index]
        decision = "as labeled" if right[index] else "contrary to the label, counted as wrong"
        similarity = f"{compared.comparisons.similarities[index]:.3f}"
        rows.append((photos[pair.first].name, photos[pair.second].name, similarity, decision))
    text = (
        "The dataset documents pairs that are labeled as one person but show two. They are counted as labeled, to keep "
        "the accuracy comparable with published ones; a separate figure excludes them."
    )
    table = Table("Mislabeled pairs", ("First photo", "Second photo", "Similarity", "Decision"), tuple(rows))
    names = tuple(name for name in figures if "label_errors" in name)
    return Section("Label errors", (text,), names, (table,))
