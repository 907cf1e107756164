"""Time and memory of merging three scan shards.

    python -m benchmarks.merge_scale --out benchmarks/reports/merge_scale

The scans are synthetic: photos with two faces each and random embeddings of length 128, divided as by ``facebank scan
--shard``. All three are merged into a new scan, then merged again, each time in a new process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.memory import peak_mebibytes
from benchmarks.synthetic import synthetic_face, synthetic_file, synthetic_path
from facebank.album.scan.rows import ShardRow
from facebank.album.scan.scan_file import ScanFile, ScannedFile
from facebank.gallery import PackIdentity
from facebank.media.shards import Shard

SHARDS = tuple(Shard(number, 3) for number in (1, 2, 3))
PACK = PackIdentity("synthetic", "ab" * 32, 128)
_BATCH = 2_000


def make_scans(folder: Path, count: int) -> None:
    """Write the three shards of a scan of `count` photos."""
    random = np.random.default_rng(7)
    files: dict[Shard, list[ScannedFile]] = {shard: [] for shard in SHARDS}
    with ExitStack() as opened:
        scans = {
            shard: opened.enter_context(ScanFile.open(_path(folder, shard), PACK, create=True)) for shard in SHARDS
        }
        for number in range(count):
            shard = next(shard for shard in SHARDS if shard.holds(synthetic_path(number), ["/photos"]))
            files[shard].append(synthetic_file(number, [synthetic_face(random) for _ in range(2)]))
            if len(files[shard]) == _BATCH:
                scans[shard].keep(files[shard])
                files[shard] = []
        for shard, remaining in files.items():
            scans[shard].keep(remaining)
            scans[shard].record_shards([ShardRow("/photos", shard, datetime.now(UTC))])


def merge(folder: Path) -> dict[str, float]:
    """Merge the scans; return wall seconds, CPU seconds, and peak memory in MiB."""
    started, processor_started = time.perf_counter(), time.process_time()
    with ExitStack() as opened:
        scans = [opened.enter_context(ScanFile.open(_path(folder, shard), PACK, read_only=True)) for shard in SHARDS]
        opened.enter_context(ScanFile.open(folder / "all.scan", PACK, create=True)).merge(scans)
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - processor_started, 1),
        "largest_memory_mb": peak_mebibytes(),
    }


def _path(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.number}.scan"


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="path of the report, without suffix")
    parser.add_argument("--photos", type=int, default=100_000, help="number of photos (default 100,000)")
    parser.add_argument("--merge", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.merge is not None:
        print(json.dumps(merge(arguments.merge)))
        return
    with tempfile.TemporaryDirectory(prefix="facebank-merge-scale-") as scratch:
        make_scans(Path(scratch), arguments.photos)
        command = [sys.executable, "-m", "benchmarks.merge_scale", "--merge", scratch]
        first, second = (
            json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout) for _ in range(2)
        )
        size = sum(_path(Path(scratch), shard).stat().st_size for shard in SHARDS)
    report = {"photos": arguments.photos, "faces": 2 * arguments.photos, "scans_mb": round(size / 1e6)}
    report |= {"first": first, "again": second}
    if arguments.out is not None:
        write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
