"""Short run of the leftovers trial: the next run removes the files of a killed one, and forgetting wipes them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.robustness.leftovers import run


def test_leftovers_of_killed_exports_are_removed_and_forgotten(tmp_path: Path) -> None:
    outcomes, counts = run(tmp_path, kills=4, seed=1, only="people export")
    assert [problem for outcome in outcomes.values() for problem in outcome.wrong] == []
    assert sum(outcome.hits for outcome in outcomes.values()) >= 4
    assert counts["left by kills"] > 0
    assert counts["left by the next runs"] == 0
