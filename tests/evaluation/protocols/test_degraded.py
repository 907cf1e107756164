"""Degraded probes: each condition has its own figures, and failures are reported."""

from __future__ import annotations

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.changes import Axis, ChangeStep, ContrastReduction, GaussianBlur
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.protocols.degraded import degrade, masks, pose, sizes, split_by_frontality
from facebank.evaluation.report import Table
from facebank.evaluation.searches import choose_roles

from .report_items import figures_in_sections, find_items


def test_masks_are_reported_separately(bench: Bench, dataset_with_strangers: Dataset) -> None:
    report = masks(bench, dataset_with_strangers, photos=2, probes=4, strangers=2)
    assert report.figures["fnir_plain"].value == 0
    assert report.figures["rank_1_plain"].count == 4
    assert report.figures["fpir_plain"].count > 0
    for shape in ("surgical_light_blue", "cloth_black", "respirator_white", "scarf_red"):
        for key in ("rank_1", "fnir", "fpir", "failure_to_acquire", "brier", "log_loss", "expected_calibration_error"):
            assert f"{key}_mask_{shape}" in report.figures
    assert figures_in_sections(report) == set(report.figures)


def test_smaller_face_is_detected_smaller(bench: Bench, dataset_with_strangers: Dataset) -> None:
    report = sizes(bench, dataset_with_strangers, photos=2, probes=2, strangers=2)
    table = next(item for item in find_items(report, Table) if "enrolled" in item.title)
    widths = [int(row[-1]) for row in table.rows]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(20, abs=4)


def test_undetectable_face_is_reported_as_missed(bench: Bench, dataset_with_strangers: Dataset) -> None:
    faces = bench.read(dataset_with_strangers)
    roles = choose_roles(faces, photos=2, mated=4, strangers=2, random=np.random.default_rng(0))
    axis = Axis(
        "contrast",
        0,
        (
            ChangeStep("gray", "gray", 1, ContrastReduction(0.0)),
            ChangeStep("blurred", "blurred", 2, GaussianBlur(0.05)),
        ),
    )
    (plain, gray, blurred), (plot,) = degrade(bench, faces, roles, (axis,))
    assert plain.searches.acquired.all()
    assert not gray.searches.acquired.any()
    assert gray.figures()["fnir_gray"].value == 1
    assert gray.figures()["fpir_gray"].value == 0
    assert len(gray.failures) == len(roles.probes)
    assert blurred.figures()["fnir_blurred"].value > plain.figures()["fnir_plain"].value
    assert {tuple(line.x) for line in plot.lines} == {(0.0, 1.0, 2.0)}


def test_each_pose_is_in_one_group(bench: Bench, dataset_with_strangers: Dataset) -> None:
    report = pose(bench, dataset_with_strangers, photos=2)
    counts = [figure.count for name, figure in report.figures.items() if name.startswith("failure")]
    assert sum(counts) > 4
    faces = bench.read(dataset_with_strangers)
    roles = choose_roles(faces, photos=2, mated=9, strangers=9, random=np.random.default_rng(0))
    (plain,), _ = degrade(bench, faces, roles, ())
    bins, middles = split_by_frontality(plain.faces, plain.searches)
    assert sum(len(group.searches.indices) for group in bins) == len(roles.probes)
    assert middles == sorted(middles, reverse=True)


def test_too_few_photos_are_an_error(bench: Bench, dataset_with_strangers: Dataset) -> None:
    with pytest.raises(DatasetError, match="nobody has 5 photos"):
        masks(bench, dataset_with_strangers, photos=4)
