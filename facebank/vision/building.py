"""Detectors and embedders as a pack's manifest describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.packs import open_session
from facebank.vision.embedding import NetworkEmbedder
from facebank.vision.scrfd import Scrfd
from facebank.vision.yunet import YuNet

if TYPE_CHECKING:
    from facebank.packs import Pack
    from facebank.vision.detector import NetworkDetector

_DETECTORS: dict[str, type[YuNet] | type[Scrfd]] = {"yunet": YuNet, "scrfd": Scrfd}


def build_detector(pack: Pack, device: str = "auto", threads: int | None = None) -> NetworkDetector:
    """Load the detector of a pack.

    Parameters
    ----------
    pack
        A verified pack.
    device
        ``auto``, ``cpu`` or ``cuda``.
    threads
        Threads for the network on the CPU; None for as many as this process may use.

    Raises
    ------
    DeviceError
        CUDA was asked for and does not work.
    MissingDependencyError
        No runtime is installed.
    """
    spec = pack.manifest.detector
    return _DETECTORS[spec.kind](open_session(pack.detector_network(), device, threads), spec)


def build_embedder(pack: Pack, device: str = "auto", threads: int | None = None) -> NetworkEmbedder:
    """Load the embedder of a pack.

    Parameters
    ----------
    pack
        A verified pack.
    device
        ``auto``, ``cpu`` or ``cuda``.
    threads
        Threads for the network on the CPU; None for as many as this process may use.

    Raises
    ------
    DeviceError
        CUDA was asked for and does not work.
    MissingDependencyError
        No runtime is installed.
    """
    return NetworkEmbedder(open_session(pack.embedder_network(), device, threads), pack.manifest.embedder)
