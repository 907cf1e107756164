"""Decoder faults for cluster workers started with this folder in PYTHONPATH.

Decoding a JPEG with the comment ``hang`` blocks for an hour while holding the GIL, like an infinite loop in C code; the
comment ``crash`` causes a segmentation fault.
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
