"""Closed, full and unread standard streams, and suppressed output of libraries."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Run


def close_in_child(*handles: int) -> Callable[[], None]:
    def close() -> None:
        for handle in handles:
            os.close(handle)

    return close


@pytest.mark.parametrize(("handles", "code"), [((1,), 1), ((2,), 0), ((1, 2), 1), ((0,), 0)])
def test_closed_streams_are_an_error_only_for_lost_output(
    run: Run, two_people: Path, handles: tuple[int, ...], code: int
) -> None:
    result = run("people", "list", code=code, child_setup=close_in_child(*handles))
    lost = "facebank: standard output could not be written: it is closed\n"
    assert result.err == lost * (handles == (1,))
    assert ("Eileen Collins" in result.out) == (1 not in handles)


def test_closed_output_does_not_stop_enrollment(run: Run, two_people: Path, speech: Path) -> None:
    run("enroll", "--name", "Ada", speech, "--force", code=1, child_setup=close_in_child(1))
    assert "Ada" in run("people", "list").out


def test_wrong_usage_without_streams_is_an_error(run: Run) -> None:
    run("nonsense", code=2, child_setup=close_in_child(0, 1, 2))


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize(("stream", "codes"), [("stdout", (1, 2)), ("stderr", (2,))])
def test_a_closed_pipe_and_a_full_disk_give_no_traceback(
    program: list[str],
    environment: dict[str, str],
    two_people: Path,
    stream: str,
    codes: tuple[int, ...],
    is_full: bool,
) -> None:
    command = [*program, "people", *(("list",) if stream == "stdout" else ("show", "Nobody"))]
    reader, writer = os.pipe()
    os.close(reader)
    target = os.open("/dev/full", os.O_WRONLY) if is_full else writer
    other_stream = {"stdout": "stderr", "stderr": "stdout"}[stream]
    run_program = partial(
        subprocess.run, command, env={**environment, "FACEBANK_GALLERY": str(two_people)}, check=False
    )
    result = run_program(**{stream: target, other_stream: subprocess.PIPE})
    assert result.returncode in codes
    assert b"Traceback" not in (result.stderr or b"")
    assert b"Exception ignored" not in (result.stderr or b"")
    for handle in {writer, target}:
        os.close(handle)


def write_noisy_photos(folder: Path) -> None:
    """Write photos for which libtiff and NumPy print warnings."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "damaged.tif", compression="tiff_lzw")
    data = bytearray((folder / "damaged.tif").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = os.urandom(64)
    (folder / "damaged.tif").write_bytes(data)
    values = np.full((200, 200), np.nan, dtype=np.float32)
    values[:100] = np.inf
    Image.fromarray(values).save(folder / "numbers.tif")


@pytest.mark.parametrize("command", [["identify", "--json"], ["scan"], ["enroll", "--name", "Ada", "--json"]])
def test_libraries_write_nothing(run: Run, two_people: Path, speech: Path, tmp_path: Path, command: list[str]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    write_noisy_photos(photos)
    result = run(*command, photos, code=None)
    assert [line for line in result.err.splitlines() if not line.startswith("facebank: ")] == []
    if "--json" in command:
        assert len(result.records) == 2


def test_libraries_write_nothing_about_odd_files(run: Run, two_people: Path, shared: Path) -> None:
    result = run("identify", shared / "data" / "odd", "--json", code=1)
    assert [line for line in result.err.splitlines() if not line.startswith("facebank: ")] == []
    assert len(result.records) > 40
