"""Rates and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.evaluation.figures import difference, mean_figure, pair_rate, rate, rule_of_three, sampling_units


def bits(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.bool_)


def test_rate_is_the_fraction_of_events_with_its_counts() -> None:
    figure = rate(bits(1, 0, 0, 0).repeat(25), np.arange(100), "misses")
    assert (figure.value, figure.events, figure.count, figure.meaning) == (0.25, 25, 100, "misses")
    assert figure.interval is not None
    assert figure.interval[0] < 0.25 < figure.interval[1]


@pytest.mark.parametrize(("events", "interval"), [(0, (0.0, 0.03)), (100, (0.97, 1.0))])
def test_rule_of_three_applies_without_events(events: int, interval: tuple[float, float]) -> None:
    figure = rate(np.arange(100) < events, np.arange(100))
    assert figure.interval == pytest.approx(interval)
    assert figure.insufficient


def test_photo_searched_ten_times_counts_once() -> None:
    photos = np.repeat(np.arange(50), 10)
    figure = rate(photos == 7, photos, ids=photos)
    assert figure.events == 10
    assert figure.insufficient
    assert rate(photos < 0, photos, ids=photos).interval == pytest.approx((0, 3 / 50))


def test_ten_events_are_enough_and_nine_are_not() -> None:
    assert rate(np.arange(100) < 9, np.arange(100)).insufficient
    assert not rate(np.arange(100) < 10, np.arange(100)).insufficient
    assert rate(np.arange(100) < 95, np.arange(100)).insufficient


def test_photos_of_one_person_do_not_count_as_independent() -> None:
    wrong = np.repeat(np.arange(30) < 6, 20)  # all photos of six of thirty people
    by_photo, by_person = rate(wrong, np.arange(600)), rate(wrong, np.repeat(np.arange(30), 20))
    assert by_photo.interval is not None
    assert by_person.interval is not None
    assert by_person.interval[1] - by_person.interval[0] > 3 * (by_photo.interval[1] - by_photo.interval[0])


def test_interval_has_its_nominal_coverage() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        rates = random.beta(2, 18, size=60)  # rates differ between people; the mean is 0.1
        wrong = (random.random((60, 10)) < rates[:, None]).ravel()
        low, high = rate(wrong, np.repeat(np.arange(60), 10)).interval or (0, 0)
        covered += low <= 0.1 <= high
    assert 178 <= covered <= 200


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 12))
def test_interval_contains_the_value_and_lies_within_0_and_1(events: list[bool], people: int) -> None:
    figure = rate(np.array(events), np.arange(len(events)) % people)
    if figure.interval is None:  # a single person gives no interval
        assert min(people, len(events)) == 1
        return
    low, high = figure.interval
    assert 0 <= low <= high <= 1
    assert low - 1e-9 <= figure.value <= high + 1e-9 or len(set(np.arange(len(events)) % people)) < 8


def test_same_data_gives_same_interval() -> None:
    wrong, people = np.arange(80) % 7 == 0, np.arange(80) // 4
    assert rate(wrong, people) == rate(wrong, people)


def test_pairs_are_resampled_by_people_of_both_sides() -> None:
    # One person matches everybody, so all errors depend on whether that person is drawn.
    first, second = (side.ravel() for side in np.meshgrid(np.arange(40), np.arange(40), indexing="ij"))
    different = first < second
    first, second = first[different], second[different]
    wrong = (first == 0) | (second == 0)
    figure, naive = pair_rate(wrong, first, second), rate(wrong, np.arange(len(wrong)))
    assert figure.interval is not None
    assert naive.interval is not None
    assert figure.interval[0] == 0
    assert figure.interval[1] > 1.5 * naive.interval[1]


def test_pairs_of_a_person_count_as_often_as_the_person_is_drawn() -> None:
    people = np.repeat(np.arange(25), 8)
    wrong = people < 5
    assert pair_rate(wrong, people, people).interval == pytest.approx(rate(wrong, people).interval, abs=0.02)


def test_few_people_are_resampled_by_groups_of_photos() -> None:
    few, many = np.repeat(np.arange(3), 20), np.repeat(np.arange(30), 2)
    groups = np.arange(60)
    assert sampling_units(few, groups) is groups
    assert sampling_units(many, groups) is many


def test_paired_difference_is_narrower_than_two_rates() -> None:
    random = np.random.default_rng(5)
    hard = random.random(400) < 0.3
    better = hard & (np.arange(400) % 3 != 0)
    people = np.arange(400) // 4
    gain = difference(better.astype(float), hard.astype(float), people)
    assert gain.interval is not None
    assert gain.value == pytest.approx(better.mean() - hard.mean())
    assert gain.interval[1] < 0
    better_rate, hard_rate = rate(better, people), rate(hard, people)
    assert better_rate.interval is not None
    assert hard_rate.interval is not None
    unpaired_width = (better_rate.interval[1] - better_rate.interval[0]) + (
        hard_rate.interval[1] - hard_rate.interval[0]
    )
    assert gain.interval[1] - gain.interval[0] < unpaired_width / 1.5


def test_difference_of_unequal_shapes_is_an_error() -> None:
    with pytest.raises(UsageError, match="two measurements of equal shape"):
        difference(np.zeros(3), np.zeros(4), np.arange(3))


def test_figures_without_trials_are_an_error() -> None:
    with pytest.raises(UsageError, match="no trials to count"):
        rate(bits(), np.zeros(0, np.int64))
    with pytest.raises(UsageError, match="no trials to count"):
        mean_figure(np.zeros(0), np.zeros(0, np.int64))


def test_rule_of_three_stays_within_0_and_1() -> None:
    assert rule_of_three(0, 2) == (0.0, 1.0)
    assert rule_of_three(2, 2) == (0.0, 1.0)
    assert rule_of_three(1, 2) is None
