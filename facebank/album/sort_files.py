"""Putting files somewhere without overwriting anything."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file with its times, completely or not at all, over nothing."""
    part = target.with_name(f".facebank-{secrets.token_hex(8)}.part")
    try:
        shutil.copy2(source, part)
        try:
            target.hardlink_to(part)
        except FileExistsError:
            raise
        except OSError:
            if os.path.lexists(target):
                raise
            part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def link_file(source: Path, target: Path) -> None:
    """Give a file, or what a link leads to, another name, over nothing."""
    target.hardlink_to(Path(os.path.realpath(source)))


def move_file(source: Path, target: Path) -> None:
    """Move a file over nothing; where it cannot go, it is not at the target either."""
    try:
        target.hardlink_to(source)  # fails where anything is there, as a rename would not
    except FileExistsError:
        raise
    except OSError:  # another disk, or one without links
        copy_file(source, target)
    try:
        source.unlink()
    except OSError:
        if os.path.lexists(source):  # else the target is all that is left of it
            with suppress(OSError):
                target.unlink()
        raise
