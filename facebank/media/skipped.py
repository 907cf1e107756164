"""Pictures that are not read: their kinds, how they are known, and what helps."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class SkippedKind:
    """A kind of picture that is not read.

    Attributes
    ----------
    code
        What JSON calls it; never renamed.
    one, many
        What people call one of them, and several.
    suffixes
        How its files' names end, in lower case.
    signature
        Matches the first bytes of its files; None where a name is all there is to go by.
    """

    code: str
    one: str
    many: str
    suffixes: tuple[str, ...]
    signature: re.Pattern[bytes] | None


def _kind(code: str, one: str, suffixes: str, signature: bytes | None = None, many: str | None = None) -> SkippedKind:
    pattern = None if signature is None else re.compile(signature, re.DOTALL)
    return SkippedKind(code, one, many or f"{one}s", tuple(suffixes.split()), pattern)


# A DNG and most other raw files begin as a TIFF does; those that say more than that are known by it.
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
        "picture of another kind",
        ".bpg .exr .hdr .jxr .pcx .svg .tga .wdp .xcf",
        rb"gimp xcf |DDS ",
        "pictures of other kinds",
    ),
)

SKIPPED_SUFFIXES: Mapping[str, SkippedKind] = {suffix: kind for kind in SKIPPED for suffix in kind.suffixes}


def counted_skipped(kinds: Iterable[SkippedKind]) -> str:
    """Say how many there are of each kind, most first: ``3 camera raw files and 1 icon``; empty for none."""
    counts = Counter(kinds).most_common()
    parts = [f"{count:,} {kind.one if count == 1 else kind.many}" for kind, count in counts]
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def skipped_message(path: str, kind: SkippedKind) -> str:
    """Say in one line that a file was passed over, and what helps."""
    return f"{printable(path)} is skipped: {kind.one}; save it as JPEG or PNG to have it read"


def skipped_kind(head: bytes) -> SkippedKind | None:
    """Tell which kind of unread picture a file is by its first bytes; None if it is none of them.

    Parameters
    ----------
    head
        The first bytes of the file.
    """
    return next((kind for kind in SKIPPED if kind.signature is not None and kind.signature.match(head)), None)
