"""The packs installed on this computer: listed, added, verified, removed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from facebank.errors import ManifestError, PackError, PackIntegrityError, PackNotFoundError, UsageError
from facebank.packs.manifest import (
    EMBEDDED_FOLDER,
    MANIFEST_NAME,
    PackManifest,
    is_pack_name,
    read_manifest,
    read_manifest_file,
)
from facebank.packs.network_file import check_network
from facebank.packs.pack import EMBEDDED_NAME, Pack, former_folder, installed_names, pack_folder
from facebank.packs.prepare import checked_file
from facebank.storage.files import cannot_write, new_folder, sha256_of
from facebank.storage.paths import named_path, packs_folder
from facebank.storage.text import printable, shell_command

_ADVICE = "free some space, or set FACEBANK_PACKS to a folder that can be written"


class FileState(StrEnum):
    """How a file of a pack is."""

    OK = "ok"
    MISSING = "missing"
    ALTERED = "altered"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class FileHealth:
    """A file of a pack and how it is.

    Attributes
    ----------
    name
        The file's name in the pack's folder.
    state
        Whether its bytes are the published ones.
    """

    name: str
    state: FileState


@dataclass(frozen=True, slots=True)
class InstalledPack:
    """A pack of this computer, whole or not.

    Attributes
    ----------
    name, folder
        What it is called and where it is.
    embedded
        Whether it came with facebank.
    manifest
        What it says about itself; None where that is wrong.
    problem
        What is wrong with the manifest, in one sentence; None where nothing is.
    """

    name: str
    folder: Path
    embedded: bool
    manifest: PackManifest | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class PackHealth:
    """Whether a pack can be used.

    Attributes
    ----------
    pack
        The pack.
    files
        Its files and how they are; empty where the manifest is wrong.
    """

    pack: InstalledPack
    files: tuple[FileHealth, ...]

    @property
    def ok(self) -> bool:
        """Whether the manifest is right and every file whole."""
        return self.pack.problem is None and all(file.state is FileState.OK for file in self.files)


def list_packs() -> list[InstalledPack]:
    """Return the installed packs, the embedded one first, then by name; broken ones too."""
    return [_installed(name) for name in installed_names()]


def verify_pack(name: str | None = None) -> PackHealth:
    """Compare every file of an installed pack with the hashes in its manifest.

    Parameters
    ----------
    name
        The pack; None for the embedded one.

    Raises
    ------
    PackNotFoundError
        No pack of this name is installed.
    """
    pack = _installed(_checked_name(name or EMBEDDED_NAME))
    files = pack.manifest.files if pack.manifest else {}
    return PackHealth(
        pack, tuple(FileHealth(file, file_state(pack.folder / file, sha256)) for file, sha256 in files.items())
    )


def file_state(path: Path, sha256: str) -> FileState:
    """Compare a file with the hash that it must have."""
    try:
        return FileState.OK if sha256_of(path) == sha256 else FileState.ALTERED
    except FileNotFoundError:
        return FileState.MISSING
    except OSError:
        return FileState.UNREADABLE


def add_pack(folder: str | os.PathLike[str], *, replace: bool = False) -> Pack:
    """Copy a folder with a ``pack.toml`` and its ONNX files to the installed packs.

    Parameters
    ----------
    folder
        The folder; only the manifest and the files that it names are copied.
    replace
        Whether an installed pack of the same name is replaced.

    Raises
    ------
    ManifestError
        The ``pack.toml`` is missing or wrong.
    PackIntegrityError
        A file is missing or altered; the message says which.
    PackError
        A pack of this name is installed.
    StorageError
        The packs' folder cannot be written.
    """
    source = named_path(folder)
    manifest = read_manifest(source)
    refuse_taken(manifest.name, replace)
    with staging_folder() as staging:
        try:
            shutil.copyfile(source / MANIFEST_NAME, staging / MANIFEST_NAME)
        except OSError as error:
            raise cannot_write(staging / MANIFEST_NAME, error, _ADVICE) from error
        for file, sha256 in manifest.files.items():
            copy_checked(source / file, staging / file, sha256)
        return publish(staging, replace)


def remove_pack(name: str) -> None:
    """Delete an installed pack.

    Parameters
    ----------
    name
        The pack; a broken one can be removed too.

    Raises
    ------
    UsageError
        It is the embedded pack, which is part of facebank.
    PackNotFoundError
        No pack of this name is installed.
    StorageError
        It cannot be deleted.
    """
    if name == EMBEDDED_NAME:
        raise UsageError(f"the pack {EMBEDDED_NAME!r} is part of facebank and cannot be removed")
    folder, former = pack_folder(_checked_name(name)), former_folder(name)
    with staging_folder() as staging:
        try:
            for number, each in enumerate((former, folder) if former.is_dir() and former != folder else (folder,)):
                each.replace(staging / str(number))
        except OSError as error:
            raise cannot_write(folder, error, "check the permissions of the folder") from error


def assemble_pack(
    manifest: str | os.PathLike[str], weights: str | os.PathLike[str], target: str | os.PathLike[str]
) -> Pack:
    """Make a pack's folder from a manifest and a folder of weights, with links instead of copies.

    Parameters
    ----------
    manifest
        A manifest file of any name.
    weights
        A folder that holds the ONNX files, itself or its folders one level below.
    target
        The pack's folder; made where missing.

    Raises
    ------
    ManifestError
        The manifest is wrong.
    PackIntegrityError
        A file is missing or altered.
    StorageError
        The target cannot be written.
    """
    content = read_manifest_file(named_path(manifest))
    sources = {file: _find(named_path(weights), file, sha256) for file, sha256 in content.files.items()}
    folder = named_path(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest, folder / MANIFEST_NAME)
        for file, source in sources.items():
            (folder / file).unlink(missing_ok=True)
            (folder / file).symlink_to(source.resolve())
    except OSError as error:
        raise cannot_write(folder, error, "choose another folder") from error
    return Pack(read_manifest(folder), folder)


@contextmanager
def staging_folder() -> Iterator[Path]:
    """Make a folder beside the installed packs, deleted at the end unless it was published.

    Raises
    ------
    StorageError
        The packs' folder cannot be written.
    """
    packs = packs_folder()
    with ExitStack() as stack:
        try:
            staging = stack.enter_context(new_folder(packs / "pack"))
        except OSError as error:
            raise cannot_write(packs, error, _ADVICE) from error
        yield staging


def publish(staging: Path, replace: bool) -> Pack:
    """Check a staged pack once more, try its networks, and move it to its place, at once and wholly.

    Raises
    ------
    ManifestError
        The ``pack.toml`` is wrong, or says something else than its networks.
    PackIntegrityError
        A file is missing or altered, keeps weights in another file, or does not do what a pack must do.
    MissingDependencyError
        No runtime is installed to try the networks with.
    PackError
        A pack of this name is installed.
    StorageError
        The folder cannot be moved.
    """
    manifest = read_manifest(staging)
    for file, sha256 in manifest.files.items():
        if file_state(staging / file, sha256) is not FileState.OK:
            raise PackIntegrityError(
                f"{file} of the pack {manifest.name!r} is partial or altered: its SHA-256 is not the one in pack.toml; "
                "nothing was installed, get the pack again"
            )
        check_network(staging / file)
    refuse_taken(manifest.name, replace)
    from facebank.packs.trial import try_pack  # what starts processes is needed here only

    try_pack(staging, manifest)
    target = packs_folder() / manifest.name
    with staging_folder() as aside:
        try:
            staging.chmod(0o755)
            _swap(staging, target, former_folder(manifest.name), aside)
        except OSError as error:
            raise cannot_write(target, error, _ADVICE) from error
    return Pack(read_manifest(target), target)


def refuse_taken(name: str, replace: bool) -> None:
    """Raise unless a pack may be installed under this name."""
    if name == EMBEDDED_NAME:
        raise PackError(f"the name {EMBEDDED_NAME!r} belongs to the embedded pack: give the pack another name")
    if not replace and name in installed_names():
        raise PackError(f"a pack {name!r} is installed: remove it first (`{shell_command('packs', 'remove', name)}`)")


def copy_checked(source: Path, target: Path, sha256: str) -> None:
    """Copy a file whose hash is known.

    Raises
    ------
    PackIntegrityError
        The source is missing or altered.
    StorageError
        The target cannot be written.
    """
    checked_file(source, sha256)
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise cannot_write(target, error, _ADVICE) from error


def _swap(new: Path, target: Path, former: Path, aside: Path) -> None:
    """Move a folder to its place and what was there aside; killed anywhere, `pack_folder` finds one of the two."""
    _settle(target, former, aside / "0")
    try:
        with contextlib.suppress(FileNotFoundError):
            target.replace(former)
        new.replace(target)
    finally:
        with contextlib.suppress(OSError):  # the next replacement does it
            _settle(target, former, aside / "1")


def _settle(target: Path, former: Path, aside: Path) -> None:
    """Put a former pack back where no other has taken its place, else aside."""
    if os.path.lexists(former):
        former.replace(aside if os.path.lexists(target) else target)


def _installed(name: str) -> InstalledPack:
    embedded = name == EMBEDDED_NAME
    folder = EMBEDDED_FOLDER if embedded else pack_folder(name)
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        return InstalledPack(name, folder, embedded, None, str(error))
    if manifest.name != name:
        return InstalledPack(name, folder, embedded, None, f"its pack.toml says that it is {manifest.name!r}")
    return InstalledPack(name, folder, embedded, manifest, None)


def _checked_name(name: str) -> str:
    if not is_pack_name(name) or name not in installed_names():
        raise PackNotFoundError(f"no pack {printable(name)!r} is installed: see 'facebank packs list'")
    return name


def _find(weights: Path, file: str, sha256: str) -> Path:
    found = [path for path in (weights / file, *sorted(weights.glob(f"*/{file}"))) if path.is_file()]
    if not found:
        raise PackIntegrityError(f"{printable(str(weights / file))} is missing: put the file there")
    return checked_file(found[0], sha256)
