"""Help of every command: arguments, examples and JSON, no Python types, lines that fit a terminal."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer.main

from facebank import schemas

from .conftest import Run

TYPES = re.compile(r"<[\w\[\], |.-]+>|\b(?:list|tuple)\[|\bPath\b|\bOptional\b|x[<>]=")
"""Type names as Typer and click write them."""


def contexts(command: Any, context: Any) -> Iterator[Any]:
    """Yield the contexts of a command and its subcommands."""
    yield context
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from contexts(subcommand, context.__class__(subcommand, info_name=name, parent=context))


def all_contexts() -> dict[str, Any]:
    root: Any = typer.main.get_command(import_module("facebank_cli.app").build_app())
    return {context.command_path: context for context in contexts(root, root.make_context("facebank", ["help"]))}


CONTEXTS = all_contexts()
GROUPS = [command for command, context in CONTEXTS.items() if hasattr(context.command, "commands")]
COMMANDS = [command for command in CONTEXTS if command not in GROUPS]


@pytest.fixture(params=CONTEXTS)
def context(request: pytest.FixtureRequest) -> Any:
    return CONTEXTS[request.param]


def test_all_commands_are_collected() -> None:
    assert len(CONTEXTS) > 60
    assert len(GROUPS) > 8


def test_every_help_has_an_example(context: Any) -> None:
    text = context.get_help()
    assert context.command_path in text.partition("Example")[2]
    assert "\x1b" not in text
    assert "[[" not in text.splitlines()[0]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "facebank help"])
def test_every_command_has_json_and_a_schema(command: str) -> None:
    assert "--json" in CONTEXTS[command].get_help()
    is_protocol = command.startswith("facebank bench ") and command != "facebank bench forget"
    name = "bench-report" if is_protocol else command.removeprefix("facebank ").replace(" ", "-")
    assert schemas.load(name)["$schema"].endswith("2020-12/schema")


def test_every_argument_and_option_is_described(context: Any) -> None:
    parameters = [item for item in context.command.get_params(context) if not getattr(item, "hidden", False)]
    assert [parameter.name for parameter in parameters if not parameter.help] == []


def test_no_python_type_is_shown(context: Any) -> None:
    example = context.command.epilog or ""
    assert TYPES.search(context.get_help().replace(example, "")) is None


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_the_terminal(context: Any, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert [line for line in context.get_help().splitlines() if len(line) > columns] == []


@pytest.mark.parametrize("group", GROUPS)
def test_each_command_in_a_list_has_one_line(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    context = CONTEXTS[group]
    lines = context.get_help().splitlines()
    for name in context.command.commands:
        (row,) = [index for index, line in enumerate(lines) if line.startswith(f"  {name}  ")]
        assert lines[row].endswith((".", "?"))
        assert not lines[row].endswith("...")
        assert not lines[row + 1].startswith("   "), f"{name} takes two lines"


def test_options_that_override_settings_have_a_heading(run: Run) -> None:
    text = run("identify", "--help").out
    heading = text.index("\nDecisions, for this run")
    assert text.index("--json") < heading < text.index("--fpir")


@pytest.mark.parametrize("command", ["", "identify", "people forget", "serve keys add", "bench openset"])
def test_the_help_command_equals_the_help_option(run: Run, command: str) -> None:
    assert run("help", *command.split()).out == run(*command.split(), "--help").out


def test_help_of_an_unknown_command_is_refused(run: Run) -> None:
    assert "Did you mean 'people'?" in run("help", "peple", code=2).err
    assert "'facebank identify' has no subcommand" in run("help", "identify", "photos", code=2).err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("facebank pe", "people"),
        ("facebank people fo", "forget"),
        ("facebank identify --cl", "--classifier"),
        ("facebank --device ", "auto cpu cuda"),
    ],
)
def test_the_tab_key_completes(program: list[str], environment: dict[str, str], line: str, expected: str) -> None:
    completion = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        "_FACEBANK_COMPLETE": "complete_bash",
    }
    result = subprocess.run(program, env={**environment, **completion}, capture_output=True, text=True, check=True)
    assert result.stdout.split() == expected.split()


def test_completion_is_installed_for_the_current_shell(
    program: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    command = f"{' '.join(program)} --install-completion; {' '.join(program)} --show-completion"
    home = {**environment, "HOME": str(tmp_path)}
    result = subprocess.run(["bash", "-c", command], env=home, capture_output=True, text=True, check=True)
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert script.read_text().strip() in result.stdout
