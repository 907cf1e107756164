"""No files are written outside facebank's own folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run


@pytest.mark.parametrize("setting", ["0", ""])
def test_the_runtime_stores_no_telemetry(
    run: Run, two_people: Path, tmp_path: Path, speech: Path, setting: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for command in (["identify", speech], ["enroll", "Barack Obama", speech], ["doctor"]):
        # The gallery, packs and cache are elsewhere, so the home folder must stay empty.
        run(*command, code=None, HOME=str(home), ORT_DISABLE_TELEMETRY=setting)
    assert [path.relative_to(home) for path in home.rglob("*")] == []
