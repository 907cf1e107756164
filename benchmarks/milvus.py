"""Decisions, latency and memory of searches on Milvus compared with the local index.

    python -m benchmarks.milvus --people 1000000 --out benchmarks/reports/milvus
    python -m benchmarks.milvus --people 1000000 --address milvus://HOST:PORT/NAME --out ...

Each synthetic person has one random embedding. Probes are embeddings of some of them with weak to strong noise, and as
many strangers. A recognizer of the embedded pack decides them one at a time, in one process per index, alternating; the
decisions, candidates and similarities must be bitwise equal. With ``--ivf``, IVF_FLAT is measured too, with the number
of enrolled probes whose nearest person it misses and the interval of its recall.

Without ``--address``, the tests' server is started (requires the package ``milvus==2.3.5``): one local process with the
embeddings in memory. ``--folder FOLDER`` keeps the local index between runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.memory import peak_mebibytes, resident_mebibytes
from benchmarks.probes import make_probe
from benchmarks.resampling import wilson_interval
from facebank.gallery import PackIdentity
from facebank.index import gallery_index
from facebank.index.derived_file import FileKey, read_derived_file, write_derived_file
from facebank.index.gallery_index import GalleryIndex
from facebank.index.milvus import MilvusStore
from facebank.index.milvus_address import MilvusAddress
from facebank.index.mirrored_rows import MAX_DEVIATION, rows_to_mirror
from facebank.index.people_index import PeopleIndex
from facebank.index.vector_store import PROTOTYPES, SAMPLES, StoreIdentity, StoreSearch, VectorGroup
from facebank.operations.identify import build_recognizer
from facebank.packs import load_pack
from facebank.recognition.calibration.files import find_pack_calibration
from facebank.recognition.recognizer import Recognizer
from facebank.recognition.scoring import PrototypeScorer
from facebank.recognition.settings import DecisionSettings
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from facebank.types import FloatArray
    from tests.index.milvus_server import MilvusServer

PROBES = 200  # every second one is of a stranger
RUNS = 3
_BLOCK = 100_000  # embeddings that are drawn at once
_PACK = PackIdentity("opencv", "ab" * 32, 128)


def load_probes(folder: Path, people: int) -> FloatArray:
    """Return the probes, noisy people and strangers alternating; created in `folder` if missing."""
    path = folder / f"{people}.probes.npy"
    if path.exists():
        saved: FloatArray = np.load(path, allow_pickle=False)
        return saved
    random = np.random.default_rng(2)
    indices = random.integers(people, size=PROBES // 2)
    noise = normalized(random.standard_normal((PROBES // 2, _PACK.dimension)).astype(np.float32))
    noise *= random.uniform(0.2, 3.0, (PROBES // 2, 1)).astype(np.float32)
    mated = normalized(load_embeddings(folder, people)[indices] + noise)
    strangers = normalized(random.standard_normal((PROBES // 2, _PACK.dimension)).astype(np.float32))
    probes = np.stack([mated, strangers], axis=1).reshape(PROBES, -1)
    np.save(path, probes)
    return probes


def load_embeddings(folder: Path, people: int) -> FloatArray:
    """Return the embeddings of all people, a mapped ``float32`` file of shape ``(people, D)``; created if missing."""
    path = folder / f"{people}.embeddings.npy"
    if not path.exists():
        random = np.random.default_rng(1)
        rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(people, _PACK.dimension))
        for start in range(0, people, _BLOCK):
            count = min(_BLOCK, people - start)
            rows[start : start + count] = normalized(random.standard_normal((count, _PACK.dimension), np.float32))
        rows.flush()
    saved: FloatArray = np.load(path, mmap_mode="r", allow_pickle=False)
    return saved


class Names(dict[int, str]):
    """Names by number, created on access."""

    def __missing__(self, number: int) -> str:
        return f"Person {number}"


def load_local_index(folder: Path, people: int) -> GalleryIndex:
    """Return the index as read from the derived file of a gallery; created in `folder` if missing."""
    path, token = folder / f"{people}.vectors", f"{people:032x}"
    if not path.exists():
        numbers = np.arange(1, people + 1)
        people_index = PeopleIndex.from_samples(load_embeddings(folder, people), numbers, np.ones(people, "f4"))
        index = GalleryIndex(1, people_index, Names())
        index = replace(index, names={number: f"Person {number}" for number in numbers.tolist()})
        key = FileKey(FileKey.draw(_PACK, 1).pack, 1, token)
        assert write_derived_file(path, key, list(gallery_index._sections(index)), nullcontext())
    derived_file = read_derived_file(path, _PACK, token)
    assert derived_file is not None
    return gallery_index._read_index(derived_file)


def load_people(address: str, index: GalleryIndex) -> dict[str, float]:
    """Write the people of an index to Milvus; return the seconds of each step."""
    assert index.people is not None
    store, start = MilvusStore(MilvusAddress.parse(address)), time.perf_counter()
    rows = rows_to_mirror(index.people.person_ids, index)
    digest_seconds = time.perf_counter() - start
    store.create(StoreIdentity(1, 2, _PACK.dimension))
    rows.add_to(store, np.ones(len(rows.keys), np.bool_))
    token = store.set_token(1)
    load_seconds = time.perf_counter() - start - digest_seconds
    count = store.count(token)
    assert count == len(rows.keys), count
    start = time.perf_counter()
    store._client.flush(store._name, timeout=600)
    flush_seconds = time.perf_counter() - start
    start = time.perf_counter()
    keys, digests = store.list_keys(int(rows.keys[-1]) + 1)
    assert np.array_equal(keys, rows.keys)
    assert np.array_equal(digests, rows.digests)
    list_seconds = time.perf_counter() - start
    figures = {"digests_s": digest_seconds, "load_s": load_seconds, "flush_s": flush_seconds, "list_s": list_seconds}
    return {name: round(value, 1) for name, value in figures.items()}


def search_on_milvus(index: GalleryIndex, address: str) -> PeopleIndex:
    """Return the people of an index, searched on Milvus."""
    people = index.people
    assert people is not None
    store = MilvusStore(MilvusAddress.parse(address))
    mirrored = rows_to_mirror(people.person_ids, index).as_stored()
    token = store.set_token(1)
    assert store.count(token) == people.count

    def search(groups: Any) -> StoreSearch:
        rows = mirrored.locate(groups, lambda _, numbers: people.person_ids.searchsorted(numbers))
        vectors_at = people.embeddings if VectorGroup.SEVERAL in groups else people.prototypes_of
        return StoreSearch(
            store, groups, rows, token, max_length=1.01, max_deviation=MAX_DEVIATION, vectors_at=vectors_at
        )

    return people.with_searches(lambda: search(PROTOTYPES), lambda: search(SAMPLES))


def make_recognizer(people: PeopleIndex) -> Recognizer:
    """Return a recognizer with the embedded pack's calibration."""
    pack = load_pack(None)
    return build_recognizer(
        people,
        Names(),
        PrototypeScorer(people),
        classifier="prototype",
        pack_calibration=find_pack_calibration(
            PackIdentity(pack.name, pack.digest, pack.manifest.embedder.dimension), pack.folder
        ),
        thresholds=pack.manifest.thresholds,
        settings=DecisionSettings(),
    )


def run_worker(index_address: str, folder: Path, people: int) -> None:
    """Decide all probes on one index, ``local`` or a Milvus address, and print the figures as JSON."""
    start = time.perf_counter()
    index = load_local_index(folder, people)
    assert index.people is not None
    recognizer = make_recognizer(index.people if index_address == "local" else search_on_milvus(index, index_address))
    probes = [make_probe(embedding, quality=1.0) for embedding in load_probes(folder, people)]
    recognizer.identify(probes[:1])
    ready = time.perf_counter() - start
    seconds, digest, named, nearest = [], hashlib.sha256(), 0, []
    for probe in probes:
        start = time.perf_counter()
        (identity,) = recognizer.identify([probe])
        seconds.append(time.perf_counter() - start)
        digest.update(repr(identity).encode())
        named += identity.person is not None
        nearest.append(identity.candidates[0].person if identity.candidates else None)
    figures = {
        "ready_s": round(ready, 2),
        "median_ms": round(1000 * statistics.median(seconds), 1),
        "p95_ms": round(1000 * float(np.quantile(seconds, 0.95)), 1),
        "megabytes": peak_mebibytes(),
        "named": named,
        "decisions": digest.hexdigest(),
        "nearest": nearest,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def measure(addresses: dict[str, str], folder: Path, people: int) -> dict[str, dict[str, Any]]:
    """Run one process per index in alternation; return the medians of the runs."""
    runs_by_name: dict[str, list[dict[str, Any]]] = {name: [] for name in addresses}
    for _ in range(RUNS):
        for name, address in addresses.items():
            command = [sys.executable, "-m", "benchmarks.milvus", "--people", str(people), "--work", address]
            completed = subprocess.run([*command, "--folder", folder], check=True, capture_output=True, text=True)
            runs_by_name[name].append(json.loads(completed.stdout))
            print(name, {key: value for key, value in runs_by_name[name][-1].items() if key != "nearest"}, flush=True)
    report = {}
    for name, runs in runs_by_name.items():
        is_same = len({run["decisions"] for run in runs}) == 1
        if name != "IVF_FLAT" and not is_same:
            raise RuntimeError(f"The decisions on {name} differ between runs.")
        times = {key: statistics.median(run[key] for run in runs) for key in ("ready_s", "median_ms", "p95_ms")}
        report[name] = {
            **runs[0],
            **times,
            "same_each_turn": is_same,
            "megabytes": max(run["megabytes"] for run in runs),
        }
    return report


def compare(address: str, server: MilvusServer | None, folder: Path, people: int, *, ivf: bool) -> dict[str, Any]:
    """Measure the local index and Milvus; return the report."""
    index = load_local_index(folder, people)
    name = f"bench_{os.getpid()}"
    addresses = {"local": "local", "FLAT": f"{address}/{name}"}
    load_seconds = {"FLAT": load_people(addresses["FLAT"], index)}
    report: dict[str, Any] = {"people": people, "probes": PROBES, "load": load_seconds}
    if server is not None:
        report["server_megabytes"] = {"FLAT": int(resident_mebibytes(server.process_id))}
    if ivf:
        addresses["IVF_FLAT"] = f"{address}/{name}_ivf?index=ivf_flat&nlist=1024&nprobe=64"
        load_seconds["IVF_FLAT"] = load_people(addresses["IVF_FLAT"], index)
    print(report, flush=True)
    del index
    load_probes(folder, people)  # creates them before the measured processes start
    figures = measure(addresses, folder, people)
    truth = figures["local"]["nearest"]
    for row in figures.values():
        pairs = list(zip(row.pop("nearest"), truth, strict=True))[::2]
        missed = sum(nearest != true_nearest for nearest, true_nearest in pairs)
        row["nearest_of_the_enrolled_missed"] = f"{missed} of {len(pairs)}"
        row["recall_interval"] = [round(bound, 5) for bound in wilson_interval(len(pairs) - missed, len(pairs))]
        row["same_decisions"] = row["decisions"] == figures["local"]["decisions"]
    for row in figures.values():
        del row["decisions"]
    report["indexes"] = figures
    return report


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000, help="number of people (default 1,000,000)")
    parser.add_argument("--address", help="server address without a collection, milvus://HOST:PORT")
    parser.add_argument("--ivf", action="store_true", help="also measure IVF_FLAT")
    parser.add_argument("--folder", type=Path, help="folder of the local index; default: a temporary folder")
    parser.add_argument("--out", type=Path, help="path of the report, without suffix")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="facebank-milvus-") as temporary:
        folder = Path(arguments.folder or temporary)
        if arguments.work:
            run_worker(arguments.work, folder, arguments.people)
            return
        from tests.index.milvus_server import MilvusServer

        server = None if arguments.address else MilvusServer(Path(temporary, "server"))
        context: AbstractContextManager[object] = nullcontext() if server is None else server
        with context:
            address = arguments.address or (server.address if server is not None else "")
            report = compare(address, server, folder, arguments.people, ivf=arguments.ivf)
    print(json.dumps(report, indent=2))
    if arguments.out is not None:
        write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
