"""Agreement and speed of a CUDA GPU compared with the CPU; takes about ten minutes.

    python -m benchmarks.gpu ../shared/data --out benchmarks/reports/gpu
    python -m benchmarks.gpu ../shared/data --device cpu --quick --out /tmp/gpu

Requires the extra ``gpu``. Compares embeddings and decisions on LFW between the device and the CPU. Measures scans,
FAISS's exact search, and the detector and the embedder in batches of 1 to 64. The networks run plainly and with IO
binding, in which the input stays in device memory or is copied into one buffer of it. ``--device cpu`` runs everything
on the CPU twice, to test the script.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.agreement import count_different_decisions, embedding_similarities, largest_box_difference
from benchmarks.json_report import write_json_report
from benchmarks.scan_speed import noise, scan
from facebank import FaceBank
from facebank.errors import DeviceError, MissingDependencyError
from facebank.packs import Pack, load_pack, load_runtime, open_session, session_device, try_device, usable_cores
from facebank.vision import FaceAnalyzer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Session
    from facebank.types import Face, FloatArray

Row = dict[str, object]

BATCHES = (1, 2, 4, 8, 16, 32, 64)
SIDES = (320, 640)
_NEIGHBORS = 10
_QUERY_COUNTS = (1, 32)
_LARGE_SUFFIXES = {".jpg", ".jpeg", ".png"}


def require_device(device: str) -> None:
    """Raise `DeviceError` unless networks run on the device and, for CUDA, FAISS finds a GPU."""
    problem = try_device(device).problem
    if problem is not None:
        raise DeviceError(f"The device {device} is not usable: {problem}")
    if device == "cuda":
        import faiss

        if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() < 1:
            raise DeviceError("The installed FAISS finds no GPU; install the extra 'facebank[gpu]'.")


def median_seconds(work: Callable[[], object], runs: int) -> float:
    """Return the median time of a call in seconds, after an unmeasured one."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def identify_others(people: dict[str, list[Path]], device: str, max_photos: int) -> list[Face]:
    """Enroll one photo of each person, and return the identified faces in up to `max_photos` of their other photos."""
    repeated = [paths for paths in people.values() if len(paths) > 1]
    probes = [path for paths in repeated for path in paths[1:]][:max_photos]
    with tempfile.TemporaryDirectory() as scratch, FaceBank.open(Path(scratch) / "a.facebank", device=device) as bank:
        for paths in repeated[: max_photos // 4]:
            bank.enroll(paths[0].parent.name, [paths[0]])
        return [face for photo in bank.identify(probes) for face in photo.faces]


def compare_faces(people: dict[str, list[Path]], device: str, max_photos: int) -> Row:
    """Compare boxes, embeddings and decisions between the device and the CPU."""
    device_faces, cpu_faces = (identify_others(people, device_name, max_photos) for device_name in (device, "cpu"))
    if len(device_faces) != len(cpu_faces):
        return {"faces": len(cpu_faces), "faces on the device": len(device_faces)}
    pairs = list(zip(device_faces, cpu_faces, strict=True))
    similarities = embedding_similarities(pairs)
    return {
        "faces": len(cpu_faces),
        "faces on the device": len(device_faces),
        "smallest cosine": min(similarities),
        "first percentile of the cosines": float(np.percentile(similarities, 1)),
        "largest difference of a box, pixels": largest_box_difference(pairs),
        "other decisions": count_different_decisions(pairs),
    }


def scan_rates(pack: Pack, paths_by_title: dict[str, list[Path]], device: str, runs: int) -> Iterator[Row]:
    """Yield the photos per second of alternating scans on the device and the CPU, for each group of photos."""
    for title, paths in paths_by_title.items():
        seconds: dict[str, list[float]] = {"device": [], "cpu": []}
        for _ in range(runs):
            for name, device_name in (("device", device), ("cpu", "cpu")):
                seconds[name].append(scan(paths, FaceAnalyzer.from_pack(pack, device_name, 1))[0])
        rates = {name: round(len(paths) / median(times), 2) for name, times in seconds.items()}
        yield {"photos": title, "count": len(paths), **rates}


def batch_times(pack: Pack, device: str, sizes: Sequence[int], runs: int) -> Iterator[Row]:
    """Yield milliseconds per image by network, input size and batch size, for plain runs and with IO binding."""
    edge = pack.manifest.embedder.size
    networks = [("embedder", pack.embedder_file, edge), *(("detector", pack.detector_file, side) for side in SIDES)]
    for network, file, side in networks:
        session = open_session(file.load_tuned() if device == "cpu" else file.load(), device)
        if session_device(session) != device:
            raise DeviceError(f"The {network} does not run on {device}; run 'facebank doctor'.")
        for size in sizes:
            feed = noise(size, 3, side, side)
            functions = {"plain": plain_run(session, feed), **bound_runs(session, feed, device)}
            times = {
                f"{name}, ms": round(1000 * median_seconds(work, runs) / size, 3) for name, work in functions.items()
            }
            yield {"network": network, "side": side, "batch": size, **times}


def plain_run(session: Session, feed: FloatArray) -> Callable[[], object]:
    """Return a function that runs the network as facebank does, with input and output in CPU memory."""
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: feed})


def bound_runs(session: Any, feed: FloatArray, device: str) -> dict[str, Callable[[], object]]:
    """Return functions that run the network with input in a device buffer, filled once or before each run."""
    name = session.get_inputs()[0].name
    buffer = load_runtime().OrtValue.ortvalue_from_numpy(feed, device, 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input(name, buffer)
    for output in session.get_outputs():
        binding.bind_output(output.name, device)

    def run() -> list[NDArray[np.float32]]:
        session.run_with_iobinding(binding)
        return [np.asarray(value) for value in binding.copy_outputs_to_cpu()]

    def copy_and_run() -> list[NDArray[np.float32]]:
        buffer.update_inplace(feed)
        return run()

    return {"input stays on the device": run, "input copied into one buffer": copy_and_run}


def search_times(device: str, counts: Sequence[int], dimension: int, runs: int) -> Iterator[Row]:
    """Yield milliseconds of FAISS's exact search on the device and the CPU, and the agreement of the results."""
    import faiss

    random = np.random.default_rng(1)
    for size in counts:
        embeddings = random.standard_normal((size, dimension), dtype=np.float32)
        faiss.normalize_L2(embeddings)
        on_cpu = faiss.IndexFlatIP(dimension)
        on_cpu.add(embeddings)
        on_device: Any = on_cpu
        if device == "cuda":
            resources = faiss.StandardGpuResources()
            on_device = faiss.index_cpu_to_gpu(resources, 0, on_cpu)
        for count in _QUERY_COUNTS:
            probes = embeddings[:count] + 0.05 * random.standard_normal((count, dimension), dtype=np.float32)
            neighbors = [index.search(probes, _NEIGHBORS)[1] for index in (on_device, on_cpu)]
            shared = [len(np.intersect1d(*both)) for both in zip(*neighbors, strict=True)]
            times = [median_seconds(partial(index.search, probes, _NEIGHBORS), runs) for index in (on_device, on_cpu)]
            yield {
                "vectors": size,
                "queries": count,
                "device, ms": round(1000 * times[0], 3),
                "cpu, ms": round(1000 * times[1], 3),
                "same nearest": float((neighbors[0][:, 0] == neighbors[1][:, 0]).mean()),
                f"same {_NEIGHBORS}": float(np.mean(shared)) / _NEIGHBORS,
            }


def table(rows: Sequence[Row]) -> str:
    """Return rows with equal keys as a Markdown table."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and photos/")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="device to measure (default cuda)")
    parser.add_argument("--quick", action="store_true", help="use small counts, to test the script")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    try:
        require_device(arguments.device)
    except (DeviceError, MissingDependencyError) as error:
        sys.exit(f"Nothing was measured: {error}")
    started = time.perf_counter()
    pack = load_pack()
    people = {folder.name: sorted(folder.glob("*.jpg")) for folder in sorted((arguments.data / "lfw").iterdir())}
    small = [path for paths in people.values() for path in paths]
    large = sorted(path for path in (arguments.data / "photos").rglob("*") if path.suffix in _LARGE_SUFFIXES)
    if not small or not large:
        sys.exit(f"{arguments.data} must contain photos in lfw/ and photos/.")
    max_photos, scan_count, runs = (40, 20, 1) if arguments.quick else (1000, 300, 3)
    sizes, counts = (BATCHES[:3], (20_000,)) if arguments.quick else (BATCHES, (100_000, 1_000_000))
    small, large = small[:: len(small) // scan_count][:scan_count], large[: 4 if arguments.quick else None]
    paths_by_title = {"LFW": small, "photographs": large}
    parts: dict[str, list[Row]] = {
        "equality": [compare_faces(people, arguments.device, max_photos)],
        "scans, photos a second": list(scan_rates(pack, paths_by_title, arguments.device, runs)),
        "networks, for each picture": list(batch_times(pack, arguments.device, sizes, 3 * runs)),
        "exact search": list(search_times(arguments.device, counts, pack.manifest.embedder.dimension, 3 * runs)),
    }
    report = {
        "device": arguments.device,
        "onnxruntime": load_runtime().__version__,
        "cores": usable_cores(),
        "seconds": round(time.perf_counter() - started, 1),
        **parts,
    }
    runtime, cores, seconds = report["onnxruntime"], report["cores"], report["seconds"]
    header = f"{arguments.device}, ONNX Runtime {runtime}, {cores} cores, {seconds} s\n"
    text = "\n\n".join([header, *(f"## {title}\n\n{table(rows)}" for title, rows in parts.items())]) + "\n"
    print(text)
    write_json_report(arguments.out, report)
    arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
