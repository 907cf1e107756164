"""Preprocessing of network inputs, and runs of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import ManifestError, PackError
from facebank.packs import check_not_forked
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.packs import DetectorSpec, EmbedderSpec, Session
    from facebank.types import FloatArray


def network_input(images: NDArray[np.uint8], spec: DetectorSpec | EmbedderSpec) -> FloatArray:
    """Return a network's input for RGB ``uint8`` ``(n, h, w, 3)``: contiguous ``float32`` of shape ``(n, 3, h, w)``.

    `spec` has the mean, scale and color order.
    """
    count, height, width, channels = images.shape
    planes = np.empty((count, channels, height, width), dtype=np.float32)
    for plane in range(channels):  # plane by plane takes half the time of a transposition
        planes[:, plane] = images[..., plane if spec.color == "RGB" else channels - 1 - plane]
    if any(spec.mean):
        planes -= np.asarray(spec.mean, dtype=np.float32).reshape(1, 3, 1, 1)
    if any(factor != 1 for factor in spec.scale):
        planes *= np.asarray(spec.scale, dtype=np.float32).reshape(1, 3, 1, 1)
    return planes


def run(session: Session, tensor: FloatArray, outputs: Sequence[str] | None = None) -> list[FloatArray]:
    """Return the named outputs of a network with one input, in order, or all outputs.

    Raises
    ------
    PackError
        The network cannot run on this input.
    DeviceError
        The network was loaded by a process from which this one was forked.
    """
    check_not_forked(session)
    name = session.get_inputs()[0].name
    try:
        results: list[FloatArray] = session.run(outputs, {name: tensor})
    except Exception as error:
        reason = printable(next(iter(str(error).splitlines()), type(error).__name__))
        raise PackError(f"a network of the pack cannot be run as pack.toml describes it ({reason})") from error
    return results


def check_input(session: Session, file: str, *, name: str | None = None, size: int | None = None) -> None:
    """Raise `ManifestError` unless a network has one input of the given name and size (None: any name, free size).

    `file` is the network's file name, for the message.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1 or (name is not None and inputs[0].name != name):
        names = ", ".join(printable(port.name) for port in inputs)
        raise ManifestError(f"{file} has the inputs {names}, but pack.toml states {name or 'one'}: correct pack.toml")
    shape = inputs[0].shape
    fixed = [side for side in shape[2:] if isinstance(side, int)]
    if len(shape) != 4 or shape[1] != 3 or any(side != size for side in fixed):
        expected = f"images of {size} x {size} pixels" if size else "images of any size (prepare = true may free it)"
        raise ManifestError(f"{file} has an input of shape {shape}, but pack.toml needs {expected}: correct pack.toml")
