"""Sessions of OpenVINO, which runs some networks faster than ONNX Runtime on the same CPU."""

from __future__ import annotations

import sys
from collections import deque
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebank.errors import MissingDependencyError, PackIntegrityError, was_interrupted
from facebank.packs.runtime import Port, check_model, model_label, register_session, usable_cores
from facebank.storage.text import error_line, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from facebank.types import FloatArray

_INSTALL = "OpenVINO is not installed: python -m pip install 'facebank[openvino]', or use --runtime onnxruntime"


def has_openvino() -> bool:
    """Return whether OpenVINO is installed, without importing it."""
    try:
        return bool(version("openvino"))  # an import would succeed for any folder of that name
    except PackageNotFoundError:
        return False


def load_openvino() -> ModuleType:
    """Return the module of OpenVINO; raises `MissingDependencyError` if it is missing or cannot be imported."""
    import numpy  # noqa: F401 - an interruption of this import within OpenVINO's would look like a broken OpenVINO

    # Disables OpenVINO's telemetry, which is optional.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None prevents an import
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
    """A session that runs a network with OpenVINO on the CPU; implements `Session` and is thread-safe.

    Raises `MissingDependencyError` (OpenVINO is not installed) or `PackIntegrityError` (it cannot load this network).

    Parameters
    ----------
    model
        An ONNX file, or its content.
    threads
        Threads of one run; None for `usable_cores`. The cores divided by it limit the number of concurrent runs.
    """

    def __init__(self, model: Path | bytes, threads: int | None = None) -> None:
        check_model(model)  # OpenVINO would also read other formats, such as TensorFlow's
        openvino = load_openvino()
        cores = usable_cores()
        streams = max(1, cores // (threads or cores))
        core = openvino.Core()
        try:
            network = core.read_model(model=model if isinstance(model, bytes) else str(model))
            self._compiled: Any = core.compile_model(
                network,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "f32",
                    "INFERENCE_NUM_THREADS": streams * (threads or cores),
                    "NUM_STREAMS": streams,
                    "ENABLE_CPU_PINNING": False,  # other threads of this process use the cores too
                },
            )
        except Exception as error:
            raise PackIntegrityError(
                f"OpenVINO {openvino.__version__} cannot run {model_label(model)} ({error_line(error)}): "
                "use --runtime onnxruntime"
            ) from error
        self._inputs = [_port(node) for node in network.inputs]  # read before compilation, which may change names
        self._outputs = [_port(node) for node in network.outputs]
        self._idle: deque[Any] = deque()  # unused requests; a request can do one run at a time
        register_session(self)

    def get_inputs(self) -> Sequence[Port]:
        """Return the names and shapes of the inputs."""
        return self._inputs

    def get_outputs(self) -> Sequence[Port]:
        """Return the names and shapes of the outputs."""
        return self._outputs

    def get_providers(self) -> list[str]:
        """Return the name of the execution provider."""
        return ["OpenVINO"]

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Return the named outputs in order, or all outputs: ``float32`` copies."""
        names = [port.name for port in self._outputs]
        indices = range(len(names)) if outputs is None else [names.index(name) for name in outputs]
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            request.infer(dict(feeds), share_inputs=True)
            return [request.get_output_tensor(index).data.copy() for index in indices]
        finally:
            self._idle.append(request)


def _port(node: Any) -> Port:
    shape = [side.get_length() if side.is_static else None for side in node.get_partial_shape()]
    return Port(node.get_any_name(), shape)
