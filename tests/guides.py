"""Code blocks, command lines and systemd units of the documents."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType
from typing import Any

import typer.main

PROJECT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
"""A code block: its language, which may be empty, and its text."""

Words = tuple[str, ...]


def find_blocks(document: str, language: str) -> list[str]:
    """Return the code blocks of a language, empty for blocks without one."""
    return [text for block_language, text in BLOCK.findall(document) if block_language == language]


def parse_unit(document: str) -> ConfigParser:
    """Return the systemd unit of a document, its only block of the language ``ini``."""
    (text,) = find_blocks(document, "ini")
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def import_command_line() -> ModuleType:
    """Import the command line, as installed or from the checkout."""
    is_installed = importlib.util.find_spec("facebank_cli") is not None
    return importlib.import_module("facebank_cli.app" if is_installed else "cli.app")


def list_commands(command: Any, words: Words = ()) -> Iterator[tuple[Words, Any]]:
    """Yield a command and all commands below it, each with its words after ``facebank``."""
    yield words, command
    for word, subcommand in getattr(command, "commands", {}).items():
        yield from list_commands(subcommand, (*words, word))


def list_options(command: Any) -> set[str]:
    """Return the long options of a command."""
    options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    return {option for option in options if option.startswith("--")} | {"--help"}


COMMANDS: dict[Words, Any] = dict(list_commands(typer.main.get_command(import_command_line().build_app())))
OPTIONS = {words: list_options(command) for words, command in COMMANDS.items()}
GROUPS = {words[:-1] for words in COMMANDS if words}


def split_command(line: str) -> tuple[Words, list[str], list[str]]:
    """Split a line into the command's words, the global options before it and the options after it."""
    parts = line.split()[1:]
    before = []
    while parts and parts[0].startswith("--"):
        before.append(parts.pop(0))
        if parts and before[-1] in {"--gallery", "--pack", "--device", "--runtime", "--index", "--fallback"}:
            parts.pop(0)
    count = 1
    while tuple(parts[:count]) in GROUPS and len(parts) > count and not parts[count].startswith("--"):
        count += 1
    return tuple(parts[:count]), before, [part.split("=")[0] for part in parts[count:] if part.startswith("--")]


def parse_command(line: str) -> Any:
    """Return the context of a command line after checking its options, arguments and values."""
    words, _, options = split_command(line)
    assert set(options) <= OPTIONS[words]
    parts = shlex.split(line, comments=True)
    return COMMANDS[words].make_context(words[-1], parts[parts.index(words[-1]) + 1 :])
