"""Compare the embedded pack's files with what OpenCV Zoo publishes.

Run from the project's root::

    python -m models.check_embedded

The published hashes are the Git-LFS ids of https://github.com/opencv/opencv_zoo at the commit below. With a folder of
downloaded files as argument, those are compared too, and copied from there if an embedded one is missing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from facebank.packs import FileState, file_state, load_pack

COMMIT = "25f423d0e04c31a17254620e58febd7386da523b"


@dataclass(frozen=True, slots=True)
class Published:
    """A file of OpenCV Zoo.

    Attributes
    ----------
    folder, name
        Where it is in the repository.
    sha256, size
        As its Git-LFS pointer states them.
    licence
        The notice that must lie beside it.
    """

    folder: str
    name: str
    sha256: str
    size: int
    licence: str


PUBLISHED = (
    Published(
        "models/face_detection_yunet",
        "face_detection_yunet_2023mar_int8bq.onnx",
        "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        122_489,
        "LICENSE-YuNet",
    ),
    Published(
        "models/face_recognition_sface",
        "face_recognition_sface_2021dec_int8bq.onnx",
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        10_667_852,
        "LICENSE-SFace",
    ),
)


def differences(folder: Path) -> list[str]:
    """Say, a line each, how a folder's files differ from the published ones."""
    found: list[str] = []
    for file in PUBLISHED:
        path = folder / file.name
        state = file_state(path, file.sha256)
        if state is not FileState.OK:
            found.append(f"{path} is {state}: get {file.folder}/{file.name} of opencv_zoo at {COMMIT}")
        elif path.stat().st_size != file.size:
            found.append(f"{path} has not {file.size} bytes")
    return found


def main() -> int:
    """Check, print what differs, and return the exit code."""
    parser = argparse.ArgumentParser(description="Compare the embedded pack with what OpenCV Zoo publishes.")
    parser.add_argument("source", nargs="?", type=Path, help="a folder with the published files")
    source: Path | None = parser.parse_args().source
    pack = load_pack()
    found = differences(source) if source else []
    if source and not found:
        for file in PUBLISHED:
            if not (pack.folder / file.name).exists():
                shutil.copyfile(source / file.name, pack.folder / file.name)
    found += differences(pack.folder)
    found += [f"{file.licence} is missing" for file in PUBLISHED if not (pack.folder / file.licence).is_file()]
    if pack.manifest.files != {file.name: file.sha256 for file in PUBLISHED}:
        found.append("pack.toml does not state the published hashes")
    print("\n".join(found) or f"{pack.folder}: as published")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
