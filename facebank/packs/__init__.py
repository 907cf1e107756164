"""Packs: a detector and an embedder with all that is needed to use them rightly, and the sessions that run them.

Names are loaded when they are first used. `facebank.packs.install` is not among them: only who installs a pack needs
archives and connections.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facebank.packs.manifest import DataTerms, DetectorSpec, EmbedderSpec, PackManifest, Thresholds, read_manifest
    from facebank.packs.pack import Pack, load_pack
    from facebank.packs.prepare import prepared_model
    from facebank.packs.registry import KnownPack, known_packs
    from facebank.packs.runtime import DeviceTrial, open_session, try_device, where_it_runs
    from facebank.packs.store import (
        FileHealth,
        FileState,
        InstalledPack,
        PackHealth,
        add_pack,
        assemble_pack,
        list_packs,
        remove_pack,
        verify_pack,
    )

_HOMES = {
    "DataTerms": "facebank.packs.manifest",
    "DetectorSpec": "facebank.packs.manifest",
    "DeviceTrial": "facebank.packs.runtime",
    "EmbedderSpec": "facebank.packs.manifest",
    "FileHealth": "facebank.packs.store",
    "FileState": "facebank.packs.store",
    "InstalledPack": "facebank.packs.store",
    "KnownPack": "facebank.packs.registry",
    "Pack": "facebank.packs.pack",
    "PackHealth": "facebank.packs.store",
    "PackManifest": "facebank.packs.manifest",
    "Thresholds": "facebank.packs.manifest",
    "add_pack": "facebank.packs.store",
    "assemble_pack": "facebank.packs.store",
    "known_packs": "facebank.packs.registry",
    "list_packs": "facebank.packs.store",
    "load_pack": "facebank.packs.pack",
    "open_session": "facebank.packs.runtime",
    "prepared_model": "facebank.packs.prepare",
    "read_manifest": "facebank.packs.manifest",
    "remove_pack": "facebank.packs.store",
    "try_device": "facebank.packs.runtime",
    "verify_pack": "facebank.packs.store",
    "where_it_runs": "facebank.packs.runtime",
}

__all__ = [
    "DataTerms",
    "DetectorSpec",
    "DeviceTrial",
    "EmbedderSpec",
    "FileHealth",
    "FileState",
    "InstalledPack",
    "KnownPack",
    "Pack",
    "PackHealth",
    "PackManifest",
    "Thresholds",
    "add_pack",
    "assemble_pack",
    "known_packs",
    "list_packs",
    "load_pack",
    "open_session",
    "prepared_model",
    "read_manifest",
    "remove_pack",
    "try_device",
    "verify_pack",
    "where_it_runs",
]


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'facebank.packs' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
