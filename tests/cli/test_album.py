"""``facebank album``, and commands that read an album of Parquet shards."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from facebank import FaceBank
from facebank.album.scan.parquet_shards import ShardHeader, write_parquet_shard
from facebank.album.scan.rows import ShardRow
from facebank.album.scan.scan_file import ScannedFile
from facebank.media.shards import Shard
from tests.album.scanned_files import needs_pyarrow
from tests.demo_photos import DEMO_PHOTOS

from .conftest import Run, Validate

pytestmark = needs_pyarrow


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of the package's photographs, one of them in two formats."""
    folder = tmp_path / "album"
    shutil.copytree(DEMO_PHOTOS, folder, ignore=shutil.ignore_patterns("*.txt"))
    with Image.open(folder / "eileen_collins.jpg") as photo:
        photo.save(folder / "eileen.png")
    return folder


@pytest.fixture
def shards(run: Run, gallery: Path, album: Path, tmp_path: Path) -> Path:
    """Two Parquet shards of the folder, and a gallery with one person."""
    run("enroll", "Barack", album / "barack_obama_portrait_2012.jpg")
    run("scan", album, "--scan-file", tmp_path / "one.scan")
    folder = tmp_path / "shards"
    with FaceBank.open(gallery) as bank, bank.album(tmp_path / "one.scan") as scanned:
        states = scanned.scan_file.files(str(album))
        scanned_files = [
            ScannedFile(photo.path, states[photo.path], photo.content_hash, None, photo)
            for photo in scanned.scan_file.photos()
        ]
        for number in (1, 2):
            shard = Shard(number, 2)
            rows = (ShardRow(str(album), shard, datetime.now(UTC)),)
            part = [file for file in scanned_files if shard.holds(file.path, [str(album)])]
            write_parquet_shard(folder / f"{number}.parquet", part, ShardHeader(bank.engine.identity, rows))
    return folder


def test_shards_give_the_same_results_as_a_scan(run: Run, shards: Path, tmp_path: Path, validate: Validate) -> None:
    whole, shard_folder = ("--scan-file", tmp_path / "one.scan"), ("--scan-file", shards)
    found = [run("find", "Barack", *scan, "--json").records for scan in (whole, shard_folder)]
    validate("find", found[1])
    assert found[0] == found[1]
    assert found[0]
    identified = [run("identify", "--scan", *scan, "--json").records for scan in (whole, shard_folder)]
    validate("identify", identified[1])
    assert sorted(identified[0], key=str) == sorted(identified[1], key=str)
    page = tmp_path / "people.html"
    groups = [run("cluster", *scan, "--out", page, "--json").records for scan in (whole, shard_folder)]
    validate("cluster", groups[1])
    assert [group["photos"] for group in groups[0]] == [group["photos"] for group in groups[1]]
    assert page.exists()


def test_a_folder_of_shards_can_be_opened_shown_and_closed(
    run: Run, shards: Path, album: Path, gallery: Path, validate: Validate
) -> None:
    opened = run("album", "open", shards, "--json")
    validate("album-open", opened.records)
    assert opened.records[0]["album"] == str(shards)
    assert opened.records[0]["parquet_shards"] == 2
    assert "6 photos (6 files, 2 Parquet shards)" in run("album", "show").out
    assert run("find", "Barack").out.count("barack") == len(run("find", "Barack", "--json").records) > 0
    assert run("identify", "--scan", "--json").records
    assert "facebank album close" in run("scan", album, code=2).err
    closed = run("album", "close", "--json")
    validate("album-close", closed.records)
    assert closed.records == [{"album": str(gallery.with_suffix(".scan")), "closed": True}]
    assert "no other album was open" in run("album", "close").out
    assert "no scan" in run("find", "Barack", code=2).err
    (shards / "2.parquet").unlink()
    assert f"missing shards of {album}: 2/2" in run("album", "open", shards).err
    validate("album-show", run("album", "show", "--json").records)


def test_a_scan_file_can_be_opened(run: Run, shards: Path, tmp_path: Path, album: Path) -> None:
    assert "6 photos (6 files)" in run("album", "open", tmp_path / "one.scan").out
    assert run("find", "Barack", "--json").records
    assert "6 unchanged" in run("scan", album).out


def test_commands_that_change_a_scan_refuse_shards(run: Run, shards: Path, album: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in album.iterdir())
    for command in (
        ("scan", album),
        ("scan", album, "--videos"),
        ("scan", album, "--forget"),
        ("scan", "--merge", tmp_path / "one.scan"),
        ("sort", album, tmp_path / "sorted", "--move"),
        ("tags", "write", album),
        ("tags", "remove", "Barack", album),
        ("find", "Barack", "--videos"),
    ):
        message = run(*command, "--scan-file", shards, code=2).err
        assert f"{shards} holds Parquet shards, which are only read" in message
    assert sorted(path.name for path in album.iterdir()) == before
    assert not (tmp_path / "sorted").exists()
    assert {path.name for path in shards.iterdir()} == {"1.parquet", "2.parquet"}


def test_folders_without_usable_shards_are_refused(run: Run, gallery: Path, tmp_path: Path, shards: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "without Parquet shards" in run("album", "open", tmp_path / "empty", code=2).err
    assert "There is no scan" in run("album", "open", tmp_path / "absent", code=2).err
    data = (shards / "1.parquet").read_bytes()
    (shards / "1.parquet").write_bytes(data[: len(data) // 2])
    assert "1.parquet is damaged or half-written" in run("album", "open", shards, code=2).err
    assert not gallery.with_suffix(".album").exists()


def test_find_writes_parquet(run: Run, shards: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    target = tmp_path / "found.parquet"
    result = run("find", "Barack", "--scan-file", shards, "--parquet", target, "--json")
    rows = parquet.read_table(target).to_pylist()
    assert [row["path"] for row in rows] == [record["image"] for record in result.records]
    assert [[person["person"] for person in row["people"]] for row in rows] == [["Barack"]] * len(rows)
    assert str(target) in result.err
    assert str(target) in run("people", "forget", "Barack", "--dry-run").err
    refused = run("find", "Barack", "--parquet", target, "--videos", code=2)
    assert "--parquet cannot be used with --videos" in refused.err
