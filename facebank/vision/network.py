"""Inputs of networks: preprocessing, validation against the manifest, and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.errors import ManifestError, PackError
from facebank.packs import check_not_forked
from facebank.storage.text import error_line, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.packs import DetectorSpec, EmbedderSpec, Session
    from facebank.types import FloatArray


def network_input(images: NDArray[np.uint8], spec: DetectorSpec | EmbedderSpec, multiple: int = 1) -> FloatArray:
    """Return a network's input for RGB ``uint8`` ``(n, h, w, 3)``: contiguous ``float32`` of shape ``(n, 3, H, W)``.

    The images are padded with black on the right and below, to multiples of `multiple`. `spec` has the mean, scale and
    color order.
    """
    count, height, width, channels = images.shape
    padded_size = height + -height % multiple, width + -width % multiple
    planes = np.empty((count, channels, *padded_size), dtype=np.float32)
    planes[..., height:, :] = 0
    planes[..., :height, width:] = 0
    for image, image_planes in zip(images, planes[..., :height, :width], strict=True):
        colors = cv2.split(image)  # contiguous planes are converted faster than strided ones
        for plane, color in zip(image_planes, colors if spec.color == "RGB" else colors[::-1], strict=True):
            plane[:] = color
    if any(spec.mean):
        planes -= np.asarray(spec.mean, dtype=np.float32).reshape(1, 3, 1, 1)
    if any(factor != 1 for factor in spec.scale):
        planes *= np.asarray(spec.scale, dtype=np.float32).reshape(1, 3, 1, 1)
    return planes


def run(session: Session, tensor: FloatArray, outputs: Sequence[str] | None = None) -> list[FloatArray]:
    """Return the named outputs of a network with one input, in order, or all outputs: ``float32``.

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
        raise PackError(
            f"a network of the pack cannot be run as pack.toml describes it ({error_line(error)}): correct pack.toml, "
            "or use --device cpu"
        ) from error
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
