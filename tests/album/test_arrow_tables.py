"""The faces of an album as an Arrow table, and found photos as Parquet."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank
from facebank.album.arrow_tables import escape_path, faces_table, write_found
from facebank.album.finding import FoundPhoto, KnownPerson
from facebank.errors import MissingDependencyError, StorageError

from .scanned_files import PACK, made_up_photo, needs_pyarrow

pytestmark = needs_pyarrow


@pytest.fixture
def bank(tmp_path: Path, folder: Path) -> Iterator[FaceBank]:
    """A bank without people, and an album of three photos."""
    with FaceBank.open(tmp_path / "a.facebank") as opened:
        with opened.album() as album:
            album.scan(folder)
        yield opened


def test_each_row_is_a_face_with_its_identity(bank: FaceBank, folder: Path) -> None:
    bank.enroll("Barack", folder / "obama.jpg")
    with bank.album() as album:
        table, photos = album.to_arrow(), list(album.identify())
    faces = [(photo, face) for photo in photos for face in photo.faces]
    rows = table.to_pylist()
    assert len(rows) == len(faces) == 3
    for row, (photo, face) in zip(rows, faces, strict=True):
        assert (row["path"], row["content_hash"].hex()) == (photo.path, photo.content_hash)
        assert (row["width"], row["height"], row["face_number"]) == (photo.width, photo.height, face.face_number)
        assert np.array_equal(np.float32(row["box"]), face.box)
        assert np.array_equal(np.float32(row["landmarks"]), face.landmarks.ravel())
        assert np.array_equal(np.float32(row["embedding"]), face.embedding)
        assert (row["detection_score"], row["quality"]) == (face.detection_score, face.quality)
        assert (row["decision"], row["reason"], row["person"]) == (face.decision, face.reason, face.person)
        assert (row["probability"], row["similarity"]) == (face.probability, face.similarity)
    assert [row["person"] for row in rows].count("Barack") == 1


def test_without_a_gallery_or_identification_nobody_is_named(bank: FaceBank, folder: Path) -> None:
    with bank.album() as album:
        assert album.to_arrow().column("decision").null_count == 3
        bank.enroll("Barack", folder / "obama.jpg")
        assert album.to_arrow(identify=False).column("decision").null_count == 3
        assert album.to_arrow(folder / "space").num_rows == 1


def test_a_large_table_has_groups_and_several_chunks() -> None:
    photos = [
        ([10 * number + 1, 10 * number + 2], made_up_photo(number, 2, f"/{number}.jpg")) for number in range(3000)
    ]
    table = faces_table(iter(photos), {11: 7, 22: 7}, PACK.dimension)
    assert table.num_rows == 6000
    assert table.column("embedding").num_chunks == 2
    assert table.column("group").to_pylist()[2:6] == [7, None, None, 7]
    assert faces_table((), {}, PACK.dimension).num_rows == 0


@pytest.mark.parametrize(
    ("taken_at", "expected"),
    [
        (None, None),
        (datetime(2020, 5, 17, 12), datetime(2020, 5, 17, 12, tzinfo=UTC)),
        (datetime(2020, 5, 17, 12, tzinfo=timezone(timedelta(hours=2))), datetime(2020, 5, 17, 10, tzinfo=UTC)),
    ],
)
def test_times_are_converted_to_utc(taken_at: datetime | None, expected: datetime | None) -> None:
    photo = replace(made_up_photo(1, 1), taken_at=taken_at)
    (row,) = faces_table([([1], photo)], {}, PACK.dimension).to_pylist()
    assert row["taken_at"] == expected


def test_paths_that_are_not_utf_8_are_escaped() -> None:
    path = os.fsdecode(b"/a/\xe9 b\xc3\xa9.jpg")
    assert escape_path(path) == "/a/\\xe9 bé.jpg"
    photo = made_up_photo(1, 1, path)
    assert faces_table([([1], photo)], {}, PACK.dimension).column("path").to_pylist() == ["/a/\\xe9 bé.jpg"]


def test_found_photos_are_written_as_parquet(tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    people = (KnownPerson("Ada", 0.9, (1.0, 2.0, 3.0, 4.0)), KnownPerson("Bea", None))
    found = [FoundPhoto("/a.jpg", datetime(2020, 5, 17, 12), people, camera_dated=True, content_hash="ab" * 32)]
    target = tmp_path / "found.parquet"
    for photos in ([], found):
        write_found(photos, target)
        assert parquet.read_table(target).num_rows == len(photos)
    (row,) = parquet.read_table(target).to_pylist()
    assert row == {
        "path": "/a.jpg",
        "content_hash": bytes.fromhex("ab" * 32),
        "taken_at": datetime(2020, 5, 17, 12, tzinfo=UTC),
        "camera_dated": True,
        "people": [
            {"person": "Ada", "probability": 0.9, "box": [1.0, 2.0, 3.0, 4.0]},
            {"person": "Bea", "probability": None, "box": None},
        ],
    }
    with pytest.raises(StorageError, match=r"cannot write .*absent/x.parquet"):
        write_found([], tmp_path / "absent" / "x.parquet")


def test_without_pyarrow_the_error_names_the_extra(bank: FaceBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with bank.album() as album, pytest.raises(MissingDependencyError, match=r"facebank\[cluster\]"):
        album.to_arrow()


def test_pyarrow_is_not_loaded_by_scans_and_groups(bank: FaceBank, folder: Path) -> None:
    code = (
        "import sys; from facebank import FaceBank; from facebank_cli.app import build_app; build_app();"
        f"bank = FaceBank.open({str(bank.path)!r}); album = bank.album(); album.scan({str(folder)!r}); album.cluster();"
        "assert 'pyarrow' not in sys.modules, 'pyarrow'"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
