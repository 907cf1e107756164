"""EXIF's orientation and date of a photo; invalid metadata counts as absent."""

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

ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
# Date, offset from UTC, fraction of a second: original, digitized, changed (EXIF 2.32, tables 4 and 8).
_DATE_TAGS = ((0x9003, 0x9011, 0x9291), (0x9004, 0x9012, 0x9292), (0x0132, 0x9010, 0x9290))
_USED_TAGS = frozenset({ORIENTATION, *(tag for tags in _DATE_TAGS for tag in tags)})
_MAX_EXIF_BYTES = 1024 * 1024  # a JPEG's has 64 KB
_DATE = re.compile(r"(\d{4})[:/.-](\d\d?)[:/.-](\d\d?)(?:[ T](\d\d?):(\d\d?)(?::(\d\d?))?|(?!\d))", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The orientation and date of a photo."""

    orientation: int  # EXIF's, 1..8, to be applied to the decoded pixels
    has_orientation: bool  # whether the file has one
    taken_at: datetime | None  # aware if EXIF has an offset from UTC, else naive; None without a date


def read_metadata(image: Image) -> Metadata:
    """Decode an image's pixels, and return its orientation and date; invalid metadata counts as absent.

    The pixels come first, because EXIF follows them in a PNG, and Pillow turns a TIFF upright while decoding and drops
    its orientation. Raises whatever Pillow raises if it cannot decode them.
    """
    tiff_orientation = _valid_orientation(getattr(image, "tag_v2", {}).get(ORIENTATION))
    image.load()
    tags: dict[int, object] = {}
    # Pillow may raise any exception on hostile EXIF, and a photo with an invalid date is still readable
    with suppress(Exception):
        if len(image.info.get("exif") or b"") <= _MAX_EXIF_BYTES:
            exif = image.getexif()
            tags.update(_used_tags(exif))
            tags.update(_used_tags(exif.get_ifd(_EXIF_IFD)))
    orientation = _valid_orientation(tags.get(ORIENTATION))
    return Metadata(orientation or 1, (orientation or tiff_orientation) is not None, _taken_at(tags))


def stored_orientation(image: Image) -> int:
    """Return the EXIF orientation of the pixels in the file, whether or not the decoder applies it."""
    applied = image.info.get("original_orientation") or getattr(image, "tag_v2", {}).get(ORIENTATION)
    orientation = _valid_orientation(applied)
    with suppress(Exception):
        if orientation is None and len(image.info.get("exif") or b"") <= _MAX_EXIF_BYTES:
            orientation = _valid_orientation(image.getexif().get(ORIENTATION))
    return orientation or 1


def _used_tags(tags: Mapping[int, object]) -> dict[int, object]:
    # Pillow decodes values on access, and some are long
    return {tag: tags[tag] for tag in _USED_TAGS if tag in tags}


def _valid_orientation(orientation: object) -> int | None:
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else None


def _taken_at(tags: Mapping[int, object]) -> datetime | None:
    for date_tag, offset_tag, fraction_tag in _DATE_TAGS:
        date = _DATE.match(_text(tags.get(date_tag)))
        if date is None:
            continue
        # cameras without a clock write zeros, some an hour 24: try the next tag
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
