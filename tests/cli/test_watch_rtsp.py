"""``facebank watch`` with an RTSP camera that requires a password and drops connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rtsp_camera import RtspCamera
from tests.video_files import CLIP_RATE, last_shot

from .conftest import Run


@pytest.fixture
def camera(shared: Path, tmp_path: Path) -> Iterator[RtspCamera]:
    """An RTSP camera that repeats the last shot of the clip."""
    served = RtspCamera(last_shot(shared) * 2, CLIP_RATE, tmp_path)
    yield served
    served.close()


def test_a_dropped_camera_is_opened_again(run: Run, two_people: Path, camera: RtspCamera) -> None:
    result = run("watch", camera.url, "--seconds", "9", "--json")
    events = [record["event"] for record in result.records]
    assert {"came", "lost", "resumed"} < set(events)
    assert camera.plays >= 2
    assert [person["person"] for person in result.records[-1]["people"]] == ["Barack Obama"]
    for secret in ("mallory", "hunter2", "abc123"):
        assert secret not in result.out + result.err


def test_a_wrong_password_is_refused_without_being_shown(run: Run, two_people: Path, camera: RtspCamera) -> None:
    refused = run("watch", camera.url.replace("hunter2", "hunter3"), code=2)
    assert "cannot be opened" in refused.err
    assert "hunter3" not in refused.out + refused.err
