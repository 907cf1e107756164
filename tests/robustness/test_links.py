"""Short run of the link trial: no command changes files outside the given folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.robustness import links
from benchmarks.robustness.links import EXCLUDED, try_tree
from tests.guides import COMMANDS

RUNS = ("tags write", "tags write --embed", "sort --move", "undo of --move", "identify --annotate", "people backup")


@pytest.mark.parametrize("seed", [1])
def test_files_outside_are_unchanged(tmp_path: Path, seed: int) -> None:
    assert try_tree(tmp_path, seed, RUNS) == []


def test_every_command_is_run_or_excluded_with_a_reason() -> None:
    command_lines = {" ".join(arguments) for arguments in links.COMMANDS.values()}
    commands = [words for words, command in COMMANDS.items() if not hasattr(command, "commands")]
    names = {"bench" if words[0] == "bench" else " ".join(words) for words in commands}  # all protocols as one
    for name in names:
        assert (name in EXCLUDED) != any(f"{line} ".startswith(f"{name} ") for line in command_lines), name
    assert set(EXCLUDED) <= names
