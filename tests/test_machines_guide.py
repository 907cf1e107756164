"""Commands and links of docs/machines.md are valid."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from facebank.media import Shard
from tests.test_documents import COMMANDS, import_command_line, split_command

DOCUMENTS = Path(__file__).resolve().parents[1] / "docs"
GUIDE = (DOCUMENTS / "machines.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
INLINE = re.findall(r"`(facebank scan [^`]*)`", GUIDE.replace("\n", " "))
LINES = [
    re.split(r" > | && ", line[line.index("facebank ") :])[0]
    for line in [*(line for block in BLOCKS for line in block.splitlines()), *INLINE]
    if "facebank " in line
]


@pytest.mark.parametrize("line", LINES)
def test_commands_in_the_guide_exist(line: str) -> None:
    words, _, after = split_command(line)
    assert set(after) <= COMMANDS[words]
    command = typer.main.get_command(import_command_line().build_app())
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    arguments = shlex.split(line, comments=True)
    context = command.make_context(words[-1], arguments[arguments.index(words[-1]) + 1 :])
    if context.params.get("shard") is not None:
        Shard.parse(context.params["shard"])


def test_the_guide_has_commands_for_three_machines() -> None:
    assert sum("--shard 1/3" in line for line in LINES) == 2
    assert sum(line.count("-of-3.scan") == 3 for line in LINES) == 2


def test_links_are_valid() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", GUIDE) if not link.startswith("https://")]
    assert all((DOCUMENTS / link.split("#")[0]).exists() for link in links)
