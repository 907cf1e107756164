"""On what a report was made: enough to compare figures, nothing that tells whose machine it was."""

from __future__ import annotations

import os
import platform

from facebank import __version__
from facebank.doctor.installation import Installed

_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "opencv": ("opencv-python-headless", "opencv-python"),
    "scikit-learn": ("scikit-learn",),
}


def machine() -> dict[str, str | int | None]:
    """Return the system, the processor's architecture, how many processors there are, and Python's version."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of facebank and of the libraries that its figures depend on; None for an absent one."""
    installed = Installed.read()
    found: dict[str, str | None] = {"facebank": __version__}
    for name, distributions in _DISTRIBUTIONS.items():
        there = (installed.version(distribution) for distribution in distributions)
        found[name] = next((version for version in there if version is not None), None)
    return found
