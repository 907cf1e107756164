"""Merged Parquet shards equal merged scan files of the same shards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread

import pytest

from facebank import FaceBank
from facebank.album.scan.parquet_shards import ShardHeader, write_parquet_shard
from facebank.album.scan.parquet_source import shards_in
from facebank.album.scan.rows import ShardRow
from facebank.album.scan.scan_file import ScanFile, ScannedFile
from facebank.errors import FacebankError, PackMismatchError, ScanBusyError, ScanFormatError, UsageError
from facebank.gallery import PackIdentity
from facebank.media.shards import Shard

from .scanned_files import PACK, STATE, known_content, made_up_file, merge_scans, needs_pyarrow, write_scan

pytestmark = needs_pyarrow

FIRST, SECOND = (datetime(2024, 5, day, tzinfo=UTC) for day in (1, 2))
MakeScan = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> MakeScan:
    """A function that makes a Parquet shard, or a scan file if the name has another suffix, and returns its path."""

    def make_scan(name: str, files: Sequence[ScannedFile], rows: Iterable[ShardRow] = ()) -> Path:
        return write_scan(tmp_path / name, files, rows)

    return make_scan


def all_files() -> list[ScannedFile]:
    """Return photos, copies with and without faces in their own rows, and unreadable files."""
    unreadable = ScannedFile("/a/torn.jpg", STATE, "ab" * 32, "truncated", None, "decoders 1")
    known = replace(made_up_file("/a/copy.jpg", 1), photo=None)
    copy = made_up_file("/a/other.jpg", 2)
    return [*(made_up_file(f"/a/{number}.jpg", number) for number in range(1, 25)), known, copy, unreadable]


def make_shards(
    make: MakeScan, suffix: str, when: datetime = FIRST, files: Sequence[ScannedFile] | None = None
) -> list[Path]:
    """Make three shards of a folder; return their paths."""
    scanned_files = all_files() if files is None else files
    paths = []
    for number in (1, 2, 3):
        shard = Shard(number, 3)
        part = [file for file in scanned_files if shard.holds(file.path, ["/a"])]
        paths.append(make(f"{number}-{when.day}{suffix}", part, [ShardRow("/a", shard, when)]))
    return paths


def content_of(path: Path) -> list[object]:
    """Return the content and shards of a scan."""
    with ScanFile.open(path, PACK) as scan_file:
        return [known_content(scan_file), scan_file.shards()]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "album.scan"


def test_merged_parquet_shards_equal_one_scan(make: MakeScan, target: Path, tmp_path: Path) -> None:
    sources = make_shards(make, ".parquet")
    before = [source.read_bytes() for source in sources]
    report = merge_scans(target, sources)
    assert (report.new, report.changed, report.unchanged, report.gone, report.missing) == (27, 0, 0, 0, {})
    whole_scan = make("one.scan", all_files(), [ShardRow("/a", Shard(number, 3), FIRST) for number in (1, 2, 3)])
    assert content_of(target) == content_of(whole_scan)
    assert [source.read_bytes() for source in sources] == before
    again = merge_scans(target, sources)
    assert (again.new, again.changed, again.unchanged, again.gone) == (0, 0, 27, 0)


def test_shards_and_scan_files_are_merged_together(make: MakeScan, target: Path) -> None:
    parquet_shards = make_shards(make, ".parquet")
    scan_files = make_shards(make, ".scan", files=[*all_files()[:24], all_files()[25]])
    report = merge_scans(target, [parquet_shards[0], scan_files[1], parquet_shards[2]])
    assert report.missing == {}
    assert report.new >= 24


def test_missing_shards_are_reported_and_missing_photos_forgotten(make: MakeScan, target: Path) -> None:
    first = make_shards(make, ".parquet")
    assert merge_scans(target, first[:1]).missing == {"/a": (Shard(2, 3), Shard(3, 3))}
    assert merge_scans(target, first[1:]).missing == {}
    later = make_shards(make, ".parquet", SECOND, [file for file in all_files() if file.path != "/a/5.jpg"])
    report = merge_scans(target, later)
    assert (report.new, report.changed, report.gone) == (0, 0, 1)


def test_the_photo_of_a_copy_is_found_in_any_shard(make: MakeScan, target: Path) -> None:
    copy = make("a.parquet", [replace(made_up_file("/a/copy.jpg", 1), photo=None)])
    photo = make("b.parquet", [made_up_file("/a/1.jpg", 1)])
    with pytest.raises(UsageError, match=r"a\.parquet lists /a/copy.jpg as a copy of a photo that none"):
        merge_scans(target, [copy])
    assert merge_scans(target, [copy, photo]).new == 2
    with ScanFile.open(target, PACK) as scan_file:
        assert [(photo.path, len(photo.faces)) for photo in scan_file.photos()] == [("/a/1.jpg", 2), ("/a/copy.jpg", 2)]


def test_an_edited_photo_gets_the_faces_of_the_same_pixels(make: MakeScan, target: Path) -> None:
    old = made_up_file("/a/1.jpg", 1)
    assert old.photo is not None
    new = replace(old.photo, faces=(), content_hash=f"{99:064x}", path="/a/edited.jpg")
    edited = ScannedFile("/a/edited.jpg", STATE, new.content_hash, None, None, edited=new)
    assert merge_scans(target, [make("a.parquet", [edited]), make("b.parquet", [old])]).new == 2
    with ScanFile.open(target, PACK) as scan_file:
        assert [(photo.content_hash, len(photo.faces)) for photo in scan_file.photos(["/a/edited.jpg"])] == [
            (f"{99:064x}", 2)
        ]


def test_a_merged_folder_can_have_another_name(make: MakeScan, target: Path) -> None:
    merge_scans(target, make_shards(make, ".parquet"), moved=("/a", "/mnt/b"))
    with ScanFile.open(target, PACK) as scan_file:
        assert all(file.path.startswith("/mnt/b/") for file in scan_file.known_files("/"))
        assert [row.place for row in scan_file.shards()] == ["/mnt/b"] * 3


def test_a_refused_merge_changes_nothing(make: MakeScan, target: Path, tmp_path: Path) -> None:
    first, second, third = make_shards(make, ".parquet")
    shutil.copy(first, tmp_path / "copied.parquet")
    other = tmp_path / "pack.parquet"
    write_parquet_shard(other, [], ShardHeader(PackIdentity("other", "cd" * 32, 8)))
    damaged = tmp_path / "damaged.parquet"
    data = bytearray(third.read_bytes())
    data[len(data) // 3] ^= 8  # in the pages
    damaged.write_bytes(data)
    half = tmp_path / "half.parquet"
    half.write_bytes(data[: len(data) // 2])
    cases: list[tuple[Path, type[FacebankError], str]] = [
        (tmp_path / "copied.parquet", UsageError, "are both shard 1/3"),
        (other, PackMismatchError, "was made with the pack 'other'"),
        (damaged, ScanFormatError, "damaged.parquet is damaged"),
        (half, ScanFormatError, "half.parquet is damaged or half-written"),
    ]
    merge_scans(target, [second])
    before = content_of(target)
    for path, error, message in cases:
        with pytest.raises(error, match=message):
            merge_scans(target, [first, path])
        assert content_of(target) == before


def test_a_folder_of_shards_is_merged_as_a_whole(tmp_path: Path, folder: Path) -> None:
    with FaceBank.open(tmp_path / "a.facebank") as bank:
        with bank.album(tmp_path / "one.scan") as album:
            album.scan(folder)
            with album, ScanFile.open(album.path, bank.engine.identity) as scan_file:
                files = [
                    ScannedFile(photo.path, STATE, photo.content_hash, None, photo) for photo in scan_file.photos()
                ]
        shards = tmp_path / "shards"
        for number, file in enumerate(files):
            write_parquet_shard(shards / f"{number}.parquet", [file], ShardHeader(bank.engine.identity))
        (shards / "notes.txt").write_text("no shard")
        assert [path.name for path in shards_in(shards)] == ["0.parquet", "1.parquet", "2.parquet"]
        with bank.album(tmp_path / "two.scan") as album:
            assert album.merge(shards).new == 3
            (photo,) = album.scan_file.photos([str(folder / "obama.jpg")])
        expected = next(file.photo for file in files if file.path.endswith("obama.jpg"))
        assert expected is not None
        assert photo.faces[0].embedding.tolist() == expected.faces[0].embedding.tolist()
        with pytest.raises(UsageError, match="are the same scan"):
            bank.album(tmp_path / "three.scan").merge([shards, shards / "0.parquet"])


def test_simultaneous_merges_are_refused_or_run_one_after_the_other(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "a.facebank") as bank:
        identity = bank.engine.identity
        files = [made_up_file(f"/a/{number}.jpg", number, 2, identity.dimension) for number in range(300)]
        paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
        for path, part in zip(paths, (files[:200], files[200:]), strict=True):
            write_parquet_shard(path, part, ShardHeader(identity))
        messages, start = list[str](), Barrier(2)

        def merge_into_album(path: Path) -> None:
            start.wait()
            try:
                bank.album(tmp_path / "both.scan").merge(path)
            except ScanBusyError as error:
                messages.append(str(error))

        threads = [Thread(target=merge_into_album, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with bank.album(tmp_path / "both.scan") as album:
            assert album.count() in ((300,) if not messages else (100, 200))
        assert all("another scan is writing" in message for message in messages)
