"""Peak memory of the running process."""

from __future__ import annotations

import re
from pathlib import Path


def peak_megabytes() -> int:
    """Return the peak resident memory of this process in MB (Linux only).

    ``ru_maxrss`` begins with the peak of the process that started this one; ``VmHWM`` does not.
    """
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii", errors="replace"))
    if found is None:
        raise RuntimeError("/proc/self/status does not state VmHWM")
    return round(int(found[1]) / 1024)
