"""Assignment of files to workers, and isolation of files that crash workers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from facebank.album.scan.scan_file import ScannedFile
from facebank.media import decoder_versions
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.album.scan.scan_plan import FileTask

MAX_FAILURES = 3
"""Number of workers that may fail on a single file before the file is given up."""

_BATCH_SIZE = 16  # maximum number of files
_BATCHES_AHEAD = 4  # with fewer batches left per worker, they get smaller, and all workers end at about the same time


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Files for one worker."""

    files: tuple[FileTask, ...]
    failures: int | None = None  # number of workers that failed on this single file; None if it is not a suspect


class Assignments:
    """The files that remain to be scanned.

    If a worker fails on a batch, its files become suspects and are tried again one by one, which isolates the file that
    crashes workers.

    Parameters
    ----------
    files
        Paths with their states, without duplicates.
    """

    def __init__(self, files: Sequence[FileTask]) -> None:
        self._pending = deque(files)
        self._retries = deque[Batch]()

    def __len__(self) -> int:
        """Return the number of unassigned files."""
        return len(self._pending) + sum(len(batch.files) for batch in self._retries)

    def take(self, workers: int) -> Batch | None:
        """Return the next batch for one of `workers` workers; None if there are no more files."""
        if self._retries:
            return self._retries.popleft()
        size = min(_BATCH_SIZE, max(1, len(self._pending) // (_BATCHES_AHEAD * max(1, workers))))
        files = tuple(self._pending.popleft() for _ in islice(range(size), len(self._pending)))
        return Batch(files) if files else None

    def give_back(self, batch: Batch) -> None:
        """Return a batch that no worker has scanned."""
        self._retries.append(batch)

    def suspect(self, batch: Batch, reason: str, *, is_certain: bool = False) -> list[ScannedFile]:
        """Return the files of a failed batch that are given up as unreadable; the others are tried again, one by one.

        Parameters
        ----------
        batch
            The batch of a worker that failed.
        reason
            The failure, such as ``kills the process that reads it``.
        is_certain
            Whether a single file is the cause; otherwise the worker may have failed for another reason.
        """
        if batch.failures is None and len(batch.files) > 1:
            self._retries.extend(Batch((file,), failures=0) for file in batch.files)
            return []
        failures = (batch.failures or 0) + 1
        if failures < MAX_FAILURES and not is_certain:
            self._retries.append(Batch(batch.files, failures))
            return []
        return [unreadable_file(file, reason) for file in batch.files]


def unreadable_file(file: FileTask, reason: str) -> ScannedFile:
    """Return the result for an unreadable file, which is tried again if it changes or other decoders are installed."""
    path, state = file
    return ScannedFile(path, state, None, f"{printable(path)} {reason}; use another copy", None, decoder_versions())
