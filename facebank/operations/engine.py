"""Engines: a pack's lazily loaded networks, with its thresholds, identity and calibration."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from facebank.errors import PackNotFoundError
from facebank.gallery import Gallery, PackIdentity
from facebank.packs import Pack, load_pack
from facebank.storage.concurrency import ProcessLocal, computed
from facebank.storage.text import printable, shell_command

if TYPE_CHECKING:
    from concurrent.futures import Future

    from facebank.packs import Thresholds
    from facebank.recognition.calibration.files import CachedPackCalibration, PackCalibration
    from facebank.vision import FaceAnalyzer
    from facebank.vision.insightface_adapter import InsightFacePackage


class Engine(Protocol):
    """Networks that are loaded on first use."""

    @property
    def identity(self) -> PackIdentity:
        """The pack that a gallery is bound to."""
        ...

    @property
    def thresholds(self) -> Thresholds:
        """The pack's similarity thresholds."""
        ...

    @property
    def pack_calibration(self) -> PackCalibration:
        """The pack's current calibration; the same object until its files change."""
        ...

    @property
    def analyzer(self) -> FaceAnalyzer:
        """The analyzer that detects and embeds faces."""
        ...

    def preload(self) -> None:
        """Start loading the networks in the background; `analyzer` waits for them."""
        ...


def load_engine(
    pack: str | os.PathLike[str] | None = None,
    device: str = "auto",
    threads: int | None = None,
    runtime: str = "onnxruntime",
) -> Engine:
    """Return the engine of a pack; its networks are loaded when the analyzer is first used.

    Parameters
    ----------
    pack
        Name or folder of a pack; ``insightface:FOLDER`` for a folder run by the insightface library; None for the
        embedded pack.
    device
        ``auto``, ``cpu`` or ``cuda``.
    threads
        Threads for one network on the CPU; None for as many as this process may use.
    runtime
        Runtime of the embedder: ``onnxruntime``, ``openvino``, or ``auto`` for the faster installed one.

    Raises
    ------
    PackError
        The pack is unknown or invalid.
    """
    if isinstance(pack, str) and pack.startswith("insightface:"):
        from facebank.vision.insightface_adapter import open_package

        return _InsightFaceEngine(open_package(pack), device)
    return _PackEngine(load_pack(pack), device, threads, runtime)


def load_engine_of(
    gallery_path: Path, device: str = "auto", threads: int | None = None, runtime: str = "onnxruntime"
) -> Engine:
    """Return an engine with the pack of a gallery, or with the embedded pack if there is no gallery yet.

    Raises `GalleryError` if the file is not a gallery, `PackError` if the pack is not installed or invalid.
    """
    if _is_missing_or_empty(gallery_path):
        return load_engine(None, device, threads, runtime)
    with Gallery.open(gallery_path, read_only=True) as gallery:
        pack_name = gallery.pack.name
    try:
        return load_engine(pack_name, device, threads, runtime)
    except PackNotFoundError as error:
        from facebank.packs import known_packs

        install = ("install", pack_name) if pack_name in known_packs() else ("add", "FOLDER")
        raise PackNotFoundError(
            f"the gallery {printable(str(gallery_path))} was made with the pack {printable(pack_name)!r}, which is not "
            f"installed: name its folder with --pack, or install it with `{shell_command('packs', *install)}`"
        ) from error


def _is_missing_or_empty(path: Path) -> bool:
    """Return whether there is no gallery yet; False if the file cannot be examined, which opening it will report."""
    try:
        return not path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


class _PackEngine:
    def __init__(self, pack: Pack, device: str, threads: int | None, runtime: str) -> None:
        self.pack = pack
        self._loading = ProcessLocal(partial(_begin_loading, pack, device, threads, runtime))

    @property
    def identity(self) -> PackIdentity:
        return PackIdentity(self.pack.name, self.pack.digest, self.pack.manifest.embedder.dimension)

    @property
    def thresholds(self) -> Thresholds:
        return self.pack.manifest.thresholds

    @computed
    def _calibration(self) -> CachedPackCalibration:
        from facebank.recognition.calibration.files import CachedPackCalibration

        return CachedPackCalibration(self.identity, self.pack.folder)

    @property
    def pack_calibration(self) -> PackCalibration:
        return self._calibration.get()

    @property
    def analyzer(self) -> FaceAnalyzer:
        return self._loading.get().result()

    def preload(self) -> None:
        self._loading.get()


def _begin_loading(pack: Pack, device: str, threads: int | None, runtime: str) -> Future[FaceAnalyzer]:
    from concurrent.futures import ThreadPoolExecutor

    from facebank.packs import load_runtime
    from facebank.vision import FaceAnalyzer

    # Importing holds the GIL, so a thread gains nothing; the runtime releases it while loading.
    load_runtime()
    loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="networks")
    loading = loader.submit(FaceAnalyzer.from_pack, pack, device, threads, runtime)
    loader.shutdown(wait=False)
    return loading


class _InsightFaceEngine:
    def __init__(self, package: InsightFacePackage, device: str) -> None:
        self.package = package
        self._analyzer = ProcessLocal(partial(_load_package, package, device))

    @property
    def analyzer(self) -> FaceAnalyzer:
        return self._analyzer.get()

    def preload(self) -> None:
        pass  # the identity is unknown until the networks are loaded

    @computed
    def _calibration(self) -> CachedPackCalibration:
        from facebank.recognition.calibration.files import CachedPackCalibration

        return CachedPackCalibration(self.identity, None)

    @property
    def pack_calibration(self) -> PackCalibration:
        return self._calibration.get()

    @property
    def identity(self) -> PackIdentity:
        # The embedding's dimension is known only after loading.
        return PackIdentity(self.package.name, self.package.digest, self.analyzer.embedder.dimension)

    @property
    def thresholds(self) -> Thresholds:
        return self.package.thresholds


def _load_package(package: InsightFacePackage, device: str) -> FaceAnalyzer:
    from facebank.vision import FaceAnalyzer, FaceFinder, MultiScaleDetector

    detector, embedder = package.load(device)
    return FaceAnalyzer(FaceFinder(MultiScaleDetector(detector)), embedder)
