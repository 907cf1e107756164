"""Short run of the link trial: no command changes files outside the given folders."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from benchmarks.robustness.links import COMMANDS, EXCLUDED, try_tree

RUNS = ("tags write", "tags write --embed", "sort --move", "undo of --move", "identify --annotate", "people backup")


@pytest.mark.parametrize("seed", [1])
def test_files_outside_are_unchanged(tmp_path: Path, seed: int) -> None:
    assert try_tree(tmp_path, seed, RUNS) == []


def test_every_command_is_run_or_excluded_with_a_reason() -> None:
    command_lines = {" ".join(arguments) for arguments in COMMANDS.values()}
    names = list(commands_of(get_command(import_module("facebank_cli.app").build_app())))
    for name in names:
        assert (name in EXCLUDED) != any(f"{run} ".startswith(f"{name} ") for run in command_lines), name
    assert set(EXCLUDED) <= set(names)


def commands_of(group: Any, prefix: str = "") -> Iterator[str]:
    """Yield the words of each command, with all protocols of bench as one."""
    for name, command in group.commands.items():
        if hasattr(command, "commands") and name != "bench":
            yield from commands_of(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"
