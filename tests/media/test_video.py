"""Frames of intact and broken videos."""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import UnreadableVideoError, UsageError, VideoError, VideoNotFoundError, VideoTooLargeError
from facebank.media.video import Frame, Video, VideoLimits
from facebank.media.video_writing import VideoFile
from tests.conftest import find_shared
from tests.video_files import (
    CLIP_FRAMES,
    CLIP_RATE,
    CUTS,
    build_box,
    clip_path,
    move_index_first,
    parse_boxes,
    remove_video_track,
    rotate,
    shorten_first_frames,
)

WriteClip = Callable[[Callable[[bytes], bytes]], Path]


@pytest.fixture
def clip(shared: Path) -> Path:
    return clip_path(shared)


@pytest.fixture
def write_clip(clip: Path, tmp_path: Path) -> WriteClip:
    """A function that writes a changed clip."""

    def write(change: Callable[[bytes], bytes]) -> Path:
        path = tmp_path / "made.mp4"
        path.write_bytes(change(clip.read_bytes()))
        return path

    return write


def sample_frames(path: Path, rate: float = 5.0, start: float = 0.0, end: float | None = None) -> list[Frame]:
    with Video(path) as video:
        return list(video.sample(rate, start, end))


def test_the_first_frame_of_every_shot_is_sampled(clip: Path) -> None:
    frames = sample_frames(clip)
    firsts = [next(frame for frame in frames if frame.shot == shot) for shot in range(4)]
    assert {frame.shot for frame in frames} == {0, 1, 2, 3}
    assert [round(frame.time * CLIP_RATE) for frame in firsts] == [0, *CUTS]
    for first, second in itertools.pairwise(frames):
        step = second.time - first.time
        assert (step <= 0.2 + 1.5 / CLIP_RATE) if first.shot == second.shot else step > 0


def test_frames_have_the_files_times_and_size(clip: Path) -> None:
    with Video(clip) as video:
        assert (video.info.width, video.info.height, video.info.frames) == (640, 360, CLIP_FRAMES)
        times = [frame.time for frame in video.frames()]
        assert not video.ends_early
    assert len(times) == CLIP_FRAMES
    np.testing.assert_allclose(times, np.arange(CLIP_FRAMES) / CLIP_RATE, atol=0.002)


def test_uneven_frame_times_are_kept(write_clip: WriteClip) -> None:
    path = write_clip(lambda data: shorten_first_frames(data, frame_count=60))
    with Video(path) as video:
        times = [frame.time for frame in video.frames()]
    steps = np.r_[np.full(60, 0.5), np.full(CLIP_FRAMES - 60, 1)][:-1] / CLIP_RATE
    np.testing.assert_allclose(np.diff(times), steps, atol=0.002)


def test_rotated_videos_are_turned_upright(clip: Path, write_clip: WriteClip) -> None:
    (straight, *_), (upright, *_) = sample_frames(clip), sample_frames(write_clip(rotate))
    assert upright.pixels.shape == (640, 360, 3)
    difference = np.abs(np.rot90(straight.pixels, -1).astype(int) - upright.pixels)
    assert difference.mean() < 1


@settings(max_examples=12)
@given(start=st.floats(0, 8.9), seconds=st.floats(0.3, 3))
def test_a_part_equals_the_same_part_of_the_whole(start: float, seconds: float) -> None:
    shared = find_shared()
    if shared is None:
        pytest.skip("needs the clip")
    with Video(clip_path(shared)) as video:
        part = [(frame.time, frame.pixels.mean()) for frame in video.frames(start, start + seconds)]
        whole = [(frame.time, frame.pixels.mean()) for frame in video.frames()]
    assert part == [frame for frame in whole if start - 1e-6 <= frame[0] < start + seconds]


def test_invalid_times_are_rejected(clip: Path) -> None:
    for rate, start, end in ((0, 0, None), (5, -1, None), (5, 3, 2), (5, float("nan"), None), (1e9, 0, None)):
        with pytest.raises(UsageError):
            sample_frames(clip, rate, start, end)
    with pytest.raises(UsageError, match=r"is 9\.2 seconds long"):
        sample_frames(clip, start=60)


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.9, 0.95])
def test_truncated_videos_are_read_as_far_as_possible(write_clip: WriteClip, fraction: float) -> None:
    path = write_clip(lambda data: move_index_first(data)[: round(len(data) * fraction)])
    with Video(path) as video:
        last = list(video.sample(5))[-1]
        assert video.ends_early
        assert 0 < last.time <= video.position < video.info.seconds - 0.25


def test_a_complete_streamable_video_does_not_end_early(write_clip: WriteClip) -> None:
    with Video(write_clip(move_index_first)) as video:
        assert len(list(video.frames())) == CLIP_FRAMES
        assert not video.ends_early


def test_a_video_damaged_in_the_middle_ends_early(write_clip: WriteClip) -> None:
    def zero_the_middle(data: bytes) -> bytes:
        return data[:200_000] + bytes(30_000) + data[230_000:]

    with Video(write_clip(zero_the_middle)) as video:
        assert len(list(video.frames())) > 20
        assert video.ends_early


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"just a text, longer than the first bytes of any file that is a video " * 30, "is not a readable video"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "a playlist"),
        (b"ffconcat version 1.0\nfile 'other.mp4'\n", "a playlist"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "is a photo"),
    ],
)
def test_other_files_are_rejected(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "holidays.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableVideoError, match=message) as caught:
        sample_frames(path)
    assert "holidays.mp4" in str(caught.value)


def test_videos_without_frames_are_rejected(write_clip: WriteClip) -> None:
    with pytest.raises(UnreadableVideoError, match="has no frames"):
        sample_frames(write_clip(remove_video_track))
    with pytest.raises(UnreadableVideoError, match="no readable frame"):
        sample_frames(write_clip(lambda data: move_index_first(data)[:9_300]))
    with pytest.raises(UnreadableVideoError, match="cut off before the first one"):
        sample_frames(write_clip(lambda data: move_index_first(data)[:5_000]))


def write_video(path: Path) -> bytes:
    """Write a short video and return its bytes; MP4 files have their index at the end."""
    noise = np.random.default_rng(1)
    with VideoFile(path, 64, 48, 10) as file:
        for number in range(20):
            file.write(number / 10, noise.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    return path.read_bytes()


@pytest.mark.parametrize("remainder", ["a little", "half", "all but the index", "half of the index"])
def test_a_truncated_mp4_without_index_is_explained(tmp_path: Path, remainder: str) -> None:
    path = tmp_path / "holidays.mp4"
    data = write_video(path)
    kinds = [kind for kind, _ in parse_boxes(data)]
    assert kinds.index(b"mdat") < kinds.index(b"moov")
    index_start = data.rindex(b"moov") - 4
    ends = {"a little": 100, "half": len(data) // 2, "all but the index": index_start}
    path.write_bytes(data[: ends.get(remainder, (index_start + len(data)) // 2)])
    with pytest.raises(UnreadableVideoError, match=r"holidays\.mp4 is cut off before the end of its index.* untrunc"):
        Video(path)


def test_an_unfinished_recording_without_index_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "killed.mp4"
    for header in (struct.pack(">I4s", 0, b"mdat"), struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1)):
        path.write_bytes(build_box(b"ftyp", b"isomiso2" * 2) + build_box(b"free", b"") + header + bytes(5_000))
        with pytest.raises(UnreadableVideoError, match="before the end of its index"):
            Video(path)


@pytest.mark.parametrize(
    "content",
    [
        build_box(b"ftyp", b"isom") * 5_000 + build_box(b"mdat", b""),  # too many boxes
        build_box(b"ftyp", b"isom") + struct.pack(">I4s", 3, b"mdat") + bytes(100),
        build_box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 0) + bytes(100),
        build_box(b"ftyp", b"isom") + build_box(b"mdat", bytes(100)) + build_box(b"moov", b""),
        build_box(b"ftyp", b"isom") + struct.pack(">I4s", 500, b"free"),
        b"RIFF" + build_box(b"mdat", bytes(100)),
    ],
)
def test_invalid_boxes_are_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableVideoError, match="is not a readable video"):
        Video(path)


@pytest.mark.parametrize("fraction", [0.4, 0.8])
def test_truncated_matroska_files_are_read_as_far_as_possible(tmp_path: Path, fraction: float) -> None:
    path = tmp_path / "truncated.mkv"
    data = write_video(path)
    path.write_bytes(data[: round(len(data) * fraction)])
    with Video(path) as video:
        assert 0 < len(list(video.frames())) < 20
        assert video.ends_early


def test_folders_and_pipes_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(VideoNotFoundError, match="there is no video"):
        Video(tmp_path / "none.mp4")
    with pytest.raises(UnreadableVideoError, match="is a folder"):
        Video(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UnreadableVideoError, match="is not a file"):
        Video(tmp_path / "pipe.mp4")
    name = os.fsdecode(bytes(tmp_path) + b"/\xff.mp4")
    Path(name).write_bytes(b"x" * 100)
    with pytest.raises(UnreadableVideoError, match="not UTF-8"):
        Video(name)


def test_files_with_names_like_addresses_are_read(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("concat:holidays.mp4").write_bytes(clip.read_bytes())
    assert len(sample_frames(Path("concat:holidays.mp4"))) > 40


def test_too_large_frames_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5, (8000, 6000))
    writer.write(np.zeros((6000, 8000, 3), dtype=np.uint8))
    writer.release()
    with pytest.raises(VideoTooLargeError, match="8,000 x 6,000 pixels, the limit is 40,000,000"):
        sample_frames(path)


def test_too_long_videos_are_rejected(clip: Path, write_clip: WriteClip) -> None:
    with pytest.raises(VideoTooLargeError, match="cut it into parts"):
        Video(clip, VideoLimits(max_seconds=5))
    with pytest.raises(VideoTooLargeError, match="cut it into parts"):
        Video(clip, VideoLimits(max_frames=100))
    with pytest.raises(UsageError):
        VideoLimits(max_pixels=0)


@settings(max_examples=25)
@given(st.data())
def test_frame_times_increase_for_any_file(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shared = find_shared()
    if shared is None:
        pytest.skip("needs the clip")
    original = bytearray(clip_path(shared).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(original) - 1) | st.integers(604_704, len(original) - 1))
        original[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("broken") / "broken.mp4"
    path.write_bytes(original)
    try:
        with Video(path, VideoLimits(max_seconds=60, max_frames=2_000)) as video:
            times = [frame.time for frame in video.sample(5)]
    except VideoError:
        return
    assert all(first < second for first, second in itertools.pairwise(times))


def test_unsupported_codecs_are_named_with_a_conversion_command(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "a clip.mp4"
    path.write_bytes((shared / "data" / "cases" / "av1" / "clip_av1.mp4").read_bytes())
    with pytest.raises(UnreadableVideoError, match=r"AV1.*ffmpeg -i '.*a clip\.mp4' .*'.*a clip-h264\.mp4'"):
        sample_frames(path)
