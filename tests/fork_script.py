# ruff: noqa: T201
"""Test script: forks a process that has used a bank, and prints ``same`` if all results are equal."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

from facebank import FaceBank, read_photo
from facebank.errors import DeviceError

mode, path, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
PHOTO = folder / "barack_obama_blue_room.jpg"
bank = FaceBank.open(path, device="cpu")


def identify(_: object = None) -> list[str]:
    """Return the embedding and decision of each face as text, for exact comparison."""
    return [repr((face.embedding.tobytes(), face.decision)) for photo in bank.identify(PHOTO) for face in photo.faces]


def run_child(*, enrolls: bool) -> bool:
    """Return whether a forked process rejects the old analyzer and identifies like its parent."""
    signal.alarm(120)
    is_rejected = False
    try:
        next(analyzer.analyze([read_photo(PHOTO)]))
    except DeviceError as error:
        is_rejected = "before this process was forked" in str(error)
    is_equal = identify() == expected
    if enrolls:  # changes the results, so it comes last
        bank.enroll("Eileen Collins", folder / "eileen_collins.jpg")
    return is_rejected and is_equal


bank.enroll("Barack Obama", folder / "barack_obama_portrait_2012.jpg")
expected, analyzer = identify(), bank.engine.analyzer
are_equal = True
if mode == "pool":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        are_equal = pool.map(identify, range(4)) == [expected] * 4
else:
    stop = threading.Event()

    def analyze() -> None:
        while not stop.is_set():
            next(analyzer.analyze([read_photo(PHOTO)]))

    threads = [threading.Thread(target=analyze) for _ in range(2 if mode == "busy" else 0)]
    for thread in threads:
        thread.start()
    for remaining in range(2 if mode == "busy" else 0, -1, -1):
        process_id = os.fork()
        if not process_id:
            status = 1
            try:
                status = 0 if run_child(enrolls=not remaining) else 1
            finally:
                if mode != "exit":
                    os._exit(status)
            sys.exit(status)  # frees inherited resources
        are_equal &= os.waitpid(process_id, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    are_equal &= "Eileen Collins" in bank.gallery.names().values()
bank.close()
print("same" if are_equal else "different")
