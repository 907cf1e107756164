"""Pictures into network inputs, and networks run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebank.errors import ManifestError, PackError
from facebank.packs.runtime import require_own
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from facebank.types import FloatArray


class Preprocessing(Protocol):
    """How a network wants its pictures; `DetectorSpec` and `EmbedderSpec` of a manifest both say it."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Subtracted first, per channel in the network's colour order."""
        ...

    @property
    def scale(self) -> tuple[float, float, float]:
        """Multiplied with then."""
        ...

    @property
    def colour(self) -> str:
        """``RGB`` or ``BGR``."""
        ...


def network_input(pictures: NDArray[np.uint8], wanted: Preprocessing) -> FloatArray:
    """Turn RGB pictures into the tensor that a network wants.

    Parameters
    ----------
    pictures
        RGB ``uint8`` of shape ``(n, height, width, 3)``.
    wanted
        Mean, scale and colour order.

    Returns
    -------
    FloatArray
        Contiguous ``float32`` of shape ``(n, 3, height, width)``.
    """
    ordered = pictures if wanted.colour == "RGB" else pictures[..., ::-1]
    planes = np.ascontiguousarray(ordered.transpose(0, 3, 1, 2), dtype=np.float32)
    if any(wanted.mean):
        planes -= np.asarray(wanted.mean, dtype=np.float32).reshape(1, 3, 1, 1)
    if any(factor != 1 for factor in wanted.scale):
        planes *= np.asarray(wanted.scale, dtype=np.float32).reshape(1, 3, 1, 1)
    return planes


def run(session: InferenceSession, tensor: FloatArray, outputs: Sequence[str] | None = None) -> list[FloatArray]:
    """Run a network with one input.

    Parameters
    ----------
    session
        The network.
    tensor
        Its input.
    outputs
        Names of the outputs wanted, in order; None for all.

    Returns
    -------
    list[FloatArray]
        The outputs.

    Raises
    ------
    PackError
        The network cannot take this input.
    DeviceError
        Another process loaded it, from which this one was forked.
    """
    require_own(session)
    name = session.get_inputs()[0].name
    try:
        results: list[FloatArray] = session.run(outputs, {name: tensor})
    except Exception as error:
        reason = printable(next(iter(str(error).splitlines()), type(error).__name__))
        raise PackError(f"a network of the pack cannot be run as pack.toml describes it ({reason})") from error
    return results


def check_input(session: InferenceSession, file: str, *, name: str | None = None, size: int | None = None) -> None:
    """Refuse a network whose input is not what the manifest says.

    Parameters
    ----------
    session
        The network.
    file
        Its file's name, for the message.
    name
        What its input must be called; None for any name.
    size
        Height and width that it must take; None for any.

    Raises
    ------
    ManifestError
        It has several inputs, another name, not three planes, or another or a fixed size.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1 or (name is not None and inputs[0].name != name):
        found = ", ".join(printable(each.name) for each in inputs)
        raise ManifestError(f"{file} has the inputs {found}, pack.toml says {name or 'one'}: correct pack.toml")
    shape = inputs[0].shape
    fixed = [side for side in shape[2:] if isinstance(side, int)]
    if len(shape) != 4 or shape[1] != 3 or any(side != size for side in fixed):
        wanted = f"pictures of {size} x {size} pixels" if size else "pictures of any size (prepare = true may free it)"
        raise ManifestError(f"{file} takes {shape}, but pack.toml wants {wanted}: correct pack.toml")
