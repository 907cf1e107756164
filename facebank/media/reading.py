"""Reading photos: every hostile file ends in a typed error with its name."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from facebank.errors import PhotoError, PhotoNotFoundError, PhotoTooLargeError, UnreadablePhotoError
from facebank.media.formats import PhotoFormat, open_photo, recognise_format
from facebank.media.limits import DEFAULT_LIMITS, PhotoLimits
from facebank.media.metadata import PhotoMetadata, read_metadata, stored_orientation
from facebank.media.orientation import upright
from facebank.media.picture_hash import picture_hash
from facebank.media.pixels import to_rgb
from facebank.media.structure import gif_fault, jpeg_fault, png_fault, ppm_fault, webp_canvas, webp_fault
from facebank.media.tiff import tiff_fault
from facebank.storage.dates import is_believable
from facebank.storage.paths import named_path
from facebank.storage.text import printable
from facebank.types import DecodedPhoto

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebank.types import RGBImage

_MAX_REASON_LENGTH = 160
_FAULT_FINDERS = {
    "JPEG": jpeg_fault,
    "PNG": png_fault,
    "WebP": webp_fault,
    "GIF": gif_fault,
    "TIFF": tiff_fault,
    "PPM": ppm_fault,
}
# Pillow states a TIFF's and a HEIC's size upright before it has decoded them.
_TURNED_WHEN_OPENED = frozenset(("TIFF", "HEIC"))
_FILE_KINDS = (
    (stat.S_ISDIR, "is a folder, not a photo"),
    (stat.S_ISFIFO, "is a named pipe, not a photo"),
    (stat.S_ISSOCK, "is a socket, not a photo"),
)


def read_photo(path: str | os.PathLike[str], limits: PhotoLimits = DEFAULT_LIMITS) -> DecodedPhoto:
    """Read a photo from a file.

    JPEG, MPO, PNG, WebP, BMP, TIFF, GIF (its first frame), AVIF, binary PPM, and HEIC with the extra.

    Parameters
    ----------
    path
        The file. It has to be a regular one: a pipe or a device is refused without being opened.
    limits
        The largest file and picture to read.

    Returns
    -------
    DecodedPhoto
        Upright. `taken_at` is EXIF's date of the original, else of digitising, else of the last change, else the
        file's modification time in UTC. An EXIF date without an offset stays naive: nobody knows its time zone.
        `camera_dated` is true where the date is EXIF's, not that of a clock that was reset, and not in the future.

    Raises
    ------
    PhotoNotFoundError
        If there is no such file.
    UnreadablePhotoError
        If it is no photo, is damaged or cut short, or may not be opened.
    UnsupportedPhotoError
        If it is of a format that is not read, or not without an extra.
    PhotoTooLargeError
        If it has more bytes or pixels than `limits` allow.
    """
    return decode_photo(read_photo_file(path, limits), limits)


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo's file, not decoded yet.

    Attributes
    ----------
    source
        Its path, as it was given.
    data
        All of its bytes.
    modified_at
        The time of its last change, in UTC; None where the system has none.
    """

    source: str
    data: bytes
    modified_at: datetime | None

    @property
    def content_hash(self) -> str:
        """SHA-256 of its bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


def read_photo_file(path: str | os.PathLike[str], limits: PhotoLimits = DEFAULT_LIMITS) -> PhotoFile:
    """Read a photo's file without decoding it; parameters and errors as of `read_photo`."""
    named_path(path)
    source = os.fspath(path)
    data, modified_at = _read_file(source, limits)
    return PhotoFile(source, data, modified_at)


def decode_photo(file: PhotoFile, limits: PhotoLimits = DEFAULT_LIMITS) -> DecodedPhoto:
    """Decode what `read_photo_file` read; parameters and errors as of `read_photo`."""
    return _read(file.data, file.source, limits, file.modified_at)


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """What a photo's file says before its pixels.

    Attributes
    ----------
    kind
        Name of the format.
    width, height
        In pixels, upright.
    orientation
        EXIF's, 1..8, of the pixels as stored.
    xmp
        The packet of XMP as the decoder found it; None where it found none.
    """

    kind: str
    width: int
    height: int
    orientation: int
    xmp: bytes | None


def read_header(file: PhotoFile, limits: PhotoLimits = DEFAULT_LIMITS) -> PhotoHeader:
    """Read what comes before a photo's pixels; parameters and errors as of `decode_photo`.

    Of a JPEG, the bytes up to its picture are enough.
    """
    photo_format = recognise_format(file.data, file.source)
    try:
        limits = limits.divided(photo_format.pixel_cost, photo_format.byte_cost)
        _check_structure(file.data, photo_format, file.source, limits)
        with _without_decoders_warnings(), open_photo(file.data, photo_format, file.source) as image:
            limits.check_pixels(image.width, image.height, file.source)
            orientation, xmp = stored_orientation(image), image.info.get("xmp")
            is_turned = photo_format.name in _TURNED_WHEN_OPENED
            across, down = image.size if is_turned or orientation < 5 else image.size[::-1]
    except PhotoError:
        raise
    except Exception as error:
        # as in _read
        raise _explained(error, photo_format, file.source) from error
    return PhotoHeader(photo_format.name, across, down, orientation, xmp if isinstance(xmp, bytes) else None)


def picture_hash_of_photo(file: PhotoFile, header: PhotoHeader) -> str:
    """Return the picture hash of a photo that is not decoded; `read_header` gives the header from all of its bytes."""
    return picture_hash(file.data, 1 if header.kind in _TURNED_WHEN_OPENED else header.orientation)


def read_photo_bytes(data: bytes, source: str = "<bytes>", limits: PhotoLimits = DEFAULT_LIMITS) -> DecodedPhoto:
    """Read a photo from memory.

    Parameters
    ----------
    data
        The whole file.
    source
        What to call it in messages and in the `DecodedPhoto`.
    limits
        The largest file and picture to read.

    Returns
    -------
    DecodedPhoto
        As from `read_photo`; `taken_at` is None where EXIF does not say.

    Raises
    ------
    UnreadablePhotoError, UnsupportedPhotoError, PhotoTooLargeError
        As from `read_photo`.
    """
    limits.check_bytes(len(data), source)
    return _read(data, source, limits, modified_at=None)


def _read_file(source: str, limits: PhotoLimits) -> tuple[bytes, datetime | None]:
    name = printable(source)
    try:
        status = Path(source).stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadablePhotoError(f"{name} {_kind(source, status.st_mode)}")
        limits.check_bytes(status.st_size, source)
        with Path(source).open("rb") as file:
            data = file.read(status.st_size)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise PhotoNotFoundError(f"there is no photo {name}; check the path") from error
    except OSError as error:
        raise UnreadablePhotoError(f"{name} cannot be read: {error.strerror or error}") from error
    return data, _modified_at(status.st_mtime)


def _kind(source: str, mode: int) -> str:
    if stat.S_ISDIR(mode) and not os.access(source, os.R_OK | os.X_OK):
        return "is a folder that may not be opened; check its permissions"
    return next((kind for is_kind, kind in _FILE_KINDS if is_kind(mode)), "is a device, not a photo")


def _modified_at(seconds: float) -> datetime | None:
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC)
    return None


def _read(data: bytes, source: str, limits: PhotoLimits, modified_at: datetime | None) -> DecodedPhoto:
    if not data:
        raise UnreadablePhotoError(f"{printable(source)} is empty")
    photo_format = recognise_format(data, source)
    try:
        stored, metadata = _decode(data, photo_format, source, limits)
        pixels = upright(stored, metadata.orientation)
    except PhotoError:
        raise
    except Exception as error:
        # Pillow's plugins raise SyntaxError, struct.error, KeyError, MemoryError and more on hostile bytes
        raise _explained(error, photo_format, source) from error
    return DecodedPhoto(
        path=source,
        pixels=pixels,
        content_hash=hashlib.sha256(data).hexdigest(),
        has_orientation=metadata.has_orientation,
        taken_at=metadata.taken_at or modified_at,
        camera_dated=metadata.taken_at is not None and is_believable(metadata.taken_at),
        picture_hash=picture_hash(data, metadata.orientation),
    )


def _decode(data: bytes, photo_format: PhotoFormat, source: str, limits: PhotoLimits) -> tuple[RGBImage, PhotoMetadata]:
    limits = limits.divided(photo_format.pixel_cost, photo_format.byte_cost)
    limits.check_bytes(len(data), source)
    _check_structure(data, photo_format, source, limits)
    with _without_decoders_warnings(), open_photo(data, photo_format, source) as image:
        if image.info.get("progressive"):
            # all of its coefficients are kept until its last scan
            limits = limits.divided(1.5)
        limits.check_pixels(image.width, image.height, source)
        metadata = read_metadata(image)
        # TIFF and HEIC may turn out larger than their headers say
        limits.check_pixels(image.width, image.height, source)
        return to_rgb(image), metadata


def _check_structure(data: bytes, photo_format: PhotoFormat, source: str, limits: PhotoLimits) -> None:
    find_fault = _FAULT_FINDERS.get(photo_format.name)
    if find_fault and (fault := find_fault(data)):
        raise UnreadablePhotoError(f"{printable(source)} is a damaged {photo_format.name}: {fault}; use another copy")
    if photo_format.name == "WebP" and (canvas := webp_canvas(data)):
        limits.check_pixels(*canvas, source)


def _explained(error: Exception, photo_format: PhotoFormat, source: str) -> PhotoError:
    from PIL.Image import DecompressionBombError

    name = printable(source)
    if isinstance(error, DecompressionBombError):
        return PhotoTooLargeError(f"{name} has a part of more pixels than can be read; use a smaller copy")
    if isinstance(error, MemoryError):
        return PhotoTooLargeError(f"{name} needs more memory than there is; use a smaller copy")
    reason = printable(" ".join(str(error).split())) or type(error).__name__
    if len(reason) > _MAX_REASON_LENGTH:
        reason = reason[:_MAX_REASON_LENGTH] + "…"
    return UnreadablePhotoError(f"{name} is a damaged {photo_format.name}: {reason}; use another copy")


@contextmanager
def _without_decoders_warnings() -> Iterator[None]:
    """Keep quiet what decoders warn of, while a photo is read.

    ``warnings.catch_warnings`` puts a saved list of filters back when it ends. With photos read in several threads
    that brings back filters that were gone, for good. One rule put into the list and taken out again does not; at
    worst, while another thread changes the filters, a decoder's warning is seen.
    """
    rule = ("ignore", None, Warning, re.compile(r"PIL\.|pillow_heif"), 0)
    rules = cast("list[object]", warnings.filters)
    rules.insert(0, rule)
    try:
        yield
    finally:
        with suppress(ValueError):
            rules.remove(rule)
