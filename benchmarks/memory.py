"""Peak memory of the running process."""

from __future__ import annotations

import re
from pathlib import Path


def peak_megabytes() -> int:
    """Return the peak resident memory of this process in MB (Linux only).

    ``ru_maxrss`` starts from the peak of the parent process, ``VmHWM`` does not.
    """
    match = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii", errors="replace"))
    if match is None:
        raise RuntimeError("/proc/self/status has no VmHWM.")
    return round(int(match[1]) / 1024)
