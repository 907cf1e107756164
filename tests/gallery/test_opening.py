"""Opening galleries: new, other, damaged and hostile files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import (
    FacebankError,
    GalleryBusyError,
    GalleryFormatError,
    GalleryNotFoundError,
    GalleryVersionError,
    StorageError,
    UsageError,
)
from facebank.gallery import Gallery, PackIdentity, inspect_gallery
from facebank.gallery.store.rows import seal_table
from facebank.index.gallery_index import open_index

from .databases import connect_unchecked, execute_unchecked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gallery.conftest import FaceFactory

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")


@pytest.fixture
def closed_gallery(gallery: Gallery, faces: FaceFactory) -> Path:
    """Path of a closed gallery of two people."""
    gallery.enroll("Ada", faces.samples(3))
    gallery.enroll("Bob", faces.samples(2))
    gallery.close()
    return gallery.path


def test_a_missing_gallery_raises(path: Path, faces: FaceFactory) -> None:
    for missing in (path, path / "deeper"):
        with pytest.raises(GalleryNotFoundError, match="enroll"):
            Gallery.open(missing, faces.pack)
    assert list(path.parent.iterdir()) == []


def test_an_empty_file_becomes_a_gallery_when_created(path: Path, faces: FaceFactory) -> None:
    path.touch()
    with pytest.raises(GalleryNotFoundError, match="empty"):
        Gallery.open(path, faces.pack)
    with Gallery.open(path, faces.pack, create=True) as gallery:
        assert gallery.people() == []
        assert gallery.revision == 0


@POSIX
def test_only_its_owner_can_read_a_new_gallery(tmp_path: Path, faces: FaceFactory) -> None:
    umask = os.umask(0)
    try:
        path = tmp_path / "new folder" / "family.facebank"
        with Gallery.open(path, faces.pack, create=True) as gallery:
            gallery.enroll("Ada", faces.samples(1))
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert modes == {path.name + suffix: 0o600 for suffix in ("", "-wal", "-shm", "-reserve")}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_closed_gallery_is_one_file_with_a_reserve(closed_gallery: Path) -> None:
    assert sorted(path.name for path in closed_gallery.parent.iterdir()) == [
        closed_gallery.name,
        f"{closed_gallery.name}-reserve",
    ]


def test_opening_keeps_the_existing_gallery(closed_gallery: Path, faces: FaceFactory) -> None:
    with Gallery.open(closed_gallery, faces.pack, create=True) as gallery:
        assert len(gallery.people()) == 2


def test_failed_creation_is_an_error(path: Path, faces: FaceFactory) -> None:
    path.touch()
    with pytest.raises(StorageError, match="cannot be created"):
        Gallery.open(path / "below a file", faces.pack, create=True)
    for pack, read_only in ((None, False), (faces.pack, True)):
        with pytest.raises(UsageError, match="pass a pack"):
            Gallery.open(path, pack, create=True, read_only=read_only)
    with pytest.raises(UsageError, match="not 0"):
        Gallery.open(path, PackIdentity("x", "ab" * 32, 0), create=True)


def test_an_interrupted_creation_can_be_repeated(path: Path, faces: FaceFactory) -> None:
    """SQLite rolls back the journal of a killed process, and the gallery is created again."""
    source = path.with_name("source")
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE half (x)")
        connection.executemany("INSERT INTO half VALUES (?)", ((os.urandom(4000),) for _ in range(50)))
        shutil.copyfile(source, path)
        shutil.copyfile(f"{source}-journal", f"{path}-journal")
    path.chmod(0o600)
    assert path.stat().st_size > 4096
    with Gallery.open(path, faces.pack, create=True) as gallery:
        gallery.enroll("Ada", faces.samples(1))
    assert inspect_gallery(path).problems == ()


@pytest.mark.parametrize("content", [b"x", b"no gallery at all" * 1000, b"SQLite format 3", b"\0" * 8192])
@pytest.mark.parametrize("create", [False, True])
def test_other_files_are_rejected_and_kept(path: Path, faces: FaceFactory, content: bytes, create: bool) -> None:
    path.write_bytes(content)
    with pytest.raises(GalleryFormatError, match="is not a gallery"):
        Gallery.open(path, faces.pack, create=create)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
@pytest.mark.parametrize("application_id", [0, 252006674])
def test_files_of_other_programs_are_rejected_and_kept(
    path: Path, faces: FaceFactory, journal_mode: str, application_id: int
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute("CREATE TABLE people (name)")
    content = path.read_bytes()
    with pytest.raises(GalleryFormatError, match="another program"):
        Gallery.open(path, faces.pack, create=True)
    assert path.read_bytes() == content


@POSIX
def test_folders_and_pipes_are_rejected_immediately(tmp_path: Path, faces: FaceFactory) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, Path("/dev/zero")):
        for create in (False, True):
            with pytest.raises(GalleryFormatError, match="is not a regular file"):
                Gallery.open(path, faces.pack, create=create)


def test_newer_galleries_are_rejected(closed_gallery: Path, faces: FaceFactory) -> None:
    execute_unchecked(
        closed_gallery, "INSERT INTO migrations VALUES (99, 'dreams', 'later')", "CREATE TABLE dreams (x)"
    )
    with pytest.raises(GalleryVersionError, match=r"newer facebank \(schema 99.*update facebank"):
        Gallery.open(closed_gallery, faces.pack)


def test_control_characters_are_escaped_in_messages(tmp_path: Path, faces: FaceFactory) -> None:
    path = tmp_path / "a\x1b[31m\n\u202eb"
    path.write_bytes(b"text")
    with pytest.raises(GalleryFormatError) as caught:
        Gallery.open(path, faces.pack)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON people BEGIN DELETE FROM samples; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE more (x)",
        "CREATE INDEX i ON people (name)",
        "DROP TABLE thumbnails",
        "ALTER TABLE people ADD COLUMN more",
        "DROP TABLE migrations",
        "DELETE FROM migrations",
        "UPDATE migrations SET number = -number",
    ],
)
def test_foreign_schemas_are_rejected(closed_gallery: Path, faces: FaceFactory, statement: str) -> None:
    execute_unchecked(closed_gallery, statement)
    with pytest.raises(GalleryFormatError, match="damaged"):
        Gallery.open(closed_gallery, faces.pack)
    assert inspect_gallery(closed_gallery).problems


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM gallery",
        "UPDATE gallery SET pack_id = 77",
        "UPDATE packs SET dimension = 1000000000",
        "UPDATE packs SET dimension = 'x'",
        "UPDATE packs SET digest = x'00'",
        "UPDATE gallery SET revision = 'x'",
        "UPDATE vectors SET vector = x'0011'",
        "UPDATE vectors SET vector = zeroblob(64)",
        "UPDATE vectors SET vector = 'text'",
        "UPDATE vectors SET vector = zeroblob(5000000)",
        "UPDATE vectors SET vector = replace(hex(zeroblob(32)), '00', 'zz')",
        "UPDATE vectors SET revision = 'x'",
        "UPDATE samples SET person_id = 'x'",
        "UPDATE samples SET box = x'00'",
        "UPDATE samples SET landmarks = replace(zeroblob(40), x'00', x'ff')",
        "UPDATE samples SET box = x'0000c07f0000c07f0000c07f0000c07f'",
        "UPDATE samples SET detection_score = 'x'",
        "UPDATE samples SET source = 7",
        "UPDATE samples SET source = x'ff'",
        "UPDATE samples SET content_hash = 'x'",
        "UPDATE samples SET taken_at = 'yesterday'",
        "UPDATE samples SET enrolled_at = x'00'",
        "UPDATE samples SET quarter_turns = 'x'",
        "UPDATE people SET name = '../../etc/passwd' WHERE id = 1",
        "UPDATE people SET name = x'ff' WHERE id = 1",
        "UPDATE people SET name = CAST(x'ff' AS TEXT) WHERE id = 1",
        "UPDATE people SET created_at = 'never'",
        "UPDATE people SET born = 'never'",
        "UPDATE people SET born = '1985-02-30'",
        "UPDATE people SET born = x'31393835'",
        "UPDATE people SET note = ''",
        "UPDATE people SET note = x'00'",
        "UPDATE people SET note = CAST(x'ff' AS TEXT)",
        "UPDATE thumbnails SET jpeg = zeroblob(5000000)",
        "UPDATE thumbnails SET jpeg = 'text'",
    ],
)
def test_invalid_rows_are_rejected(closed_gallery: Path, faces: FaceFactory, statement: str) -> None:
    execute_unchecked(closed_gallery, statement)
    with pytest.raises(GalleryFormatError, match=r"damaged") as caught:
        read_everything(closed_gallery, faces.pack)
    assert len(str(caught.value)) < 400


def read_everything(path: Path, pack: PackIdentity) -> None:
    with Gallery.open(path, pack) as gallery:
        names = [person.name for person in gallery.people()]
        gallery.names()
        for name in names:
            for sample in gallery.samples(name):
                gallery.thumbnail(sample.id)
        gallery.vectors()
        index = open_index(gallery)
        assert (0 if index.people is None else index.people.count) == len(gallery.vectors().sample_ids)


def test_settings_must_be_json(closed_gallery: Path, faces: FaceFactory) -> None:
    with connect_unchecked(closed_gallery) as connection:
        connection.execute("INSERT INTO settings (key, value) VALUES ('one', '{'), ('deep', ?)", ("[" * 60_000,))
        seal_table(connection, "settings")
    with Gallery.open(closed_gallery, faces.pack) as gallery:
        for key in ("one", "deep"):
            with pytest.raises(GalleryFormatError, match="setting"):
                gallery.read_setting(key)


@pytest.mark.parametrize("size", [50, 100, 512, 4096, 8192, 20_000])
def test_truncated_galleries_are_rejected(closed_gallery: Path, faces: FaceFactory, size: int) -> None:
    os.truncate(closed_gallery, size)
    with pytest.raises(GalleryFormatError):
        read_everything(closed_gallery, faces.pack)
    assert inspect_gallery(closed_gallery).problems


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_galleries_raise_typed_errors_only(random_faces: type[FaceFactory], data: st.DataObject) -> None:
    faces = random_faces(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.facebank"
        with Gallery.open(path, faces.pack, create=True) as gallery:
            gallery.enroll_people([("Ada", faces.samples(2)), ("Bob", faces.samples(1))])
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 20))):
            offset = data.draw(st.integers(0, len(content) - 1))
            content[offset] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        inspect_gallery(path)
        with suppress(FacebankError):
            read_everything(path, faces.pack)
        with suppress(FacebankError), Gallery.open(path, faces.pack, create=True) as gallery:
            gallery.enroll("Carl", faces.samples(1))
            gallery.forget("Ada")


def test_a_locked_gallery_raises_after_the_timeout(
    gallery: Gallery, faces: FaceFactory, start_worker: Callable[..., subprocess.Popen[str]]
) -> None:
    gallery.enroll("Ada", faces.samples(1))
    writer = start_worker("write", gallery.path)
    assert writer.stdout is not None
    writer.stdout.readline()
    for change in (lambda: gallery.enroll("Bob", faces.samples(1)), lambda: gallery.forget("Ada")):
        with pytest.raises(GalleryBusyError, match="in use by another process"):
            change()
    assert len(gallery.vectors().sample_ids) == 1  # readers are not blocked
    writer.communicate()
    assert gallery.enroll("Bob", faces.samples(1))[0].duplicate_of_person is None


@pytest.mark.parametrize("read_only", [False, True])
def test_a_gallery_on_a_read_only_medium_can_be_read(
    closed_gallery: Path, faces: FaceFactory, mount: Callable[[str], Path], read_only: bool
) -> None:
    medium = mount("size=4m")
    path = Path(shutil.copy(closed_gallery, medium))
    subprocess.run(["mount", "-o", "remount,ro", str(medium)], check=True)
    with Gallery.open(path, faces.pack, read_only=read_only) as gallery:
        assert gallery.read_only
        assert len(gallery.vectors().sample_ids) == 5
        with pytest.raises(StorageError, match="write-protected"):
            gallery.enroll("Carl", faces.samples(1))
    assert inspect_gallery(path).person_count == 2
    with pytest.raises(StorageError, match="cannot be created"):
        Gallery.open(medium / "new.facebank", faces.pack, create=True)


def test_a_log_on_a_read_only_medium_is_read_or_refused(
    gallery: Gallery, faces: FaceFactory, mount: Callable[[str], Path]
) -> None:
    gallery.enroll("Ada", faces.samples(1))
    medium = mount("size=4m")
    for path in gallery.path.parent.glob("family.facebank*"):
        shutil.copy(path, medium)
    subprocess.run(["mount", "-o", "remount,ro", str(medium)], check=True)
    with suppress(StorageError), Gallery.open(medium / gallery.path.name, faces.pack) as copied:
        assert len(copied.people()) == 1


@POSIX
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root has every permission")
def test_missing_permissions_are_reported(closed_gallery: Path, faces: FaceFactory) -> None:
    closed_gallery.chmod(0o400)
    with Gallery.open(closed_gallery, faces.pack) as gallery:
        assert gallery.read_only
    closed_gallery.chmod(0)
    with pytest.raises(StorageError, match="cannot be read"):
        Gallery.open(closed_gallery, faces.pack)
