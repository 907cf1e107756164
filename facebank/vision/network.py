"""Pictures into network inputs, and networks run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from facebank.faces import FloatArray


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
    """
    name = session.get_inputs()[0].name
    results: list[FloatArray] = session.run(outputs, {name: tensor})
    return results
