"""The five experiments run on substitutes, list them, and show the published results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pick
from facebank.evaluation.face_cache import FaceCache
from facebank.evaluation.faces import FaceReader
from facebank.evaluation.protocols.experiment_composites import read_frames, side_by_side
from facebank.evaluation.protocols.experiments import (
    BROTHERS,
    EXPERIMENTS,
    SISTERS,
    closest,
    run_experiment,
    with_most_photos,
)
from facebank.evaluation.report import Matrix, Report, Table
from facebank.operations.engine import load_engine

SISTERS_HERE = ("Serena_Williams", "Venus_Williams")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    engine = load_engine()
    with FaceCache(tmp_path_factory.mktemp("faces") / "faces.sqlite", engine.identity.dimension) as cache:
        yield Bench(FaceReader(engine, cache))


@pytest.fixture(scope="module")
def lfw(shared: Path) -> Path:
    return shared / "data/lfw"


def dataset_of(lfw: Path, people: tuple[str, ...], number: int) -> Dataset:
    paths = [path for person in people for path in sorted((lfw / person).glob("*.jpg"))[:number]]
    photos = tuple(DatasetPhoto(f"{path.parent.name}/{path.name}", path.parent.name, path) for path in paths)
    return Dataset("some of LFW", photos, pick=Pick.CENTRAL)


def items_of(report: Report, title: str) -> list[Table]:
    found = [item for section in report.sections for item in section.items if item.title == title]
    return [item for item in found if isinstance(item, Table)]


def run(bench: Bench, dataset: Dataset, name: str, video: Path | None = None, **changes: Any) -> Report:
    return run_experiment(bench, dataset, replace(EXPERIMENTS[name], **changes), video=video)


def check(report: Report, people: tuple[str, ...]) -> None:
    """Check that substitutes are listed, and that published results and all figures are shown."""
    (cast, *_) = items_of(report, "People")
    assert {row[0] for row in cast.rows} == set(people)
    assert report.figures["accuracy"].published
    assert report.figures["accuracy"].published in " ".join(report.summary)
    assert set(report.figures) == {name for section in report.sections for name in section.figures}


def test_twins_are_tested_on_the_test_part_only(bench: Bench, lfw: Path) -> None:
    photos = dataset_of(lfw, SISTERS_HERE, 5)
    parts = ["train", "train", "train", "validation", "test"] * 2
    split = replace(
        photos, photos=tuple(replace(photo, split=part) for photo, part in zip(photos.photos, parts, strict=True))
    )
    report = run(bench, split, "twins-2020", photos=(1, 2), draws=3)
    check(report, SISTERS_HERE)
    assert report.figures["accuracy"].count == 3 * 2
    (matrix,) = [item for section in report.sections for item in section.items if isinstance(item, Matrix)]
    assert matrix.columns == (*SISTERS_HERE, "nobody", "uncertain")
    assert matrix.counts.sum() == 3 * 2
    drawn = run(bench, photos, "twins-2020", photos=(2,), draws=2)
    assert drawn.figures["rank_1_2"].count == 2 * 2


def test_athletes_and_an_unrelated_person(bench: Bench, lfw: Path) -> None:
    seven = (
        "Andre_Agassi", "David_Beckham", "Guillermo_Coria", "Jennifer_Capriati", "Juan_Carlos_Ferrero",
        "Lleyton_Hewitt", "Serena_Williams",
    )  # fmt: skip
    photos = dataset_of(lfw, seven, 3)
    with_another = replace(photos, photos=photos.photos + dataset_of(lfw, ("Tiger_Woods",), 2).photos)
    report = run(bench, with_another, "athletes-2019", photos=(2,), draws=1)
    check(report, seven)
    (ranking,) = items_of(report, "Tiger_Woods: resemblance, not identity")
    assert [row[2] for row in ranking.rows] == ["unknown", "unknown"]
    assert report.figures["fpir"].count == 2
    alone = run(bench, photos, "athletes-2019", photos=(2,), draws=1)
    assert "Not tested" in alone.sections[-1].text[0]


def test_celebrities_have_separate_answers(bench: Bench, lfw: Path, shared: Path) -> None:
    three = ("David_Beckham", "Roberto_Carlos", "Ronaldo_Luis_Nazario_de_Lima")
    photos = dataset_of(lfw, three, 4)
    photos = replace(photos, photos=photos.photos + dataset_of(lfw, ("Aaron_Peirsol", "Ai_Sugiyama"), 1).photos)
    video = shared / "data/photos/probe/short_hamilton_clip.mp4"
    report = run(bench, photos, "celebrities-2018", video, draws=1, composites=4)
    check(report, three)
    assert report.figures["same_answer_beside_another"].value > 0.9
    assert report.figures["same_answer_on_another_body"].value > 0.9
    assert report.figures["named_as_the_body"].events == 0
    (video_frames,) = items_of(report, "short_hamilton_clip.mp4, frame by frame")
    assert len(video_frames.rows) == 20
    absent = run(bench, photos, "celebrities-2018", video.with_name("absent.mp4"), draws=1, composites=0)
    assert "no video" in absent.failures[-1].reason
    assert sum("not tested" in " ".join(section.text).casefold() for section in absent.sections) == 3


def test_five_people_and_a_too_small_family(bench: Bench, lfw: Path) -> None:
    five = ("Colin_Powell", "Donald_Rumsfeld", "George_W_Bush", "Gerhard_Schroeder", "Tony_Blair")
    photos = dataset_of(lfw, five, 4)
    report = run(bench, photos, "lfw5-2021", photos=(1, 2), draws=2, split=(2, 1))
    check(report, five)
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
    photos = dataset_of(lfw, SISTERS_HERE, 3)
    photos = replace(photos, photos=photos.photos + dataset_of(lfw, ("Aaron_Peirsol",), 1).photos)
    report = run_experiment(
        bench, photos, replace(EXPERIMENTS["sisters-2021"], photos=(1, 2), draws=1), people=SISTERS_HERE
    )
    check(report, SISTERS_HERE)
    assert {"fnir_plain", "fnir_mask_cloth_black", "fnir_size_20", "fpir_plain"} <= set(report.figures)


def test_substitutes_are_chosen_by_the_rule() -> None:
    def made(counts: dict[str, int]) -> Dataset:
        return Dataset(
            "made up",
            tuple(DatasetPhoto(f"{name}/{n}", name, b"") for name, count in counts.items() for n in range(count)),
        )

    several = made({"Ashley_Olsen": 1, "Mary-Kate_Olsen": 3, "Serena_Williams": 9, "Venus_Williams": 8, "B": 30})
    assert closest(several, SISTERS + BROTHERS, 8) == (("Serena_Williams", "Venus_Williams"), "siblings")
    assert closest(several, SISTERS, 1)[0] == ("Ashley_Olsen", "Mary-Kate_Olsen")
    assert closest(made({"Anna": 2, "Berta": 2}), SISTERS, 8) == (("Anna", "Berta"), "")
    with pytest.raises(DatasetError, match="no pair of the experiment's list of relatives"):
        closest(several, SISTERS, 10)
    assert with_most_photos(several, 2, 2) == ("B", "Serena_Williams")
    with pytest.raises(DatasetError, match="3 people of the experiment's list"):
        with_most_photos(several, 3, 2, ["B", "Nobody"])


def test_two_photos_are_composed_into_one() -> None:
    joined = side_by_side(np.full((4, 2, 3), 9, dtype=np.uint8), np.full((3, 5, 3), 7, dtype=np.uint8))
    assert joined.shape == (4, 7, 3)
    assert joined[3, 2:].max() == 0


def test_broken_video_is_a_one_line_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(DatasetError, match="not a readable video"):
        list(read_frames(broken))
