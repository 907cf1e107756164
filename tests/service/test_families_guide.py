"""The commands of the guide for families work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import httpx
import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "families.md"
MIN_KEY_LENGTH = 20


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("facebank ")]


@pytest.fixture
def environment(gallery: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "Pictures").mkdir()
    return {**os.environ, "FACEBANK_GALLERY": str(gallery), "HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}


def test_commands_of_the_guide_work_in_sequence(environment: dict[str, str]) -> None:
    guide_commands = commands()
    assert len(guide_commands) == 5
    for command in guide_commands:
        words = shlex.split(command.replace("~", environment["HOME"]).replace(" --open", ""))
        if "keys" in words:
            completed = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
            assert completed.returncode == 0, completed.stderr
            assert "revoke" in words or len(completed.stdout.strip()) >= MIN_KEY_LENGTH
            continue
        with subprocess.Popen([*words, "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True) as service:
            assert service.stderr is not None
            try:
                lines = iter(service.stderr.readline, "")
                address = next(found[0] for line in lines if (found := re.findall(r"http://\S+", line)))
                response = httpx.get(address.replace("0.0.0.0", "127.0.0.1"), trust_env=False)
                assert response.status_code == (303 if "--host" in words else 200)
            finally:
                service.terminate()
        assert service.returncode == 0


def test_pictures_of_the_guide_exist() -> None:
    pictures = re.findall(r"\]\((pages/[^)]+)\)", GUIDE.read_text(encoding="utf-8"))
    assert len(pictures) >= 4
    assert all((GUIDE.parent / picture).is_file() for picture in pictures)
