"""Which files a worker gets next, and what becomes of those that a worker died of."""

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

    from facebank.album.scan.scanner import FileTask

MOST_DEATHS = 3
"""How many workers may die with a file that they had alone before it is given up."""

_AT_ONCE = 16  # files of a batch
_BATCHES_AHEAD = 4  # of each worker, so that all end at about the same time


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Files that a worker gets together."""

    files: tuple[FileTask, ...]
    deaths: int | None = None  # of workers that had this file alone; None if it was never suspected


class Assignments:
    """The files that are still to be scanned.

    The files of a batch that a worker did not survive are suspects, and are tried again, each alone: so the file that
    kills workers is found, and the others are not lost with it.

    Parameters
    ----------
    files
        Each path once.
    """

    def __init__(self, files: Sequence[FileTask]) -> None:
        self._coming = deque(files)
        self._again = deque[Batch]()

    def __len__(self) -> int:
        """How many files nobody has."""
        return len(self._coming) + sum(len(batch.files) for batch in self._again)

    def take(self, workers: int) -> Batch | None:
        """Return the next files for one of some workers; None if there is none."""
        if self._again:
            return self._again.popleft()
        size = min(_AT_ONCE, max(1, len(self._coming) // (_BATCHES_AHEAD * max(1, workers))))
        files = tuple(self._coming.popleft() for _ in islice(range(size), len(self._coming)))
        return Batch(files) if files else None

    def give_back(self, batch: Batch) -> None:
        """Return files that no worker has looked at."""
        self._again.append(batch)

    def suspect(self, batch: Batch, why: str, *, is_certain: bool = False) -> list[ScannedFile]:
        """Return the files of a batch that are given up, as unreadable; the others are tried again, each alone.

        Parameters
        ----------
        batch
            What a worker had when something happened to it.
        why
            What that was, such as ``kills the process that reads it``.
        is_certain
            Whether it is the file's fault if it was alone; else workers may die of something else.
        """
        if batch.deaths is None and len(batch.files) > 1:
            self._again.extend(Batch((file,), deaths=0) for file in batch.files)
            return []
        deaths = (batch.deaths or 0) + 1
        if deaths < MOST_DEATHS and not is_certain:
            self._again.append(Batch(batch.files, deaths))
            return []
        return [given_up(file, why) for file in batch.files]


def given_up(file: FileTask, why: str) -> ScannedFile:
    """Return a file as unreadable; it is tried again once other decoders are installed, or it changes."""
    path, state = file
    return ScannedFile(path, state, None, f"{printable(path)} {why}; use another copy", None, decoder_versions())
