"""How large a photo may be, checked before memory is spent on it."""

from __future__ import annotations

from dataclasses import dataclass

from facebank.errors import PhotoTooLargeError, UsageError
from facebank.storage.text import printable


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """The largest photo that is read.

    Attributes
    ----------
    max_bytes
        Size of the file in bytes, checked before it is opened. For AVIF it is a twentieth of that: Pillow takes a
        third of a second for a megabyte of hostile EXIF in it.
    max_pixels
        Width times height, checked from the file's header before pixels are decoded. For WebP, AVIF, HEIC, TIFF and
        progressive JPEG it is two thirds of that, because their pixels need more memory. Measured at 6 megapixels,
        without the file itself: JPEG, PNG, BMP and PPM 7 to 9 bytes a pixel while they are read, TIFF of 8 bits 8 to 9,
        progressive JPEG 8 to 12, AVIF 11 to 13, WebP 17, lossless WebP 19.

    Raises
    ------
    UsageError
        If a limit is less than 1.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_pixels: int = 120_000_000

    def __post_init__(self) -> None:
        if min(self.max_bytes, self.max_pixels) < 1:
            raise UsageError("the limits on a photo's bytes and pixels have to be 1 or more")

    def check_bytes(self, size: int, source: str) -> None:
        """Refuse a file of too many bytes.

        Parameters
        ----------
        size
            Bytes of the file.
        source
            What to call the file.

        Raises
        ------
        PhotoTooLargeError
            If there are more than `max_bytes`.
        """
        if size > self.max_bytes:
            raise PhotoTooLargeError(
                f"{printable(source)} has {size:,} bytes, the limit is {self.max_bytes:,}; use a smaller copy"
            )

    def check_pixels(self, width: int, height: int, source: str) -> None:
        """Refuse a picture of too many pixels.

        Parameters
        ----------
        width, height
            In pixels, as the file's header states them.
        source
            What to call the file.

        Raises
        ------
        PhotoTooLargeError
            If there are more than `max_pixels`.
        """
        if width * height > self.max_pixels:
            raise PhotoTooLargeError(
                f"{printable(source)} has {width:,} x {height:,} pixels, the limit is {self.max_pixels:,}; "
                "use a smaller copy"
            )

    def divided(self, pixel_cost: float, byte_cost: float = 1.0) -> PhotoLimits:
        """Return the limits for a format that needs more memory or time than usual.

        Parameters
        ----------
        pixel_cost, byte_cost
            How many usual pixels and bytes one of its own is worth, 1 or more.

        Returns
        -------
        PhotoLimits
            Each limit divided by its cost, at least 1.
        """
        return PhotoLimits(max(1, int(self.max_bytes / byte_cost)), max(1, int(self.max_pixels / pixel_cost)))


DEFAULT_LIMITS = PhotoLimits()
