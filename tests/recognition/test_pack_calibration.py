"""The calibration of a pack: the user's own takes precedence over that of the pack, and both are validated."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facebank.errors import PackIntegrityError, StorageError
from facebank.gallery import PackIdentity
from facebank.recognition.calibration.background import Background
from facebank.recognition.calibration.calibration import RATES, SAMPLES, Calibration, Calibrator, SizeTable
from facebank.recognition.calibration.files import (
    BACKGROUND_NAME,
    CALIBRATION_NAME,
    PackCalibration,
    check_folder,
    find_pack_calibration,
    save_pack_calibration,
    user_folder,
)

PACK = PackIdentity("small", "ab" * 32, 3)
TABLE = SizeTable(1, ((-1.0, 2.0),) * len(SAMPLES), tuple(0.9 - 0.1 * step for step in range(len(RATES))), 0.0, 0.01)
CALIBRATION = Calibration(PACK.digest, "a test", 40, 90, (Calibrator("prototype", (0.0, 1.0), (TABLE,)),))
BACKGROUND = Background(np.array([0.1, 0.2, 0.3], np.float32), np.eye(3, dtype=np.float32))


@pytest.fixture(autouse=True)
def user_calibration_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the user's own calibration of the pack, which does not exist yet."""
    monkeypatch.setenv("FACEBANK_CALIBRATIONS", str(tmp_path / "calibrations"))
    return user_folder(PACK)


@pytest.fixture
def pack_folder(tmp_path: Path) -> Path:
    """Folder of the pack with a calibration and a background."""
    save_pack_calibration(replace(CALIBRATION, made_from="the pack's people"), BACKGROUND, tmp_path / "pack")
    return tmp_path / "pack"


def made_from(loaded: PackCalibration) -> str:
    assert loaded.calibration is not None
    return loaded.calibration.made_from


def test_pack_without_calibration_has_none(tmp_path: Path) -> None:
    for folder in (None, tmp_path, tmp_path / "nowhere"):
        loaded = find_pack_calibration(PACK, folder)
        assert (loaded.calibration, loaded.background, loaded.folder) == (None, None, None)


def test_saved_calibration_is_loaded(pack_folder: Path) -> None:
    loaded = find_pack_calibration(PACK, pack_folder)
    assert loaded.calibration == replace(CALIBRATION, made_from="the pack's people")
    assert loaded.background is not None
    assert np.array_equal(loaded.background.mean, BACKGROUND.mean)
    assert loaded.folder == pack_folder
    assert sorted(path.name for path in pack_folder.iterdir()) == [BACKGROUND_NAME, CALIBRATION_NAME]


def test_user_calibration_takes_precedence(pack_folder: Path, user_calibration_folder: Path) -> None:
    other_background = replace(BACKGROUND, mean=np.zeros(3, np.float32))
    save_pack_calibration(CALIBRATION, other_background, user_calibration_folder)
    loaded = find_pack_calibration(PACK, pack_folder)
    assert (made_from(loaded), loaded.folder) == ("a test", user_calibration_folder)
    assert loaded.background is not None
    assert not loaded.background.mean.any()


def test_user_calibration_applies_to_its_pack_only(pack_folder: Path, user_calibration_folder: Path) -> None:
    save_pack_calibration(CALIBRATION, BACKGROUND, user_calibration_folder)
    other_pack = replace(PACK, digest="cd" * 32)
    save_pack_calibration(replace(CALIBRATION, pack_digest=other_pack.digest), None, pack_folder)
    assert find_pack_calibration(other_pack, pack_folder).folder == pack_folder


def test_user_calibration_without_background_keeps_that_of_the_pack(
    pack_folder: Path, user_calibration_folder: Path
) -> None:
    save_pack_calibration(CALIBRATION, None, user_calibration_folder)
    loaded = find_pack_calibration(PACK, pack_folder)
    assert (made_from(loaded), loaded.background is not None) == ("a test", True)
    assert find_pack_calibration(PACK, None).background is None


def test_uncalibrated_classifier_keeps_the_calibration_of_the_pack(
    user_calibration_folder: Path, tmp_path: Path
) -> None:
    svm, knn = (Calibrator(classifier, (0.0, 1.0), (TABLE,)) for classifier in ("svm", "knn"))
    pack_calibration = replace(CALIBRATION, calibrators=(*CALIBRATION.calibrators, svm))
    save_pack_calibration(pack_calibration, BACKGROUND, tmp_path / "pack")
    user_background = Background(np.array([0.3, 0.2, 0.1], np.float32), np.eye(3, dtype=np.float32))
    prototype = replace(CALIBRATION.calibrators[0], knots=(0.1, 0.9))
    save_pack_calibration(replace(CALIBRATION, calibrators=(prototype, knn)), user_background, user_calibration_folder)
    loaded = find_pack_calibration(PACK, tmp_path / "pack")
    assert loaded.calibration is not None
    assert loaded.calibration.calibrators == (prototype, knn, svm)
    # The background is the one that the SVM was calibrated with.
    assert loaded.background is not None
    assert np.allclose(loaded.background.mean, BACKGROUND.mean)
    assert loaded.folder == user_calibration_folder


def test_background_is_removed_with_its_calibration(user_calibration_folder: Path) -> None:
    save_pack_calibration(CALIBRATION, BACKGROUND, user_calibration_folder)
    save_pack_calibration(CALIBRATION, None, user_calibration_folder)
    assert [path.name for path in user_calibration_folder.iterdir()] == [CALIBRATION_NAME]
    assert find_pack_calibration(PACK, None).background is None


def test_files_have_default_permissions(pack_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    default_mode = stat.S_IMODE((tmp_path / "new").stat().st_mode)
    assert {stat.S_IMODE(path.stat().st_mode) for path in pack_folder.iterdir()} == {default_mode}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (CALIBRATION_NAME, b"", "not a calibration"),
        (CALIBRATION_NAME, b"{}", "unsupported format"),
        (CALIBRATION_NAME, b"\xff\x00", "not a calibration"),
        (CALIBRATION_NAME, b"[" * 100_000, "not a calibration"),
        (CALIBRATION_NAME, b" " * ((8 << 20) + 1), "larger than 8 MiB"),
        (BACKGROUND_NAME, b"", "not a background"),
        (BACKGROUND_NAME, b"PK\x03\x04 half a file", "not a background"),
    ],
    ids=["empty", "other", "binary", "deep", "long", "empty background", "half a background"],
)
def test_damaged_calibration_is_a_one_line_error(pack_folder: Path, name: str, content: bytes, message: str) -> None:
    (pack_folder / name).write_bytes(content)
    with pytest.raises(PackIntegrityError, match=message) as caught:
        find_pack_calibration(PACK, pack_folder)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert "'small'" in text
    assert str(pack_folder) in text
    assert "facebank packs calibrate" in text


def test_calibration_of_another_pack_is_ignored(pack_folder: Path) -> None:
    (pack_folder / CALIBRATION_NAME).write_text(replace(CALIBRATION, pack_digest="cd" * 32).to_json(), encoding="utf-8")
    loaded = find_pack_calibration(PACK, pack_folder)
    assert (loaded.calibration, loaded.background, loaded.folder) == (None, None, None)


def test_background_of_another_length_is_refused(pack_folder: Path) -> None:
    with pytest.raises(PackIntegrityError, match="not a background of 5 dimensions"):
        find_pack_calibration(replace(PACK, dimension=5), pack_folder)


def test_damaged_user_calibration_is_an_error(pack_folder: Path, user_calibration_folder: Path) -> None:
    user_calibration_folder.mkdir(parents=True)
    (user_calibration_folder / CALIBRATION_NAME).write_text("{}")
    with pytest.raises(PackIntegrityError, match=str(user_calibration_folder)):
        find_pack_calibration(PACK, pack_folder)


def test_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for function in (check_folder, lambda folder: save_pack_calibration(CALIBRATION, BACKGROUND, folder)):
        with pytest.raises(StorageError, match=r"cannot write .*FACEBANK_CALIBRATIONS"):
            function(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_bytes() == b""


def test_checking_the_folder_leaves_it_unchanged(tmp_path: Path, pack_folder: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    before = (pack_folder / CALIBRATION_NAME).read_bytes()
    check_folder(pack_folder)
    assert (pack_folder / CALIBRATION_NAME).read_bytes() == before
    assert len(list(pack_folder.iterdir())) == 2
