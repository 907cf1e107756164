"""Open-set identification of enrolled people and strangers, and notes about missing figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, DatasetPhoto
from facebank.evaluation.identification import Condition
from facebank.evaluation.protocols.openset import descriptive_figures, openset
from facebank.evaluation.report import SEARCH_SCORES, Curves, Histogram
from facebank.evaluation.searches import NOBODY, Searches

from .conftest import FREQUENT_PEOPLE, STRANGERS
from .report_items import figures_in_sections, find_items


def test_separable_data_has_no_errors(bench: Bench, dataset_with_strangers: Dataset) -> None:
    report = openset(bench, dataset_with_strangers, shots=(1, 2, 9), draws=2)
    for photos in (1, 2):
        assert report.figures[f"rank_1_{photos}"].value == 1
        assert report.figures[f"fnir_{photos}"].value <= 0.2
        assert report.figures[f"fpir_{photos}"].events == 0
        assert not report.figures[f"fnir_{photos}"].descriptive
    # four people with 2 of 4 photos each enrolled, two draws; a third of the people are strangers
    assert report.figures["rank_1_2"].count == 2 * 2 * 3
    assert "Not tested with 9 enrolled photos: nobody has 10 or more." in report.summary
    assert figures_in_sections(report) == set(report.figures)


def test_same_seed_gives_same_report(bench: Bench, dataset_with_strangers: Dataset) -> None:
    first, second = (openset(bench, dataset_with_strangers, shots=(1,), draws=2).figures for _ in range(2))
    assert first == second


def test_photo_without_a_face_counts_as_missed(bench: Bench, dataset_with_strangers: Dataset) -> None:
    gray = np.full((120, 120, 3), 128, dtype=np.uint8)
    gray_photos = tuple(DatasetPhoto(f"gray {person}", person, gray) for person in FREQUENT_PEOPLE)
    report = openset(
        bench,
        replace(dataset_with_strangers, photos=(*dataset_with_strangers.photos, *gray_photos)),
        shots=(2,),
        draws=1,
    )
    # one of the four is a stranger, the gray photos of the others are searched
    assert (report.figures["failure_to_acquire_2"].events or 0) >= 3
    assert (report.figures["fnir_2"].events or 0) >= 3
    assert report.figures["fnir_2"].count == 3 * 3
    assert [failure.entry for failure in report.failures] == [photo.name for photo in gray_photos]


def test_single_photos_cannot_be_searched(bench: Bench, dataset_with_strangers: Dataset) -> None:
    with pytest.raises(DatasetError, match="no labeled person has 2 photos"):
        openset(bench, dataset_with_strangers.select_people(STRANGERS), shots=(1,))


def test_unnamed_photos_cannot_be_enrolled(bench: Bench, dataset_with_strangers: Dataset) -> None:
    unnamed = replace(
        dataset_with_strangers, photos=tuple(replace(photo, person=None) for photo in dataset_with_strangers.photos)
    )
    with pytest.raises(DatasetError, match="no labeled person"):
        openset(bench, unnamed, shots=(1,))


def test_two_people_leave_no_strangers(bench: Bench, dataset_with_strangers: Dataset) -> None:
    report = openset(bench, dataset_with_strangers.select_people(FREQUENT_PEOPLE[:2]), shots=(1,), draws=1)
    assert "FPIR was not tested: the data has no strangers." in report.summary
    assert not any(name.startswith("fpir") for name in report.figures)


def test_fnir_is_reported_at_each_fpir(dataset_with_strangers: Dataset, bench: Bench) -> None:
    faces = bench.read(dataset_with_strangers)
    count = 200
    shown = np.where(np.arange(count) < 100, 0, NOBODY)
    similarities = np.concatenate([np.linspace(0.3, 0.9, 100), np.linspace(0, 0.5, 100)])
    uncertain = np.zeros(count, dtype=bool)
    searches = Searches(
        indices=np.arange(count) % len(dataset_with_strangers.photos),
        shown=shown,
        named=np.full(count, NOBODY),
        first=np.zeros(count, dtype=np.int64),
        uncertain=uncertain,
        acquired=~uncertain,
        similarities=similarities,
        probabilities=np.full(count, np.nan),
    )
    figures = descriptive_figures(Condition("1", "1 enrolled", faces, searches))
    # ten of a hundred strangers reach 0.4545; enrolled people below are missed
    assert figures["fnir_1_at_fpir_1e-1"].value == pytest.approx((similarities[:100] < 0.4546).mean(), abs=0.011)
    assert figures["fnir_1_at_fpir_1e-2"].insufficient
    assert "fnir_1_at_fpir_1e-3" not in figures
    assert all(figure.descriptive for figure in figures.values())


def test_candidates_and_scores_are_reported(dataset_with_strangers: Dataset, bench: Bench) -> None:
    report = openset(bench, dataset_with_strangers, shots=(1,), draws=2)
    cmc = next(item for item in find_items(report, Curves) if "CMC" in item.title)
    (line,) = cmc.lines
    assert line.x.tolist() == [1, 2, 3, 4, 5]
    assert line.y[0] == report.figures["rank_1_1"].value
    assert (np.diff(line.y) >= 0).all()
    assert any("best candidate" in item.title for item in find_items(report, Histogram))
    assert report.scores is not None
    assert report.scores.headings == SEARCH_SCORES
    assert len(report.scores.rows) >= report.figures["rank_1_1"].count
