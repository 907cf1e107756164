"""Checking a gallery: damage is found, repaired if checksums prove the original, and reported if it is lost."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facebank.errors import FacebankError, GalleryFormatError, StorageError, UsageError
from facebank.gallery import FaceKey, Gallery, PlaceKind, check_gallery, inspect_gallery, repair_gallery
from facebank.gallery.backups import back_up_before
from facebank.gallery.store.rows import seal_table
from facebank.gallery.store.schema import TABLES
from tests.recorder import Recorder

from .databases import execute_unchecked, locate_page, restore_gallery

if TYPE_CHECKING:
    from tests.gallery.conftest import FaceFactory


@pytest.fixture
def closed_gallery(gallery: Gallery, faces: FaceFactory) -> Path:
    """Path of a closed gallery of two people, a denial, a stranger and a setting."""
    gallery.enroll("Ada", faces.samples(3))
    gallery.enroll("Bob", [*faces.samples(2), faces.sample(masked=True)])
    gallery.deny("Bob", FaceKey.from_sample(faces.sample()))
    gallery.remember_stranger(faces.sample())
    gallery.describe("Ada", born="1985", note="of London")
    gallery.write_setting("fpir", 0.01)
    gallery.close()
    return gallery.path


def read_rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in TABLES
            if table not in {"gallery", "sums"}
        }


def test_an_intact_gallery_has_no_damage(closed_gallery: Path) -> None:
    before, progress = closed_gallery.read_bytes(), Recorder()
    result = check_gallery(closed_gallery, progress)
    assert (result.damage, result.is_sealed, progress.done) == ((), True, [len(TABLES)])
    assert result.rows > 20
    assert closed_gallery.read_bytes() == before
    assert inspect_gallery(closed_gallery).problems == ()


@pytest.mark.parametrize(
    ("statement", "kind", "expected"),
    [
        ("UPDATE samples SET person_id = 2 WHERE id = 1", "row", "sample 1 of 'Bob'"),
        ("UPDATE people SET name = 'Eve' WHERE id = 1", "row", "person 1 'Eve'"),
        ("UPDATE vectors SET vector = zeroblob(64) WHERE sample_id = 2", "row", "sample 2 of 'Ada'"),
        ("UPDATE thumbnails SET jpeg = x'00' WHERE sample_id = 2", "row", "thumbnail of the sample 2 of 'Ada'"),
        ("DELETE FROM vectors WHERE sample_id = 3 AND variant = 'plain'", "sum", "vectors plain"),
        ("DELETE FROM denials", "sum", "denials"),
        ("DELETE FROM people WHERE id = 2", "reference", "people"),
        ("UPDATE vectors SET first = 0.5 WHERE sample_id = 1", "value", "lookup columns"),
        ("UPDATE sums SET total = total + 1 WHERE name = 'people'", "row", "sums"),
    ],
)
def test_damage_is_detected_and_reported(closed_gallery: Path, statement: str, kind: str, expected: str) -> None:
    execute_unchecked(closed_gallery, statement)
    messages = [damage.message for damage in check_gallery(closed_gallery).damage if damage.kind == kind]
    assert any(expected in message for message in messages), check_gallery(closed_gallery).damage
    assert inspect_gallery(closed_gallery).problems


@pytest.mark.parametrize("statement", ["UPDATE thumbnails SET sample_id = 1000", "DELETE FROM thumbnails"])
def test_misplaced_and_lost_thumbnails_are_detected(closed_gallery: Path, faces: FaceFactory, statement: str) -> None:
    execute_unchecked(closed_gallery, f"{statement} WHERE sample_id = 2")
    with Gallery.open(closed_gallery, faces.pack) as gallery, pytest.raises(GalleryFormatError, match="thumbnail"):
        gallery.thumbnail(2)


def test_a_flipped_bit_is_repaired(closed_gallery: Path) -> None:
    before = read_rows(closed_gallery)
    execute_unchecked(
        closed_gallery,
        "UPDATE samples SET person_id = person_id + 2 WHERE id = 1",
        "UPDATE people SET name = 'Cda' WHERE id = 1",
        "UPDATE denials SET seal = seal + 1 - 2 * (seal & 1)",
        "UPDATE settings SET value = '0.03' WHERE key = 'fpir'",
    )
    with closing(sqlite3.connect(closed_gallery)) as connection, connection:
        (embedding,) = connection.execute(
            "SELECT vector FROM vectors WHERE sample_id = 1 AND variant = 'plain'"
        ).fetchone()
        flipped = bytes([embedding[0] ^ 4]) + embedding[1:]
        connection.execute("UPDATE vectors SET vector = ? WHERE sample_id = 1 AND variant = 'plain'", (flipped,))
    assert check_gallery(closed_gallery).damage
    repaired = repair_gallery(closed_gallery)
    assert repaired.lost == ()
    assert len(repaired.mended) == 5
    assert read_rows(closed_gallery) == before
    assert check_gallery(closed_gallery).damage == ()


def test_losses_are_reported_and_nothing_is_invented(closed_gallery: Path, faces: FaceFactory) -> None:
    with Gallery.open(closed_gallery) as gallery:
        paths = [sample.path for sample in gallery.samples("Ada")]
        revision = gallery.revision
    execute_unchecked(
        closed_gallery,
        "UPDATE vectors SET vector = randomblob(64) WHERE sample_id = 1 AND variant = 'plain'",
        "UPDATE samples SET quality = 0.123 WHERE id = 2",
    )
    repaired = repair_gallery(closed_gallery)
    lost = {(damage.table, damage.person, damage.sample_id, damage.path) for damage in repaired.lost}
    assert ("vectors", "Ada", 1, paths[0]) in lost
    assert ("samples", "Ada", 2, paths[1]) in lost
    assert repaired.backup.exists()
    assert stat.S_IMODE(repaired.backup.stat().st_mode) == 0o600
    assert check_gallery(closed_gallery).damage == ()
    with Gallery.open(closed_gallery, faces.pack) as gallery:
        assert [sample.id for sample in gallery.samples("Ada")] == [3]
        assert gallery.person("Bob").sample_count == 3
        assert gallery.revision > revision
        (outcome,) = gallery.enroll("Ada", [faces.sample()])
        assert outcome.sample_id == 7  # the number of a lost sample is not reused


def test_damaged_indexes_are_rebuilt(closed_gallery: Path) -> None:
    before = read_rows(closed_gallery)
    offset, _ = locate_page(closed_gallery, "samples_by_person")
    with closed_gallery.open("r+b") as stream:
        stream.seek(offset + 3)
        stream.write(b"\0\1")
    assert check_gallery(closed_gallery).damage
    assert repair_gallery(closed_gallery).lost == ()
    assert check_gallery(closed_gallery).damage == ()
    assert read_rows(closed_gallery) == before


def test_flipped_bits_are_harmless_or_an_error(closed_gallery: Path, faces: FaceFactory) -> None:
    """After sixty random bit flips, answers are unchanged or an error, and a repair adds nothing."""
    original, before = closed_gallery.read_bytes(), read_rows(closed_gallery)
    expected, generator, errors = read_everything(closed_gallery, faces), random.Random(5), 0
    for _ in range(60):
        damaged = bytearray(original)
        damaged[generator.randrange(len(original))] ^= 1 << generator.randrange(8)
        closed_gallery.write_bytes(damaged)
        try:
            assert read_everything(closed_gallery, faces) == expected
        except FacebankError:
            errors += 1
        if errors % 4 == 1:
            try:
                if check_gallery(closed_gallery).damage:
                    repair_gallery(closed_gallery)
                    after = read_rows(closed_gallery)
                    assert all(set(after[table]) <= set(before[table]) for table in after), "the repair added rows"
            except GalleryFormatError:
                pass
        for path in closed_gallery.parent.iterdir():
            path.unlink()
    assert errors > 3
    closed_gallery.write_bytes(original)


def read_everything(path: Path, faces: FaceFactory) -> object:
    with Gallery.open(path, faces.pack) as gallery:
        table, qualities = gallery.rated_vectors()
        return (
            gallery.people(),
            gallery.name_table()[1],
            [array.tobytes() for array in (table.sample_ids, table.person_ids, table.matrix, qualities)],
            gallery.rated_vectors(masked=True)[0].matrix.tobytes(),
            gallery.vectors("flip").matrix.tobytes(),
            len(gallery.vectors().sample_ids),
            gallery.birth_dates(),
            gallery.strangers().matrix.tobytes(),
            gallery.read_setting("fpir"),
            [repr(gallery.samples(person.name)) for person in gallery.people()],
            gallery.thumbnail(1),
        )


def test_a_gallery_in_use_can_be_copied(closed_gallery: Path, faces: FaceFactory, tmp_path: Path) -> None:
    target = tmp_path / "copy.facebank"
    with Gallery.open(closed_gallery, faces.pack) as gallery:
        gallery.enroll("Carl", faces.samples(1))  # only in the log
        with Gallery.open(closed_gallery) as second:
            assert second.back_up(target) == target
            assert [place.kind for place in second.written_places()] == [PlaceKind.BACKUP]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "copy.facebank",
        "family.facebank",
        "family.facebank-reserve",
    ]
    with Gallery.open(target, faces.pack, read_only=True) as copy:
        assert [person.name for person in copy.people()] == ["Ada", "Bob", "Carl"]
    assert check_gallery(target).damage == ()


def test_a_backup_needs_a_new_path_in_an_existing_folder(closed_gallery: Path, tmp_path: Path) -> None:
    with Gallery.open(closed_gallery) as gallery:
        for path in (closed_gallery, tmp_path / "no" / "folder"):
            with pytest.raises(UsageError, match=r"already exists|no folder"):
                gallery.back_up(path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root can write everywhere")
def test_an_unwritable_copy_is_an_error(closed_gallery: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with Gallery.open(closed_gallery) as gallery, pytest.raises(StorageError):
        gallery.back_up(folder / "copy")


def test_backups_before_upgrades_are_wiped_by_forgetting(path: Path) -> None:
    restore_gallery(2, path)
    assert not check_gallery(path).is_sealed
    before = read_version_2(path)
    with Gallery.open(path) as gallery:
        (backup,) = gallery.automatic_backups()
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600
        assert read_version_2(backup) == before
        forgotten = gallery.forget("Ada")
        assert backup in forgotten.wiped
        assert gallery.automatic_backups() == []
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, f"{path.name}-reserve"]


def read_version_2(path: Path) -> object:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM samples").fetchall(), connection.execute(
            "SELECT * FROM people"
        ).fetchall()


def test_other_files_are_not_automatic_backups(gallery: Gallery) -> None:
    for name in ("family.facebank.backup", "family.facebank.before-schema-x.backup", "other.before-schema-4.backup"):
        gallery.path.with_name(name).touch()
    gallery.path.with_name("family.facebank.before-schema-4.backup").symlink_to(gallery.path)
    assert gallery.automatic_backups() == []


def test_invalid_embeddings_with_intact_seals_are_detected(closed_gallery: Path) -> None:
    with closing(sqlite3.connect(closed_gallery)) as connection, connection:
        embedding = np.full(16, 2, "<f4").tobytes()
        connection.execute("UPDATE vectors SET vector = ?, first = 2, second = 2 WHERE sample_id = 1", (embedding,))
        seal_table(connection, "vectors")
    assert {damage.kind for damage in check_gallery(closed_gallery).damage} == {"value"}


def test_a_backup_that_cannot_be_written_is_explained(gallery: Gallery) -> None:
    gallery.path.with_name(f"{gallery.path.name}.before-schema-9.backup").mkdir()
    with pytest.raises(StorageError, match=r"no backup can be written .* check that its folder"):
        back_up_before(gallery.path, 9)
