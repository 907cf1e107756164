"""How long a work still takes."""

from __future__ import annotations

import importlib
import importlib.util

import pytest

from facebank.storage.pace import Pace

PACKAGE = "cli" if importlib.util.find_spec("facebank_cli") is None else "facebank_cli"
progress = importlib.import_module(f"{PACKAGE}.progress")


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_known_before_is_no_pace() -> None:
    clock = Clock()
    rate = Pace(1200, clock)
    for _ in range(1000):  # known from an earlier run
        clock.now += 0.0001
        rate.step()
    assert rate.seconds_left() is None
    for _ in range(3):  # batches of 32 photos, 3.2 seconds each
        clock.now += 3.2
        for _ in range(32):
            clock.now += 0.0001
            rate.step()
    left = rate.seconds_left()
    assert left is not None
    assert left == pytest.approx(0.1 * (200 - 96), rel=0.1)


def test_the_first_batch_alone_says_about_how_long_it_takes() -> None:
    clock = Clock()
    rate = Pace(3200, clock)
    clock.now = 3.2
    for _ in range(32):
        rate.step()
    assert rate.seconds_left() == pytest.approx(0.1 * 3168)


def test_steady_quick_steps_have_a_pace_after_a_moment() -> None:
    clock = Clock()
    rate = Pace(10_000, clock)
    for _ in range(5000):
        clock.now += 0.001
        rate.step()
    assert rate.seconds_left() == pytest.approx(5)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.1, "about 1 s"), (62, "about 62 s"), (300, "about 5 min"), (9000, "about 2.5 h")]
)
def test_times_are_rough(seconds: float, said: str) -> None:
    assert progress.duration(seconds) == said
