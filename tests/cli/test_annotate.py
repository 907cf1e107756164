"""``facebank identify --annotate``: copies with boxes and names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Run, contents


@pytest.fixture
def holiday(tmp_path: Path, speech: Path, stranger: Path) -> Path:
    """A folder and a subfolder with photos of the same file name."""
    folder = tmp_path / "holiday"
    (folder / "day 2").mkdir(parents=True)
    shutil.copy(speech, folder / "same.jpg")
    shutil.copy(stranger, folder / "day 2" / "same.jpg")
    return folder


def test_copies_keep_the_folders_of_their_photos(run: Run, two_people: Path, holiday: Path, tmp_path: Path) -> None:
    result = run("identify", "holiday", "--annotate", "named/pictures")
    message, summary = result.err.splitlines()
    assert message == "facebank: 2 pictures written to named/pictures"
    assert summary.startswith("facebank: 2 photos with 2 faces, 1 known, 0 uncertain, 1 unknown")
    assert contents(tmp_path / "named" / "pictures").keys() == contents(holiday).keys()
    run("scan", "holiday")
    run("identify", "--scan", "holiday", "--annotate", "scanned")
    assert contents(tmp_path / "scanned") == contents(tmp_path / "named" / "pictures")
    for name in contents(holiday):
        with Image.open(tmp_path / "named" / "pictures" / name) as copy, Image.open(holiday / name) as original:
            assert copy.size == original.size


def test_a_copy_with_another_name_is_reported(run: Run, two_people: Path, holiday: Path, tmp_path: Path) -> None:
    for _ in range(2):
        result = run("identify", "holiday/same.jpg", "holiday/day 2/same.jpg", "--annotate", "named")
        message, count = result.err.splitlines()
        assert message == "facebank: the copy of holiday/day 2/same.jpg is named/same-2.jpg"
        assert count == "facebank: 2 pictures written to named"
        assert set(contents(tmp_path / "named")) == {"same.jpg", "same-2.jpg"}


@pytest.mark.parametrize("folder", ["named", "holiday", "holiday/named"])
def test_a_second_run_replaces_only_annotated_copies(
    run: Run, two_people: Path, holiday: Path, tmp_path: Path, folder: str
) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "day 2").mkdir(exist_ok=True)
    other_file = tmp_path / folder / "day 2" / "same.jpg"
    if not other_file.exists():
        other_file.write_text("another program's file")
    before = contents(tmp_path)
    before.pop(two_people.name)  # records where copies are written
    run("identify", "holiday", "--annotate", folder, code=None)
    first_run = contents(tmp_path)
    assert before.items() <= first_run.items()
    run("people", "rename", "Barack Obama", "B. O.")
    run("identify", "holiday", "--annotate", folder, code=None)
    second_run = contents(tmp_path)
    assert before.items() <= second_run.items()
    assert second_run.keys() == first_run.keys()
    pictures = {name for name in first_run.keys() - before.keys() if name.endswith(".jpg")}
    assert len(pictures) == 2
    assert sum(first_run[name] != second_run[name] for name in pictures) == 1
