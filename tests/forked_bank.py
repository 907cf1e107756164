# ruff: noqa: T201
"""Script for tests: forks a process that has used a bank, and prints ``same`` if all results are equal."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

from facebank import FaceBank, read_photo
from facebank.errors import DeviceError

how, path, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
PHOTO = folder / "barack_obama_blue_room.jpg"
bank = FaceBank.open(path, device="cpu")


def answers(_: object = None) -> list[str]:
    """Return exact identifications as text."""
    return [repr((face.embedding.tobytes(), face.decision)) for photo in bank.identify(PHOTO) for face in photo.faces]


def child(*, enrolls: bool) -> bool:
    """Use the bank in a forked process; enrolling another person changes the results."""
    signal.alarm(120)
    try:
        next(analyzer.analyze([read_photo(PHOTO)]))
    except DeviceError as error:
        refused = "before this process was forked" in str(error)
    same = answers() == expected
    if enrolls:
        bank.enroll("Eileen Collins", folder / "eileen_collins.jpg")
    return refused and same


bank.enroll("Barack Obama", folder / "barack_obama_portrait_2012.jpg")
expected, analyzer = answers(), bank.engine.analyzer
good = True
if how == "pool":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        good = pool.map(answers, range(4)) == [expected] * 4
else:
    stop = threading.Event()

    def analyze() -> None:
        while not stop.is_set():
            next(analyzer.analyze([read_photo(PHOTO)]))

    threads = [threading.Thread(target=analyze) for _ in range(2 if how == "busy" else 0)]
    for thread in threads:
        thread.start()
    for left in range(2 if how == "busy" else 0, -1, -1):
        number = os.fork()
        if not number:
            status = 1
            try:
                status = 0 if child(enrolls=not left) else 1
            finally:
                if how != "exit":
                    os._exit(status)
            sys.exit(status)  # frees inherited resources
        good &= os.waitpid(number, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    good &= "Eileen Collins" in bank.gallery.names().values()
bank.close()
print("same" if good else "different")
