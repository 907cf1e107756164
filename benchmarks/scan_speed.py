"""Photos per second of a scan compared with InsightFace's ``FaceAnalysis`` and deepface, with the same networks.

    python -m benchmarks.scan_speed ../shared --peer PYTHON --deepface PYTHON --out benchmarks/reports/scan_speed

Each PYTHON is the interpreter of a peer's environment (``benchmarks/peers/README.md``). facebank and InsightFace run
MobileFaceNet-y1 with SCRFD-500M of ``insightface-mbf``, InsightFace at its usual detector size of 640. The photos are
LFW's (250 x 250) and those of ``data/photos``. facebank detects first at exactly the peer's size, then at its default
sizes: small photos enlarged at most twice, large ones at 640 pixels and, at hints of small faces, at up to 1,920. Runs
alternate, and ratios are of medians. The floor is the time of decoding and of the bare networks on all cores, with
inputs of the same sizes. Finally the embedded pack's networks, YuNet and SFace, are compared with deepface running the
same two files.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.make_reports import build_packs
from facebank.album.scan.scan_plan import state_of
from facebank.album.scan.scanner import PhotoScanner
from facebank.media import read_photo
from facebank.packs import Pack, load_pack, open_session, usable_cores
from facebank.storage.arrays import overlaps
from facebank.types import Detection
from facebank.vision import FaceAnalyzer, FaceFinder, MultiScaleDetector, build_detector, build_embedder
from facebank.vision.geometry import letterbox
from facebank.vision.network import run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Session
    from facebank.types import FloatArray, Photo, RGBImage
    from facebank.vision import Detector, Embedder
    from facebank.vision.detector import NetworkDetector

PEERS = Path(__file__).resolve().parent / "peers"
MIN_FACE_SIZE = 30.0
SIZES = (0, 20, 30, 50, 100, 10_000)
PEER_SIZE = 640
_MIN_OVERLAP = 0.5


class PeerSizeDetector:
    """Detector that resizes and pads photos to 640 x 640 pixels, as the peer does."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def detect(self, pixels: RGBImage) -> list[Detection]:
        """Find faces; see `facebank.vision.Detector.detect`."""
        frame, scale = letterbox(pixels, PEER_SIZE, PEER_SIZE)
        factor = np.float32(scale)
        return [
            Detection(detection.box / factor, detection.landmarks / factor, detection.detection_score)
            for detection in self._detector.detect(frame)
        ]


def make_analyzer(pack: Pack, detector: NetworkDetector, embedder: Embedder, *, once: bool) -> FaceAnalyzer:
    """Return an analyzer that detects once at the peer's size, or else at the default sizes."""
    if once:
        return FaceAnalyzer(
            FaceFinder(MultiScaleDetector(PeerSizeDetector(detector), lambda _: [1.0]), None, 0.0), embedder
        )
    return FaceAnalyzer(FaceFinder.from_spec(detector, pack.manifest.detector), embedder)


def scan(paths: Sequence[Path], analyzer: FaceAnalyzer) -> tuple[float, list[Photo]]:
    """Scan photos; return the seconds without loading the networks, and the analyzed photos."""
    tasks = [(str(path), state_of(str(path))) for path in paths]
    list(PhotoScanner(analyzer, set()).scan(tasks[:1]))
    started = time.perf_counter()
    files = list(PhotoScanner(analyzer, set()).scan(tasks))
    seconds = time.perf_counter() - started
    photos = {file.path: file.photo for file in files}
    return seconds, [photo for path in paths if (photo := photos[str(path)]) is not None]


class RecordingSession:
    """Session that records the shapes of its inputs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.shapes: list[tuple[int, ...]] = []

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the session."""
        return getattr(self._session, name)

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Run the session."""
        self.shapes += [tensor.shape for tensor in feeds.values()]
        return self._session.run(outputs, feeds)


def make_floor(pack: Pack, paths: Sequence[Path], *, once: bool) -> Callable[[], float]:
    """Return a function that decodes the photos, runs the bare networks as often as a scan does, and returns seconds.

    The inputs have the shapes of those of a scan, including the detector runs that find the orientation.
    """
    detector, embedder = build_detector(pack, "cpu", 1), build_embedder(pack, "cpu", 1)
    recorders = RecordingSession(detector._session), RecordingSession(embedder._session)
    detector._session, embedder._session = recorders
    analyzer = make_analyzer(pack, detector, embedder, once=once)
    inputs: list[list[list[tuple[int, ...]]]] = []
    for path in paths:
        list(analyzer.analyze([read_photo(path)]))
        inputs.append([recorder.shapes for recorder in recorders])
        for recorder in recorders:
            recorder.shapes = []
    sessions = [open_session(file.load_tuned(), "cpu", 1) for file in (pack.detector_file, pack.embedder_file)]

    def process(path: Path, shapes: list[list[tuple[int, ...]]]) -> None:
        read_photo(path)
        for session, session_shapes in zip(sessions, shapes, strict=True):
            for shape in session_shapes:
                run(session, noise(*shape))

    def process_all() -> float:
        with ThreadPoolExecutor(usable_cores()) as pool:
            started = time.perf_counter()
            list(pool.map(process, paths, inputs))
            return time.perf_counter() - started

    process_all()
    return process_all


@functools.cache
def noise(*shape: int) -> FloatArray:
    """Return a network input of random pixels; zeros would be processed faster than photos."""
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def run_peer(command: Sequence[str | Path], paths: Sequence[Path], **extra: str) -> dict[str, NDArray[np.float64]]:
    """Run a peer's script with `extra` environment variables; return the arrays that it wrote."""
    with tempfile.TemporaryDirectory() as scratch:
        listing, out = Path(scratch) / "photos.txt", Path(scratch) / "out.npz"
        listing.write_text("\n".join(map(str, paths)), encoding="utf-8")
        subprocess.run([*command, listing, out], check=True, capture_output=True, env={**os.environ, **extra})
        with np.load(out) as arrays:
            return {name: arrays[name] for name in arrays.files}


def compare(ours: Sequence[Photo], theirs: dict[str, NDArray[np.float64]]) -> dict[str, object]:
    """Match faces by box; return the counts of faces from 30 pixels and of missed ones by size, and the cosines."""
    cosines, missed_sizes = list[float](), list[float]()
    for number, box, embedding in zip(theirs["photos"], theirs["boxes"], theirs["embeddings"], strict=True):
        faces, size = ours[int(number)].faces, float(np.ptp(box.reshape(2, 2), axis=0).max())
        overlap_ratios = overlaps(box, np.stack([face.box for face in faces])) if faces else np.zeros(1)
        if overlap_ratios.max() < _MIN_OVERLAP:
            missed_sizes.append(size)
        elif size >= MIN_FACE_SIZE:
            cosines.append(float(faces[int(overlap_ratios.argmax())].embedding @ embedding))
    return {
        "their_faces_of_30_pixels": len(cosines) + sum(size >= MIN_FACE_SIZE for size in missed_sizes),
        "our_faces_of_30_pixels": sum(face.size >= MIN_FACE_SIZE for photo in ours for face in photo.faces),
        "of_theirs_not_found": {
            f"{low} to {high} pixels": sum(low <= size < high for size in missed_sizes) for low, high in pairwise(SIZES)
        },
        "cosine_first_percentile": float(np.percentile(cosines, 1)),
        "cosine_median": float(np.median(cosines)),
    }


def alternate(runs: int, *functions: Callable[[], float]) -> list[list[float]]:
    """Return the results of several functions, called in alternation."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(runs):
        for results, function in zip(seconds, functions, strict=True):
            results.append(function())
    return seconds


def measure(pack: Pack, arguments: argparse.Namespace, paths: Sequence[Path], *, once: bool) -> dict[str, object]:
    """Return the comparison of facebank with InsightFace on some photos."""
    command = [arguments.peer, PEERS / "insightface_scan.py", arguments.shared / "models" / "insightface-mbf"]
    theirs = run_peer(command, paths)
    analyzer = make_analyzer(pack, build_detector(pack, "cpu", 1), build_embedder(pack, "cpu", 1), once=once)
    ours = scan(paths, analyzer)[1]
    our_seconds, their_seconds, floor_seconds = alternate(
        arguments.runs,
        lambda: scan(paths, analyzer)[0],
        lambda: float(run_peer(command, paths)["seconds"]),
        make_floor(pack, paths, once=once),
    )
    return {
        "photos": len(paths),
        "looks": "as the peer's" if once else "chosen by the photo",
        "facebank_photos_a_second": len(paths) / median(our_seconds),
        "insightface_photos_a_second": len(paths) / median(their_seconds),
        "ratio": median(their_seconds) / median(our_seconds),
        "share_of_the_floor": median(floor_seconds) / median(our_seconds),
        **compare(ours, theirs),
    }


def copy_deepface_weights(pack: Pack, home: Path) -> None:
    """Copy the embedded pack's networks into ``DEEPFACE_HOME``, under deepface's names."""
    weights = home / ".deepface" / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(pack.detector_path(), weights / "face_detection_yunet_2023mar.onnx")
    shutil.copyfile(pack.embedder_path(), weights / "face_recognition_sface_2021dec.onnx")


def compare_deepface(arguments: argparse.Namespace, paths: Sequence[Path]) -> dict[str, object]:
    """Return the comparison of the embedded pack with deepface on the same networks."""
    pack = load_pack()
    with tempfile.TemporaryDirectory() as home:
        copy_deepface_weights(pack, Path(home))
        command = [arguments.deepface, PEERS / "deepface_scan.py"]
        our_seconds, their_seconds = alternate(
            arguments.runs,
            lambda: scan(paths, FaceAnalyzer.from_pack(pack, "cpu", 1))[0],
            lambda: float(run_peer(command, paths, DEEPFACE_HOME=home)["seconds"]),
        )
        face_count = len(run_peer(command, paths, DEEPFACE_HOME=home)["photos"])
    ours = scan(paths, FaceAnalyzer.from_pack(pack, "cpu", 1))[1]
    return {
        "photos": len(paths),
        "facebank_photos_a_second": len(paths) / median(our_seconds),
        "deepface_photos_a_second": len(paths) / median(their_seconds),
        "ratio": median(their_seconds) / median(our_seconds),
        "our_faces": sum(len(photo.faces) for photo in ours),
        "their_faces": face_count,
    }


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with data/ and models/")
    parser.add_argument("--peer", type=Path, required=True, help="Python of the peers' environment")
    parser.add_argument(
        "--deepface", type=Path, default=None, help="Python interpreter with deepface; default: no comparison"
    )
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    parser.add_argument("--runs", type=int, default=5, help="number of runs of each (default 5)")
    parser.add_argument("--photos", type=int, default=300, help="number of photos of LFW (default 300)")
    arguments = parser.parse_args()
    arguments.shared = arguments.shared.resolve()
    pack = load_pack(build_packs(arguments.shared)["mobilefacenet-y1"])
    lfw = sorted((arguments.shared / "data" / "lfw").glob("*/*.jpg"))
    lfw_sample = lfw[:: max(1, len(lfw) // arguments.photos)][: arguments.photos]
    album_paths = sorted(
        path for path in (arguments.shared / "data" / "photos").rglob("*") if path.suffix in {".jpg", ".png"}
    )
    report: dict[str, object] = {
        "cores": len(os.sched_getaffinity(0)),
        "python": sys.version.split()[0],
        "lfw_same_looks": measure(pack, arguments, lfw_sample, once=True),
        "album_same_looks": measure(pack, arguments, album_paths, once=True),
        "lfw": measure(pack, arguments, lfw_sample, once=False),
        "album": measure(pack, arguments, album_paths, once=False),
    }
    if arguments.deepface is not None:
        report["lfw_beside_deepface"] = compare_deepface(arguments, lfw_sample)
        report["album_beside_deepface"] = compare_deepface(arguments, album_paths)
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
