"""Empty paths on the command line are refused."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
import typer.main

from .conftest import Run


def all_commands(group: Any) -> Iterator[Any]:
    """Yield the commands of a group, including those of nested groups."""
    for command in group.commands.values():
        yield from all_commands(command) if hasattr(command, "commands") else [command]


def is_path(hint: Any) -> bool:
    """Return whether a parameter takes one or more paths."""
    return hint is Path or any(map(is_path, get_args(hint)))


def test_every_path_of_every_command_is_refused_when_empty() -> None:
    count = 0
    group = typer.main.get_command(import_module("facebank_cli.app").build_app())
    for command in (group, *all_commands(group)):
        hints = get_type_hints(inspect.unwrap(command.callback))
        context = typer.Context(command)
        for parameter in command.params:
            if is_path(hints.get(parameter.name)):
                is_list = parameter.nargs == -1 or getattr(parameter, "multiple", False)
                with pytest.raises(typer.BadParameter, match="the path is empty"):
                    parameter.process_value(context, ["here", ""] if is_list else "")
                count += 1
    assert count > 80


@pytest.mark.parametrize("arguments", [["scan", ""], ["--gallery", "", "people", "list"], ["identify", "a.jpg", ""]])
def test_an_empty_path_is_refused_in_one_sentence(
    run: Run, arguments: list[str], gallery: Path, tmp_path: Path
) -> None:
    result = run(*arguments, code=2)
    assert "the path is empty" in result.err
    assert not gallery.exists()
    assert not list(tmp_path.iterdir())
