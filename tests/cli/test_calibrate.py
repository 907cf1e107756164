"""``facebank packs calibrate``, and the calibration in ``packs show``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from facebank.packs import load_pack
from tests.demo_photos import COLLINS, DEMO_PHOTOS

from .conftest import Run, RunResult, Validate

SIZES = [1, 10, 100, 1000]


@pytest.fixture
def run(run: Run, tmp_path: Path) -> Callable[..., RunResult]:
    """A function that runs the program without the user's calibrations."""
    return partial(run, FACEBANK_CALIBRATIONS=str(tmp_path / "calibrations"))


@pytest.fixture(scope="module")
def album(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of 40 LFW people with two photos each; one also has a file that is not a photo."""
    folder = tmp_path_factory.mktemp("lfw") / "album"
    with_two_photos = [path for path in sorted((shared / "data" / "lfw").iterdir()) if len(list(path.iterdir())) == 2]
    for path in with_two_photos[:40]:
        shutil.copytree(path, folder / path.name)
    (folder / with_two_photos[0].name / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture
def small_album(tmp_path: Path) -> Path:
    """Two people; one photo is of the other person."""
    for name, file_names in {
        "Barack": ("barack_obama_portrait_2012.jpg", "barack_obama_speech.jpg"),
        "Eileen": ("eileen_collins.jpg", "barack_obama_speech.jpg"),
    }.items():
        (tmp_path / "few" / name).mkdir(parents=True)
        for file_name in file_names:
            shutil.copy(DEMO_PHOTOS / file_name, tmp_path / "few" / name)
    return tmp_path / "few"


def show_calibration(run: Run, validate: Validate, code: int = 0) -> dict[str, object]:
    """Return the calibration of the embedded pack in ``packs show``."""
    records = run("packs", "show", "opencv", "--json", code=code).records
    validate("packs-show", records)
    calibrated = records[0]["calibrated"]
    assert isinstance(calibrated, dict)
    return calibrated


def test_a_calibration_is_saved_shown_and_used(
    run: Run, album: Path, tmp_path: Path, validate: Validate, two_people: Path, speech: Path
) -> None:
    strangers = tmp_path / "crowd"
    strangers.mkdir()
    for path in (speech, COLLINS):
        shutil.copy(path, strangers)
    calibration = run(
        "packs", "calibrate", "opencv", album, "--strangers", strangers, "--classifier", "prototype", "--json"
    )
    validate("packs-calibrate", calibration.records)
    (record,) = calibration.records
    assert (record["people"], record["pack"], record["left_out"]["unreadable"]) == (40, "opencv", 1)
    assert record["strangers"] >= 2
    used = record["photos"] + sum(record["left_out"].values())
    assert used >= 80 + 1 + 2
    assert record["made_from"] == "photos of album with strangers of crowd"
    (classifier,) = record["classifiers"]
    assert [gallery["people"] for gallery in classifier["galleries"]] == SIZES
    assert [gallery["threshold"] is None for gallery in classifier["galleries"]] == [False, False, True, True]
    assert not record["background"]
    assert Path(record["folder"]).is_relative_to(tmp_path / "calibrations")
    calibrated = show_calibration(run, validate)
    # The other classifiers keep the calibration of the pack.
    assert calibrated["state"] == "own"
    assert calibrated["classifiers"] == ["prototype", "knn", "svm", "svm-rbf", "logistic"]
    assert (calibrated["photos"], calibrated["made_from"]) == (record["photos"], record["made_from"])
    (identified,) = run("identify", speech, "--json", "--classifier", "prototype").records
    assert identified["faces"][0]["probability"] > 0.5


def test_a_calibration_in_another_folder_is_not_used(run: Run, album: Path, tmp_path: Path, validate: Validate) -> None:
    before = show_calibration(run, validate)
    result = run("packs", "calibrate", "opencv", album, "--classifier", "knn", "--out", tmp_path / "made")
    lines = result.out.splitlines()
    assert lines[0].startswith("opencv: ")
    assert "40 people" in lines[0]
    assert lines[1] == "photos and faces not used: 1 unreadable"
    assert [line.split("\t")[:2] for line in lines[2:5]] == [["classifier", "people"], ["knn", "1"], ["knn", "10"]]
    assert lines[-1] == f"saved in {tmp_path / 'made'}"
    uncounted, untried = result.err.splitlines()
    assert "too few" in uncounted
    assert "up to 30 people" in untried
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["calibration.json"]
    assert show_calibration(run, validate) == before


def test_too_few_people_and_mislabeled_photos_are_reported(run: Run, small_album: Path, validate: Validate) -> None:
    before = show_calibration(run, validate)
    result = run("packs", "calibrate", "opencv", small_album, code=2)
    assert result.out == ""
    mislabeled, too_few = result.err.splitlines()
    assert "in the folders of Barack and Eileen" in mislabeled
    assert too_few.startswith("facebank: few: A calibration needs 40 people")
    assert "strangers" in too_few
    assert not (small_album.parent / "calibrations").exists()
    assert show_calibration(run, validate) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere\x1b[31m", "few"), "unknown pack"),
        (("opencv", "nowhere\x1b[31m"), "is not a folder"),
        (("opencv", "few/Eileen"), "has no subfolders: name a folder with one subfolder for each person"),
        (("opencv", "few", "--classifier", "oracle\x1b[31m"), "unknown classifier"),
        (("opencv", "few", "--strangers", "nowhere\x1b[31m"), "no such file or folder"),
        (("opencv", "few", "--out", "few/Eileen/eileen_collins.jpg"), "cannot write"),
    ],
)
def test_wrong_usage_is_one_sentence(run: Run, small_album: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run("packs", "calibrate", *arguments, code=2)
    assert result.out == ""
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert "\x1b" not in result.err


def test_help_has_an_example(run: Run) -> None:
    text = run("packs", "calibrate", "--help").out
    assert "facebank packs calibrate opencv album --strangers crowds" in text
    assert "all takes several times" in " ".join(text.split())
    assert "calibrate" in run("packs", "--help").out


def test_show_describes_the_calibration_of_a_pack(run: Run, validate: Validate) -> None:
    calibrated = show_calibration(run, validate)
    assert calibrated["state"] == "pack"
    assert "prototype" in str(calibrated["classifiers"])
    assert "for prototype" in run("packs", "show", "opencv").out
    records = run("packs", "show", "buffalo_l", "--json").records
    validate("packs-show", records)
    assert records[0]["calibrated"]["state"] == "uncalibrated"
    assert "uncalibrated" in run("packs", "show", "buffalo_l").out


def test_show_reports_a_damaged_calibration(run: Run, tmp_path: Path, validate: Validate) -> None:
    folder = tmp_path / "calibrations" / load_pack().digest[:32]
    folder.mkdir(parents=True)
    (folder / "calibration.json").write_text("{}")
    calibrated = show_calibration(run, validate, code=1)
    assert calibrated["state"] == "damaged"
    assert str(folder) in str(calibrated["problem"])
    assert "cannot be used" in run("packs", "show", "opencv", code=1).out
