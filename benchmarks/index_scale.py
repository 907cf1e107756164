"""How fast faces are found among 10,000 to 1,000,000, exactly, beside FAISS's own scans.

    python -m benchmarks.index_scale --out benchmarks/reports/index_scale

The people are made up: unit vectors about a centre each, five samples a person, which are as similar as photos of one
person are (0.6 to 0.8); and vectors that are alike by chance only. A query is a further sample of somebody enrolled.
All searches of a case are timed by turns in one process with the same threads; compared are medians. "Identical" says
whether the ten best and their order are those of exact comparison of the float32 vectors. FAISS's scan of the same type
goes over the very codes that facebank scans; what it finds is of no use without what facebank adds, only its time is.
Cases that the report already holds are not measured again. A start is a fresh process that opens the file and answers
one query; the libraries are loaded before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.cold_start import processor
from facebank.gallery import PackIdentity, VectorIndex, VectorTable
from facebank.index.codes import PART_SIZE
from facebank.index.index_file import IndexKey, read_index_file, write_index_file
from facebank.index.vector_index import CODED_FROM
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from facebank.types import FloatArray

SIZES = (10_000, 100_000, 1_000_000)
DIMENSIONS = (128, 512)
KINDS = ("people", "uniform")
SAMPLES = 5
LIKENESS = 0.7
QUERIES = 64
LIMIT = 10
MOST = 1.25
Report = dict[str, Any]


def made_up(kind: str, count: int, dimension: int) -> Iterator[FloatArray]:
    """Yield so many embeddings, in blocks of `PART_SIZE` and the rest."""
    for start in range(0, count, PART_SIZE):
        random = np.random.default_rng([count, dimension, start])
        rows = min(PART_SIZE, count - start)
        block = random.standard_normal((rows, dimension), dtype=np.float32)
        if kind == "people":
            centres = normalized(random.standard_normal((-(-rows // SAMPLES), dimension), dtype=np.float32))
            noise = np.float32(np.sqrt((1 - LIKENESS) / dimension))
            block = noise * block + np.float32(LIKENESS**0.5) * np.repeat(centres, SAMPLES, axis=0)[:rows]
        yield normalized(block)


def queries_of(matrix: FloatArray) -> FloatArray:
    """Return further samples of somebody enrolled."""
    random = np.random.default_rng(1)
    chosen = matrix[random.integers(len(matrix), size=QUERIES)]
    return normalized(
        chosen + np.float32(0.6 / matrix.shape[1] ** 0.5) * random.standard_normal(chosen.shape, np.float32)
    )


def truth_of(matrix: FloatArray, queries: FloatArray) -> NDArray[np.int64]:
    """Return the ten most similar by comparing everything in double precision."""
    best: list[tuple[FloatArray, NDArray[np.int64]]] = []
    for start in range(0, len(matrix), PART_SIZE):
        similarities = (queries.astype(np.float64) @ matrix[start : start + PART_SIZE].astype(np.float64).T).clip(-1, 1)
        places = np.argpartition(similarities, -4 * LIMIT, axis=1)[:, -4 * LIMIT :]
        best.append((np.take_along_axis(similarities, places, axis=1).astype(np.float32), places + start))
    found, ids = np.concatenate([part[0] for part in best], axis=1), np.concatenate([part[1] for part in best], axis=1)
    order = np.lexsort((ids, -found), axis=1)[:, :LIMIT]
    return np.take_along_axis(ids, order, axis=1)


def one_case(kind: str, count: int, dimension: int, folder: Path, runs: int) -> Report:
    """Measure one gallery."""
    matrix = np.empty((count, dimension), dtype=np.float32)
    for place, block in enumerate(made_up(kind, count, dimension)):
        matrix[place * PART_SIZE :][: len(block)] = block
    queries = queries_of(matrix)
    file = folder / "some.vectors"
    started = time.perf_counter()
    index = ours(matrix, file)
    made = time.perf_counter() - started
    searches: dict[str, Callable[[FloatArray], NDArray[np.int64]]] = {
        "facebank": lambda rows: index.search(rows, LIMIT).sample_ids
    }
    for name, other in faiss_indexes(matrix, index).items():
        searches[name] = lambda rows, other=other: other.search(rows, LIMIT)[1]  # type: ignore[misc]
    truth = truth_of(matrix, queries)
    report: Report = {
        "kind": kind,
        "faces": count,
        "dimension": dimension,
        "made_s": made,
        "single_ms": {},
        "batch_ms": {},
    }
    report["identical"] = bool((searches["facebank"](queries) == truth).all())
    report["recall"] = {
        name: float(np.mean([np.isin(ids, wanted).mean() for ids, wanted in zip(search(queries), truth, strict=True)]))
        for name, search in searches.items()
    }
    for what, rows, times in (("single_ms", 1, runs), ("batch_ms", QUERIES, max(3, runs // 4))):
        taken: dict[str, list[float]] = {name: [] for name in searches}
        for turn in range(times):
            asked = queries[turn % QUERIES :][:1] if rows == 1 else queries
            for name, search in searches.items():
                started = time.perf_counter()
                search(asked)
                taken[name].append(1000 * (time.perf_counter() - started))
        report[what] = {name: median(values) for name, values in taken.items()}
    same = "FAISS, same codes" if "FAISS, same codes" in searches else "FAISS Flat"
    report["ratios"] = {what: report[what]["facebank"] / report[what][same] for what in ("single_ms", "batch_ms")}
    report["start"] = starts(matrix, queries[:1], file, folder)
    return report


def ours(matrix: FloatArray, place: Path) -> VectorIndex:
    """Return facebank's index as a gallery of so many faces has it."""
    ids = np.arange(len(matrix), dtype=np.int64)
    index = VectorIndex(matrix.shape[1])
    if len(matrix) < CODED_FROM:
        index.add(VectorTable(ids, ids // SAMPLES, matrix))
        return index
    listing = np.stack([ids, ids // SAMPLES, np.ones_like(ids)], axis=1)
    blocks = ((listing[start : start + PART_SIZE], matrix[start : start + PART_SIZE])
              for start in range(0, len(matrix), PART_SIZE))  # fmt: skip
    key = IndexKey.draw(pack_of(matrix.shape[1]), 1)
    stored = write_index_file(place, key, len(matrix), blocks)
    if stored is None:
        raise SystemExit(f"{place} cannot be written")
    place.with_suffix(".token").write_text(key.token, encoding="utf-8")
    index.take(stored)
    return index


def faiss_indexes(matrix: FloatArray, index: VectorIndex) -> dict[str, Any]:
    """Return what FAISS has of its own."""
    dimension = matrix.shape[1]
    kinds = faiss.ScalarQuantizer
    found: dict[str, Any] = {"FAISS Flat": faiss.IndexFlatIP(dimension)}
    for name, kind in (("FAISS SQ8", kinds.QT_8bit), ("FAISS SQfp16", kinds.QT_fp16)):
        found[name] = faiss.IndexScalarQuantizer(dimension, kind, faiss.METRIC_INNER_PRODUCT)
        found[name].train(matrix[:PART_SIZE])
    for each in found.values():
        for start in range(0, len(matrix), PART_SIZE):
            each.add(matrix[start : start + PART_SIZE])
    if index.is_stored:
        same = faiss.IndexScalarQuantizer(dimension, kinds.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT)
        for part in index._engine._parts:  # type: ignore[attr-defined]
            same.add_sa_codes(part.codes)
        found["FAISS, same codes"] = same
    return found


def starts(matrix: FloatArray, query: FloatArray, place: Path, folder: Path) -> Report:
    """Let fresh processes answer one query."""
    np.save(folder / "query.npy", query)
    for name, kind in (("flat", None), ("sq8", faiss.ScalarQuantizer.QT_8bit)):
        one = faiss.IndexFlatIP(matrix.shape[1]) if kind is None else faiss.IndexScalarQuantizer(
            matrix.shape[1], kind, faiss.METRIC_INNER_PRODUCT)  # fmt: skip
        one.train(matrix[:PART_SIZE])
        one.add(matrix)
        faiss.write_index(one, str(folder / name))
        del one
    if not place.exists():
        np.save(folder / "matrix.npy", matrix)
    said = {}
    for name in ("facebank", "flat", "sq8"):
        command = [sys.executable, "-m", "benchmarks.index_scale", "--start", name, str(folder), str(matrix.shape[1])]
        said[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for file in folder.iterdir():
        file.unlink()
    return said


def start(name: str, folder: Path, dimension: int) -> None:
    """Open one index in this process, answer one query, and say what that took."""
    query = np.load(folder / "query.npy")
    before = resident()
    began = time.perf_counter()
    if name != "facebank":
        held = faiss.read_index(str(folder / name))
        found = held.search(query, LIMIT)[0]
    else:
        index = VectorIndex(dimension)
        place = folder / "some.vectors"
        if place.exists():
            token = place.with_suffix(".token").read_text(encoding="utf-8")
            stored = read_index_file(place, pack_of(dimension), token)
            if stored is None:
                raise SystemExit(f"{place} cannot be read")
            index.take(stored)
        else:
            matrix = np.load(folder / "matrix.npy")
            index.add(VectorTable(np.arange(len(matrix)), np.arange(len(matrix)) // SAMPLES, matrix))
            del matrix
        found = index.search(query, LIMIT).similarities
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "resident_mb": resident() - before, "best": float(found[0, 0])}))


def resident() -> float:
    """Return this process's resident memory in MB, mapped files included."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def pack_of(dimension: int) -> PackIdentity:
    """Return a pack of embeddings of a length."""
    return PackIdentity("made up", "00" * 32, dimension)


def as_markdown(report: Report) -> str:
    """Lay the figures out as a page."""
    machine = report["machine"]
    lines = [
        "# Search among very many faces",
        "",
        f"{machine['processor']}, {machine['threads']} threads for everybody, Python {machine['python']}, "
        f"FAISS {machine['faiss']}. Milliseconds, medians by turns in one process: one query / {QUERIES} queries, "
        f"{LIMIT} hits each. The ratio is to FAISS's own scan of the same codes (to Flat below "
        f"{CODED_FROM - 1:,} faces, where facebank's index is Flat); at most {MOST} is allowed. MB are what a fresh "
        "process holds more after it answered one query, mapped files included.",
        "",
        "| faces | length | vectors | facebank | FAISS, same codes | FAISS SQ8 | FAISS SQfp16 | FAISS Flat | ratio "
        "| ten best identical to float32 | recall of SQ8, SQfp16 alone | start: facebank, FAISS Flat, SQ8 "
        "| MB: facebank, FAISS Flat, SQ8 |",
        "|" + "---|" * 13,
    ]
    for case in report["cases"]:
        times = [
            f"{case['single_ms'][name]:.1f} / {case['batch_ms'][name]:.0f}" if name in case["single_ms"] else ""
            for name in ("facebank", "FAISS, same codes", "FAISS SQ8", "FAISS SQfp16", "FAISS Flat")
        ]
        begun = [case["start"][name] for name in ("facebank", "flat", "sq8")]
        lines.append(
            f"| {case['faces']:,} | {case['dimension']} | {case['kind']} | {' | '.join(times)} "
            f"| {case['ratios']['single_ms']:.2f} / {case['ratios']['batch_ms']:.2f} "
            f"| {'yes' if case['identical'] else 'NO'} "
            f"| {case['recall']['FAISS SQ8']:.3f}, {case['recall']['FAISS SQfp16']:.3f} "
            f"| {', '.join(format(one['seconds'], '.2f') for one in begun)} s "
            f"| {', '.join(format(one['resident_mb'], '.0f') for one in begun)} |"
        )
    return "\n".join([*lines, ""])


def main() -> int:
    """Measure, write the report, and say whether every requirement is met."""
    if sys.argv[1:2] == ["--start"]:
        start(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the report, without suffix; what it has stays")
    parser.add_argument("--runs", type=int, default=21, help="runs of a single query (default 21)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="how many faces")
    arguments = parser.parse_args()
    machine = {
        "processor": processor(),
        "threads": faiss.omp_get_max_threads(),
        "python": platform.python_version(),
        "faiss": version("faiss-cpu"),
        "load": os.getloadavg()[0],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    known = arguments.out.with_suffix(".json")
    cases = json.loads(known.read_text(encoding="utf-8"))["cases"] if known.exists() else []
    report: Report = {"machine": machine, "cases": cases}
    for count, kind, dimension in itertools.product(arguments.sizes, KINDS, DIMENSIONS):
        if any((case["faces"], case["kind"], case["dimension"]) == (count, kind, dimension) for case in cases):
            continue
        with tempfile.TemporaryDirectory(prefix="facebank-index-scale-") as folder:
            cases.append(one_case(kind, count, dimension, Path(folder), arguments.runs))
        print(json.dumps(cases[-1]), flush=True)
        cases.sort(key=lambda case: (case["faces"], case["dimension"], case["kind"]))
        known.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        arguments.out.with_suffix(".md").write_text(as_markdown(report), encoding="utf-8")
    met = all(case["identical"] and max(case["ratios"].values()) <= MOST for case in report["cases"])
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
