"""Distinguishing people who look alike; untested pairs are reported, thresholds come from unrelated people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation import relatives
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.protocols import twins as twins_module
from facebank.evaluation.protocols import twins_pairs
from facebank.evaluation.protocols.twins import twins
from facebank.evaluation.relatives import RelatedPair
from facebank.evaluation.report import Histogram, Matrix

from .conftest import PEOPLE, limit_photos
from .report_items import find_items, find_table


def test_named_pair_is_distinguished(bench: Bench, dataset: Dataset) -> None:
    report = twins(bench, dataset, people=PEOPLE[:2], shots=(1, 3, 4), draws=2)
    assert report.figures["accuracy_1"].value == 1
    assert report.figures["accuracy_1"].count == 2 * 2 * 3
    assert report.figures["accuracy_3"].count == 2 * 2 * 1
    assert "accuracy_4" not in report.figures  # nobody has a fifth photo
    assert report.figures["wrongly_named_1"].events == 0
    # one unrelated person is too few for a threshold of FMR 1e-4
    assert "twin_fmr_at_unrelated_fmr_1e-4" not in report.figures
    assert not report.figures["twin_fmr_at_shipped_threshold"].descriptive
    assert report.figures["twin_fmr_at_shipped_threshold"].count == 16


def test_other_people_are_strangers(bench: Bench, dataset: Dataset) -> None:
    report = twins(bench, dataset, people=PEOPLE[:2], shots=(1, 2), draws=3)
    assert report.figures["fpir_1"].count == 3  # one photo of the remaining person in each gallery
    assert report.figures["fpir_1"].events == 0
    assert report.figures["accuracy_1"].count == 3 * 2 * 3
    nameless = tuple(replace(photo, person=None) if photo.person == PEOPLE[2] else photo for photo in dataset.photos)
    report = twins(bench, replace(dataset, photos=nameless, pairs=()), people=PEOPLE[:2], shots=(1,), draws=3)
    assert report.figures["fpir_1"].count == 3 * 4
    assert "FPIR was not tested" not in " ".join(report.sections[0].text)


def test_fpir_is_not_tested_without_strangers(bench: Bench, dataset: Dataset) -> None:
    two_people = replace(dataset, pairs=()).select(photo.person != PEOPLE[2] for photo in dataset.photos)
    report = twins(bench, two_people, people=PEOPLE[:2], shots=(1,), draws=3)
    assert "fpir_1" not in report.figures
    assert "FPIR was not tested" in " ".join(report.sections[0].text)


def relabel_first_photo(dataset: Dataset) -> Dataset:
    """Return the dataset with a photo of the first person labeled as a stranger."""
    return replace(dataset, photos=(replace(dataset.photos[0], person="Double"), *dataset.photos[1:]), pairs=())


def test_named_stranger_is_counted_separately(bench: Bench, dataset: Dataset) -> None:
    report = twins(bench, relabel_first_photo(dataset), people=PEOPLE[:2], shots=(2,), draws=3)
    assert report.figures["fpir_2"].count == 2 * 3
    assert report.figures["fpir_2"].events == 3
    assert report.figures["wrongly_named_2"].events == 0
    assert report.figures["accuracy_2"].count == (1 + 2) * 3


def test_strangers_do_not_affect_look_alikes(bench: Bench, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    relabeled = relabel_first_photo(dataset)
    first, second = (twins(bench, relabeled, people=PEOPLE[:2], shots=(1, 2), draws=2) for _ in range(2))
    assert first.figures == second.figures
    monkeypatch.setattr(twins_module, "_STRANGERS_PER_DRAW", 0)
    without_strangers = twins(bench, relabeled, people=PEOPLE[:2], shots=(1, 2), draws=2)
    assert without_strangers.figures == {
        name: figure for name, figure in first.figures.items() if not name.startswith("fpir")
    }
    assert len(without_strangers.figures) + 2 == len(first.figures)


def test_each_draw_has_its_own_strangers(bench: Bench, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins_module, "_STRANGERS_PER_DRAW", 1)
    relabeled = relabel_first_photo(dataset)
    for draws, events in ((2, 1), (4, 2)):
        figure = twins(bench, relabeled, people=PEOPLE[:2], shots=(2,), draws=draws).figures["fpir_2"]
        assert (figure.events, figure.count) == (events, draws)


def test_report_has_a_matrix_and_a_histogram(bench: Bench, dataset: Dataset) -> None:
    report = twins(bench, dataset, people=PEOPLE[:2], shots=(2,), draws=1)
    matrix = find_items(report, Matrix)[0]
    assert matrix.counts.tolist() == [[2, 0, 0, 0], [0, 2, 0, 0]]
    ((_, probabilities),) = find_items(report, Histogram)[0].groups
    assert len(probabilities) == 4
    assert (probabilities > 0.5).all()


def test_small_dataset_is_one_gallery(bench: Bench, dataset: Dataset) -> None:
    report = twins(bench, dataset, shots=(2,), draws=1)
    assert report.figures["accuracy_2"].count == 3 * 2
    assert report.figures["area_under_risk_coverage"].value == 0
    assert report.figures["error_at_coverage_70"].count == 5


def test_wrong_name_is_counted(bench: Bench, dataset: Dataset) -> None:
    """Half of each person's photos have the other's name, and the two cannot be distinguished."""
    photos = tuple(
        replace(photo, person=PEOPLE[number % 2]) for number, photo in enumerate(dataset.photos) if number // 4 < 2
    )
    report = twins(bench, replace(dataset, photos=photos, pairs=()), shots=(1,), draws=4)
    accuracy, area = report.figures["accuracy_1"], report.figures["area_under_risk_coverage"]
    assert accuracy.value < 0.8
    assert area.interval is not None
    assert area.interval[0] <= area.value <= area.interval[1]
    wrong = accuracy.count - (accuracy.events or 0)
    rows = find_table(report, "Photos whose best candidate is wrong, 1 enrolled of each").rows
    assert sum(int(row[2].split(" of ")[0]) for row in rows) == wrong
    assert report.figures["twin_fmr_at_shipped_threshold"].value > 0.2


def test_listed_pairs_are_separate_galleries(bench: Bench, dataset: Dataset) -> None:
    pairs = [
        RelatedPair(*PEOPLE[:2], "siblings"),
        RelatedPair(PEOPLE[1], PEOPLE[2]),
        RelatedPair(PEOPLE[0], "Some\x1bbody"),
    ]
    report = twins(bench, dataset, relatives=pairs, shots=(2,), draws=1)
    assert report.figures["accuracy_2"].count == 2 * 4
    assert [(failure.entry, failure.reason) for failure in report.failures] == [
        (f"{PEOPLE[0]} and Some\\x1bbody", "not tested: 4 and 0 photos")
    ]


def test_unavailable_number_of_photos_has_a_row(bench: Bench, dataset: Dataset) -> None:
    few = limit_photos(dataset, {PEOPLE[2]: 2})
    pairs = [RelatedPair(*PEOPLE[:2]), RelatedPair(*PEOPLE[1:])]
    report = twins(bench, few, relatives=pairs, shots=(1, 2), draws=1)
    rows = {row[:2]: row[2] for row in find_table(report, "Group by group").rows}
    assert rows[f"{PEOPLE[1]} and {PEOPLE[2]}", "1"] == "4"
    assert rows[f"{PEOPLE[1]} and {PEOPLE[2]}", "2"] == "not tested: 4 and 2 photos with a face"
    assert not report.failures  # it was tested with one photo


def test_photos_of_an_enrolled_source_are_not_searched(bench: Bench, dataset: Dataset) -> None:
    def grouped(person: str) -> Dataset:
        photos = (replace(photo, group="video") if photo.person == person else photo for photo in dataset.photos)
        return replace(dataset, photos=tuple(photos), pairs=())

    pairs = [RelatedPair(*PEOPLE[:2]), RelatedPair(*PEOPLE[1:])]
    report = twins(bench, grouped(PEOPLE[0]), relatives=pairs, shots=(1,), draws=2)
    assert report.figures["accuracy_1"].count == 2 * 2 * 3
    assert find_table(report, "Group by group").rows[0][2] == "not tested: all other photos share a source"
    assert len(report.failures) == 1
    report = twins(bench, grouped(PEOPLE[0]), people=PEOPLE[:2], shots=(1,), draws=1)
    assert list(report.figures) == ["twin_fmr_at_shipped_threshold"]
    assert report.failures[0].reason == "not tested with any of these numbers of photos"


def test_one_photo_each_reports_the_similarity(bench: Bench, dataset: Dataset) -> None:
    few = limit_photos(dataset, {PEOPLE[0]: 1, PEOPLE[1]: 2})
    report = twins(bench, few, people=PEOPLE[:2], shots=(1, 3), draws=1)
    assert list(report.figures) == ["twin_fmr_at_shipped_threshold"]
    assert report.figures["twin_fmr_at_shipped_threshold"].count == 2
    pair, same_person, reference = find_table(report, "Similarity").rows
    assert pair[:2] == (f"{PEOPLE[0]} and {PEOPLE[1]}", "2")
    assert -0.3 < float(pair[2]) <= float(pair[3]) < 0.3
    assert same_person[:2] == ("photos of one person", "1")
    assert float(same_person[2]) > 0.4
    assert reference[0] == "unrelated people of the pack's background"
    assert find_table(report, "Missing photos").rows == (
        (f"{PEOPLE[0]} and {PEOPLE[1]}", "1, 2", f"1 of {PEOPLE[0]}", f"3 of {PEOPLE[0]}, 2 of {PEOPLE[1]}"),
    )
    assert f"add photos: 1 of {PEOPLE[0]}." in report.summary[-1]
    message = "not tested: 1 and 2 photos with a face; only compared as pairs of photos"
    assert [failure.reason for failure in report.failures] == [message]


def test_two_of_three_people_are_compared(bench: Bench, dataset: Dataset) -> None:
    """A person without photos is skipped, and the two others are compared."""
    few = limit_photos(dataset, {PEOPLE[0]: 1, PEOPLE[1]: 1, PEOPLE[2]: 0})
    report = twins(
        bench, few, relatives=[RelatedPair(*PEOPLE[:2]), RelatedPair(PEOPLE[0], PEOPLE[2])], shots=(1,), draws=1
    )
    assert find_table(report, "Similarity").rows[0][0] == f"{PEOPLE[0]} and {PEOPLE[1]}"
    assert [failure.reason for failure in report.failures] == [
        "not tested: 1 and 0 photos",
        "not tested: 1 and 1 photos with a face; only compared as pairs of photos",
    ]


def test_typical_similarity_comes_from_the_data_if_large_enough(bench: Bench, dataset: Dataset) -> None:
    reference = twins_pairs.reference_similarities(bench, np.linspace(-0.2, 0.2, 101))
    assert reference.source == "unrelated people of the data"
    assert reference.upper == pytest.approx(0.196)
    assert 0.15 < twins_pairs.reference_similarities(bench, np.zeros(3)).upper < 0.4


def test_unrelated_people_choose_the_threshold(bench: Bench, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins_pairs, "MIN_UNRELATED", 10)
    few = limit_photos(dataset, {PEOPLE[0]: 2})
    report = twins(bench, few, people=PEOPLE[:2], shots=(1,), draws=1)
    assert "twin_fmr_at_unrelated_fmr_1e-4" not in report.figures  # one unrelated person has no pairs
    scattered = replace(
        dataset,
        photos=tuple(
            replace(photo, person=f"Alone_{number}") if photo.person == PEOPLE[2] else photo
            for number, photo in enumerate(dataset.photos)
        ),
        pairs=(),
    )
    monkeypatch.setattr(twins_pairs, "MIN_UNRELATED", 6)
    figure = twins(bench, scattered, people=PEOPLE[:2], shots=(1,), draws=1).figures["twin_fmr_at_unrelated_fmr_1e-4"]
    assert figure.value == 0  # four photos of one man stand in for unrelated people: a threshold nobody else reaches
    assert figure.descriptive
    assert figure.insufficient


def test_relatives_without_enough_photos_are_not_counted_as_unrelated(bench: Bench, dataset: Dataset) -> None:
    faces = bench.read(replace(dataset, pairs=()))
    random = np.random.default_rng(0)
    assert len(relatives.unrelated_similarities(faces, (), random)) == 3 * 4 * 4
    assert len(relatives.unrelated_similarities(faces, PEOPLE[:1], random)) == 4 * 4
    assert len(relatives.unrelated_similarities(faces, PEOPLE[:2], random)) == 0


def test_same_seed_gives_same_figures(bench: Bench, dataset: Dataset) -> None:
    assert twins(bench, dataset, shots=(1,), draws=2).figures == twins(bench, dataset, shots=(1,), draws=2).figures


@pytest.mark.parametrize(
    ("people", "message"),
    [(("Nobody", PEOPLE[0]), "no person is called 'Nobody'"), (PEOPLE[:1], "two people are needed")],
)
def test_invalid_people_are_an_error(bench: Bench, dataset: Dataset, people: tuple[str, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        twins(bench, dataset, people=people)


@pytest.mark.parametrize(("shots", "draws"), [((), 1), ((0,), 1), ((1,), 0)])
def test_invalid_numbers_of_photos_are_an_error(
    bench: Bench, dataset: Dataset, shots: Sequence[int], draws: int
) -> None:
    with pytest.raises(DatasetError, match="must be at least 1"):
        twins(bench, dataset, shots=shots, draws=draws)


def test_relatives_without_photos_are_an_error(bench: Bench, dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="no group can be tested"):
        twins(bench, dataset, relatives=[RelatedPair("Ada", "Byron")])
