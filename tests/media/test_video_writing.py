"""Videos are written atomically and read back."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from facebank.errors import StorageError, UsageError, VideoError
from facebank.media.video import Video
from facebank.media.video_writing import VideoFile, check_target


def gray_frame(level: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.full((48, 64, 3), level, dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_are_written_at_their_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with VideoFile(path, 64, 48, 10) as file:
        for time, level in ((0.0, 20), (0.1, 60), (0.5, 120), (0.6, 200)):
            file.write(time, gray_frame(level))
    with Video(path) as video:
        levels = {round(frame.time, 1): round(float(frame.pixels.mean())) for frame in video.frames()}
    assert list(levels) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    np.testing.assert_allclose(list(levels.values()), [20, 60, 60, 60, 60, 120, 200], atol=6)


def test_videos_are_written_atomically(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with pytest.raises(TypeError), VideoFile(path, 64, 48, 10) as file:
        file.write(0.0, "no picture")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"before")
    with pytest.raises(UsageError, match="already exists: choose another name, or remove it first"):
        check_target(path, tmp_path / "in.mp4")
    with pytest.raises(UsageError, match="already exists"):
        VideoFile(path, 64, 48, 10)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="already exists"):
        check_target(path, tmp_path / "in.mp4")


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_a_file_created_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_hard_links: bool
) -> None:
    if not has_hard_links:  # as on a USB stick

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "out.mp4"
    file = VideoFile(path, 64, 48, 10)
    file.write(0.0, gray_frame(20))
    path.write_bytes(b"meanwhile")
    with pytest.raises(UsageError, match="already exists"):
        file.__exit__(None)
    assert path.read_bytes() == b"meanwhile"
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    with VideoFile(path, 64, 48, 10) as file:
        file.write(0.0, gray_frame(20))
    assert list(tmp_path.iterdir()) == [path]
    with Video(path) as video:
        assert len(list(video.frames())) == 1


def test_unwritable_targets_are_rejected(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"video")
    with pytest.raises(UsageError, match="is the video itself"):
        check_target(source, source)
    with pytest.raises(UsageError, match=r"video \.mp4 or \.mkv"):
        check_target(tmp_path / "out.gif", source)
    with pytest.raises(StorageError, match="there is no folder"):
        check_target(tmp_path / "none" / "out.mp4", source)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(StorageError, match="it is a folder"):
        check_target(tmp_path / "folder.mp4", source)


def test_a_full_disk_is_reported() -> None:
    with pytest.raises(StorageError), VideoFile(Path("/proc/out.mp4"), 64, 48, 10) as file:
        file.write(0.0, gray_frame(20))


def test_a_folder_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    with pytest.raises(StorageError, match="UTF-8"):
        check_target(folder / "out.mp4", tmp_path / "in.mp4")
    (folder / "in.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match="UTF-8"):
        Video(folder / "in.mp4").__enter__()
