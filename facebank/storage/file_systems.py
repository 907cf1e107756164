"""What kind of file system a file lies on."""

from __future__ import annotations

from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK_KINDS = frozenset(
    {"9p", "afs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "prl_fs", "smb3", "smbfs"}
    | {"fuse.davfs2", "fuse.glusterfs", "fuse.rclone", "fuse.sshfs", "vboxsf"}
)


def is_on_network(path: Path) -> bool:
    """Return whether a file lies on a network share, where SQLite's write-ahead log is not safe.

    The log's index is shared memory, and machines share none. It is
    recognized on Linux, and by Windows' UNC paths; elsewhere a file counts as local.
    """
    place = str(path.resolve())
    if place.startswith("\\\\"):
        return True
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return filesystem_kind(mounts, place) in _NETWORK_KINDS


def filesystem_kind(mounts: str, place: str) -> str:
    """Return the kind of file system a path lies on.

    Parameters
    ----------
    mounts
        Text of ``/proc/self/mountinfo`` (its format: proc(5)).
    place
        An absolute path without links.

    Returns
    -------
    str
        Such as ``ext4`` or ``nfs4``; empty where it cannot be told.
    """
    longest, kind = -1, ""
    for line in mounts.splitlines():
        mounted, _, described = line.partition(" - ")
        fields = mounted.split()
        if len(fields) < 5 or not described.strip():
            continue
        point = _unescaped(fields[4]).rstrip("/")
        if (place == point or place.startswith(point + "/")) and len(point) >= longest:
            longest, kind = len(point), described.split()[0]
    return kind


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
