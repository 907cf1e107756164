"""Short run of the index trials: kills during writing, and several processes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.robustness.index_kills import CACHE, kill, run_workers, use_cache_folder


def test_index_is_rebuilt_and_forgotten_after_a_kill(tmp_path: Path) -> None:
    outcomes, _ = kill(tmp_path, kills=4, people=5_100, seed=1)
    assert [problem for outcome in outcomes.values() for problem in outcome.wrong] == []
    assert all(outcome.hits for outcome in outcomes.values())


def test_people_are_identified_and_forgotten_concurrently(tmp_path: Path) -> None:
    with use_cache_folder(tmp_path / CACHE):
        reports = run_workers(tmp_path, seconds=6, people=5_100, roles=("churn", "identify a scan", "merge"))
    assert [report.wrong for report in reports] == [{}] * 3
    assert all(report.calls for report in reports)
