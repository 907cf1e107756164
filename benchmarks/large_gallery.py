"""A cold ``facebank identify`` with 1,000 people enrolled beside one with five, and with very many.

    python -m benchmarks.large_gallery ../shared/data --out benchmarks/reports/large_gallery

The galleries hold LFW's people with one photo each, as the pack embeds them. Each classifier is run once to fit it,
then by turns with both galleries; compared are medians of one and the same run. Then the prototype classifier with
100,000 and a million people, one random unit vector each, beside the five: seconds and the most memory.
``--without-million`` leaves out the larger one, which takes minutes to make and a gigabyte of disk.
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
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.lfw import LfwFaces, lfw_faces
from facebank.gallery import Gallery, NewSample, PackIdentity
from facebank.packs import load_pack
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.types import FloatArray

SIZES = (5, 1000)
CLASSIFIERS = ("prototype", "knn", "svm", "logistic")
RUNS = 7
VERY_MANY = (100_000, 1_000_000)
RUNS_WITH_VERY_MANY = 3
_ENROLLED_AT_ONCE = 10_000


def write_gallery(path: Path, pack: PackIdentity, faces: LfwFaces, people: int) -> None:
    """Enroll the first photo of so many people."""
    firsts = np.unique(faces.people, return_index=True)[1][:people]
    with Gallery.open(path, pack, create=True) as gallery:
        gallery.enroll_people(
            [
                (
                    str(faces.names[place]),
                    [
                        sample(
                            int(place), faces.embeddings[place], float(faces.qualities[place]), str(faces.photos[place])
                        )
                    ],
                )
                for place in firsts
            ]
        )


def write_made_up(path: Path, pack: PackIdentity, people: int) -> None:
    """Enroll so many people, one random unit vector each."""
    random = np.random.default_rng(people)
    with Gallery.open(path, pack, create=True) as gallery:
        for start in range(0, people, _ENROLLED_AT_ONCE):
            rows = normalized(random.standard_normal((_ENROLLED_AT_ONCE, pack.dimension)).astype(np.float32))
            gallery.enroll_people(
                [
                    (f"Person {number}", [sample(number, row, 0.9, f"{number}.jpg")])
                    for number, row in enumerate(rows, start)
                ]
            )


def sample(number: int, embedding: FloatArray, quality: float, path: str) -> NewSample:
    """Return a sample without a photo."""
    return NewSample(
        box=np.array([0, 0, 9, 9], np.float32),
        landmarks=np.zeros((5, 2), np.float32),
        detection_score=1.0,
        quality=quality,
        path=path,
        content_hash=f"{number:064x}",
        quarter_turns=0,
        taken_at=None,
        thumbnail=None,
        vectors={"plain": embedding},
    )


def measured(
    program: str, gallery: Path, photo: Path, classifier: str, environment: dict[str, str]
) -> tuple[float, float]:
    """Return the seconds of one cold identification, and the most memory that it had, in MB."""
    start = time.perf_counter()
    command = [program, "--gallery", str(gallery), "identify", str(photo), "--classifier", classifier, "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as running:
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def with_very_many(
    program: str, few: Path, identity: PackIdentity, photo: Path, environment: dict[str, str], *, sizes: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Measure the prototype classifier with very many people beside few."""
    galleries = {"5": few}
    for people in sizes:
        galleries[str(people)] = few.with_name(f"{people}.facebank")
        write_made_up(galleries[str(people)], identity, people)
    runs: dict[str, list[tuple[float, float]]] = {size: [] for size in galleries}
    for _ in range(RUNS_WITH_VERY_MANY):
        for size, path in galleries.items():
            runs[size].append(measured(program, path, photo, "prototype", environment))
    report = {
        size: {"seconds": statistics.median(run[0] for run in done), "megabytes": max(run[1] for run in done)}
        for size, done in runs.items()
    }
    for size, found in report.items():
        print(f"{size} people: {found['seconds']:.2f} s, {found['megabytes']:.0f} MB", flush=True)
    return report


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--facebank", default=shutil.which("facebank"), help="the installed program")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, without suffix")
    parser.add_argument("--without-million", action="store_true", help="measure with 100,000 people at most")
    arguments = parser.parse_args()
    sizes = VERY_MANY[:1] if arguments.without_million else VERY_MANY
    if arguments.facebank is None:
        parser.error("facebank is not on the path: name the program with --facebank")
    pack = load_pack()
    faces = lfw_faces(arguments.data, pack)
    identity = PackIdentity(pack.name, pack.digest, pack.manifest.embedder.dimension)
    photo = arguments.data / "lfw" / str(faces.photos[-1])
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        galleries = {size: Path(folder) / f"{size}.facebank" for size in SIZES}
        for size, path in galleries.items():
            write_gallery(path, identity, faces, size)
        environment = {**os.environ, "FACEBANK_CALIBRATIONS": folder}
        for classifier in CLASSIFIERS:
            first, times = {}, {size: [] for size in SIZES}  # type: dict[int, float], dict[int, list[float]]
            for size, path in galleries.items():
                first[size], _ = measured(arguments.facebank, path, photo, classifier, environment)
            for _ in range(RUNS):
                for size, path in galleries.items():
                    times[size].append(measured(arguments.facebank, path, photo, classifier, environment)[0])
            few, many = (statistics.median(times[size]) for size in SIZES)
            report[classifier] = {
                "first_with_1000": first[SIZES[1]],
                "with_5": few,
                "with_1000": many,
                "more": many - few,
            }
            print(f"{classifier}: {few:.2f} s with 5 people, {many:.2f} s with 1,000 ({many - few:+.2f} s); "
                  f"the first time, when it is fitted, {first[SIZES[1]]:.2f} s", flush=True)  # fmt: skip
        report["very_many"] = with_very_many(
            arguments.facebank, galleries[SIZES[0]], identity, photo, environment, sizes=sizes
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
