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
# InsightFace does not detect that the network normalizes its input itself; see README.md.
embedder_path = app.models["recognition"].model_file
app.models["recognition"] = get_model(
    embedder_path, model_task="recognition", model_metadata={"preprocessing": "embedded"}, providers=PROVIDERS
)
app.prepare(ctx_id=-1, det_size=(640, 640))
paths = Path(sys.argv[2]).read_text(encoding="utf-8").splitlines()
app.get(cv2.imread(paths[0]))
started = time.perf_counter()
results = [app.get(cv2.imread(path)) for path in paths]
seconds = time.perf_counter() - started
faces = [(number, face) for number, photo_faces in enumerate(results) for face in photo_faces]
np.savez(
    sys.argv[3],
    seconds=seconds,
    photos=np.array([number for number, _ in faces]),
    boxes=np.array([face.bbox for _, face in faces]),
    embeddings=np.array([face.normed_embedding for _, face in faces]),
)
