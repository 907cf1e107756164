"""Merged scans equal one scan of all photos; refused merges change nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from facebank.album.scan.rows import COLUMNS, FileStamp, ShardRow, TagRow
from facebank.album.scan.scan_file import ScanFile, ScannedFile
from facebank.album.scan.schema import SCAN_FILE
from facebank.errors import FacebankError, ScanFormatError, UsageError
from facebank.media.shards import Shard
from facebank.storage.values import row_digest
from tests.shard_numbers import shard_number_of

from .scanned_files import PACK, STATE, known_content, merge_scans, photo_content, write_scan
from .test_scan_damage import HOSTILE_ROWS, all_content, reseal
from .test_scan_file import WHEN, edited_file, make_file, make_photo

FIRST, SECOND, THIRD = (datetime(2024, 5, day, tzinfo=UTC) for day in (1, 2, 3))
NUMBERS = range(1, 25)
MakeScan = Callable[..., Path]


def unreadable_file(path: str) -> ScannedFile:
    return ScannedFile(path, STATE, None, f"{path} is truncated", None, "decoders 1")


def one_shard(when: datetime = FIRST) -> list[ShardRow]:
    return [ShardRow("/a", Shard(1, 1), when)]


@pytest.fixture
def make(tmp_path: Path) -> MakeScan:
    """A function that makes a scan of files and returns its path."""

    def make_scan(name: str, files: Iterable[ScannedFile], rows: Iterable[ShardRow] = ()) -> Path:
        return write_scan(tmp_path / f"{name}.scan", files, rows)

    return make_scan


def all_files() -> list[ScannedFile]:
    """Return photos, a copy of one of them, and unreadable files."""
    photos = [make_file(f"/a/{number}.jpg", number) for number in NUMBERS]
    return [*photos, make_file("/a/copy.jpg", 1), unreadable_file("/a/torn.jpg"), make_file("/a/none.jpg", 99)]


def make_shards(make: MakeScan, when: datetime = FIRST, files: Sequence[ScannedFile] | None = None) -> list[Path]:
    """Make scans of three shards; return their paths."""
    files = all_files() if files is None else files
    return [
        make(
            f"{number}-{when.day}",
            [file for file in files if shard_number_of(file.path, 3, "/a") == number],
            [ShardRow("/a", Shard(number, 3), when)],
        )
        for number in (1, 2, 3)
    ]


def content_of(path: Path) -> list[object]:
    """Return the content and version of a scan."""
    with ScanFile.open(path, PACK) as scan_file:
        return [known_content(scan_file), scan_file.version()]


def paths_in(path: Path) -> list[str]:
    with ScanFile.open(path, PACK) as scan_file:
        return [row.path for row in scan_file.known_files("/")]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "album.scan"


def test_merged_shards_equal_one_scan(make: MakeScan, target: Path) -> None:
    sources = make_shards(make)
    before = [source.read_bytes() for source in sources]
    report = merge_scans(target, sources)
    assert (report.new, report.changed, report.unchanged, report.gone, report.missing) == (27, 0, 0, 0, {})
    assert content_of(target) == content_of(make("one", all_files()))
    assert [source.read_bytes() for source in sources] == before
    everything = all_content(target)
    again = merge_scans(target, sources)
    assert (again.new, again.changed, again.unchanged, again.gone) == (0, 0, 27, 0)
    assert all_content(target) == everything


def test_shards_can_be_merged_one_after_the_other(make: MakeScan, target: Path) -> None:
    missing = [merge_scans(target, [source]).missing for source in make_shards(make)]
    assert missing == [{"/a": (Shard(2, 3), Shard(3, 3))}, {"/a": (Shard(3, 3),)}, {}]
    assert content_of(target) == content_of(make("one", all_files()))


def test_remaining_photos_keep_groups_pairs_and_names(make: MakeScan, target: Path) -> None:
    files = [
        replace(file, photo=replace(make_photo(7), picture_hash="ab" * 32)) if file.path == "/a/7.jpg" else file
        for file in all_files()
    ]
    merge_scans(target, make_shards(make, FIRST, files))
    with ScanFile.open(target, PACK) as scan_file:
        face_ids_by_path = {photo.path: face_ids for face_ids, photo in scan_file.each_photo()}
        five, six, seven, eight = (face_ids_by_path[f"/a/{number}.jpg"] for number in (5, 6, 7, 8))
        scan_file.keep_groups({1: [five[0], six[0], seven[0]], 2: [eight[0]]})
        scan_file.tell_apart([(five[0], seven[1]), (five[0], eight[0])])
        scan_file.keep_tags("/a/5.jpg", {TagRow("/a/5.jpg", "/a/5.jpg", 3)})
        scan_file.keep_tags("/a/8.jpg", {TagRow("/a/8.jpg", "/a/8.jpg", 3)})
    later = [file for file in files if file.path not in {"/a/5.jpg", "/a/6.jpg", "/a/7.jpg", "/a/8.jpg"}]
    moved = make_file("/a/b/6.jpg", 6)
    other = replace(
        make_file("/a/7.jpg", 700), photo=replace(make_photo(7), content_hash=f"{700:064x}", picture_hash="ab" * 32)
    )
    report = merge_scans(target, make_shards(make, SECOND, [*later, make_file("/a/5.jpg", 5), moved, other]))
    assert (report.new, report.changed, report.gone) == (1, 1, 1)
    with ScanFile.open(target, PACK) as scan_file:
        assert scan_file.groups() == {1: [five[0], six[0], seven[0]]}
        assert scan_file.told_apart() == [(five[0], seven[1])]
        assert scan_file.locate_face(six[0])[0].path == "/a/b/6.jpg"
        assert scan_file.locate_face(seven[0])[0].content_hash == f"{700:064x}"
        assert {tag.photo_path for tag in scan_file.tags()} == {"/a/5.jpg"}


def test_photos_missing_from_a_shard_are_forgotten(make: MakeScan, target: Path) -> None:
    merge_scans(target, make_shards(make))
    later = [file for file in all_files() if file.path not in {"/a/3.jpg", "/a/torn.jpg"}]
    assert merge_scans(target, make_shards(make, SECOND, later)).gone == 1
    assert content_of(target) == content_of(make("one", later))
    merge_scans(target, make_shards(make, THIRD)[:1])
    assert set(paths_in(target)) - {file.path for file in later} <= {"/a/3.jpg", "/a/torn.jpg"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_later_scan_takes_precedence_in_any_order(make: MakeScan, target: Path, order: tuple[int, int]) -> None:
    old = make(
        "old", [make_file("/a/1.jpg", 1), make_file("/a/2.jpg", 2), make_file("/a/gone.jpg", 3)], one_shard(FIRST)
    )
    new = make(
        "new", [make_file("/a/1.jpg", 1), make_file("/a/2.jpg", 22), make_file("/a/new.jpg", 4)], one_shard(SECOND)
    )
    merge_scans(target, [(old, new)[index] for index in order])
    assert content_of(target) == content_of(new)
    assert merge_scans(target, [old]).unchanged == 3  # known from a later scan
    assert content_of(target) == content_of(new)


def test_shards_of_different_divisions_can_be_merged(make: MakeScan, target: Path) -> None:
    merge_scans(target, make_shards(make))
    later = [file for file in all_files() if file.path != "/a/3.jpg"]
    halves = [
        make(
            f"half{number}",
            [file for file in later if shard_number_of(file.path, 2, "/a") == number],
            [ShardRow("/a", Shard(number, 2), SECOND)],
        )
        for number in (1, 2)
    ]
    assert merge_scans(target, halves).missing == {}
    assert content_of(target) == content_of(make("one", later))
    with ScanFile.open(target, PACK) as scan_file:
        assert [row.shard for row in scan_file.shards()] == [Shard(1, 2), Shard(2, 2)]


def test_an_interrupted_scan_only_adds_photos(make: MakeScan, target: Path) -> None:
    make("album", [make_file("/a/1.jpg", 1), make_file("/b/1.jpg", 3)], [ShardRow("/a", Shard(1, 1), FIRST)])
    assert merge_scans(target, [make("begun", [make_file("/b/2.jpg", 2)])]).gone == 0
    assert paths_in(target) == ["/a/1.jpg", "/b/1.jpg", "/b/2.jpg"]


def test_a_division_into_another_number_of_shards_starts_from_the_merged_scan(
    make: MakeScan, target: Path, tmp_path: Path
) -> None:
    merge_scans(target, make_shards(make))
    later = [file for file in all_files() if file.path != "/a/3.jpg"]
    halves = [tmp_path / f"half{number}.scan" for number in (1, 2)]
    for number, half in enumerate(halves, 1):
        merge_scans(half, [target])
        with ScanFile.open(half, PACK) as scan_file:
            assert len(scan_file.shards()) == 3
            scan_file.forget(["/a/3.jpg"] if shard_number_of("/a/3.jpg", 2, "/a") == number else [])
            scan_file.record_shards([ShardRow("/a", Shard(number, 2), SECOND)])
    for order in (halves, halves[::-1]):
        merge_scans(target, order)
        assert content_of(target) == content_of(make("one", later))


def test_no_photo_of_a_folder_that_could_not_be_opened_is_forgotten(make: MakeScan, target: Path) -> None:
    make("album", [make_file("/a/b/c/1.jpg", 1), make_file("/a/2.jpg", 2)], one_shard())
    closed = ScannedFile("/a/b", STATE, None, "/a/b cannot be opened", None)
    merge_scans(target, [make("closed", [closed], one_shard(SECOND))])
    assert paths_in(target) == ["/a/b", "/a/b/c/1.jpg"]
    merge_scans(target, [make("open", [make_file("/a/b/c/3.jpg", 3)], one_shard(FIRST - timedelta(1)))])
    assert paths_in(target) == ["/a/b", "/a/b/c/1.jpg", "/a/b/c/3.jpg"]


def test_a_time_in_the_future_is_limited_to_now(make: MakeScan, target: Path) -> None:
    merge_scans(target, [make("ahead", [make_file("/a/1.jpg", 1)], one_shard(datetime(2999, 1, 1, tzinfo=UTC)))])
    merge_scans(target, [make("mended", [make_file("/a/1.jpg", 11)], one_shard(datetime.now(UTC)))])
    assert content_of(target) == content_of(make("one", [make_file("/a/1.jpg", 11)]))


def test_a_merged_folder_can_have_another_name(make: MakeScan, target: Path) -> None:
    source = make(
        "one", [make_file("/a/b/1.jpg", 1), unreadable_file("/a/2.jpg"), make_file("/ab/3.jpg", 3)], one_shard()
    )
    merge_scans(target, [source], ("/a", "/mnt/photos"))
    assert paths_in(target) == ["/ab/3.jpg", "/mnt/photos/2.jpg", "/mnt/photos/b/1.jpg"]
    with ScanFile.open(target, PACK) as scan_file:
        assert scan_file.unreadable("/") == {"/mnt/photos/2.jpg": "/mnt/photos/2.jpg is truncated"}
        assert [row.place for row in scan_file.shards()] == ["/mnt/photos"]
    with pytest.raises(UsageError, match="none of the scans has a photo of /x"):
        merge_scans(target, [source], ("/x", "/y"))
    with pytest.raises(UsageError, match="/a/b lies in /a, which was scanned"):
        merge_scans(target, [source], ("/a/b", "/y"))


def test_conflicting_shards_are_refused(make: MakeScan, target: Path) -> None:
    first, second, _ = make_shards(make)
    again = make("again", [], [ShardRow("/a", Shard(1, 3), SECOND)])
    with pytest.raises(UsageError, match=r"1-1.scan and .*again.scan are both shard 1/3 of /a: name only one"):
        merge_scans(target, [first, second, again])
    elsewhere = make("elsewhere", [], [ShardRow("/media/a", Shard(3, 3), FIRST)])
    with pytest.raises(UsageError, match=r"is shard 1/3 of /a, and .* shard 3/3 of /media/a: .*--moved /media/a /a"):
        merge_scans(target, [first, second, elsewhere])
    assert paths_in(target) == []


CHANGES_SEEN_BY_A_MERGE = [
    change
    for change, statement in HOSTILE_ROWS.items()
    if not any(word in change for word in ("group", "pair", "name", "position"))
    and not any(table in statement for table in ("videos", "track"))
]


def test_a_damaged_scan_changes_nothing(make: MakeScan, target: Path) -> None:
    good = make("good", [make_file("/c/100.jpg", 100)], [ShardRow("/c", Shard(1, 1), FIRST)])
    source = make(
        "bad",
        [
            *all_files(),
            make_file("/b/copy.jpg", 1),
            ScannedFile("/b/torn.jpg", STATE, None, "truncated", None),
            ScannedFile("/b/none.jpg", FileStamp(1, 1), f"{98:064x}", None, make_photo(98, face_count=0)),
        ],
        [ShardRow("/a", Shard(2, 3), WHEN)],
    )
    make("album", [make_file("/a/1.jpg", 50)], [ShardRow("/d", Shard(1, 1), FIRST)])
    content, before = source.read_bytes(), photos_and_files(target)
    assert len(CHANGES_SEEN_BY_A_MERGE) > 40
    for change in CHANGES_SEEN_BY_A_MERGE:
        reseal(source, HOSTILE_ROWS[change])
        with pytest.raises(ScanFormatError, match=r"bad\.scan is damaged.*remove it and scan again"):
            merge_scans(target, [good, source])
        assert photos_and_files(target) == before, change
        source.write_bytes(content)
    for length in (0, 50, 100, 4096, len(content) // 2, len(content) - 4096):
        source.write_bytes(content[:length])
        with pytest.raises(FacebankError, match=r"bad\.scan"):
            merge_scans(target, [good, source])
        assert photos_and_files(target) == before
    source.write_bytes(content)
    merge_scans(target, [good, source])
    assert "/b/torn.jpg" in paths_in(target)


def photos_and_files(path: Path) -> list[object]:
    with ScanFile.open(path, PACK) as scan_file:
        return [list(map(photo_content, scan_file.photos())), scan_file.known_files("/"), scan_file.shards()]


def test_an_older_scan_is_merged_and_not_changed(make: MakeScan, target: Path, tmp_path: Path) -> None:
    newer, older = make("newer", all_files()), tmp_path / "older.scan"
    with closing(sqlite3.connect(older)) as connection:
        connection.execute(f"PRAGMA application_id = {SCAN_FILE.application_id}")
        SCAN_FILE.build(connection, 3)
        connection.execute("INSERT INTO scan VALUES (3, ?, ?, ?)", (PACK.name, PACK.digest, PACK.dimension))
        connection.commit()
        connection.execute("ATTACH ? AS newer", (str(newer),))
        for table in ("photos", "faces", "files"):
            columns = ", ".join((*COLUMNS[table], "row_digest"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}")
        counts = (27, 25, 50, 0, 0, 0)
        columns = ", ".join((*COLUMNS["totals"][:6], "row_digest"))
        connection.execute("DELETE FROM main.totals")
        connection.execute(
            f"INSERT INTO main.totals ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", (*counts, row_digest("totals", counts))
        )
        connection.commit()
    content = older.read_bytes()
    merge_scans(target, [older])
    assert content_of(target) == content_of(newer)
    assert older.read_bytes() == content
    with closing(sqlite3.connect(older)) as connection, connection:
        connection.execute("DELETE FROM faces WHERE id = 3")  # detected by the stored number of rows
    with pytest.raises(ScanFormatError, match="damaged"), ScanFile.open(older, PACK) as scan_file:
        scan_file.face_table()


def test_a_newer_scan_is_refused(make: MakeScan, target: Path) -> None:
    source = make("newer", all_files())
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("UPDATE scan SET version = 99")
    with pytest.raises(ScanFormatError, match=r"newer\.scan was written by a newer facebank"):
        merge_scans(target, [source])


def test_a_read_only_scan_is_not_changed(make: MakeScan) -> None:
    source = make("one", all_files())
    with (
        ScanFile.open(source, PACK, read_only=True) as scan_file,
        pytest.raises(FacebankError, match="is write-protected"),
    ):
        scan_file.forget(["/a/1.jpg"])


def test_edited_photos_are_merged_with_their_originals(make: MakeScan, target: Path) -> None:
    original = replace(make_photo(2, path="/a/2.jpg"), picture_hash="ab" * 32)
    merge_scans(target, [make("one", [replace(make_file("/a/2.jpg", 2), photo=original)], one_shard())])
    source = make("two", [replace(make_file("/a/2.jpg", 2), photo=original)], one_shard())
    with ScanFile.open(source, PACK) as scan_file:
        scan_file.keep([edited_file("/a/2.jpg", 20)])
        scan_file.record_shards(one_shard(SECOND))
        face_ids = scan_file.face_table().face_ids.tolist()
    assert merge_scans(target, [source]).gone == 0
    with ScanFile.open(target, PACK) as scan_file:
        assert scan_file.face_table().face_ids.tolist() == face_ids
    assert content_of(target) == content_of(source)
