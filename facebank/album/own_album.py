"""Which scan a gallery's album is: its own scan file, or one that was opened with ``facebank album open``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import StorageError
from facebank.storage.files import write_file
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.media import Shard

_LONGEST = 64 * 1024  # bytes
_ADVICE = "open the album with a gallery where you may write, or name it with --scan-file each time"


def default_scan_path(gallery: Path, shard: Shard | None = None) -> Path:
    """Return where a gallery's own scan is kept: beside it, ``family.scan`` for ``family.facebank``.

    That of a shard says which it is: ``family.3-of-16.scan``. The only shard is the whole scan.
    """
    if shard is None or shard.count == 1:
        return gallery.with_suffix(".scan")
    return gallery.with_suffix(f".{shard.number}-of-{shard.count}.scan")


def note_of(gallery: Path) -> Path:
    """Return the file beside a gallery that names the scan that was opened as its album."""
    return gallery.with_suffix(".album")


def opened_album(gallery: Path) -> Path | None:
    """Return the scan file, or the folder of Parquet shards, that was opened as a gallery's album; None if none was.

    Raises `StorageError`: the file that says so is damaged.
    """
    note = note_of(gallery)
    try:
        with note.open("rb") as stream:
            named = json.loads(stream.read(_LONGEST))["album"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(note) from error
    if not isinstance(named, str) or "\0" in named or not Path(named).is_absolute():
        raise _damaged(note)
    return Path(named)


def own_album(gallery: Path) -> Path:
    """Return the scan of a gallery's album: the one that was opened, else its own scan file."""
    return opened_album(gallery) or default_scan_path(gallery)


def open_album(gallery: Path, album: Path) -> None:
    """Remember a scan as a gallery's album; raises `StorageError`."""
    named = os.path.normpath(Path.cwd() / album)
    write_file(note_of(gallery), json.dumps({"album": named}).encode("ascii"), advice=_ADVICE)


def close_album(gallery: Path) -> bool:
    """Let a gallery have its own scan file as its album again; return whether another was open."""
    note = note_of(gallery)
    try:
        note.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"cannot remove {printable(str(note))}: {error.strerror}") from error
    return True


def _damaged(note: Path) -> StorageError:
    return StorageError(
        f"{printable(str(note))} does not name an album: remove it, and open the album again with 'facebank album open'"
    )
