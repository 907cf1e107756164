"""Workers on the machines of a cluster: one process per core, which loads the networks once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.album.scan.scan_plan import state_of
from facebank.album.scan.scanner import PhotoScanner
from facebank.cluster.pack_files import PackName, ensure_pack
from facebank.errors import FacebankError
from facebank.media import decoder_versions
from facebank.operations.engine import load_engine
from facebank.storage.bucket_urls import is_bucket_url
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.album.scan.rows import FileStamp
    from facebank.album.scan.scan_file import ScannedFile
    from facebank.album.scan.scan_plan import FileTask
    from facebank.vision import FaceAnalyzer

HASH_DTYPE = "S32"
"""NumPy dtype of a SHA-256 hash, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Job:
    """Properties that all workers of a job must share."""

    pack: PackName
    runtime: str  # ``onnxruntime`` or ``openvino``
    decoders: str  # `facebank.media.decoder_versions` of the machine that started the job
    probe_files: tuple[FileTask, ...]  # some of the job's files, which every machine must see in the same state


@dataclass(frozen=True, slots=True)
class PreparationResult:
    """Result of preparing a worker."""

    host: str  # name of the machine
    process: int  # number of the worker's process
    problem: str | None = None  # one sentence about why the worker cannot be used; None if it is ready


class SortedHashes(AbstractSet[bytes]):
    """Set of SHA-256 hashes, in a sorted array that processes can share, plus a small set.

    Parameters
    ----------
    hashes
        `HASH_DTYPE` of shape ``(N,)``, sorted.
    extra
        The small set, 32 bytes each.
    """

    def __init__(self, hashes: NDArray[np.bytes_], extra: AbstractSet[bytes] = frozenset()) -> None:
        self._hashes = hashes
        self._extra = extra

    def with_extra(self, extra: AbstractSet[bytes]) -> SortedHashes:
        """Return a copy with another small set."""
        return SortedHashes(self._hashes, extra)

    def __contains__(self, content_hash: object) -> bool:
        if not isinstance(content_hash, bytes) or len(content_hash) != 32:
            return False
        if content_hash in self._extra:
            return True
        target = np.array(content_hash, HASH_DTYPE)
        index = int(np.searchsorted(self._hashes, target))
        return index < len(self._hashes) and bool(self._hashes[index] == target)

    def __len__(self) -> int:
        return len(self._hashes) + len(self._extra)

    def __iter__(self) -> Iterator[bytes]:
        yield from (bytes(content_hash).ljust(32, b"\0") for content_hash in self._hashes)
        yield from self._extra


def sorted_hashes(hashes: AbstractSet[bytes]) -> NDArray[np.bytes_]:
    """Return hashes of 32 bytes each as a sorted array for `SortedHashes`."""
    return np.sort(np.array(list(hashes), HASH_DTYPE))


class ScanWorker:
    """Scans files with the same results as a scan on one machine.

    Parameters
    ----------
    fetch
        Returns the object of a reference in the cluster's memory: `ray.get`.
    """

    def __init__(self, fetch: Callable[[Any], Any]) -> None:
        self._fetch = fetch
        self._analyzer: FaceAnalyzer | None = None
        self._photos = self._pictures = SortedHashes(np.empty(0, HASH_DTYPE))

    def prepare(self, job: Job, known: Sequence[Any]) -> PreparationResult:
        """Load the networks, after checking that this machine fits the job.

        Parameters
        ----------
        job
            The required properties.
        known
            References to the pack's files, to the hashes of known photos and to those of known pixels. A reference is
            only resolved if needed, so that an installed pack is not sent.
        """
        host, process = socket.gethostname(), os.getpid()
        problem = _difference(job)
        if problem is None:
            pack_files, photos, pictures = known
            try:
                self._load(job, lambda: dict(self._fetch(pack_files)))
                self._photos, self._pictures = SortedHashes(self._fetch(photos)), SortedHashes(self._fetch(pictures))
            except (FacebankError, ImportError) as error:
                problem = str(error)
        return PreparationResult(host, process, problem)

    def scan(self, files: Sequence[FileTask], known: AbstractSet[bytes]) -> list[ScannedFile]:
        """Return the results of files; photos with a known hash are not analyzed again.

        Parameters
        ----------
        files
            Paths with the states seen by the machine that started the job.
        known
            SHA-256 hashes, 32 bytes each, of photos scanned meanwhile that may be among the files.

        Raises
        ------
        RuntimeError
            The worker was not prepared.
        """
        if self._analyzer is None:
            raise RuntimeError("the worker was not prepared")
        photos = self._photos.with_extra(known)
        return list(PhotoScanner(self._analyzer, photos, 1, self._pictures).scan(files))

    def _load(self, job: Job, fetch: Callable[[], dict[str, bytes]]) -> None:
        pack = ensure_pack(job.pack, fetch)
        self._analyzer = load_engine(pack.folder, "cpu", 1, job.runtime).analyzer


def _difference(job: Job) -> str | None:
    """Return why this machine's results would differ from the others', or None."""
    required = dict(part.split("=", 1) for part in job.decoders.split())
    installed = dict(part.split("=", 1) for part in decoder_versions().split())
    for name, version in required.items():
        if installed.get(name) != version:
            return (
                f"it has {name} {printable(installed.get(name, 'none'))}, but the machine that started the job has "
                f"{version}: install the same version on both"
            )
    for path, state in job.probe_files:
        if (problem := _file_difference(path, state)) is not None:
            return problem
    return None


def _file_difference(path: str, state: FileStamp) -> str | None:
    """Return why a file or object has another state here than on the machine that started the job, or None."""
    advice = "mount the same folder there, at the same path"
    try:
        if state_of(path) == state:
            return None
        if is_bucket_url(path):
            advice = "give it the same AWS_ENDPOINT_URL and credentials of the same account"
    except FacebankError as error:
        return str(error)
    return f"it does not see {printable(path)} as this machine does: {advice}"
