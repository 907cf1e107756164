"""Refusal of empty paths on the command line, which `Path` would turn into the current folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer


def refuse_empty_paths(command: Any) -> None:
    """Make a command and its subcommands refuse ``""`` as a path.

    Parameters
    ----------
    command
        A command or group that Typer has built.
    """
    for parameter in command.params:
        parameter.process_value = partial(_process, command.callback, parameter, parameter.process_value)
    below = getattr(command, "commands", {})
    for subcommand in getattr(below, "loaded", below).values():  # `Commands` handles the others when it builds them
        refuse_empty_paths(subcommand)


def _process(callback: Any, parameter: Any, convert: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    is_empty = value == "" or (isinstance(value, list | tuple) and "" in value)
    if is_empty and _holds_path(get_type_hints(inspect.unwrap(callback)).get(parameter.name)):
        message = "the path is empty: name a file or folder; '.' is the current folder"
        raise typer.BadParameter(message, ctx=ctx, param=parameter)
    return convert(ctx, value)


def _holds_path(hint: Any) -> bool:
    return hint is Path or any(map(_holds_path, get_args(hint)))
