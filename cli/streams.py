"""Standard streams that are closed or full, and noise that libraries write to standard error."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from .output import discard_output, say

_STDERR = 2


class _ClosedOutput(io.TextIOBase):
    """A substitute for a closed standard output, which records whether output was lost."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.has_lost_output = False

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.has_lost_output = self.has_lost_output or bool(text)
        return len(text)


def fill_closed_streams() -> None:
    """Open the standard streams that are closed; otherwise the next opened file would take their descriptors."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(handle)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def finish_output(code: int) -> int:
    """Flush standard output and return the exit code.

    Parameters
    ----------
    code
        Exit code of the command; a success becomes 1 if output was lost.
    """
    if isinstance(sys.stdout, _ClosedOutput):
        reason = "it is closed" if sys.stdout.has_lost_output else None
    else:
        reason = None
        try:
            sys.stdout.flush()
        except OSError as error:
            reason = error.strerror
            discard_output(sys.stdout)
    if reason is None or code:
        return code
    say(f"standard output could not be written: {reason}")
    return 1


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence C libraries, which write to standard error directly, and Python warnings.

    Messages of the program still reach standard error. Warnings are shown if Python runs with ``-W``.
    """
    stderr = sys.stderr
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        handle = os.dup(_STDERR) if stderr.fileno() == _STDERR else None
    except (OSError, ValueError):  # a stream without a descriptor, such as a test's
        handle = None
    if handle is None:
        yield
        return
    stream: TextIO = open(  # noqa: SIM115 - flushed below; its descriptor stays open
        handle, "w", buffering=1, encoding=stderr.encoding, errors="backslashreplace", closefd=False
    )
    stderr.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _STDERR)
    os.close(null)
    _set_stderr(stream)
    try:
        yield
    finally:
        _set_stderr(stderr)
        with suppress(OSError):
            stream.flush()
        os.dup2(handle, _STDERR)


def _set_stderr(stream: TextIO) -> None:
    sys.stderr = stream
    setattr(sys, "__stderr__", stream)  # noqa: B010 - declared final, but Rich reads the terminal's width from it
