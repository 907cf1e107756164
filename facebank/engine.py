"""What turns photos into comparable faces: a pack's networks, loaded, with their thresholds and identity."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from facebank.calibrations import Knowledge, find_knowledge
from facebank.errors import PackNotFoundError
from facebank.gallery import Gallery, PackIdentity
from facebank.packs import Pack, load_pack
from facebank.text import printable
from facebank.vision import FaceAnalyzer

if TYPE_CHECKING:
    from facebank.packs import Thresholds
    from facebank.vision.insightface_adapter import InsightFacePackage


class Engine(Protocol):
    """Networks that are loaded when they are first used."""

    @property
    def identity(self) -> PackIdentity:
        """What a gallery is bound to."""
        ...

    @property
    def thresholds(self) -> Thresholds:
        """When a similarity is enough."""
        ...

    @property
    def knowledge(self) -> Knowledge:
        """What the pack's scores are worth."""
        ...

    @property
    def analyzer(self) -> FaceAnalyzer:
        """Finds and embeds faces."""
        ...


def load_engine(pack: str | os.PathLike[str] | None = None, device: str = "auto") -> Engine:
    """Find a pack; its networks are loaded when the analyzer is first asked for.

    Parameters
    ----------
    pack
        Name or folder of a pack; ``insightface:FOLDER`` for a folder run by the insightface library; None for the
        embedded pack.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    PackError
        The pack is unknown, or what it says is wrong.
    """
    if isinstance(pack, str) and pack.startswith("insightface:"):
        from facebank.vision.insightface_adapter import open_package

        return _InsightFaceEngine(open_package(pack), device)
    return _PackEngine(load_pack(pack), device)


def load_engine_of(gallery: Path, device: str = "auto") -> Engine:
    """Find the pack that a gallery was made with; the embedded one where there is no gallery yet.

    Parameters
    ----------
    gallery
        The gallery's file.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    GalleryError
        The file is no gallery.
    PackError
        The pack is not installed, or what it says is wrong.
    """
    if not gallery.exists() or not gallery.stat().st_size:
        return load_engine(None, device)
    with Gallery.open(gallery) as opened:
        bound = opened.pack.name
    try:
        return load_engine(bound, device)
    except PackNotFoundError as error:
        from facebank.packs.registry import known_packs

        install = f"install {bound}" if bound in known_packs() else "add FOLDER"
        raise PackNotFoundError(
            f"the gallery {printable(str(gallery))} was made with the pack {printable(bound)!r}, which is not "
            f"installed: name its folder with --pack, or install it with 'facebank packs {install}'"
        ) from error


@dataclass
class _PackEngine:
    pack: Pack
    device: str

    @property
    def identity(self) -> PackIdentity:
        return PackIdentity(self.pack.name, self.pack.digest, self.pack.manifest.embedder.dimension)

    @property
    def thresholds(self) -> Thresholds:
        return self.pack.manifest.thresholds

    @cached_property
    def knowledge(self) -> Knowledge:
        return find_knowledge(self.identity, self.pack.folder)

    @cached_property
    def analyzer(self) -> FaceAnalyzer:
        return FaceAnalyzer.from_pack(self.pack, self.device)


@dataclass
class _InsightFaceEngine:
    package: InsightFacePackage
    device: str

    @cached_property
    def analyzer(self) -> FaceAnalyzer:
        from facebank.vision import FaceFinder

        detector, embedder = self.package.load(self.device)
        return FaceAnalyzer(FaceFinder(detector), embedder)

    @cached_property
    def knowledge(self) -> Knowledge:
        return find_knowledge(self.identity, None)

    @property
    def identity(self) -> PackIdentity:
        # Only the loaded network knows how long its embeddings are.
        return PackIdentity(self.package.name, self.package.digest, self.analyzer.dimension)

    @property
    def thresholds(self) -> Thresholds:
        return self.package.thresholds
