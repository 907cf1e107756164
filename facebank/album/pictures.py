"""Scanned photos read again, and small upright pictures of them and of their faces, without metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PhotoError, UsageError
from facebank.media import encode_thumbnail, read_photo, turn_photo
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.types import DecodedPhoto, Face, Photo

_QUALITY = 75  # JPEG quality of a whole photo, low because many are shown side by side


def read_unchanged(path: str, quarter_turns: int, content_hash: str, picture_hash: str | None) -> DecodedPhoto:
    """Return a photo as it was scanned, upright; raises `PhotoError` if its content has changed.

    Parameters
    ----------
    path
        The file.
    quarter_turns
        Counter-clockwise, that made the photo upright, 0..3.
    content_hash, picture_hash
        SHA-256 in hex of the bytes and of the pixels as scanned; a file with other metadata is accepted.
    """
    photo = read_photo(path)
    if photo.content_hash != content_hash and (picture_hash is None or photo.picture_hash != picture_hash):
        raise PhotoError(changed_photo_message(path))
    return turn_photo(photo, quarter_turns)


def changed_photo_message(path: str) -> str:
    """Return the message for a photo whose content has changed since it was scanned."""
    return f"{printable(path)} has changed since it was scanned: scan again"


def face_at(photo: Photo, face_number: int) -> Face:
    """Return a face of a scanned photo by its number, from 1; raises `UsageError` if there is no such face."""
    if not 1 <= face_number <= len(photo.faces):
        raise UsageError(
            f"{printable(photo.path)} has no face {face_number}: choose one of its {len(photo.faces)} faces"
        )
    return photo.faces[face_number - 1]


def photo_picture(photo: Photo, side: int) -> bytes:
    """Return a scanned photo as a JPEG file whose longer side has at most `side` pixels.

    Raises `PhotoError` if the photo cannot be read, or has changed.
    """
    upright = _upright(photo)
    box = np.array([0, 0, upright.width, upright.height], np.float32)
    return encode_thumbnail(upright, box, side, quality=_QUALITY)


def face_picture(photo: Photo, face_number: int, side: int) -> bytes:
    """Return a face of a scanned photo, with a margin, as a JPEG file.

    Raises `PhotoError` (the photo cannot be read, or has changed) or `UsageError` (there is no such face).

    Parameters
    ----------
    photo
        As the scan stores it.
    face_number
        From 1, the largest face.
    side
        Largest length of the longer side, in pixels.
    """
    face = face_at(photo, face_number)
    return encode_thumbnail(_upright(photo), face.box, side)


def _upright(photo: Photo) -> DecodedPhoto:
    return read_unchanged(photo.path, photo.quarter_turns, photo.content_hash, photo.picture_hash)
