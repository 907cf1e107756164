"""Reading and writing of a photo's XMP, in its file and in sidecars, without changing other data.

Sidecars have two names: ``photo.jpg.xmp`` (digiKam, darktable, immich) and Adobe's ``photo.xmp``. Both are read; the
first takes precedence, as in immich, and is the one that is written.

A new file is written beside the old one, read back and compared before it replaces the old one, so that a crash leaves
one of the two intact.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.tags.sidecars import possible_sidecars
from facebank.album.tags.xmp_document import MAX_BYTES, XmpDocument
from facebank.album.tags.xmp_packets import Packet, find_packet, is_jpeg_head, replace_packet
from facebank.errors import PhotoError, StorageError, XmpError
from facebank.media import PhotoFile, PhotoHeader, read_header, read_photo_bytes, read_photo_file
from facebank.storage.files import is_file, new_file, read_reason, write_reason
from facebank.storage.folders import NOT_THERE
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.media import PhotoLimits

_HEAD_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class XmpSource:
    """One XMP document about a photo."""

    path: Path  # of the photo or of a sidecar
    document: XmpDocument
    data: bytes | None = None  # the bytes of an existing sidecar; None for a photo or a new sidecar


@dataclass(frozen=True, slots=True, eq=False)
class PhotoXmp:
    """A photo with all XMP about it."""

    path: Path  # of the photo
    file: PhotoFile  # its bytes
    header: PhotoHeader  # its metadata, read without decoding pixels
    packet: Packet | None  # the place of XMP in the file; None for a format in which XMP is not embedded
    embedded: XmpSource | None  # the packet in the photo; None if it has none
    extended: XmpSource | None  # Extended XMP in the photo; None if it has none
    sidecars: tuple[XmpSource, ...]  # existing ones; the one that facebank writes comes first

    @property
    def sources(self) -> tuple[XmpSource, ...]:
        """All documents in order of precedence."""
        inside = (source for source in (self.embedded, self.extended) if source is not None)
        return (*self.sidecars, *inside)


def read_photo_xmp(path: Path, *, to_change: bool = True) -> PhotoXmp:
    """Return all XMP about a photo. Unless the photo is `to_change`, only the first part of a JPEG is read.

    Raises `PhotoError` (the photo cannot be read, or its XMP or a sidecar is broken; the message names the file) or
    `MissingDependencyError` (lxml is not installed).
    """
    head = None if to_change else _jpeg_head(path)
    file = read_photo_file(path) if head is None else PhotoFile(str(path), head, None)
    header = read_header(file)
    packet = find_packet(file.data, header.format_name, str(path))
    data = header.xmp if packet is None else packet.data
    extended = None if packet is None else packet.extended
    sidecars = map(_read_sidecar, possible_sidecars(path))
    return PhotoXmp(
        path=path,
        file=file,
        header=header,
        packet=packet,
        embedded=None if data is None else XmpSource(path, XmpDocument.parse(data, str(path))),
        extended=None if extended is None else XmpSource(path, XmpDocument.parse(extended, str(path))),
        sidecars=tuple(source for source in sidecars if source is not None),
    )


def _jpeg_head(path: Path) -> bytes | None:
    """Return the first part of a JPEG with all metadata; None for other files, or if the metadata is longer."""
    with suppress(OSError, ValueError):
        if stat.S_ISREG(path.stat().st_mode):
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
            return head if is_jpeg_head(head) else None
    return None


def write_sidecar(path: Path, document: XmpDocument, previous: bytes | None = None) -> None:
    """Write or replace a sidecar. A new one gets the permissions of the photo.

    Raises `XmpError` (it has hard links, which would keep the old file) or `StorageError` (it cannot be written, or
    another program changed it meanwhile).

    Parameters
    ----------
    path, document
        The file, and its new content.
    previous
        Its bytes when it was read; None if it did not exist.
    """
    data, target = document.to_bytes(), Path(os.path.realpath(path))
    if is_file(target) and _link_count(target) > 1:
        raise XmpError(f"{printable(str(path))} is linked to other names, which would keep the old file: unlink it")

    def check(written: bytes) -> bool:
        return written == data and XmpDocument.parse(written, str(path)).has_same_content(document)

    def is_unchanged() -> bool:
        return (target.read_bytes() if is_file(target) else None) == previous

    _replace(target, data, check, is_unchanged, like=target if is_file(target) else path.with_suffix(""))


def embed(xmp: PhotoXmp, document: XmpDocument, limits: PhotoLimits | None = None) -> bytes:
    """Embed XMP in a photo, and return the bytes of the new file.

    The picture is not encoded again: the packet is spliced in, and the other bytes, the decoded pixels and the XMP are
    compared before the file replaces the old one. Permissions and times are kept, because a photo without a date is
    dated by its file. Raises `XmpError` (XMP cannot be embedded safely; the message has the reason, and the file is
    unchanged) or `StorageError` (the file cannot be written).

    Parameters
    ----------
    xmp
        The photo, as `read_photo_xmp` returns it.
    document
        The new XMP.
    limits
        The largest photo to read; None for the default.
    """
    target, label = Path(os.path.realpath(xmp.path)), printable(str(xmp.path))
    format_name, old_packet = xmp.header.format_name, xmp.packet
    if old_packet is None:
        raise XmpError(
            f"{label} is a {format_name}, in which XMP is not embedded: write a sidecar instead, without --embed"
        )
    if _link_count(target) > 1:
        raise XmpError(f"{label} is linked to other names, which would keep the old file: write a sidecar instead")
    if not target.stat().st_mode & stat.S_IWUSR:
        raise XmpError(f"{label} may not be written: write a sidecar instead, or allow it")
    old, wanted = xmp.file.data, document.to_packet()
    data = replace_packet(old, format_name, old_packet, wanted, str(xmp.path))

    def check(written: bytes) -> bool:
        packet = find_packet(written, format_name, str(xmp.path))
        return (
            packet is not None
            and packet.data == wanted
            and _other_bytes(written, format_name, packet) == _other_bytes(old, format_name, old_packet)
            and XmpDocument.parse(packet.data, str(xmp.path)).has_same_content(document)
            and _same_picture(old, written, limits)
        )

    _replace(target, data, check, lambda: target.read_bytes() == old, like=target, keep_times=True)
    return data


def _link_count(path: Path) -> int:
    try:
        return path.stat().st_nlink
    except OSError as error:
        raise StorageError(f"{printable(str(path))} cannot be written: {write_reason(error)}") from error


def _other_bytes(data: bytes, format_name: str, packet: Packet) -> bytes:
    """Return the bytes of a file that must not change."""
    other = data[: packet.start] + data[packet.end :]
    if format_name != "WebP":
        return other
    # the sizes in the RIFF header and the flags in VP8X change with the XMP
    body = other[12:]
    return body[18:] if body.startswith(b"VP8X") else body


def _same_picture(old: bytes, new: bytes, limits: PhotoLimits | None) -> bool:
    import numpy as np

    arguments = () if limits is None else (limits,)
    before, after = (read_photo_bytes(data, "<photo>", *arguments) for data in (old, new))
    return np.array_equal(before.pixels, after.pixels) and before.taken_at == after.taken_at


def _read_sidecar(path: Path) -> XmpSource | None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise XmpError(f"{printable(str(path))} is not a file: move it away to make room for a sidecar")
        if status.st_size > MAX_BYTES:
            raise XmpError(
                f"{printable(str(path))} has {status.st_size:,} bytes, the limit is {MAX_BYTES:,}: move it away"
            )
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except NotADirectoryError:
        return None
    except OSError as error:
        if error.errno in NOT_THERE:
            return None
        raise XmpError(f"{printable(str(path))} cannot be read: {read_reason(error)}") from error
    return XmpSource(path, XmpDocument.parse(data, str(path)), data)


def _replace(
    target: Path,
    data: bytes,
    check: Callable[[bytes], bool],
    is_unchanged: Callable[[], bool],
    *,
    like: Path,
    keep_times: bool = False,
) -> None:
    """Write a file with the permissions of `like`, check it, and replace the target with it."""
    label = printable(str(target))
    try:
        with new_file(target) as part:
            part.stream.write(data)
            part.stream.flush()
            _copy_status(part.path, like, keep_times=keep_times)
            _require_valid(label, check(part.path.read_bytes()), is_unchanged)
    except OSError as error:
        raise StorageError(f"{label} cannot be written: {write_reason(error)}") from error
    except (XmpError, StorageError):
        raise
    except PhotoError as error:
        raise StorageError(f"{label} could not be written correctly and is unchanged: {error}") from error


def _require_valid(label: str, is_valid: bool, is_unchanged: Callable[[], bool]) -> None:
    if not is_valid:
        raise StorageError(f"{label} could not be written correctly and is unchanged: check the disk, and try again")
    if not is_unchanged():
        raise StorageError(f"{label} was changed by another program meanwhile and is kept as it is: try again")


def _copy_status(part: Path, like: Path, *, keep_times: bool) -> None:
    """Give a file the owner and permissions of another."""
    status = like.stat()
    with suppress(PermissionError):  # only root may change owners
        os.chown(part, status.st_uid, status.st_gid)
    if keep_times:
        shutil.copystat(like, part)
    else:
        part.chmod(stat.S_IMODE(status.st_mode) & 0o666)
