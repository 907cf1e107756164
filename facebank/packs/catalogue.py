"""Every pack there is to choose from: the installed ones and those that can be installed by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import PackNotFoundError
from facebank.packs.registry import known_packs
from facebank.packs.store import list_packs
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.packs.manifest import PackManifest


@dataclass(frozen=True, slots=True)
class CataloguedPack:
    """A pack that is installed or can be installed by name.

    Attributes
    ----------
    name
        What it is called.
    manifest
        What it says about itself; None where an installed pack's manifest is wrong.
    folder
        Where it is installed; None where it is not.
    embedded
        Whether it came with facebank.
    problem
        What is wrong with the manifest, in one sentence; None where nothing is.
    """

    name: str
    manifest: PackManifest | None
    folder: Path | None
    embedded: bool
    problem: str | None

    @property
    def installed(self) -> bool:
        """Whether it is on this computer."""
        return self.folder is not None


def catalogue() -> list[CataloguedPack]:
    """Return the installed packs, the embedded one first, then those that can be installed by name."""
    here = [CataloguedPack(pack.name, pack.manifest, pack.folder, pack.embedded, pack.problem) for pack in list_packs()]
    names = {pack.name for pack in here}
    known = known_packs().values()
    return here + [
        CataloguedPack(pack.name, pack.manifest, None, False, None) for pack in known if pack.name not in names
    ]


def catalogued_pack(name: str) -> CataloguedPack:
    """Return one pack of the catalogue.

    Parameters
    ----------
    name
        What it is called.

    Raises
    ------
    PackNotFoundError
        No pack of this name is installed or known; the message lists those that are.
    """
    packs = catalogue()
    found = next((pack for pack in packs if pack.name == name), None)
    if found is None:
        listed = ", ".join(printable(pack.name) for pack in packs)
        raise PackNotFoundError(f"no pack {printable(name)!r} is installed or known by name; there are: {listed}")
    return found
