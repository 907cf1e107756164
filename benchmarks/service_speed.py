"""Overhead of the HTTP service compared with the library, for one client and for eight.

    python -m benchmarks.service_speed ../shared/data/lfw --photos 200 --out benchmarks/reports/service_speed

Uses a local ``facebank serve``. `FaceBank.identify` in this process and ``POST /api/v1/identify`` alternate photo by
photo, both warm; their results are compared bit by bit, and the median times and the median difference are reported.
Then eight concurrent clients request up to ``--rate-photos`` photos, alternating with a new `Album.scan` of the same
files. ``--deepface PYTHON`` (``pip install deepface tf-keras 'deepface[api]' gunicorn``) adds deepface's HTTP API with
the same two networks, behind gunicorn with one worker as in its container image (with several threads it fails on most
photos): eight clients request embeddings from it, alternating with facebank's, which also identifies.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.robustness.serving import run_service
from benchmarks.scan_speed import copy_deepface_weights
from facebank import FaceBank, load_pack
from facebank.schemas.records import face_record

CLIENTS = 8
_WARMUP_PHOTOS = 10  # not measured


def measure_single(bank: FaceBank, client: httpx.Client, paths: list[Path]) -> dict[str, float]:
    """Measure photos one by one in this process and over HTTP, and compare the results."""
    library_seconds: list[float] = []
    http_seconds: list[float] = []
    different = 0
    for number, path in enumerate(paths):
        data = path.read_bytes()

        def in_process(data: bytes = data) -> object:
            return [face_record(face) for photo in bank.identify(data) for face in photo.faces]

        def over_http(data: bytes = data) -> object:
            response = client.post("/api/v1/identify", content=data)
            return response.raise_for_status().json()["photos"][0]["faces"]

        results = []
        for seconds, identify in ((library_seconds, in_process), (http_seconds, over_http))[:: 1 if number % 2 else -1]:
            started = time.perf_counter()
            results.append(json.dumps(identify()))
            seconds.append(time.perf_counter() - started)
        different += results[0] != results[1]
    library, http = (np.array(seconds[_WARMUP_PHOTOS:]) for seconds in (library_seconds, http_seconds))
    return {
        "photos": len(paths),
        "photos with other answers, to the bit": different,
        "in process ms": 1000 * float(np.median(library)),
        "over http ms": 1000 * float(np.median(http)),
        "ratio": float(np.median(http / library)),
        "beyond 1.1 times ms": 1000 * float(np.median(http - 1.1 * library)),
    }


def measure_concurrent(address: str, paths: list[Path]) -> float:
    """Return the photos per second of eight concurrent clients."""
    with httpx.Client(base_url=address, timeout=120, trust_env=False) as client, ThreadPoolExecutor(CLIENTS) as pool:

        def identify(path: Path) -> None:
            client.post("/api/v1/identify", content=path.read_bytes()).raise_for_status()

        started = time.perf_counter()
        list(pool.map(identify, paths))
        return len(paths) / (time.perf_counter() - started)


@contextmanager
def run_deepface(python: Path, folder: Path) -> Iterator[str]:
    """Run deepface's API with the networks of the embedded pack within the block; yields its URL."""
    copy_deepface_weights(load_pack(), folder)
    environment = {
        **os.environ,
        "DEEPFACE_HOME": str(folder),
        "DEEPFACE_FACE_RECOGNITION_MODELS": "SFace",
        "DEEPFACE_FACE_DETECTION_MODELS": "yunet",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "yunet_score_threshold": "0.6",  # the embedded pack's threshold; deepface's default finds half of the faces
    }
    with socket.create_server(("127.0.0.1", 0)) as free_socket:
        port = free_socket.getsockname()[1]
    command = [str(python), "-m", "gunicorn", "--workers=1", "--timeout=3600"]
    command += [f"--bind=127.0.0.1:{port}", "deepface.api.src.app:create_app()"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            while process.poll() is None:
                try:
                    httpx.get(address, trust_env=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield address
        finally:
            process.terminate()


def compare_with_deepface(python: Path, address: str, paths: list[Path], folder: Path, runs: int) -> dict[str, object]:
    """Return the photos per second of eight clients of deepface's API and of facebank's, in alternation."""
    with run_deepface(python, folder) as deepface_address, httpx.Client(timeout=600, trust_env=False) as client:

        def represent(path: Path, client: httpx.Client = client, deepface_address: str = deepface_address) -> int:
            parts = {"img": (path.name, path.read_bytes(), "image/jpeg")}
            fields = {"model_name": "SFace", "detector_backend": "yunet"}
            return client.post(f"{deepface_address}/represent", files=parts, data=fields).status_code

        def rate(represent: Callable[[Path], int] = represent) -> float:
            with ThreadPoolExecutor(CLIENTS) as pool:
                started = time.perf_counter()
                success_count = list(pool.map(represent, paths)).count(200)
                seconds = time.perf_counter() - started
            if success_count < len(paths) / 2:
                raise RuntimeError(
                    f"deepface answered only {success_count} of {len(paths)} requests; "
                    "install the packages that the help of this benchmark lists."
                )
            return len(paths) / seconds

        rate()  # not measured
        rates = [(measure_concurrent(address, paths), rate()) for _ in range(runs)]
    return {
        "deepface, photos a second": statistics.median(their_rate for _, their_rate in rates),
        "beside it, photos a second": statistics.median(our_rate for our_rate, _ in rates),
        "clients beside deepface": statistics.median(our_rate / their_rate for our_rate, their_rate in rates),
    }


def measure_scan(gallery: Path, paths: list[Path], folder: Path) -> float:
    """Return the photos per second of a new scan with preloaded networks."""
    with FaceBank.open(gallery, threads=1) as bank:
        list(bank.identify(paths[0]))
        with bank.album(folder / f"{time.monotonic_ns()}.scan") as album:
            started = time.perf_counter()
            album.scan(paths)
            return len(paths) / (time.perf_counter() - started)


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with one folder per person")
    parser.add_argument("--photos", type=int, default=200, help="number of photos (default 200)")
    parser.add_argument("--rate-photos", type=int, default=200, help="number of photos for the rates")
    parser.add_argument("--people", type=int, default=20, help="number of enrolled people, with one photo each")
    parser.add_argument("--deepface", type=Path, help="Python interpreter with deepface; default: no comparison")
    parser.add_argument("--runs", type=int, default=3, help="number of runs (default 3)")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.rglob("*.jpg"))[: arguments.photos]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FACEBANK_CACHE"] = str(Path(folder) / "cache")
        gallery = Path(folder) / "people.facebank"
        with FaceBank.open(gallery) as bank:
            people_folders = [path for path in sorted(arguments.folder.iterdir()) if path.is_dir()]
            for person_folder in people_folders[: arguments.people]:
                bank.enroll(person_folder.name, min(person_folder.glob("*.jpg")))
            with run_service(gallery, "--exact", "--requests-a-minute", "1000000") as service:
                with httpx.Client(base_url=service.address, timeout=120, trust_env=False) as client:
                    report: dict[str, object] = dict(measure_single(bank, client, paths))
                print(report, flush=True)
                paths = paths[: arguments.rate_photos]
                rates = [
                    (measure_concurrent(service.address, paths), measure_scan(gallery, paths, Path(folder)))
                    for _ in range(arguments.runs)
                ]
                if arguments.deepface is not None:
                    report |= compare_with_deepface(
                        arguments.deepface, service.address, paths, Path(folder) / "deepface", arguments.runs
                    )
        report["photos a second, eight clients"] = statistics.median(rate for rate, _ in rates)
        report["photos a second, scan"] = statistics.median(scan_rate for _, scan_rate in rates)
        report["clients beside scan"] = statistics.median(rate / scan_rate for rate, scan_rate in rates)
    print(report)
    write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
