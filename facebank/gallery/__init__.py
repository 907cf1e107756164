"""The gallery: people and their enrolled faces in one SQLite file, with import and export.

Names that only some commands need (exchange, checks, repair) are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from facebank.gallery.gallery import Gallery
from facebank.gallery.names import name_key, normalize_name
from facebank.gallery.places import PlaceKind, WrittenPlace, default_gallery_path
from facebank.gallery.records import (
    EnrolledSample,
    FaceKey,
    ForgetReport,
    MergedPerson,
    NewSample,
    PackIdentity,
    PersonFacts,
    RefusedSample,
    Stranger,
    StrangerTable,
    Upgrade,
    VectorTable,
)

if TYPE_CHECKING:
    from facebank.gallery.checking import Damage, GalleryCheck, GalleryHealth, check_gallery, inspect_gallery
    from facebank.gallery.exchange import (
        ExportReport,
        ImportReport,
        check_export,
        export_gallery,
        exported_pack,
        import_gallery,
    )
    from facebank.gallery.repairing import Repair, repair_gallery

_MODULES = {
    "Damage": "facebank.gallery.checking",
    "GalleryCheck": "facebank.gallery.checking",
    "Repair": "facebank.gallery.repairing",
    "check_gallery": "facebank.gallery.checking",
    "repair_gallery": "facebank.gallery.repairing",
    "ExportReport": "facebank.gallery.exchange",
    "GalleryHealth": "facebank.gallery.checking",
    "ImportReport": "facebank.gallery.exchange",
    "check_export": "facebank.gallery.exchange",
    "export_gallery": "facebank.gallery.exchange",
    "exported_pack": "facebank.gallery.exchange",
    "import_gallery": "facebank.gallery.exchange",
    "inspect_gallery": "facebank.gallery.checking",
}

__all__ = [
    "Damage",
    "EnrolledSample",
    "ExportReport",
    "FaceKey",
    "ForgetReport",
    "Gallery",
    "GalleryCheck",
    "GalleryHealth",
    "ImportReport",
    "MergedPerson",
    "NewSample",
    "PackIdentity",
    "PersonFacts",
    "PlaceKind",
    "RefusedSample",
    "Repair",
    "Stranger",
    "StrangerTable",
    "Upgrade",
    "VectorTable",
    "WrittenPlace",
    "check_export",
    "check_gallery",
    "default_gallery_path",
    "export_gallery",
    "exported_pack",
    "import_gallery",
    "inspect_gallery",
    "name_key",
    "normalize_name",
    "repair_gallery",
]


def __getattr__(name: str) -> object:
    """Return a public name, importing its module."""
    if name not in _MODULES:
        raise AttributeError(f"module 'facebank.gallery' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
