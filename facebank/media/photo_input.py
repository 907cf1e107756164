"""Conversion of photos from paths, bytes, open files, Pillow images and arrays."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, TypeGuard, cast

import numpy as np

from facebank.errors import UnreadablePhotoError, UsageError
from facebank.media.metadata import ORIENTATION
from facebank.media.pixels import to_rgb
from facebank.media.reading import read_photo, read_photo_bytes
from facebank.storage.files import read_reason
from facebank.storage.text import printable
from facebank.types import DecodedPhoto

if TYPE_CHECKING:
    from typing import Any

    from PIL.Image import Image

    from facebank.types import RGBImage

StrPath: TypeAlias = str | os.PathLike[str]
Buffer: TypeAlias = bytes | bytearray | memoryview
PhotoInput: TypeAlias = "StrPath | Buffer | BinaryIO | Image | np.ndarray[Any, Any] | DecodedPhoto"
Channels: TypeAlias = Literal["RGB", "BGR"]

_SUPPORTED_TYPES = "a path, bytes, a binary file, a Pillow image or a uint8 array of shape (height, width, 3)"


def open_photo(photo: PhotoInput, channels: Channels = "RGB") -> DecodedPhoto:
    """Return a photo as upright RGB pixels, from one of the supported types.

    Raises `UsageError` (an unsupported type) or `PhotoError` (it cannot be read).

    Parameters
    ----------
    photo
        A path; bytes or a binary file of an encoded photo; a Pillow image; a ``uint8`` array of shape
        ``(height, width, 3)``.
    channels
        The channel order of an array: ``"RGB"``, or ``"BGR"`` as in OpenCV.
    """
    check_channels(channels)
    if isinstance(photo, DecodedPhoto):
        return photo
    if isinstance(photo, str | os.PathLike):
        return read_photo(photo)
    if isinstance(photo, Buffer):
        return read_photo_bytes(bytes(photo))
    if isinstance(photo, np.ndarray):
        return _from_pixels(photo if channels == "RGB" or photo.ndim != 3 else photo[..., ::-1], "<array>")
    if _is_pillow(photo):
        return _from_image(photo)
    check_photo(photo)
    return _from_file(cast("BinaryIO", photo))


def check_photo(photo: object) -> None:
    """Raise `UsageError` for an object of an unsupported type, or an array with an invalid shape or dtype."""
    if photo_label(photo) is not None:
        if isinstance(photo, np.ndarray):
            DecodedPhoto("<array>", photo, "", has_orientation=False, taken_at=None)  # raises for invalid pixels
        return
    type_name = type(photo).__name__
    advice = ""
    if isinstance(photo, list | tuple | set | frozenset):
        advice = ": pass the photos themselves, not lists of them"
    elif isinstance(photo, io.TextIOBase):
        advice = ": open the file with mode 'rb'"
    elif hasattr(photo, "numpy"):
        advice = ": convert it with .numpy()"
    noun = "None" if photo is None else f"{'an' if type_name[0] in 'aeiouAEIOU' else 'a'} {type_name}"
    raise UsageError(f"a photo must be {_SUPPORTED_TYPES}, not {noun}{advice}")


def check_channels(channels: str) -> None:
    """Raise `UsageError` for an unknown channel order."""
    if channels not in ("RGB", "BGR"):  # a tuple, because unhashable values fail in a set
        raise UsageError(f"unknown channel order {printable(str(channels))!r}: use channels='RGB' or 'BGR'")


def photo_label(photo: object) -> str | None:
    """Return a photo's name for messages: its path, or a label of its type; None for unsupported types."""
    if isinstance(photo, DecodedPhoto):
        return photo.path
    if isinstance(photo, str | os.PathLike):
        path: str | bytes = os.fspath(photo)
        return path if isinstance(path, str) else None
    if hasattr(photo, "read") and not isinstance(photo, io.TextIOBase):
        name = getattr(photo, "name", None)
        return name if isinstance(name, str) else "<file>"
    if isinstance(photo, Buffer):
        return "<bytes>"
    if isinstance(photo, np.ndarray):
        return "<array>"
    return "<image>" if _is_pillow(photo) else None


def _is_pillow(photo: object) -> TypeGuard[Image]:
    image_class = getattr(sys.modules.get("PIL.Image"), "Image", None)  # also None while another thread imports it
    return image_class is not None and isinstance(photo, image_class)


def _from_file(file: BinaryIO) -> DecodedPhoto:
    label = photo_label(file) or "<file>"
    try:
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        data = file.read()
    except io.UnsupportedOperation as error:
        raise UnreadablePhotoError(f"{printable(label)} is not open for reading: open it with mode 'rb'") from error
    except (OSError, ValueError) as error:
        raise UnreadablePhotoError(f"{printable(label)} cannot be read: {read_reason(error)}") from error
    if not isinstance(data, bytes):
        raise UsageError(f"a photo must be {_SUPPORTED_TYPES}, not a text file: open it with mode 'rb'")
    return read_photo_bytes(data, label)


def _from_image(image: Image) -> DecodedPhoto:
    from PIL import ImageOps

    if 0 in image.size:
        raise UnreadablePhotoError(
            f"<image> has no pixels, its size is {image.width} x {image.height}: pass another image"
        )
    try:
        image.load()
        has_orientation = ORIENTATION in image.getexif()
        pixels = to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        # Pillow decodes here, and its plugins may raise any exception on hostile bytes
        raise UnreadablePhotoError(f"<image> cannot be read: {printable(str(error))}") from error
    return _from_pixels(pixels, "<image>", has_orientation=has_orientation)


def _from_pixels(pixels: RGBImage, label: str, *, has_orientation: bool = False) -> DecodedPhoto:
    photo = DecodedPhoto(label, pixels, "", has_orientation, taken_at=None)  # raises for invalid pixels
    contiguous = np.ascontiguousarray(pixels)
    digest = hashlib.sha256(f"{photo.width} x {photo.height}\n".encode())
    digest.update(contiguous.data)
    return replace(photo, pixels=contiguous, content_hash=digest.hexdigest())
