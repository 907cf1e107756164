"""People who look alike: galleries of just them, untested ones told, and a threshold of unrelated people."""

from __future__ import annotations

import pytest

from facebank.errors import DatasetError
from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.protocols.twins import twins
from facebank.evaluation.relatives import Relatives

PEOPLE = ("Abdullah_Gul", "Ai_Sugiyama", "Alvaro_Uribe")


def test_two_who_are_named_are_told_apart(bench: Bench, album: Dataset) -> None:
    report = twins(bench, album, people=PEOPLE[:2], shots=(1, 3, 4), draws=2)
    assert report.figures["accuracy_1"].value == 1
    assert report.figures["accuracy_1"].count == 2 * 2 * 3
    assert report.figures["accuracy_3"].count == 2 * 2 * 1
    assert "accuracy_4" not in report.figures  # nobody has a fifth photo
    assert report.figures["wrongly_named_1"].events == 0
    # one unrelated person: no threshold of FMR 1e-4 can come from her
    assert not report.figures["twin_fmr_at_shipped_threshold"].descriptive
    assert report.figures["twin_fmr_at_shipped_threshold"].count == 16


def test_everybody_of_a_small_dataset_is_one_gallery(bench: Bench, album: Dataset) -> None:
    report = twins(bench, album, shots=(2,), draws=1)
    assert report.figures["accuracy_2"].count == 3 * 2
    assert report.figures["area_under_risk_coverage_2"].value == 0


def test_pairs_of_a_list_are_galleries_of_their_own(bench: Bench, album: Dataset) -> None:
    pairs = [Relatives(*PEOPLE[:2], "siblings"), Relatives(PEOPLE[1], PEOPLE[2]), Relatives(PEOPLE[0], "Somebody")]
    report = twins(bench, album, relatives=pairs, shots=(2,), draws=1)
    assert report.figures["accuracy_2"].count == 2 * 4
    assert [(failure.what, failure.why) for failure in report.failures] == [
        (f"{PEOPLE[0]} and Somebody", "untested: 4 and 0 photos")
    ]


def test_the_same_seed_gives_the_same_figures(bench: Bench, album: Dataset) -> None:
    assert twins(bench, album, shots=(1,), draws=2).figures == twins(bench, album, shots=(1,), draws=2).figures


@pytest.mark.parametrize(
    ("people", "why"),
    [(("Nobody", PEOPLE[0]), "nobody called 'Nobody'"), (PEOPLE[:1], "it takes two people")],
)
def test_who_cannot_be_confused_is_told(bench: Bench, album: Dataset, people: tuple[str, ...], why: str) -> None:
    with pytest.raises(DatasetError, match=why):
        twins(bench, album, people=people)


def test_relatives_without_photos_are_untested(bench: Bench, album: Dataset) -> None:
    with pytest.raises(DatasetError, match="untested"):
        twins(bench, album, relatives=[Relatives("Ada", "Byron")])
