"""Short run of the index trials: kills during writing, and several processes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.robustness.index_kills import CACHE, kill, run_workers, use_cache_folder


def test_index_is_rebuilt_and_forgotten_after_a_kill(tmp_path: Path) -> None:
    outcomes, _ = kill(tmp_path, kills=4, people=5_100, seed=1)
    assert [why for outcome in outcomes.values() for why in outcome.wrong] == []
    assert all(outcome.hits for outcome in outcomes.values())


def test_concurrent_identifying_and_forgetting(tmp_path: Path) -> None:
    with use_cache_folder(tmp_path / CACHE):
        told = run_workers(tmp_path, seconds=6, people=5_100, roles=("churn", "identify a scan", "merge"))
    assert [each.wrong for each in told] == [{}] * 3
    assert all(each.calls for each in told)
