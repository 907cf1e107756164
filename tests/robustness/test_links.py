"""A short run of the trial of links: no command changes what lies outside of the folders that were named."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.robustness.links import try_tree


@pytest.mark.parametrize("seed", [1])
def test_no_file_outside_is_changed(tmp_path: Path, seed: int) -> None:
    assert (
        try_tree(
            tmp_path, seed, ("tags write", "tags write --embed", "sort --move", "sort --undo", "identify --annotate")
        )
        == []
    )
