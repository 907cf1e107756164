"""Where it is kept what a pack's scores are worth: with the pack, or made by the user from own photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from facebank.errors import PackIntegrityError, UsageError
from facebank.recognition.calibration.background import Background
from facebank.recognition.calibration.calibration import Calibration
from facebank.recognition.training import FITTED
from facebank.storage.files import cannot_write, is_file, new_file, new_folder, write_file
from facebank.storage.paths import calibrations_folder
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.gallery import PackIdentity

CALIBRATION_NAME = "calibration.json"
BACKGROUND_NAME = "background.npz"

_Content = TypeVar("_Content")
_LARGEST = 8 << 20
_MODE = 0o666  # less the umask: a calibration has no faces in it
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
    """Return what is known of a pack: the user's own calibration before the one that came with it.

    A classifier that the user did not calibrate keeps what came with the pack.

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
    found = [
        (place, calibration)
        for place in places
        if is_file(place / CALIBRATION_NAME)
        and (calibration := _read(pack, place, _read_calibration, CALIBRATION_NAME)).pack_digest == pack.digest
    ]
    if not found:
        return Knowledge()
    # A classifier that learns from the background is worth what was counted with that same background.
    fitted = [place for place, calibration in found if any(calibration.of(kind) is not None for kind in FITTED)]
    first = [*fitted, *(place for place, _ in found), *places]
    background = next((place for place in first if is_file(place / BACKGROUND_NAME)), None)
    return Knowledge(
        _joined([calibration for _, calibration in found]),
        None
        if background is None
        else _read(pack, background, lambda path: Background.read(path, pack.dimension), BACKGROUND_NAME),
        found[0][0],
    )


def _joined(found: list[Calibration]) -> Calibration:
    """Return the first calibration, with calibrators from later ones for the classifiers that it does not have."""
    first, *others = found
    for other in others:
        missing = tuple(one for one in other.calibrators if first.of(one.classifier) is None)
        first = replace(first, calibrators=first.calibrators + missing)
    return first


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
    with _told_if_unwritable(target):
        if background is None:
            target.unlink(missing_ok=True)
        else:
            with new_file(target, mode=_MODE) as part:
                background.write(part.path)
    target = folder / CALIBRATION_NAME
    with _told_if_unwritable(target):
        write_file(target, calibration.to_json().encode(), mode=_MODE)


def require_folder(folder: Path) -> None:
    """Make a folder that a calibration is to be kept in; `StorageError` if nothing can be written there."""
    target = folder / CALIBRATION_NAME
    with _told_if_unwritable(target), new_folder(target):
        pass


@contextmanager
def _told_if_unwritable(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(target, error, _ADVICE) from error


def _read(pack: PackIdentity, folder: Path, reader: Callable[[Path], _Content], name: str) -> _Content:
    """Read a file of a folder; `PackIntegrityError` if it is damaged."""
    try:
        return reader(folder / name)
    except (OSError, UsageError) as error:
        raise PackIntegrityError(
            f"the calibration of the pack {printable(pack.name)!r} cannot be used: {error}; "
            f"make it anew with 'facebank packs calibrate', or remove {printable(str(folder))}"
        ) from error


def _read_calibration(path: Path) -> Calibration:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UsageError(f"{printable(str(path))} is longer than {_LARGEST >> 20} MiB")
    return Calibration.from_json(data, str(path))
