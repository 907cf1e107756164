"""Live video: streams that drop and return, the newest frame, and sources given as text."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from facebank.errors import StreamError, UsageError
from facebank.media.live import LiveVideo, SourceKind, StreamChange, Timeouts, live_source
from tests.http_camera import HttpCamera
from tests.video_files import last_shot


@pytest.fixture
def camera(shared: Path) -> Iterator[HttpCamera]:
    served = HttpCamera(last_shot(shared), frames_per_connection=10_000)
    yield served
    served.close()


def test_pauses_grow_while_the_camera_does_not_answer(camera: HttpCamera) -> None:
    camera.frames_per_connection = 5
    changes: list[tuple[StreamChange, float]] = []
    resumed_event = threading.Event()

    def on_change(change: StreamChange, seconds: float) -> None:
        changes.append((change, seconds))
        if change is StreamChange.RESUMED:
            resumed_event.set()

    timeouts = Timeouts(first_pause=0.05, longest_pause=0.2, timeout=5)
    with LiveVideo(live_source(camera.url), on_change, timeouts) as live:
        assert live.newest(10) is not None
        camera.refused = 4
        assert resumed_event.wait(30)
    resumed_index = [change for change, _ in changes].index(StreamChange.RESUMED)
    pauses = [seconds for _, seconds in changes[:resumed_index]]
    assert pauses == [0.05, 0.1, 0.2, 0.2, 0.2][: len(pauses)]
    assert len(pauses) >= 4


def test_only_the_newest_frame_is_kept(camera: HttpCamera) -> None:
    with LiveVideo(live_source(camera.url)) as live:
        assert live.newest(10) is not None
        start_time = live.now
        time.sleep(1)
        frame = live.newest(10)
        assert frame is not None
        assert frame.time > start_time
        assert live.skipped_frames > 0


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
        with pytest.raises(UsageError) as caught:
            live_source(leaking)
        assert "cret" not in str(caught.value)
    with pytest.raises(StreamError):
        live_source(str(tmp_path / "none.mp4"))
