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
from facebank.gallery import Gallery, PlaceKind, check_gallery, inspect_gallery, repair_gallery
from facebank.gallery.records import FaceKey
from facebank.gallery.store.schema import TABLES
from tests.recorder import Recorder

if TYPE_CHECKING:
    from tests.gallery.conftest import Faces


@pytest.fixture
def filled(gallery: Gallery, faces: Faces) -> Path:
    """A closed gallery of two people, a denial, a stranger and a setting."""
    gallery.enroll("Ada", faces.samples(3))
    gallery.enroll("Bob", [*faces.samples(2), faces.sample(masked=True)])
    gallery.deny("Bob", FaceKey.from_sample(faces.sample()))
    gallery.remember_stranger(faces.sample())
    gallery.describe("Ada", born="1985", note="of London")
    gallery.write_setting("fpir", 0.01)
    gallery.close()
    return gallery.path


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in TABLES
            if table not in {"gallery", "sums"}
        }


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            connection.execute(statement)


def test_an_intact_gallery_has_no_faults(filled: Path) -> None:
    before, steps = filled.read_bytes(), Recorder()
    checked = check_gallery(filled, steps)
    assert (checked.damage, checked.is_sealed, steps.done) == ((), True, [len(TABLES)])
    assert checked.rows > 20
    assert filled.read_bytes() == before
    assert inspect_gallery(filled).problems == ()


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
def test_damage_is_detected_and_reported(filled: Path, statement: str, kind: str, expected: str) -> None:
    tamper(filled, statement)
    found = [damage for damage in check_gallery(filled).damage if damage.kind == kind]
    assert any(expected in damage.message for damage in found), check_gallery(filled).damage
    assert inspect_gallery(filled).problems


@pytest.mark.parametrize("statement", ["UPDATE thumbnails SET sample_id = 1000", "DELETE FROM thumbnails"])
def test_misplaced_and_lost_thumbnails_are_detected(filled: Path, faces: Faces, statement: str) -> None:
    tamper(filled, f"{statement} WHERE sample_id = 2")
    with Gallery.open(filled, faces.pack) as gallery, pytest.raises(GalleryFormatError, match="thumbnail"):
        gallery.thumbnail(2)


def test_a_flipped_bit_is_repaired(filled: Path) -> None:
    before = contents(filled)
    vectors = {row[:3]: row for row in before["vectors"]}
    (first, *_) = vectors
    tamper(
        filled,
        "UPDATE samples SET person_id = person_id + 2 WHERE id = 1",
        "UPDATE people SET name = 'Cda' WHERE id = 1",
        "UPDATE denials SET seal = seal + 1 - 2 * (seal & 1)",
        "UPDATE settings SET value = '0.03' WHERE key = 'fpir'",
    )
    with closing(sqlite3.connect(filled)) as connection, connection:
        (vector,) = connection.execute(
            "SELECT vector FROM vectors WHERE sample_id = 1 AND variant = 'plain'"
        ).fetchone()
        flipped = bytes([vector[0] ^ 4]) + vector[1:]
        connection.execute("UPDATE vectors SET vector = ? WHERE sample_id = 1 AND variant = 'plain'", (flipped,))
    assert check_gallery(filled).damage
    repaired = repair_gallery(filled)
    assert repaired.lost == ()
    assert len(repaired.mended) == 5
    assert contents(filled) == before
    assert check_gallery(filled).damage == ()
    assert first


def test_losses_are_reported_and_nothing_is_invented(filled: Path, faces: Faces) -> None:
    with Gallery.open(filled) as gallery:
        photos = [sample.path for sample in gallery.samples("Ada")]
        revision = gallery.revision
    tamper(
        filled,
        "UPDATE vectors SET vector = randomblob(64) WHERE sample_id = 1 AND variant = 'plain'",
        "UPDATE samples SET quality = 0.123 WHERE id = 2",
    )
    repaired = repair_gallery(filled)
    lost = {(damage.table, damage.person, damage.sample_id, damage.path) for damage in repaired.lost}
    assert ("vectors", "Ada", 1, photos[0]) in lost
    assert ("samples", "Ada", 2, photos[1]) in lost
    assert repaired.backup.exists()
    assert stat.S_IMODE(repaired.backup.stat().st_mode) == 0o600
    assert check_gallery(filled).damage == ()
    with Gallery.open(filled, faces.pack) as gallery:
        assert [sample.id for sample in gallery.samples("Ada")] == [3]
        assert gallery.person("Bob").sample_count == 3
        assert gallery.revision > revision
        (outcome,) = gallery.enroll("Ada", [faces.sample()])
        assert outcome.sample_id == 7  # the number of a lost sample is not reused


def test_damaged_indexes_are_rebuilt(filled: Path) -> None:
    before = contents(filled)
    with closing(sqlite3.connect(filled, isolation_level=None)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'samples_by_person'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with filled.open("r+b") as stream:
        stream.seek((root - 1) * size + 3)
        stream.write(b"\0\1")
    assert check_gallery(filled).damage
    assert repair_gallery(filled).lost == ()
    assert check_gallery(filled).damage == ()
    assert contents(filled) == before


def test_flipped_bits_are_never_silent(filled: Path, faces: Faces) -> None:
    """After sixty random bit flips, answers are unchanged or an error, and a repair adds nothing."""
    whole, before = filled.read_bytes(), contents(filled)
    right, draw, mended = outcome_of(filled, faces), random.Random(5), 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        filled.write_bytes(damaged)
        try:
            assert outcome_of(filled, faces) == right
        except FacebankError:
            mended += 1
        if mended % 4 == 1:
            try:
                if check_gallery(filled).damage:
                    repair_gallery(filled)
                    after = contents(filled)
                    assert all(set(after[table]) <= set(before[table]) for table in after), "the repair added rows"
            except GalleryFormatError:
                pass
        for other in filled.parent.iterdir():
            other.unlink()
    assert mended > 3
    filled.write_bytes(whole)


def outcome_of(path: Path, faces: Faces) -> object:
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


def test_a_gallery_in_use_can_be_copied(filled: Path, faces: Faces, tmp_path: Path) -> None:
    target = tmp_path / "copy.facebank"
    with Gallery.open(filled, faces.pack) as gallery:
        gallery.enroll("Carl", faces.samples(1))  # is in the log only
        with Gallery.open(filled) as other:
            assert other.back_up(target) == target
            assert [place.kind for place in other.written_places()] == [PlaceKind.BACKUP]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "copy.facebank",
        "family.facebank",
        "family.facebank-reserve",
    ]
    with Gallery.open(target, faces.pack, read_only=True) as copy:
        assert [person.name for person in copy.people()] == ["Ada", "Bob", "Carl"]
    assert check_gallery(target).damage == ()
    with Gallery.open(filled) as gallery:
        for refused in (target, tmp_path / "no" / "folder"):
            with pytest.raises(UsageError, match=r"already exists|no folder"):
                gallery.back_up(refused)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_copy_is_an_error(filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with Gallery.open(filled) as gallery, pytest.raises(StorageError):
        gallery.back_up(folder / "copy")


def test_backups_before_upgrades_are_wiped_when_forgetting(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name("schema_2.sql").read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA application_id = {0x46424E4B}")
    path.chmod(0o600)
    assert not check_gallery(path).is_sealed
    before = contents_of_version_2(path)
    with Gallery.open(path) as gallery:
        (copy,) = gallery.automatic_backups()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert contents_of_version_2(copy) == before
        forgotten = gallery.forget("Ada")
        assert copy in forgotten.wiped
        assert gallery.automatic_backups() == []
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}-reserve"]


def contents_of_version_2(path: Path) -> object:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM samples").fetchall(), connection.execute(
            "SELECT * FROM people"
        ).fetchall()


def test_other_files_are_not_automatic_backups(gallery: Gallery) -> None:
    for name in ("family.facebank.backup", "family.facebank.before-schema-x.backup", "other.before-schema-4.backup"):
        gallery.path.with_name(name).touch()
    gallery.path.with_name("family.facebank.before-schema-4.backup").symlink_to(gallery.path)
    assert gallery.automatic_backups() == []


def test_invalid_embeddings_with_intact_seals_are_detected(filled: Path) -> None:
    from facebank.gallery.store.rows import seal_table

    with closing(sqlite3.connect(filled)) as connection, connection:
        vector = np.full(16, 2, "<f4").tobytes()
        connection.execute("UPDATE vectors SET vector = ?, first = 2, second = 2 WHERE sample_id = 1", (vector,))
        seal_table(connection, "vectors")
    assert {damage.kind for damage in check_gallery(filled).damage} == {"value"}
