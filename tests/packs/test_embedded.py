"""The embedded pack has the files published by OpenCV Zoo."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facebank.packs import load_pack

PROJECT = Path(__file__).parents[2]


def test_the_embedded_files_equal_the_published_ones() -> None:
    process = run_check()
    assert process.returncode == 0, process.stdout
    assert "as published" in process.stdout


@pytest.mark.parametrize("name", sorted(load_pack().manifest.files))
def test_an_altered_file_is_detected(tmp_path: Path, name: str) -> None:
    for file_name in load_pack().manifest.files:
        shutil.copyfile(load_pack().folder / file_name, tmp_path / file_name)
    with (tmp_path / name).open("r+b") as stream:
        stream.write(b"?")
    process = run_check(str(tmp_path))
    assert process.returncode == 1
    assert f"{name} is altered" in process.stdout


def run_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "models.check_embedded", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
