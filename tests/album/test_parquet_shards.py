"""Parquet shards are read as they were written; half-written, damaged or hostile ones are refused."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebank import __version__
from facebank.album.scan import parquet_rows, parquet_shards
from facebank.album.scan.parquet_shards import (
    ParquetShard,
    ShardCounts,
    ShardHeader,
    is_parquet,
    write_parquet_shard,
)
from facebank.album.scan.rows import FileStamp, ShardRow
from facebank.album.scan.scan_file import UNSETTLED, ScannedFile
from facebank.errors import (
    MissingDependencyError,
    PackMismatchError,
    ScanFormatError,
    ScanNotFoundError,
    StorageError,
    UsageError,
)
from facebank.gallery import PackIdentity
from facebank.media.shards import Shard
from facebank.types import Face, Photo, Quality
from tests.conftest import PROJECT

from .scanned_files import PACK, STATE, file_content, made_up_face, made_up_file, made_up_photo, needs_pyarrow

pytestmark = needs_pyarrow

HEADER = ShardHeader(
    PACK,
    (ShardRow(os.fsdecode(b"/photos/\xff"), Shard(3, 16), datetime(2026, 3, 1, 5, tzinfo=UTC)),),
    runtime="onnxruntime",
)


def write_shard(path: Path, files: list[ScannedFile], header: ShardHeader = HEADER) -> Path:
    write_parquet_shard(path, files, header)
    return path


def read(path: Path, pack: PackIdentity | None = PACK) -> list[tuple[object, ...]]:
    with ParquetShard.open(path, pack) as shard:
        return [file_content(file) for file in shard.read()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "3-of-16.parquet"


fractions = st.floats(0, 1, width=32)
finite = st.floats(-(2.0**20), 2.0**20, width=32)
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)
names = st.binary(min_size=1, max_size=12).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
zones = st.none() | st.integers(-720, 720).map(lambda minutes: timezone(timedelta(minutes=minutes)))
days = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1))
times = st.builds(lambda day, zone: day.replace(tzinfo=zone), days, zones)
qualities = st.builds(
    Quality,
    fractions,
    finite,
    *([fractions] * 2),
    *([st.none() | fractions] * 3),
    st.lists(words, max_size=3).map(tuple),
)


@st.composite
def faces(draw: st.DrawFn) -> Face:
    vector = np.array(draw(st.lists(finite, min_size=PACK.dimension, max_size=PACK.dimension)), dtype=np.float32)
    length = float(np.linalg.norm(vector))
    embedding = vector / length if length > 1e-3 else np.eye(1, PACK.dimension, dtype=np.float32)[0]
    corner, size = (np.array([draw(st.floats(low, 90, width=32)) for _ in "xy"], np.float32) for low in (-10, 0))
    box = np.concatenate([corner, np.maximum(corner + size, 0)])
    landmarks = np.array([draw(finite) for _ in range(10)], dtype=np.float32).reshape(5, 2)
    return Face(box, landmarks, draw(fractions), draw(qualities), embedding.astype(np.float32))


@st.composite
def scanned_files(draw: st.DrawFn) -> ScannedFile:
    path = os.fsdecode(b"/photos/" + draw(names))
    whole = st.integers(-(2**63), 2**63 - 1)
    state, content_hash = FileStamp(draw(whole), draw(whole)), draw(hashes)
    readers = draw(st.none() | words)
    outcome = draw(st.sampled_from(("scanned", "known", "edited", "unreadable")))
    if outcome == "unreadable":
        return ScannedFile(path, state, draw(st.none() | hashes), draw(words), None, readers)
    if outcome == "known":
        return ScannedFile(path, state, content_hash, None, None, readers)
    photo = Photo(
        path,
        tuple(draw(st.lists(faces(), max_size=3))) if outcome == "scanned" else (),
        width=draw(st.integers(100, 9999)),
        height=draw(st.integers(100, 9999)),
        quarter_turns=draw(st.integers(0, 3)),
        content_hash=content_hash,
        taken_at=draw(st.none() | times),
        camera_dated=draw(st.booleans()),
        picture_hash=draw(st.none() | hashes),
    )
    found, edited = (photo, None) if outcome == "scanned" else (None, photo)
    return ScannedFile(path, state, content_hash, None, found, readers, edited)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(scanned_files(), max_size=6, unique_by=lambda file: file.path))
def test_a_shard_is_read_as_it_was_written(tmp_path: Path, files: list[ScannedFile]) -> None:
    path = write_shard(tmp_path / "x.parquet", files)
    assert read(path) == [file_content(file) for file in files]


def test_header_and_counts_are_read_back(path: Path) -> None:
    files = [made_up_file(f"/{number}.jpg", number, face_count=number) for number in range(4)]
    counts = write_parquet_shard(path, [*files, ScannedFile("/t", STATE, None, "not a photo", None)], HEADER)
    assert counts == ShardCounts(files=5, photos=4, faces=6)
    with ParquetShard.open(path) as shard:
        assert shard.counts == counts
        assert replace(shard.header, version="") == HEADER
        assert shard.header.version == __version__


def test_many_rows_are_written_and_read_in_row_groups(path: Path) -> None:
    files = [made_up_file(f"/{number:05}.jpg", number, face_count=3 * (number % 3 == 0)) for number in range(4500)]
    write_shard(path, files)
    with ParquetShard.open(path) as shard:
        assert len(shard.group_sizes) > 4
        files_read = list(shard.read())
        records = [record.path for group in range(len(shard.group_sizes)) for record in shard.records(group)]
    assert [file_content(file) for file in files_read] == [file_content(file) for file in files]
    assert records == [file.path for file in files]


def test_embeddings_are_arrow_vectors_for_other_programs(path: Path) -> None:
    import pyarrow.parquet as parquet

    table = parquet.read_table(write_shard(path, [made_up_file("/1.jpg", 1)]))
    faces = table.schema.field("faces").type.value_type
    assert str(faces.field("embedding").type) == "fixed_size_list<element: float not null>[8]"
    assert table.column("content_hash").to_pylist() == [bytes.fromhex(f"{1:064x}")]
    (row,) = table.column("faces").to_pylist()
    assert np.allclose(row[0]["embedding"], made_up_face(100).embedding)


def test_only_the_owner_can_read_a_shard(path: Path) -> None:
    assert stat.S_IMODE(write_shard(path, []).stat().st_mode) == 0o600


def test_a_failed_write_keeps_the_old_shard(path: Path) -> None:
    def interrupted_files() -> Iterator[ScannedFile]:
        for number in range(3000):
            yield made_up_file(f"/{number}.jpg", number)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parquet_shard(path, interrupted_files(), HEADER)
    assert list(path.parent.iterdir()) == []
    before = write_shard(path, [made_up_file("/1.jpg", 1)]).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_parquet_shard(path, interrupted_files(), HEADER)
    assert path.read_bytes() == before


def test_the_error_for_a_file_in_place_of_the_folder_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file/x.parquet: .*name a folder"):
        write_parquet_shard(tmp_path / "file" / "x.parquet", [], HEADER)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (made_up_file("relative.jpg", 1), "invalid path"),
        (made_up_file("/a/../b.jpg", 1), "invalid path"),
        (replace(made_up_file("/1.jpg", 1), content_hash="ab"), "a hash that is not a SHA-256 in hex"),
        (ScannedFile("/1.jpg", STATE, None, None, None), "invalid file"),
        (replace(made_up_file("/1.jpg", 1), state=FileStamp(2**70, 0)), "int"),
    ],
)
def test_invalid_files_are_not_written(path: Path, file: ScannedFile, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_parquet_shard(path, [file], HEADER)
    assert not path.exists()


def test_a_path_cannot_occur_twice(path: Path) -> None:
    with pytest.raises(UsageError, match="path twice"):
        write_parquet_shard(path, [made_up_file("/1.jpg", 1), made_up_file("/1.jpg", 2)], HEADER)


def test_a_shard_of_another_pack_is_refused(path: Path) -> None:
    write_shard(path, [made_up_file("/1.jpg", 1)])
    with pytest.raises(PackMismatchError, match="was made with the pack 'test', not 'other'"):
        ParquetShard.open(path, PackIdentity("other", "cd" * 32, 8))
    with pytest.raises(PackMismatchError, match="of another version"):
        ParquetShard.open(path, PackIdentity("test", "cd" * 32, 8))


def test_faces_of_another_dimension_are_not_written(path: Path) -> None:
    with pytest.raises(UsageError, match="does not have 9 numbers"):
        write_parquet_shard(path, [made_up_file("/1.jpg", 1)], ShardHeader(replace(PACK, dimension=9)))


def test_a_shard_of_a_newer_facebank_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facebank.album.scan.parquet_shards.FORMAT", 2)
    write_shard(path, [])
    monkeypatch.undo()
    with pytest.raises(ScanFormatError, match="newer facebank"):
        ParquetShard.open(path)


def test_files_that_are_no_shards_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    with pytest.raises(ScanNotFoundError, match="no Parquet shard"):
        ParquetShard.open(tmp_path / "absent.parquet")
    with pytest.raises(ScanNotFoundError, match="no Parquet shard"):
        ParquetShard.open(tmp_path)
    for name, data in (("empty", b""), ("text", b"PAR1 is what it begins with"), ("other", b"x" * 100)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ScanFormatError, match=name):
            ParquetShard.open(tmp_path / name)
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ScanFormatError, match="something else"):
        ParquetShard.open(tmp_path / "a.parquet")
    assert is_parquet(tmp_path / "a.parquet")
    assert not is_parquet(tmp_path / "other")
    assert not is_parquet(tmp_path)


SMALL = [
    made_up_file(os.fsdecode(b"/\xe9.jpg"), 1, face_count=1),
    ScannedFile("/copy.jpg", STATE, f"{1:064x}", None, None),
    ScannedFile("/text", UNSETTLED, None, "not a photo", None, "8"),
]
FLIP_BYTES = """
import sys
from pathlib import Path
from facebank.album.scan.parquet_shards import ParquetShard
from facebank.errors import ScanFormatError
from tests.album.scanned_files import file_content

path, other, step = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
data = path.read_bytes()
with ParquetShard.open(path) as shard:
    expected = shard.header, shard.counts, [file_content(file) for file in shard.read()]
refused = equal = 0
for position in range(0, len(data), step):
    for change in (1 << position % 8, 0xFF):
        other.write_bytes(data[:position] + bytes([data[position] ^ change]) + data[position + 1 :])
        try:
            with ParquetShard.open(other) as shard:
                assert (shard.header, shard.counts, [file_content(file) for file in shard.read()]) == expected, position
            equal += 1
        except ScanFormatError:
            refused += 1
print(len(data), refused, equal)
"""


def test_every_flipped_byte_is_refused_or_changes_nothing(path: Path, tmp_path: Path) -> None:
    """Runs in a new process to detect crashes of a decoder; tries all bytes with FACEBANK_ALL_FLIPS=1."""
    write_shard(path, SMALL)
    step = 1 if os.environ.get("FACEBANK_ALL_FLIPS") else 7
    command = [sys.executable, "-c", FLIP_BYTES, str(path), str(tmp_path / "flipped.parquet"), str(step)]
    completed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    size, refused, equal = map(int, completed.stdout.split())
    print(f"{size} bytes: {refused} flips refused, {equal} changed nothing")  # noqa: T201
    assert refused > equal


def test_a_half_written_shard_is_refused(path: Path, tmp_path: Path) -> None:
    data = write_shard(path, SMALL).read_bytes()
    truncated = tmp_path / "truncated.parquet"
    for size in range(0, len(data), 61):
        truncated.write_bytes(data[:size])
        with pytest.raises(ScanFormatError, match="damaged or half-written"):
            ParquetShard.open(truncated)
    truncated.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    with pytest.raises(ScanFormatError, match="not copied whole"):
        ParquetShard.open(truncated)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": np.full(8, np.nan, np.float32)}, "invalid numbers"),
        ({"embedding": np.full(8, 1.0, np.float32)}, "L2-normalized"),
        ({"embedding": np.full(8, 1e38, np.float32)}, "L2-normalized"),
        ({"box": np.array([0, 0, np.inf, 5], np.float32)}, "invalid numbers"),
        ({"detection_score": 1.5}, "invalid numbers"),
        ({"assessment": Quality(0.5, 1.0, 0.5, 0.5, weaknesses=("a\nb",))}, "weaknesses"),
    ],
)
def test_invalid_values_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    """The author of a hostile shard can compute valid digests and a seal."""
    photo = made_up_photo(1, face_count=0)
    file = ScannedFile("/x.jpg", STATE, photo.content_hash, None, photo)
    hostile = replace(file, photo=replace(photo, faces=(replace(made_up_face(1), **change),)))
    with pytest.raises(UsageError, match=message):
        write_shard(path, [hostile])
    with monkeypatch.context() as patch:
        patch.setattr("facebank.album.scan.rows.check_face_rows", lambda rows: rows)
        patch.setattr(parquet_rows, "weaknesses_of", lambda words: tuple(json.loads(words)))
        write_shard(path, [hostile])
    with ParquetShard.open(path) as shard, pytest.raises(ScanFormatError, match=message):
        list(shard.read())


def replace_rows(path: Path, table: Any, **options: Any) -> None:
    """Write an Arrow table as the rows of a shard, with the same footer and a valid seal."""
    import pyarrow.parquet as parquet

    footer = parquet.read_metadata(path).metadata
    writer_options = {"compression": "none", "use_dictionary": False, **options}
    with parquet.ParquetWriter(path, table.schema, **writer_options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({key: value for key, value in footer.items() if key.startswith(b"facebank.")})
    with path.open("r+b") as stream:
        parquet_shards._insert_seal(stream)


@pytest.mark.parametrize("column", ["width", "height", "quarter_turns", "camera_dated", "face_count"])
def test_a_hostile_photo_without_one_of_its_values_is_refused(path: Path, column: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = parquet.read_table(write_shard(path, SMALL))
    values = {name: table.column(name).to_pylist() for name in parquet_rows.FILE_COLUMNS}
    values[column][0] = None
    rows = enumerate(zip(*values.values(), strict=True))
    digests = [parquet_rows._file_digest(row_index, row) for row_index, row in rows]
    for name, changed in ((column, values[column]), ("file_digest", digests)):
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema[index], pa.array(changed, type=table.schema[index].type))
    replace_rows(path, table)
    with (
        ParquetShard.open(path) as shard,
        pytest.raises(ScanFormatError, match=r"written \((it|the number)"),
    ):
        list(shard.read())


def test_swapped_rows_are_refused(path: Path) -> None:
    """The digests of a row cover its position."""
    import pyarrow.parquet as parquet

    files = [made_up_file(f"/{number}.jpg", number) for number in range(3)]
    table = parquet.read_table(write_shard(path, files))
    replace_rows(path, table)
    assert read(path) == [file_content(file) for file in files]
    replace_rows(path, table.take([1, 0, 2]))
    with ParquetShard.open(path) as shard, pytest.raises(ScanFormatError, match="altered"):
        list(shard.read())


def test_a_shard_that_needs_too_much_memory_is_refused(path: Path) -> None:
    """A dictionary or a compressed page can unpack to many bytes."""
    import pyarrow.parquet as parquet

    for options in ({"compression": "zstd"}, {"use_dictionary": True}):
        write_shard(path, [made_up_file(f"/{number}.jpg", number, face_count=20) for number in range(30)])
        replace_rows(path, parquet.read_table(path), **options)
        with pytest.raises(ScanFormatError, match="more memory"):
            ParquetShard.open(path)


FLIP_FOOTER_BYTES = """
import os, resource, sys
from pathlib import Path
from facebank.album.scan import parquet_shards
from facebank.errors import ScanFormatError
from tests.album.scanned_files import file_content

path, other, step = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
data = path.read_bytes()
start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
with parquet_shards.ParquetShard.open(path) as shard:
    shard.verify()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refused = accepted = 0
for position in range(4, len(data) - 8, step):
    changed = bytearray(data)
    changed[position] ^= 1 << position % 8
    footer = bytes(changed[start:])
    seal_start = start - parquet_shards._SEAL_LENGTH
    other.write_bytes(bytes(changed[:seal_start]) + parquet_shards._seal(footer, seal_start) + footer)
    try:
        with parquet_shards.ParquetShard.open(other) as shard:
            shard.verify()
        accepted += 1
    except ScanFormatError:
        refused += 1
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
assert grown < 100, f"{grown} MB"
print(refused, accepted, grown)
"""


def test_a_hostile_footer_with_a_valid_seal_neither_crashes_nor_fills_the_memory(path: Path, tmp_path: Path) -> None:
    """Tries all bytes with FACEBANK_ALL_FLIPS=1."""
    write_shard(path, SMALL)
    step = 1 if os.environ.get("FACEBANK_ALL_FLIPS") else 11
    command = [sys.executable, "-c", FLIP_FOOTER_BYTES, str(path), str(tmp_path / "hostile.parquet"), str(step)]
    completed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    print("refused, accepted, MB:", completed.stdout)  # noqa: T201


@pytest.mark.parametrize(
    "footer",
    [
        b"",
        b"\x00",
        b"\x1c" * 40,  # nested structures
        b"\x15" + b"\xff" * 12,  # an endless number
        b"\x19\xfc\xff\xff\xff\xff\x07",  # a list of 2 billion structures
        b"\x18\xff\xff\xff\xff\x07",  # 2 GB of text
    ],
)
def test_an_invalid_footer_is_refused(path: Path, footer: bytes) -> None:
    data = b"PAR1" + bytes(100)
    tail = footer + len(footer).to_bytes(4, "little") + b"PAR1"
    path.write_bytes(data + parquet_shards._seal(tail, len(data)) + tail)
    with pytest.raises(ScanFormatError, match="damaged or half-written"):
        ParquetShard.open(path)


def test_without_pyarrow_the_error_names_the_extra(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shard(path, [])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for action in (lambda: ParquetShard.open(path), lambda: write_parquet_shard(path, [], HEADER)):
        with pytest.raises(MissingDependencyError, match=r"facebank\[cluster\]"):
            action()
