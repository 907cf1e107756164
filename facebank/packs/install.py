"""Packs installed by name, from an address or from a file."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import LicenceNotAcceptedError, PackIntegrityError, PackNotFoundError, UsageError
from facebank.packs.archive import Archive, ArchiveLimits, open_archive
from facebank.packs.download import DownloadLimits, check_address, downloaded
from facebank.packs.manifest import (
    EMBEDDED_FOLDER,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    PackManifest,
    license_notice,
    manifest_toml,
    read_manifest,
)
from facebank.packs.registry import KnownPack, known_packs
from facebank.packs.store import ADVICE, Pack, copy_checked, publish, refuse_taken, staging_folder
from facebank.storage.files import cannot_write, is_file, sha256_of, write_file
from facebank.storage.paths import packs_folder
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping


_ACCEPTED_NAME = ".accepted-licences.json"
_MAX_ACCEPTED_BYTES = 1 << 20
_HASH = re.compile(r"sha256=([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class InstallLimits:
    """Limits of an installation's download and archive."""

    download: DownloadLimits = field(default_factory=DownloadLimits)
    archive: ArchiveLimits = field(default_factory=ArchiveLimits)


def install_pack(
    source: str | os.PathLike[str],
    *,
    accept_license: bool = False,
    replace: bool = False,
    progress: Progress = SILENT,
    limits: InstallLimits | None = None,
    registry: Mapping[str, KnownPack] | None = None,
) -> Pack:
    """Install a pack.

    Parameters
    ----------
    source
        A name of `known_packs`; an ``https`` address, or a file on this computer, of a zip archive with a
        ``pack.toml`` or of a known pack's published archive. An address may end in ``#sha256=`` and the archive's
        hash.
    accept_license
        Whether the user accepts the pack's license. Each license is asked for once.
    replace
        Whether an installed pack of the same name is replaced.
    on_progress
        Called during the download with the bytes received and the total, if known.
    limits
        None for the defaults.
    registry
        The packs known by name; None for `known_packs`.

    Raises
    ------
    UsageError
        The fragment of an address is no hash.
    PackNotFoundError, DownloadError, ManifestError, PackIntegrityError
        There is no such source; it could not be downloaded; its ``pack.toml`` is wrong; the archive or a file in it
        is partial, altered or unsafe.
    LicenceNotAcceptedError
        The license has not been accepted; the message holds what is needed to decide.
    PackError
        A pack of this name is installed.
    StorageError
        The cache or the packs' folder cannot be written.
    """
    work = _Installation(accept_license, replace, progress, limits or InstallLimits(), registry or known_packs())
    text = os.fspath(source)
    if text in work.registry:
        return work.from_registry(work.registry[text])
    if "://" in text:
        return work.from_address(text)
    if is_file(Path(text)):
        return work.from_file(Path(text), text)
    raise PackNotFoundError(
        f"{printable(text)!r} is no pack known by name ({', '.join(work.registry)}), no address and no file"
    )


@dataclass(frozen=True, slots=True)
class _Installation:
    """One installation: the user's choices, and a method for each kind of source."""

    accept: bool
    replace: bool
    progress: Progress
    limits: InstallLimits
    registry: Mapping[str, KnownPack]

    def from_registry(self, known: KnownPack) -> Pack:
        """Check name and license before the download."""
        self._check(known.manifest)
        with downloaded(known.url, known.sha256, self.progress, self.limits.download) as file:
            return self._known(file, known, known.url)

    def from_address(self, address: str) -> Pack:
        """Download first: only the archive names the pack."""
        url, sha256 = _address_and_hash(address)
        with downloaded(url, sha256, self.progress, self.limits.download) as file:
            return self.from_file(file, url)

    def from_file(self, file: Path, label: str) -> Pack:
        """Install a known pack's published file, or an archive that brings its own manifest."""
        try:
            sha256 = sha256_of(file)
        except OSError as error:
            raise PackIntegrityError(f"{printable(label)} cannot be read ({error.strerror})") from error
        known = next((pack for pack in self.registry.values() if pack.sha256 == sha256), None)
        if known is None:
            return self._archive(file, label)
        self._check(known.manifest)
        return self._known(file, known, label)

    def _archive(self, file: Path, label: str) -> Pack:
        with open_archive(file, self.limits.archive, label) as archive, staging_folder() as staging:
            prefix = _pack_prefix(archive, label)
            _unpack(archive, f"{prefix}{MANIFEST_NAME}", staging / MANIFEST_NAME, MAX_MANIFEST_BYTES)
            manifest = read_manifest(staging)
            self._check(manifest)
            for name in manifest.files:
                _unpack(archive, f"{prefix}{name}", staging / name)
            return publish(staging, self.replace)

    def _known(self, file: Path, known: KnownPack, label: str) -> Pack:
        """Install the published networks; a download that is a network itself is completed from the embedded pack."""
        files = known.manifest.files
        with staging_folder() as staging:
            _write_manifest(staging, known.manifest)
            if known.sha256 in files.values():
                for name, sha256 in files.items():
                    copy_checked(file if sha256 == known.sha256 else EMBEDDED_FOLDER / name, staging / name, sha256)
                return publish(staging, self.replace)
            with open_archive(file, self.limits.archive, label) as archive:
                for name in files:
                    _unpack(archive, f"{known.folder}/{name}".lstrip("/"), staging / name)
            return publish(staging, self.replace)

    def _check(self, manifest: PackManifest) -> None:
        refuse_taken(manifest.name, self.replace)
        _require_license(manifest, self.accept)


def _address_and_hash(address: str) -> tuple[str, str | None]:
    url, _, fragment = address.partition("#")
    check_address(url)
    if not fragment:
        return url, None
    stated = _HASH.fullmatch(fragment)
    if stated is None:
        raise UsageError(
            f"{printable(address)} ends in no hash: after # comes sha256= and the 64 hexadecimal digits of the archive"
        )
    return url, stated[1].lower()


def _pack_prefix(archive: Archive, label: str) -> str:
    """Return the path before the one ``pack.toml``, which is at the archive's top or in a folder there."""
    found = [name for name in archive.names if name.split("/")[-1] == MANIFEST_NAME and name.count("/") <= 1]
    if len(found) != 1:
        raise PackIntegrityError(
            f"the archive {printable(label)} holds {len(found)} {MANIFEST_NAME} and is no known pack's: "
            "a pack's archive holds one, at its top or in a folder there"
        )
    return found[0].removesuffix(MANIFEST_NAME)


def _unpack(archive: Archive, name: str, target: Path, most: int | None = None) -> None:
    try:
        with target.open("wb") as file:
            archive.unpack(name, file, most)
    except OSError as error:
        raise cannot_write(target, error, ADVICE) from error


def _write_manifest(folder: Path, manifest: PackManifest) -> None:
    try:
        (folder / MANIFEST_NAME).write_text(manifest_toml(manifest), "utf-8")
    except OSError as error:
        raise cannot_write(folder / MANIFEST_NAME, error, ADVICE) from error


def accepted_licenses() -> dict[str, str]:
    """Return the accepted licenses: ``LICENSE <URL>`` to the time of acceptance."""
    try:
        with (packs_folder() / _ACCEPTED_NAME).open("rb") as file:
            content = json.loads(file.read(_MAX_ACCEPTED_BYTES))
        accepted = content["accepted"]
        return {str(key): str(value) for key, value in accepted.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _require_license(manifest: PackManifest, accepted: bool) -> None:
    """Raise LicenceNotAcceptedError unless the pack's license is accepted, now or before; remember it."""
    remembered = accepted_licenses()
    key = f"{manifest.license} <{manifest.license_url}>"
    if key in remembered:
        return
    if not accepted:
        raise LicenceNotAcceptedError(f"{license_notice(manifest)}; to accept it, add --accept-license")
    remembered[key] = datetime.now(UTC).isoformat(timespec="seconds")
    content = json.dumps({"accepted": remembered}, indent=2, ensure_ascii=False)
    write_file(packs_folder() / _ACCEPTED_NAME, content.encode(), advice=ADVICE)
