"""No command names a person whose probability is too low."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from facebank import FaceBank
from facebank.album.album import Album
from facebank.album.confirmed import known_faces
from tests.demo_photos import DEMO_PHOTOS

from .conftest import Run, Validate

OBAMA = "Barack Obama"
SPEECH = "barack_obama_speech.jpg"


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with a photograph of an enrolled person."""
    folder = tmp_path / "album"
    folder.mkdir()
    shutil.copy(DEMO_PHOTOS / SPEECH, folder)
    return folder


@pytest.fixture
def strict_gallery(run: Run, two_people: Path) -> Path:
    """A gallery with settings under which every face is probably a stranger's."""
    run("settings", "set", "stranger_share", "0.9999999999")
    run("settings", "set", "fpir", "0.2")
    return two_people


def test_no_person_is_known_below_the_least_probability(
    run: Run, strict_gallery: Path, album: Path, validate: Validate, tmp_path: Path
) -> None:
    path = album / SPEECH
    run("scan", album)
    for arguments in ([path], ["--scan"]):
        records = run("identify", *arguments, "--json").records
        validate("identify", records)
        (face,) = records[0]["faces"]
        assert (face["decision"], face["reason"], face["person"]) == ("uncertain", "improbable", None)
        assert face["candidates"][0]["person"] == OBAMA
        assert face["probability"] < 0.5
    assert run("find", OBAMA).out.endswith("0 photos\n")
    assert run("sort", album, tmp_path / "sorted").out.startswith("0 photos sorted, 1 name too uncertain")
    assert not (tmp_path / "sorted").exists()
    with FaceBank.open(strict_gallery) as bank, Album(bank) as scanned:
        assert not known_faces(bank, scanned.scan_file)  # so 'facebank cluster' groups the face
    run("deny", path, "Eileen Collins")
    assert not any(face["person"] for face in run("identify", path, "--json").records[0]["faces"])


@pytest.mark.usefixtures("strict_gallery")
def test_the_least_probability_can_be_set_for_one_run(run: Run, album: Path) -> None:
    path = album / SPEECH
    run("scan", album)
    for arguments in ([path], ["--scan"]):
        (face,) = run("identify", *arguments, "--least-probability", "0", "--json").records[0]["faces"]
        assert (face["decision"], face["person"]) == ("known", OBAMA)
    assert run("find", OBAMA, "--least-probability", "0").out.endswith("1 photo\n")
    assert "least_probability" in run("identify", path, "--least-probability", "1", code=2).err
    run("settings", "set", "least_probability", "0")
    assert run("find", OBAMA).out.endswith("1 photo\n")


@pytest.mark.usefixtures("strict_gallery")
@pytest.mark.skipif(find_spec("lxml") is None, reason="needs the extra xmp")
def test_no_improbable_name_is_written(run: Run, album: Path, validate: Validate) -> None:
    run("scan", album)
    written = run("tags", "write", album, "--json").records
    validate("tags-write", written)
    assert written[0]["faces"] == [{"face": 1, "person": OBAMA, "action": "unsure", "named_as": None}]
    assert [path.name for path in album.iterdir()] == [SPEECH]


@pytest.mark.usefixtures("two_people")
def test_commands_that_change_files_keep_the_gallerys_least_probability(run: Run, album: Path, tmp_path: Path) -> None:
    run("scan", album)
    commands: list[list[str | Path]] = [["sort", album, tmp_path / "sorted"], ["tags", "write", album]]
    for command in commands:
        message = run(*command, "--least-probability", "0.3", code=2).err
        assert "facebank settings set least_probability 0.3" in message
        assert len(message.splitlines()) == 1
    assert not (tmp_path / "sorted").exists()
