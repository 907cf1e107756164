"""Correctness of a scan on a Ray cluster when nodes, workers or photo decoders fail.

    python -m benchmarks.robustness.ray_faults ../shared/data/lfw --out benchmarks/reports/ray_faults

The two one-core nodes are separate processes on this machine. Each trial scans the same photos with
``facebank scan --ray`` while a fault occurs, and compares the files, hashes, statuses, boxes and embeddings of the
merged scan with those of one machine. The command's output must list each file exactly once, also over several runs.
Exits with 1 if anything is missing, duplicated or different.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from benchmarks.json_report import write_json_report
from benchmarks.robustness.inputs import DEMO_PHOTOS, add_comment
from benchmarks.robustness.ray_nodes import FAULTS, RayNodes, compare_scans
from facebank.album.scan.parquet_shards import ParquetShard

HANGING, CRASHING = "hangs.jpg", "crashes.jpg"
_TIME_LIMIT = "10"


class ClusterScan:
    """A running ``facebank scan --ray``.

    Parameters
    ----------
    nodes
        The cluster.
    work
        Folder with ``photos/``, to which ``cluster.scan`` is written.
    """

    def __init__(self, nodes: RayNodes, work: Path) -> None:
        self.records: list[dict[str, object]] = []
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "facebank_cli", "--gallery", str(work / "none.facebank"), "--runtime"),
                *("onnxruntime", "scan", str(work / "photos"), "--ray", nodes.address, "--json"),
                *("--scan-file", str(work / "cluster.scan"), "--time-limit", _TIME_LIMIT),
            ],
            env={**nodes.environment, "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for_workers(self, nodes: RayNodes, count: int) -> list[int]:
        """Wait until `count` workers run, and return their process ids."""
        deadline = time.monotonic() + 90
        while len(process_ids := nodes.workers()) < count and time.monotonic() < deadline and self.is_running:
            time.sleep(0.1)
        return process_ids

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended."""
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group, as a terminal does."""
        os.killpg(self._process.pid, number)

    def finish(self) -> tuple[int, str]:
        """Wait until the command ends; return its exit code and standard error."""
        out, errors = self._process.communicate(timeout=600)
        self.records = [json.loads(line) for line in out.splitlines()]
        return self._process.returncode, errors


def make_photos(source: Path, folder: Path, count: int) -> list[Path]:
    """Copy `count` photos, two copies of one, and a broken one into a folder; return all paths."""
    originals = sorted(source.rglob("*.jpg"))[:count] if source.is_dir() else []
    folder.mkdir(parents=True)
    for number, path in enumerate(originals):
        shutil.copyfile(path, folder / f"{number:05}.jpg")
    if not originals:
        demo_paths = sorted(DEMO_PHOTOS.glob("*.jpg"))
        for number in range(count):
            path = demo_paths[number % len(demo_paths)]
            (folder / f"{number:05}.jpg").write_bytes(add_comment(path, f"{number}"))
    for number in (0, 1):
        shutil.copyfile(folder / "00000.jpg", folder / f"copy {number}.jpg")
    (folder / "broken.jpg").write_bytes((folder / "00001.jpg").read_bytes()[:2000])
    return sorted(folder.iterdir())


def kill_workers(nodes: RayNodes, work: Path, kills: int) -> tuple[list[ClusterScan], dict[str, object]]:
    """Kill workers with SIGKILL, one after another."""
    nodes.start_head()
    nodes.add()
    nodes.wait_for_nodes(2)
    run, killed = ClusterScan(nodes, work), 0
    rng = random.Random(5)
    for _ in range(kills):
        process_ids = run.wait_for_workers(nodes, 2)
        time.sleep(rng.uniform(1.0, 3.0))
        if not run.is_running or not process_ids:
            break
        kill_worker(rng.sample(process_ids, len(process_ids)))
        killed += 1
    code, _ = run.finish()
    return [run], {"killed": killed, "exit_codes": [code]}


def replace_nodes(nodes: RayNodes, work: Path, kills: int) -> tuple[list[ClusterScan], dict[str, object]]:
    """Kill a node with all of its processes and add another one, several times."""
    nodes.start_head()
    node, removed = nodes.add(), 0
    nodes.wait_for_nodes(2)
    run = ClusterScan(nodes, work)
    run.wait_for_workers(nodes, 2)
    for _ in range(max(1, kills // 3)):
        time.sleep(2)
        if not run.is_running:
            break
        nodes.kill(node)
        removed += 1
        time.sleep(2)
        node = nodes.add()
        run.wait_for_workers(nodes, 2)
    code, _ = run.finish()
    return [run], {"removed": removed, "exit_codes": [code]}


def scan_fatal_photos(nodes: RayNodes, work: Path, _: int) -> tuple[list[ClusterScan], dict[str, object]]:
    """Scan photos of which one hangs its decoder and one crashes it."""
    nodes.start_head(2)
    _add_fatal_photos(work)
    run = ClusterScan(nodes, work)
    code, errors = run.finish()
    return [run], {**_failure_report(run, work, errors), "exit_codes": [code]}


def kill_cluster(nodes: RayNodes, work: Path, kills: int) -> tuple[list[ClusterScan], dict[str, object]]:
    """Kill head, node and command at once, and repeat the command on a new head until it is complete."""
    runs, codes = list[ClusterScan](), list[int]()
    for trial in range(max(1, kills // 3) + 1):
        head, node = nodes.start_head(), nodes.add()
        nodes.wait_for_nodes(2)
        run = ClusterScan(nodes, work)
        runs.append(run)
        if trial < max(1, kills // 3):
            wait_for_shards(run, work, _count(work / "cluster.shards") + 1)
            run.signal(signal.SIGKILL)
            nodes.kill(head)
            nodes.kill(node)
        code, _ = run.finish()
        codes.append(code)
    return runs, {"exit_codes": codes}


def kill_head(nodes: RayNodes, work: Path, _: int) -> tuple[list[ClusterScan], dict[str, object]]:
    """Kill only the head, as if on a different machine than the command, and repeat the command on a new head."""
    head = nodes.start_head()
    first = ClusterScan(nodes, work)
    first.wait_for_workers(nodes, 1)
    time.sleep(2)
    started = time.monotonic()
    nodes.kill(head)
    code, errors = first.finish()
    seconds = time.monotonic() - started
    nodes.start_head()
    second = ClusterScan(nodes, work)
    second_code = second.finish()[0]
    last_lines = errors.strip().splitlines()[-1:]
    codes = [code, second_code]
    return [first, second], {"exit_codes": codes, "seconds_until_said": round(seconds, 1), "said": last_lines}


def interrupt(nodes: RayNodes, work: Path, _: int) -> tuple[list[ClusterScan], dict[str, object]]:
    """Interrupt the command, truncate a shard, and repeat the command."""
    nodes.start_head(2)
    first = ClusterScan(nodes, work)
    wait_for_shards(first, work, 1)
    first.signal(signal.SIGINT)
    code, errors = first.finish()
    time.sleep(1)
    workers_left = len(nodes.workers())
    truncated, lost = sorted((work / "cluster.shards").glob("*.parquet"))[-1:], set[str]()
    for path in truncated:
        with ParquetShard.open(path) as shard:
            lost.update(file.path for file in shard.read())
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    first.records = [record for record in first.records if record["image"] not in lost]
    second = ClusterScan(nodes, work)
    second_code, later_errors = second.finish()
    messages = [line for line in later_errors.splitlines() if "damaged" in line and "parquet" in line]
    return [first, second], {
        "exit_codes": [code, second_code],
        "workers_left": workers_left,
        "shards_cut": len(truncated),
        "said": len(messages),
        "interrupted_said": errors.strip().splitlines()[-1:],
    }


def kill_worker(process_ids: list[int]) -> bool:
    """Kill the first of the processes that still runs; return whether there was one."""
    for process_id in process_ids:
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
            return True
    return False


def combine_faults(nodes: RayNodes, work: Path, _: int) -> tuple[list[ClusterScan], dict[str, object]]:
    """Kill a worker and a node, and add a node, while one photo hangs its decoder and another crashes it."""
    nodes.start_head()
    node = nodes.add()
    nodes.wait_for_nodes(2)
    _add_fatal_photos(work)
    run = ClusterScan(nodes, work)
    process_ids, killed, removed = run.wait_for_workers(nodes, 2), 0, 0
    time.sleep(2)
    if process_ids and run.is_running:
        killed += kill_worker(nodes.workers())  # the crashing photo may have ended an earlier worker
    time.sleep(2)
    if run.is_running:
        nodes.kill(node)
        removed += 1
        nodes.add()
    code, errors = run.finish()
    return [run], {"killed": killed, "removed": removed, **_failure_report(run, work, errors), "exit_codes": [code]}


def wait_for_shards(run: ClusterScan, work: Path, count: int) -> None:
    """Wait until there are `count` shards, or the run has ended."""
    deadline = time.monotonic() + 90
    while _count(work / "cluster.shards") < count and run.is_running and time.monotonic() < deadline:
        time.sleep(0.1)


def _add_fatal_photos(work: Path) -> None:
    path = DEMO_PHOTOS / "eileen_collins.jpg"
    (work / "photos" / HANGING).write_bytes(add_comment(path, "hang"))
    (work / "photos" / CRASHING).write_bytes(add_comment(path, "crash"))


def _failure_report(run: ClusterScan, work: Path, errors: str) -> dict[str, object]:
    records = {str(record["image"]): record for record in run.records}
    given_up = [name for name in (HANGING, CRASHING) if records[str(work / "photos" / name)]["status"] == "unreadable"]
    messages = [line for line in errors.splitlines() if HANGING in line or CRASHING in line]
    return {"given_up": given_up, "said": [line.rpartition("/")[2] for line in messages]}


TRIALS: dict[str, Callable[[RayNodes, Path, int], tuple[list[ClusterScan], dict[str, object]]]] = {
    "all at once": combine_faults,
    "workers killed": kill_workers,
    "node removed and added": replace_nodes,
    "photos that hang or crash": scan_fatal_photos,
    "head and command killed": kill_cluster,
    "head killed": kill_head,
    "Ctrl+C and a shard cut off": interrupt,
}


def trials(source: Path, photos: int, kills: int, only: str | None = None) -> Iterator[dict[str, object]]:
    """Yield the results of each trial."""
    for name, run_trial in TRIALS.items():
        if only is not None and only not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="facebank-ray-faults-") as scratch:
            work = Path(scratch)
            make_photos(source, work / "photos", photos)
            with RayNodes(PYTHONPATH=str(FAULTS)) as nodes:
                started = time.monotonic()
                runs, details = run_trial(nodes, work, kills)
                seconds = time.monotonic() - started
            for photo_name in (HANGING, CRASHING):  # they would hang or crash the scan on one machine
                (work / "photos" / photo_name).unlink(missing_ok=True)
            files = sorted(map(str, (work / "photos").iterdir()))
            counts = Counter(str(record["image"]) for run in runs for record in run.records)
            options = ["--gallery", str(work / "none.facebank"), "--runtime", "onnxruntime"]
            scan = ["scan", str(work / "photos"), "--scan-file", str(work / "alone.scan")]
            subprocess.run([sys.executable, "-m", "facebank_cli", *options, *scan], check=False, capture_output=True)
            is_counted = name != "head and command killed"  # a killed command may not have listed all saved files
            difference = compare_scans(work / "cluster.scan", work / "alone.scan")
            yield {
                "trial": name,
                "files": len(files),
                **details,
                "told_twice": sum(counts[path] > 1 for path in files),
                "not_told": sum(counts[path] == 0 for path in files) if is_counted else None,
                "seconds": round(seconds, 1),
                **asdict(difference),
                "other_status": difference.other_status - len(counts.keys() - set(files)),
                "left_over": (work / "cluster.shards").exists()
                and [path.name for path in (work / "cluster.shards").iterdir()],
            }


def _count(folder: Path) -> int:
    return len(list(folder.glob("*.parquet"))) if folder.is_dir() else 0


def is_right(trial: dict[str, object]) -> bool:
    """Return whether nothing is missing, duplicated or different."""
    faults = ("missing", "other_content", "other_status", "other_faces", "told_twice", "not_told")
    return not any(trial[name] for name in faults) and trial["box"] <= 0.01 and trial["cosine"] >= 0.99999  # type: ignore[operator]


def main() -> int:
    """Run the trials and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "photos", type=Path, nargs="?", default=Path("none"), help="folder of photos; default: the demo photos"
    )
    parser.add_argument("--out", type=Path, help="path of the report, without suffix")
    parser.add_argument("--count", type=int, default=400, help="number of photos (default 400)")
    parser.add_argument("--kills", type=int, default=6, help="workers to kill; a third as many nodes and heads")
    parser.add_argument("--only", help="run only trials whose name contains this text")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell lets its background jobs ignore it
    results = []
    for trial in trials(arguments.photos, arguments.count, arguments.kills, arguments.only):
        results.append(trial | {"right": is_right(trial)})
        print(json.dumps(results[-1]), flush=True)
    if arguments.out is not None:
        write_json_report(arguments.out, results)
    return 0 if all(trial["right"] for trial in results) else 1


if __name__ == "__main__":
    sys.exit(main())
