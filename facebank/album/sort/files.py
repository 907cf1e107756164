"""Copying, linking and moving of single files without overwriting any, and hashes of their contents."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from facebank.media import orient_hash, picture_hash_of_file
from facebank.storage.concurrency import try_flock
from facebank.storage.files import part_path, sha256_of

if TYPE_CHECKING:
    from io import BufferedReader, BufferedWriter

    from facebank.storage.folders import FileLocation


def content_hash_of(location: FileLocation) -> str:
    """Return the SHA-256 of a file, in hex."""
    with location.read() as file:
        return sha256_of(file)


def stored_picture_hash(location: FileLocation) -> str:
    """Return the SHA-256 of a photo's stored pixels in hex, regardless of its metadata."""
    with location.read() as file:
        return picture_hash_of_file(file)


def matches_picture(stored: str, recorded: str) -> bool:
    """Return whether a recorded hash is that of stored pixels, in any of the eight EXIF orientations."""
    return any(orient_hash(stored, orientation) == recorded for orientation in range(1, 9))


def copy_file(source: FileLocation, target: FileLocation, *, sync: bool = False) -> None:
    """Copy a file with its times atomically, and sync it to the disk if `sync`; raises `FileExistsError`."""
    part = part_path(target.path).name
    try:
        with source.read() as original, target.folder.create(part) as copy:
            try_flock(copy.fileno())  # keeps other processes from removing it as a leftover
            shutil.copyfileobj(original, copy, 1024 * 1024)
            copy.flush()
            _copy_metadata(original, copy)
            if sync:
                os.fsync(copy.fileno())
            _publish(part, target)
        if os.utime not in os.supports_fd:
            shutil.copystat(source.path, target.path)
    finally:
        with suppress(FileNotFoundError):
            target.folder.remove(part)


def link_file(source: FileLocation, target: FileLocation) -> None:
    """Create a hard link to a file; raises `FileExistsError`."""
    source.read().close()  # raises for symbolic links and pipes
    source.folder.link(source.name, target.folder, target.name)


def move_file(source: FileLocation, target: FileLocation) -> None:
    """Move a file; raises `FileExistsError`. If the source cannot be removed, the target is removed again."""
    try:
        link_file(source, target)  # unlike a rename, fails if the target exists
    except FileExistsError:
        raise
    except OSError:  # another disk, or one without hard links
        copy_file(source, target, sync=True)
    try:
        source.remove()
    except OSError:
        if source.is_taken:  # otherwise the target is the only copy
            with suppress(OSError):
                target.remove()
        raise


def _publish(part: str, target: FileLocation) -> None:
    try:
        target.folder.link(part, target.folder, target.name)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links
        if target.is_taken:
            raise
        target.folder.rename(part, target.name)


def _copy_metadata(original: BufferedReader, copy: BufferedWriter) -> None:
    """Copy permissions, extended attributes and times, as far as the system allows."""
    source, target = original.fileno(), copy.fileno()
    status = os.fstat(source)
    if hasattr(os, "fchmod"):
        os.fchmod(target, status.st_mode & 0o777)
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(source):
                with suppress(OSError):
                    os.setxattr(target, name, os.getxattr(source, name))
    if os.utime in os.supports_fd:
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
