"""``facebank find``: scanned photos and videos of given people."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.demo_photos import DEMO_PHOTOS
from tests.video_files import clip_path, cut_to_three_shots

from .conftest import Run, Validate, paste_side_by_side


@pytest.fixture
def album(run: Run, two_people: Path, tmp_path: Path) -> Path:
    """A scanned folder: both enrolled people alone and together, on known days, and a stranger."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("barack_obama_speech", "eileen_collins", "joe_biden_blue_room"):
        shutil.copy(DEMO_PHOTOS / f"{name}.jpg", folder)
    names = ("barack_obama_portrait_2012", "eileen_collins")
    paste_side_by_side(folder / "together.png", [(DEMO_PHOTOS / f"{name}.jpg", 600) for name in names])
    for year, name in enumerate(("together.png", "eileen_collins.jpg", "barack_obama_speech.jpg"), start=2001):
        moment = datetime(year, 6, 15, 12, tzinfo=UTC).timestamp()
        os.utime(folder / name, (moment, moment))
    run("scan", folder)
    return folder


def file_names(records: Sequence[dict[str, object]]) -> list[str]:
    return [Path(str(record["image"])).name for record in records]


def test_photos_of_a_person_are_listed_oldest_first(run: Run, album: Path, validate: Validate) -> None:
    records = run("find", "barack obama", "--json").records
    validate("find", records)
    assert file_names(records) == ["together.png", "barack_obama_speech.jpg"]
    assert [person["person"] for person in records[0]["people"]] == ["Barack Obama", "Eileen Collins"]
    assert all(0.5 < person["probability"] <= 1 for person in records[0]["people"])
    assert (records[0]["taken_at"], records[0]["camera_dated"]) == ("2001-06-15T12:00:00+00:00", False)
    table = run("find", "Barack Obama").out.splitlines()
    assert table[0] == "photo\ttaken\tpeople"
    assert table[1].startswith(f"{Path('album', 'together.png')}\t2001-06-15 12:00 (file's date)\t")
    assert table[-1] == "2 photos"


def test_forgetting_a_person_reports_the_scan(run: Run, album: Path) -> None:
    assert "still holds all faces of the scanned photos" in run("people", "forget", "Barack Obama").err


def test_photos_of_all_or_any_of_several_people_are_found(run: Run, album: Path) -> None:
    assert file_names(run("find", "Eileen Collins", "--with", "Barack Obama", "--json").records) == ["together.png"]
    assert file_names(run("find", "Eileen Collins", "barack obama", "--json").records) == ["together.png"]
    either = run("find", "Eileen Collins", "Barack Obama", "--any", "--json").records
    assert {"together.png", "eileen_collins.jpg"} < set(file_names(either))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--since", "2002-06-15"), ["eileen_collins.jpg"]),
        (("--until", "2002-06-14"), ["together.png"]),
        (("--since", "2001-06-15", "--until", "2002-06-15"), ["together.png", "eileen_collins.jpg"]),
        (("--since", "2010"), []),
    ],
)
def test_photos_of_a_period_are_found(run: Run, album: Path, options: tuple[str, ...], expected: list[str]) -> None:
    assert file_names(run("find", "Eileen Collins", *options, "--json").records) == expected


def test_invalid_arguments_are_reported(run: Run, album: Path) -> None:
    assert "Nobody" in run("find", "Ada", code=2).err
    assert "is not a day, month or year" in run("find", "Barack Obama", "--since", "last summer", code=2).err
    assert "is after" in run("find", "Barack Obama", "--since", "2002-01-01", "--until", "2001-01-01", code=2).err
    assert "no scan" in run("find", "Barack Obama", "--scan-file", "none.scan", code=2).err


def test_the_photos_are_shown_on_a_page(run: Run, album: Path, browser: Path, validate: Validate) -> None:
    (album / "eileen_collins.jpg").rename(album / "<b onclick=x>.jpg")
    run("scan", album)
    result = run("find", "eileen collins", "--json", "--out", "found.html", "--open", BROWSER=str(browser))
    validate("find", result.records)
    page = album.parent / "found.html"
    assert browser.with_name("opened").read_text().split() == [page.as_uri()]
    assert "page: found.html" in result.err
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    text = page.read_text("utf-8")
    assert text.count('src="data:image/jpeg;base64,') == text.count("<i style=") == 2
    assert "<h1>Photos of Eileen Collins</h1>" in text
    assert "<b onclick" not in text
    assert "&lt;b onclick=x&gt;.jpg" in text
    assert "no page" in run("find", "Eileen Collins", "--since", "2030", "--out", "none.html").err
    assert not (album.parent / "none.html").exists()
    (album.parent / "diary.html").write_text("Dear diary")
    assert "not a page written by facebank" in run("find", "Eileen Collins", "--out", "diary.html", code=2).err


def test_videos_are_found_with_their_times(
    run: Run, two_people: Path, tmp_path: Path, shared: Path, validate: Validate
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(cut_to_three_shots(clip_path(shared).read_bytes()))
    (folder / "torn.mp4").write_bytes(b"torn")
    run("enroll", "Miranda", shared / "data" / "photos" / "probe" / "lin-manuel-miranda.png")
    scanned = run("scan", folder, "--videos", "--json", code=1)
    validate("scan", scanned.records)
    assert [(record["status"], record["error"] is None) for record in scanned.records] == [
        ("scanned", True),
        ("unreadable", False),
    ]
    again = run("scan", folder, "--videos", code=1)
    assert "videos: 1 unchanged, 1 unreadable" in again.out
    records = run("find", "Miranda", "--videos", "--json").records
    validate("find", records)
    ((video,),) = (record["videos"] for record in records)
    assert Path(video["video"]).name == "clip.mp4"
    (person,) = video["people"]
    assert (person["person"], [int(time["start"]) for time in person["times"]]) == ("Miranda", [0, 2])
    table = run("find", "Miranda", "--videos").out.splitlines()
    assert table[-3] == f"{Path('videos', 'clip.mp4')}\tMiranda\t0:00.0\t0:00.7"
    assert table[-1] == "1 video"
    assert run("find", "Barack Obama", "--videos", "--json").records == [{"videos": []}]
    assert "--videos and --shard exclude each other" in run("scan", folder, "--videos", "--shard", "1/2", code=2).err
