"""The code blocks of ``docs/python.md`` run and print the documented output."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from facebank import FaceBank

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None or "FACEBANK_CI_CLUSTER" in os.environ
PROJECT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_guide_runs(example_bank: FaceBank, capsys: pytest.CaptureFixture[str]) -> None:
    example_bank.close()
    Path("people").mkdir()
    guide = (PROJECT / "docs" / "python.md").read_text(encoding="utf-8")
    if not HAS_PYARROW:
        guide = re.sub(r"\n## Tables of faces\n.*?(?=\n## )", "", guide, flags=re.DOTALL)
    blocks = BLOCK.findall(guide)
    assert len(blocks) > 15
    names: dict[str, Any] = {}
    output = ""
    for kind, text in blocks:
        if kind == "text":
            assert output == text
        else:
            exec(compile(text, "docs/python.md", "exec"), names)
            output = capsys.readouterr().out
