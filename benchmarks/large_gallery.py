"""A cold ``facebank identify`` with 1,000 people enrolled beside one with five, for every classifier.

    python -m benchmarks.large_gallery ../shared/data --out benchmarks/reports/large_gallery

The galleries hold LFW's people with one photo each, as the pack embeds them. Each classifier is run once to fit it,
then by turns with both galleries; compared are medians of one and the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.lfw import LfwFaces, lfw_faces
from facebank.faces import Detection
from facebank.gallery import Gallery, NewSample, PackIdentity
from facebank.packs import load_pack

SIZES = (5, 1000)
CLASSIFIERS = ("prototype", "knn", "svm", "logistic")
RUNS = 7


def write_gallery(path: Path, pack: PackIdentity, faces: LfwFaces, people: int) -> None:
    """Enrol the first photo of so many people."""
    nowhere = Detection(np.array([0, 0, 9, 9], np.float32), np.zeros((5, 2), np.float32), 1.0)
    firsts = np.unique(faces.people, return_index=True)[1][:people]
    with Gallery.open(path, pack, create=True) as gallery:
        gallery.enrol_people(
            [
                (
                    str(faces.names[place]),
                    [
                        NewSample(
                            detection=nowhere,
                            quality=float(faces.qualities[place]),
                            source=str(faces.photos[place]),
                            content_hash=f"{place:064x}",
                            quarter_turns=0,
                            taken_at=None,
                            thumbnail=None,
                            vectors={"plain": faces.embeddings[place]},
                        )
                    ],
                )
                for place in firsts
            ]
        )


def seconds(command: list[str], gallery: Path, photo: Path, classifier: str, environment: dict[str, str]) -> float:
    """Time one cold identification."""
    start = time.perf_counter()
    subprocess.run(
        [*command, "--gallery", str(gallery), "identify", str(photo), "--classifier", classifier, "--json"],
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    return time.perf_counter() - start


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--facebank", default=shutil.which("facebank"), help="the installed program")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, without suffix")
    arguments = parser.parse_args()
    if arguments.facebank is None:
        parser.error("facebank is not on the path: name the program with --facebank")
    pack = load_pack()
    faces = lfw_faces(arguments.data, pack)
    identity = PackIdentity(pack.name, pack.digest, pack.manifest.embedder.dimension)
    photo = arguments.data / "lfw" / str(faces.photos[-1])
    report: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        galleries = {size: Path(folder) / f"{size}.facebank" for size in SIZES}
        for size, path in galleries.items():
            write_gallery(path, identity, faces, size)
        environment = {**os.environ, "FACEBANK_CALIBRATIONS": folder}
        for classifier in CLASSIFIERS:
            first, times = {}, {size: [] for size in SIZES}  # type: dict[int, float], dict[int, list[float]]
            for size, path in galleries.items():
                first[size] = seconds([arguments.facebank], path, photo, classifier, environment)
            for _ in range(RUNS):
                for size, path in galleries.items():
                    times[size].append(seconds([arguments.facebank], path, photo, classifier, environment))
            few, many = (statistics.median(times[size]) for size in SIZES)
            report[classifier] = {
                "first_with_1000": first[SIZES[1]],
                "with_5": few,
                "with_1000": many,
                "more": many - few,
            }
            print(f"{classifier}: {few:.2f} s with 5 people, {many:.2f} s with 1,000 ({many - few:+.2f} s); "
                  f"the first time, when it is fitted, {first[SIZES[1]]:.2f} s", flush=True)  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
