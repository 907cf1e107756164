"""What a photo says about itself: which way is up and when it was taken."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from facebank.storage.dates import FIRST_PHOTOS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.Image import Image

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
# Date, offset from UTC, fraction of a second: original, digitised, changed (EXIF 2.32, tables 4 and 8).
_DATE_TAGS = ((0x9003, 0x9011, 0x9291), (0x9004, 0x9012, 0x9292), (0x0132, 0x9010, 0x9290))
_WANTED = frozenset({_ORIENTATION, *(tag for tags in _DATE_TAGS for tag in tags)})
# In a JPEG it has 64 KB.
_MAX_EXIF_BYTES = 1024 * 1024
_DATE = re.compile(r"(\d{4})[:/.-](\d\d?)[:/.-](\d\d?)(?:[ T](\d\d?):(\d\d?)(?::(\d\d?))?|(?!\d))", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class PhotoMetadata:
    """What a photo says about itself.

    Attributes
    ----------
    orientation
        What is still to be done to see the decoded pixels upright, as an EXIF orientation, 1..8.
    has_orientation
        Whether EXIF or XMP state a valid orientation.
    taken_at
        When the photo was taken. Aware where the camera noted its offset from UTC, else naive: the camera's local
        time, whatever that was. None where EXIF does not say.
    """

    orientation: int
    has_orientation: bool
    taken_at: datetime | None


def read_metadata(image: Image) -> PhotoMetadata:
    """Decode a photo's pixels and read its orientation and date; of these, what is broken is taken as absent.

    Parameters
    ----------
    image
        Pillow's image as opened. Its pixels are decoded on the way, because PNG keeps its EXIF behind them, and
        Pillow turns a TIFF upright while it decodes and forgets that it did.

    Returns
    -------
    PhotoMetadata
        What it says about itself.

    Raises
    ------
    Exception
        Whatever Pillow raises when it cannot decode the pixels; nothing for broken metadata.
    """
    stated_by_tiff = _valid(getattr(image, "tag_v2", {}).get(_ORIENTATION))
    image.load()
    tags: dict[int, object] = {}
    # Pillow raises nearly anything on hostile EXIF, and no photo is refused for a broken date.
    with suppress(Exception):
        if len(image.info.get("exif") or b"") <= _MAX_EXIF_BYTES:
            exif = image.getexif()
            tags.update(_wanted(exif))
            tags.update(_wanted(exif.get_ifd(_EXIF_IFD)))
    orientation = _valid(tags.get(_ORIENTATION))
    return PhotoMetadata(orientation or 1, (orientation or stated_by_tiff) is not None, _taken_at(tags))


def stored_orientation(image: Image) -> int:
    """Return the EXIF orientation that a photo's pixels have in the file, whether a decoder turns them or not.

    Parameters
    ----------
    image
        Pillow's image as opened; its pixels are decoded only where EXIF lies behind them.
    """
    turned_by_decoder = image.info.get("original_orientation") or getattr(image, "tag_v2", {}).get(_ORIENTATION)
    orientation = _valid(turned_by_decoder)
    with suppress(Exception):
        if orientation is None and len(image.info.get("exif") or b"") <= _MAX_EXIF_BYTES:
            orientation = _valid(image.getexif().get(_ORIENTATION))
    return orientation or 1


def _wanted(tags: Mapping[int, object]) -> dict[int, object]:
    # Pillow decodes a value when it is asked for, and some are long
    return {tag: tags[tag] for tag in _WANTED if tag in tags}


def _valid(orientation: object) -> int | None:
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else None


def _taken_at(tags: Mapping[int, object]) -> datetime | None:
    for date_tag, offset_tag, fraction_tag in _DATE_TAGS:
        date = _DATE.match(_text(tags.get(date_tag)))
        if date is None:
            continue
        # Cameras without a clock write zeros, some a 24th hour: the next tag may know better.
        with suppress(ValueError):
            fraction = re.match(r"\d{1,6}", _text(tags.get(fraction_tag)), re.ASCII)
            year, month, day, hour, minute, second = (int(part or 0) for part in date.groups())
            if year < FIRST_PHOTOS.year:
                continue
            microsecond = int(fraction[0].ljust(6, "0")) if fraction and date[6] else 0
            offset = _offset(_text(tags.get(offset_tag)))
            return datetime(year, month, day, hour, minute, second, microsecond, offset)
    return None


def _offset(text: str) -> timezone | None:
    match = _OFFSET.match(text)
    if match is None:
        return UTC if text == "Z" else None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    if offset >= timedelta(days=1):
        return None
    return timezone(-offset if match[1] == "-" else offset)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value.strip(" \0") if isinstance(value, str) else ""
