"""One scan at a time into one scan file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from facebank.errors import ScanBusyError, StorageError
from facebank.storage.concurrency import only_one
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path


@contextmanager
def only_scan(path: Path) -> Iterator[None]:
    """Keep other processes from scanning into the same file meanwhile; a process that is killed lets go of it.

    Raises
    ------
    ScanBusyError
        Another one is scanning.
    StorageError
        Nothing can be written beside the file.
    """
    shown = printable(str(path))
    with ExitStack() as held:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_ours = held.enter_context(only_one(path.with_name(path.name + ".lock")))
        except OSError as error:
            raise StorageError(
                f"The scan {shown} cannot be made or changed: {error.strerror}; name a file where you may write with "
                "--scan-file."
            ) from error
        if not is_ours:
            raise ScanBusyError(
                f"another scan is writing to {shown}: wait until it has finished, or name another file with --scan-file"
            )
        yield
