"""Recognition by number of enrolled photos; splits and sources stay separate, and copies are reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facebank.errors import DatasetError, UsageError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, DatasetPhoto
from facebank.evaluation.protocols.fewshot import fewshot
from facebank.evaluation.report import Curves, Matrix, Report, Table
from facebank.recognition.scoring import CLASSIFIERS

from .report_items import figures_in_sections, find_items

TWO_CLASSIFIERS = ("prototype", "svm")


def failure_reasons(report: Report) -> dict[str, str]:
    return {failure.entry: failure.reason for failure in report.failures}


def assign_splits(dataset: Dataset, *splits: str) -> Dataset:
    """Return the dataset with the photos of each person alternating between splits."""
    photos = tuple(replace(photo, split=splits[number % 4]) for number, photo in enumerate(dataset.photos))
    return replace(dataset, photos=photos, pairs=())


def test_all_classifiers_are_compared(bench: Bench, dataset: Dataset) -> None:
    report = fewshot(bench, dataset, shots=(1, 2), draws=2)
    suffixes = ("", *(f"_{name.replace('-', '_')}" for name in CLASSIFIERS if name != "prototype"))
    expected = {f"{key}_{shots}{suffix}" for key in ("rank_1", "fnir") for shots in (1, 2) for suffix in suffixes}
    assert set(report.figures) == expected | {"failure_to_acquire"}
    assert {figure.count for figure in report.figures.values()} == {2 * 3 * 2}
    assert report.figures["rank_1_2"].value == 1
    assert figures_in_sections(report) == set(report.figures)


def test_fpir_is_not_tested_without_strangers(bench: Bench, dataset: Dataset) -> None:
    report = fewshot(bench, dataset, shots=(2,), classifiers=TWO_CLASSIFIERS, draws=2)
    assert not any(name.startswith("fpir") for name in report.figures)
    assert "FPIR was not tested" in " ".join(report.summary)
    assert "FPIR was not tested" in " ".join(report.sections[0].text)


def test_strangers_are_searched(bench: Bench, dataset: Dataset) -> None:
    enrolled = tuple(photo for photo in dataset.photos if photo.person != dataset.people[0])
    (first, second, *_) = (photo for photo in dataset.photos if photo.person == dataset.people[0])
    strangers = (replace(first, person="Somebody"), replace(second, person=None))
    report = fewshot(
        bench,
        replace(dataset, photos=enrolled + strangers, pairs=()),
        shots=(1, 2),
        classifiers=TWO_CLASSIFIERS,
        draws=3,
    )
    assert {"fpir_1", "fpir_2", "fpir_1_svm", "fpir_2_svm"} <= set(report.figures)
    assert report.figures["fpir_2"].count == 2 * 3
    assert report.figures["fpir_2"].events == 0
    assert report.figures["fnir_2"].count == 2 * 2 * 3
    (matrix,) = find_items(report, Matrix)
    assert matrix.counts[-1].sum() == report.figures["fpir_2"].count
    assert "Strangers given a name" in " ".join(report.summary)
    assert "not tested" not in " ".join((*report.summary, *report.sections[0].text))
    assert figures_in_sections(report) == set(report.figures)


def rename_first_photos(dataset: Dataset, *people: str) -> Dataset:
    """Return the dataset with the first photos assigned to other people."""
    named = tuple(replace(photo, person=person) for photo, person in zip(dataset.photos, people, strict=False))
    return replace(dataset, photos=named + dataset.photos[len(named) :], pairs=())


def test_one_photo_per_stranger_up_to_the_limit(
    bench: Bench, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers = rename_first_photos(dataset, "One", "One", "Two", "Two")
    report = fewshot(bench, strangers, shots=(3,), classifiers=TWO_CLASSIFIERS, draws=3)
    assert report.figures["fpir_3"].count == 2 * 3
    monkeypatch.setattr("facebank.evaluation.protocols.fewshot._MAX_STRANGERS", 1)
    report = fewshot(bench, strangers, shots=(3,), classifiers=TWO_CLASSIFIERS, draws=3)
    assert report.figures["fpir_3"].count == 1 * 3


def test_named_stranger_is_not_a_miss(bench: Bench, dataset: Dataset) -> None:
    # The stranger is a photo of an enrolled person under another name.
    report = fewshot(bench, rename_first_photos(dataset, "Double"), shots=(2,), classifiers=TWO_CLASSIFIERS, draws=3)
    strangers, missed, first = (report.figures[name] for name in ("fpir_2", "fnir_2", "rank_1_2"))
    assert (strangers.events, strangers.count) == (3, 3)
    assert (missed.events, missed.count) == (0, (1 + 2 + 2) * 3)
    assert first.value == 1
    (matrix,) = find_items(report, Matrix)
    assert matrix.counts[-1].tolist() == [3, 0, 0, 0, 0]


def test_strangers_do_not_affect_enrolled_people(
    bench: Bench, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    relabeled = rename_first_photos(dataset, "Double")
    first, second = (fewshot(bench, relabeled, shots=(1, 2), classifiers=TWO_CLASSIFIERS, draws=2) for _ in range(2))
    assert first.figures == second.figures
    monkeypatch.setattr("facebank.evaluation.protocols.fewshot._MAX_STRANGERS", 0)
    without_strangers = fewshot(bench, relabeled, shots=(1, 2), classifiers=TWO_CLASSIFIERS, draws=2).figures
    assert without_strangers == {name: figure for name, figure in first.figures.items() if not name.startswith("fpir")}
    assert len(without_strangers) + 4 == len(first.figures)


def test_strangers_come_from_the_searched_split(bench: Bench, dataset: Dataset) -> None:
    split = assign_splits(dataset, "train", "train", "test", "test")
    for name, expected in (("test", 2), ("train", None)):
        photos = tuple(
            replace(photo, split=name) if photo.person == dataset.people[0] else photo for photo in split.photos
        )
        report = fewshot(bench, replace(split, photos=photos), shots=(1,), classifiers=TWO_CLASSIFIERS, draws=2)
        assert report.figures["rank_1_1"].count == 2 * 2 * 2
        figure = report.figures.get("fpir_1")
        assert (figure.count if figure else None) == expected


def test_curves_and_tables_match_the_figures(bench: Bench, dataset: Dataset) -> None:
    report = fewshot(bench, dataset, shots=(2, 1), classifiers=TWO_CLASSIFIERS, draws=2)
    first, named = find_items(report, Curves)
    for curves, figures in ((first, ("rank_1_1", "rank_1_2")), (named, ("fnir_1", "fnir_2"))):
        line = curves.lines[0]
        assert tuple(line.x) == (1, 2)
        values = [report.figures[name].value for name in figures]
        assert list(line.y) == pytest.approx(values if curves is first else [1 - value for value in values])
        assert line.low is not None
        assert line.high is not None
        assert (line.low <= line.y).all()
        assert (line.y <= line.high).all()
    (matrix,) = find_items(report, Matrix)
    right = matrix.counts[:, :3].trace()
    assert right == report.figures["fnir_2"].count - (report.figures["fnir_2"].events or 0)


def test_same_seed_gives_same_report(bench: Bench, dataset: Dataset) -> None:
    first, second = (fewshot(bench, dataset, shots=(1,), classifiers=TWO_CLASSIFIERS, draws=1) for _ in range(2))
    assert first.figures == second.figures
    assert first.summary == second.summary


def test_unavailable_numbers_of_photos_are_reported(bench: Bench, dataset: Dataset) -> None:
    report = fewshot(bench, dataset, shots=(1, 3, 4), classifiers=TWO_CLASSIFIERS, draws=1)
    assert "rank_1_3" in report.figures
    assert "rank_1_4" not in report.figures
    assert "0 people have enough photos" in failure_reasons(report)["4 photos enrolled"]


def test_people_with_a_single_photo_are_counted(bench: Bench, dataset: Dataset) -> None:
    single = tuple(
        DatasetPhoto(f"single_{number}", f"Single {number}", dataset.photos[0].content) for number in range(12)
    )
    many = fewshot(
        bench, replace(dataset, photos=dataset.photos + single), shots=(1,), classifiers=TWO_CLASSIFIERS, draws=1
    )
    assert many.figures["rank_1_1"].count == 9
    assert "fewer than two photos" in failure_reasons(many)["12 people"]
    few = fewshot(
        bench, replace(dataset, photos=dataset.photos + single[:2]), shots=(1,), classifiers=TWO_CLASSIFIERS, draws=1
    )
    assert {"Single 0", "Single 1"} <= set(failure_reasons(few))


def test_splits_of_the_dataset_are_kept(bench: Bench, dataset: Dataset) -> None:
    report = fewshot(bench, assign_splits(dataset, "train", "train", "test", "validation"), shots=(3,), draws=1)
    assert report.figures["rank_1_3"].count == 3
    without_test = assign_splits(dataset, "train", "validation", "train", "validation")
    report = fewshot(bench, without_test, shots=(2, 3), classifiers=TWO_CLASSIFIERS, draws=1)
    assert report.figures["rank_1_2"].count == 6
    assert "3 photos enrolled" in failure_reasons(report)


def test_photos_of_one_source_stay_on_one_side(bench: Bench, dataset: Dataset) -> None:
    photos = tuple(
        replace(photo, group=f"{photo.person}'s video" if number % 4 < 2 else "")
        for number, photo in enumerate(dataset.photos)
    )
    report = fewshot(bench, replace(dataset, photos=photos, pairs=()), shots=(1,), classifiers=TWO_CLASSIFIERS, draws=6)
    # One enrolled photo leaves three to search, or two if it is from the video.
    assert 6 * 3 * 2 < report.figures["rank_1_1"].count < 6 * 3 * 3
    all_in_videos = tuple(replace(photo, group=f"{photo.person}'s video") for photo in dataset.photos)
    with pytest.raises(DatasetError, match="share their source"):
        fewshot(
            bench, replace(dataset, photos=all_in_videos, pairs=()), shots=(1,), classifiers=TWO_CLASSIFIERS, draws=1
        )


def test_copy_across_the_split_is_leakage(bench: Bench, dataset: Dataset, tmp_path: Path) -> None:
    original = dataset.photos[0].content
    assert isinstance(original, Path)
    (tmp_path / "copy.jpg").write_bytes(original.read_bytes())
    split = assign_splits(dataset, "train", "train", "test", "test")
    copy = DatasetPhoto("copy", dataset.photos[0].person, tmp_path / "copy.jpg", split="test")
    report = fewshot(
        bench, replace(split, photos=(*split.photos, copy)), shots=(2,), classifiers=TWO_CLASSIFIERS, draws=1
    )
    assert report.figures["rank_1_2"].count == 6
    assert "the same file as" in failure_reasons(report)["copy"]


def test_failing_classifier_is_reported(bench: Bench, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facebank.recognition.training.MAX_KERNEL_SAMPLES", 5)
    report = fewshot(bench, dataset, shots=(1, 2), classifiers=("prototype", "svm-rbf"), draws=1)
    assert "rank_1_1_svm_rbf" in report.figures
    assert "rank_1_2_svm_rbf" not in report.figures
    assert "supports at most" in failure_reasons(report)["svm-rbf, 2 photos enrolled"]
    table = find_items(report, Table)[0]
    assert table.rows[1][2] == "refused"


def test_invalid_arguments_are_one_line_errors(bench: Bench, dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"three people: 0 people have 10 photos .* two people are needed"):
        fewshot(bench, dataset, shots=(9,))
    with pytest.raises(UsageError, match="unknown classifier forest"):
        fewshot(bench, dataset, classifiers=("forest",))
    with pytest.raises(UsageError, match="at least 1"):
        fewshot(bench, dataset, shots=(0, 1))
