"""Installs packs by name, from an address or from an untrusted file."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import LicenceNotAcceptedError, PackIntegrityError, PackNotFoundError, UsageError
from facebank.packs.checked_http import check_address
from facebank.packs.download import DownloadLimits, open_download
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
from facebank.packs.store import ADVICE, Pack, check_name_is_free, copy_checked, publish, staging_folder
from facebank.storage.files import is_file, sha256_of, translate_write_errors, write_file
from facebank.storage.paths import packs_folder
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO


_ACCEPTED_NAME = ".accepted-licences.json"
_MAX_ACCEPTED_BYTES = 1 << 20
_HASH = re.compile(r"sha256=([0-9a-fA-F]{64})")
_CHUNK = 1 << 20
_COMPRESSION_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Limits of an archive: total bytes of unpacked entries, and compression ratio of entries above 1 MiB."""

    unpacked_bytes: int = 2 << 30
    ratio: int = 100


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
    """Install a pack by name, from an address or from a file, and return it.

    Parameters
    ----------
    source
        A name of `known_packs`, or the ``https`` address or path of a zip archive: with a ``pack.toml``, or a known
        pack's published archive. An address may end in ``#sha256=`` and the archive's hash.
    accept_license
        Whether the user accepts the pack's license; not needed again for a license accepted before.
    replace
        Whether to replace an installed pack of the same name.
    progress
        Advanced by the bytes received.
    limits
        None for the defaults.
    registry
        The packs known by name; None for `known_packs`.

    Raises
    ------
    UsageError
        The fragment of an address is not a hash.
    PackNotFoundError
        The source does not exist.
    DownloadError
        The source cannot be downloaded.
    ManifestError
        The ``pack.toml`` is wrong, or the networks do not fit it.
    PackIntegrityError
        The archive or a file in it is partial, altered or unsafe, or the networks failed on photos.
    LicenceNotAcceptedError
        The license has not been accepted; the message states its terms.
    PackError
        A pack of this name is already installed, or the program is frozen.
    MissingDependencyError
        No runtime is installed, so the networks cannot be tried.
    StorageError
        The cache or the packs folder cannot be written.
    """
    packs = known_packs() if registry is None else registry
    installation = _Installation(accept_license, replace, progress, limits or InstallLimits(), packs)
    text = os.fspath(source)
    if text in packs:
        return installation.from_registry(packs[text])
    if "://" in text:
        return installation.from_address(text)
    if is_file(Path(text)):
        return installation.from_file(Path(text), text)
    raise PackNotFoundError(
        f"{printable(text)!r} is not the name of a known pack, an address or a file: use one of {', '.join(packs)}, or "
        "the https address or path of a zip archive"
    )


@dataclass(frozen=True, slots=True)
class _Installation:
    """Options of an installation, with a method for each kind of source."""

    accept_license: bool
    replace: bool
    progress: Progress
    limits: InstallLimits
    registry: Mapping[str, KnownPack]

    def from_registry(self, pack: KnownPack) -> Pack:
        """Install a known pack; name and license are checked before the download."""
        self._check(pack.manifest)
        with open_download(pack.url, pack.sha256, self.progress, self.limits.download) as path:
            return self._install_known(path, pack, pack.url)

    def from_address(self, address: str) -> Pack:
        """Download and install an archive; name and license are checked after the download."""
        url, sha256 = _split_hash(address)
        with open_download(url, sha256, self.progress, self.limits.download) as path:
            return self.from_file(path, url)

    def from_file(self, path: Path, label: str) -> Pack:
        """Install a known pack's published file, or an archive with a manifest."""
        try:
            sha256 = sha256_of(path)
        except OSError as error:
            raise PackIntegrityError(
                f"{printable(label)} cannot be read ({error.strerror}): check its permissions"
            ) from error
        known_pack = next((pack for pack in self.registry.values() if pack.sha256 == sha256), None)
        if known_pack is None:
            return self._install_archive(path, label)
        self._check(known_pack.manifest)
        return self._install_known(path, known_pack, label)

    def _install_archive(self, path: Path, label: str) -> Pack:
        with open_archive(path, self.limits.archive, label) as archive, staging_folder() as staging:
            prefix = _pack_prefix(archive, label)
            _unpack(archive, f"{prefix}{MANIFEST_NAME}", staging / MANIFEST_NAME, MAX_MANIFEST_BYTES)
            manifest = read_manifest(staging)
            self._check(manifest)
            for name in manifest.files:
                _unpack(archive, f"{prefix}{name}", staging / name)
            return publish(staging, self.replace)

    def _install_known(self, path: Path, pack: KnownPack, label: str) -> Pack:
        """Install published networks; a single embedder is completed by the embedded detector."""
        files = pack.manifest.files
        with staging_folder() as staging:
            _write_manifest(staging, pack.manifest)
            if pack.sha256 in files.values():
                for name, sha256 in files.items():
                    copy_checked(path if sha256 == pack.sha256 else EMBEDDED_FOLDER / name, staging / name, sha256)
                return publish(staging, self.replace)
            with open_archive(path, self.limits.archive, label) as archive:
                for name in files:
                    _unpack(archive, f"{pack.folder}/{name}".lstrip("/"), staging / name)
            return publish(staging, self.replace)

    def _check(self, manifest: PackManifest) -> None:
        check_name_is_free(manifest.name, self.replace)
        _require_license(manifest, self.accept_license)


def _split_hash(address: str) -> tuple[str, str | None]:
    url, _, fragment = address.partition("#")
    check_address(url)
    if not fragment:
        return url, None
    match = _HASH.fullmatch(fragment)
    if match is None:
        raise UsageError(
            f"{printable(address)} does not end in a hash: after #, write sha256= and 64 hexadecimal digits"
        )
    return url, match[1].lower()


def _pack_prefix(archive: Archive, label: str) -> str:
    """Return the prefix of the pack's entries: the folder of the only ``pack.toml`` and a slash, or "" at the top."""
    manifests = [name for name in archive.names if name.split("/")[-1] == MANIFEST_NAME and name.count("/") <= 1]
    if len(manifests) != 1:
        raise PackIntegrityError(
            f"the archive {printable(label)} contains {len(manifests)} {MANIFEST_NAME} and is not a known pack: it "
            "needs one, at its top or one folder below"
        )
    return manifests[0].removesuffix(MANIFEST_NAME)


def _unpack(archive: Archive, name: str, target: Path, max_bytes: int | None = None) -> None:
    with translate_write_errors(target, ADVICE), target.open("wb") as file:
        archive.unpack(name, file, max_bytes)


def _write_manifest(folder: Path, manifest: PackManifest) -> None:
    with translate_write_errors(folder / MANIFEST_NAME, ADVICE):
        (folder / MANIFEST_NAME).write_text(manifest_toml(manifest), "utf-8")


def accepted_licenses() -> dict[str, str]:
    """Return the time of acceptance (ISO 8601, UTC) of each accepted license, by ``LICENSE <URL>``."""
    try:
        with (packs_folder() / _ACCEPTED_NAME).open("rb") as file:
            content = json.loads(file.read(_MAX_ACCEPTED_BYTES))
        accepted = content["accepted"]
        return {str(key): str(value) for key, value in accepted.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _require_license(manifest: PackManifest, is_accepted: bool) -> None:
    """Record that a pack's license is accepted; raises `LicenceNotAcceptedError` unless it is, now or before."""
    acceptances = accepted_licenses()
    key = f"{manifest.license} <{manifest.license_url}>"
    if key in acceptances:
        return
    if not is_accepted:
        raise LicenceNotAcceptedError(f"{license_notice(manifest)}; to accept it, add --accept-license")
    acceptances[key] = datetime.now(UTC).isoformat(timespec="seconds")
    content = json.dumps({"accepted": acceptances}, indent=2, ensure_ascii=False)
    write_file(packs_folder() / _ACCEPTED_NAME, content.encode(), advice=ADVICE)


class Archive:
    """A zip archive with a validated list of entries; see `open_archive`."""

    def __init__(self, archive: zipfile.ZipFile, label: str, limits: ArchiveLimits) -> None:
        self._archive = archive
        self._label = label
        self._limits = limits
        self._unpacked = 0
        self._entries = {entry.filename: entry for entry in archive.infolist()}
        if len(self._entries) != len(archive.infolist()):
            raise self._refusal("contains the same name twice")
        for entry in archive.infolist():
            self._check(entry)

    @property
    def names(self) -> list[str]:
        """The names of the entries, in the archive's order."""
        return list(self._entries)

    def unpack(self, name: str, target: BinaryIO, max_bytes: int | None = None) -> None:
        """Write an entry to an open file.

        `max_bytes` limits its size further than the archive's limits. Raises `PackIntegrityError` (the entry is
        missing, broken or too large) or `OSError` (the target cannot be written).
        """
        entry = self._entries.get(name)
        if entry is None:
            raise self._refusal(f"does not contain {printable(name)}")
        remaining = self._limits.unpacked_bytes - self._unpacked
        if entry.file_size > (remaining if max_bytes is None else min(remaining, max_bytes)):
            raise self._refusal(f"unpacks {printable(name)} to {entry.file_size} bytes, which is too much")
        if entry.file_size > _CHUNK and entry.file_size > self._limits.ratio * entry.compress_size:
            raise self._refusal(f"unpacks {printable(name)} to more than {self._limits.ratio} times its size")
        self._unpacked += entry.file_size
        target.writelines(self._chunks(entry))

    def _chunks(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield an entry's bytes, at most its stated size; verifies its checksum at the end."""
        try:
            with self._archive.open(entry) as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except _ARCHIVE_ERRORS as error:
            raise _broken_archive_error(self._label, error) from error

    def _check(self, entry: zipfile.ZipInfo) -> None:
        name = entry.orig_filename
        parts = name.removesuffix("/").split("/")
        if any(part in {"", ".", ".."} or any(character in part for character in "\\:\0") for part in parts):
            raise self._refusal(f"contains the unsafe path {printable(name)}")
        if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise self._refusal(f"contains a link or device, {printable(name)}")
        if entry.flag_bits & 1:
            raise self._refusal("is encrypted")
        if entry.compress_type not in _COMPRESSION_METHODS:
            raise self._refusal(f"contains {printable(name)} with an unsupported compression")

    def _refusal(self, fault: str) -> PackIntegrityError:
        return PackIntegrityError(f"the archive {self._label} {fault}: get it from its publisher")


@contextmanager
def open_archive(path: Path, limits: ArchiveLimits | None = None, label: str | None = None) -> Iterator[Archive]:
    """Context manager that yields a zip archive with a validated list of entries; nothing is unpacked yet.

    `label` names the archive in messages, by default its file name; `limits` default to `ArchiveLimits()`. Raises
    `PackIntegrityError` if the file is not a complete zip archive, or contains absolute paths, ``..``, backslashes,
    links, encrypted entries, duplicate names, or more entries than fit in 1 MiB.
    """
    label = printable(label or path.name)
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(_BoundedFile(path))))
        except _ARCHIVE_ERRORS as error:
            raise _broken_archive_error(label, error) from error
        yield Archive(archive, label, limits or ArchiveLimits())


class _BoundedFile(io.FileIO):
    """A file that refuses reads of more than 1 MiB, to keep `zipfile` from reading a huge list of entries."""

    def read(self, size: int | None = -1, /) -> bytes:
        position = self.tell()
        remaining = self.seek(0, io.SEEK_END) - position
        self.seek(position)
        requested = remaining if size is None or size < 0 else size
        if requested > _CHUNK:
            raise zipfile.BadZipFile(f"{requested} bytes at once")
        return super().read(requested) or b""


def _broken_archive_error(label: str, error: Exception) -> PackIntegrityError:
    reason = printable(str(error)) or type(error).__name__
    return PackIntegrityError(f"the archive {label} is not a complete zip archive ({reason}): download it again")
