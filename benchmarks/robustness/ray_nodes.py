"""A Ray cluster of local processes, and the comparison of two scans."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.agreement import embedding_similarities, largest_box_difference
from facebank.album.scan.scan_file import ScanFile
from facebank.operations.engine import load_engine

FAULTS = Path(__file__).with_name("decoder_faults")
_OBJECT_STORE_BYTES = 120_000_000  # of a node
_START_TIMEOUT = 60.0  # seconds for a node to start


class RayNodes:
    """A context manager for the head and nodes of a local Ray cluster, which are killed at its exit.

    Parameters
    ----------
    environment
        Additional environment variables of the nodes and their workers.
    """

    def __init__(self, **environment: str) -> None:
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="fb-", dir="/tmp"))
        settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        # Detects a lost node after 5 seconds instead of half a minute.
        health_checks = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}
        self.environment = {**os.environ, **settings, **health_checks, **environment}
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            self.kill(process)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start_head(self, cores: int = 1) -> subprocess.Popen[bytes]:
        """Start the head, and wait until it listens."""
        head = self._start(
            "--head", f"--port={self.port}", f"--temp-dir={self._folder}", "--include-dashboard=false", cores=cores
        )
        deadline = time.monotonic() + _START_TIMEOUT
        while not _listens(self.port):
            if time.monotonic() > deadline or head.poll() is not None:
                raise RuntimeError("The head of Ray did not start; run 'ray start --head --block' to see why.")
            time.sleep(0.2)
        self.wait_for_nodes(1)
        return head

    def add(self, cores: int = 1) -> subprocess.Popen[bytes]:
        """Start one more node."""
        return self._start(f"--address={self.address}", cores=cores)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a node with all of its processes, as in a power failure."""
        if process.poll() is None:
            for process_id in _processes_of(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGKILL)
        process.wait()

    def wait_for_nodes(self, count: int) -> None:
        """Wait until the cluster has `count` nodes."""
        code = (
            "import ray, sys, time\n"
            f"ray.init(address={self.address!r}, log_to_driver=False)\n"
            f"end = time.time() + {_START_TIMEOUT}\n"
            f"while sum(node['Alive'] for node in ray.nodes()) < {count} and time.time() < end: time.sleep(0.2)\n"
        )
        subprocess.run([sys.executable, "-c", code], env=self.environment, check=True, capture_output=True)

    def workers(self) -> list[int]:
        """Return the process ids of the scan workers on all nodes."""
        process_ids = []
        for process in self._processes:
            for process_id in _processes_of(process.pid):
                with suppress(OSError):
                    if Path(f"/proc/{process_id}/cmdline").read_bytes().startswith(b"ray::ScanWorker"):
                        process_ids.append(process_id)
        return process_ids

    def _start(self, *options: str, cores: int) -> subprocess.Popen[bytes]:
        ray = shutil.which("ray", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        if ray is None:
            raise RuntimeError("Ray is not installed; run \"python -m pip install -e '.[cluster]'\".")
        process = subprocess.Popen(
            [ray, "start", "--block", f"--num-cpus={cores}", f"--object-store-memory={_OBJECT_STORE_BYTES}", *options],
            env=self.environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process


@dataclass(frozen=True, slots=True)
class Difference:
    """Differences of two scans of the same photos."""

    photos: int  # in both scans
    faces: int
    missing: int  # files in one scan only
    other_content: int  # files with different hashes
    other_status: int  # files with different read errors, or with an error in one scan only
    other_faces: int  # photos with different numbers of faces
    box: float  # largest difference of a box coordinate, in pixels
    cosine: float  # smallest cosine of the embeddings of a face

    @property
    def is_same(self) -> bool:
        """Whether the scans are equal within rounding."""
        wrong = self.missing + self.other_content + self.other_status + self.other_faces
        return not wrong and self.box <= 0.01 and self.cosine >= 0.99999


def compare_scans(first_path: Path, second_path: Path) -> Difference:
    """Compare the files, statuses and faces of two scan files."""
    identity = load_engine().identity
    with ExitStack() as stack:
        paths = (first_path, second_path)
        scans = [stack.enter_context(ScanFile.open(path, identity, read_only=True)) for path in paths]
        first, second = ({photo.path: photo for photo in scan.photos()} for scan in scans)
        first_errors, second_errors = (scan.unreadable("/") for scan in scans)
    both = first.keys() & second.keys()
    comparable = [path for path in both if len(first[path].faces) == len(second[path].faces)]
    pairs = [pair for path in comparable for pair in zip(first[path].faces, second[path].faces, strict=True)]
    return Difference(
        photos=len(both),
        faces=len(pairs),
        missing=len(first.keys() ^ second.keys()),
        other_content=sum(first[path].content_hash != second[path].content_hash for path in both),
        other_status=len({path for path, _ in first_errors.items() ^ second_errors.items()}),
        other_faces=len(both) - len(comparable),
        box=largest_box_difference(pairs),
        cosine=min(embedding_similarities(pairs), default=1.0),
    )


def _free_port() -> int:
    with socket.socket() as free_socket:
        free_socket.bind(("127.0.0.1", 0))
        return int(free_socket.getsockname()[1])


def _processes_of(session: int) -> list[int]:
    """Return the processes of a session; each node has its own session."""
    process_ids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if os.getsid(int(entry.name)) == session:
                    process_ids.append(int(entry.name))
    return process_ids


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
