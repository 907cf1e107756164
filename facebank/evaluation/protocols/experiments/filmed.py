"""A video frame by frame: every face of every frame that is looked at is decided by itself."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.report import Table
from facebank.storage.text import printable
from facebank.types import DecodedPhoto

if TYPE_CHECKING:
    from facebank.evaluation.bench import Bench
    from facebank.evaluation.searches import TrialGallery

FRAMES = 20
_LARGEST = 120_000_000


def read_frames(video: Path, most: int = FRAMES) -> Iterator[tuple[int, DecodedPhoto]]:
    """Yield frames spread evenly over a video, with their numbers.

    Raises
    ------
    DatasetError
        It cannot be opened, or no frame can be read.
    """
    import cv2

    if not video.is_file():
        raise DatasetError(f"{printable(str(video))}: there is no such video")
    capture = cv2.VideoCapture(str(video))
    try:
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        sides = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if total < 1 or not 0 < sides <= _LARGEST:
            raise DatasetError(f"{printable(str(video))}: it holds no frames that can be read")
        wanted = set(np.linspace(0, total - 1, min(most, total)).round().astype(int).tolist())
        for number in range(total):
            if not capture.grab():
                return
            read, pixels = capture.retrieve() if number in wanted else (False, None)
            if read and pixels is not None:
                rgb = np.ascontiguousarray(np.asarray(pixels, dtype=np.uint8)[..., ::-1])
                digest = hashlib.sha256(rgb.tobytes()).hexdigest()
                yield (
                    number,
                    DecodedPhoto(f"{video.name}, frame {number}", rgb, digest, has_orientation=True, taken_at=None),
                )
    finally:
        capture.release()


def film_table(bench: Bench, video: Path, trial: TrialGallery, most: int = FRAMES) -> tuple[Table, Counter[str]]:
    """Decide every face of some frames.

    Returns
    -------
    tuple[Table, Counter[str]]
        A row for each frame, and how often each name was given; "" counts faces without a name.

    Raises
    ------
    DatasetError
        The video cannot be read.
    """
    analyzer = bench.reader.engine.analyzer
    rows, named = list[tuple[str, ...]](), Counter[str]()
    for number, frame in read_frames(video, most):
        (analyzed,) = analyzer.analyze([frame])
        decisions = trial.recognizer.identify(analyzed.faces) if analyzed.faces else []
        named.update(decision.person or "" for decision in decisions)
        said = ", ".join(decision.person or decision.decision.value for decision in decisions)
        rows.append((f"{number}", f"{len(decisions)}", said or "–"))
    if not rows:
        raise DatasetError(f"{printable(str(video))}: it holds no frames that can be read")
    return Table(f"{printable(video.name)}, frame by frame", ("frame", "faces", "decisions"), tuple(rows)), named
