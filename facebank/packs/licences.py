"""Licences that the user has accepted, remembered once each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from facebank.errors import LicenceNotAcceptedError
from facebank.storage.files import write_file
from facebank.storage.paths import packs_folder
from facebank.storage.text import shell_command

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
    write_file(
        packs_folder() / ACCEPTED_NAME,
        content.encode(),
        advice="free some space, or set FACEBANK_PACKS to a folder that can be written",
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
    """Say in one line under which license a pack is, and what its data allow."""
    return (
        f"the pack {manifest.name!r} ({manifest.title}) is licensed under: {manifest.licence}; "
        f"{data_notice(manifest)}; commercial use: {commercial_use(manifest)}; text: {manifest.licence_url}"
    )


def data_notice(manifest: PackManifest) -> str:
    """Say on which data a pack was trained, and on which terms."""
    data = manifest.training_data
    return "it does not say what it was trained on" if data is None else f"trained on: {data.name} ({data.terms})"


def terms_notice(manifest: PackManifest) -> str | None:
    """Say in one line, for the first use of a pack, what is not free about it; None where all of it is."""
    if manifest.commercial_use_known:
        return None
    what = (
        "the license of its weights allows commercial use; whether the data they were trained on do is not known"
        if manifest.commercial_use
        else f"it is not for commercial use ({manifest.licence})"
    )
    return f"the pack {manifest.name!r} reads the faces: {what}; see `{shell_command('packs', 'show', manifest.name)}`"


def commercial_use(manifest: PackManifest) -> str:
    """Say whether commercial use is allowed: only where the license and the terms of all data are known to."""
    return {True: "allowed", False: "not allowed", None: "not known"}[manifest.commercial_use_known]


def _key(manifest: PackManifest) -> str:
    return f"{manifest.licence} <{manifest.licence_url}>"
