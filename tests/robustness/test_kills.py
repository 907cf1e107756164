"""Short run of the kill trial: the next run repairs everything."""

from __future__ import annotations

from pathlib import Path

from benchmarks.robustness.kills import run


def test_killed_sort_loses_nothing(tmp_path: Path) -> None:
    outcomes = run(tmp_path, kills=6, photos=3, seed=1, only="--move, then sort and undo")
    assert {name: outcome.wrong for name, outcome in outcomes.items()} == {"sort --move, then sort and undo": []}
    assert all(outcome.kills == 6 and outcome.hits for outcome in outcomes.values())
