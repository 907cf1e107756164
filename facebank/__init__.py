"""facebank recognizes people in photos from a few photos of each.

>>> from facebank import FaceBank
>>> with FaceBank.open("family.facebank") as bank:
...     report = bank.enroll("Barack", ["barack1.jpg", "barack2.jpg"])
...     for photo in bank.identify("party.jpg"):
...         for face in photo.faces:
...             print(face.person, face.decision, face.reason)
Barack known match
None unknown below_threshold

Names are loaded when they are first used: ``import facebank`` itself loads neither NumPy nor any network runtime.
It sets ``ORT_DISABLE_TELEMETRY``, which ONNX Runtime reads when it is first imported.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facebank.album.album import Album
    from facebank.bank import FaceBank
    from facebank.errors import (
        ClosedError,
        DeviceError,
        FacebankError,
        GalleryError,
        GalleryNotFoundError,
        InvalidNameError,
        MissingDependencyError,
        NoFaceError,
        PackError,
        PersonExistsError,
        PersonNotFoundError,
        PhotoError,
        PhotoNotFoundError,
        StorageError,
        UsageError,
        VideoError,
    )
    from facebank.media import read_photo
    from facebank.packs import Pack, load_pack
    from facebank.recognition.settings import DecisionSettings
    from facebank.storage.progress import Progress
    from facebank.types import (
        Candidate,
        Decision,
        DecodedPhoto,
        EnrolledPhoto,
        EnrollReason,
        EnrollReport,
        Face,
        Identity,
        Person,
        Photo,
        Quality,
        Reason,
        Sample,
        Verification,
    )

__version__ = "0.1.0"

# Without it ONNX Runtime, once imported, keeps a device number and a database in the user's cache and uploads from it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = [
    "Album",
    "Candidate",
    "ClosedError",
    "Decision",
    "DecisionSettings",
    "DecodedPhoto",
    "DeviceError",
    "EnrollReason",
    "EnrollReport",
    "EnrolledPhoto",
    "Face",
    "FaceBank",
    "FacebankError",
    "GalleryError",
    "GalleryNotFoundError",
    "Identity",
    "InvalidNameError",
    "MissingDependencyError",
    "NoFaceError",
    "Pack",
    "PackError",
    "Person",
    "PersonExistsError",
    "PersonNotFoundError",
    "Photo",
    "PhotoError",
    "PhotoNotFoundError",
    "Progress",
    "Quality",
    "Reason",
    "Sample",
    "StorageError",
    "UsageError",
    "Verification",
    "VideoError",
    "__version__",
    "load_pack",
    "read_photo",
]

_MODULES = {
    "Album": "facebank.album.album",
    "DecisionSettings": "facebank.recognition.settings",
    "FaceBank": "facebank.bank",
    "Pack": "facebank.packs",
    "Progress": "facebank.storage.progress",
    "load_pack": "facebank.packs",
    "read_photo": "facebank.media",
}


def __getattr__(name: str) -> object:
    """Return a public name, importing its module."""
    if name not in __all__:
        raise AttributeError(f"module 'facebank' has no attribute {name!r}")
    module = _MODULES.get(name, "facebank.errors" if name.endswith("Error") else "facebank.types")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    """Return the public names without loading them."""
    return sorted(__all__)
