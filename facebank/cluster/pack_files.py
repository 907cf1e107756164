"""Transfer of a pack to workers that lack it, identified by the SHA-256 of its ``pack.toml``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import PackError, PackIntegrityError
from facebank.packs import FileState, file_state, load_pack, read_manifest
from facebank.storage.files import new_folder, translate_write_errors, write_file
from facebank.storage.paths import cache_folder
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.packs import Pack

MANIFEST = "pack.toml"
_ADVICE = "set FACEBANK_CACHE to a folder that can be written, on every machine of the cluster"


@dataclass(frozen=True, slots=True)
class PackName:
    """Name and digest of a pack."""

    name: str
    digest: str  # SHA-256 of its pack.toml, in hex

    @classmethod
    def of(cls, pack: Pack) -> PackName:
        """Return the name and digest of a pack."""
        return cls(pack.name, hashlib.sha256((pack.folder / MANIFEST).read_bytes()).hexdigest())


def read_pack_files(pack: Pack) -> dict[str, bytes]:
    """Return the verified files of a pack by name; raises `PackIntegrityError` if one is missing or altered."""
    files = {MANIFEST: (pack.folder / MANIFEST).read_bytes()}
    for name, sha256 in pack.manifest.files.items():
        _require_intact(pack.folder / name, sha256)
        files[name] = (pack.folder / name).read_bytes()
    return files


def ensure_pack(wanted: PackName, fetch: Callable[[], Mapping[str, bytes]]) -> Pack:
    """Return the requested pack: installed on this machine, from the cache, or fetched into the cache.

    `fetch` returns the pack's files by name. Raises `PackIntegrityError` (the fetched files are not the pack's) or
    `StorageError` (the cache cannot be written).
    """
    with suppress(PackError, OSError):
        pack = load_pack(wanted.name)
        if PackName.of(pack).digest == wanted.digest and _is_intact(pack):
            return pack
    folder = cache_folder() / "cluster-packs" / wanted.digest
    with suppress(PackError, OSError):
        pack = load_pack(folder)
        if PackName.of(pack).digest == wanted.digest and _is_intact(pack):
            return pack
    _install(folder, wanted, fetch())
    return load_pack(folder)


def _install(folder: Path, wanted: PackName, files: Mapping[str, bytes]) -> None:
    manifest = files.get(MANIFEST, b"")
    if hashlib.sha256(manifest).hexdigest() != wanted.digest:
        raise PackIntegrityError(f"the pack {printable(wanted.name)!r} has changed during the job: start the job again")
    with translate_write_errors(folder, _ADVICE), new_folder(folder) as staged:
        write_file(staged / MANIFEST, manifest)
        for name, sha256 in read_manifest(staged).files.items():
            write_file(staged / name, files.get(name, b""))
            _require_intact(staged / name, sha256)
        try:
            staged.rename(folder)
        except OSError:  # the folder exists: from another worker, or damaged
            with suppress(PackError, OSError):
                if _is_intact(load_pack(folder)):
                    return
            with new_folder(folder) as damaged:
                damaged.rmdir()
                folder.rename(damaged)
                staged.rename(folder)


def _is_intact(pack: Pack) -> bool:
    return all(file_state(pack.folder / name, sha256) is FileState.OK for name, sha256 in pack.manifest.files.items())


def _require_intact(path: Path, sha256: str) -> None:
    if file_state(path, sha256) is not FileState.OK:
        raise PackIntegrityError(f"{printable(str(path))} is missing or altered: install the pack again")
