"""Copies of the data that a gallery keeps track of and wipes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facebank.errors import UsageError
from facebank.gallery import Gallery, PlaceKind, export_gallery
from facebank.gallery.derived import classifier_file
from facebank.gallery.places import WRITTEN_PLACES_SETTING, add_place

if TYPE_CHECKING:
    from tests.gallery.conftest import FaceFactory

LEFTOVER_NAME = ".facebank-4194399-0123456789abcdef.part"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set all folders of the user to temporary ones."""
    for variable in ("CACHE", "PACKS", "CALIBRATIONS"):
        monkeypatch.setenv(f"FACEBANK_{variable}", str(tmp_path / variable.lower()))


def list_places(gallery: Gallery) -> list[tuple[str, str]]:
    return [(place.kind.value, place.path.name) for place in gallery.written_places()]


def test_existing_places_are_listed_latest_first(gallery: Gallery, tmp_path: Path) -> None:
    for name in ("one", "two", "gone"):
        (tmp_path / name).mkdir()
        gallery.note_written(PlaceKind.ANNOTATED, tmp_path / name)
    gallery.note_written(PlaceKind.TAGS, tmp_path / "one")
    (tmp_path / "gone").rmdir()
    assert list_places(gallery) == [("names in photos", "one"), ("annotated photos", "two")]


def test_exports_are_recorded(gallery: Gallery, faces: FaceFactory, tmp_path: Path) -> None:
    gallery.enroll("Ada", faces.samples(1))
    export_gallery(gallery, tmp_path / "backup")
    assert list_places(gallery) == [("export", "backup")]
    gallery.forget("Ada")
    assert list_places(gallery) == [("export", "backup")]


def test_a_restored_backup_lists_itself(gallery: Gallery, faces: FaceFactory, tmp_path: Path) -> None:
    gallery.enroll("Ada", faces.samples(1))
    backup = gallery.back_up(tmp_path / "backup.facebank")
    gallery.close()
    with Gallery.open(backup) as opened:
        assert list_places(opened) == []
    for suffix in ("-wal", "-shm"):
        gallery.path.with_name(f"{gallery.path.name}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(backup, gallery.path)
    with Gallery.open(gallery.path) as restored:
        assert list_places(restored) == [("backup", "backup.facebank")]


def test_existing_files_are_not_recorded_as_backups(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match="already exists"):
        gallery.back_up(tmp_path / "photo.jpg")
    assert list_places(gallery) == []


def test_places_named_after_a_person_are_forgotten(gallery: Gallery, faces: FaceFactory, tmp_path: Path) -> None:
    gallery.enroll("Augusta Ada King", faces.samples(1))
    for name in ("for augusta ada KING.html", "page.html"):
        (tmp_path / name).touch()
        gallery.note_written(PlaceKind.PAGE, tmp_path / name)
    gallery.forget("Augusta Ada King")
    assert list_places(gallery) == [("page of faces", "page.html")]
    gallery.close()
    assert b"augusta" not in gallery.path.read_bytes().lower()


def test_the_number_of_places_is_limited() -> None:
    entries: object = None
    for number in range(300):
        entries = add_place(entries, PlaceKind.PAGE, Path("/", "ü" * 200, str(number)))
    assert isinstance(entries, list)
    assert len(json.dumps(entries)) < 60_000
    assert entries[-1]["path"].endswith("/299")


def test_invalid_entries_are_ignored(gallery: Gallery, tmp_path: Path) -> None:
    valid = {"kind": "export", "path": str(tmp_path)}
    damaged = [None, 3, {"kind": "spell", "path": "/"}, {"kind": "export", "path": "here"}, {"kind": "export"}]
    damaged.append({"kind": "export", "path": "/\0"})
    gallery.write_setting(WRITTEN_PLACES_SETTING, [*damaged, valid])
    assert [place.path for place in gallery.written_places()] == [tmp_path]
    gallery.write_setting(WRITTEN_PLACES_SETTING, "nonsense")
    assert gallery.written_places() == []


def test_read_only_galleries_record_nothing(gallery: Gallery, tmp_path: Path) -> None:
    with Gallery.open(gallery.path, read_only=True) as reader:
        reader.note_written(PlaceKind.PAGE, tmp_path)
        assert reader.written_places() == []
    with gallery.snapshot():
        gallery.note_written(PlaceKind.PAGE, tmp_path)
    assert gallery.written_places() == []


def test_files_in_another_cache_are_wiped_too(
    gallery: Gallery, faces: FaceFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.enroll("Ada", faces.samples(1))
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "elsewhere"))
    gallery.note_place()
    coefficients = classifier_file(gallery.path)
    coefficients.parent.mkdir(parents=True)
    coefficients.write_bytes(b"coefficients of Ada")
    unrelated = coefficients.with_name("0" * 32 + ".npz")
    unrelated.write_bytes(b"coefficients of another gallery")
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    assert gallery.derived_files() == [coefficients]
    assert gallery.forget("Ada").wiped == (coefficients,)
    assert list(coefficients.parent.iterdir()) == [unrelated]


def test_leftovers_are_wiped_in_all_recorded_folders(gallery: Gallery, faces: FaceFactory, tmp_path: Path) -> None:
    gallery.enroll("Ada", faces.samples(2))
    deep = tmp_path / "annotated" / "2019"
    deep.mkdir(parents=True)
    gallery.note_written(PlaceKind.ANNOTATED, tmp_path / "annotated")
    (tmp_path / "exports").mkdir()
    export_gallery(gallery, tmp_path / "exports" / "one")
    leftovers = [gallery.path.parent / LEFTOVER_NAME, deep / LEFTOVER_NAME, tmp_path / "exports" / LEFTOVER_NAME]
    for path in leftovers[:2]:
        path.write_bytes(b"Ada")
    leftovers[2].mkdir()
    (leftovers[2] / "people.jsonl").write_bytes(b"Ada")
    (tmp_path / "unrelated").mkdir()
    (tmp_path / "unrelated" / LEFTOVER_NAME).write_bytes(b"nobody wrote here")
    assert set(gallery.leftovers()) == set(leftovers)
    assert set(gallery.remove_sample(1).wiped) == set(leftovers)
    assert not any(map(os.path.lexists, leftovers))
    assert (tmp_path / "unrelated" / LEFTOVER_NAME).exists()
