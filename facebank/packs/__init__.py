"""Packs: a detector and an embedder with all that is needed to use them rightly, and the sessions that run them.

`facebank.packs.install` is not imported here: only who installs a pack needs archives and connections.
"""

from __future__ import annotations

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
