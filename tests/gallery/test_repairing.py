"""Repairs report every loss and handle concurrent writers and links."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facebank.errors import GalleryBusyError, GalleryFormatError, StorageError, UsageError
from facebank.gallery import FaceKey, Gallery, check_gallery, repair_gallery

from .databases import execute_unchecked, locate_page

if TYPE_CHECKING:
    from tests.gallery.conftest import FaceFactory

KILLED_BACKUP = """
import os, signal, sys
from facebank.gallery import Gallery
from facebank.storage.connections import BoundedConnection

backup = BoundedConnection.backup
BoundedConnection.backup = lambda connection, target: backup(
    connection, target, pages=1, progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL)
)
with Gallery.open(sys.argv[1]) as gallery:
    gallery.back_up(sys.argv[2])
"""


@pytest.fixture
def closed_gallery(gallery: Gallery, faces: FaceFactory) -> Path:
    """Path of a closed gallery of two people and a denial."""
    gallery.enroll("Ada", faces.samples(3))
    gallery.enroll("Bob", faces.samples(2))
    gallery.deny("Bob", FaceKey.from_sample(faces.sample()))
    gallery.close()
    return gallery.path


def damage_thumbnail(path: Path) -> None:
    execute_unchecked(path, "UPDATE thumbnails SET jpeg = CAST('other' AS BLOB) WHERE sample_id = 1")


def overwrite_page(path: Path, name: str) -> None:
    offset, size = locate_page(path, name)
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xa5" * size)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def names_in_folder_of(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_gallery_in_use_is_not_repaired(closed_gallery: Path) -> None:
    damage_thumbnail(closed_gallery)
    with Gallery.open(closed_gallery) as gallery:
        with pytest.raises(GalleryBusyError, match="in use"):
            repair_gallery(closed_gallery)
        gallery.rename("Ada", "Grace")
    repair_gallery(closed_gallery)
    with Gallery.open(closed_gallery) as gallery:
        assert [person.name for person in gallery.people()] == ["Bob", "Grace"]


def test_rows_in_the_log_are_kept(closed_gallery: Path) -> None:
    damage_thumbnail(closed_gallery)
    with closing(sqlite3.connect(closed_gallery, isolation_level=None)) as reader:
        reader.execute("PRAGMA journal_mode = WAL").fetchone()
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        with Gallery.open(closed_gallery) as gallery:
            gallery.rename("Ada", "Grace")
        with pytest.raises(GalleryBusyError, match="in use"):
            repair_gallery(closed_gallery)
    with Gallery.open(closed_gallery) as gallery:
        assert [person.name for person in gallery.people()] == ["Bob", "Grace"]


def test_the_target_of_a_link_is_repaired(closed_gallery: Path, tmp_path: Path) -> None:
    damage_thumbnail(closed_gallery)
    closed_gallery.chmod(0o640)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = elsewhere / "link"
    link.symlink_to(closed_gallery)
    repaired = repair_gallery(link)
    assert link.is_symlink()
    assert stat.S_IMODE(closed_gallery.stat().st_mode) == 0o640
    assert check_gallery(closed_gallery).damage == ()
    assert repaired.backup.parent == closed_gallery.parent
    for path in (link, closed_gallery):
        with Gallery.open(path) as gallery:
            assert gallery.automatic_backups() == [repaired.backup]
    with Gallery.open(closed_gallery) as gallery:
        gallery.forget("Ada")
    assert not repaired.backup.exists()
    assert names_in_folder_of(link) == ["link"]


def test_a_failed_repair_changes_nothing(closed_gallery: Path) -> None:
    execute_unchecked(closed_gallery, "CREATE TABLE further (number INTEGER)")
    before, names = dump(closed_gallery), names_in_folder_of(closed_gallery)
    with pytest.raises(GalleryFormatError, match="restore a backup") as caught:
        repair_gallery(closed_gallery)
    assert "--repair" not in str(caught.value)
    assert (dump(closed_gallery), names_in_folder_of(closed_gallery)) == (before, names)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM denials", "1 of the 1 rows of 'denials'"),
        ("DELETE FROM vectors WHERE sample_id = 2 AND variant = 'flip'", "'flip', missing for samples 2"),
        ("DELETE FROM sums WHERE name = 'thumbnails'", "the row count of 'thumbnails' is lost"),
    ],
)
def test_losses_known_only_from_checksums_are_reported(closed_gallery: Path, statement: str, expected: str) -> None:
    execute_unchecked(closed_gallery, statement)
    lost = repair_gallery(closed_gallery).lost
    assert any(expected in damage.message for damage in lost), lost
    assert check_gallery(closed_gallery).damage == ()


@pytest.mark.parametrize("name", ["denials_by_content", "samples_by_owner", "vectors_by_components", "migrations"])
def test_an_overwritten_page_is_detected_and_repaired(closed_gallery: Path, name: str) -> None:
    overwrite_page(closed_gallery, name)
    assert check_gallery(closed_gallery).damage
    assert repair_gallery(closed_gallery).lost == ()
    assert check_gallery(closed_gallery).damage == ()
    with Gallery.open(closed_gallery) as gallery:
        assert [person.sample_count for person in gallery.people()] == [3, 2]


def test_a_damaged_page_of_rows_is_reported(closed_gallery: Path) -> None:
    overwrite_page(closed_gallery, "vectors")
    assert "vectors" in {damage.table for damage in check_gallery(closed_gallery).damage}


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", "-queue", ".before-schema-6.backup"])
def test_reserved_names_are_rejected_for_backups(closed_gallery: Path, suffix: str) -> None:
    target = closed_gallery.with_name(closed_gallery.name + suffix)
    with Gallery.open(closed_gallery) as gallery, pytest.raises(UsageError):
        gallery.back_up(target)
    with Gallery.open(closed_gallery) as gallery:
        assert gallery.back_up(closed_gallery.with_name(f"copy{suffix}")).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits")
def test_a_full_disk_is_reported_for_the_backup(closed_gallery: Path, tmp_path: Path) -> None:
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Gallery.open(closed_gallery) as gallery:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
            with pytest.raises(StorageError, match=r"copy\.facebank cannot be written"):
                gallery.back_up(tmp_path / "copy.facebank")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_leftovers_of_a_killed_backup_are_removed(closed_gallery: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    command = [sys.executable, "-c", KILLED_BACKUP, os.fspath(closed_gallery), os.fspath(folder / "first")]
    assert subprocess.run(command, check=False).returncode < 0
    assert any(folder.iterdir())
    with Gallery.open(closed_gallery) as gallery:
        gallery.back_up(folder / "second")
    assert [path.name for path in folder.iterdir()] == ["second"]
