"""Paths on the command line: an empty one is refused, before it becomes the current folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer


def refuse_empty_paths(command: Any) -> None:
    """Have a command, and those below it, refuse ``""`` where a path is expected.

    Parameters
    ----------
    command
        A command or group as Typer builds it.
    """
    for parameter in command.params:
        parameter.process_value = partial(_process, command.callback, parameter, parameter.process_value)
    below = getattr(command, "commands", {})
    for one in getattr(below, "loaded", below).values():  # the others are asked for when they are built
        refuse_empty_paths(one)


def _process(callback: Any, parameter: Any, convert: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    is_empty = value == "" or (isinstance(value, list | tuple) and "" in value)
    if is_empty and _holds_path(get_type_hints(inspect.unwrap(callback)).get(parameter.name)):
        message = "the path is empty: name a file or folder; '.' is the current folder"
        raise typer.BadParameter(message, ctx=ctx, param=parameter)
    return convert(ctx, value)


def _holds_path(hint: Any) -> bool:
    return hint is Path or any(map(_holds_path, get_args(hint)))
