"""Recognition of network shares by their mounts."""

from __future__ import annotations

from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "prl_fs", "smb3", "smbfs"}
    | {"fuse.davfs2", "fuse.glusterfs", "fuse.rclone", "fuse.sshfs", "vboxsf"}
)


def is_on_network(path: Path) -> bool:
    """Return whether a file is on a network share, where SQLite's write-ahead log is unsafe.

    The log's index is in shared memory, which is local to a machine. Shares are recognized on Linux, and by UNC
    paths on Windows; elsewhere a file counts as local.
    """
    resolved = str(path.resolve())
    if resolved.startswith("\\\\"):
        return True
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return file_system_type(mounts, resolved) in _NETWORK_FILE_SYSTEMS


def file_system_type(mounts: str, path: str) -> str:
    """Return the type of the file system of a resolved path, such as ``nfs4``; empty if unknown.

    `mounts` is the content of ``/proc/self/mountinfo``, see proc(5).
    """
    longest, found = -1, ""
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split()
        if len(fields) < 5 or not source.strip():
            continue
        mount_point = _unescape(fields[4]).rstrip("/")
        if (path == mount_point or path.startswith(mount_point + "/")) and len(mount_point) >= longest:
            longest, found = len(mount_point), source.split()[0]
    return found


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
