"""The code blocks of ``docs/python.md`` run and print the documented output."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.guides import BLOCK, PROJECT

if TYPE_CHECKING:
    from facebank import FaceBank

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None or "FACEBANK_CI_CLUSTER" in os.environ


def test_the_guide_runs(example_bank: FaceBank, capsys: pytest.CaptureFixture[str]) -> None:
    example_bank.close()
    Path("people").mkdir()
    guide = (PROJECT / "docs" / "python.md").read_text(encoding="utf-8")
    if not HAS_PYARROW:
        guide = re.sub(r"\n## Tables of faces\n.*?(?=\n## )", "", guide, flags=re.DOTALL)
    blocks = BLOCK.findall(guide)
    assert len(blocks) > 15
    namespace: dict[str, Any] = {}
    output = ""
    for language, text in blocks:
        if language == "text":
            assert output == text
        else:
            assert language == "python"
            exec(compile(text, "docs/python.md", "exec"), namespace)
            output = capsys.readouterr().out
