"""Choice of the runtime for a network: the requested one, or the faster one on this machine, measured once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from facebank.errors import DeviceError, MissingDependencyError, PackIntegrityError, StorageError, UsageError
from facebank.packs.network_file import PREPARATION
from facebank.packs.openvino_runtime import OpenVinoSession, has_openvino
from facebank.packs.runtime import check_device, cuda_problem, load_runtime, open_session, usable_cores
from facebank.storage.files import write_file
from facebank.storage.paths import cache_folder
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.packs.network_file import NetworkFile
    from facebank.packs.runtime import Session
    from facebank.types import FloatArray

Runtime: TypeAlias = Literal["onnxruntime", "openvino"]

RUNTIMES = ("auto", "onnxruntime", "openvino")

_ROUNDS = 5
_RUNS = 4  # runs per round and core
_MAX_RATIO = 0.95  # of the times; a smaller gain may be noise
_MIN_COSINE = 0.999999  # smallest cosine of equal outputs
_ADVICE = "set FACEBANK_CACHE to a folder that can be written"
_MAX_BYTES = 4096
_EPSILON = 1e-30


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """Measured times of a network's run on both runtimes, in milliseconds, and the smallest cosine of their outputs."""

    onnxruntime: float
    openvino: float
    cosine: float

    @property
    def runtime(self) -> Runtime:
        """The faster runtime, if the outputs of both are equal."""
        is_faster = self.openvino < _MAX_RATIO * self.onnxruntime
        return "openvino" if is_faster and self.cosine >= _MIN_COSINE else "onnxruntime"

    @property
    def title(self) -> str:
        """The display name of the runtime."""
        return {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}[self.runtime]


def check_runtime(runtime: str) -> None:
    """Raise `UsageError` unless a runtime is ``auto``, ``onnxruntime`` or ``openvino``."""
    if runtime not in RUNTIMES:
        raise UsageError(f"unknown runtime {printable(str(runtime))!r}: use auto, onnxruntime or openvino")


def open_network(
    network: NetworkFile,
    device: str = "auto",
    threads: int | None = None,
    runtime: str = "auto",
    *,
    shape: tuple[int, ...],
) -> Session:
    """Return a session with a network on a runtime.

    Raises `UsageError` (unknown device or runtime), `DeviceError` (the device cannot run it) and what `open_session`
    and `OpenVinoSession` raise.

    Parameters
    ----------
    network
        The network of a pack.
    device, threads
        As for `open_session`.
    runtime
        ``onnxruntime``; ``openvino``, for the CPU only; or ``auto``: the faster one if OpenVINO is installed, measured
        once on this machine for each network and number of threads, and cached.
    shape
        Shape of a typical input.
    """
    check_device(device)
    check_runtime(runtime)
    if runtime == "openvino":
        if device == "cuda":
            raise DeviceError("OpenVINO runs on the CPU only: use --runtime onnxruntime with --device cuda")
        return OpenVinoSession(network.load(), threads)
    is_on_cpu = device == "cpu" or (device == "auto" and cuda_problem() is not None)
    is_choosable = runtime == "auto" and is_on_cpu and has_openvino()
    choice = read_choice(network.sha256, threads) if is_choosable else None
    openvino: Session | None = None
    if is_choosable and (choice is None or choice.runtime == "openvino"):
        with contextlib.suppress(PackIntegrityError, MissingDependencyError):  # `facebank doctor` reports it
            openvino = OpenVinoSession(network.load(), threads)
    if openvino is not None and choice is not None:
        return openvino
    session: Session = _open_on_cpu(network, threads) if is_on_cpu else open_session(network.load(), device, threads)
    if openvino is None:
        return session
    choice = _measure(session, openvino, threads, shape)
    _cache_choice(network.sha256, threads, choice)
    return openvino if choice.runtime == "openvino" else session


def _open_on_cpu(network: NetworkFile, threads: int | None) -> Session:
    """Return a session of ONNX Runtime with the tuned form, or with the form for all runtimes if it rejects that."""
    session: Session
    try:
        session = open_session(network.load_tuned(), "cpu", threads)
    except PackIntegrityError:
        session = open_session(network.load(), "cpu", threads)
    return session


def read_choice(sha256: str, threads: int | None = None) -> RuntimeChoice | None:
    """Return the cached choice for a network on this machine; None if none was measured."""
    try:
        with measurement_path(sha256, threads).open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
        return RuntimeChoice(float(content["onnxruntime"]), float(content["openvino"]), float(content["cosine"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _measure(onnxruntime: Session, openvino: Session, threads: int | None, shape: tuple[int, ...]) -> RuntimeChoice:
    """Return the measured choice of two sessions, run in turns and with concurrent runs that use all cores."""
    import statistics
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    cores = usable_cores()
    concurrent = max(1, cores // (threads or cores))
    (port,) = onnxruntime.get_inputs()
    feeds = {port.name: np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)}
    names = [output.name for output in onnxruntime.get_outputs()]
    outputs = zip(onnxruntime.run(names, feeds), openvino.run(names, feeds), strict=True)
    cosines = [_cosine(*pair) for pair in outputs]
    seconds: dict[Session, list[float]] = {onnxruntime: [], openvino: []}
    with ThreadPoolExecutor(concurrent) as pool:
        for _ in range(_ROUNDS + 1):
            for session, times in seconds.items():
                started = time.perf_counter()
                futures = [pool.submit(session.run, names, feeds) for _ in range(_RUNS * concurrent)]
                for future in futures:
                    future.result()
                times.append((time.perf_counter() - started) / len(futures))
    medians = [1000 * statistics.median(times[1:]) for times in seconds.values()]  # the first round warms up
    return RuntimeChoice(round(medians[0], 3), round(medians[1], 3), min(cosines))


def _cosine(first: FloatArray, second: FloatArray) -> float:
    import numpy as np

    return float(np.vdot(first, second) / (np.linalg.norm(first) * np.linalg.norm(second) + _EPSILON))


def _cache_choice(sha256: str, threads: int | None, choice: RuntimeChoice) -> None:
    with contextlib.suppress(StorageError):  # it is measured again next time
        write_file(measurement_path(sha256, threads), json.dumps(asdict(choice)).encode(), advice=_ADVICE)


def measurement_path(sha256: str, threads: int | None) -> Path:
    """Return the path of a network's cached choice, for the processor, its cores and the versions of the runtimes."""
    from importlib.metadata import version

    cores = usable_cores()
    versions = (PREPARATION, load_runtime().__version__, version("openvino"))
    key = (sha256, threads or cores, cores, _processor(), *versions)
    return cache_folder() / "runtimes" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.json"


def _processor() -> str:
    """Return the processor's description: on Linux, its model and features."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "".join(sorted({line for line in lines if line.startswith(("model", "cpu family", "flags", "Features"))}))
