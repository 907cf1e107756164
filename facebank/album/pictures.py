"""Pictures of scanned photos and of faces in them, encoded anew: small, upright and without metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PhotoError, UsageError
from facebank.media import encode_thumbnail, read_photo, turn_photo
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.types import DecodedPhoto, Photo

_QUALITY = 75  # of the JPEG of a whole photo: many are shown side by side


def read_as_found(path: str, quarter_turns: int, content_hash: str, picture_hash: str | None) -> DecodedPhoto:
    """Read a photo as it was when its faces were found; raises `PhotoError` if it has changed."""
    photo = read_photo(path)
    if photo.content_hash != content_hash and (picture_hash is None or photo.picture_hash != picture_hash):
        raise PhotoError(f"{printable(path)} has changed since it was looked at")
    return turn_photo(photo, quarter_turns)


def photo_picture(photo: Photo, side: int) -> bytes:
    """Return a scanned photo as a JPEG whose longer side is `side` at most; `PhotoError` if it cannot be read."""
    upright = _upright(photo)
    whole = np.array([0, 0, upright.width, upright.height], np.float32)
    return encode_thumbnail(upright, whole, side, quality=_QUALITY)


def face_picture(photo: Photo, face_number: int, side: int) -> bytes:
    """Return a face of a scanned photo as a JPEG, with a margin.

    Raises `PhotoError` (the photo cannot be read) or `UsageError` (there is no such face).

    Parameters
    ----------
    photo
        As the scan has it.
    face_number
        From 1, the largest.
    side
        Its longer side is this at most.
    """
    if not 1 <= face_number <= len(photo.faces):
        raise UsageError(f"{printable(photo.path)} has no face {face_number}")
    return encode_thumbnail(_upright(photo), photo.faces[face_number - 1].box, side)


def _upright(photo: Photo) -> DecodedPhoto:
    return read_as_found(photo.path, photo.quarter_turns, photo.content_hash, photo.picture_hash)
