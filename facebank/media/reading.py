"""Safe reading of photos: a hostile file raises a typed error that names it."""

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

from facebank.errors import (
    PhotoError,
    PhotoNotFoundError,
    PhotoTooLargeError,
    UnreadablePhotoError,
    UsageError,
)
from facebank.media.formats import PhotoFormat, open_image, recognize_format
from facebank.media.metadata import Metadata, read_metadata, stored_orientation
from facebank.media.picture_hash import picture_hash
from facebank.media.pixels import apply_orientation, to_rgb
from facebank.media.structure import gif_fault, jpeg_fault, png_fault, ppm_fault, tiff_fault, webp_canvas, webp_fault
from facebank.storage.bucket_urls import bucket_file_message, is_bucket_url
from facebank.storage.dates import is_plausible
from facebank.storage.files import read_reason
from facebank.storage.paths import named_path
from facebank.storage.text import printable
from facebank.types import DecodedPhoto

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebank.storage.folders import NamedFolders
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
_TURNED_BY_DECODER = frozenset(("TIFF", "HEIC"))  # Pillow reports their upright size before decoding
_FILE_KINDS = (
    (stat.S_ISDIR, "is a folder, not a photo"),
    (stat.S_ISFIFO, "is a named pipe, not a photo"),
    (stat.S_ISSOCK, "is a socket, not a photo"),
)


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """Limits on the size of photos, each 1 or more; raises `UsageError` otherwise."""

    # file size in bytes, checked before the file is opened; one twentieth for AVIF, whose EXIF Pillow reads slowly
    max_bytes: int = 256 * 1024 * 1024
    # width times height, checked from the header before pixels are decoded; two thirds for WebP, AVIF, HEIC, TIFF and
    # progressive JPEG, whose pixels need more memory
    max_pixels: int = 120_000_000

    def __post_init__(self) -> None:
        if min(self.max_bytes, self.max_pixels) < 1:
            raise UsageError("the limits on a photo's bytes and pixels must be 1 or more")

    def check_bytes(self, size: int, label: str) -> None:
        """Raise `PhotoTooLargeError` for a file of more than `max_bytes`; `label` is its name in messages."""
        if size > self.max_bytes:
            raise PhotoTooLargeError(
                f"{printable(label)} has {size:,} bytes, the limit is {self.max_bytes:,}; use a smaller copy"
            )

    def check_pixels(self, width: int, height: int, label: str) -> None:
        """Raise `PhotoTooLargeError` for a picture of more than `max_pixels`; `label` is its name in messages."""
        if width * height > self.max_pixels:
            raise PhotoTooLargeError(
                f"{printable(label)} has {width:,} x {height:,} pixels, the limit is {self.max_pixels:,}; "
                "use a smaller copy"
            )

    def divide(self, pixel_cost: float, byte_cost: float = 1.0) -> PhotoLimits:
        """Return the limits divided by the costs of a format's pixels and bytes, at least 1."""
        return PhotoLimits(max(1, int(self.max_bytes / byte_cost)), max(1, int(self.max_pixels / pixel_cost)))


DEFAULT_LIMITS = PhotoLimits()


def read_photo(path: str | os.PathLike[str], limits: PhotoLimits = DEFAULT_LIMITS) -> DecodedPhoto:
    """Return the photo in a file, decoded and upright.

    Supported formats are JPEG, MPO, PNG, WebP, BMP, TIFF, GIF (the first frame), AVIF, binary PPM and, with the extra
    `heif`, HEIC.

    Parameters
    ----------
    path
        The file. It must be a regular file: pipes and devices are rejected without being opened.
    limits
        Limits on the file and the picture.

    Returns
    -------
    DecodedPhoto
        The upright photo. `taken_at` is EXIF's date of the original, else of digitizing, else of the last change, else
        the file's modification time in UTC. An EXIF date without an offset stays naive, because its time zone is
        unknown. `camera_dated` is true if the date is from EXIF, not that of a reset clock, and not in the future.

    Raises
    ------
    PhotoNotFoundError
        The file does not exist.
    UnreadablePhotoError
        It is not a photo, is damaged or truncated, or cannot be opened.
    UnsupportedPhotoError
        Its format is not supported, or needs an extra.
    PhotoTooLargeError
        It has more bytes or pixels than `limits` allow.

    Examples
    --------
    >>> from facebank import read_photo
    >>> photo = read_photo("party.jpg")
    >>> photo.pixels.shape, photo.pixels.dtype
    ((800, 769, 3), dtype('uint8'))
    """
    return decode_photo(read_photo_file(path, limits), limits)


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo's file, not decoded."""

    path: str  # as given
    data: bytes
    modified_at: datetime | None  # in UTC; None if unknown

    @property
    def content_hash(self) -> str:
        """SHA-256 of its bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


def read_photo_file(
    path: str | os.PathLike[str], limits: PhotoLimits = DEFAULT_LIMITS, *, within: NamedFolders | None = None
) -> PhotoFile:
    """Return a photo's file, not decoded; raises the errors of `read_photo`, also for an object in a bucket.

    Files outside of `within` are not read, even through links created meanwhile; None to follow all links.
    """
    text = os.fspath(path)
    if is_bucket_url(text):
        raise UnreadablePhotoError(bucket_file_message(text))
    named_path(path)
    data, modified_at = _read_file(text, limits, within)
    return PhotoFile(text, data, modified_at)


def decode_photo(file: PhotoFile, limits: PhotoLimits = DEFAULT_LIMITS) -> DecodedPhoto:
    """Return the photo in a file from `read_photo_file`, decoded; raises the errors of `read_photo`."""
    return _read(file.data, file.path, limits, file.modified_at)


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """The metadata of a photo's file before its pixels."""

    format_name: str  # of `facebank.media.recognize_format`
    width: int  # of the upright photo, in pixels
    height: int  # of the upright photo, in pixels
    orientation: int  # EXIF's, 1..8, of the stored pixels
    xmp: bytes | None  # the XMP packet; None if the decoder found none


def read_header(file: PhotoFile, limits: PhotoLimits = DEFAULT_LIMITS) -> PhotoHeader:
    """Return the metadata before a photo's pixels; raises the errors of `read_photo`."""
    photo_format = recognize_format(file.data, file.path)
    with _translate_errors(photo_format, file.path):
        limits = limits.divide(photo_format.pixel_cost, photo_format.byte_cost)
        _check_structure(file.data, photo_format, file.path, limits)
        with _suppress_decoder_warnings(), open_image(file.data, photo_format, file.path) as image:
            limits.check_pixels(image.width, image.height, file.path)
            orientation, xmp = stored_orientation(image), image.info.get("xmp")
            is_turned = photo_format.name in _TURNED_BY_DECODER
            width, height = image.size if is_turned or orientation < 5 else image.size[::-1]
    return PhotoHeader(photo_format.name, width, height, orientation, xmp if isinstance(xmp, bytes) else None)


def picture_hash_of_photo(file: PhotoFile, header: PhotoHeader) -> str:
    """Return the SHA-256 of an undecoded photo's picture in hex, given its header."""
    return picture_hash(file.data, 1 if header.format_name in _TURNED_BY_DECODER else header.orientation)


def read_photo_bytes(data: bytes, label: str = "<bytes>", limits: PhotoLimits = DEFAULT_LIMITS) -> DecodedPhoto:
    """Return the photo in the bytes of a file, as `read_photo` does; `taken_at` is None without a date in EXIF.

    `label` is its name in messages, and the `path` of the result. Raises the errors of `read_photo`.
    """
    limits.check_bytes(len(data), label)
    return _read(data, label, limits, modified_at=None)


def _read_file(path: str, limits: PhotoLimits, within: NamedFolders | None) -> tuple[bytes, datetime | None]:
    label = printable(path)
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadablePhotoError(f"{label} {_irregular_kind(path, status.st_mode)}")
        with Path(path).open("rb") if within is None else within.open_file(path) as file:
            status = os.fstat(file.fileno())
            limits.check_bytes(status.st_size, path)
            data = file.read(status.st_size)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise PhotoNotFoundError(f"there is no photo {label}; check the path") from error
    except OSError as error:
        raise UnreadablePhotoError(f"{label} cannot be read: {read_reason(error)}") from error
    return data, _modified_at(status.st_mtime)


def _irregular_kind(path: str, mode: int) -> str:
    if stat.S_ISDIR(mode) and not os.access(path, os.R_OK | os.X_OK):
        return "is a folder that cannot be opened; check its permissions"
    return next((kind for is_kind, kind in _FILE_KINDS if is_kind(mode)), "is a device, not a photo")


def _modified_at(seconds: float) -> datetime | None:
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC)
    return None


def _read(data: bytes, label: str, limits: PhotoLimits, modified_at: datetime | None) -> DecodedPhoto:
    if not data:
        raise UnreadablePhotoError(f"{printable(label)} is empty: use another copy")
    photo_format = recognize_format(data, label)
    with _translate_errors(photo_format, label):
        stored, metadata = _decode(data, photo_format, label, limits)
        pixels = apply_orientation(stored, metadata.orientation)
    return DecodedPhoto(
        path=label,
        pixels=pixels,
        content_hash=hashlib.sha256(data).hexdigest(),
        has_orientation=metadata.has_orientation,
        taken_at=metadata.taken_at or modified_at,
        camera_dated=metadata.taken_at is not None and is_plausible(metadata.taken_at),
        picture_hash=picture_hash(data, metadata.orientation),
    )


def _decode(data: bytes, photo_format: PhotoFormat, label: str, limits: PhotoLimits) -> tuple[RGBImage, Metadata]:
    limits = limits.divide(photo_format.pixel_cost, photo_format.byte_cost)
    limits.check_bytes(len(data), label)
    _check_structure(data, photo_format, label, limits)
    with _suppress_decoder_warnings(), open_image(data, photo_format, label) as image:
        if image.info.get("progressive"):
            # all coefficients stay in memory until the last scan
            limits = limits.divide(1.5)
        limits.check_pixels(image.width, image.height, label)
        metadata = read_metadata(image)
        # TIFF and HEIC may be larger than their headers state
        limits.check_pixels(image.width, image.height, label)
        return to_rgb(image), metadata


def _check_structure(data: bytes, photo_format: PhotoFormat, label: str, limits: PhotoLimits) -> None:
    find_fault = _FAULT_FINDERS.get(photo_format.name)
    if find_fault and (fault := find_fault(data)):
        raise UnreadablePhotoError(f"{printable(label)} is a damaged {photo_format.name}: {fault}; use another copy")
    if photo_format.name == "WebP" and (canvas := webp_canvas(data)):
        limits.check_pixels(*canvas, label)


@contextmanager
def _translate_errors(photo_format: PhotoFormat, label: str) -> Iterator[None]:
    """Translate every exception of a decoder to a `PhotoError`."""
    try:
        yield
    except PhotoError:
        raise
    except Exception as error:
        # on hostile bytes Pillow's plugins raise SyntaxError, struct.error, KeyError, MemoryError and more
        raise _translate_error(error, photo_format, label) from error


def _translate_error(error: Exception, photo_format: PhotoFormat, label: str) -> PhotoError:
    from PIL.Image import DecompressionBombError

    label = printable(label)
    if isinstance(error, DecompressionBombError):
        return PhotoTooLargeError(f"{label} has a part with too many pixels; use a smaller copy")
    if isinstance(error, MemoryError):
        return PhotoTooLargeError(f"{label} needs more memory than available; use a smaller copy")
    reason = printable(" ".join(str(error).split())) or type(error).__name__
    if len(reason) > _MAX_REASON_LENGTH:
        reason = reason[:_MAX_REASON_LENGTH] + "…"
    return UnreadablePhotoError(f"{label} is a damaged {photo_format.name}: {reason}; use another copy")


@contextmanager
def _suppress_decoder_warnings() -> Iterator[None]:
    """Suppress the decoders' warnings while a photo is read.

    ``warnings.catch_warnings`` restores a saved list of filters, which is not safe if several threads read photos.
    Adding and removing one filter is safe; at worst a decoder's warning is shown.
    """
    rule = ("ignore", None, Warning, re.compile(r"PIL\.|pillow_heif"), 0)
    filters = cast("list[object]", warnings.filters)
    filters.insert(0, rule)
    try:
        yield
    finally:
        with suppress(ValueError):
            filters.remove(rule)
