"""Distinguishing siblings, on synthetic and real data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facebank.errors import DatasetError, UsageError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets.arrays import read_embeddings
from facebank.evaluation.protocols.siblings import siblings
from facebank.evaluation.protocols.siblings_figures import (
    AnswerGroup,
    SiblingChoice,
    accuracy_at_coverage,
    calibration_error,
)
from facebank.evaluation.protocols.siblings_trials import SiblingAnswers
from facebank.evaluation.relatives import RelatedPair

from .conftest import limit_photos
from .report_items import find_table
from .synthetic import families


def make_answers(own: NDArray[np.float64], other: NDArray[np.float64]) -> SiblingAnswers:
    """Return answers about photos that are each searched once."""
    count = len(own)
    indices = np.arange(count)
    return SiblingAnswers(
        indices % 30, indices % 30, indices, own, other, own, other, np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=bool), np.ones(count, dtype=bool), np.full(count, ""),
    )  # fmt: skip


@pytest.fixture
def answer_group(bench: Bench, tmp_path: Path) -> AnswerGroup:
    """A group of answers about 336 photos; tests replace the answers."""
    faces = bench.read(families(tmp_path / "made.npz", 0))
    return AnswerGroup("4", "made", make_answers(np.ones(336), np.zeros(336)), faces)


def test_unrelated_people_are_distinguished(bench: Bench, tmp_path: Path) -> None:
    report = siblings(bench, families(tmp_path / "a.npz", 0), draws=1)
    figures = report.figures
    assert figures["two_class_accuracy_4"].value == 1
    assert figures["two_class_accuracy_4"].count == 24 * 2 * 3
    assert figures["named_as_sibling_4"].value < 0.05
    assert figures["absent_sibling_named_3"].value < 0.05
    assert figures["enrolled_sibling_named_3"].value > 0.9
    assert figures["fpir_4"].count == 24 * 20
    assert figures["fpir_4"].value < 0.05
    # of 24 families ten stay strangers, so one person of each of 13 is enrolled beside the two
    assert figures["two_class_accuracy_4_among_13"].value == 1
    assert figures["calibration_error_between_4"].value < 0.01


def test_identical_people_are_distinguished_by_chance_only(bench: Bench, tmp_path: Path) -> None:
    report = siblings(bench, families(tmp_path / "same.npz", 1), draws=1, others=0)
    figures = report.figures
    assert 0.3 < figures["two_class_accuracy_4"].value < 0.7
    assert figures["absent_sibling_named_3"].value == pytest.approx(figures["enrolled_sibling_named_3"].value, abs=0.1)
    assert not any("among" in name for name in figures if name != "wrong_among_names_4")
    rows = find_table(report, "Answers").rows
    assert sum(int(value) for value in rows[0][2:]) == int(rows[0][1])
    uncertain = figures["uncertain_4"].events or 0
    assert sum(int(row[1]) for row in find_table(report, "Reasons of uncertain answers").rows) == uncertain
    assert report.figures == siblings(bench, families(tmp_path / "same.npz", 1), draws=1, others=0).figures


def test_confusion_of_siblings_rises_with_similarity(bench: Bench, tmp_path: Path) -> None:
    absent = [
        siblings(bench, families(tmp_path / "a.npz", fraction), draws=1, others=0)
        .figures["absent_sibling_named_3"]
        .value
        for fraction in (0.0, 0.4, 0.8)
    ]
    assert absent == sorted(absent)
    assert absent[0] < absent[-1]


def test_fewer_photos_are_enrolled_if_not_enough_exist(bench: Bench, tmp_path: Path) -> None:
    dataset = families(tmp_path / "a.npz", 0.2, count=4)
    report = siblings(bench, limit_photos(dataset, {"0": 2, "2": 1}), draws=2)
    rows = find_table(report, "By number of enrolled photos").rows
    assert [(row[0], row[1], row[2]) for row in rows] == [("1", "1", "14"), ("4", "2", "24")]
    assert report.figures["two_class_accuracy_4"].count == 24
    assert [(failure.entry, failure.reason) for failure in report.failures] == [
        ("2 and 3", "not tested: 1 and 7 photos with a face; two of each are needed")
    ]


def test_listed_pairs_are_tested(bench: Bench, tmp_path: Path) -> None:
    dataset = families(tmp_path / "a.npz", 0, count=6)
    pairs = [RelatedPair("0", "2", "cousins"), RelatedPair("4", "Nobody")]
    report = siblings(bench, dataset, relatives=pairs, draws=1)
    assert report.figures["two_class_accuracy_4"].count == 2 * 3
    assert find_table(report, "The 1 most confused").rows[0][0] == "0 and 2 (cousins)"
    assert report.failures[0].entry == "4 and Nobody"
    # 0 and 2 form one family with 1 and 3, so five families are left, all strangers
    assert report.figures["fpir_4"].count == 8


def test_siblings_in_photos_are_tested(bench: Bench, dataset: Dataset) -> None:
    report = siblings(bench, dataset, relatives=[RelatedPair("Abdullah_Gul", "Alvaro_Uribe")], photos=2, draws=1)
    assert report.figures["two_class_accuracy_2"].value == 1
    assert report.figures["fpir_2"].count == 1


def test_invalid_arguments_are_errors(bench: Bench, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no related people are given"):
        siblings(bench, dataset)
    with pytest.raises(DatasetError, match="no pair can be tested"):
        siblings(bench, dataset, relatives=[RelatedPair("Ada", "Byron")])
    with pytest.raises(DatasetError, match="must be at least 1"):
        siblings(bench, dataset, photos=0)
    with pytest.raises(UsageError, match="fpir"):
        siblings(bench, families(tmp_path / "a.npz", 0), fpir=0.9)


def test_accuracy_at_full_coverage_is_the_plain_accuracy(answer_group: AnswerGroup) -> None:
    random = np.random.default_rng(0)
    own = random.uniform(size=336)
    group = replace(answer_group, answers=make_answers(own, 1 - own))
    choice = SiblingChoice.of(group.answers)
    assert accuracy_at_coverage(group, choice, 1.0).value == pytest.approx(choice.right.mean())
    half = accuracy_at_coverage(group, choice, 0.5)
    most_confident = np.argsort(-choice.confidences, kind="stable")[:168]
    assert half.value == pytest.approx(choice.right[most_confident].mean())
    assert half.count == 168
    assert half.interval is not None
    assert half.interval[0] <= half.value <= half.interval[1]


@pytest.mark.parametrize(("probability", "error"), [(0.7, 0.0), (0.9, 0.2)])
def test_calibration_error_is_the_gap_to_the_observed_frequency(
    answer_group: AnswerGroup, probability: float, error: float
) -> None:
    """Seven of ten answers are right."""
    own = np.where(np.arange(330) % 10 < 7, probability, 1 - probability)
    group = replace(answer_group, answers=make_answers(own, 1 - own))
    figure = calibration_error(group, SiblingChoice.of(group.answers))
    assert figure is not None
    assert figure.value == pytest.approx(error, abs=0.05)


def test_more_similar_person_is_chosen_without_a_calibration(answer_group: AnswerGroup) -> None:
    unknown = np.full(4, np.nan)
    group_answers = replace(
        make_answers(unknown, unknown),
        shown_similarity=np.array([0.5, 0.1, 0.4, 0.3]),
        sibling_similarity=np.full(4, 0.35),
    )
    choice = SiblingChoice.of(group_answers)
    assert choice.right.tolist() == [True, False, True, False]
    assert choice.confidences == pytest.approx([0.15, 0.25, 0.05, 0.05])
    assert calibration_error(replace(answer_group, answers=group_answers), choice) is None


def test_answer_for_neither_is_wrong_and_least_certain() -> None:
    choice = SiblingChoice.of(make_answers(np.array([0.0, 0.6, 1.0]), np.array([0.0, 0.2, 1.0])))
    assert choice.right.tolist() == [False, True, False]
    assert np.isnan(choice.confidences[0])
    assert choice.confidences[1:].tolist() == pytest.approx([0.75, 0.5])


def test_real_siblings_are_mostly_distinguished(bench: Bench, shared: Path) -> None:
    path = shared / "data/hard/siblings.npz"
    if not path.is_file():
        pytest.skip("data/hard/siblings.npz is missing")
    dataset = read_embeddings(path)
    half_of_families = dataset.select(int(photo.traits["family"]) in range(0, 24, 2) for photo in dataset.photos)
    figures = siblings(bench, half_of_families, draws=1, others=2).figures
    assert 0.8 < figures["two_class_accuracy_4"].value < 1
    assert figures["two_class_accuracy_at_coverage_50_4"].value >= figures["two_class_accuracy_4"].value
    assert figures["absent_sibling_named_3"].count > 0
