"""Files of calibrations: a pack's, and the user's, made from the user's own photographs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from facebank.errors import PackIntegrityError, UsageError
from facebank.recognition.calibration.background import Background
from facebank.recognition.calibration.calibration import Calibration
from facebank.recognition.training import FITTED
from facebank.storage.files import file_version, is_file, new_file, new_folder, write_error, write_file
from facebank.storage.paths import calibrations_folder
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.gallery import PackIdentity

CALIBRATION_NAME = "calibration.json"
BACKGROUND_NAME = "background.npz"

_Content = TypeVar("_Content")
_MAX_BYTES = 8 << 20
_MODE = 0o666  # minus the umask: a calibration contains no faces
_ADVICE = "free some space, or set FACEBANK_CALIBRATIONS to a writable folder"


@dataclass(frozen=True, slots=True, eq=False)
class PackCalibration:
    """The calibration of a pack, as stored in files."""

    calibration: Calibration | None = None  # None for an uncalibrated pack
    background: Background | None = None  # None without one
    folder: Path | None = None  # the folder of the calibration; None for an uncalibrated pack


def find_pack_calibration(pack: PackIdentity, folder: Path | None) -> PackCalibration:
    """Return a pack's calibration; for each classifier the user's own takes precedence over the pack's.

    Files made for another pack are ignored. Raises `PackIntegrityError` if one is damaged.
    """
    folders = [candidate for candidate in (user_folder(pack), folder) if candidate is not None]
    calibrations = [
        (candidate, calibration)
        for candidate in folders
        if is_file(candidate / CALIBRATION_NAME)
        and (calibration := _read(pack, candidate, _read_calibration, CALIBRATION_NAME)).pack_digest == pack.digest
    ]
    if not calibrations:
        return PackCalibration()
    # The calibration of a fitted classifier is valid only with the background that it was measured with.
    fitted_folders = [
        candidate
        for candidate, calibration in calibrations
        if any(calibration.calibrator(classifier) is not None for classifier in FITTED)
    ]
    ordered = [*fitted_folders, *(candidate for candidate, _ in calibrations), *folders]
    background = next((candidate for candidate in ordered if is_file(candidate / BACKGROUND_NAME)), None)
    return PackCalibration(
        _join([calibration for _, calibration in calibrations]),
        None
        if background is None
        else _read(pack, background, lambda path: Background.read(path, pack.dimension), BACKGROUND_NAME),
        calibrations[0][0],
    )


class CachedPackCalibration:
    """A pack's calibration, reread when its files change; safe for several threads.

    Parameters
    ----------
    pack, folder
        As for `find_pack_calibration`.
    """

    def __init__(self, pack: PackIdentity, folder: Path | None) -> None:
        self._pack = pack
        self._folder = folder
        self._read: tuple[object, PackCalibration] | None = None

    def get(self) -> PackCalibration:
        """Return the current calibration; raises `PackIntegrityError` if it is damaged."""
        folders = [folder for folder in (user_folder(self._pack), self._folder) if folder is not None]
        version = [(path, file_version(path)) for folder in folders for path in _files_in(folder)]
        cached = self._read
        if cached is None or cached[0] != version:
            cached = self._read = version, find_pack_calibration(self._pack, self._folder)
        return cached[1]


def _files_in(folder: Path) -> tuple[Path, Path]:
    return folder / CALIBRATION_NAME, folder / BACKGROUND_NAME


def _join(calibrations: list[Calibration]) -> Calibration:
    """Return the first calibration, completed by further classifiers of the later ones."""
    first, *others = calibrations
    for other in others:
        missing = tuple(
            calibrator for calibrator in other.calibrators if first.calibrator(calibrator.classifier) is None
        )
        first = replace(first, calibrators=first.calibrators + missing)
    return first


def user_folder(pack: PackIdentity) -> Path:
    """Return the folder of the user's calibration of a pack."""
    return calibrations_folder() / pack.digest[:32]


def save_pack_calibration(calibration: Calibration, background: Background | None, folder: Path) -> None:
    """Write a calibration and its background into a folder, replacing existing ones.

    Without a background, an older one is removed. The folder is created if missing; the files have ordinary
    permissions. Raises `StorageError` if they cannot be written.
    """
    _create_folder(folder)
    target = folder / BACKGROUND_NAME
    with _translate_write_errors(target):
        if background is None:
            target.unlink(missing_ok=True)
        else:
            with new_file(target, mode=_MODE) as part:
                background.write(part.path)
    target = folder / CALIBRATION_NAME
    with _translate_write_errors(target):
        write_file(target, calibration.to_json().encode(), mode=_MODE)


def check_folder(folder: Path) -> None:
    """Raise `StorageError` if a folder for a calibration cannot be created or written; leaves it as it was."""
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        _create_folder(folder)
    finally:
        for path in missing:
            with suppress(OSError):  # another process may use it now
                path.rmdir()


def _create_folder(folder: Path) -> None:
    target = folder / CALIBRATION_NAME
    with _translate_write_errors(target), new_folder(target):
        pass


@contextmanager
def _translate_write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(target, error, _ADVICE) from error


def _read(pack: PackIdentity, folder: Path, reader: Callable[[Path], _Content], name: str) -> _Content:
    try:
        return reader(folder / name)
    except (OSError, UsageError) as error:
        raise PackIntegrityError(
            f"the calibration of the pack {printable(pack.name)!r} cannot be used: {error}; "
            f"recreate it with 'facebank packs calibrate', or remove {printable(str(folder))}"
        ) from error


def _read_calibration(path: Path) -> Calibration:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{printable(str(path))} is larger than {_MAX_BYTES >> 20} MiB")
    return Calibration.from_json(data, str(path))
