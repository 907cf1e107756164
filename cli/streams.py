"""Standard streams that are closed, full or written to by libraries, so that no command has to care."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from .output import say, write_nowhere

_STDERR = 2


class _Lost(io.TextIOBase):
    """Stands for a closed standard output: what is written is lost, and that is remembered."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.has_lost = False

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.has_lost = self.has_lost or bool(text)
        return len(text)


def fill_closed_streams() -> None:
    """Open what is closed of the standard streams: else the next file that is opened would be taken for one of them."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(handle)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = _Lost()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def finish_output(code: int) -> int:
    """Write what is still to be written on standard output, and return the exit code.

    Parameters
    ----------
    code
        The command's. Where it did all, and its output could not be written, that is 1.
    """
    if isinstance(sys.stdout, _Lost):
        lost = "it is closed" if sys.stdout.has_lost else None
    else:
        lost = None
        try:
            sys.stdout.flush()
        except OSError as error:
            lost = error.strerror
            write_nowhere(sys.stdout)
    if lost is None or code:
        return code
    say(f"what was to be written on standard output is lost: {lost}")
    return 1


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Let only this program write on standard error: libraries in C write there whatever is asked of them.

    Our own messages go where they did. Warnings of Python libraries are not shown, unless Python was told how to.
    """
    ours = sys.stderr
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        shown = os.dup(_STDERR) if ours.fileno() == _STDERR else None
    except (OSError, ValueError):  # a test's stream, say, which is no file
        shown = None
    if shown is None:
        yield
        return
    replaced: TextIO = open(  # noqa: SIM115 - it is closed below
        shown, "w", buffering=1, encoding=ours.encoding, errors="backslashreplace", closefd=False
    )
    ours.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)
    _set_stderr(replaced)
    try:
        yield
    finally:
        _set_stderr(ours)
        with suppress(OSError):
            replaced.flush()
        os.dup2(shown, _STDERR)


def _set_stderr(stream: TextIO) -> None:
    sys.stderr = stream
    setattr(sys, "__stderr__", stream)  # noqa: B010 - Rich measures the terminal by it, and it is declared final
