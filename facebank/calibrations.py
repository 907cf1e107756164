"""Where it is kept what a pack's scores are worth: with the pack, or made by the user from own photographs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import PackIntegrityError, UsageError
from facebank.packs.files import calibrations_folder, cannot_write, is_file
from facebank.recognition.background import Background
from facebank.recognition.calibration import Calibration
from facebank.text import printable

if TYPE_CHECKING:
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
    folder
        Where the calibration is kept; None where there is none.
    """

    calibration: Calibration | None = None
    background: Background | None = None
    folder: Path | None = None


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
        A file is damaged. One that was made for another pack, as a copied folder with a changed manifest has it, is
        passed over: the pack is not calibrated then.
    """
    places = [place for place in (user_folder(pack), folder) if place is not None]
    for number, place in enumerate(places):
        if is_file(place / CALIBRATION_NAME):
            found = _read(pack, place, places[number:])
            if found.calibration is not None and found.calibration.pack_digest == pack.digest:
                return found
    return Knowledge()


def user_folder(pack: PackIdentity) -> Path:
    """Return where the user's own calibration of a pack is kept."""
    return calibrations_folder() / pack.digest[:32]


def save_knowledge(calibration: Calibration, background: Background | None, folder: Path) -> None:
    """Write a calibration and its background into a folder, instead of those that are there.

    Parameters
    ----------
    calibration
        What a pack's scores are worth.
    background
        What goes with it; None for none, and an older one is removed.
    folder
        Made where missing. The files can be read by everybody who may read new files of this user.

    Raises
    ------
    StorageError
        They cannot be written.
    """
    require_folder(folder)
    target = folder / BACKGROUND_NAME
    if background is None:
        with _told_if_unwritable(target):
            target.unlink(missing_ok=True)
    else:
        with _replacing(target) as written:
            background.write(written)
    with _replacing(folder / CALIBRATION_NAME) as written:
        written.write_text(calibration.to_json(), encoding="utf-8")


def require_folder(folder: Path) -> None:
    """Make a folder that a calibration is to be kept in; `StorageError` if nothing can be written there."""
    with _replacing(folder / CALIBRATION_NAME, keep=False) as written:
        folder.mkdir(parents=True, exist_ok=True)
        written.touch()


@contextmanager
def _replacing(target: Path, *, keep: bool = True) -> Iterator[Path]:
    """Give a file to write, which takes the target's place as a whole; if it is not kept, only see that it could."""
    written = target.with_name(f".writing-{os.getpid()}-{target.name}")
    with _told_if_unwritable(target):
        try:
            yield written
            if keep:
                written.replace(target)
        finally:
            if is_file(written):
                written.unlink()


@contextmanager
def _told_if_unwritable(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(target, error, _ADVICE) from error


def _read(pack: PackIdentity, folder: Path, places: list[Path]) -> Knowledge:
    """Read a calibration, and the first background of some places: its own, else the pack's."""
    try:
        calibration = _read_calibration(folder / CALIBRATION_NAME)
        found = next((place / BACKGROUND_NAME for place in places if is_file(place / BACKGROUND_NAME)), None)
        background = None if found is None else Background.read(found, pack.dimension)
    except (OSError, UsageError) as error:
        raise PackIntegrityError(
            f"the calibration of the pack {printable(pack.name)!r} cannot be used: {error}; "
            f"make it anew with 'facebank packs calibrate', or remove {printable(str(folder))}"
        ) from error
    return Knowledge(calibration, background, folder)


def _read_calibration(path: Path) -> Calibration:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UsageError(f"{printable(str(path))} is longer than {_LARGEST >> 20} MiB")
    return Calibration.from_json(data, str(path))
