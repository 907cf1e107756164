"""Path of the scan of a gallery's album: its default scan file, or a scan opened with ``facebank album open``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import StorageError
from facebank.storage.files import write_file, write_reason
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.media.shards import Shard

_MAX_BYTES = 64 * 1024  # of a link
_ADVICE = "open the album with a gallery in a writable folder, or give its path with --scan-file each time"


def default_scan_path(gallery_path: Path, shard: Shard | None = None) -> Path:
    """Return the path of a gallery's default scan file, which lies beside the gallery.

    The name contains the shard, unless it is the only one.

    Examples
    --------
    >>> from pathlib import Path
    >>> from facebank.media.shards import Shard
    >>> default_scan_path(Path("family.facebank")).name
    'family.scan'
    >>> default_scan_path(Path("family.facebank"), Shard(3, 16)).name
    'family.3-of-16.scan'
    """
    if shard is None or shard.count == 1:
        return gallery_path.with_suffix(".scan")
    return gallery_path.with_suffix(f".{shard.number}-of-{shard.count}.scan")


def album_link_path(gallery_path: Path) -> Path:
    """Return the file beside a gallery that stores the path of its opened scan."""
    return gallery_path.with_suffix(".album")


def opened_scan_path(gallery_path: Path) -> Path | None:
    """Return the scan file or folder of Parquet shards that was opened as a gallery's album; None if none was.

    Raises `StorageError` if the file that stores the path is damaged.
    """
    link = album_link_path(gallery_path)
    try:
        with link.open("rb") as stream:
            path = json.loads(stream.read(_MAX_BYTES))["album"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damage_error(link) from error
    if not isinstance(path, str) or "\0" in path or not Path(path).is_absolute():
        raise _damage_error(link)
    return Path(path)


def album_scan_path(gallery_path: Path) -> Path:
    """Return the path of the scan of a gallery's album: the opened one, else the default scan file.

    Raises `StorageError` as `opened_scan_path` does.
    """
    return opened_scan_path(gallery_path) or default_scan_path(gallery_path)


def open_album(gallery_path: Path, scan_path: Path) -> None:
    """Store the path of a scan as a gallery's album; raises `StorageError` if the folder is not writable."""
    path = os.path.normpath(Path.cwd() / scan_path)
    write_file(album_link_path(gallery_path), json.dumps({"album": path}).encode("ascii"), advice=_ADVICE)


def close_album(gallery_path: Path) -> bool:
    """Make a gallery's default scan file its album again, and return whether another was open.

    Raises `StorageError` if the file that stores the path cannot be removed.
    """
    link = album_link_path(gallery_path)
    try:
        link.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"{printable(str(link))} cannot be removed: {write_reason(error)}") from error
    return True


def _damage_error(link: Path) -> StorageError:
    return StorageError(
        f"{printable(str(link))} contains no path of an album: remove it, and open the album again with 'facebank "
        "album open'"
    )
