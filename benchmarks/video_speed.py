"""How many seconds of video a second are looked at, what the time goes into, and which decoder is used for what reason.

    python -m benchmarks.video_speed ../shared --out benchmarks/reports/video_speed

The clip is looked at with the embedded pack as ``facebank video`` does, several times: networks are loaded before. The
shares are of one thread that does one thing after the other. Processor time is that of all threads; others on the same
machine make it longer by far less than the time that passes, and with it ``other_load`` is to be read. Where PyAV is
installed it decodes by turns with OpenCV, the clip as it is and enlarged to full HD and UHD (H.264, encoded by PyAV),
for five frames a second and for all.
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

from facebank import FaceBank
from facebank.media.video import Video
from facebank.packs import load_pack
from facebank.types import DecodedPhoto
from facebank.video.identify import RATE, VideoPlan, identify_video
from facebank.vision import FaceAnalyzer, FaceFinder, build_detector, build_embedder
from facebank.vision.finder import LandmarkRefiner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Pack
    from facebank.types import FloatArray
    from facebank.vision import Embedder

SIZES = {"640 x 360": None, "1920 x 1080": (1920, 1080), "3840 x 2160": (3840, 2160)}
ENLARGED_FRAMES = 120


class TimedEmbedder:
    """Counts the seconds that an embedder takes."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.seconds = 0.0
        self.dimension, self.size = embedder.dimension, embedder.size
        self.template, self.batch = embedder.template, embedder.batch

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        """Embed as the embedder does."""
        started = time.perf_counter()
        embeddings = self._embedder.embed(crops)
        self.seconds += time.perf_counter() - started
        return embeddings


def seconds_of(work: Callable[[], object]) -> float:
    """Do something and return how long it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def by_turns(runs: int, works: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Measure several things by turns; return medians."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            taken[name].append(work())
    return {name: median(each) for name, each in taken.items()}


def shares(clip: Path, pack: Pack) -> dict[str, float]:
    """Return the seconds of decoding, finding and embedding on one thread, one after the other."""
    detector = build_detector(pack, "cpu", 1)
    spec = pack.manifest.detector
    embedder = TimedEmbedder(build_embedder(pack, "cpu", 1))
    analyzer = FaceAnalyzer(
        FaceFinder(detector, LandmarkRefiner(detector) if spec.refine else None, spec.upright_score), embedder
    )
    started = time.perf_counter()
    with Video(clip) as video:
        photos = [DecodedPhoto("", np.ascontiguousarray(frame.pixels), "", True, None) for frame in video.sampled(RATE)]
    decoding = time.perf_counter() - started
    list(analyzer.analyze(photos[:1]))
    embedder.seconds = 0.0
    started = time.perf_counter()
    list(analyzer.analyze(photos))
    both = time.perf_counter() - started
    return {"decoding": decoding, "detection": both - embedder.seconds, "embedding": embedder.seconds}


def opencv_decodes(path: Path, rate: float | None) -> float:
    """Return milliseconds a frame; each is decoded, those of the rate become RGB."""
    capture, frames, due = cv2.VideoCapture(str(path)), 0, 0.0
    started = time.perf_counter()
    while capture.grab():
        if rate is None or capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 >= due:
            cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            due += 1 / (rate or 1.0)
        frames += 1
    return (time.perf_counter() - started) / frames * 1000


def pyav_decodes(path: Path, rate: float | None) -> float:
    """Do the same with PyAV, which uses all cores too."""
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


def enlarged(clip: Path, size: tuple[int, int], target: Path) -> Path:
    """Encode the first frames again, larger."""
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


def decoders(clip: Path, runs: int) -> dict[str, dict[str, dict[str, float]]]:
    """Compare the decoders: milliseconds a frame."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, size in SIZES.items():
            path = clip if size is None else enlarged(clip, size, Path(scratch) / f"{size[0]}.mp4")
            table[name] = {
                what: by_turns(
                    runs,
                    {
                        "opencv": partial(opencv_decodes, path, rate),
                        "pyav": partial(pyav_decodes, path, rate),
                    },
                )
                for what, rate in (("five frames a second", RATE), ("all frames", None))
            }
    return table


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with data/")
    parser.add_argument("--out", type=Path, required=True, help="the report, without suffix")
    parser.add_argument("--runs", type=int, default=7, help="runs of each (default 7)")
    arguments = parser.parse_args()
    photos = arguments.shared / "data" / "photos"
    clip, pack = photos / "probe" / "short_hamilton_clip.mp4", load_pack(None)
    with Video(clip) as video:
        length = video.info.seconds
    with tempfile.TemporaryDirectory() as scratch, FaceBank.open(Path(scratch) / "g.facebank", threads=1) as bank:
        for folder in sorted((photos / "enrol").iterdir()):
            bank.enroll(folder.name, folder)
        engine, identification = bank.engine, bank.identification()
        plans = {"one worker": VideoPlan(workers=1), "a worker a core": VideoPlan()}
        works = {
            name: partial(seconds_of, partial(identify_video, engine, identification, clip, plan))
            for name, plan in plans.items()
        }
        taken = by_turns(arguments.runs, works)
        before = time.process_time()
        identify_video(engine, identification, clip)
        processor = time.process_time() - before
    parts = [shares(clip, pack) for _ in range(arguments.runs)]
    apart = {name: median(part[name] for part in parts) for name in parts[0]}
    report = {
        "cores": len(os.sched_getaffinity(0)),
        "python": sys.version.split()[0],
        "opencv": cv2.__version__,
        "pack": pack.name,
        "frames_a_second": RATE,
        "video_seconds": length,
        "seconds": taken,
        "video_seconds_a_second": {name: length / seconds for name, seconds in taken.items()},
        "processor_seconds": processor,
        "processor_seconds_a_second_of_video": processor / length,
        "other_load": os.getloadavg()[0],
        "seconds_on_one_thread": apart,
        "shares": {name: seconds / sum(apart.values()) for name, seconds in apart.items()},
        "decoders_milliseconds_a_frame": decoders(clip, arguments.runs) if find_spec("av") else None,
    }
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
