"""Checks of paths on the command line: rejects buckets, and empty paths, which `Path` turns into the current folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from facebank.errors import UsageError
from facebank.storage.bucket_urls import bucket_file_message, is_bucket_url


def parse_scan_path(text: str) -> Path | str:
    """Parse an argument that may name a bucket: returns a bucket URL as text, anything else as a path."""
    return text if "://" in text else Path(text)


def refuse_empty_paths(command: Any) -> None:
    """Make a command and its subcommands refuse ``""`` as a path, and a bucket URL unless they read it.

    Parameters
    ----------
    command
        A command or group that Typer has built.
    """
    for parameter in command.params:
        parameter.process_value = partial(_check_and_convert, command.callback, parameter, parameter.process_value)
    subcommands = getattr(command, "commands", {})
    # `Commands` handles the others when it builds them
    for subcommand in getattr(subcommands, "loaded", subcommands).values():
        refuse_empty_paths(subcommand)


def _check_and_convert(callback: Any, parameter: Any, convert: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    texts = value if isinstance(value, list | tuple) else [value]
    is_empty, bucket = "" in texts, next(filter(is_bucket_url, texts), None)
    if is_empty or bucket is not None:
        hint = get_type_hints(inspect.unwrap(callback), include_extras=True).get(parameter.name)
        if is_empty and _holds_path(hint):
            message = "the path is empty: name a file or folder; '.' is the current folder"
            raise typer.BadParameter(message, ctx=ctx, param=parameter)
        if bucket is not None and _holds_path(hint) and not _accepts_buckets(hint):
            if ctx.parent is None:  # an option before the command: nothing else would turn the error into a message
                raise typer.BadParameter(bucket_file_message(bucket), ctx=ctx, param=parameter)
            raise UsageError(bucket_file_message(bucket))
    return convert(ctx, value)


def _accepts_buckets(hint: Any) -> bool:
    return any(getattr(item, "parser", None) is parse_scan_path for item in getattr(hint, "__metadata__", ()))


def _holds_path(hint: Any) -> bool:
    return hint is Path or any(map(_holds_path, get_args(hint)))
