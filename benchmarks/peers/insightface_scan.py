"""Runs InsightFace's ``FaceAnalysis`` over photos; ``../scan_speed.py`` times it as it stands.

``python insightface_scan.py PACKAGE_FOLDER LIST OUT.npz``, where LIST names one photo a line. Reading and analysing are
timed, loading is not. Written are ``seconds`` and, for each face, the number of its photo, its box and its embedding.
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
# The network normalises its own input, which InsightFace has to be told: README.md, "What we found on the way".
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
