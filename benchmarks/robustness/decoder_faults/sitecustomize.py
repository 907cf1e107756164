"""Faults of a decoder, for workers of a cluster that start with this folder in PYTHONPATH.

A JPEG whose comment is ``hang`` keeps its decoder for an hour, and Python's lock with it, as C code in a loop does; one
whose comment is ``crash`` reads where no memory is.
"""

from __future__ import annotations

import ctypes

from PIL import ImageFile

_load = ImageFile.ImageFile.load


def _load_or_fail(self: ImageFile.ImageFile) -> object:
    comment = self.info.get("comment")
    if comment == b"hang":
        ctypes.PyDLL(None).sleep(3600)
    if comment == b"crash":
        ctypes.string_at(0)
    return _load(self)


ImageFile.ImageFile.load = _load_or_fail  # type: ignore[method-assign]
