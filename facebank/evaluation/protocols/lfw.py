"""Labeled Faces in the Wild, View 2: ten folds of pairs, each with the threshold that is best on the other nine.

Protocol: G. B. Huang, M. Ramesh, T. Berg and E. Learned-Miller, "Labeled Faces in the Wild", UMass Amherst, Technical
Report 07-49, 2007, and G. B. Huang and E. Learned-Miller, "Labeled Faces in the Wild: updates and new reporting
procedures", 2014: "unrestricted with labelled outside data". Nothing in the package was chosen on these pairs.
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
from facebank.evaluation.datasets import Errata, find_pairs, open_dataset, read_lfw, wrong_pairs
from facebank.evaluation.figures import Figure, pair_rate
from facebank.evaluation.pairing import Compared
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.options import errata_beside
from facebank.evaluation.report import Report, Section, Table
from facebank.evaluation.verification import (
    RATES,
    acquired_sentence,
    curve_figures,
    curve_items,
    error_sheets,
    failure_to_acquire,
    failures_section,
    operating_figures,
    operating_sentence,
    pair_scores,
    share,
    true_accept_figures,
)
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.curves import Comparisons

THRESHOLDS = 1 - np.arange(0, 4, 0.01) / 2
"""Similarities that folds choose among: squared distances 0 to 4 in steps of 0.01, as in the reference evaluations of
FaceNet and InsightFace."""
FINE_THRESHOLDS = 1 - np.arange(0, 4, 0.001) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Decisions on N pairs in F folds: accuracy and threshold of each fold, and which pairs are right."""

    accuracies: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    right: NDArray[np.bool_]

    @property
    def standard_error(self) -> float:
        """Of the mean over the folds."""
        return float(self.accuracies.std(ddof=1) / np.sqrt(len(self.accuracies)))

    def figure(self, comparisons: Comparisons, meaning: str) -> Figure:
        """Return the mean accuracy over the folds, with the interval from drawing people."""
        shared = pair_rate(self.right, comparisons.first, comparisons.second, meaning)
        return replace(shared, value=float(self.accuracies.mean()), standard_error=self.standard_error)


def decide_folds(
    comparisons: Comparisons, folds: NDArray[np.int64], thresholds: NDArray[np.float64] = THRESHOLDS
) -> Folds:
    """Decide each fold with the threshold that is best on all others: the highest of equally good ones.

    A pair matches above the threshold; one that could not be compared is wrong.

    Parameters
    ----------
    comparisons
        N pairs.
    folds
        The fold of each, ``int64`` of shape ``(N,)``; at least two.
    thresholds
        To choose from, falling.
    """
    values, made = comparisons.similarities, ~np.isnan(comparisons.similarities)
    numbers = np.unique(folds)
    counts = []
    for fold in numbers:
        own, other = (np.sort(values[made & (folds == fold) & kind]) for kind in (comparisons.same, ~comparisons.same))
        above = len(own) - np.searchsorted(own, thresholds, side="right")
        counts.append(above + np.searchsorted(other, thresholds, side="right"))
    right = np.stack(counts)
    chosen = thresholds[(right.sum(axis=0) - right).argmax(axis=1)]
    of_pairs = chosen[np.searchsorted(numbers, folds)]
    decided = made & ((np.nan_to_num(values) > of_pairs) == comparisons.same)
    return Folds(np.array([decided[folds == fold].mean() for fold in numbers]), chosen, decided)


def _open(
    data: Path,
    pairs: Annotated[
        Path | None,
        Option("--pairs", "LFW's list of pairs; else pairs.txt in the folder, beside it or in lfw-meta.", "FILE"),
    ] = None,
) -> dict[str, Any]:
    """Return LFW's photos and pairs, with the label errors documented beside the pairs; raises `DatasetError`."""
    if not data.is_dir():
        return {"dataset": open_dataset(data)}
    listed = pairs or find_pairs(data)
    if listed is None:
        raise DatasetError(
            f"there is no pairs.txt in {printable(str(data))}, beside it or in lfw-meta beside it: name it with --pairs"
        )
    return {"dataset": read_lfw(data, listed), "errata": errata_beside(listed)}


@protocol(
    "lfw",
    open_data=_open,
    details="Ten folds of pairs of Labeled Faces in the Wild, each with the threshold that is best on the other nine.",
    examples=("lfw lfw/ --out report/", "lfw lfw/ --pairs lfw-meta/pairs.txt"),
    has_scores=True,
)
def lfw(bench: Bench, dataset: Dataset, errata: Errata | None = None) -> Report:
    """Run View 2 of LFW, or any pairs in folds as it does.

    Parameters
    ----------
    dataset
        With pairs. A single fold has no others to choose a threshold on, and uses the shipped one.
    errata
        Documented label errors, counted as labeled and reported apart; None for none.

    Raises
    ------
    DatasetError
        There are no pairs, or only those of one kind; or no photo has a face.
    """
    if not dataset.pairs:
        raise DatasetError(
            f"{printable(dataset.title)}: there are no pairs; LFW's protocol needs a list of them, such as pairs.txt"
        )
    compared = Compared.of(bench, dataset)
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
            error_sheets(bench, compared, dict.fromkeys(map(int, wrong_labels), "documented label error")),
        ),
        failures=compared.pairing.failures,
        scores=pair_scores(compared),
    )


def _wrong_labels(dataset: Dataset, errata: Errata | None) -> NDArray[np.int64]:
    return np.array([] if errata is None else wrong_pairs(dataset, errata), dtype=np.int64)


def _accuracies(compared: Compared, folds: NDArray[np.int64], by_folds: Folds | None) -> dict[str, Figure]:
    comparisons, figures = compared.comparisons, {}
    if by_folds is not None:
        figures["accuracy"] = by_folds.figure(
            comparisons, "Pairs decided rightly, each fold with the threshold that is best on all other folds."
        )
        figures["accuracy_in_fine_steps"] = decide_folds(comparisons, folds, FINE_THRESHOLDS).figure(
            comparisons, "The same, with thresholds in steps of 0.001 of the squared distance instead of 0.01."
        )
    figures["accuracy_at_shipped_threshold"] = pair_rate(
        compared.right, comparisons.first, comparisons.second, "Pairs decided rightly at the shipped threshold."
    )
    return figures


def _label_figures(
    comparisons: Comparisons, wrong_labels: NDArray[np.int64], right: NDArray[np.bool_]
) -> dict[str, Figure]:
    if not len(wrong_labels):
        return {}
    sound = np.ones(len(right), dtype=np.bool_)
    sound[wrong_labels] = False

    def share(events: NDArray[np.bool_], chosen: NDArray[np.bool_], meaning: str) -> Figure:
        return pair_rate(events[chosen], comparisons.first[chosen], comparisons.second[chosen], meaning)

    figures = {
        "accuracy_without_label_errors": share(
            right, sound, "The same decisions, counted without the pairs whose label is documented to be wrong."
        )
    }
    if not right.all():
        figures["label_errors_among_wrong_pairs"] = share(
            ~sound, ~right, "How many of the pairs counted as wrong have a label that is documented to be wrong."
        )
    return figures


def _summary(
    figures: Mapping[str, Figure], compared: Compared, right: NDArray[np.bool_], wrong_labels: NDArray[np.int64]
) -> tuple[str, ...]:
    accuracy = figures.get("accuracy")
    shipped = figures["accuracy_at_shipped_threshold"]
    if accuracy is None:
        first = (
            f"Of {len(right):,} pairs {share(shipped)} are decided rightly at the shipped threshold. There is one "
            "fold only, so that no threshold could be chosen on others."
        )
    else:
        first = (
            f"Of {len(right):,} pairs {share(accuracy)} are decided rightly, each "
            f"fold with the threshold that is best on the others; {share(shipped)} at the shipped threshold."
        )
    sentences = [
        first,
        operating_sentence(figures),
        acquired_sentence(compared).replace("never match", "count as errors"),
    ]
    if len(wrong_labels):
        sentences.append(
            f"{int((~right[wrong_labels]).sum())} of the {int((~right).sum())} pairs counted as wrong are documented "
            "label errors of the data set."
        )
    return tuple(sentences)


def _accuracy_section(folds: NDArray[np.int64], by_folds: Folds | None) -> Section:
    shown = ("accuracy", "accuracy_in_fine_steps", "accuracy_at_shipped_threshold")
    text: tuple[str, ...] = (
        "Unrestricted with labelled outside data: the networks were trained on other people's photos. A pair with a "
        "photo in which no face was found is an error, whatever its label.",
    )
    if by_folds is None:
        text += ("All pairs are of one fold: the accuracy is that at the shipped threshold.",)
        return Section("Accuracy", text, ("accuracy_at_shipped_threshold",))
    rows = []
    for number, accuracy, threshold in zip(np.unique(folds), by_folds.accuracies, by_folds.thresholds, strict=True):
        own = folds == number
        wrong = int((~by_folds.right[own]).sum())
        rows.append(
            (
                str(number + 1),
                f"{int(own.sum()):,}",
                f"{threshold:.3f}",
                f"{accuracy:.2%}".replace("%", " %"),
                f"{wrong:,}",
            )
        )
    headings = ("Fold", "Pairs", "Threshold of the others", "Accuracy", "Wrong")
    return Section("Accuracy", text, shown, (Table("Fold by fold", headings, tuple(rows)),))


def _curves_section(compared: Compared, figures: Mapping[str, Figure]) -> Section:
    shown = [name for name in figures if "_at_f" in name or name in ("equal_error_rate", "area_under_roc")]
    text = (compared.threshold_note, "Points read off the curves were chosen on these pairs, and describe them only.")
    return Section(
        "Error rates",
        text,
        ("fmr_at_shipped_threshold", "fnmr_at_shipped_threshold", *shown),
        curve_items(compared, figures),
    )


def _labels_section(
    compared: Compared, figures: Mapping[str, Figure], right: NDArray[np.bool_], wrong_labels: NDArray[np.int64]
) -> Section:
    if not len(wrong_labels):
        return Section("Label errors", ("No pair is known to have a wrong label.",))
    photos, rows = compared.faces.dataset.photos, []
    for place in wrong_labels:
        pair = compared.pairing.pairs[place]
        decided = "as the label has it" if right[place] else "as it really is, counted as wrong"
        similarity = f"{compared.comparisons.similarities[place]:.3f}"
        rows.append((photos[pair.first].name, photos[pair.second].name, similarity, decided))
    text = (
        "The data set documents pairs that it calls one person's and that show two. They are counted as the labels "
        "have it, so that the accuracy can be compared with others'; without them it is another figure."
    )
    table = Table("Pairs with a wrong label", ("First photo", "Second photo", "Similarity", "Decided"), tuple(rows))
    shown = tuple(name for name in figures if "label_errors" in name)
    return Section("Label errors", (text,), shown, (table,))
