"""Exit codes, and the conversion of exceptions to messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from facebank.errors import FacebankError, was_interrupted
from facebank.storage.files import read_reason
from facebank.storage.text import printable

from .output import discard_output, say

SOME_FAILED = 1
NOTHING_DONE = 2
INTERRUPTED = 130


@contextmanager
def exit_on_errors(*, debug: bool) -> Iterator[None]:
    """Convert exceptions to a message on standard error and `typer.Exit`.

    The text of a `KeyboardInterrupt`, if any, describes the results that are kept.

    Parameters
    ----------
    debug
        Whether to let errors propagate, with their traceback.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        say(f"interrupted: {error}" if error.args else "interrupted")
        raise typer.Exit(INTERRUPTED) from error
    except (FacebankError, ImportError) as error:
        if was_interrupted(error):
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from error
        if debug:
            raise
        advice = ": run 'facebank doctor' to check the installation"
        say(f"{error}{advice if isinstance(error, ImportError) else ''}")
        raise typer.Exit(NOTHING_DONE) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            discard_output(sys.stdout)
            raise typer.Exit(SOME_FAILED) from error
        if debug:
            raise
        prefix = f"{printable(os.fsdecode(error.filename))}: " if error.filename else ""
        say(f"{prefix}{read_reason(error)}")
        raise typer.Exit(NOTHING_DONE) from error
