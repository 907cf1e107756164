"""FFmpeg and OpenCV print nothing, and the process's environment is unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import pytest

from facebank.media.capture import silenced
from tests.video_files import clip_path

current_log_level = cv2.utils.logging.getLogLevel
LOG_VARIABLE = "OPENCV_FFMPEG_LOGLEVEL"

PLAY = """
import os, sys, threading

in_main_thread = []

def record_change(event, arguments):
    if event in ("os.putenv", "os.unsetenv"):
        in_main_thread.append(threading.current_thread() is threading.main_thread())

variable = "OPENCV_FFMPEG_LOGLEVEL"
before = os.environ.get(variable)
sys.addaudithook(record_change)
from facebank.media.live import LiveVideo, live_source

with LiveVideo(live_source(sys.argv[1])) as live:
    while not live.has_ended:
        live.newest()
print(all(in_main_thread), os.environ.get(variable) == before)
"""


@pytest.mark.parametrize("log_level", [None, "56"])
def test_damaged_files_cause_no_output_and_no_environment_changes(
    shared: Path, tmp_path: Path, log_level: str | None
) -> None:
    data = bytearray(clip_path(shared).read_bytes())
    for position in range(20_000, 200_000, 997):
        data[position] ^= 255
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    environment = {name: value for name, value in os.environ.items() if name != LOG_VARIABLE}
    if log_level is not None:
        environment[LOG_VARIABLE] = log_level
    completed = subprocess.run(
        [sys.executable, "-c", PLAY, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert (completed.stdout.split(), completed.stderr) == (["True", "True"], "")


def test_overlapping_silence_restores_the_log_level() -> None:
    before = current_log_level()
    assert before > 0
    first, second = silenced(), silenced()
    first.__enter__()
    second.__enter__()
    assert current_log_level() == 0
    first.__exit__(None, None, None)
    assert current_log_level() == 0
    second.__exit__(None, None, None)
    assert current_log_level() == before


def test_other_threads_see_an_unchanged_environment() -> None:
    before, level = os.environ.get(LOG_VARIABLE), current_log_level()
    with silenced():
        pass
    levels = set[str | None]()

    def open_often() -> None:
        for _ in range(50):
            with silenced():
                levels.add(os.environ.get(LOG_VARIABLE))

    threads = [threading.Thread(target=open_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert levels == {before}
    assert current_log_level() == level


def test_an_exception_ends_the_silence() -> None:
    before = current_log_level()
    with pytest.raises(KeyError), silenced():
        raise KeyError
    assert current_log_level() == before
