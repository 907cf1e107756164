"""``facebank watch``: HTTP streams that drop and return, and video files."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facebank.errors import StreamError, UsageError
from facebank.media.live import LiveVideo, SourceKind, StreamChange, Timeouts, live_source
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
    result = run("watch", camera.address, "--seconds", "14", "--json")
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


def test_waits_grow_while_the_camera_does_not_answer(camera: HttpCamera) -> None:
    camera.frames_per_connection = 5
    changes: list[tuple[StreamChange, float]] = []
    resumed_event = threading.Event()

    def on_change(change: StreamChange, seconds: float) -> None:
        changes.append((change, seconds))
        if change is StreamChange.RESUMED:
            resumed_event.set()

    waits = Timeouts(first_pause=0.05, longest_pause=0.2, timeout=5)
    with LiveVideo(live_source(camera.address), on_change, waits) as live:
        assert live.newest(10) is not None
        camera.refused = 4
        assert resumed_event.wait(30)
    resumed_index = [change for change, _ in changes].index(StreamChange.RESUMED)
    waits_seen = [seconds for _, seconds in changes[:resumed_index]]
    assert waits_seen == [0.05, 0.1, 0.2, 0.2, 0.2][: len(waits_seen)]
    assert len(waits_seen) >= 4


def test_only_the_newest_frame_is_kept(camera: HttpCamera) -> None:
    camera.frames_per_connection = 10_000
    with LiveVideo(live_source(camera.address)) as live:
        assert live.newest(10) is not None
        start = live.now
        time.sleep(1)
        frame = live.newest(10)
        assert frame is not None
        assert frame.time > start
        assert live.skipped_frames > 0


def test_ctrl_c_ends_with_a_summary(
    program: list[str], environment: dict[str, str], two_people: Path, camera: HttpCamera
) -> None:
    camera.frames_per_connection = 10_000
    process = subprocess.Popen(
        [*program, "watch", camera.address, "--json"],
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
    start = time.monotonic()
    out = run("watch", clip_path(shared)).out.splitlines()
    assert time.monotonic() - start > 9
    assert any("came" in line and "Barack Obama  (known" in line for line in out)
    assert "Barack Obama" in out[-1]
    assert "watched" in out[-1]


@pytest.fixture
def recording(tmp_path: Path) -> bytes:
    """A Matroska file of two seconds."""
    noise = np.random.default_rng(1)
    with VideoFile(tmp_path / "whole.mkv", 320, 240, 10) as file:
        for number in range(20):
            file.write(number / 10, noise.integers(0, 255, (240, 320, 3), dtype=np.uint8))
    return (tmp_path / "whole.mkv").read_bytes()


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_truncated_file_is_reported(
    run: Run, two_people: Path, recording: bytes, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "cut.mkv").write_bytes(recording[: len(recording) // 2])
    result = run("watch", "cut.mkv", *options, code=1)
    (message,) = result.err.splitlines()
    assert re.search(r"cut\.mkv ends at 0:0[01]\.\d instead of 0:02\.\d: it is cut off or damaged", message)
    assert ("watched" in result.out) == (not options)


def test_a_whole_file_and_the_start_of_a_truncated_one_succeed(
    run: Run, two_people: Path, recording: bytes, tmp_path: Path
) -> None:
    assert not run("watch", "whole.mkv").err
    (tmp_path / "cut.mkv").write_bytes(recording[: len(recording) * 3 // 4])
    assert not run("watch", "cut.mkv", "--seconds", "0.5").err


def test_a_file_without_a_readable_frame_is_refused(run: Run, two_people: Path, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(move_index_first(clip_path(shared).read_bytes())[:9_300])
    assert "no readable frame" in run("watch", "cut.mp4", code=2).err


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


def test_sources_are_parsed_without_showing_passwords(tmp_path: Path) -> None:
    assert (live_source("0").kind, live_source("0").target) == (SourceKind.CAMERA, 0)
    for address in ("rtsp://u:p@host:554/a?b=c", "RTSP://host/a", "http://[::1]:8080/x", "rtsps://h/x#t"):
        source = live_source(address)
        assert source.kind is SourceKind.STREAM
        assert source.target == address
        assert not {"u:p", "?", "#", "@"} & set(source.label)
    assert live_source("rtsp://u:p@host:554/a?b=c").label == "rtsp://host:554"
    assert live_source("rtsp://host/user=admin_password=secret_channel=1.sdp").label == "rtsp://host"
    for invalid in ("rtsp://", "ftp://host/a", "subfile,,start,0://x", "http://[::1/x", "http://host/\udcff"):
        with pytest.raises(UsageError):
            live_source(invalid)
    for leaking in ("rtsp://u:se/cret@host", "rtsp://u:se?cret@host/", "rtsp://u:se#cret@host", "rtsp:/u:secret@host"):
        with pytest.raises(UsageError) as error:
            live_source(leaking)
        assert "cret" not in str(error.value)
    with pytest.raises(StreamError):
        live_source(str(tmp_path / "none.mp4"))
