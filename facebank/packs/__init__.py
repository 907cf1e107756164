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
from facebank.packs.network_file import check_network, prepared_model
from facebank.packs.openvino_runtime import has_openvino, load_openvino
from facebank.packs.registry import KnownPack, known_packs
from facebank.packs.runtime import (
    DeviceTrial,
    Session,
    check_device,
    load_runtime,
    note_session,
    open_session,
    require_own,
    try_device,
    usable_cores,
    where_it_runs,
)
from facebank.packs.runtime_choice import check_runtime, measured, open_network
from facebank.packs.shared_session import SharedSession, at_work, open_shared
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
    "Pack",
    "PackEntry",
    "PackHealth",
    "PackManifest",
    "Session",
    "SharedSession",
    "Thresholds",
    "add_pack",
    "assemble_pack",
    "at_work",
    "catalog",
    "check_device",
    "check_network",
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
    "measured",
    "note_session",
    "open_network",
    "open_session",
    "open_shared",
    "prepared_model",
    "read_manifest",
    "remove_pack",
    "require_own",
    "terms_notice",
    "try_device",
    "usable_cores",
    "verify_pack",
    "where_it_runs",
]
