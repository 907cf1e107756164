"""``facebank cluster`` and ``people name``: groups of unknown people."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import Run, Validate

PEOPLE = {"Serena_Williams": 12, "Andre_Agassi": 9, "Lleyton_Hewitt": 6}


@pytest.fixture
def scanned_album(run: Run, shared: Path, tmp_path: Path) -> Path:
    """A scanned folder of three people with several photos, and six with one."""
    folder = tmp_path / "album"
    folder.mkdir()
    lfw = shared / "data" / "lfw"
    for person, count in PEOPLE.items():
        for path in sorted((lfw / person).iterdir())[:count]:
            shutil.copy(path, folder)
    for person_folder in sorted(lfw.iterdir())[100:106]:
        shutil.copy(min(person_folder.iterdir()), folder)
    run("scan", folder)
    return folder


def test_a_named_group_is_known_afterwards(run: Run, scanned_album: Path, tmp_path: Path, validate: Validate) -> None:
    groups = run("cluster", "--json").records
    validate("cluster", groups)
    assert [group["photos"] for group in groups[:3]] == sorted(PEOPLE.values(), reverse=True)
    assert not any(group["camera_dated"] for group in groups)  # the photos have no EXIF
    assert run("cluster").out.splitlines()[1].endswith(" (file's date)")
    page = tmp_path / "people.html"
    result = run("cluster", "--out", page)
    assert "groups; faces left out: 0 known already" in result.out
    text = page.read_text("utf-8")
    assert text.count("<section") == len(groups)
    assert text.count("photos</h2>") == len(groups)  # only dates from cameras are shown
    run("cluster", "--out", page)
    assert page.read_text("utf-8") == text
    assert "Serena_Williams_0001.jpg" in text
    assert 'src="data:image/jpeg;base64,' in text
    (named,) = run("people", "name", "1", "Serena", "--json").records
    validate("people-name", [named])
    assert len(named["enrolled"]) == 10
    assert all("Serena_Williams" in path for path in named["enrolled"])
    remaining = run("cluster", "--json").records
    assert [group["photos"] for group in remaining[:2]] == [9, 6]
    known = [record for record in run("identify", "--scan", "--json").records if record["faces"][0]["person"]]
    assert len(known) == PEOPLE["Serena_Williams"]


def test_faces_marked_as_different_stay_apart(run: Run, scanned_album: Path) -> None:
    before = run("cluster", "--json").records
    after = run("cluster", "--not-same", "1.1", "1.2", "--json").records
    assert len(after) >= len(before)
    assert after[0]["faces"] < before[0]["faces"] or after[1]["faces"] != before[1]["faces"]
    assert run("cluster", "--json").records == after


def test_invalid_arguments_and_lost_photos_are_reported(run: Run, scanned_album: Path, tmp_path: Path) -> None:
    assert "no scan" in run("cluster", "--scan-file", "none.scan", code=2).err
    run("cluster")
    assert "there is no group 99" in run("people", "name", "99", "Ada", code=2).err
    assert "no face 'x.1'" in run("cluster", "--not-same", "x.1", "1", code=2).err
    assert "the same face" in run("cluster", "--not-same", "1", "1.1", code=2).err
    assert "cannot be written" in run("cluster", "--out", tmp_path / "none" / "page.html", code=2).err
    (tmp_path / "diary.html").write_text("Dear diary")
    assert "not a page written by facebank" in run("cluster", "--out", tmp_path / "diary.html", code=2).err
    assert (tmp_path / "diary.html").read_text() == "Dear diary"
    assert "not a page written by facebank" in run("cluster", "--out", ".", code=2).err
    shutil.rmtree(scanned_album)
    named = run("people", "name", "1", "Serena", code=1)
    assert "0 samples" in named.out
    assert "there is no photo" in named.err


def test_file_names_are_escaped_on_the_page(run: Run, scanned_album: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(scanned_album.glob("Andre*"))):
        path.rename(path.with_name(f"<b onclick=x>{number}.jpg"))
    run("scan", scanned_album)
    run("cluster", "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "<b onclick" not in text
    assert "&lt;b onclick=x&gt;" in text


def test_a_group_unlike_the_person_is_refused(run: Run, scanned_album: Path, gallery: Path) -> None:
    run("cluster")
    assert "there is no group 99" in run("people", "name", "99", "Serena", code=2).err
    assert not gallery.exists()
    run("people", "name", "1", "Serena")
    run("cluster")
    refused = run("people", "name", "1", "serena", code=2)
    assert "group 1 is unlike Serena, who is enrolled" in refused.err
    assert "--force" in refused.err
    assert len(run("people", "show", "Serena", "--json").records) == 10
    assert "group 1 is now Serena" in run("people", "name", "1", "serena", "--force").out
    assert len(run("people", "show", "Serena", "--json").records) > 10
