"""Outcome counts of the bit-flip trial, tested on a file with simulated behavior."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from benchmarks.robustness import flips
from benchmarks.robustness.flips import DamagedFile, flip
from facebank.errors import StorageError

CONTENT = bytes(8)


def make_file(folder: Path, behavior: str) -> DamagedFile:
    """Return a file of 8 bytes with a given behavior if it is damaged."""
    path = folder / "file"
    path.write_bytes(CONTENT)

    def read() -> object:
        if path.read_bytes() == CONTENT or behavior == "same":
            return "right"
        if behavior == "noticed":
            raise StorageError("it is damaged")
        if behavior == "crashed":
            raise ZeroDivisionError
        if behavior == "hung":
            time.sleep(60)
        if behavior == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return "wrong"

    return DamagedFile(path, read)


@pytest.mark.parametrize("behavior", ["same", "noticed", "silent", "crashed", "hung", "killed"])
def test_each_outcome_has_its_own_count(behavior: str, tmp_path: Path) -> None:
    damaged_file = make_file(tmp_path, behavior)
    outcome = "crashed" if behavior == "killed" else behavior
    assert flip(damaged_file, 3, 0, aimed=False, limit=0.5 if behavior == "hung" else 60) == {outcome: 3}
    assert damaged_file.path.read_bytes() == CONTENT


@pytest.mark.parametrize(("behavior", "code"), [("noticed", 0), ("hung", 1)])
def test_counts_are_written_as_json(
    behavior: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flips, "SUBJECTS", {"made up": lambda folder: make_file(folder, behavior)})
    monkeypatch.setattr(flips, "bytes_of_rows", lambda content: range(len(content)))
    assert flips.main(["--flips", "2", "--json", "--limit", "0.5"]) == code
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counts = dict.fromkeys(flips.OUTCOMES, 0) | {behavior: 2}
    assert records == [
        {"file": "made up", "kind": kind, "flips": 2, "bytes": 8, **counts} for kind in ("random", "aimed")
    ]
