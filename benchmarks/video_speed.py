"""Speed of video analysis, its parts, and a comparison of decoders.

    python -m benchmarks.video_speed ../shared --out benchmarks/reports/video_speed

The clip is analyzed several times as by ``facebank video``, with the embedded pack and preloaded networks. The
fractions of decoding, detection and embedding are measured on one thread. Processor time includes all threads, and is
less affected by other processes than wall time; ``other_load`` is the load average. If PyAV is installed, it
alternates with OpenCV in decoding the clip, also enlarged to full HD and UHD (H.264, encoded by PyAV), at five frames
a second and at the full rate.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from benchmarks.json_report import write_json_report
from facebank import FaceBank
from facebank.media.video import Video
from facebank.packs import load_pack
from facebank.types import DecodedPhoto
from facebank.video.identify import RATE, VideoPlan, identify_video
from facebank.vision import FaceAnalyzer, FaceFinder, build_detector, build_embedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Pack
    from facebank.types import FloatArray
    from facebank.vision import Embedder

SIZES = {"640 x 360": None, "1920 x 1080": (1920, 1080), "3840 x 2160": (3840, 2160)}
ENLARGED_FRAMES = 120


class TimedEmbedder:
    """Wrapper that measures the seconds spent in an embedder."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.seconds = 0.0
        self.dimension, self.size = embedder.dimension, embedder.size
        self.template, self.batch_size = embedder.template, embedder.batch_size

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        """Embed crops and add the time to `seconds`."""
        started = time.perf_counter()
        embeddings = self._embedder.embed(crops)
        self.seconds += time.perf_counter() - started
        return embeddings


def time_call(work: Callable[[], object]) -> float:
    """Call a function and return its duration in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure_in_alternation(runs: int, functions: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Call several functions in alternation; return the median result of each."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(runs):
        for name, function in functions.items():
            seconds[name].append(function())
    return {name: median(values) for name, values in seconds.items()}


def stage_seconds(clip: Path, pack: Pack) -> dict[str, float]:
    """Return the seconds of decoding, detection and embedding, run one after the other on one thread."""
    detector = build_detector(pack, "cpu", 1)
    embedder = TimedEmbedder(build_embedder(pack, "cpu", 1))
    analyzer = FaceAnalyzer(FaceFinder.from_spec(detector, pack.manifest.detector), embedder)
    started = time.perf_counter()
    with Video(clip) as video:
        photos = [DecodedPhoto("", np.ascontiguousarray(frame.pixels), "", True, None) for frame in video.sample(RATE)]
    decoding = time.perf_counter() - started
    list(analyzer.analyze(photos[:1]))
    embedder.seconds = 0.0
    started = time.perf_counter()
    list(analyzer.analyze(photos))
    analysis = time.perf_counter() - started
    return {"decoding": decoding, "detection": analysis - embedder.seconds, "embedding": embedder.seconds}


def time_opencv(path: Path, rate: float | None) -> float:
    """Return OpenCV's milliseconds per frame for decoding all frames and converting those of `rate` to RGB."""
    capture, frames, due = cv2.VideoCapture(str(path)), 0, 0.0
    started = time.perf_counter()
    while capture.grab():
        if rate is None or capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 >= due:
            cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            due += 1 / (rate or 1.0)
        frames += 1
    return (time.perf_counter() - started) / frames * 1000


def time_pyav(path: Path, rate: float | None) -> float:
    """Return PyAV's milliseconds per frame, as `time_opencv`; both use all cores."""
    av: Any = import_module("av")

    frames, due = 0, None
    started = time.perf_counter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            due = frame.time if due is None else due
            if rate is None or frame.time >= due:
                frame.to_ndarray(format="rgb24")
                due += 1 / (rate or 1.0)
            frames += 1
    return (time.perf_counter() - started) / frames * 1000


def encode_enlarged(clip: Path, size: tuple[int, int], target: Path) -> Path:
    """Encode the first frames again at a larger size."""
    av: Any = import_module("av")

    def frames() -> Iterator[Any]:
        with Video(clip) as video:
            for number, frame in enumerate(video.frames()):
                if number >= ENLARGED_FRAMES:
                    return
                yield av.VideoFrame.from_ndarray(cv2.resize(np.ascontiguousarray(frame.pixels), size), format="rgb24")

    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for frame in frames():
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target


def compare_decoders(clip: Path, runs: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return milliseconds per frame of both decoders, by size and rate."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, size in SIZES.items():
            path = clip if size is None else encode_enlarged(clip, size, Path(scratch) / f"{size[0]}.mp4")
            table[name] = {
                frames: measure_in_alternation(
                    runs,
                    {
                        "opencv": partial(time_opencv, path, rate),
                        "pyav": partial(time_pyav, path, rate),
                    },
                )
                for frames, rate in (("five frames a second", RATE), ("all frames", None))
            }
    return table


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with data/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    parser.add_argument("--runs", type=int, default=7, help="number of runs (default 7)")
    arguments = parser.parse_args()
    photos_folder = arguments.shared / "data" / "photos"
    clip, pack = photos_folder / "probe" / "short_hamilton_clip.mp4", load_pack(None)
    with Video(clip) as video:
        length = video.info.seconds
    with tempfile.TemporaryDirectory() as scratch, FaceBank.open(Path(scratch) / "g.facebank", threads=1) as bank:
        for folder in sorted((photos_folder / "enrol").iterdir()):
            bank.enroll(folder.name, folder)
        engine, identification = bank.engine, bank.identification
        plans = {"one worker": VideoPlan(workers=1), "a worker a core": VideoPlan()}
        functions = {
            name: partial(time_call, partial(identify_video, engine, identification, clip, plan))
            for name, plan in plans.items()
        }
        seconds = measure_in_alternation(arguments.runs, functions)
        processor_start = time.process_time()
        identify_video(engine, identification, clip)
        processor = time.process_time() - processor_start
    stages = [stage_seconds(clip, pack) for _ in range(arguments.runs)]
    stage_medians = {name: median(stage[name] for stage in stages) for name in stages[0]}
    report = {
        "cores": len(os.sched_getaffinity(0)),
        "python": sys.version.split()[0],
        "opencv": cv2.__version__,
        "pack": pack.name,
        "frames_a_second": RATE,
        "video_seconds": length,
        "seconds": seconds,
        "video_seconds_a_second": {name: length / value for name, value in seconds.items()},
        "processor_seconds": processor,
        "processor_seconds_a_second_of_video": processor / length,
        "other_load": os.getloadavg()[0],
        "seconds_on_one_thread": stage_medians,
        "shares": {name: value / sum(stage_medians.values()) for name, value in stage_medians.items()},
        "decoders_milliseconds_a_frame": compare_decoders(clip, arguments.runs) if find_spec("av") else None,
    }
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
