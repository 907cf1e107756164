"""Packs (a detector and an embedder with a manifest), and the sessions that run their networks.

`facebank.packs.install` is not imported here, because it imports modules for archives and connections.
"""

from __future__ import annotations

from facebank.packs.manifest import (
    EMBEDDED_FOLDER,
    DataTerms,
    DetectorSpec,
    EmbedderSpec,
    PackManifest,
    Thresholds,
    commercial_use,
    license_notice,
    read_manifest,
    terms_notice,
)
from facebank.packs.network_file import NetworkFile, check_network
from facebank.packs.openvino_runtime import has_openvino, load_openvino
from facebank.packs.registry import KnownPack, known_packs
from facebank.packs.runtime import (
    DeviceTrial,
    Session,
    check_device,
    check_not_forked,
    load_runtime,
    open_session,
    register_session,
    session_device,
    try_device,
    usable_cores,
)
from facebank.packs.runtime_choice import check_runtime, open_network, read_choice
from facebank.packs.shared_session import SharedSession, open_shared, share_cores
from facebank.packs.store import (
    FileState,
    Pack,
    PackEntry,
    PackHealth,
    add_pack,
    assemble_pack,
    catalog,
    file_state,
    find_pack,
    list_packs,
    load_pack,
    remove_pack,
    verify_pack,
)

__all__ = [
    "EMBEDDED_FOLDER",
    "DataTerms",
    "DetectorSpec",
    "DeviceTrial",
    "EmbedderSpec",
    "FileState",
    "KnownPack",
    "NetworkFile",
    "Pack",
    "PackEntry",
    "PackHealth",
    "PackManifest",
    "Session",
    "SharedSession",
    "Thresholds",
    "add_pack",
    "assemble_pack",
    "catalog",
    "check_device",
    "check_network",
    "check_not_forked",
    "check_runtime",
    "commercial_use",
    "file_state",
    "find_pack",
    "has_openvino",
    "known_packs",
    "license_notice",
    "list_packs",
    "load_openvino",
    "load_pack",
    "load_runtime",
    "open_network",
    "open_session",
    "open_shared",
    "read_choice",
    "read_manifest",
    "register_session",
    "remove_pack",
    "session_device",
    "share_cores",
    "terms_notice",
    "try_device",
    "usable_cores",
    "verify_pack",
]
