"""Child processes without root's right to ignore permissions, for tests that run as root."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE = 1


def drop_privileges() -> None:
    """Drop root's right to write everywhere; for ``preexec_fn`` of `subprocess.Popen`, effective after the exec."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the right to write everywhere cannot be dropped")


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder and its files read-only within the block, and check that nothing in it changes."""
    files = [path for path in folder.iterdir() if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    for path in files:
        path.chmod(0o400)
    folder.chmod(0o500)
    try:
        yield
        assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    finally:
        folder.chmod(0o700)
        for path in files:
            path.chmod(0o600)
