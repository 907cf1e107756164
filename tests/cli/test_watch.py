"""``facebank watch``: HTTP streams that drop and return, and video files."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facebank.media.video_writing import VideoFile
from tests.http_camera import HttpCamera
from tests.video_files import clip_path, last_shot, move_index_first

from .conftest import Run, Validate


@pytest.fixture
def camera(shared: Path) -> Iterator[HttpCamera]:
    served = HttpCamera(last_shot(shared), frames_per_connection=150)
    yield served
    served.close()


def test_a_dropped_stream_is_opened_again(run: Run, two_people: Path, camera: HttpCamera, validate: Validate) -> None:
    result = run("watch", camera.url, "--seconds", "14", "--json")
    validate("watch", result.records)
    events = [record["event"] for record in result.records]
    assert {"came", "left", "lost", "resumed"} < set(events)
    assert events.index("lost") < events.index("resumed")
    assert len(camera.connections) >= 2
    came = [record for record in result.records if record["event"] == "came"]
    assert {record["person"] for record in came} == {None, "Barack Obama"}
    summary = result.records[-1]
    assert summary["event"] == "ended"
    assert [person["person"] for person in summary["people"]] == ["Barack Obama"]
    assert summary["passed_over"] > summary["frames"] > 0
    for secret in ("mallory", "hunter2", "abc123"):
        assert secret not in result.out + result.err


def test_ctrl_c_ends_with_a_summary(
    program: list[str], environment: dict[str, str], two_people: Path, camera: HttpCamera
) -> None:
    camera.frames_per_connection = 10_000
    process = subprocess.Popen(
        [*program, "watch", camera.url, "--json"],
        env={**environment, "FACEBANK_GALLERY": str(two_people)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert first["event"] == "came"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    last = json.loads(out.splitlines()[-1])
    assert (process.returncode, last["event"]) == (0, "ended")
    assert "Traceback" not in err


def test_a_file_is_watched_at_its_own_speed(run: Run, two_people: Path, shared: Path) -> None:
    start_time = time.monotonic()
    out = run("watch", clip_path(shared)).out.splitlines()
    assert time.monotonic() - start_time > 9
    assert any("came" in line and "Barack Obama  (known" in line for line in out)
    assert "Barack Obama" in out[-1]
    assert "watched" in out[-1]


def write_recording(path: Path, rate: float) -> None:
    """Write a Matroska file of 20 frames of noise."""
    noise = np.random.default_rng(1)
    with VideoFile(path, 320, 240, rate) as file:
        for number in range(20):
            file.write(number / rate, noise.integers(0, 255, (240, 320, 3), dtype=np.uint8))


def truncate(path: Path, fraction: float) -> None:
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * fraction)])


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_truncated_file_is_reported(run: Run, two_people: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    write_recording(tmp_path / "truncated.mkv", rate=10)
    truncate(tmp_path / "truncated.mkv", 0.5)
    result = run("watch", "truncated.mkv", *options, code=1)
    (message,) = result.err.splitlines()
    assert re.search(r"truncated\.mkv ends at 0:0[01]\.\d instead of 0:02\.\d: it is cut off or damaged", message)
    assert ("watched" in result.out) == (not options)


def test_a_whole_file_and_the_start_of_a_truncated_one_succeed(run: Run, two_people: Path, tmp_path: Path) -> None:
    write_recording(tmp_path / "whole.mkv", rate=10)
    assert not run("watch", "whole.mkv").err
    # Long, because the file plays on while its first frame is analyzed, and must not reach its end meanwhile.
    write_recording(tmp_path / "truncated.mkv", rate=1)
    truncate(tmp_path / "truncated.mkv", 0.75)
    assert not run("watch", "truncated.mkv", "--seconds", "0.5").err


def test_a_file_without_a_readable_frame_is_refused(run: Run, two_people: Path, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "truncated.mp4").write_bytes(move_index_first(clip_path(shared).read_bytes())[:9_300])
    assert "no readable frame" in run("watch", "truncated.mp4", code=2).err


def test_invalid_sources_are_refused(run: Run, two_people: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video " * 100)
    for source, message in (
        ("77", "camera 77 cannot be opened"),
        ("/dev/video77", "there is no camera /dev/video77"),
        ("nothing", "is not a camera, address or file"),
        ("file:///etc/passwd", "are not supported"),
        ("concat://a", "are not supported"),
        ("http://mallory:hunter2@127.0.0.1:9/door?key=abc123", "http://127.0.0.1:9 cannot be opened"),
        ("text.mp4", "is not a readable video"),
        (str(tmp_path), "is a folder"),
    ):
        err = run("watch", source, code=2).err
        assert message in err
        assert len(err.splitlines()) == 1, err
        assert "hunter2" not in err
        assert "abc123" not in err
    assert "above 0" in run("watch", "0", "--fps", "0", code=2).err
    assert "above 0" in run("watch", "0", "--seconds", "-1", code=2).err
