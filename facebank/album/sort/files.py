"""Putting files somewhere without overwriting anything, and without following links."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from facebank.media import picture_hash_of, with_orientation
from facebank.storage.concurrency import flock_now
from facebank.storage.files import part_name, sha256_of

if TYPE_CHECKING:
    from io import BufferedReader, BufferedWriter

    from facebank.storage.folders import Spot


def digest_of(spot: Spot) -> str:
    """Return the SHA-256 of a file, in hex."""
    with spot.read() as file:
        return sha256_of(file)


def picture_of(spot: Spot) -> str:
    """Return the SHA-256 of a photo's picture as it is stored, in hex, whatever metadata its file has."""
    with spot.read() as file:
        return picture_hash_of(file)


def is_picture(stored: str, noted: str) -> bool:
    """Return whether a picture as it is stored is one that was noted as it is stored, or as it is seen."""
    return any(with_orientation(stored, orientation) == noted for orientation in range(1, 9))


def copy_file(source: Spot, target: Spot, *, settled: bool = False) -> None:
    """Copy a file with its times, completely or not at all, over nothing; on the disk when it returns, if `settled`."""
    part = part_name(target.path).name
    try:
        with source.read() as original, target.folder.create(part) as copy:
            flock_now(copy.fileno())  # or another process would take it for what a killed one left
            shutil.copyfileobj(original, copy, 1024 * 1024)
            copy.flush()
            _take_after(copy, original)
            if settled:
                os.fsync(copy.fileno())
            _publish(part, target)
        if os.utime not in os.supports_fd:
            shutil.copystat(source.path, target.path)
    finally:
        with suppress(FileNotFoundError):
            target.folder.remove(part)


def link_file(source: Spot, target: Spot) -> None:
    """Give a file another name, over nothing."""
    source.read().close()  # a link or a pipe is refused
    source.folder.link(source.name, target.folder, target.name)


def move_file(source: Spot, target: Spot) -> None:
    """Move a file over nothing; where it cannot go, it is not at the target either."""
    try:
        link_file(source, target)  # fails where anything is there, as a rename would not
    except FileExistsError:
        raise
    except OSError:  # another disk, or one without links
        copy_file(source, target, settled=True)
    try:
        source.remove()
    except OSError:
        if source.is_taken:  # else the target is all that is left of it
            with suppress(OSError):
                target.remove()
        raise


def _publish(part: str, target: Spot) -> None:
    try:
        target.folder.link(part, target.folder, target.name)
    except FileExistsError:
        raise
    except OSError:  # a disk without links
        if target.is_taken:
            raise
        target.folder.rename(part, target.name)


def _take_after(copy: BufferedWriter, original: BufferedReader) -> None:
    """Give a file that is written the permissions, attributes and times of another, as far as the system lets it."""
    one, other = original.fileno(), copy.fileno()
    status = os.fstat(one)
    if hasattr(os, "fchmod"):
        os.fchmod(other, status.st_mode & 0o777)
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(one):
                with suppress(OSError):
                    os.setxattr(other, name, os.getxattr(one, name))
    if os.utime in os.supports_fd:
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
