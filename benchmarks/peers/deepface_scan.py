"""Runs deepface with YuNet and SFace over photos, for ``../scan_speed.py``.

``python deepface_scan.py LIST OUT.npz``, where LIST has one path per line and ``DEEPFACE_HOME`` contains the networks
under deepface's names. Reading and analysis are timed, loading is not. Writes ``seconds`` and the photo number of each
face.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

os.environ["yunet_score_threshold"] = "0.6"  # noqa: SIM112 -- deepface's spelling; same as the embedded pack

from deepface import DeepFace


def count_faces(path: str) -> int:
    """Return the number of detected and embedded faces."""
    try:
        return len(DeepFace.represent(path, model_name="SFace", detector_backend="yunet"))
    except ValueError:  # no face
        return 0


paths = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
count_faces(paths[0])
started = time.perf_counter()
counts = [count_faces(path) for path in paths]
seconds = time.perf_counter() - started
np.savez(sys.argv[2], seconds=seconds, photos=np.repeat(np.arange(len(paths)), counts))
