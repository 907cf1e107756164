"""The journal mode depends on the file system."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from facebank.storage.file_systems import file_system_type, is_on_network
from facebank.storage.sqlite import choose_journal

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 22 0:30 / /home rw shared:2 - nfs4 server:/home rw,vers=4.2
36 35 0:31 / /home/ada/local\040disk rw shared:3 master:1 - btrfs /dev/sdb rw
37 22 0:32 / /mnt/office rw - cifs //server/office rw
38 22 0:33 / /mnt/both rw - ext4 /dev/sdc rw
39 22 0:34 / /mnt/both rw - fuse.sshfs ada@server: rw
nonsense
40 22 0:35 / -
"""


@pytest.mark.parametrize(
    ("path", "file_system"),
    [
        ("/var/family.facebank", "ext4"),
        ("/home", "nfs4"),
        ("/home/ada/family.facebank", "nfs4"),
        ("/home/ada/local disk/family.facebank", "btrfs"),
        ("/homely/family.facebank", "ext4"),
        ("/mnt/office/family.facebank", "cifs"),
        ("/mnt/both/family.facebank", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_applies(path: str, file_system: str) -> None:
    assert file_system_type(MOUNTS, path) == file_system


def test_an_unmounted_path_has_no_file_system() -> None:
    assert file_system_type("", "/var/family.facebank") == ""


def test_a_temporary_folder_is_not_on_the_network(tmp_path: Path) -> None:
    assert not is_on_network(tmp_path / "family.facebank")


@pytest.mark.parametrize(("log", "mode"), [(True, "wal"), (False, "delete")])
@pytest.mark.parametrize("before", ["wal", "delete", "truncate"])
def test_the_journal_mode_depends_on_the_location(tmp_path: Path, before: str, log: bool, mode: str) -> None:
    with closing(sqlite3.connect(tmp_path / "some.facebank", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {before}")
        connection.execute("CREATE TABLE some (x)")
        assert choose_journal(connection, log=log) == mode
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)


def test_without_shared_memory_the_rollback_journal_is_kept(tmp_path: Path) -> None:
    uri = f"{(tmp_path / 'some.facebank').as_uri()}?vfs=unix-dotfile"  # has no shared memory, like network shares
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE some (x)")
        assert choose_journal(connection, log=True) == "delete"


def test_a_journal_mode_in_use_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "some.facebank"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0.05)) as writer,
    ):
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE some (x)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM some").fetchall()
        assert choose_journal(writer, log=False) == "wal"
