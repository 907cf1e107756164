"""The commands of the guide for families work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.guides import PROJECT, find_blocks

DOCS = PROJECT / "docs"
GUIDE = (DOCS / "families.md").read_text(encoding="utf-8")
COMMAND_LINES = [
    line for block in find_blocks(GUIDE, "bash") for line in block.splitlines() if line.startswith("facebank ")
]
MIN_KEY_LENGTH = 20


@pytest.fixture
def environment(gallery: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "Pictures").mkdir()
    return {**os.environ, "FACEBANK_GALLERY": str(gallery), "HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}


def test_commands_of_the_guide_work_in_sequence(environment: dict[str, str]) -> None:
    assert len(COMMAND_LINES) == 5
    for line in COMMAND_LINES:
        words = shlex.split(line.replace("~", environment["HOME"]).replace(" --open", ""))
        if "keys" in words:
            completed = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
            assert completed.returncode == 0, completed.stderr
            assert "revoke" in words or len(completed.stdout.strip()) >= MIN_KEY_LENGTH
            continue
        with subprocess.Popen([*words, "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True) as service:
            assert service.stderr is not None
            try:
                output = iter(service.stderr.readline, "")
                url = next(match[0] for text in output if (match := re.search(r"http://\S+", text)))
                response = httpx.get(url.replace("0.0.0.0", "127.0.0.1"), trust_env=False)
                assert response.status_code == (303 if "--host" in words else 200)
            finally:
                service.terminate()
        assert service.returncode == 0


def test_pictures_of_the_guide_exist() -> None:
    paths = re.findall(r"\]\((pages/[^)]+)\)", GUIDE)
    assert len(paths) >= 4
    assert all((DOCS / path).is_file() for path in paths)
