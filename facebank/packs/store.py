"""Packs on this computer: loading, listing, verifying, adding and removing them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import ManifestError, PackError, PackIntegrityError, PackNotFoundError, UsageError
from facebank.packs.manifest import (
    EMBEDDED_FOLDER,
    MANIFEST_NAME,
    DetectorSpec,
    EmbedderSpec,
    PackManifest,
    is_pack_name,
    read_manifest,
)
from facebank.packs.network_file import NetworkFile, check_network, verify_file
from facebank.packs.registry import known_packs
from facebank.storage.files import is_file, new_folder, sha256_of, translate_write_errors
from facebank.storage.paths import named_path, packs_folder
from facebank.storage.text import printable, shell_command

if TYPE_CHECKING:
    from facebank.packs.graph import DynamicAxes

EMBEDDED_NAME = "opencv"
ADVICE = "free some space, or set FACEBANK_PACKS to a folder that can be written"
_FORMER = ".former"


@dataclass(frozen=True, slots=True)
class Pack:
    """A usable pack: a folder with a manifest and networks.

    Attributes
    ----------
    manifest
        The content of its ``pack.toml``.
    folder
        The pack's folder.

    Examples
    --------
    >>> from facebank import load_pack
    >>> pack = load_pack()
    >>> pack.name, pack.manifest.embedder.dimension
    ('opencv', 128)
    """

    manifest: PackManifest
    folder: Path

    @property
    def name(self) -> str:
        """The pack's name.

        Examples
        --------
        >>> from facebank import load_pack
        >>> load_pack().name
        'opencv'
        """
        return self.manifest.name

    @property
    def digest(self) -> str:
        """SHA-256 in hex over all that determines embeddings; packs with equal digests give comparable embeddings.

        Examples
        --------
        >>> from facebank import load_pack
        >>> len(load_pack().digest)
        64
        """
        return self.manifest.digest

    def detector_path(self) -> Path:
        """Return the path of the detector's ONNX file, verified, and prepared if the manifest requires it.

        Raises
        ------
        PackIntegrityError
            The file is missing or altered, or cannot be prepared.
        StorageError
            The cache cannot be written.

        Examples
        --------
        >>> pack = load_pack()
        >>> pack.detector_path().suffix
        '.onnx'
        """
        return self.detector_file.path()

    def embedder_path(self) -> Path:
        """Return the path of the embedder's ONNX file; see `detector_path`.

        Examples
        --------
        >>> pack = load_pack()
        >>> pack.embedder_path().suffix
        '.onnx'
        """
        return self.embedder_file.path()

    @property
    def detector_file(self) -> NetworkFile:
        """The detector's network, in the forms that runtimes load.

        Examples
        --------
        >>> pack = load_pack()
        >>> pack.detector_file.source.suffix
        '.onnx'
        """
        return self._network_file(self.manifest.detector, "batch_and_size")

    @property
    def embedder_file(self) -> NetworkFile:
        """The embedder's network; see `detector_file`.

        Examples
        --------
        >>> pack = load_pack()
        >>> pack.embedder_file.source.suffix
        '.onnx'
        """
        return self._network_file(self.manifest.embedder, "batch")

    def _network_file(self, spec: DetectorSpec | EmbedderSpec, axes: DynamicAxes) -> NetworkFile:
        return NetworkFile(self.folder / spec.file, spec.sha256, axes if spec.prepare else None)


@dataclass(frozen=True, slots=True)
class PackEntry:
    """A pack that is installed or can be installed by name."""

    name: str
    manifest: PackManifest | None  # None if the manifest of an installed pack is wrong
    folder: Path | None  # None if the pack is not installed
    problem: str | None = None  # the error in the manifest, in one sentence; None if it is valid

    @property
    def is_installed(self) -> bool:
        """Whether the pack is on this computer."""
        return self.folder is not None

    @property
    def is_embedded(self) -> bool:
        """Whether the pack is part of facebank."""
        return self.name == EMBEDDED_NAME


class FileState(StrEnum):
    """State of a file of a pack, compared with its published hash."""

    OK = "ok"
    MISSING = "missing"
    ALTERED = "altered"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class PackHealth:
    """An installed pack with the states of its files by name; no states if the manifest is wrong."""

    pack: PackEntry
    files: dict[str, FileState]

    @property
    def is_ok(self) -> bool:
        """Whether the manifest is valid and all files are unaltered."""
        return self.pack.problem is None and all(state is FileState.OK for state in self.files.values())


def load_pack(name_or_folder: str | os.PathLike[str] | None = None) -> Pack:
    """Return a pack with its manifest; its networks are verified when their paths are read.

    Parameters
    ----------
    name_or_folder
        Name of an installed pack, or a folder with a ``pack.toml`` (``./name`` if it looks like a name);
        None for the embedded pack.

    Raises
    ------
    PackNotFoundError
        The pack does not exist; the message lists the installed ones.
    ManifestError
        Its ``pack.toml`` is wrong.

    Examples
    --------
    >>> from facebank import load_pack
    >>> load_pack().name
    'opencv'
    """
    if name_or_folder is None or name_or_folder == EMBEDDED_NAME:
        return Pack(read_manifest(EMBEDDED_FOLDER), EMBEDDED_FOLDER)
    text = os.fspath(name_or_folder)
    if isinstance(name_or_folder, str) and is_pack_name(text) and pack_folder(text).is_dir():
        folder = pack_folder(text)
        manifest = read_manifest(folder)
        if manifest.name != text:
            raise ManifestError(
                f"{printable(str(folder / MANIFEST_NAME))}: name is {manifest.name!r}, but the pack is installed as "
                f"{text!r}: remove it and add it again"
            )
        return Pack(manifest, folder)
    if text and is_file(Path(text) / MANIFEST_NAME):
        return Pack(read_manifest(Path(text)), Path(text))
    if text in known_packs():
        raise PackNotFoundError(f"the pack '{text}' is not installed: run `{shell_command('packs', 'install', text)}`")
    raise PackNotFoundError(
        f"unknown pack {printable(text)!r}: installed are {', '.join(installed_names())}; "
        "see 'facebank packs list' and 'facebank packs install'"
    )


def installed_names() -> list[str]:
    """Return the names of the installed packs, including broken ones: the embedded one, then by name."""
    try:
        folders = [entry.name for entry in packs_folder().iterdir() if entry.is_dir()]
    except OSError:
        folders = []
    names = {name.removeprefix(".").removesuffix(_FORMER) if name.endswith(_FORMER) else name for name in folders}
    return [EMBEDDED_NAME, *sorted(name for name in names if is_pack_name(name) and name != EMBEDDED_NAME)]


def pack_folder(name: str) -> Path:
    """Return the folder of an installed pack, or of the former pack if its replacement was interrupted."""
    folder, former = packs_folder() / name, former_folder(name)
    return former if former.is_dir() and not folder.exists() else folder


def former_folder(name: str) -> Path:
    """Return the folder of a former pack while it is being replaced."""
    return packs_folder() / f".{name}{_FORMER}"


def list_packs() -> list[PackEntry]:
    """Return the installed packs, including broken ones: the embedded one, then by name."""
    return [_entry(name) for name in installed_names()]


def catalog() -> list[PackEntry]:
    """Return the installed packs, then those that can be installed by name."""
    installed = list_packs()
    names = {pack.name for pack in installed}
    return installed + [
        PackEntry(pack.name, pack.manifest, None) for pack in known_packs().values() if pack.name not in names
    ]


def find_pack(name: str) -> PackEntry:
    """Return a pack of the catalog; raises `PackNotFoundError` with the list of names."""
    packs = catalog()
    pack = next((pack for pack in packs if pack.name == name), None)
    if pack is None:
        names = ", ".join(printable(pack.name) for pack in packs)
        raise PackNotFoundError(f"unknown pack {printable(name)!r}: installed or known are {names}")
    return pack


def verify_pack(name: str | None = None) -> PackHealth:
    """Return the states of the files of an installed pack (None: the embedded one), by the hashes in its manifest.

    Raises `PackNotFoundError` if no pack of this name is installed.
    """
    pack = _entry(_installed_name(name or EMBEDDED_NAME))
    if pack.manifest is None or pack.folder is None:
        return PackHealth(pack, {})
    return PackHealth(
        pack, {name: file_state(pack.folder / name, sha256) for name, sha256 in pack.manifest.files.items()}
    )


def file_state(path: Path, sha256: str) -> FileState:
    """Return the state of a file with an expected SHA-256."""
    try:
        return FileState.OK if sha256_of(path) == sha256 else FileState.ALTERED
    except FileNotFoundError:
        return FileState.MISSING
    except OSError:
        return FileState.UNREADABLE


def add_pack(folder: str | os.PathLike[str], *, replace: bool = False) -> Pack:
    """Copy a pack from a folder to the installed packs and return it.

    Parameters
    ----------
    folder
        A folder with a ``pack.toml`` and its ONNX files; other files are not copied.
    replace
        Whether to replace an installed pack of the same name.

    Raises
    ------
    ManifestError
        The ``pack.toml`` is missing or wrong, or the networks do not fit it.
    PackIntegrityError
        A file is missing or altered, or the networks failed on photos.
    PackError
        A pack of this name is installed, or the program is frozen.
    MissingDependencyError
        No runtime is installed, so the networks cannot be tried.
    StorageError
        The packs folder cannot be written.
    """
    source = named_path(folder)
    manifest = read_manifest(source)
    check_name_is_free(manifest.name, replace)
    with staging_folder() as staging:
        _copy(source / MANIFEST_NAME, staging / MANIFEST_NAME)
        for name, sha256 in manifest.files.items():
            copy_checked(source / name, staging / name, sha256)
        return publish(staging, replace)


def remove_pack(name: str) -> None:
    """Delete an installed pack, even a broken one.

    Raises `UsageError` (it is the embedded pack, which is part of facebank), `PackNotFoundError` (no pack of this name
    is installed) or `StorageError` (it cannot be deleted).
    """
    if name == EMBEDDED_NAME:
        raise UsageError(f"the pack {EMBEDDED_NAME!r} is part of facebank and cannot be removed")
    folder, former = pack_folder(_installed_name(name)), former_folder(name)
    with staging_folder() as staging, translate_write_errors(folder, "check the permissions of the folder"):
        for number, path in enumerate((former, folder) if former.is_dir() and former != folder else (folder,)):
            path.replace(staging / str(number))


def assemble_pack(
    manifest: str | os.PathLike[str], weights: str | os.PathLike[str], target: str | os.PathLike[str]
) -> Pack:
    """Create a pack folder with a manifest and links to weights, and return the pack.

    Raises `ManifestError` (the manifest is wrong), `PackIntegrityError` (a file is missing or altered) or
    `StorageError` (the target cannot be written).

    Parameters
    ----------
    manifest
        A manifest file of any name.
    weights
        A folder with the ONNX files, directly or one level below.
    target
        The pack's folder; created if missing.
    """
    manifest_path, folder = named_path(manifest), named_path(target)
    files = read_manifest(manifest_path.parent, manifest_path.name).files
    weights_paths = {name: _find_weights(named_path(weights), name, sha256) for name, sha256 in files.items()}
    with translate_write_errors(folder, "choose another target folder"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest_path, folder / MANIFEST_NAME)
        for name, weights_path in weights_paths.items():
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(weights_path.resolve())
    return Pack(read_manifest(folder), folder)


@contextmanager
def staging_folder() -> Iterator[Path]:
    """Context manager that yields a new folder beside the installed packs, and deletes it; may raise `StorageError`."""
    packs = packs_folder()
    with ExitStack() as stack:
        with translate_write_errors(packs, ADVICE):
            staging = stack.enter_context(new_folder(packs / "pack"))
        yield staging


def publish(staging: Path, replace: bool) -> Pack:
    """Verify a pack in a staging folder, try it and move it into place in one step; return the installed pack.

    Raises the errors of `read_manifest`, `check_network` and `try_pack`; `PackIntegrityError` for a missing or altered
    file, `PackError` if a pack of this name is installed, `StorageError` if the folder cannot be moved.
    """
    manifest = read_manifest(staging)
    for name, sha256 in manifest.files.items():
        if file_state(staging / name, sha256) is not FileState.OK:
            raise PackIntegrityError(
                f"{name} of the pack {manifest.name!r} is partial or altered: its SHA-256 is not the one in pack.toml; "
                "get the pack again (nothing was installed)"
            )
        check_network(staging / name)
    check_name_is_free(manifest.name, replace)
    from facebank.packs.trial import try_pack  # imports modules for processes

    try_pack(staging, manifest)
    target = packs_folder() / manifest.name
    with staging_folder() as aside, translate_write_errors(target, ADVICE):
        staging.chmod(0o755)
        _swap(staging, target, former_folder(manifest.name), aside)
    return Pack(read_manifest(target), target)


def check_name_is_free(name: str, replace: bool) -> None:
    """Raise `PackError` if no pack may be installed under this name."""
    if name == EMBEDDED_NAME:
        raise PackError(f"{EMBEDDED_NAME!r} is the name of the embedded pack: give the pack another name")
    if not replace and name in installed_names():
        raise PackError(f"a pack {name!r} is installed: remove it first (`{shell_command('packs', 'remove', name)}`)")


def copy_checked(source: Path, target: Path, sha256: str) -> None:
    """Copy a file; raises `PackIntegrityError` if it is missing or altered, and `StorageError`."""
    _copy(verify_file(source, sha256), target)


def _copy(source: Path, target: Path) -> None:
    with translate_write_errors(target, ADVICE):
        shutil.copyfile(source, target)


def _swap(new: Path, target: Path, former: Path, aside: Path) -> None:
    """Replace a pack's folder; if the process is killed, `pack_folder` finds the former or the new one."""
    _clear_former(target, former, aside / "0")
    try:
        with contextlib.suppress(FileNotFoundError):
            target.replace(former)
        new.replace(target)
    finally:
        with contextlib.suppress(OSError):  # the next replacement clears it
            _clear_former(target, former, aside / "1")


def _clear_former(target: Path, former: Path, aside: Path) -> None:
    """Move a former pack back if its place is free, else aside."""
    if os.path.lexists(former):
        former.replace(aside if os.path.lexists(target) else target)


def _entry(name: str) -> PackEntry:
    folder = EMBEDDED_FOLDER if name == EMBEDDED_NAME else pack_folder(name)
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        return PackEntry(name, None, folder, str(error))
    if manifest.name != name:
        return PackEntry(name, None, folder, f"its pack.toml names another pack, {manifest.name!r}")
    return PackEntry(name, manifest, folder)


def _installed_name(name: str) -> str:
    if not is_pack_name(name) or name not in installed_names():
        raise PackNotFoundError(f"no pack {printable(name)!r} is installed: see 'facebank packs list'")
    return name


def _find_weights(folder: Path, name: str, sha256: str) -> Path:
    paths = [path for path in (folder / name, *sorted(folder.glob(f"*/{name}"))) if path.is_file()]
    if not paths:
        raise PackIntegrityError(f"{printable(str(folder / name))} is missing: copy the file there")
    return verify_file(paths[0], sha256)
