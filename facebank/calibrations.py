"""Where it is kept what a pack's scores are worth: with the pack, or made by the user from own photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import PackIntegrityError, UsageError
from facebank.packs.files import calibrations_folder, is_file, write_atomically
from facebank.recognition.background import Background
from facebank.recognition.calibration import Calibration
from facebank.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.gallery import PackIdentity

CALIBRATION_NAME = "calibration.json"
BACKGROUND_NAME = "background.npz"

_LARGEST = 8 << 20
_ADVICE = "free some space, or set FACEBANK_CALIBRATIONS to a folder that can be written"


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What is known of a pack's embeddings.

    Attributes
    ----------
    calibration
        What its scores are worth; None where nobody found out.
    background
        What people look like who are not enrolled; None where nobody found out.
    """

    calibration: Calibration | None = None
    background: Background | None = None


def find_knowledge(pack: PackIdentity, folder: Path | None) -> Knowledge:
    """Return what is known of a pack: the user's own calibration, else the one that came with it.

    Parameters
    ----------
    pack
        Name, digest and dimension.
    folder
        The pack's; None where it has none of facebank's files.

    Raises
    ------
    PackIntegrityError
        A file is damaged, or made for another pack.
    """
    for place in (user_folder(pack), folder):
        if place is not None and is_file(place / CALIBRATION_NAME):
            return _read(pack, place)
    return Knowledge()


def user_folder(pack: PackIdentity) -> Path:
    """Return where the user's own calibration of a pack is kept."""
    return calibrations_folder() / pack.digest[:32]


def save_knowledge(calibration: Calibration, background: Background, folder: Path) -> None:
    """Write a calibration and its background into a folder, which is made; `StorageError` if they cannot be."""
    background.write(folder / BACKGROUND_NAME)
    write_atomically(folder / CALIBRATION_NAME, calibration.to_json().encode(), _ADVICE)


def _read(pack: PackIdentity, folder: Path) -> Knowledge:
    try:
        calibration = _read_calibration(pack, folder / CALIBRATION_NAME)
        background = folder / BACKGROUND_NAME
        known = Background.read(background, pack.dimension) if is_file(background) else None
    except (OSError, UsageError) as error:
        raise PackIntegrityError(
            f"the calibration of the pack {printable(pack.name)!r} cannot be used: {error}; "
            f"make it anew with 'facebank packs calibrate', or remove {printable(str(folder))}"
        ) from error
    return Knowledge(calibration, known)


def _read_calibration(pack: PackIdentity, path: Path) -> Calibration:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UsageError(f"{printable(str(path))} is longer than {_LARGEST >> 20} MiB")
    calibration = Calibration.from_json(data, str(path))
    if calibration.pack_digest != pack.digest:
        raise UsageError(f"{printable(str(path))} was made for another pack")
    return calibration
