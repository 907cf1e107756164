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

LFW_SISTERS = ("Serena_Williams", "Venus_Williams")


@pytest.fixture(scope="module")
def lfw(shared: Path) -> Path:
    return shared / "data/lfw"


def load_dataset(lfw: Path, people: tuple[str, ...], photos_each: int) -> Dataset:
    paths = [path for person in people for path in sorted((lfw / person).glob("*.jpg"))[:photos_each]]
    photos = tuple(DatasetPhoto(f"{path.parent.name}/{path.name}", path.parent.name, path) for path in paths)
    return Dataset("some of LFW", photos, pick=Pick.CENTRAL)


def find_tables(report: Report, title: str) -> list[Table]:
    items = [item for section in report.sections for item in section.items if item.title == title]
    return [item for item in items if isinstance(item, Table)]


def run(bench: Bench, dataset: Dataset, name: str, video: Path | None = None, **changes: Any) -> Report:
    return run_experiment(bench, dataset, replace(EXPERIMENTS[name], **changes), video=video)


def check_report(report: Report, people: tuple[str, ...]) -> None:
    """Check that substitutes are listed, and that published results and all figures are shown."""
    (table, *_) = find_tables(report, "People")
    assert {row[0] for row in table.rows} == set(people)
    assert report.figures["accuracy"].published
    assert report.figures["accuracy"].published in " ".join(report.summary)
    assert set(report.figures) == {name for section in report.sections for name in section.figures}


def test_twins_are_tested_on_the_test_part_only(bench: Bench, lfw: Path) -> None:
    photos = load_dataset(lfw, LFW_SISTERS, 5)
    parts = ["train", "train", "train", "validation", "test"] * 2
    split = replace(
        photos, photos=tuple(replace(photo, split=part) for photo, part in zip(photos.photos, parts, strict=True))
    )
    report = run(bench, split, "twins-2020", photos=(1, 2), draws=3)
    check_report(report, LFW_SISTERS)
    assert report.figures["accuracy"].count == 3 * 2
    (matrix,) = [item for section in report.sections for item in section.items if isinstance(item, Matrix)]
    assert matrix.columns == (*LFW_SISTERS, "nobody", "uncertain")
    assert matrix.counts.sum() == 3 * 2
    drawn = run(bench, photos, "twins-2020", photos=(2,), draws=2)
    assert drawn.figures["rank_1_2"].count == 2 * 2


def test_athletes_and_an_unrelated_person(bench: Bench, lfw: Path) -> None:
    athletes = (
        "Andre_Agassi", "David_Beckham", "Guillermo_Coria", "Jennifer_Capriati", "Juan_Carlos_Ferrero",
        "Lleyton_Hewitt", "Serena_Williams",
    )  # fmt: skip
    photos = load_dataset(lfw, athletes, 3)
    with_stranger = replace(photos, photos=photos.photos + load_dataset(lfw, ("Tiger_Woods",), 2).photos)
    report = run(bench, with_stranger, "athletes-2019", photos=(2,), draws=1)
    check_report(report, athletes)
    (ranking,) = find_tables(report, "Tiger_Woods: resemblance, not identity")
    assert [row[2] for row in ranking.rows] == ["unknown", "unknown"]
    assert report.figures["fpir"].count == 2
    alone = run(bench, photos, "athletes-2019", photos=(2,), draws=1)
    assert "Not tested" in alone.sections[-1].text[0]


def test_celebrities_have_separate_answers(bench: Bench, lfw: Path, shared: Path) -> None:
    celebrities = ("David_Beckham", "Roberto_Carlos", "Ronaldo_Luis_Nazario_de_Lima")
    photos = load_dataset(lfw, celebrities, 4)
    photos = replace(photos, photos=photos.photos + load_dataset(lfw, ("Aaron_Peirsol", "Ai_Sugiyama"), 1).photos)
    video = shared / "data/photos/probe/short_hamilton_clip.mp4"
    report = run(bench, photos, "celebrities-2018", video, draws=1, composites=4)
    check_report(report, celebrities)
    assert report.figures["same_answer_beside_another"].value > 0.9
    assert report.figures["same_answer_on_another_body"].value > 0.9
    assert report.figures["named_as_the_body"].events == 0
    (video_frames,) = find_tables(report, "short_hamilton_clip.mp4, frame by frame")
    assert len(video_frames.rows) == 20
    absent = run(bench, photos, "celebrities-2018", video.with_name("absent.mp4"), draws=1, composites=0)
    assert "no video" in absent.failures[-1].reason
    assert sum("not tested" in " ".join(section.text).casefold() for section in absent.sections) == 3


def test_five_people_and_a_too_small_family(bench: Bench, lfw: Path) -> None:
    politicians = ("Colin_Powell", "Donald_Rumsfeld", "George_W_Bush", "Gerhard_Schroeder", "Tony_Blair")
    photos = load_dataset(lfw, politicians, 4)
    report = run(bench, photos, "lfw5-2021", photos=(1, 2), draws=2, published_sizes=(2, 1))
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


def test_sisters_step_by_step(bench: Bench, lfw: Path) -> None:
    photos = load_dataset(lfw, LFW_SISTERS, 3)
    photos = replace(photos, photos=photos.photos + load_dataset(lfw, ("Aaron_Peirsol",), 1).photos)
    report = run_experiment(
        bench, photos, replace(EXPERIMENTS["sisters-2021"], photos=(1, 2), draws=1), people=LFW_SISTERS
    )
    check_report(report, LFW_SISTERS)
    assert {"fnir_plain", "fnir_mask_cloth_black", "fnir_size_20", "fpir_plain"} <= set(report.figures)


def test_substitutes_are_chosen_by_the_rule() -> None:
    def make_dataset(counts: dict[str, int]) -> Dataset:
        return Dataset(
            "made up",
            tuple(DatasetPhoto(f"{name}/{n}", name, b"") for name, count in counts.items() for n in range(count)),
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
