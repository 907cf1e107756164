"""Estimates of the time left."""

from __future__ import annotations

import pytest

from facebank.storage.pace import Pace


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_items_known_from_an_earlier_run_do_not_count_for_the_pace() -> None:
    clock = Clock()
    pace = Pace(1200, clock)
    for _ in range(1000):  # known from an earlier run
        clock.now += 0.0001
        pace.step()
    assert pace.seconds_left() is None
    for _ in range(3):  # batches of 32 photos, 3.2 seconds each
        clock.now += 3.2
        for _ in range(32):
            clock.now += 0.0001
            pace.step()
    seconds_left = pace.seconds_left()
    assert seconds_left is not None
    assert seconds_left == pytest.approx(0.1 * (200 - 96), rel=0.1)


def test_the_first_batch_gives_an_estimate() -> None:
    clock = Clock()
    pace = Pace(3200, clock)
    clock.now = 3.2
    for _ in range(32):
        pace.step()
    assert pace.seconds_left() == pytest.approx(0.1 * 3168)


def test_the_first_steps_give_no_estimate() -> None:
    clock = Clock()
    pace = Pace(16, clock)
    estimates = []
    for seconds in (20.0, 0.3, 0.3, 0.3):  # the first photo also loads the networks
        clock.now += seconds
        pace.step()
        estimates.append(pace.seconds_left())
    assert estimates[:2] == [None, None]
    assert estimates[2] == pytest.approx(20.6 / 3 * 13)


def test_fast_steady_steps_give_an_estimate() -> None:
    clock = Clock()
    pace = Pace(10_000, clock)
    for _ in range(5000):
        clock.now += 0.001
        pace.step()
    assert pace.seconds_left() == pytest.approx(5)
