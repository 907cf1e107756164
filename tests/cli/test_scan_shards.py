"""``facebank scan --shard`` and ``--merge``: a scan shared by several machines."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.demo_photos import DEMO_PHOTOS

from .conftest import Run, Validate


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of five photographs."""
    folder = tmp_path / "album"
    shutil.copytree(DEMO_PHOTOS, folder, ignore=shutil.ignore_patterns("*.txt"))
    return folder


def test_two_shards_are_scanned_and_merged(run: Run, gallery: Path, album: Path, validate: Validate) -> None:
    (album / "clip.mp4").write_bytes(b"a video")
    results = [run("scan", album, "--shard", f"{number}/2", "--json") for number in (1, 2)]
    assert sorted(Path(record["image"]).name for result in results for record in result.records) == sorted(
        path.name for path in album.glob("*.jpg")
    )
    assert sum("1 video skipped" in result.err for result in results) == 1
    first_shard, second_shard = gallery.with_suffix(".1-of-2.scan"), gallery.with_suffix(".2-of-2.scan")
    assert set(gallery.parent.glob("*.scan")) == {first_shard, second_shard}
    merged = run("scan", "--merge", first_shard, "--json")
    validate("scan-merge", merged.records)
    assert merged.records[0]["missing"] == [{"folder": str(album), "shard": "2/2"}]
    assert f"shards of {album} that are not merged yet: 2/2" in merged.err
    assert "5 faces in 5 photos (5 files)" in run("scan", "--merge", first_shard, second_shard).out
    assert "5 unchanged" in run("scan", album, "--shard", "1/1").out  # the same as a scan without --shard


def test_options_that_exclude_each_other_are_refused(run: Run, album: Path) -> None:
    assert "no shard 5/4" in run("scan", album, "--shard", "5/4", code=2).err
    assert "--forget and --shard exclude each other" in run("scan", album, "--shard", "1/4", "--forget", code=2).err
    assert "--merge and --shard exclude each other" in run("scan", album, "--shard", "1/4", "--merge", code=2).err
    assert "--merge and --forget exclude each other" in run("scan", album, "--forget", "--merge", code=2).err
    assert "--moved requires --merge" in run("scan", album, "--moved", "a", "b", code=2).err
    assert "is a folder without Parquet shards" in run("scan", "--merge", album, code=2).err
