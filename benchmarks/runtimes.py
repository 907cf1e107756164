"""What OpenVINO gains beside ONNX Runtime on this machine, and whether they decide the same.

    python -m benchmarks.runtimes ../shared/data/lfw --photos 1000 --out benchmarks/reports/runtimes

Both run the embedded pack's networks with one thread, by turns. Told are the milliseconds of a run, and the share of
the embedder's floor: the time in which the processor could do its multiplications, at the rate at which it multiplies
large matrices. Then both scan the same photos from nothing, by turns, as ``facebank scan`` does; and both identify
photos of people of whom one photo is enrolled, and their decisions are compared.
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

from facebank import Album, FaceBank, load_pack
from facebank.packs import Session, open_network
from facebank.types import Face

RUNTIMES = ("onnxruntime", "openvino")
_ALL = (*RUNTIMES, "auto")
_SFACE_MULTIPLICATIONS = 574e6
_TURNS = 15


def multiplications_a_second() -> float:
    """Return how many multiplications and additions one core does in a second, in a product of matrices."""
    side = 2048
    matrix = np.random.default_rng(0).standard_normal((side, side)).astype(np.float32)
    times = []
    with threadpool_limits(1):
        for _ in range(5):
            begun = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - begun)
    return side**3 / min(times)


def networks() -> list[dict[str, object]]:
    """Return the milliseconds of runs of both networks by both runtimes, by turns."""
    pack = load_pack()
    detector, embedder = pack.manifest.detector, pack.manifest.embedder
    works = [("embedder", pack.embedder_path(), embedder.sha256, (n, 3, 112, 112)) for n in (1, 2, 8)]
    works += [("detector", pack.detector_path(), detector.sha256, (1, 3, side, side)) for side in (320, 640)]
    floor = 1000 * _SFACE_MULTIPLICATIONS / multiplications_a_second()
    rows = []
    for name, path, sha256, shape in works:
        feeds_value = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        sessions = [open_network(path, "cpu", 1, runtime, sha256=sha256, shape=shape) for runtime in RUNTIMES]
        times = [[_milliseconds(session, feeds_value) for session in sessions] for _ in range(_TURNS)][2:]
        ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        row: dict[str, object] = {
            "network": name,
            "input": list(shape),
            "onnxruntime ms": round(ours, 2),
            "openvino ms": round(theirs, 2),
            "onnxruntime / openvino": round(statistics.median(a / b for a, b in times), 3),
        }
        if name == "embedder":
            row["share of the floor, onnxruntime"] = round(shape[0] * floor / ours, 3)
            row["share of the floor, openvino"] = round(shape[0] * floor / theirs, 3)
        rows.append(row)
    return rows


def _milliseconds(session: Session, tensor: np.ndarray) -> float:
    begun = time.perf_counter()
    session.run(None, {session.get_inputs()[0].name: tensor})
    return 1000 * (time.perf_counter() - begun)


def scans(photos: list[Path], runs: int) -> dict[str, object]:
    """Return the photos a second of scans from nothing, by turns, with what was chosen by measurement too."""
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(runs):
            for runtime in _ALL:
                place = Path(scratch) / f"{number}-{runtime}.facebank"
                with FaceBank.open(place, device="cpu", threads=1, runtime=runtime) as bank, Album(bank) as album:
                    bank.preload()
                    list(bank.analyze(photos[0]))
                    begun = time.perf_counter()
                    album.scan(photos)
                    rates[runtime].append(len(photos) / (time.perf_counter() - begun))
    ratios = [b / a for a, b in zip(rates["onnxruntime"], rates["openvino"], strict=True)]
    chosen = [b / a for a, b in zip(rates["onnxruntime"], rates["auto"], strict=True)]
    medians = {runtime: round(statistics.median(found), 2) for runtime, found in rates.items()}
    return {
        "photos": len(photos),
        "photos a second": medians,
        "openvino / onnxruntime": round(statistics.median(ratios), 3),
        "auto / onnxruntime": round(statistics.median(chosen), 3),
    }


def decisions(people: dict[str, list[Path]], most: int) -> dict[str, object]:
    """Return how many decisions about the faces of photos differ between the runtimes."""
    several = [found for found in people.values() if len(found) > 1]
    asked = [photo for found in several for photo in found[1:]][:most]
    answers = {}
    with tempfile.TemporaryDirectory() as scratch:
        for runtime in _ALL:
            with FaceBank.open(Path(scratch) / runtime, device="cpu", runtime=runtime) as bank:
                for photos in several[: most // 4]:
                    bank.enroll(photos[0].parent.name, [photos[0]])
                answers[runtime] = [face for photo in bank.identify(asked) for face in photo.faces]
    usual = answers.pop("onnxruntime")
    return {runtime: _differences(list(zip(usual, found, strict=True))) for runtime, found in answers.items()}


def _differences(pairs: list[tuple[Face, Face]]) -> dict[str, object]:
    nearest = [
        x.similarity - y.similarity for a, b in pairs for x, y in zip(a.candidates[:1], b.candidates[:1], strict=True)
    ]
    return {
        "faces": len(pairs),
        "other decisions": sum((a.person, a.decision, a.reason) != (b.person, b.decision, b.reason) for a, b in pairs),
        "largest difference of a box, pixels": float(max(np.abs(np.subtract(a.box, b.box)).max() for a, b in pairs)),
        "largest difference of a similarity": max(map(abs, nearest)),
    }


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder for each person")
    parser.add_argument("--photos", type=int, default=1000, help="that are identified")
    parser.add_argument("--scanned", type=int, default=200, help="photos of a scan")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    people = {folder.name: sorted(folder.glob("*.jpg")) for folder in sorted(given.folder.iterdir()) if folder.is_dir()}
    every = [photo for found in people.values() for photo in found]
    chosen = [every[i * len(every) // given.scanned] for i in range(given.scanned)]
    report = {
        "networks": networks(),
        "scan": scans(chosen, given.runs),
        "decisions": decisions(people, given.photos),
    }
    text = json.dumps(report, indent=1)
    print(text)
    if given.out is not None:
        given.out.with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
