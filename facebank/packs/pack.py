"""A pack that can be used, and how one is found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from facebank.errors import ManifestError, PackNotFoundError
from facebank.packs.manifest import EMBEDDED_FOLDER, MANIFEST_NAME, PackManifest, is_pack_name, read_manifest
from facebank.packs.prepare import checked_file, prepared_model, prepared_network
from facebank.storage.files import is_file
from facebank.storage.paths import packs_folder
from facebank.storage.text import printable, shell_command

EMBEDDED_NAME = "opencv"
_FORMER = ".former"


@dataclass(frozen=True, slots=True)
class Pack:
    """A folder with a manifest and networks.

    Attributes
    ----------
    manifest
        What its ``pack.toml`` says.
    folder
        Where it is.
    """

    manifest: PackManifest
    folder: Path

    @property
    def name(self) -> str:
        """What the pack is called."""
        return self.manifest.name

    @property
    def digest(self) -> str:
        """SHA-256 in hex over what makes embeddings; equal digests make comparable embeddings."""
        return self.manifest.digest

    def detector_path(self) -> Path:
        """Return the detector's ONNX file, verified, and prepared where the manifest asks for it.

        Raises
        ------
        PackIntegrityError
            The file is missing or altered, or cannot be prepared.
        StorageError
            The cache cannot be written.
        """
        spec = self.manifest.detector
        source = self.folder / spec.file
        if spec.prepare:
            return prepared_model(source, spec.sha256, "batch_and_size")
        return checked_file(source, spec.sha256)

    def embedder_path(self) -> Path:
        """Return the embedder's ONNX file; as `detector_path`."""
        spec = self.manifest.embedder
        source = self.folder / spec.file
        return prepared_model(source, spec.sha256) if spec.prepare else checked_file(source, spec.sha256)

    def detector_network(self) -> Path | bytes:
        """Return the detector for `facebank.packs.runtime.open_session`.

        It is the file of `detector_path`, or the prepared network itself where the cache cannot be written.

        Raises
        ------
        PackIntegrityError
            The file is missing or altered, or cannot be prepared.
        """
        spec = self.manifest.detector
        source = self.folder / spec.file
        if spec.prepare:
            return prepared_network(source, spec.sha256, "batch_and_size")
        return checked_file(source, spec.sha256)

    def embedder_network(self) -> Path | bytes:
        """Return the embedder; as `detector_network`."""
        spec = self.manifest.embedder
        source = self.folder / spec.file
        return prepared_network(source, spec.sha256) if spec.prepare else checked_file(source, spec.sha256)


def load_pack(name_or_folder: str | os.PathLike[str] | None = None) -> Pack:
    """Find a pack and read its manifest; its networks are verified when their paths are asked for.

    Parameters
    ----------
    name_or_folder
        The name of an installed pack, or a folder with a ``pack.toml`` (``./name`` where a name could be meant);
        None for the embedded pack.

    Raises
    ------
    PackNotFoundError
        There is no such pack; the message lists those there are.
    ManifestError
        Its ``pack.toml`` is wrong.
    """
    if name_or_folder is None or name_or_folder == EMBEDDED_NAME:
        return Pack(read_manifest(EMBEDDED_FOLDER), EMBEDDED_FOLDER)
    text = os.fspath(name_or_folder)
    if isinstance(name_or_folder, str) and is_pack_name(text):
        folder = pack_folder(text)
        if folder.is_dir():
            return _installed(text, folder)
    if text and is_file(Path(text) / MANIFEST_NAME):
        return Pack(read_manifest(Path(text)), Path(text))
    raise _not_installed(text)


def installed_names() -> list[str]:
    """Return the names of the installed packs, broken ones too, the embedded one first."""
    try:
        folders = [entry.name for entry in packs_folder().iterdir() if entry.is_dir()]
    except OSError:
        folders = []
    names = {name.removeprefix(".").removesuffix(_FORMER) if name.endswith(_FORMER) else name for name in folders}
    return [EMBEDDED_NAME, *sorted(name for name in names if is_pack_name(name) and name != EMBEDDED_NAME)]


def pack_folder(name: str) -> Path:
    """Return the folder of an installed pack; the former pack's where a replacement was killed between the two."""
    folder, former = packs_folder() / name, former_folder(name)
    return former if former.is_dir() and not folder.exists() else folder


def former_folder(name: str) -> Path:
    """Return the folder in which a pack is kept while another takes its place."""
    return packs_folder() / f".{name}{_FORMER}"


def _not_installed(name: str) -> PackNotFoundError:
    from facebank.packs.registry import known_packs

    if name in known_packs():
        return PackNotFoundError(f"the pack '{name}' is not installed: run `{shell_command('packs', 'install', name)}`")
    return PackNotFoundError(
        f"there is no pack {printable(name)!r}: installed are {', '.join(installed_names())}; "
        "see 'facebank packs list' and 'facebank packs install'"
    )


def _installed(name: str, folder: Path) -> Pack:
    manifest = read_manifest(folder)
    if manifest.name != name:
        raise ManifestError(
            f"{printable(str(folder / MANIFEST_NAME))}: name is {manifest.name!r}, but the pack is installed as "
            f"{name!r}: remove it and add it again"
        )
    return Pack(manifest, folder)
