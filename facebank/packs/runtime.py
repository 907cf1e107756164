"""ONNX Runtime sessions on the device that was asked for, without its log messages."""

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
from facebank.storage.text import printable

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
    "this process was forked from one that used CUDA, which cannot be used in both: start processes with "
    "multiprocessing's 'spawn'"
)
_PLACES = {_CUDA: "cuda", _CPU: "cpu"}
_FATAL_ONLY = 4
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",  # the default tries every algorithm again for each new size of photo
    "use_tf32": "0",  # embeddings made on a GPU must compare with those made on a CPU
}
_MEND = "run 'facebank doctor' to see why, or use --device cpu"


class Port(NamedTuple):
    """An input or output of a network: its name, and its sides, of which a free one is no number."""

    name: str
    shape: Sequence[int | str | None]


class Session(Protocol):
    """A loaded network; what ONNX Runtime's own sessions offer, and every other runtime's must.

    Every runtime passes ``tests/packs/test_runtime_contract.py``. Several threads may run one session.
    """

    def get_inputs(self) -> Sequence[Port]:
        """Return the inputs."""
        ...

    def get_outputs(self) -> Sequence[Port]:
        """Return the outputs."""
        ...

    def get_providers(self) -> Sequence[str]:
        """Return what computes the network, first the one that is preferred."""
        ...

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Run the network with inputs by name; returns the named outputs, in order, or all."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceTrial:
    """The result of running a small network on the device that was asked for."""

    asked: str
    # where its nodes were computed: ``cpu``, ``cuda`` or the name of another execution provider; empty for nowhere
    ran_on: frozenset[str]
    problem: str | None  # why it did not run on the device (for ``auto``: on CUDA), in one sentence; None if it did


def open_session(model: Path | bytes, device: str = "auto", threads: int | None = None) -> InferenceSession:
    """Load a network.

    Raises `UsageError` (there is no such device), `MissingDependencyError` (no runtime is installed, or a broken one;
    the message names the extra), `DeviceError` (CUDA was asked for and cannot run the network) or `PackIntegrityError`
    (the runtime cannot load the file, or it keeps weights in another file).

    Parameters
    ----------
    model
        An ONNX file, or its content.
    device
        ``cpu``; ``cuda``, which never falls back to the CPU; ``auto``: CUDA if it works, else the CPU.
    threads
        Threads of one network on the CPU; None for `usable_cores`.
    """
    check_device(device)
    options = _options(threads)
    check_model(model)
    return _open(model, device, options)


def check_model(model: Path | bytes) -> None:
    """Check a network before any runtime reads it, as `facebank.packs.network_file.check_network` does."""
    if isinstance(model, bytes):
        check_network_bytes(model, named(model))
    else:
        check_network(model)


def named(model: Path | bytes) -> str:
    """Return a network's name for messages."""
    return "the prepared network" if isinstance(model, bytes) else printable(str(model))


def note_session(session: Session) -> None:
    """Remember an open session, which cannot be used in a process forked from this one."""
    _sessions.add(session)


def require_own(session: Session) -> None:
    """Raise DeviceError for a session opened before this process was forked, which would wait forever for threads."""
    if id(session) in _inherited:
        raise DeviceError(
            "the networks were loaded before this process was forked and cannot run here: load them anew, or start "
            "processes with multiprocessing's 'spawn'"
        )


def where_it_runs(session: Session) -> Device:
    """Return where a session really runs its network."""
    return "cuda" if _CUDA in session.get_providers() else "cpu"


def try_device(device: str = "auto") -> DeviceTrial:
    """Run a small network on a device with the runtime's profiler, and return where it really ran.

    Raises UsageError for an unknown device, MissingDependencyError without a usable runtime.
    """
    check_device(device)
    options = _options(threads=1)
    trouble = cuda_trouble() if device != "cpu" else None
    if device == "cuda" and trouble is not None:
        return DeviceTrial(device, frozenset(), trouble)
    network = _trial_network()
    try:
        with tempfile.TemporaryDirectory(prefix="facebank-trial-") as scratch:
            ran_on = _profiled_trial(network, device, options, Path(scratch))
    except Exception as error:  # noqa: BLE001 - the user must know of any error
        return DeviceTrial(device, frozenset(), _trial_problem(error))
    return DeviceTrial(device, ran_on, trouble)


@cache
def cuda_trouble() -> str | None:
    """Return why CUDA cannot be used here; None if it can: every node of a small network has run there."""
    onnxruntime = load_runtime()
    if _CUDA not in onnxruntime.get_available_providers():
        return "the installed ONNX runtime has no CUDA, which needs the extra 'facebank[gpu]'"
    _load_cuda_libraries()
    options = _options(threads=1)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    providers = [(_CUDA, _CUDA_OPTIONS)]
    try:
        _run_trial(onnxruntime.InferenceSession(_trial_network(), options, providers=providers, enable_fallback=0))
    except Exception as error:  # noqa: BLE001 - the user must know of any error
        return _trial_problem(error)
    return None


def usable_cores() -> int:
    """Return how many cores this process may use, at least 1: by affinity mask and a Linux container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return min(cores, _quota(_QUOTA.read_text("ascii")) or cores)
    except (OSError, ValueError):
        return cores


def load_runtime() -> ModuleType:
    """Return the module of ONNX Runtime; MissingDependencyError says what to do if it is missing or incomplete."""
    import numpy  # noqa: F401 - if Ctrl-C came while the runtime imports it, the runtime would seem broken

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
    # for releases without ORT_DISABLE_TELEMETRY, and for a runtime that was imported before facebank
    runtime.disable_telemetry_events()
    return runtime


def _broken_runtime() -> MissingDependencyError:
    return MissingDependencyError(
        "the installed ONNX runtime is incomplete, as happens when one of onnxruntime and onnxruntime-gpu is removed: "
        "run 'facebank doctor' for the command that mends it"
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
    note_session(session)
    return session


def _cpu_session(model: Path | bytes, options: SessionOptions) -> InferenceSession:
    onnxruntime = load_runtime()
    # Repacked weights make no network measurably faster, but SFace 20 to 50 ms slower to open.
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return onnxruntime.InferenceSession(_loadable(model), options, providers=[_CPU], enable_fallback=0)
    except Exception as error:
        raise PackIntegrityError(
            f"{named(model)} is no network that ONNX Runtime {onnxruntime.__version__} can run "
            f"({_first_line(error)}): install the pack again"
        ) from error


def _cuda_session(model: Path | bytes, options: SessionOptions) -> InferenceSession:
    trouble = _FORKED_CUDA if _cuda_is_lost else cuda_trouble()
    if trouble is not None:
        raise DeviceError(f"CUDA cannot be used: {trouble}; {_MEND}")
    onnxruntime = load_runtime()
    providers = [(_CUDA, _CUDA_OPTIONS), _CPU]
    try:
        session = onnxruntime.InferenceSession(_loadable(model), options, providers=providers, enable_fallback=0)
    except Exception as error:
        raise DeviceError(f"CUDA cannot run {named(model)} ({_first_line(error)}): {_MEND}") from error
    if where_it_runs(session) != "cuda":
        raise DeviceError(f"CUDA was asked for, but {named(model)} landed on the CPU: {_MEND}")
    return session


def _loadable(model: Path | bytes) -> str | bytes:
    return model if isinstance(model, bytes) else str(model)


def _profiled_trial(network: bytes, device: str, options: SessionOptions, scratch: Path) -> frozenset[str]:
    """Open and run the trial's network as any other, and return what computed its nodes."""
    model = scratch / "small.onnx"
    model.write_bytes(network)
    options.enable_profiling = True
    options.profile_file_prefix = str(scratch / "profile")
    session = _open(model, device, options)
    _run_trial(session)
    events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    providers = {provider for event in events if (provider := event.get("args", {}).get("provider"))}
    return frozenset(_PLACES.get(provider, provider) for provider in providers)


def _run_trial(session: InferenceSession) -> None:
    """Run the trial's network; DeviceError if the answer is wrong."""
    import numpy as np

    (sums,) = session.run(None, {"pixels": np.ones((1, 3, 8, 8), np.float32)})
    if not np.allclose(sums, 3.0):
        raise DeviceError("its answer was wrong")


def _trial_problem(error: Exception) -> str:
    return f"a small network did not run ({_first_line(error)})"


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
    """Load the CUDA and cuDNN libraries of the ``gpu`` extra, whose folders the system's loader does not search."""
    preload = getattr(load_runtime(), "preload_dlls", None)
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()):
            preload()


def _options(threads: int | None) -> SessionOptions:
    options = load_runtime().SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = usable_cores() if threads is None else threads
    options.inter_op_num_threads = 1
    # Two networks take turns: idle spinning threads of one would take the cores from the other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def check_device(device: str) -> None:
    """Raise `UsageError` unless a device is ``auto``, ``cpu`` or ``cuda``."""
    if device not in DEVICES:
        raise UsageError(f"there is no device {printable(str(device))!r}: use auto, cpu or cuda")


def _quota(text: str) -> int | None:
    """Return the cores of a Linux control group's ``cpu.max``; None for ``max``."""
    allowed, period = text.split()
    return None if allowed == "max" else max(1, math.ceil(int(allowed) / int(period)))


def _first_line(error: Exception) -> str:
    return printable(next(iter(str(error).strip().splitlines()), type(error).__name__))


_sessions: WeakSet[Session] = WeakSet()
_inherited: set[int] = set()
_cuda_is_lost = False


def _leave_inherited() -> None:
    """Keep the sessions of the parent process from being freed, which would wait for their threads."""
    global _cuda_is_lost  # noqa: PLW0603
    for session in list(_sessions):
        keep_alive(session)  # so that its id stays unique
        _inherited.add(id(session))
        _cuda_is_lost = _cuda_is_lost or where_it_runs(session) == "cuda"
    _sessions.clear()


at_fork(in_child=_leave_inherited)
