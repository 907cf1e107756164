"""Precedence and validation of stored calibrations."""

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
    find_pack_calibration,
    require_folder,
    save_pack_calibration,
    user_folder,
)

PACK = PackIdentity("small", "ab" * 32, 3)
TABLE = SizeTable(1, ((-1.0, 2.0),) * len(SAMPLES), tuple(0.9 - 0.1 * n for n in range(len(RATES))), 0.0, 0.01)
CALIBRATION = Calibration(PACK.digest, "a test", 40, 90, (Calibrator("prototype", (0.0, 1.0), (TABLE,)),))
BACKGROUND = Background(np.array([0.1, 0.2, 0.3], np.float32), np.eye(3, dtype=np.float32))


@pytest.fixture(autouse=True)
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of the user's own calibration of the pack, which does not exist yet."""
    monkeypatch.setenv("FACEBANK_CALIBRATIONS", str(tmp_path / "calibrations"))
    return user_folder(PACK)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """Folder of the pack with a calibration and a background."""
    save_pack_calibration(replace(CALIBRATION, made_from="the pack's people"), BACKGROUND, tmp_path / "pack")
    return tmp_path / "pack"


def made_from(known: PackCalibration) -> str:
    assert known.calibration is not None
    return known.calibration.made_from


def test_pack_without_calibration_has_none(tmp_path: Path) -> None:
    for folder in (None, tmp_path, tmp_path / "nowhere"):
        known = find_pack_calibration(PACK, folder)
        assert (known.calibration, known.background, known.folder) == (None, None, None)


def test_saved_calibration_is_loaded(packs: Path) -> None:
    known = find_pack_calibration(PACK, packs)
    assert known.calibration == replace(CALIBRATION, made_from="the pack's people")
    assert known.background is not None
    assert np.array_equal(known.background.mean, BACKGROUND.mean)
    assert known.folder == packs
    assert sorted(path.name for path in packs.iterdir()) == [BACKGROUND_NAME, CALIBRATION_NAME]


def test_users_own_calibration_wins(packs: Path, users: Path) -> None:
    other = replace(BACKGROUND, mean=np.zeros(3, np.float32))
    save_pack_calibration(CALIBRATION, other, users)
    known = find_pack_calibration(PACK, packs)
    assert (made_from(known), known.folder) == ("a test", users)
    assert known.background is not None
    assert not known.background.mean.any()
    another = replace(PACK, digest="cd" * 32)
    save_pack_calibration(replace(CALIBRATION, pack_digest=another.digest), None, packs)
    assert find_pack_calibration(another, packs).folder == packs


def test_own_calibration_without_background_keeps_the_packs(packs: Path, users: Path) -> None:
    save_pack_calibration(CALIBRATION, None, users)
    known = find_pack_calibration(PACK, packs)
    assert (made_from(known), known.background is not None) == ("a test", True)
    assert find_pack_calibration(PACK, None).background is None


def test_uncalibrated_classifier_keeps_the_packs_calibration(users: Path, tmp_path: Path) -> None:
    svm, knn = (Calibrator(kind, (0.0, 1.0), (TABLE,)) for kind in ("svm", "knn"))
    shipped = replace(CALIBRATION, calibrators=(*CALIBRATION.calibrators, svm))
    save_pack_calibration(shipped, BACKGROUND, tmp_path / "pack")
    mine = Background(np.array([0.3, 0.2, 0.1], np.float32), np.eye(3, dtype=np.float32))
    prototype = replace(CALIBRATION.calibrators[0], knots=(0.1, 0.9))
    save_pack_calibration(replace(CALIBRATION, calibrators=(prototype, knn)), mine, users)
    known = find_pack_calibration(PACK, tmp_path / "pack")
    assert known.calibration is not None
    assert known.calibration.calibrators == (prototype, knn, svm)
    # and the background that the SVM was calibrated with
    assert known.background is not None
    assert np.allclose(known.background.mean, BACKGROUND.mean)
    assert known.folder == users


def test_background_is_removed_with_its_calibration(users: Path) -> None:
    save_pack_calibration(CALIBRATION, BACKGROUND, users)
    save_pack_calibration(CALIBRATION, None, users)
    assert [path.name for path in users.iterdir()] == [CALIBRATION_NAME]
    assert find_pack_calibration(PACK, None).background is None


def test_files_have_default_permissions(packs: Path, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    usual = stat.S_IMODE((tmp_path / "new").stat().st_mode)
    assert {stat.S_IMODE(path.stat().st_mode) for path in packs.iterdir()} == {usual}


@pytest.mark.parametrize(
    ("name", "content", "why"),
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
def test_damaged_calibration_gives_a_one_line_error(packs: Path, name: str, content: bytes, why: str) -> None:
    (packs / name).write_bytes(content)
    with pytest.raises(PackIntegrityError, match=why) as raised:
        find_pack_calibration(PACK, packs)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert "'small'" in message
    assert str(packs) in message
    assert "facebank packs calibrate" in message


def test_calibration_of_another_pack_is_ignored(packs: Path) -> None:
    (packs / CALIBRATION_NAME).write_text(replace(CALIBRATION, pack_digest="cd" * 32).to_json(), encoding="utf-8")
    found = find_pack_calibration(PACK, packs)
    assert (found.calibration, found.background, found.folder) == (None, None, None)


def test_background_of_another_length_is_refused(packs: Path) -> None:
    with pytest.raises(PackIntegrityError, match="not a background of 5 dimensions"):
        find_pack_calibration(replace(PACK, dimension=5), packs)


def test_damaged_own_calibration_is_an_error(packs: Path, users: Path) -> None:
    users.mkdir(parents=True)
    (users / CALIBRATION_NAME).write_text("{}")
    with pytest.raises(PackIntegrityError, match=str(users)):
        find_pack_calibration(PACK, packs)


def test_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for attempt in (require_folder, lambda folder: save_pack_calibration(CALIBRATION, BACKGROUND, folder)):
        with pytest.raises(StorageError, match=r"cannot write .*FACEBANK_CALIBRATIONS"):
            attempt(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_bytes() == b""


def test_checking_the_folder_leaves_it_unchanged(tmp_path: Path, packs: Path) -> None:
    require_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    before = (packs / CALIBRATION_NAME).read_bytes()
    require_folder(packs)
    assert (packs / CALIBRATION_NAME).read_bytes() == before
    assert len(list(packs.iterdir())) == 2
