"""Minimal script that analyzes one photo with InsightFace, timed by ``../cold_start.py``.

``python insightface_faces.py PACKAGE_FOLDER PHOTO``
"""

import sys

import cv2
from insightface.app import FaceAnalysis

app = FaceAnalysis(name=sys.argv[1], providers=["CPUExecutionProvider"])
app.prepare(ctx_id=-1, det_size=(640, 640))
faces = app.get(cv2.imread(sys.argv[2]))
print(len(faces), "faces")
