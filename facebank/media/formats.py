"""The closed list of formats that are read, known by their first bytes and never by a file's name.

Pillow's plugins are called directly instead of through ``PIL.Image.open``: decoders that are not in the list are not
even imported, and the limit on pixels is ours (`facebank.media.limits`) instead of a process-wide setting of Pillow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, cast

from facebank.errors import UnreadablePhotoError, UnsupportedPhotoError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.ImageFile import ImageFile

SIGNATURE_BYTES = 64
_EXIF_HEADER = b"Exif\0\0"
_NO_EXIF_HEADER = b"none\0\0"
_NEW_SUBFILE_TYPE = 254
_REDUCED_RESOLUTION = 1


@dataclass(frozen=True, slots=True)
class PhotoFormat:
    """A format that is read.

    Attributes
    ----------
    name
        What people call it.
    signature
        Matches the first bytes of its files.
    suffixes
        How its files' names end, in lower case; used to find photos in folders, not to recognise them.
    module, plugin
        Where the decoder is: a subclass of ``PIL.ImageFile.ImageFile``.
    pixel_cost
        How much memory a pixel may take while it is decoded, as a multiple of what it takes in a plain PNG.
    byte_cost
        How long a hostile byte of the file may take, as a multiple of what it may take in others.
    """

    name: str
    signature: re.Pattern[bytes]
    suffixes: tuple[str, ...]
    module: str
    plugin: str
    pixel_cost: float = 1.0
    byte_cost: float = 1.0


def _format(name: str, signature: bytes, suffixes: str, module: str, plugin: str, **costs: float) -> PhotoFormat:
    return PhotoFormat(name, re.compile(signature, re.DOTALL), tuple(suffixes.split()), module, plugin, **costs)


# MPO is a JPEG followed by others: its first picture is read.
FORMATS = (
    _format("JPEG", rb"\xff\xd8\xff", ".jpg .jpeg .jpe .jfif .mpo", "PIL.JpegImagePlugin", "JpegImageFile"),
    _format("PNG", rb"\x89PNG\r\n\x1a\n", ".png", "PIL.PngImagePlugin", "PngImageFile"),
    _format("WebP", rb"RIFF.{4}WEBP", ".webp", "PIL.WebPImagePlugin", "WebPImageFile", pixel_cost=1.5),
    _format("GIF", rb"GIF8[79]a", ".gif", "PIL.GifImagePlugin", "GifImageFile"),
    _format("BMP", rb"BM", ".bmp", "PIL.BmpImagePlugin", "BmpImageFile"),
    _format(
        "TIFF", rb"(II[*+]\0|MM\0[*+])(?!.{4}CR)", ".tif .tiff", "PIL.TiffImagePlugin", "TiffImageFile", pixel_cost=1.5
    ),
    _format(
        "AVIF",
        rb".{4}ftyp(.{4})*?avi[fs]",
        ".avif",
        "PIL.AvifImagePlugin",
        "AvifImageFile",
        pixel_cost=1.5,
        byte_cost=20.0,
    ),
    _format(
        "HEIC",
        rb".{4}ftyp(.{4})*?(he[iv][cxms]|m[is]f1)",
        ".heic .heif .hif",
        "pillow_heif",
        "HeifImageFile",
        pixel_cost=1.5,
    ),
    _format("PPM", rb"P[4-6][\s#]", ".ppm .pgm .pbm .pnm", "PIL.PpmImagePlugin", "PpmImageFile"),
)

_VIDEO = "a video"
_BRIEF = frozenset(("BMP", "PPM"))  # two letters, with which a text may begin as well

# What people are likely to have by mistake, so that the message can name it.
_NOT_READ = tuple(
    (name, re.compile(signature, re.DOTALL))
    for name, signature in (
        ("a plain-text PPM picture", rb"P[1-3][\s#]"),
        ("a Photoshop file", rb"8BPS"),
        ("a Windows icon", rb"\0\0[\1\2]\0"),
        ("a DDS texture", rb"DDS "),
        ("a PostScript file", rb"%!PS|\xc5\xd0\xd3\xc6"),
        ("a PDF file", rb"%PDF"),
        ("a JPEG 2000 picture", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        ("a JPEG XL picture", rb"\xff\x0a|\0\0\0\x0cJXL "),
        ("a camera raw file", rb"FUJIFILM|II[*]\0.{4}CR|IIR[OS]|IIU\0|.{4}ftypcrx "),
        ("an SVG drawing", rb"\s*<svg"),
        (
            _VIDEO,
            rb".{4}(ftyp|moov|mdat|wide)|RIFF.{4}AVI |\x1a\x45\xdf\xa3|\0\0\x01[\xba\xb3]|\x30\x26\xb2\x75|FLV\x01",
        ),
    )
)


def recognizable(head: bytes) -> PhotoFormat | None:
    """Return the format of a file whose first `SIGNATURE_BYTES` bytes leave no doubt, whatever its name."""
    return next((each for each in FORMATS if each.name not in _BRIEF and each.signature.match(head)), None)


def recognise_format(data: bytes, source: str) -> PhotoFormat:
    """Tell the format of a file from its first bytes.

    Parameters
    ----------
    data
        The file, or its first `SIGNATURE_BYTES` bytes.
    source
        What to call the file.

    Returns
    -------
    PhotoFormat
        One of `FORMATS`.

    Raises
    ------
    UnsupportedPhotoError
        If it is a picture of another, known kind.
    UnreadablePhotoError
        If it is no picture at all, as far as can be seen.
    """
    head = data[:SIGNATURE_BYTES]
    for candidate in FORMATS:
        if candidate.signature.match(head):
            return candidate
    for name, signature in _NOT_READ:
        if signature.match(head):
            advice = ": `facebank video` says who is in it, and when"
            if name != _VIDEO:
                advice = ", which is not read; save it as JPEG or PNG"
            raise UnsupportedPhotoError(f"{printable(source)} is {name}{advice}")
    raise UnreadablePhotoError(f"{printable(source)} is no photo: its bytes are of no format that is read")


def open_photo(data: bytes, photo_format: PhotoFormat, source: str) -> ImageFile:
    """Read a file's header.

    Parameters
    ----------
    data
        The whole file.
    photo_format
        What `recognise_format` said.
    source
        What to call the file.

    Returns
    -------
    ImageFile
        Pillow's image, its pixels not decoded yet.

    Raises
    ------
    UnsupportedPhotoError
        If the decoder is not installed, or is one of Pillow's that are written in Python and take a microsecond a
        pixel (compressed BMP, PPM of unusual depth), or a TIFF starts with a thumbnail, as cameras' raw files do.
    Exception
        Whatever Pillow's plugin raises on a broken file.
    """
    try:
        module = import_module(photo_format.module)
    except ImportError as error:
        raise UnsupportedPhotoError(
            f"{printable(source)} is a HEIC photo; to read it, run: pip install 'facebank[heif]'"
        ) from error
    if not getattr(module, "SUPPORTED", True):
        raise UnsupportedPhotoError(
            f"{printable(source)} is a {photo_format.name} photo and this Pillow was built without that format; "
            "run: pip install --force-reinstall Pillow"
        )
    plugin = cast("Callable[[BytesIO], ImageFile]", getattr(module, photo_format.plugin))
    try:
        image = plugin(BytesIO(data))
    except Exception:
        # Pillow looks into a JPEG's EXIF for its resolution, and not every broken EXIF passes
        if _EXIF_HEADER not in data:
            raise
        image = plugin(BytesIO(data.replace(_EXIF_HEADER, _NO_EXIF_HEADER)))
    if getattr(image, "tag_v2", {}).get(_NEW_SUBFILE_TYPE) == _REDUCED_RESOLUTION:
        raise UnsupportedPhotoError(f"{printable(source)} is a camera raw file, which is not read; save it as JPEG")
    from PIL.Image import DECODERS

    if any(tile[0] in DECODERS for tile in image.tile[:1]):
        raise UnsupportedPhotoError(
            f"{printable(source)} is a {photo_format.name} of a rare kind, which is not read; save it as JPEG or PNG"
        )
    return image
