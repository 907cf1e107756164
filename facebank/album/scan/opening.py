"""Opening a scan by its path: a scan file, a Parquet shard or a folder of Parquet shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.album.scan.parquet_scan import ParquetScan
from facebank.album.scan.parquet_shards import is_parquet
from facebank.album.scan.parquet_source import ParquetSource, shards_in
from facebank.album.scan.scan_file import ScanFile
from facebank.storage.files import is_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import ExitStack
    from pathlib import Path

    from facebank.album.scan.merge_sources import MergeSource
    from facebank.gallery import PackIdentity


def is_parquet_scan(path: Path) -> bool:
    """Return whether a scan is a Parquet shard or a folder of shards, which is read-only."""
    return is_folder(path) or is_parquet(path)


def shard_count(path: Path) -> int | None:
    """Return the number of Parquet shards of a scan; None for a scan file."""
    if is_folder(path):
        return len(shards_in(path))
    return 1 if is_parquet(path) else None


def open_scan(path: Path, pack: PackIdentity) -> ScanFile:
    """Open the scan at a path; raises as `ScanFile.open` and `ParquetScan` do."""
    return ParquetScan(path, pack) if is_parquet_scan(path) else ScanFile.open(path, pack)


def scans_in(paths: Iterable[Path]) -> list[Path]:
    """Return the files of scans to merge, with each folder replaced by its Parquet shards."""
    return [file for path in paths for file in (shards_in(path) if is_folder(path) else [path])]


def open_source(path: Path, pack: PackIdentity, opened: ExitStack) -> ScanFile | MergeSource:
    """Open a scan file or a Parquet shard to be merged; `opened` closes a scan file."""
    if is_parquet(path):
        return ParquetSource(path, pack)
    return opened.enter_context(ScanFile.open(path, pack, read_only=True))
