"""The five experiments run on substitutes, list them, and show the published results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pick
from facebank.evaluation.protocols.experiment_composites import read_frames, side_by_side
from facebank.evaluation.protocols.experiments import (
    BROTHERS,
    EXPERIMENTS,
    SISTERS,
    choose_frequent_people,
    choose_relatives,
    run_experiment,
)
from facebank.evaluation.report import Matrix, Report, Table
from tests.lfw_photos import lfw_photos

from .report_items import figures_in_sections, find_items

LFW_SISTERS = ("Serena_Williams", "Venus_Williams")
CELEBRITIES = ("David_Beckham", "Roberto_Carlos", "Ronaldo_Luis_Nazario_de_Lima")


def load_dataset(shared: Path, people: tuple[str, ...], count: int) -> Dataset:
    return Dataset("some of LFW", lfw_photos(shared, people, count), pick=Pick.CENTRAL)


def run(bench: Bench, dataset: Dataset, name: str, video: Path | None = None, **changes: Any) -> Report:
    return run_experiment(bench, dataset, replace(EXPERIMENTS[name], **changes), video=video)


def check_report(report: Report, people: tuple[str, ...]) -> None:
    """Check that substitutes are listed, and that published results and all figures are shown."""
    (table, *_) = find_items(report, Table, "People")
    assert {row[0] for row in table.rows} == set(people)
    assert report.figures["accuracy"].published
    assert report.figures["accuracy"].published in " ".join(report.summary)
    assert set(report.figures) == figures_in_sections(report)


def test_twins_are_tested_on_the_test_part_only(bench: Bench, shared: Path) -> None:
    dataset = load_dataset(shared, LFW_SISTERS, 5)
    parts = ["train", "train", "train", "validation", "test"] * 2
    split = replace(
        dataset, photos=tuple(replace(photo, split=part) for photo, part in zip(dataset.photos, parts, strict=True))
    )
    report = run(bench, split, "twins-2020", photos=(1, 2), draws=3)
    check_report(report, LFW_SISTERS)
    assert report.figures["accuracy"].count == 3 * 2
    (matrix,) = find_items(report, Matrix)
    assert matrix.columns == (*LFW_SISTERS, "nobody", "uncertain")
    assert matrix.counts.sum() == 3 * 2
    drawn = run(bench, dataset, "twins-2020", photos=(2,), draws=2)
    assert drawn.figures["rank_1_2"].count == 2 * 2


def test_unrelated_person_resembles_athletes_and_is_unknown(bench: Bench, shared: Path) -> None:
    athletes = (
        "Andre_Agassi", "David_Beckham", "Guillermo_Coria", "Jennifer_Capriati", "Juan_Carlos_Ferrero",
        "Lleyton_Hewitt", "Serena_Williams",
    )  # fmt: skip
    dataset = load_dataset(shared, athletes, 3)
    with_stranger = replace(dataset, photos=dataset.photos + load_dataset(shared, ("Tiger_Woods",), 2).photos)
    report = run(bench, with_stranger, "athletes-2019", photos=(2,), draws=1)
    check_report(report, athletes)
    (ranking,) = find_items(report, Table, "Tiger_Woods: resemblance, not identity")
    assert [row[2] for row in ranking.rows] == ["unknown", "unknown"]
    assert report.figures["fpir"].count == 2
    without_stranger = run(bench, dataset, "athletes-2019", photos=(2,), draws=1)
    assert "Not tested" in without_stranger.sections[-1].text[0]


@pytest.fixture
def celebrities(shared: Path) -> Dataset:
    """Four photos of each of `CELEBRITIES` and one of each of two strangers."""
    dataset = load_dataset(shared, CELEBRITIES, 4)
    return replace(dataset, photos=dataset.photos + load_dataset(shared, ("Aaron_Peirsol", "Ai_Sugiyama"), 1).photos)


def test_answer_does_not_depend_on_a_second_face_or_the_body(bench: Bench, celebrities: Dataset, shared: Path) -> None:
    video = shared / "data/photos/probe/short_hamilton_clip.mp4"
    report = run(bench, celebrities, "celebrities-2018", video, draws=1, composites=4)
    check_report(report, CELEBRITIES)
    assert report.figures["same_answer_beside_another"].value > 0.9
    assert report.figures["same_answer_on_another_body"].value > 0.9
    assert report.figures["named_as_the_body"].events == 0
    (video_frames,) = find_items(report, Table, "short_hamilton_clip.mp4, frame by frame")
    assert len(video_frames.rows) == 20


def test_parts_without_video_and_composites_are_not_tested(bench: Bench, celebrities: Dataset, tmp_path: Path) -> None:
    video = tmp_path / "missing.mp4"
    report = run(bench, celebrities, "celebrities-2018", video, draws=1, composites=0)
    assert "no video" in report.failures[-1].reason
    assert sum("not tested" in " ".join(section.text).casefold() for section in report.sections) == 3


def test_politicians_are_tested_without_a_large_enough_family(bench: Bench, shared: Path) -> None:
    politicians = ("Colin_Powell", "Donald_Rumsfeld", "George_W_Bush", "Gerhard_Schroeder", "Tony_Blair")
    dataset = load_dataset(shared, politicians, 4)
    report = run(bench, dataset, "lfw5-2021", photos=(1, 2), draws=2, published_sizes=(2, 1))
    check_report(report, politicians)
    assert report.figures["accuracy"].count == 5
    assert report.figures["rank_1_1"].count == 2 * 5 * 3
    assert report.figures["rank_1_2"].count == 2 * 5 * 2
    # Twenty photos count as twenty, however often they are drawn.
    interval = report.figures["rank_1_2"].interval
    assert interval is not None
    assert interval[0] <= 1 - 3 / 20
    assert "not tested" in report.summary[-1]
    assert any(failure.entry == "a family of three" for failure in report.failures)


def test_sisters_are_tested_plain_masked_and_small(bench: Bench, shared: Path) -> None:
    dataset = load_dataset(shared, LFW_SISTERS, 3)
    dataset = replace(dataset, photos=dataset.photos + load_dataset(shared, ("Aaron_Peirsol",), 1).photos)
    report = run_experiment(
        bench, dataset, replace(EXPERIMENTS["sisters-2021"], photos=(1, 2), draws=1), people=LFW_SISTERS
    )
    check_report(report, LFW_SISTERS)
    assert {"fnir_plain", "fnir_mask_cloth_black", "fnir_size_20", "fpir_plain"} <= set(report.figures)


def test_substitutes_are_relatives_or_people_with_most_photos() -> None:
    def make_dataset(counts: dict[str, int]) -> Dataset:
        return Dataset(
            "made up",
            tuple(
                DatasetPhoto(f"{name}/{number}", name, b"") for name, count in counts.items() for number in range(count)
            ),
        )

    dataset = make_dataset(
        {"Ashley_Olsen": 1, "Mary-Kate_Olsen": 3, "Serena_Williams": 9, "Venus_Williams": 8, "B": 30}
    )
    assert choose_relatives(dataset, SISTERS + BROTHERS, 8) == (("Serena_Williams", "Venus_Williams"), "siblings")
    assert choose_relatives(dataset, SISTERS, 1)[0] == ("Ashley_Olsen", "Mary-Kate_Olsen")
    assert choose_relatives(make_dataset({"Anna": 2, "Berta": 2}), SISTERS, 8) == (("Anna", "Berta"), "")
    with pytest.raises(DatasetError, match="no pair of the experiment's list of relatives"):
        choose_relatives(dataset, SISTERS, 10)
    assert choose_frequent_people(dataset, 2, 2) == ("B", "Serena_Williams")
    with pytest.raises(DatasetError, match="3 people of the experiment's list"):
        choose_frequent_people(dataset, 3, 2, ["B", "Nobody"])


def test_two_photos_are_composed_into_one() -> None:
    joined = side_by_side(np.full((4, 2, 3), 9, dtype=np.uint8), np.full((3, 5, 3), 7, dtype=np.uint8))
    assert joined.shape == (4, 7, 3)
    assert joined[3, 2:].max() == 0


def test_broken_video_is_a_one_line_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(DatasetError, match="not a readable video"):
        list(read_frames(broken))
