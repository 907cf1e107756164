"""Compares the files of the embedded pack with those published by OpenCV Zoo.

Run from the project's root::

    python -m models.check_embedded

The published hashes are the Git-LFS ids of https://github.com/opencv/opencv_zoo at the commit below. If the
argument is a folder of downloaded files, these are also compared, and missing embedded files are copied from it.
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
        Path in the repository.
    sha256, size
        Values of its Git-LFS pointer; the size is in bytes.
    license
        Name of the license file that must accompany it.
    """

    folder: str
    name: str
    sha256: str
    size: int
    license: str


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
    """Return a message for each file of a folder that differs from the published one."""
    problems: list[str] = []
    for file in PUBLISHED:
        path = folder / file.name
        state = file_state(path, file.sha256)
        if state is not FileState.OK:
            problems.append(f"{path} is {state}; download {file.folder}/{file.name} of opencv_zoo at {COMMIT}")
        elif path.stat().st_size != file.size:
            problems.append(f"{path} does not have {file.size} bytes")
    return problems


def main() -> int:
    """Print the differences and return the exit code."""
    parser = argparse.ArgumentParser(description="Compare the embedded pack with the files published by OpenCV Zoo.")
    parser.add_argument("source", nargs="?", type=Path, help="folder of downloaded files")
    source: Path | None = parser.parse_args().source
    pack = load_pack()
    problems = differences(source) if source else []
    if source and not problems:
        for file in PUBLISHED:
            if not (pack.folder / file.name).exists():
                shutil.copyfile(source / file.name, pack.folder / file.name)
    problems += differences(pack.folder)
    problems += [f"{file.license} is missing" for file in PUBLISHED if not (pack.folder / file.license).is_file()]
    if pack.manifest.files != {file.name: file.sha256 for file in PUBLISHED}:
        problems.append("the hashes in pack.toml differ from the published ones")
    print("\n".join(problems) or f"{pack.folder}: all files are as published")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
