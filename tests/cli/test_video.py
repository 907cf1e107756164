"""``facebank video``: people and times in a video."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebank.media.video import Video
from tests.video_files import clip_path, move_index_first, remove_video_track

from .conftest import Run, Validate

pytestmark = pytest.mark.usefixtures("two_people")


@pytest.fixture
def clip(shared: Path) -> Path:
    return clip_path(shared)


def test_people_are_reported_with_their_times(run: Run, clip: Path, validate: Validate) -> None:
    result = run("video", clip, "--start", "6", "--json")
    validate("video", result.records)
    known = [record for record in result.records if record["decision"] == "known"]
    (obama,) = known
    assert obama["person"] == obama["label"] == "Barack Obama"
    assert obama["probability"] > 0.99
    assert obama["start"] == pytest.approx(7.04, abs=0.02)
    assert obama["end"] == pytest.approx(9.14, abs=0.05)
    assert obama["sightings"][0]["time"] == pytest.approx(7.04, abs=0.02)
    assert [record["start"] for record in result.records] == sorted(record["start"] for record in result.records)
    assert {record["label"].split()[0] for record in result.records} == {"Barack", "stranger", "uncertain"}


def test_a_table_an_annotated_video_and_thumbnails_are_written(run: Run, clip: Path, tmp_path: Path) -> None:
    result = run("video", clip, "--start", "0:07", "--end", "0:08", "--annotate", "named.mp4", "--thumbnails", "faces")
    lines = result.out.splitlines()
    assert lines[0].split("\t")[:4] == ["person", "from", "to", "seconds"]
    (obama,) = (line.split("\t") for line in lines if line.startswith("Barack Obama"))
    assert obama[1:5] == ["0:07.0", "0:08.0", "1.0", "known"]
    assert "1 known" in lines[-1]
    assert (tmp_path / "faces" / "Barack Obama 00m07.jpg").exists()
    with Video(tmp_path / "named.mp4") as video:
        assert 28 <= len(list(video.frames())) <= 31


def test_a_truncated_video_is_analyzed_and_reported(run: Run, clip: Path, tmp_path: Path, validate: Validate) -> None:
    data = move_index_first(clip.read_bytes())
    (tmp_path / "truncated.mp4").write_bytes(data[: len(data) * 9 // 10])
    result = run("video", "truncated.mp4", "--start", "7", "--json", code=1)
    validate("video", result.records)
    assert [record["person"] for record in result.records if record["person"]] == ["Barack Obama"]
    assert "truncated.mp4 ends at 0:08.0 instead of 0:09.2" in result.err


def test_unreadable_videos_and_invalid_times_are_reported(run: Run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 100)
    (tmp_path / "sound.mp4").write_bytes(remove_video_track(clip.read_bytes()))
    (tmp_path / "headless.mp4").write_bytes(clip.read_bytes()[:300_000])
    for arguments, message in (
        (("none.mp4",), "there is no video"),
        ((tmp_path,), "is a folder"),
        (("empty.mp4",), "is empty: use another copy"),
        (("text.mp4",), "is not a readable video"),
        (("sound.mp4",), "has no frames"),
        (("headless.mp4",), "headless.mp4 is cut off before the end of its index"),
        ((clip, "--start", "noon"), "is not a time"),
        ((clip, "--start", "1:00"), "9.2 seconds long"),
        ((clip, "--start", "5", "--end", "4"), "the end must be after the start"),
        ((clip, "--fps", "0"), "frames per second"),
        ((clip, "--annotate", "out.gif"), ".mp4 or .mkv"),
        ((clip, "--annotate", tmp_path / "none" / "out.mp4"), "there is no folder"),
    ):
        err = run("video", *arguments, code=2).err
        assert message in err
        assert len(err.splitlines()) == 1, err


def test_the_video_itself_is_never_written(run: Run, clip: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.mp4"
    own.write_bytes(clip.read_bytes())
    assert "is the video itself" in run("video", own, "--annotate", own, code=2).err
    assert own.read_bytes() == clip.read_bytes()


def test_existing_files_are_never_overwritten(run: Run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    for arguments, message in (
        (("--annotate", "mine.mp4"), "mine.mp4 already exists: choose another name, or remove it first"),
        (("--thumbnails", "mine.mp4"), "mine.mp4 is a file, not a folder"),
        (("--thumbnails", Path("file", "faces")), "file is a file, not a folder"),
        (("--annotate", "new.mp4", "--thumbnails", "new.mp4"), "choose another name"),
    ):
        result = run("video", clip, *arguments, code=2)
        assert message in result.err
        assert len(result.err.splitlines()) == 1, result.err
        assert not result.out  # refused before the analysis
    assert (tmp_path / "mine.mp4").read_bytes() == b"mine"
    assert not (tmp_path / "new.mp4").exists()
