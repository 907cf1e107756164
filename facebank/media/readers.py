"""By what photos are read here: when that changes, what could not be read may be readable."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from facebank.media.formats import FORMATS


@cache
def readers() -> str:
    """Return the version of facebank and of every decoder, or that there is none, in one line.

    It is the same in two runs in which the same files can be read.
    """
    from facebank import __version__

    decoders = dict.fromkeys(entry.module for entry in FORMATS)
    return " ".join([f"facebank={__version__}", *(f"{name}={_version(name)}" for name in decoders)])


def _version(name: str) -> str:
    try:
        module, package = import_module(name), import_module(name.partition(".")[0])
    except ImportError:
        return "none"
    if not getattr(module, "SUPPORTED", True):
        return "none"
    return str(getattr(package, "__version__", "unknown"))
