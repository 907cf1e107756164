"""View 2 of LFW: thresholds from other folds, failures as errors, label errors reported but not removed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.curves import Comparisons
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets import Errata
from facebank.evaluation.protocols.lfw import FINE_THRESHOLDS, THRESHOLDS, decide_folds, lfw
from facebank.evaluation.report import ContactSheet

from .report_items import find_items


def make_comparisons(values: list[float], same: list[bool]) -> Comparisons:
    indices = np.arange(len(values))
    return Comparisons(np.array(values), np.array(same), indices, indices + 1000 * ~np.array(same))


def decide_by_reference(
    comparisons: Comparisons, folds: np.ndarray, thresholds: np.ndarray
) -> tuple[list[float], list[float]]:
    """Return decisions by the rule of ``benchmarks/lfw_view2.py`` for any folds."""
    values, acquired = comparisons.similarities, ~np.isnan(comparisons.similarities)
    right = ((values[:, None] > thresholds) == comparisons.same[:, None]) & acquired[:, None]
    chosen = [int(right[folds != fold].sum(axis=0).argmax()) for fold in np.unique(folds)]
    accuracies = [float(right[folds == fold, best].mean()) for fold, best in zip(np.unique(folds), chosen, strict=True)]
    return accuracies, [float(thresholds[best]) for best in chosen]


@given(st.lists(st.tuples(st.floats(-1, 1), st.booleans(), st.booleans()), min_size=12, max_size=60))
def test_folds_match_the_reference_implementation(drawn: list[tuple[float, bool, bool]]) -> None:
    values = [np.nan if failed else value for value, _, failed in drawn]
    same = [index % 3 == 0 or is_same for index, (_, is_same, _) in enumerate(drawn)]
    same[1] = False
    comparisons, folds = make_comparisons(values, same), np.arange(len(drawn)) % 4
    decisions = decide_folds(comparisons, folds)
    accuracies, thresholds = decide_by_reference(comparisons, folds, THRESHOLDS)
    assert decisions.accuracies.tolist() == pytest.approx(accuracies)
    assert decisions.thresholds.tolist() == thresholds


def test_pair_without_a_face_counts_as_wrong() -> None:
    comparisons = make_comparisons([0.9, np.nan, 0.1, np.nan] * 2, [True, True, False, False] * 2)
    decisions = decide_folds(comparisons, np.array([0] * 4 + [1] * 4))
    assert decisions.accuracies.tolist() == [0.5, 0.5]
    assert decisions.right.tolist() == [True, False, True, False] * 2


def test_threshold_of_a_fold_comes_from_the_other_folds() -> None:
    comparisons = make_comparisons([0.8, 0.6, 0.8, 0.6, 0.3, 0.1], [True, False, True, False, True, False])
    decisions = decide_folds(comparisons, np.array([0, 0, 1, 1, 2, 2]))
    assert decisions.right.tolist() == [True, True, True, True, False, True]


def test_fine_thresholds_refine_the_coarse_ones_tenfold() -> None:
    assert len(FINE_THRESHOLDS) == 10 * len(THRESHOLDS)
    assert np.allclose(FINE_THRESHOLDS[::10], THRESHOLDS)


def test_report_separates_label_errors(bench: Bench, dataset: Dataset) -> None:
    pairs = tuple(replace(pair, fold=number % 2) for number, pair in enumerate(dataset.pairs))
    relabeled = next(number for number, pair in enumerate(pairs) if not pair.same)
    pairs = tuple(replace(pair, same=True) if number == relabeled else pair for number, pair in enumerate(pairs))
    pair = pairs[relabeled]
    names = sorted(
        dataset.photos[index].name.rpartition("/")[2].removesuffix(".jpg") for index in (pair.first, pair.second)
    )
    errata = Errata(frozenset(names), frozenset({(names[0], names[1])}), frozenset())
    report = lfw(bench, replace(dataset, pairs=pairs), errata)
    assert report.figures["label_errors_among_wrong_pairs"].events == 1
    assert report.figures["accuracy"].count == len(pairs)
    assert report.figures["accuracy"].standard_error is not None
    assert report.figures["accuracy_without_label_errors"].value == 1
    assert any("documented label errors" in sentence for sentence in report.summary)
    (sheet,) = find_items(report, ContactSheet)
    (case,) = sheet.cases
    assert {case.first, case.second} == {dataset.photos[pair.first].name, dataset.photos[pair.second].name}
    assert "documented label error" in case.verdict
    assert case.maps is not None
    assert case.maps[0].shape == case.faces[0].shape


def test_single_fold_uses_the_shipped_threshold(bench: Bench, dataset: Dataset) -> None:
    report = lfw(bench, dataset)
    assert "accuracy" not in report.figures
    assert report.figures["accuracy_at_shipped_threshold"].value == 1
    assert "With a single fold" in report.summary[0]


def test_only_photos_in_pairs_are_counted(bench: Bench, dataset: Dataset) -> None:
    two_pairs = (
        next(pair for pair in dataset.pairs if pair.same),
        next(pair for pair in dataset.pairs if not pair.same),
    )
    report = lfw(bench, replace(dataset, pairs=two_pairs))
    used = {index for pair in two_pairs for index in (pair.first, pair.second)}
    assert report.figures["failure_to_acquire"].count == len(used)


def test_missing_pairs_are_an_error(bench: Bench, dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"no pairs; .*pairs\.txt"):
        lfw(bench, replace(dataset, pairs=()))
