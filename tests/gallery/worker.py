"""Process that uses a gallery: ``worker.py ACTION GALLERY [NAME] [COUNT]``. Prints ``ready`` before it acts.

enroll   enrolls COUNT new faces of NAME, one transaction each, and prints the number enrolled after each
bulk     enrolls COUNT new faces of NAME in one transaction
read     holds a snapshot until its standard input closes and then prints the number of samples it saw
write    holds a write transaction until its standard input closes
create   creates the gallery and enrolls one face of NAME
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from contextlib import closing

import numpy as np

from facebank.gallery import Gallery, NewSample, PackIdentity

PACK = PackIdentity("opencv", "ab" * 32, 16)


def new_face(thumbnail_size: int = 3000) -> NewSample:
    """Return a random face; `thumbnail_size` is in bytes."""
    random = np.random.default_rng()
    embedding = random.standard_normal(PACK.dimension).astype(np.float32)
    return NewSample(
        box=np.array([0, 0, 9, 9], np.float32),
        landmarks=np.zeros((5, 2), np.float32),
        detection_score=0.9,
        quality=0.5,
        path="/photos/worker.jpg",
        content_hash=hashlib.sha256(os.urandom(16)).hexdigest(),
        quarter_turns=0,
        taken_at=None,
        thumbnail=os.urandom(thumbnail_size),
        vectors={"plain": np.asarray(embedding / np.linalg.norm(embedding), np.float32)},
    )


def print_line(text: object) -> None:
    print(text, flush=True)  # noqa: T201


def enroll(gallery: Gallery, name: str, count: int) -> None:
    for number in range(1, count + 1):
        gallery.enroll(name, [new_face()])
        print_line(number)


def main(action: str, path: str, name: str = "", count: str = "0") -> None:
    if action == "write":
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            print_line("ready")
            sys.stdin.read()
        return
    with Gallery.open(path, PACK, create=action == "create", busy_timeout=60) as gallery:
        print_line("ready")
        if action == "read":
            with gallery.snapshot():
                sample_count = len(gallery.vectors().sample_ids)
                print_line("reading")
                sys.stdin.read()
                assert len(gallery.vectors().sample_ids) == sample_count
            print_line(sample_count)
        elif action == "bulk":
            faces = [new_face(thumbnail_size=100) for _ in range(int(count))]
            print_line("enrolling")
            gallery.enroll(name, faces)
        else:
            enroll(gallery, name, int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
