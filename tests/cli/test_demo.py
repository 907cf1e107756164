"""``facebank demo``: right names, a picture, and no change of the user's gallery."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebank.demo.demonstration import PANELS, PEOPLE, DemoPanel, DemoPerson, run_demo
from facebank.media import read_photo

from .conftest import Run, Validate


def test_names_are_right_and_the_stranger_has_none(run: Run, tmp_path: Path, validate: Validate) -> None:
    records = run("demo", "--out", tmp_path / "out", "--json").records
    validate("demo", records)
    assert [record["person"] for record in records] == ["Barack Obama", None, "Eileen Collins", "Barack Obama"]
    assert all(record["correct"] for record in records)


def test_output_names_the_picture_and_the_next_commands(run: Run, tmp_path: Path) -> None:
    output = run("demo").out
    picture = Path("facebank-demo") / "demo.jpg"
    assert str(picture) in output
    assert "facebank enroll" in output
    assert "Joe Biden (joe_biden_blue_room.jpg)" in output
    assert "WRONG" not in output
    assert read_photo(tmp_path / picture).height == 512


def test_the_users_gallery_is_not_changed(run: Run, gallery: Path) -> None:
    gallery.write_bytes(b"not to be touched")
    run("demo")
    assert gallery.read_bytes() == b"not to be touched"
    assert {path.name for path in gallery.parent.iterdir()} == {gallery.name, "facebank-demo"}


def test_an_unwritable_folder_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run("demo", "--out", tmp_path / "file" / "out", code=2)
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    assert str(tmp_path / "file" / "out") in result.err


@pytest.fixture
def session_cache(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBANK_CACHE", environment["FACEBANK_CACHE"])


@pytest.mark.usefixtures("session_cache")
def test_a_wrong_name_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped_people = (
        DemoPerson("Eileen Collins", PEOPLE[0].file_name),
        DemoPerson("Barack Obama", PEOPLE[1].file_name),
    )
    monkeypatch.setattr("facebank.demo.demonstration.PEOPLE", swapped_people)
    report = run_demo(tmp_path, device="cpu")
    assert not report.is_correct
    assert [result.is_correct for result in report.results] == [not panel.is_enrolled for panel in PANELS]


@pytest.mark.usefixtures("session_cache")
def test_a_part_without_a_face_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = DemoPanel("joe_biden_blue_room.jpg", "Joe Biden", is_enrolled=False, top=288)
    monkeypatch.setattr("facebank.demo.demonstration.PANELS", (panel,))
    report = run_demo(tmp_path, device="cpu")
    assert report.results[0].face is None
    assert not report.is_correct
