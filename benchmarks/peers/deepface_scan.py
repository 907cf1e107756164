"""Runs deepface with YuNet and SFace over photos; ``../scan_speed.py`` times it as it stands.

``python deepface_scan.py LIST OUT.npz``, where LIST names one photo a line and ``DEEPFACE_HOME`` holds the networks
under the names that deepface gives them. Reading and analysing are timed, loading is not. Written are ``seconds`` and,
for each face, the number of its photo.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

os.environ["yunet_score_threshold"] = "0.6"  # noqa: SIM112 -- deepface spells it so; the pack's threshold

from deepface import DeepFace


def count(photo: str) -> int:
    """Return how many faces were found and embedded."""
    try:
        return len(DeepFace.represent(photo, model_name="SFace", detector_backend="yunet"))
    except ValueError:  # no face
        return 0


photos = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
count(photos[0])
started = time.perf_counter()
found = [count(photo) for photo in photos]
seconds = time.perf_counter() - started
np.savez(sys.argv[2], seconds=seconds, photos=np.repeat(np.arange(len(photos)), found))
