"""MkDocs hook: the reference of the command line, generated from the program."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

MARKER = "<!-- commands -->"
"""Placeholder in ``cli.md`` for the reference."""


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Insert the reference into ``cli.md``."""
    return markdown.replace(MARKER, reference()) if page.file.src_uri == "cli.md" else markdown


def reference() -> str:
    """Return the reference: a section for each group of the help, with the ``--help`` text of each command."""
    import typer.main

    root: Any = typer.main.get_command(import_module("facebank_cli.app").build_app())
    context = root.context_class(root, info_name="facebank")
    context.terminal_width = 92
    parts = ["## Options of every command", _block(root.get_help(context))]
    for title, modules in import_module("facebank_cli.commands").SECTIONS.items():
        parts.append(f"## {title}")
        for name in modules:
            parts += _command(root.commands[name], name, context, 3)
    return "\n\n".join(parts)


def _command(command: Any, name: str, parent: Any, level: int) -> Iterator[str]:
    context = command.context_class(command, info_name=name, parent=parent)
    yield f"{'#' * level} {context.command_path}"
    yield _block(command.get_help(context))
    for subname, subcommand in getattr(command, "commands", {}).items():
        yield from _command(subcommand, subname, context, level + 1)


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"
