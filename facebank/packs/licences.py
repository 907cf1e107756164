"""Licences that the user has accepted, remembered once each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from facebank.errors import LicenceNotAcceptedError
from facebank.packs.files import packs_folder, write_atomically

if TYPE_CHECKING:
    from facebank.packs.manifest import PackManifest

ACCEPTED_NAME = ".accepted-licences.json"
_MAX_BYTES = 1 << 20


def require_licence(manifest: PackManifest, accepted: bool) -> None:
    """Go on only if the pack's licence is accepted, now or before; remember it.

    Parameters
    ----------
    manifest
        The pack's manifest.
    accepted
        Whether the user accepts the licence now.

    Raises
    ------
    LicenceNotAcceptedError
        It is not accepted; the message holds title, licence, where its text is and whether commercial use is allowed.
    StorageError
        The acceptance cannot be written down.
    """
    remembered = accepted_licences()
    key = _key(manifest)
    if key in remembered:
        return
    if not accepted:
        raise LicenceNotAcceptedError(f"{licence_notice(manifest)}; to accept it, add --accept-license")
    remembered[key] = datetime.now(UTC).isoformat(timespec="seconds")
    content = json.dumps({"accepted": remembered}, indent=2, ensure_ascii=False)
    write_atomically(
        packs_folder() / ACCEPTED_NAME,
        content.encode(),
        "free some space, or set FACEBANK_PACKS to a folder that can be written",
    )


def accepted_licences() -> dict[str, str]:
    """Return the accepted licences: licence and where its text is, to when it was accepted."""
    try:
        with (packs_folder() / ACCEPTED_NAME).open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
        accepted = content["accepted"]
        return {str(key): str(value) for key, value in accepted.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def licence_notice(manifest: PackManifest) -> str:
    """Say in one line under which licence a pack is."""
    commercial = "allowed" if manifest.commercial_use else "not allowed"
    return (
        f"the pack {manifest.name!r} ({manifest.title}) is licensed under: {manifest.licence}; "
        f"commercial use: {commercial}; text: {manifest.licence_url}"
    )


def _key(manifest: PackManifest) -> str:
    return f"{manifest.licence} <{manifest.licence_url}>"
