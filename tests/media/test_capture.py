"""FFmpeg and OpenCV print nothing, and the process's environment is unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import pytest

from facebank.media.video import silenced
from tests.video_files import clip_of

_LEVEL = cv2.utils.logging.getLogLevel
_ASKED = "OPENCV_FFMPEG_LOGLEVEL"

_PLAYED = """
import os, sys, threading

changed = []

def heard(event, arguments):
    if event in ("os.putenv", "os.unsetenv"):
        changed.append(threading.current_thread() is threading.main_thread())

asked = "OPENCV_FFMPEG_LOGLEVEL"
before = os.environ.get(asked)
sys.addaudithook(heard)
from facebank.media.live import LiveVideo, live_source

with LiveVideo(live_source(sys.argv[1])) as live:
    while not live.has_ended:
        live.newest()
print(all(changed), os.environ.get(asked) == before)
"""


@pytest.mark.parametrize("log_level", [None, "56"])
def test_damaged_files_cause_no_output_and_no_environment_changes(
    shared: Path, tmp_path: Path, log_level: str | None
) -> None:
    data = bytearray(clip_of(shared).read_bytes())
    for place in range(20_000, 200_000, 997):
        data[place] ^= 255
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    environment = {name: value for name, value in os.environ.items() if name != _ASKED}
    if log_level is not None:
        environment[_ASKED] = log_level
    ran = subprocess.run(
        [sys.executable, "-c", _PLAYED, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert (ran.stdout.split(), ran.stderr) == (["True", "True"], "")


def test_overlapping_silence_restores_the_log_level() -> None:
    before = _LEVEL()
    assert before > 0
    one, other = silenced(), silenced()
    one.__enter__()
    other.__enter__()
    assert _LEVEL() == 0
    one.__exit__(None, None, None)
    assert _LEVEL() == 0
    other.__exit__(None, None, None)
    assert _LEVEL() == before


def test_other_threads_see_an_unchanged_environment() -> None:
    before, level = os.environ.get(_ASKED), _LEVEL()
    with silenced():
        pass
    seen = set[str | None]()

    def open_often() -> None:
        for _ in range(50):
            with silenced():
                seen.add(os.environ.get(_ASKED))

    threads = [threading.Thread(target=open_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {before}
    assert _LEVEL() == level


def test_an_exception_ends_the_silence() -> None:
    before = _LEVEL()
    with pytest.raises(KeyError), silenced():
        raise KeyError
    assert _LEVEL() == before
