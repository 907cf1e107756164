"""Connection to a Ray cluster at an address, or one started on this machine for a job.

Anyone who can connect to a Ray cluster can run programs on it. A cluster started here therefore requires a secret token
that is valid for the job only, and keeps its files in a folder that only this user can open. Telemetry and the
dashboard are disabled. Only this module imports Ray.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from facebank.errors import ClusterError, MissingDependencyError, UsageError, was_interrupted
from facebank.packs import usable_cores
from facebank.storage.text import printable

LOCAL = "local"
"""Address for starting a cluster on this machine."""

_MEMORY = 200 * 1024 * 1024  # bytes of Ray's object store on this machine, for a pack and data in transfer
_CONNECT_TIMEOUT = 5.0  # seconds for a connection
_PROBE_TIMEOUT = 20.0  # seconds for an answer, including the import of Ray
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):(?P<port>[0-9]{1,5})", re.ASCII)
_USER = re.compile(r"(?<=://).*@|^(?!\w+://).*@", re.DOTALL)
_MAX_FOLDER = 20  # characters of the temporary folder: paths of Ray's sockets may have 107 bytes
_TELEMETRY_OFF = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_METRICS_COLLECTION": "0"}
_PROBE = """
import json, sys
import ray
from ray._raylet import GcsClient
metadata = GcsClient(address=sys.argv[1]).internal_kv_get(b"CLUSTER_METADATA", b"cluster")
print(json.dumps({"metadata": json.loads(metadata or b"{}"), "ray": ray.__version__}))
"""


def load_ray() -> Any:
    """Return the module ``ray`` with telemetry disabled; raises `MissingDependencyError` if it is not installed."""
    for name, value in _TELEMETRY_OFF.items():
        os.environ.setdefault(name, value)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        raise MissingDependencyError(
            "scanning on many machines needs the package ray; run: python -m pip install 'facebank[cluster]'"
        ) from error
    return ray


@contextmanager
def ray_cluster(address: str) -> Iterator[RayCluster]:
    """Yield a connected cluster, started on this machine for `LOCAL`; disconnect and clean up after the block.

    Raises `UsageError` (invalid address), `MissingDependencyError` or `ClusterError` (no answer, another version of
    Ray, or this machine is not part of the cluster).
    """
    if address != LOCAL:
        check_address(address)
        _require_answer(address)
    elif "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        # Ray reads these on its import, once per process
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    ray = load_ray()
    if ray.is_initialized():
        raise UsageError("this process is already connected to Ray: call ray.shutdown() first")
    folder = Path(tempfile.mkdtemp(prefix="fb-", dir=_short_folder())) if address == LOCAL else None
    try:
        with _silence_ray():
            connect_ray(ray, address, folder)
            yield RayCluster(ray, address if address != LOCAL else None)
    finally:
        with suppress(Exception):
            ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


class RayCluster:
    """A connected Ray cluster.

    Parameters
    ----------
    ray
        The module ``ray``.
    address
        Address of its head; None for a cluster started here.
    """

    def __init__(self, ray: Any, address: str | None) -> None:
        self.ray = ray
        self._address = address

    def cores(self) -> int:
        """Return the number of CPU cores that its machines offer now."""
        return sum(int(node["Resources"].get("CPU", 0)) for node in self.ray.nodes() if node["Alive"])

    def require_head(self) -> None:
        """Raise `ClusterError` if the cluster's head no longer answers."""
        if self._address is not None and not _is_open(self._address):
            raise ClusterError(
                f"the head of the Ray cluster at {self._address} no longer answers: start it again, and run the same "
                "command, which continues from the finished shards"
            )


def check_address(address: str) -> None:
    """Raise `UsageError` unless an address is ``local`` or ``HOST:PORT``."""
    if address == LOCAL:
        return
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise UsageError(
            f"{_redact(address)} is not the address of a Ray cluster, HOST:PORT, or {LOCAL} for this machine: "
            "use the address that 'ray start --head' printed"
        )


def _redact(address: str) -> str:
    """Return an address for messages, without what may be a token or password."""
    return printable(_USER.sub("…@", address)[:80])


def connect_ray(ray: Any, address: str, folder: Path | None) -> None:
    """Start Ray on this machine with its files in a folder, or connect to an address; raises `ClusterError`."""
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    try:
        if folder is not None:
            ray.init(
                address=LOCAL,
                num_cpus=usable_cores(),
                object_store_memory=_MEMORY,
                include_dashboard=False,
                _temp_dir=str(folder / "r"),
                **common,
            )
        else:
            ray.init(address=address, **common)
    except Exception as error:  # Ray raises a bare Exception if a node does not start in time
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        location = "on this machine" if folder is not None else f"at {address}"
        raise ClusterError(f"Ray {location} cannot be used: {_collapse(error)}") from error


def _require_answer(address: str) -> None:
    """Raise `ClusterError` unless Ray of this version answers at the address; ``ray.init`` would wait a minute."""
    if not _is_open(address):
        raise ClusterError(
            f"nothing listens at {address}: start Ray there with 'ray start --head', or check host, port and firewall"
        )
    load_ray()
    try:
        answer = subprocess.run(  # noqa: S603 - our own Python, and an address that was checked
            [sys.executable, "-c", _PROBE, address],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"the server at {address} does not answer like Ray: use the address printed by 'ray start --head'"
        ) from error
    cluster_version = re.search(r'"ray_version": "([^"]{1,40})"', answer.stdout)
    local_version = re.search(r'"ray": "([^"]{1,40})"', answer.stdout)
    if "InvalidAuthToken" in answer.stderr:
        raise ClusterError(
            f"the Ray cluster at {address} requires its token: set RAY_AUTH_MODE=token, and put the token of its head "
            "into ~/.ray/auth_token or RAY_AUTH_TOKEN"
        )
    if cluster_version is None or local_version is None:
        lines = answer.stderr.strip().splitlines() or ["no answer"]
        raise ClusterError(
            f"the Ray cluster at {address} does not answer: {printable(lines[-1])[:200]}; start its head again"
        )
    if cluster_version[1] != local_version[1]:
        raise ClusterError(
            f"the Ray cluster at {address} has version {cluster_version[1]}, but this machine has Ray "
            f"{local_version[1]}: install the same version on all machines"
        )


def _is_open(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT).close()
    except OSError:
        return False
    return True


def _collapse(error: BaseException) -> str:
    """Return the message of a Ray error in one line."""
    return printable(" ".join(str(error).split()))[:400]


def _short_folder() -> str | None:
    """Return a temporary folder with a short path, for Ray's sockets; None for the default one."""
    return None if len(tempfile.gettempdir()) <= _MAX_FOLDER else "/tmp"  # noqa: S108 - for a new folder inside


@contextmanager
def _silence_ray() -> Iterator[None]:
    """Keep Ray from writing to the terminal, because facebank reports these events."""
    worker: Any = importlib.import_module("ray._private.worker")
    printer, logger = getattr(worker, "print_to_stdstream", None), logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    if printer is not None:
        worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        logger.setLevel(level)
        if printer is not None:
            worker.print_to_stdstream = printer
