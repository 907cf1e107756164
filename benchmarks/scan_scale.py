"""Memory of a scan of 30,000 photos, and speed of a second scan.

    python -m benchmarks.scan_scale ../shared --out benchmarks/reports/scan_scale

The photos are copies of LFW's, made distinct by a few appended bytes. Measures the resident memory of ``facebank
scan`` every second, and the time of a second scan of the unchanged folder. Required: less than 1 GiB, constant after
the first thousand photos, and at least 5,000 photos per second in the second scan.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.make_reports import build_packs
from benchmarks.memory import resident_mebibytes

PROJECT = Path(__file__).resolve().parent.parent
WARMUP_PHOTOS = 1_000
_PHOTOS_PER_FOLDER = 500


def make_album(lfw: Path, folder: Path, count: int) -> None:
    """Write photos with distinct content."""
    originals = cycle(sorted(lfw.glob("*/*.jpg")))
    for number, original in enumerate(islice(originals, count)):
        subfolder = folder / f"{number // _PHOTOS_PER_FOLDER:03d}"
        subfolder.mkdir(parents=True, exist_ok=True)
        (subfolder / f"{number:06d}.jpg").write_bytes(original.read_bytes() + number.to_bytes(4, "big"))


def scan(arguments: list[str]) -> tuple[float, list[tuple[float, float]]]:
    """Run ``facebank scan``; return its seconds, and measurements of time and resident memory in MiB."""
    started, measurements = time.perf_counter(), list[tuple[float, float]]()
    process = subprocess.Popen([sys.executable, "-m", "cli", *arguments], cwd=PROJECT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(OSError):  # the process ended in between
            measurements.append((time.perf_counter() - started, resident_mebibytes(process.pid)))
        time.sleep(1.0 if time.perf_counter() - started > 10 else 0.1)
    if process.returncode != 0:
        command = "python -m cli " + " ".join(arguments)
        raise SystemExit(f"facebank exited with {process.returncode}. Run this to see why: {command}")
    return time.perf_counter() - started, measurements


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with data/ and models/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    parser.add_argument("--photos", type=int, default=30_000, help="number of photos (default 30,000)")
    arguments = parser.parse_args()
    pack = PROJECT / build_packs(arguments.shared.resolve())["mobilefacenet-y1"]
    with tempfile.TemporaryDirectory(prefix="facebank-scan-scale-") as scratch:
        album, gallery = Path(scratch) / "album", Path(scratch) / "one.facebank"
        make_album(arguments.shared.resolve() / "data" / "lfw", album, arguments.photos)
        command = ["--gallery", str(gallery), "--pack", str(pack), "scan", str(album)]
        first, measurements = scan(command)
        second = sorted(scan(command)[0] for _ in range(3))[1]
    times, memory = np.array(measurements).T
    is_settled = times > first * WARMUP_PHOTOS / arguments.photos
    slope = float(np.polyfit(times[is_settled] / first * arguments.photos / 1_000, memory[is_settled], 1)[0])
    report = {
        "photos": arguments.photos,
        "pack": "mobilefacenet-y1",
        "largest_memory_mb": float(memory.max()),
        "memory_after_the_first_thousand_mb": float(memory[is_settled][:5].mean()),
        "memory_at_the_end_mb": float(memory[-5:].mean()),
        "growth_mb_a_thousand_photos": slope,
        "second_scan_seconds": second,
        "second_scan_photos_a_second": arguments.photos / second,
    }
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
