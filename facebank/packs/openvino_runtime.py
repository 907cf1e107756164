"""Networks run by OpenVINO, which computes some of them faster than ONNX Runtime on the same processor."""

from __future__ import annotations

import sys
from collections import deque
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebank.errors import MissingDependencyError, PackIntegrityError, was_interrupted
from facebank.packs.runtime import Port, check_model, named, note_session, usable_cores
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from facebank.types import FloatArray

_INSTALL = "OpenVINO is not installed: python -m pip install 'facebank[openvino]', or use --runtime onnxruntime"


def has_openvino() -> bool:
    """Return whether OpenVINO is installed; it is not imported."""
    try:
        return bool(version("openvino"))  # a folder of that name could be imported, too
    except PackageNotFoundError:
        return False


def load_openvino() -> ModuleType:
    """Return the module of OpenVINO; MissingDependencyError if it is missing or cannot be imported."""
    import numpy  # noqa: F401 - if Ctrl-C came while the runtime imports it, the runtime would seem broken

    # OpenVINO brings a library that tells its makers of its use, and works without it.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None forbids an import
    try:
        import openvino
    except ImportError as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        if error.name == "openvino":
            raise MissingDependencyError(_INSTALL) from error
        raise MissingDependencyError(
            f"the installed OpenVINO cannot be imported ({printable(str(error))}): "
            "python -m pip install --force-reinstall openvino, or use --runtime onnxruntime"
        ) from error
    module: ModuleType = openvino
    return module


class OpenVinoSession:
    """A network that OpenVINO runs on the CPU, used as a session of ONNX Runtime is; several threads may run it.

    Raises `MissingDependencyError` (OpenVINO is not installed) or `PackIntegrityError` (it cannot load the network).

    Parameters
    ----------
    model
        An ONNX file, or its content.
    threads
        Threads of one run; None for `usable_cores`. As many runs go on at once as there are cores for.
    """

    def __init__(self, model: Path | bytes, threads: int | None = None) -> None:
        check_model(model)  # what is no ONNX, OpenVINO would read as TensorFlow's or others' files
        openvino = load_openvino()
        cores = usable_cores()
        at_once = max(1, cores // (threads or cores))
        core = openvino.Core()
        try:
            network = core.read_model(model=model if isinstance(model, bytes) else str(model))
            self._compiled: Any = core.compile_model(
                network,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "f32",
                    "INFERENCE_NUM_THREADS": at_once * (threads or cores),
                    "NUM_STREAMS": at_once,
                    "ENABLE_CPU_PINNING": False,  # other threads of this process use the cores too
                },
            )
        except Exception as error:
            reason = printable(next(iter(str(error).strip().splitlines()), type(error).__name__))
            raise PackIntegrityError(
                f"{named(model)} is no network that OpenVINO {openvino.__version__} can run ({reason}): "
                "use --runtime onnxruntime"
            ) from error
        self._inputs = [_port(each) for each in network.inputs]  # the compiled network may have other names
        self._outputs = [_port(each) for each in network.outputs]
        self._idle: deque[Any] = deque()  # requests that nobody uses: each can do one run at a time
        note_session(self)

    def get_inputs(self) -> Sequence[Port]:
        """Return the inputs."""
        return self._inputs

    def get_outputs(self) -> Sequence[Port]:
        """Return the outputs."""
        return self._outputs

    def get_providers(self) -> list[str]:
        """Return what computes the network."""
        return ["OpenVINO"]

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Run the network; returns the named outputs, in order, or all: ``float32``, each the caller's own."""
        names = [port.name for port in self._outputs]
        wanted = range(len(names)) if outputs is None else [names.index(name) for name in outputs]
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            request.infer(dict(feeds), share_inputs=True)
            return [request.get_output_tensor(place).data.copy() for place in wanted]
        finally:
            self._idle.append(request)


def _port(found: Any) -> Port:
    shape = [side.get_length() if side.is_static else None for side in found.get_partial_shape()]
    return Port(found.get_any_name(), shape)
