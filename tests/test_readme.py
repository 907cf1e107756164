"""The README says what is true: its commands exist, all commands are in it, installations name an extra."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))

Words = tuple[str, ...]


def program() -> ModuleType:
    """Import the command line, installed or from the checkout."""
    if importlib.util.find_spec("facebank_cli") is not None:
        return importlib.import_module("facebank_cli.app")
    return importlib.import_module("cli.app")


def commands(app: object, words: Words = ()) -> Iterator[tuple[Words, set[str]]]:
    """List every command of the program with its options, groups included."""
    options = {name for option in app.params for name in [*option.opts, *option.secondary_opts]}  # type: ignore[attr-defined]
    yield words, {option for option in options if option.startswith("--")} | {"--help"}
    for name, command in getattr(app, "commands", {}).items():
        yield from commands(command, (*words, name))


COMMANDS = dict(commands(typer.main.get_command(program().build_app())))
GROUPS = {words[:1] for words in COMMANDS if len(words) == 2}
GLOBAL = COMMANDS[()]


def named_lines() -> list[str]:
    """Every ``facebank ...`` command of the README, in blocks and in running text."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    inline = re.findall(
        r"`([^`\n]+(?:\n[^`\n]+)?)`", re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE)
    )
    lines = [part for block in blocks for line in block.splitlines() for part in line.split("#")[0].split("&&")]
    lines += [" ".join(text.split()) for text in inline]
    # "facebank --pack NAME ..." stands for any command
    return [line.strip() for line in lines if re.match(r"facebank\s+[a-z-]", line.strip()) and "..." not in line]


def words_of(line: str) -> tuple[Words, list[str], list[str]]:
    """Split a line into the command's words, the global options before it and the options after it."""
    parts = line.split()[1:]
    before = []
    while parts and parts[0].startswith("--"):
        before.append(parts.pop(0))
        if before[-1] in {"--gallery", "--pack", "--device"}:
            parts.pop(0)
    count = 2 if tuple(parts[:1]) in GROUPS else 1
    return tuple(parts[:count]), before, [part.split("=")[0] for part in parts[count:] if part.startswith("--")]


@pytest.mark.parametrize("line", named_lines())
def test_a_command_of_the_readme_exists(line: str) -> None:
    words, before, after = words_of(line)
    assert words in COMMANDS
    assert set(before) <= GLOBAL
    assert set(after) <= COMMANDS[words]


def test_the_readme_names_commands() -> None:
    assert len(named_lines()) >= 8


@pytest.mark.parametrize("words", [words for words in COMMANDS if words], ids=" ".join)
def test_every_command_is_in_the_readme(words: Words) -> None:
    # a group's line names its commands: "facebank packs list   # also show, install ..."
    lines = [line for line in README.splitlines() if f"facebank {words[0]}" in line]
    assert any(re.search(rf"(?<![\w-]){re.escape(words[-1])}(?![\w-])", line) for line in lines)


def test_every_global_option_is_in_the_readme() -> None:
    assert [option for option in ("--gallery", "--pack", "--device") if option not in README] == []


def test_every_installation_names_an_extra() -> None:
    extras = set(PYPROJECT["project"]["optional-dependencies"])
    installs = re.findall(r"pip install ([^`&\n]*)", README)
    assert installs
    for arguments in installs:
        named = re.search(r"\[([a-z,]+)\]", arguments)
        assert named, f"pip install {arguments} names no extra"
        assert set(named[1].split(",")) <= extras


def test_every_command_has_help_with_an_example() -> None:
    for name, command in walk(typer.main.get_command(program().build_app())):
        assert command.help, name  # type: ignore[attr-defined]
        if not getattr(command, "commands", None):
            assert f"facebank {name}" in (command.epilog or ""), name  # type: ignore[attr-defined]


def walk(command: object, name: str = "") -> Iterator[tuple[str, object]]:
    """List every command with its name."""
    for word, inner in getattr(command, "commands", {}).items():
        full = f"{name} {word}".strip()
        yield full, inner
        yield from walk(inner, full)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_nothing_is_left_to_fill_in() -> None:
    assert re.findall(r"^[A-Z]+_TABLE$", README, re.MULTILINE) == []


def test_the_supported_pythons_are_those_of_the_package() -> None:
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert "Python 3.11 to 3.13" in README
    assert sys.version_info[:2] >= (3, 11)


def test_where_the_keys_of_json_are_named_is_said() -> None:
    from facebank import schemas

    (name,) = re.findall(r'`facebank\.schemas\.load\("([a-z-]+)"\)`', README)
    assert schemas.load(name)["$schema"]


def test_documents_about_packs_are_in_us_english() -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", (PROJECT / "models/README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.findall(r"colour|licence|quantis|recognis|normalis", text)


def test_the_example_of_the_estimators_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(import numpy.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out == "['Ada' 'Ada' 'Grace' 'Grace']\n"
