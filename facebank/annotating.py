"""Pictures of identified photos, with frames and names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import StorageError
from facebank.media import LARGEST_JPEG_SIDE, Mark, annotate_photo, read_photo, turn_photo
from facebank.text import printable

if TYPE_CHECKING:
    from facebank.faces import IdentifiedFace, IdentifiedPhoto


class Annotator:
    """Writes annotated pictures into a folder; no file that was there before is replaced.

    Parameters
    ----------
    folder
        Made if there is none.

    Raises
    ------
    StorageError
        The folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{printable(str(self._folder))} cannot be made: {error.strerror}") from error

    def write(self, identified: IdentifiedPhoto) -> Path:
        """Write one photo with its faces framed and named.

        Parameters
        ----------
        identified
            A photo that could be read; it is read again.

        Returns
        -------
        Path
            The picture: named as the photo, with a number where the folder has that name already. A PNG where the photo
            is one, or is wider or higher than a JPEG can be; else a JPEG.

        Raises
        ------
        PhotoError
            The photo is no longer there.
        StorageError
            The picture cannot be written.
        """
        photo = turn_photo(read_photo(identified.image), identified.quarter_turns)
        source = Path(identified.image)
        suffix = source.suffix if source.suffix.lower() in (".jpg", ".jpeg", ".png") else ".jpg"
        if max(photo.width, photo.height) > LARGEST_JPEG_SIDE:
            suffix = ".png"
        target = free_name(self._folder, source.stem, suffix)
        annotate_photo(photo, [_mark(face) for face in identified.faces], target)
        return target


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """Return a file's path in a folder, with a number where the name is taken."""
    target, number = folder / f"{stem}{suffix}", 2
    while target.exists():
        target, number = folder / f"{stem}-{number}{suffix}", number + 1
    return target


def _mark(face: IdentifiedFace) -> Mark:
    detection, decision = face.face.detection, face.decision
    return Mark(detection.box, detection.landmarks, decision.person or decision.outcome.value, decision.outcome)
