"""The tests that SECURITY.md mentions exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
MENTIONED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (PROJECT / "SECURITY.md").read_text("utf-8"))))


def test_the_policy_mentions_tests() -> None:
    assert len(MENTIONED) > 20


@pytest.mark.parametrize(("path", "name"), MENTIONED)
def test_mentioned_tests_exist(path: str, name: str) -> None:
    tree = ast.parse((PROJECT / path).read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert not name or name in names
