"""Supported photo formats, recognized by their first bytes, and known unsupported ones.

Pillow's plugins are called directly instead of through ``PIL.Image.open``: other decoders are not even imported, and
the pixel limit is `PhotoLimits` instead of a process-wide setting of Pillow.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, cast

from facebank.errors import UnreadablePhotoError, UnsupportedPhotoError
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from PIL.ImageFile import ImageFile

SIGNATURE_BYTES = 64
_EXIF_HEADER = b"Exif\0\0"
_NO_EXIF_HEADER = b"none\0\0"
_NEW_SUBFILE_TYPE = 254
_REDUCED_RESOLUTION = 1


@dataclass(frozen=True, slots=True)
class PhotoFormat:
    """A supported format, recognized by the `signature` of its first bytes."""

    name: str
    signature: re.Pattern[bytes]
    suffixes: tuple[str, ...]  # in lower case; only used to find photos in folders
    module: str  # of the decoder
    plugin: str  # name of the decoder, a subclass of ``PIL.ImageFile.ImageFile``
    pixel_cost: float = 1.0  # memory per pixel during decoding, relative to a plain PNG
    byte_cost: float = 1.0  # time per hostile byte, relative to a plain PNG


def _format(name: str, signature: bytes, suffixes: str, module: str, plugin: str, **costs: float) -> PhotoFormat:
    return PhotoFormat(name, re.compile(signature, re.DOTALL), tuple(suffixes.split()), module, plugin, **costs)


# An MPO is a JPEG followed by others, of which only the first is read.
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
        *("AVIF", rb".{4}ftyp(.{4})*?avi[fs]", ".avif", "PIL.AvifImagePlugin", "AvifImageFile"),
        pixel_cost=1.5,
        byte_cost=20.0,
    ),
    _format(
        *("HEIC", rb".{4}ftyp(.{4})*?(he[iv][cxms]|m[is]f1)", ".heic .heif .hif", "pillow_heif", "HeifImageFile"),
        pixel_cost=1.5,
    ),
    _format("PPM", rb"P[4-6][\s#]", ".ppm .pgm .pbm .pnm", "PIL.PpmImagePlugin", "PpmImageFile"),
)

_VIDEO = "a video"
_SHORT_SIGNATURES = frozenset(("BMP", "PPM"))  # two letters, with which a text may start

# Other formats that users are likely to pass, to be named in the message.
_UNSUPPORTED = tuple(
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


@dataclass(frozen=True, slots=True)
class SkippedKind:
    """An unsupported kind of picture."""

    code: str  # in JSON; never renamed
    singular: str
    plural: str
    suffixes: tuple[str, ...]  # in lower case
    signature: re.Pattern[bytes] | None  # of its first bytes; None if only suffixes identify it


def _kind(
    code: str, singular: str, suffixes: str, signature: bytes | None = None, plural: str | None = None
) -> SkippedKind:
    pattern = None if signature is None else re.compile(signature, re.DOTALL)
    return SkippedKind(code, singular, plural or f"{singular}s", tuple(suffixes.split()), pattern)


# DNG and most other raw files begin like a TIFF; only some have a distinct signature.
SKIPPED = (
    _kind(
        "raw",
        "camera raw file",
        ".3fr .arw .bay .cap .cr2 .cr3 .crw .dcr .dcs .dng .erf .fff .gpr .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf "
        ".pef .ptx .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f",
        rb"FUJIFILM|II[*]\0.{4}CR|IIR[OS]|IIU\0|.{4}ftypcrx |FOVb|\0MRM|II\x1a\0\0\0HEAPCCDR",
    ),
    _kind("jpeg_xl", "JPEG XL picture", ".jxl", rb"\xff\x0a|\0\0\0\x0cJXL "),
    _kind("jpeg_2000", "JPEG 2000 picture", ".j2c .j2k .jp2 .jpc .jpf .jpx", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    _kind("photoshop", "Photoshop file", ".psb .psd", rb"8BPS"),
    _kind("icon", "icon", ".cur .icns .ico"),
    _kind(
        "other",
        "picture in another format",
        ".bpg .exr .hdr .jxr .pcx .svg .tga .wdp .xcf",
        rb"gimp xcf |DDS ",
        "pictures in other formats",
    ),
)

SKIPPED_SUFFIXES: Mapping[str, SkippedKind] = {suffix: kind for kind in SKIPPED for suffix in kind.suffixes}


def unmistakable_format(head: bytes) -> PhotoFormat | None:
    """Return the format of a file if its first `SIGNATURE_BYTES` bytes are conclusive, else None."""
    conclusive = (candidate for candidate in FORMATS if candidate.name not in _SHORT_SIGNATURES)
    return next((candidate for candidate in conclusive if candidate.signature.match(head)), None)


def recognize_format(data: bytes, label: str) -> PhotoFormat:
    """Return the format of a file by its first `SIGNATURE_BYTES` bytes; `label` names it in messages.

    Raises `UnsupportedPhotoError` (a picture in a known, unsupported format) or `UnreadablePhotoError` (an unknown
    format).
    """
    head = data[:SIGNATURE_BYTES]
    for candidate in FORMATS:
        if candidate.signature.match(head):
            return candidate
    for name, signature in _UNSUPPORTED:
        if signature.match(head):
            advice = ": use 'facebank video' to identify the people in it"
            if name != _VIDEO:
                advice = ", which is not supported; save it as JPEG or PNG"
            raise UnsupportedPhotoError(f"{printable(label)} is {name}{advice}")
    raise UnreadablePhotoError(f"{printable(label)} is not a photo: unknown file format")


def open_image(data: bytes, photo_format: PhotoFormat, label: str) -> ImageFile:
    """Return Pillow's image of a file, its pixels not decoded yet; `label` names it in messages.

    Raises `UnsupportedPhotoError` if the decoder is not installed, or if a TIFF starts with a thumbnail, as raw files
    of cameras do. Pillow's slow Python decoders (for compressed BMP and PPM of unusual depth) count as
    unsupported, too. On a damaged file it raises whatever Pillow's plugin raises.
    """
    try:
        module = import_module(photo_format.module)
    except ImportError as error:
        raise UnsupportedPhotoError(
            f"{printable(label)} is a HEIC photo; to read it, run: pip install 'facebank[heif]'"
        ) from error
    if not getattr(module, "SUPPORTED", True):
        raise UnsupportedPhotoError(
            f"{printable(label)} is a {photo_format.name} photo and this Pillow was built without that format; "
            "run: pip install --force-reinstall Pillow"
        )
    plugin = cast("Callable[[BytesIO], ImageFile]", getattr(module, photo_format.plugin))
    try:
        image = plugin(BytesIO(data))
    except Exception:
        # Pillow reads a JPEG's resolution from its EXIF, which may be invalid
        if _EXIF_HEADER not in data:
            raise
        image = plugin(BytesIO(data.replace(_EXIF_HEADER, _NO_EXIF_HEADER)))
    if getattr(image, "tag_v2", {}).get(_NEW_SUBFILE_TYPE) == _REDUCED_RESOLUTION:
        raise UnsupportedPhotoError(f"{printable(label)} is a camera raw file, which is not supported; save it as JPEG")
    from PIL.Image import DECODERS

    if any(tile[0] in DECODERS for tile in image.tile[:1]):
        raise UnsupportedPhotoError(
            f"{printable(label)} is a {photo_format.name} of a rare kind that is not supported; save it as JPEG or PNG"
        )
    return image


def describe_skipped(kinds: Iterable[SkippedKind]) -> str:
    """Return a text with the counts of the kinds, most frequent first, such as ``3 camera raw files and 1 icon``."""
    counts = Counter(kinds).most_common()
    parts = [pluralize(count, kind.singular, kind.plural) for kind, count in counts]
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def skipped_message(path: str, kind: SkippedKind) -> str:
    """Return the message for a skipped file, one line with advice."""
    return f"{printable(path)} is skipped: {kind.singular}; convert it to JPEG or PNG"


def skipped_kind(head: bytes) -> SkippedKind | None:
    """Return the kind of an unsupported picture by its first bytes, or None."""
    return next((kind for kind in SKIPPED if kind.signature is not None and kind.signature.match(head)), None)


@cache
def decoder_versions() -> str:
    """Return the versions of facebank and all decoders in one line; with equal versions, files are read identically."""
    from facebank import __version__

    decoders = dict.fromkeys(entry.module for entry in FORMATS)
    return " ".join([f"facebank={__version__}", *(f"{name}={_version(name)}" for name in decoders)])


def _version(name: str) -> str:
    try:
        module, package = import_module(name), import_module(name.partition(".")[0])
    except ImportError:
        return "none"
    return str(getattr(package, "__version__", "unknown")) if getattr(module, "SUPPORTED", True) else "none"
