"""The tests that SECURITY.md and `.ci/run` mention exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
MENTIONED = {
    file: sorted(set(re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", (PROJECT / file).read_text("utf-8"))))
    for file in ("SECURITY.md", ".ci/run")
}


def test_both_files_mention_tests() -> None:
    assert len(MENTIONED["SECURITY.md"]) > 20
    assert len(MENTIONED[".ci/run"]) > 10


@pytest.mark.parametrize(("path", "name"), sorted({*MENTIONED["SECURITY.md"], *MENTIONED[".ci/run"]}))
def test_mentioned_tests_exist(path: str, name: str) -> None:
    tree = ast.parse((PROJECT / path).read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert not name or name in names
