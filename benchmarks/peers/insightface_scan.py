"""Runs InsightFace's ``FaceAnalysis`` over photos, for ``../scan_speed.py``.

``python insightface_scan.py PACKAGE_FOLDER LIST OUT.npz``, where LIST has one path per line. Reading and analysis are
timed, loading is not. Writes ``seconds``, and the photo number, box and embedding of each face.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
from insightface.app import FaceAnalysis
from insightface.model_zoo import get_model

PROVIDERS = ["CPUExecutionProvider"]

app = FaceAnalysis(name=sys.argv[1], providers=PROVIDERS)
# The network normalizes its input itself, which InsightFace does not detect: see README.md.
recogniser = app.models["recognition"].model_file
app.models["recognition"] = get_model(
    recogniser, model_task="recognition", model_metadata={"preprocessing": "embedded"}, providers=PROVIDERS
)
app.prepare(ctx_id=-1, det_size=(640, 640))
photos = Path(sys.argv[2]).read_text(encoding="utf-8").splitlines()
app.get(cv2.imread(photos[0]))
started = time.perf_counter()
found = [app.get(cv2.imread(photo)) for photo in photos]
seconds = time.perf_counter() - started
faces = [(number, face) for number, each in enumerate(found) for face in each]
np.savez(
    sys.argv[3],
    seconds=seconds,
    photos=np.array([number for number, _ in faces]),
    boxes=np.array([face.bbox for _, face in faces]),
    embeddings=np.array([face.normed_embedding for _, face in faces]),
)
