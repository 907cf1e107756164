"""Sessions of ONNX Runtime on a chosen device."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias
from weakref import WeakSet

from facebank.errors import DeviceError, MissingDependencyError, PackIntegrityError, UsageError, was_interrupted
from facebank.packs.network_file import check_network, check_network_bytes
from facebank.storage.concurrency import at_fork, keep_alive
from facebank.storage.text import error_line, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from onnxruntime import InferenceSession, SessionOptions

    from facebank.types import FloatArray

Device: TypeAlias = Literal["cpu", "cuda"]

DEVICES = ("auto", "cpu", "cuda")

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_FORKED_CUDA = (
    "this process was forked from one that used CUDA, which works only in the first: start processes with "
    "multiprocessing's 'spawn'"
)
_DEVICE_NAMES = {_CUDA: "cuda", _CPU: "cpu"}
_FATAL_ONLY = 4
_QUOTA_PATH = Path("/sys/fs/cgroup/cpu.max")
_CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",  # the default tries all algorithms for each new size of photo
    "use_tf32": "0",  # embeddings from a GPU must be comparable with those from a CPU
}
_REMEDY = "run 'facebank doctor' to see why, or use --device cpu"


class Port(NamedTuple):
    """Name and shape of an input or output of a network; a free axis is a name or None."""

    name: str
    shape: Sequence[int | str | None]


class Session(Protocol):
    """A loaded network: the subset of ONNX Runtime's interface that all runtimes implement. Thread-safe.

    Every runtime passes ``tests/packs/test_runtime_contract.py``.
    """

    def get_inputs(self) -> Sequence[Port]:
        """Return the names and shapes of the inputs."""
        ...

    def get_outputs(self) -> Sequence[Port]:
        """Return the names and shapes of the outputs."""
        ...

    def get_providers(self) -> Sequence[str]:
        """Return the names of the execution providers, the preferred one first."""
        ...

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Return the named outputs for inputs by name, in order, or all outputs."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceTrial:
    """Result of running a small network on a device."""

    device: str  # the requested device: ``auto``, ``cpu`` or ``cuda``
    # where its nodes ran: ``cpu``, ``cuda`` or the name of another execution provider; empty if it failed
    ran_on: frozenset[str]
    problem: str | None  # why it did not run on the device (for ``auto``: on CUDA), one sentence; None if it did


def open_session(model: Path | bytes, device: str = "auto", threads: int | None = None) -> InferenceSession:
    """Return a session with a network.

    Parameters
    ----------
    model
        An ONNX file, or its content.
    device
        ``cpu``; ``cuda``, without a fallback to the CPU; or ``auto``: CUDA if it works, else the CPU.
    threads
        Threads of one network on the CPU; None for `usable_cores`.

    Raises
    ------
    UsageError
        The device is unknown.
    MissingDependencyError
        No runtime is installed, or a broken one.
    DeviceError
        CUDA was requested and cannot run the network.
    PackIntegrityError
        The runtime cannot load the file, or the file refers to weights in another file.
    """
    check_device(device)
    options = _options(threads)
    check_model(model)
    return _open(model, device, options)


def check_model(model: Path | bytes) -> None:
    """Check a network before a runtime reads it: see `facebank.packs.network_file.check_network`."""
    if isinstance(model, bytes):
        check_network_bytes(model, model_label(model))
    else:
        check_network(model)


def model_label(model: Path | bytes) -> str:
    """Return a network's name for messages."""
    return "the prepared network" if isinstance(model, bytes) else printable(str(model))


def register_session(session: Session) -> None:
    """Register an open session, which cannot be used in a process forked from this one."""
    _sessions.add(session)


def check_not_forked(session: Session) -> None:
    """Raise `DeviceError` for a session opened before this process was forked, which would deadlock."""
    if id(session) in _inherited:
        raise DeviceError(
            "the networks were loaded before this process was forked and cannot run here: load them again, or start "
            "processes with multiprocessing's 'spawn'"
        )


def session_device(session: Session) -> Device:
    """Return the device on which a session runs its network."""
    return "cuda" if _CUDA in session.get_providers() else "cpu"


def try_device(device: str = "auto") -> DeviceTrial:
    """Return where a small network ran on a device, as recorded by the runtime's profiler.

    Raises `UsageError` for an unknown device, and `MissingDependencyError` without a usable runtime.
    """
    check_device(device)
    options = _options(threads=1)
    problem = cuda_problem() if device != "cpu" else None
    if device == "cuda" and problem is not None:
        return DeviceTrial(device, frozenset(), problem)
    network = _trial_network()
    try:
        with tempfile.TemporaryDirectory(prefix="facebank-trial-") as scratch:
            ran_on = _profiled_trial(network, device, options, Path(scratch))
    except Exception as error:  # noqa: BLE001 - any error is the result of the trial
        return DeviceTrial(device, frozenset(), _trial_problem(error))
    return DeviceTrial(device, ran_on, problem)


@cache
def cuda_problem() -> str | None:
    """Return why CUDA cannot be used; None if it has run all nodes of a small network."""
    onnxruntime = load_runtime()
    if _CUDA not in onnxruntime.get_available_providers():
        return "the installed ONNX runtime has no CUDA, which needs the extra 'facebank[gpu]'"
    _load_cuda_libraries()
    options = _options(threads=1)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    providers = [(_CUDA, _CUDA_OPTIONS)]
    try:
        _run_trial(onnxruntime.InferenceSession(_trial_network(), options, providers=providers, enable_fallback=0))
    except Exception as error:  # noqa: BLE001 - any error is the result of the trial
        return _trial_problem(error)
    return None


def usable_cores() -> int:
    """Return the number of cores that this process may use, by CPU affinity and a Linux container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return min(cores, quota_cores(_QUOTA_PATH.read_text("ascii")) or cores)
    except (OSError, ValueError):
        return cores


def load_runtime() -> ModuleType:
    """Return the module of ONNX Runtime; raises `MissingDependencyError` if it is missing or incomplete."""
    import numpy  # noqa: F401 - an interruption of this import within the runtime's would look like a broken runtime

    try:
        import onnxruntime
    except ImportError as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        if error.name == "onnxruntime":
            raise MissingDependencyError(
                "no ONNX runtime is installed: python -m pip install 'facebank[cpu]', "
                "or 'facebank[gpu]' for an NVIDIA GPU"
            ) from error
        raise _broken_runtime() from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise _broken_runtime()
    runtime: ModuleType = onnxruntime
    # for releases without ORT_DISABLE_TELEMETRY, and for a runtime imported before facebank
    runtime.disable_telemetry_events()
    return runtime


def _broken_runtime() -> MissingDependencyError:
    return MissingDependencyError(
        "the installed ONNX Runtime is incomplete, for example because onnxruntime or onnxruntime-gpu was uninstalled: "
        "run 'facebank doctor' for the command that repairs it"
    )


def _open(model: Path | bytes, device: str, options: SessionOptions) -> InferenceSession:
    session = None
    if device != "cpu":
        try:
            session = _cuda_session(model, options)
        except DeviceError:
            if device == "cuda":
                raise
    session = session or _cpu_session(model, options)
    register_session(session)
    return session


def _cpu_session(model: Path | bytes, options: SessionOptions) -> InferenceSession:
    onnxruntime = load_runtime()
    # Prepacking weights delays the start, and does not make the networks measurably faster.
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return onnxruntime.InferenceSession(_loadable(model), options, providers=[_CPU], enable_fallback=0)
    except Exception as error:
        raise PackIntegrityError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run {model_label(model)} ({error_line(error)}): "
            "install the pack again"
        ) from error


def _cuda_session(model: Path | bytes, options: SessionOptions) -> InferenceSession:
    problem = _FORKED_CUDA if _cuda_is_lost else cuda_problem()
    if problem is not None:
        raise DeviceError(f"CUDA cannot be used: {problem}; {_REMEDY}")
    onnxruntime = load_runtime()
    providers = [(_CUDA, _CUDA_OPTIONS), _CPU]
    try:
        session = onnxruntime.InferenceSession(_loadable(model), options, providers=providers, enable_fallback=0)
    except Exception as error:
        raise DeviceError(f"CUDA cannot run {model_label(model)} ({error_line(error)}): {_REMEDY}") from error
    if session_device(session) != "cuda":
        raise DeviceError(f"CUDA was requested, but {model_label(model)} runs on the CPU: {_REMEDY}")
    return session


def _loadable(model: Path | bytes) -> str | bytes:
    return model if isinstance(model, bytes) else str(model)


def _profiled_trial(network: bytes, device: str, options: SessionOptions, scratch: Path) -> frozenset[str]:
    """Return where the nodes of the trial's network ran."""
    model = scratch / "small.onnx"
    model.write_bytes(network)
    options.enable_profiling = True
    options.profile_file_prefix = str(scratch / "profile")
    session = _open(model, device, options)
    _run_trial(session)
    events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    providers = {provider for event in events if (provider := event.get("args", {}).get("provider"))}
    return frozenset(_DEVICE_NAMES.get(provider, provider) for provider in providers)


def _run_trial(session: InferenceSession) -> None:
    """Run the trial's network; raises `DeviceError` if the result is wrong."""
    import numpy as np

    (sums,) = session.run(None, {"pixels": np.ones((1, 3, 8, 8), np.float32)})
    if not np.allclose(sums, 3.0):
        raise DeviceError("its result was wrong")


def _trial_problem(error: Exception) -> str:
    return f"a small network did not run ({error_line(error)})"


def _trial_network() -> bytes:
    """Return a network that sums three channels by convolution."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Conv", ["pixels", "weights"], ["sums"])],
        "trial",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, [1, 1, 8, 8])],
        [numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "weights")],
    )
    opsets = [helper.make_opsetid("", 13)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _load_cuda_libraries() -> None:
    """Load the CUDA and cuDNN libraries of the ``gpu`` extra, which the system's loader does not find."""
    preload = getattr(load_runtime(), "preload_dlls", None)
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()):
            preload()


def _options(threads: int | None) -> SessionOptions:
    options = load_runtime().SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = usable_cores() if threads is None else threads
    options.inter_op_num_threads = 1
    # Two networks take turns: idle threads of one must not spin on the cores of the other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def check_device(device: str) -> None:
    """Raise `UsageError` unless a device is ``auto``, ``cpu`` or ``cuda``."""
    if device not in DEVICES:
        raise UsageError(f"unknown device {printable(str(device))!r}: use auto, cpu or cuda")


def quota_cores(text: str) -> int | None:
    """Return the number of cores in a Linux control group's ``cpu.max``; None for ``max``."""
    allowed, period = text.split()
    return None if allowed == "max" else max(1, math.ceil(int(allowed) / int(period)))


_sessions: WeakSet[Session] = WeakSet()
_inherited: set[int] = set()
_cuda_is_lost = False


def _disown_inherited() -> None:
    """Prevent freeing the sessions of the parent process, which would wait for its threads."""
    global _cuda_is_lost  # noqa: PLW0603
    for session in list(_sessions):
        keep_alive(session)  # keeps its id unique
        _inherited.add(id(session))
        _cuda_is_lost = _cuda_is_lost or session_device(session) == "cuda"
    _sessions.clear()


at_fork(in_child=_disown_inherited)
