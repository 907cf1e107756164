"""Speed and decisions of OpenVINO compared with ONNX Runtime.

    python -m benchmarks.runtimes ../shared/data/lfw --photos 1000 --out benchmarks/reports/runtimes

Measures the milliseconds of alternating single-threaded runs of the embedded pack's networks. The embedder also runs on
ONNX Runtime without the nodes that are tuned for it, and is compared with a floor, the time of its multiply-adds at the
rate of a product of large matrices. Then both runtimes scan the same photos in alternation, and identify photos of
people with one enrolled photo; the decisions are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.agreement import count_different_decisions, largest_box_difference
from benchmarks.json_report import write_json_report
from facebank import Album, FaceBank, load_pack
from facebank.packs import Session, open_network, open_session
from facebank.types import Face

RUNTIMES = ("onnxruntime", "openvino")
_ALL_RUNTIMES = (*RUNTIMES, "auto")
_SFACE_MULTIPLY_ADDS = 574e6
_RUNS = 15


def multiply_adds_per_second() -> float:
    """Return the multiply-adds per second of one core in a product of large matrices."""
    side = 2048
    matrix = np.random.default_rng(0).standard_normal((side, side)).astype(np.float32)
    times = []
    with threadpool_limits(1):
        for _ in range(5):
            started = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - started)
    return side**3 / min(times)


def measure_networks() -> list[dict[str, object]]:
    """Return the milliseconds per run of both networks on both runtimes, measured in alternation."""
    pack = load_pack()
    networks = [("embedder", pack.embedder_file, (n, 3, 112, 112)) for n in (1, 2, 8)]
    networks += [("detector", pack.detector_file, (1, 3, side, side)) for side in (320, 640)]
    floor = 1000 * _SFACE_MULTIPLY_ADDS / multiply_adds_per_second()
    rows = []
    for name, network, shape in networks:
        tensor = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        sessions = [open_network(network, "cpu", 1, runtime, shape=shape) for runtime in RUNTIMES]
        sessions.append(open_session(network.load(), "cpu", 1))
        times = [[_milliseconds(session, tensor) for session in sessions] for _ in range(_RUNS)][2:]
        onnxruntime, openvino, untuned = (statistics.median(column) for column in zip(*times, strict=True))
        row: dict[str, object] = {
            "network": name,
            "input": list(shape),
            "onnxruntime ms": round(onnxruntime, 2),
            "openvino ms": round(openvino, 2),
            "onnxruntime / openvino": round(statistics.median(pair[0] / pair[1] for pair in times), 3),
        }
        if name == "embedder":
            row["onnxruntime ms, not tuned"] = round(untuned, 2)
            row["share of the floor, onnxruntime"] = round(shape[0] * floor / onnxruntime, 3)
            row["share of the floor, openvino"] = round(shape[0] * floor / openvino, 3)
        rows.append(row)
    return rows


def _milliseconds(session: Session, tensor: np.ndarray) -> float:
    started = time.perf_counter()
    session.run(None, {session.get_inputs()[0].name: tensor})
    return 1000 * (time.perf_counter() - started)


def measure_scans(paths: list[Path], runs: int) -> dict[str, object]:
    """Return the photos per second of new scans by runtime, including ``auto``, measured in alternation."""
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(runs):
            for runtime in _ALL_RUNTIMES:
                gallery = Path(scratch) / f"{number}-{runtime}.facebank"
                with FaceBank.open(gallery, device="cpu", threads=1, runtime=runtime) as bank, Album(bank) as album:
                    bank.preload()
                    list(bank.analyze(paths[0]))
                    started = time.perf_counter()
                    album.scan(paths)
                    rates[runtime].append(len(paths) / (time.perf_counter() - started))
    openvino_ratios, auto_ratios = (
        [rate / reference for rate, reference in zip(rates[runtime], rates["onnxruntime"], strict=True)]
        for runtime in ("openvino", "auto")
    )
    medians = {runtime: round(statistics.median(values), 2) for runtime, values in rates.items()}
    return {
        "photos": len(paths),
        "photos a second": medians,
        "openvino / onnxruntime": round(statistics.median(openvino_ratios), 3),
        "auto / onnxruntime": round(statistics.median(auto_ratios), 3),
    }


def compare_decisions(people: dict[str, list[Path]], max_photos: int) -> dict[str, object]:
    """Return the differences of the other runtimes' decisions from ONNX Runtime's."""
    repeated = [paths for paths in people.values() if len(paths) > 1]
    probes = [path for paths in repeated for path in paths[1:]][:max_photos]
    faces = {}
    with tempfile.TemporaryDirectory() as scratch:
        for runtime in _ALL_RUNTIMES:
            with FaceBank.open(Path(scratch) / runtime, device="cpu", runtime=runtime) as bank:
                for paths in repeated[: max_photos // 4]:
                    bank.enroll(paths[0].parent.name, [paths[0]])
                faces[runtime] = [face for photo in bank.identify(probes) for face in photo.faces]
    reference = faces.pop("onnxruntime")
    return {runtime: _differences(list(zip(reference, others, strict=True))) for runtime, others in faces.items()}


def _differences(pairs: list[tuple[Face, Face]]) -> dict[str, object]:
    differences = [
        first_candidate.similarity - second_candidate.similarity
        for first, second in pairs
        for first_candidate, second_candidate in zip(first.candidates[:1], second.candidates[:1], strict=True)
    ]
    return {
        "faces": len(pairs),
        "other decisions": count_different_decisions(pairs),
        "largest difference of a box, pixels": largest_box_difference(pairs),
        "largest difference of a similarity": max(map(abs, differences)),
    }


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with one folder per person")
    parser.add_argument("--photos", type=int, default=1000, help="number of photos to identify (default 1,000)")
    parser.add_argument("--scanned", type=int, default=200, help="number of photos to scan (default 200)")
    parser.add_argument("--runs", type=int, default=3, help="number of scans with each runtime (default 3)")
    parser.add_argument("--out", type=Path, help="path of the report, without suffix")
    arguments = parser.parse_args()
    people = {
        folder.name: sorted(folder.glob("*.jpg")) for folder in sorted(arguments.folder.iterdir()) if folder.is_dir()
    }
    all_paths = [path for paths in people.values() for path in paths]
    scanned = [all_paths[i * len(all_paths) // arguments.scanned] for i in range(arguments.scanned)]
    report = {
        "networks": measure_networks(),
        "scan": measure_scans(scanned, arguments.runs),
        "decisions": compare_decisions(people, arguments.photos),
    }
    print(json.dumps(report, indent=2))
    if arguments.out is not None:
        write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
