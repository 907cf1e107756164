"""Memory of processes, from the ``/proc`` file system of Linux."""

from __future__ import annotations

import re
from pathlib import Path


def peak_mebibytes() -> int:
    """Return the peak resident memory of this process in MiB.

    ``ru_maxrss`` starts from the peak of the parent process, ``VmHWM`` does not.
    """
    return round(_read_mebibytes("self", "VmHWM"))


def resident_mebibytes(process_id: int) -> float:
    """Return the resident memory of a process in MiB.

    Raises
    ------
    OSError
        If the process has ended.
    """
    return _read_mebibytes(str(process_id), "VmRSS")


def _read_mebibytes(process: str, field: str) -> float:
    status = Path("/proc", process, "status").read_text(encoding="ascii", errors="replace")
    match = re.search(rf"{field}:\s+(\d+)", status)
    if match is None:
        raise ProcessLookupError(f"/proc/{process}/status has no {field}: the process has ended.")
    return int(match[1]) / 1024
