"""The commands of docs/machines.md are valid."""

from __future__ import annotations

import re

import pytest

from facebank.media.shards import Shard
from tests.guides import BLOCK, PROJECT, parse_command

GUIDE = (PROJECT / "docs" / "machines.md").read_text(encoding="utf-8")
INLINE = re.findall(r"`(facebank scan [^`]*)`", GUIDE.replace("\n", " "))
LINES = [
    re.split(r" > | && ", line[line.index("facebank ") :])[0]
    for line in [*(line for _, block in BLOCK.findall(GUIDE) for line in block.splitlines()), *INLINE]
    if "facebank " in line
]


@pytest.mark.parametrize("line", LINES)
def test_commands_in_the_guide_are_valid(line: str) -> None:
    shard = parse_command(line).params.get("shard")
    if shard is not None:
        Shard.parse(shard)


def test_the_guide_has_commands_for_three_machines() -> None:
    assert sum("--shard 1/3" in line for line in LINES) == 2
    assert sum(line.count("-of-3.scan") == 3 for line in LINES) == 2
