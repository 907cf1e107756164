"""Differences between groups of people, on synthetic and real data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets.arrays import read_embeddings
from facebank.evaluation.figures import Figure
from facebank.evaluation.identification import Condition
from facebank.evaluation.protocols.groups import differentials, groups
from facebank.evaluation.protocols.groups_trials import GroupTrial, PeopleGroup
from facebank.evaluation.report import Histogram, Report, Table
from facebank.evaluation.report.wording import interval_of
from facebank.evaluation.searches import NOBODY, Searches

from .report_items import find_items
from .synthetic import synthetic_groups


def run(bench: Bench, dataset: Dataset, column: str = "group_of", **options: Any) -> Report:
    return groups(bench, dataset, column, **options)


def test_similar_people_have_higher_false_match_rates(bench: Bench, tmp_path: Path) -> None:
    report = run(bench, synthetic_groups(tmp_path / "a.npz", {"near": 0.45, "far": 0.0}), draws=8)
    figures = report.figures
    assert figures["fpir_group_of_near"].value >= figures["fpir_group_of_far"].value
    assert figures["mean_similarity_group_of_near"].value > figures["mean_similarity_group_of_far"].value + 0.2
    assert figures["mean_similarity_group_of_far"].value == pytest.approx(0, abs=0.02)
    assert figures["fpir_across_group_of_near"].value < 0.1
    assert "expected_calibration_error_group_of_near" in figures
    # half of the 24 people are enrolled with two photos and searched with two others; 12 are strangers
    assert figures["fnir_group_of_near"].count == 8 * 12 * 2
    assert figures["fpir_group_of_near"].count == 8 * 12
    assert find_items(report, Histogram)


def test_same_seed_gives_same_figures(bench: Bench, tmp_path: Path) -> None:
    dataset = synthetic_groups(tmp_path / "a.npz", {"near": 0.45, "far": 0.0})
    first, second = (run(bench, dataset, draws=2).figures for _ in range(2))
    assert first == second


def make_trials(bench: Bench, path: Path, named_people: Mapping[str, int]) -> list[GroupTrial]:
    """Return a trial for each group in `named_people`, which has the number of its people who get a name.

    A group has 24 strangers with four searched photos each; `path` is where their embeddings are written.
    """
    faces, trials = bench.read(synthetic_groups(path, dict.fromkeys(named_people, 0.0))), []
    for number, (name, count) in enumerate(named_people.items()):
        indices = np.arange(number * 96, (number + 1) * 96)
        named = np.where(np.arange(96) < 4 * count, 0, NOBODY)
        missing, acquired = np.full(96, np.nan), np.ones(96, dtype=bool)
        searches = Searches(indices, np.full(96, NOBODY), named, named, ~acquired, acquired, missing, missing)
        group = PeopleGroup(name, name, indices, np.arange(24))
        trials.append(GroupTrial(group, Condition(name, name, faces, searches, resamples_people=True), searches))
    return trials


def figures_of(trials: list[GroupTrial]) -> dict[str, Figure]:
    return {name: figure for trial in trials for name, figure in trial.within.figures().items()}


def test_differentials_are_ratios_of_rates(bench: Bench, tmp_path: Path) -> None:
    trials = make_trials(bench, tmp_path / "a.npz", {"one": 12, "two": 6, "three": 3})
    figures = figures_of(trials)
    assert figures["fpir_two"].value == 0.25
    ratios = differentials(trials, figures)
    assert sorted(ratios) == ["false_positive_differential", "false_positive_differential_to_geometric_mean"]
    ratio, mean = ratios["false_positive_differential"], ratios["false_positive_differential_to_geometric_mean"]
    assert ratio.value == pytest.approx(4)
    assert mean.value == pytest.approx(2)
    assert ratio.interval is not None
    assert 1 < ratio.interval[0] < 4 < ratio.interval[1]
    assert not ratio.insufficient  # 12 photos of the group with fewest


def test_ratio_with_too_few_events_is_insufficient(bench: Bench, tmp_path: Path) -> None:
    trials = make_trials(bench, tmp_path / "a.npz", {"one": 12, "two": 6, "three": 2})
    ratio = differentials(trials, figures_of(trials))["false_positive_differential"]
    assert ratio.insufficient
    assert "(insufficient)" in str(ratio)


def test_ratio_may_have_no_upper_bound(bench: Bench, tmp_path: Path) -> None:
    """One person in 24 is missing from every third resample, where the rate of the group is 0."""
    trials = make_trials(bench, tmp_path / "a.npz", {"one": 12, "two": 1})
    for figure in differentials(trials, figures_of(trials)).values():
        assert figure.interval is not None
        assert np.isfinite(figure.interval[0])
        assert figure.interval[1] == np.inf
        assert "or more]" in str(figure)
        assert interval_of(figure).endswith(" or more")


def test_identical_groups_do_not_differ(bench: Bench, tmp_path: Path) -> None:
    """Rates of the same people are resampled together, and their ratio has no spread."""
    (trial,) = make_trials(bench, tmp_path / "a.npz", {"one": 6})
    figures = trial.within.figures()
    other = replace(trial, group=replace(trial.group, name="other"))
    ratio = differentials([trial, other], figures | {"fpir_other": figures["fpir_one"]})["false_positive_differential"]
    assert (ratio.value, ratio.interval) == (1, (1, 1))


def test_ratio_to_zero_is_undefined(bench: Bench, tmp_path: Path) -> None:
    report = run(bench, synthetic_groups(tmp_path / "a.npz", {"one": 0.0, "other": 0.0}), draws=1)
    assert report.figures["fnir_group_of_one"].events == 0
    assert "false_negative_differential" not in report.figures
    assert any("a ratio to a rate of 0 is infinite" in text for section in report.sections for text in section.text)


def test_group_of_too_few_people_is_omitted(bench: Bench, tmp_path: Path) -> None:
    dataset = synthetic_groups(tmp_path / "a.npz", {"one": 0.1, "other": 0.1, "few": 0.1})
    fewer = dataset.select(
        photo.traits["group_of"] != "few" or int(photo.person or 0) % 24 < 3 for photo in dataset.photos
    )
    report = run(bench, fewer, draws=1)
    assert [(failure.entry, failure.reason) for failure in report.failures] == [
        ("group_of: few", "not tested: 3 people with more than 2 photos with a face; 6 are needed")
    ]
    with pytest.raises(DatasetError, match="fewer than two groups have 6 people"):
        run(bench, fewer.select(photo.traits["group_of"] != "one" for photo in fewer.photos), draws=1)
    with pytest.raises(DatasetError, match="must be at least 1"):
        run(bench, dataset, photos=0)


def test_galleries_have_the_requested_size(bench: Bench, tmp_path: Path) -> None:
    dataset = synthetic_groups(tmp_path / "a.npz", {"one": 0.1, "other": 0.1})
    report = run(bench, dataset, draws=1, gallery_size=5, photos=3)
    assert report.figures["fnir_group_of_one"].count == 5
    assert report.summary[0] == "5 people with 3 photos each in a gallery; an FPIR of 1 % is requested."


def test_young_people_are_more_similar(bench: Bench, shared: Path) -> None:
    path = shared / "data/hard/ages.npz"
    if not path.is_file():
        pytest.skip("data/hard/ages.npz is missing")
    dataset = read_embeddings(path)
    half = dataset.select(int(photo.person or 0) % 2 == 0 for photo in dataset.photos)
    report = run(bench, half, "young", draws=5)
    figures = report.figures
    assert figures["mean_similarity_young_yes"].value > figures["mean_similarity_young_no"].value
    assert figures["fpir_young_yes"].count > 20
    rows = find_items(report, Table)[0].rows
    assert [row[0] for row in rows] == ["young: no", "young: yes"]
