"""Time and memory of Parquet shards compared with a scan file of the same faces.

    python -m benchmarks.parquet_scale --out benchmarks/reports/parquet_scale

The photos are synthetic, with two faces each and random embeddings, in 16 shards. Each step runs in a new process:
writing the shards, verifying them, and merging them into a scan file; then ``Album.to_arrow``, ``find`` for one person
of the demo photos, and ``cluster``, on the shards and on the scan file. Times exclude imports; on a busy machine, use
the CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.memory import peak_mebibytes
from benchmarks.robustness.inputs import DEMO_PHOTOS
from benchmarks.synthetic import synthetic_face, synthetic_file, synthetic_path
from facebank import FaceBank
from facebank.album.scan.parquet_shards import ParquetShard, ShardHeader, write_parquet_shard
from facebank.album.scan.parquet_source import shards_in
from facebank.album.scan.rows import ShardRow
from facebank.album.scan.scan_file import ScannedFile
from facebank.media.shards import Shard

SHARDS = 16
STEPS_ON_BOTH = ("to_arrow", "find", "cluster")
STEPS = ("write", "verify", "merge", *STEPS_ON_BOTH)


def synthetic_files(shard: Shard, photo_count: int) -> Iterator[ScannedFile]:
    """Yield the synthetic files of a shard."""
    random = np.random.default_rng(shard.number)
    for number in range(photo_count):
        if shard.holds(synthetic_path(number), ["/photos"]):
            yield synthetic_file(number, [synthetic_face(random) for _ in range(2)])


def run(step: str, folder: Path, source: Path, photo_count: int) -> object:
    """Run a step on shards or a scan file (`source`); return the number of faces, photos or groups."""
    with FaceBank.open(folder / "people.facebank", threads=1) as bank, bank.album(source) as album:
        steps: dict[str, Callable[[], object]] = {
            "write": lambda: _write(folder / "shards", bank, photo_count),
            "verify": lambda: sum(_verify(path) for path in shards_in(folder / "shards")),
            "merge": lambda: album.merge(folder / "shards").new,
            "find": lambda: len(album.find("Barack")),
            "cluster": lambda: len(album.cluster().groups),
            "to_arrow": lambda: album.to_arrow(identify=False).num_rows,
        }
        return steps[step]()


def _write(folder: Path, bank: FaceBank, photo_count: int) -> int:
    bank.enroll("Barack", [DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", DEMO_PHOTOS / "barack_obama_blue_room.jpg"])
    faces = 0
    for number in range(1, SHARDS + 1):
        shard = Shard(number, SHARDS)
        rows = (ShardRow("/photos", shard, datetime.now(UTC)),)
        header = ShardHeader(bank.engine.identity, rows, "onnxruntime")
        faces += write_parquet_shard(
            folder / f"{number:02}-of-{SHARDS}.parquet", synthetic_files(shard, photo_count), header
        ).faces
    return faces


def _verify(path: Path) -> int:
    with ParquetShard.open(path) as shard:
        shard.verify()
        return shard.counts.faces


def measure(step: str, folder: Path, source: Path, photo_count: int) -> dict[str, object]:
    """Run a step; return its wall seconds, CPU seconds, peak memory in MiB, and result."""
    started, processor_started = time.perf_counter(), time.process_time()
    result = run(step, folder, source, photo_count)
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - processor_started, 1),
        "largest_memory_mb": peak_mebibytes(),
        "result": result,
    }


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="path of the report, without suffix")
    parser.add_argument("--photos", type=int, nargs="+", default=[10_000, 50_000], help="numbers of photos")
    parser.add_argument("--step", nargs=4, metavar=("STEP", "FOLDER", "SOURCE", "PHOTOS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step is not None:
        step, folder, source, photo_count = arguments.step
        print(json.dumps(measure(step, Path(folder), Path(source), int(photo_count))))
        return
    report = []
    for photo_count in arguments.photos:
        with tempfile.TemporaryDirectory(prefix="facebank-parquet-scale-") as scratch:
            sources = {"shards": Path(scratch) / "shards", "scan file": Path(scratch) / "all.scan"}
            for step in STEPS:
                for name, source in sources.items():
                    if step not in STEPS_ON_BOTH and name == "shards":
                        continue
                    command = [sys.executable, "-m", "benchmarks.parquet_scale", "--step", step, scratch, str(source)]
                    completed = subprocess.run(
                        [*command, str(photo_count)], check=True, stdout=subprocess.PIPE, text=True
                    )
                    row = {"faces": 2 * photo_count, "step": step, "on": name if step in STEPS_ON_BOTH else None}
                    report.append(row | json.loads(completed.stdout))
                    print(json.dumps(report[-1]), flush=True)
            sizes = {
                name: sum(path.stat().st_size for path in [source, *source.glob("*")] if path.is_file())
                for name, source in sources.items()
            }
            megabytes = {name: round(size / 1e6) for name, size in sizes.items()}
            report.append({"faces": 2 * photo_count, "megabytes": megabytes})
            print(json.dumps(report[-1]), flush=True)
    if arguments.out is not None:
        write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
