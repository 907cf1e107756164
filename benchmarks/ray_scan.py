"""Speed and agreement of a scan on two one-core Ray nodes compared with two cores of one machine.

    python -m benchmarks.ray_scan ../shared/data --out benchmarks/reports/ray_scan

The nodes are separate processes on this machine. Complete commands alternate on folders of two sizes; the difference of
their times gives the time per photo, and the rest is startup time. ``--growth`` scans larger folders on the nodes only,
and reports the CPU seconds of the workers and of the command. ``--driver`` measures the cost of a result for the
command. ``--same`` compares the files, hashes, statuses, boxes and embeddings of both scans.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.robustness.inputs import add_comment
from benchmarks.robustness.ray_nodes import RayNodes, compare_scans
from benchmarks.synthetic import synthetic_file
from facebank.album.scan.scan_file import ScanFile
from facebank.cluster.shard_folder import ShardFolder
from facebank.gallery import PackIdentity
from facebank.types import Face, Quality

_PACK = PackIdentity("synthetic", "ab" * 32, 128)
OTHER_FOLDERS = ("hard", "odd", "photos")  # folders compared in addition to the portraits
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class ScanCost:
    """Time and memory of a scan."""

    photos: int
    seconds: float  # wall time
    command_processor: float  # CPU seconds of the command
    workers_processor: float = 0.0  # CPU seconds of the workers
    command_memory_mb: int = 0  # peak memory of the command, in MiB


@dataclass(slots=True)
class _WorkerTimes:
    """Samples the CPU seconds of workers, which exit before the command does."""

    nodes: RayNodes
    seconds: dict[int, float] = field(default_factory=dict)
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.is_over.wait(0.25):
            for process_id in self.nodes.workers():
                try:
                    fields = Path(f"/proc/{process_id}/stat").read_text("utf-8").rpartition(") ")[2].split()
                except OSError:
                    continue
                self.seconds[process_id] = (int(fields[11]) + int(fields[12])) / _TICKS


def make_folder(source: Path, folder: Path, count: int) -> None:
    """Write `count` portraits of distinct content; repeated ones differ by a JPEG comment."""
    portraits = sorted(source.rglob("*.jpg"))
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(add_comment(portraits[number % len(portraits)], f"{number}"))


def run(folders: list[Path], scan_path: Path, nodes: RayNodes | None) -> ScanCost:
    """Run ``facebank scan`` on the nodes, or on this machine if None; return its cost."""
    scan_path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "facebank_cli", "--gallery", str(scan_path.with_suffix(".facebank"))]
    command += ["--runtime", "onnxruntime", "scan", *map(str, folders), "--scan-file", str(scan_path)]
    sampler = None if nodes is None else _WorkerTimes(nodes)
    if nodes is not None and sampler is not None:
        command += ["--ray", nodes.address]
        threading.Thread(target=sampler.run, daemon=True).start()
    environment = None if nodes is None else nodes.environment
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # 1: some files are not photos
    seconds = time.perf_counter() - started
    if process.returncode not in {0, 1}:
        raise subprocess.CalledProcessError(process.returncode, command)
    if sampler is not None:
        sampler.is_over.set()
    photos = sum(1 for folder in folders for path in folder.rglob("*") if path.is_file())
    worker_seconds = 0.0 if sampler is None else sum(sampler.seconds.values())
    return ScanCost(photos, seconds, usage.ru_utime + usage.ru_stime, worker_seconds, usage.ru_maxrss // 1024)


def measure_driver(folder: Path, count: int = 4_000) -> dict[str, float]:
    """Return the command's cost of a result with two faces, in processor microseconds and bytes."""
    from pickle import dumps, loads

    random = np.random.default_rng(1)
    files = [synthetic_file(number, [_face(random) for _ in range(2)]) for number in range(count)]
    batches = [dumps(files[start : start + 16]) for start in range(0, count, 16)]
    shards = ShardFolder(folder / "shards", _PACK, "onnxruntime")
    times = [time.process_time()]
    for batch in batches:
        loads(batch)
    times.append(time.process_time())
    with shards.lock(), ScanFile.open(folder / "driver.scan", _PACK, create=True) as scan_file:
        for start in range(0, count, 2_000):
            shards.write(files[start : start + 2_000])
        times.append(time.process_time())
        merged = list(shards.read({file.path: file.state for file in files}))
        for start in range(0, count, 16):
            scan_file.keep(merged[start : start + 16])
        times.append(time.process_time())
    names = ("unpickled", "written", "merged")
    costs = {name: round(1e6 * float(cost) / count, 1) for name, cost in zip(names, np.diff(times), strict=True)}
    return costs | {"bytes_sent": round(sum(map(len, batches)) / count)}


def _face(random: np.random.Generator) -> Face:
    embedding, corner = random.standard_normal(128, dtype=np.float32), random.random(2, dtype=np.float32) * 1000
    box = np.concatenate([corner, corner + 100])
    quality = Quality(0.5, 64.0, 0.25, 0.75, None, 0.125, None, ())
    landmarks = random.random((5, 2), dtype=np.float32) * 1000
    return Face(box, landmarks, 0.9, quality, embedding / np.linalg.norm(embedding))


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, hard/, odd/ and photos/")
    parser.add_argument("--out", type=Path, help="path of the report, without suffix")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs=2,
        default=(200, 1200),
        metavar=("FEW", "MANY"),
        help="numbers of photos of the two scans",
    )
    parser.add_argument("--rounds", type=int, default=2, help="number of repetitions (default 2)")
    parser.add_argument("--growth", type=int, nargs="*", default=(), help="numbers of photos scanned on the nodes only")
    parser.add_argument("--same", type=int, default=0, help="number of portraits to compare, with the other folders")
    parser.add_argument("--driver", action="store_true", help="measure the command's cost of a result")
    arguments = parser.parse_args()
    report: dict[str, object] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="facebank-ray-scan-") as scratch, RayNodes() as nodes:
        work = Path(scratch)
        nodes.start_head()
        nodes.add()
        nodes.wait_for_nodes(2)
        for count in {*(arguments.sizes if arguments.rounds else ()), *arguments.growth}:
            make_folder(arguments.data / "lfw", work / str(count), count)
        if arguments.rounds:
            report["speed"] = measure_speed(work, nodes, arguments.sizes, arguments.rounds)
            print(json.dumps(report), flush=True)
        growth = []
        for count in arguments.growth:
            growth.append(asdict(run([work / str(count)], work / "growth.scan", nodes)))
            print(json.dumps(growth[-1]), flush=True)
        if growth:
            report["growth"] = growth
        if arguments.driver:
            report["driver"] = measure_driver(work)
        if arguments.same:
            make_folder(arguments.data / "lfw", work / "same", arguments.same)
            folders = [work / "same", *(arguments.data / name for name in OTHER_FOLDERS)]
            costs = [run(folders, work / f"{name}.scan", cluster) for name, cluster in (("one", None), ("many", nodes))]
            difference = compare_scans(work / "one.scan", work / "many.scan")
            report["same"] = {"files": costs[0].photos, **asdict(difference), "is_same": difference.is_same}
    if arguments.out is not None:
        path = arguments.out.with_suffix(".json")
        earlier = json.loads(path.read_text("utf-8")) if path.exists() else {}
        write_json_report(arguments.out, earlier | report)
    print(json.dumps(report, indent=2))


def measure_speed(work: Path, nodes: RayNodes, sizes: tuple[int, int], rounds: int) -> dict[str, object]:
    """Measure scans of one machine and of two nodes in alternation.

    Returns
    -------
    dict[str, object]
        The seconds of each scan, and the photos per second, startup seconds and ratio of the rates.
    """
    times: dict[str, dict[int, list[float]]] = {"one machine": {}, "two nodes": {}}
    for _ in range(rounds):
        for size in sizes:
            for name, cluster in (("one machine", None), ("two nodes", nodes)):
                cost = run([work / str(size)], work / "speed.scan", cluster)
                times[name].setdefault(size, []).append(round(cost.seconds, 2))
    report: dict[str, object] = {"sizes": list(sizes), "seconds": times}
    rates = {}
    for name, seconds_by_size in times.items():
        shorter, longer = (statistics.median(seconds_by_size[size]) for size in sizes)
        rates[name] = (sizes[1] - sizes[0]) / (longer - shorter)
        report[name] = {
            "photos_a_second": round(rates[name], 2),
            "start_seconds": round(shorter - sizes[0] / rates[name], 1),
        }
    return report | {"rate_of_two_nodes": round(rates["two nodes"] / rates["one machine"], 3)}


if __name__ == "__main__":
    main()
