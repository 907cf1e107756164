"""The overview of an album: decisions about all photos, updated after changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank
from facebank.album.confirmed import known_faces
from facebank.album.overview import AlbumOverview
from facebank.gallery import FaceKey
from facebank.recognition.calibration.background import Background
from facebank.recognition.calibration.calibration import Calibration
from facebank.recognition.calibration.files import save_pack_calibration, user_folder
from facebank.recognition.cohort_file import write_album_people
from facebank.recognition.settings import change_settings
from tests.demo_photos import BLUE_ROOM, SPEECH


@pytest.fixture
def bank(tmp_path: Path, folder: Path) -> FaceBank:
    opened = FaceBank.open(tmp_path / "family.facebank", device="cpu", threads=1)
    opened.enroll("Barack", folder / "obama.jpg")
    return opened


def person_ids(bank: FaceBank) -> dict[str, int]:
    return {name: person_id for person_id, name in bank.gallery.names().items()}


def test_an_overview_without_a_scan_is_empty(bank: FaceBank, folder: Path) -> None:
    with bank, bank.album() as album:
        overview = AlbumOverview(bank, album, [folder])
        assert overview.refresh()
        assert not len(overview)
        assert overview.counts() == {}


def test_an_overview_reflects_changes_of_people_and_photos(bank: FaceBank, folder: Path) -> None:
    with bank, bank.album() as album:
        shutil.copy(SPEECH, folder / "speech.jpg")
        album.scan(folder)
        overview = AlbumOverview(bank, album, [folder])
        assert not overview.is_current
        assert overview.refresh()
        assert overview.is_current
        barack_id = person_ids(bank)["Barack"]
        assert {Path(photo.path).name for photo in overview.photos_of(barack_id)} == {"obama.jpg", "speech.jpg"}
        assert overview.counts() == {barack_id: 2}

        bank.enroll("Eileen", folder / "space" / "collins.jpg")
        assert not overview.is_current
        assert overview.refresh()
        assert overview.counts()[person_ids(bank)["Eileen"]] == 1

        (folder / "speech.jpg").rename(folder / "talk.jpg")
        album.scan(folder)
        assert not overview.is_current
        overview.refresh()
        assert {Path(photo.path).name for photo in overview.photos_of(barack_id)} == {"obama.jpg", "talk.jpg"}

        (folder / "talk.jpg").unlink()
        album.scan(folder)
        overview.refresh()
        assert overview.counts()[barack_id] == 1


def face_key(bank: FaceBank, path: Path) -> FaceKey:
    (photo,) = bank.analyze(path)
    return FaceKey.from_photo(photo, photo.faces[0])


def deny_face_without_picture_hash(bank: FaceBank, folder: Path) -> None:
    face = face_key(bank, folder / "obama.jpg")
    bank.gallery.deny("Eileen", replace(face, content_hash="ab" * 32, picture_hash=None))


def add_picture_hash(bank: FaceBank, _: Path) -> None:
    bank.gallery.add_picture_hash("ab" * 32, "cd" * 32)


CHANGES: dict[str, Callable[[FaceBank, Path], object]] = {
    "denial": lambda bank, folder: bank.deny(folder / "obama.jpg", "Eileen"),
    "denial withdrawn": lambda bank, folder: bank.gallery.withdraw_denial(
        "Eileen", face_key(bank, folder / "biden.jpg")
    ),
    "denial of a photo": deny_face_without_picture_hash,
    "denial of its copies": add_picture_hash,
    "nobody": lambda bank, folder: bank.deny_everybody(folder / "biden.jpg"),
    "confirmation": lambda bank, _: bank.confirm(SPEECH, "Barack"),
    "sample removed": lambda bank, _: bank.gallery.remove_sample(bank.samples("Barack")[0].id),
    "rename": lambda bank, _: bank.rename("Barry", "Joe"),
    "merge": lambda bank, _: bank.merge("Joe", "Barack", force=True),
    "unmerge": lambda bank, _: bank.unmerge("Barack"),
    "birth date": lambda bank, _: bank.gallery.describe("Eileen", born="1990"),
    "forgotten": lambda bank, _: bank.forget("Joe"),
    "setting": lambda bank, _: change_settings(bank.gallery, {"fpir": 0.1}),
    "calibration": lambda bank, _: save_pack_calibration(*pack_calibration_of(bank), user_folder(bank.engine.identity)),
    "people of the scan": lambda bank, _: write_album_people(
        bank.path, bank.gallery.pack.digest, np.eye(1, 128, dtype=np.float32)
    ),
}


def pack_calibration_of(bank: FaceBank) -> tuple[Calibration, Background]:
    current = bank.engine.pack_calibration
    assert current.calibration is not None
    assert current.background is not None
    return current.calibration, current.background


def test_an_overview_reflects_all_changes_that_affect_decisions(
    bank: FaceBank, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEBANK_CALIBRATIONS", str(tmp_path / "calibrations"))
    with bank, bank.album() as album, FaceBank.open(bank.path, device="cpu", threads=1) as other:
        bank.enroll("Eileen", folder / "space" / "collins.jpg")
        bank.enroll("Barry", BLUE_ROOM, pick="largest", force=True)
        bank.deny(folder / "biden.jpg", "Eileen")
        album.scan(folder)
        overview = AlbumOverview(bank, album, [folder])
        overview.refresh()
        for change, apply_change in CHANGES.items():
            assert overview.is_current, change
            apply_change(other, folder)
            assert not overview.is_current, change
            overview.refresh()


def test_a_denial_affects_the_overview_and_decisions(bank: FaceBank, folder: Path) -> None:
    with bank, bank.album() as album:
        shutil.copy(SPEECH, folder / "speech.jpg")
        album.scan(folder)
        overview = AlbumOverview(bank, album, [folder])
        overview.refresh()
        barack_id = person_ids(bank)["Barack"]
        assert overview.counts() == {barack_id: 2}
        before = bank.identification()
        bank.deny(folder / "speech.jpg", "Barack")
        overview.refresh()
        assert overview.counts() == {barack_id: 1}
        assert bank.identification() is before  # a denial does not require a new recognizer


def test_a_bank_uses_a_calibration_made_meanwhile(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEBANK_CALIBRATIONS", str(tmp_path / "calibrations"))
    with bank:
        calibration, background = pack_calibration_of(bank)
        before = bank.identification()
        changed = replace(calibration, made_from="own photos")
        save_pack_calibration(changed, background, user_folder(bank.engine.identity))
        assert bank.identification() is not before
        assert bank.identification() is bank.identification()
        assert bank.identification().basis.pack_calibration.calibration == changed


def test_an_overview_has_only_photos_of_its_folders(bank: FaceBank, folder: Path) -> None:
    with bank, bank.album() as album:
        album.scan(folder)
        inside = AlbumOverview(bank, album, [folder / "space"])
        inside.refresh()
        assert len(inside) == 1
        empty = AlbumOverview(bank, album, [])
        empty.refresh()
        assert not len(empty)


def test_an_answer_updates_its_photo_at_once(bank: FaceBank, folder: Path) -> None:
    with bank, bank.album() as album:
        album.scan(folder)
        overview = AlbumOverview(bank, album, [folder])
        overview.refresh()
        (photo,) = album.identify(folder / "space" / "collins.jpg")
        bank.enroll("Eileen", folder / "space" / "collins.jpg")
        overview.identify_again([photo.content_hash])
        assert overview.counts()[person_ids(bank)["Eileen"]] == 1
        assert not overview.is_current


def test_an_overview_finds_photos_of_two_people_and_known_faces(bank: FaceBank, folder: Path) -> None:
    with bank, bank.album() as album:
        bank.enroll("Eileen", folder / "space" / "collins.jpg")
        album.scan(folder)
        overview = AlbumOverview(bank, album, [folder])
        overview.refresh()
        ids_by_name = person_ids(bank)
        assert overview.photos_of(ids_by_name["Barack"], ids_by_name["Eileen"]) == []
        assert overview.known_faces() == known_faces(bank, album.scan_file)
        assert album.cluster(min_faces=1, known_ids=overview.known_faces()) == album.cluster(min_faces=1)
        assert AlbumOverview(bank, album, [folder / "space"]).known_faces() is None
        assert overview.uncertain_faces(ids_by_name["Barack"]) == () or overview.uncertain_faces()
