"""``facebank identify --annotate``: copies with boxes and names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Run


@pytest.fixture
def holiday(tmp_path: Path, speech: Path, stranger: Path) -> Path:
    """A folder and a subfolder with photos of the same file name."""
    folder = tmp_path / "holiday"
    (folder / "day 2").mkdir(parents=True)
    shutil.copy(speech, folder / "same.jpg")
    shutil.copy(stranger, folder / "day 2" / "same.jpg")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_copies_keep_the_folders_of_their_photos(run: Run, two_people: Path, holiday: Path, tmp_path: Path) -> None:
    ran = run("identify", "holiday", "--annotate", "named/pictures")
    written, summary = ran.err.splitlines()
    assert written == "facebank: 2 pictures written to named/pictures"
    assert summary.startswith("facebank: 2 photos with 2 faces, 1 known, 0 uncertain, 1 unknown")
    assert files(tmp_path / "named" / "pictures").keys() == files(holiday).keys()
    run("scan", "holiday")
    run("identify", "--scan", "holiday", "--annotate", "scanned")
    assert files(tmp_path / "scanned") == files(tmp_path / "named" / "pictures")
    for name in files(holiday):
        with Image.open(tmp_path / "named" / "pictures" / name) as drawn, Image.open(holiday / name) as plain:
            assert drawn.size == plain.size


def test_a_copy_with_another_name_is_reported(run: Run, two_people: Path, holiday: Path, tmp_path: Path) -> None:
    for _ in range(2):
        ran = run("identify", "holiday/same.jpg", "holiday/day 2/same.jpg", "--annotate", "named")
        message, count = ran.err.splitlines()
        assert message == "facebank: the copy of holiday/day 2/same.jpg is named/same-2.jpg"
        assert count == "facebank: 2 pictures written to named"
        assert set(files(tmp_path / "named")) == {"same.jpg", "same-2.jpg"}


@pytest.mark.parametrize("folder", ["named", "holiday", "holiday/named"])
def test_a_second_run_replaces_only_annotated_copies(
    run: Run, two_people: Path, holiday: Path, tmp_path: Path, folder: str
) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "day 2").mkdir(exist_ok=True)
    foreign = tmp_path / folder / "day 2" / "same.jpg"
    if not foreign.exists():
        foreign.write_text("a file of somebody else's")
    before = files(tmp_path)
    before.pop(two_people.name)  # records where copies are written
    run("identify", "holiday", "--annotate", folder, code=None)
    once = files(tmp_path)
    assert before.items() <= once.items()
    run("people", "rename", "Barack Obama", "B. O.")
    run("identify", "holiday", "--annotate", folder, code=None)
    again = files(tmp_path)
    assert before.items() <= again.items()
    assert again.keys() == once.keys()
    pictures = {name for name in once.keys() - before.keys() if name.endswith(".jpg")}
    assert len(pictures) == 2
    assert sum(once[name] != again[name] for name in pictures) == 1
