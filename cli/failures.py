"""What a command raises becomes one sentence on standard error and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from facebank.errors import FacebankError, was_interrupted
from facebank.storage.text import printable

from .output import say, write_nowhere

SOME_FAILED = 1
NOTHING_DONE = 2
INTERRUPTED = 130


@contextmanager
def failures_told(*, debug: bool) -> Iterator[None]:
    """Turn what is raised inside into a message and `typer.Exit`.

    A `KeyboardInterrupt` may have a text: what is kept of the work.

    Parameters
    ----------
    debug
        Whether errors pass through, with their traceback.
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
        advice = ": 'facebank doctor' says what is wrong with the installation"
        say(f"{error}{advice if isinstance(error, ImportError) else ''}")
        raise typer.Exit(NOTHING_DONE) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            write_nowhere(sys.stdout)
            raise typer.Exit(SOME_FAILED) from error
        if debug:
            raise
        where = f"{printable(os.fsdecode(error.filename))}: " if error.filename else ""
        say(f"{where}{error.strerror or type(error).__name__}")
        raise typer.Exit(NOTHING_DONE) from error
