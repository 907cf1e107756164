"""facebank recognises people from a handful of photographs each.

>>> from facebank import FaceBank
>>> bank = FaceBank.open("family.facebank")
>>> bank.enroll("Ada", ["ada1.jpg", "ada2.jpg"])
>>> for photo in bank.identify("party.jpg"):
...     for face in photo.faces:
...         print(face.person, face.similarity, face.decision)

Names are loaded when they are first used: ``import facebank`` itself loads neither NumPy nor any network runtime.
It sets ``ORT_DISABLE_TELEMETRY``, which ONNX Runtime reads when it is imported, by whomever.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facebank.bank import FaceBank
    from facebank.errors import FacebankError
    from facebank.gallery import Gallery
    from facebank.media import read_photo
    from facebank.vision import FaceAnalyzer

__version__ = "0.1.0"

# Without it ONNX Runtime, once imported, keeps a device number and a database in the user's cache and uploads from it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOMES = {
    "FaceBank": "facebank.bank",
    "FaceAnalyzer": "facebank.vision",
    "FacebankError": "facebank.errors",
    "Gallery": "facebank.gallery",
    "read_photo": "facebank.media",
}

__all__ = ["FaceAnalyzer", "FaceBank", "FacebankError", "Gallery", "__version__", "read_photo"]


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'facebank' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names without loading them."""
    return sorted(__all__)
