"""Embedders, which turn aligned faces into L2-normalized embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebank.errors import ManifestError
from facebank.packs import session_device
from facebank.storage.arrays import normalized
from facebank.vision.network import check_input, network_input, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import EmbedderSpec, Session
    from facebank.types import FloatArray

# On a CPU, one face at a time is fastest, and larger batches make the last bits depend on the number of threads.
_CPU_BATCH_SIZE, _GPU_BATCH_SIZE = 1, 32


class Embedder(Protocol):
    """Embeds aligned faces.

    Every embedder passes ``tests/vision/test_embedder_contract.py``.
    """

    @property
    def dimension(self) -> int:
        """Dimension of an embedding."""
        ...

    @property
    def size(self) -> int:
        """Side of the crops in pixels."""
        ...

    @property
    def template(self) -> str:
        """Alignment of the crops: ``arcface`` or ``facenet``."""
        ...

    @property
    def batch_size(self) -> int:
        """Number of crops in the fastest batch."""
        ...

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        """Return the embeddings of aligned faces.

        Parameters
        ----------
        crops
            RGB ``uint8`` of shape ``(n, size, size, 3)``; n may be 0.

        Returns
        -------
        FloatArray
            L2-normalized ``float32`` of shape ``(n, dimension)``.
        """
        ...


class NetworkEmbedder:
    """An embedder that runs a network according to its manifest.

    Parameters
    ----------
    session
        The network, with a free batch axis.
    spec
        Preprocessing from the pack's manifest.

    Raises
    ------
    ManifestError
        The network's input or output differs from the manifest.
    """

    def __init__(self, session: Session, spec: EmbedderSpec) -> None:
        self._session = session
        self._spec = spec
        self.dimension, self.size, self.template = spec.dimension, spec.size, spec.template
        self.batch_size = _GPU_BATCH_SIZE if session_device(session) == "cuda" else _CPU_BATCH_SIZE
        self._center = np.array(spec.center or 0.0, dtype=np.float32)
        check_input(session, spec.file, name=spec.input, size=spec.size)
        shape = session.get_outputs()[0].shape
        dimension = shape[-1] if shape else 1
        if isinstance(dimension, int) and dimension != spec.dimension:
            raise ManifestError(
                f"{spec.file} returns embeddings of {dimension} numbers, but pack.toml states {spec.dimension}: "
                "correct the embedder's dimension"
            )

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        """Return the embeddings of aligned faces; see `Embedder.embed`.

        Raises `PackError` if the network cannot be run.
        """
        starts = range(0, len(crops), self.batch_size)
        batches = [self._embed_batch(crops[start : start + self.batch_size]) for start in starts]
        return np.concatenate(batches) if batches else np.empty((0, self.dimension), dtype=np.float32)

    def _embed_batch(self, crops: NDArray[np.uint8]) -> FloatArray:
        embeddings = normalized(self._run(crops))
        if self._spec.flip:
            embeddings = normalized(embeddings + normalized(self._run(crops[:, :, ::-1])))
        return normalized(embeddings - self._center) if self._spec.center else embeddings

    def _run(self, crops: NDArray[np.uint8]) -> FloatArray:
        if self._spec.normalization == "per_image":
            tensor = standardize(network_input(crops, self._spec))
        else:
            tensor = network_input(crops, self._spec)
        return run(self._session, tensor)[0].reshape(len(crops), -1)


def standardize(images: FloatArray) -> FloatArray:
    """Return ``float32`` images ``(n, 3, height, width)`` scaled to mean 0 and standard deviation 1 each, for FaceNet.

    As in TensorFlow's ``per_image_standardization``, the divisor is at least ``1 / sqrt(number of values)``, which
    avoids a division by zero for an image of a single color.
    """
    axes = (1, 2, 3)
    min_deviation = 1 / np.sqrt(images[0].size) if len(images) else 1.0
    deviations = np.maximum(images.std(axis=axes, keepdims=True), min_deviation)
    return np.asarray((images - images.mean(axis=axes, keepdims=True)) / deviations, dtype=np.float32)
