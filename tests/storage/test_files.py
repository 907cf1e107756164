"""Files are written completely or not at all, and leftovers of killed processes are removed."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facebank.storage import leftovers
from facebank.storage.files import (
    SHARING,
    face_file_mode,
    face_folder_mode,
    new_file,
    new_folder,
    read_reason,
    write_file,
    write_reason,
)
from facebank.storage.leftovers import clean_once, find_leftovers, remove_leftovers, wipe_file

_WRITER = """
import sys, time
from pathlib import Path
from facebank.storage.files import new_file, new_folder
create = new_file if sys.argv[1] == "file" else new_folder
with create(Path(sys.argv[2], "target")) as part:
    if sys.argv[1] == "file":
        part.stream.write(b"Ada")
        part.stream.flush()
    else:
        (part / "people.jsonl").write_bytes(b"Ada")
    print("writing", flush=True)
    time.sleep(60)
"""


def start_writer(folder: Path, target: str) -> subprocess.Popen[bytes]:
    """Start a process that stays in the middle of writing a file or a folder."""
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, target, folder], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"writing\n"
    return writer


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_old(path: Path) -> None:
    two_days_ago = time.time() - 2 * 86400
    os.utime(path, (two_days_ago, two_days_ago))


def test_new_files_are_private_without_leftovers(tmp_path: Path) -> None:
    write_file(tmp_path / "faces.html", b"Ada")
    assert names_in(tmp_path) == ["faces.html"]
    assert mode_of(tmp_path / "faces.html") == 0o600


def test_a_failed_write_keeps_the_previous_file(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"before")
    with pytest.raises(ValueError, match="no"), new_file(tmp_path / "target") as part:  # noqa: PT012
        part.stream.write(b"half")
        raise ValueError("no")
    assert names_in(tmp_path) == ["target"]
    assert (tmp_path / "target").read_bytes() == b"before"


def test_a_file_created_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), new_file(tmp_path / "target", replace=False) as part:  # noqa: PT012
        part.stream.write(b"mine")
        (tmp_path / "target").write_bytes(b"theirs")
    assert names_in(tmp_path) == ["target"]
    assert (tmp_path / "target").read_bytes() == b"theirs"


def test_a_new_file_is_written_completely(tmp_path: Path) -> None:
    write_file(tmp_path / "target", b"mine", replace=False)
    assert names_in(tmp_path) == ["target"]
    assert (tmp_path / "target").read_bytes() == b"mine"


def test_files_with_faces_are_private_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARING, raising=False)
    assert (face_file_mode(), face_folder_mode()) == (0o600, 0o700)
    monkeypatch.setenv(SHARING, "0")
    assert face_file_mode() == 0o600
    monkeypatch.setenv(SHARING, "1")
    assert (face_file_mode(), face_folder_mode()) == (0o666, 0o777)


@pytest.mark.parametrize("target", ["file", "folder"])
def test_partial_files_of_killed_processes_are_removed(tmp_path: Path, target: str) -> None:
    writer = start_writer(tmp_path, target)
    (part,) = tmp_path.iterdir()
    try:
        assert find_leftovers(tmp_path) == []
        assert remove_leftovers([tmp_path]) == ([], [])
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    assert find_leftovers(tmp_path) == [part]
    write_file(tmp_path / "other", b"")
    assert names_in(tmp_path) == ["other"]


def test_foreign_files_are_kept(tmp_path: Path) -> None:
    names = (
        ".facebank-notes.part",
        ".facebank-1-0123456789abcdef.part.sh.txt",
        "facebank-1-0123456789abcdef.part",
        ".writing-notes",
        ".Ada.0123abcd.partial",
        "notes.part",
    )
    for name in names:
        (tmp_path / name).write_bytes(b"mine")
        make_old(tmp_path / name)
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (tmp_path / ".facebank-1-0123456789abcdef.part").symlink_to(outside)
    (tmp_path / ".facebank-2-0123456789abcdef.part").mkdir()
    (tmp_path / ".facebank-2-0123456789abcdef.part" / "link").symlink_to(outside)
    os.mkfifo(tmp_path / ".facebank-3-0123456789abcdef.part")
    photos = tmp_path / ".Ada.0123abcd.partial2"
    photos.mkdir()
    remove_leftovers([tmp_path])
    assert names_in(tmp_path) == sorted(
        [
            *names,
            "outside",
            photos.name,
            ".facebank-1-0123456789abcdef.part",
            ".facebank-3-0123456789abcdef.part",
        ]
    )
    assert outside.read_bytes() == b"mine"


def test_old_export_folders_are_recognized_by_content(tmp_path: Path) -> None:
    export, photos = tmp_path / ".backup.0123abcd.partial", tmp_path / ".photos.0123abcd.partial"
    for folder, name in ((export, "people.jsonl"), (photos, "ada.jpg")):
        folder.mkdir()
        (folder / name).write_bytes(b"Ada")
        make_old(folder)
    assert find_leftovers(tmp_path) == [export]


@pytest.mark.parametrize(
    "name",
    [
        ".facebank-0123456789abcdef.part",
        ".facebank-0123456789abcdef.mp4",
        ".writing-ab12_xyz",
        ".writing-123-calibration.json",
        f"{'0' * 32}.vectors.ab12_xyz",
    ],
)
def test_leftovers_of_earlier_versions_count_after_a_day(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"Ada")
    assert find_leftovers(tmp_path) == []
    make_old(tmp_path / name)
    assert find_leftovers(tmp_path) == [tmp_path / name]


def test_a_leftover_with_another_hard_link_loses_its_name_only(tmp_path: Path) -> None:
    photo = tmp_path / "ada.jpg"
    photo.write_bytes(b"the only copy")
    (tmp_path / ".facebank-1-0123456789abcdef.part").hardlink_to(photo)
    remove_leftovers([tmp_path])
    assert names_in(tmp_path) == ["ada.jpg"]
    assert photo.read_bytes() == b"the only copy"


def test_a_leftover_is_overwritten_before_it_is_removed(tmp_path: Path) -> None:
    path = tmp_path / ".facebank-1-0123456789abcdef.part"
    path.write_bytes(b"Ada")
    with path.open("rb") as still_open:
        remove_leftovers([tmp_path])
        assert still_open.read() == bytes(3)


def test_without_locks_a_partial_file_is_a_leftover_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "try_flock", lambda _: None)
    path = tmp_path / ".facebank-1-0123456789abcdef.part"
    path.write_bytes(b"Ada")
    assert find_leftovers(tmp_path) == []
    make_old(path)
    assert find_leftovers(tmp_path) == [path]
    write_file(tmp_path / "target", b"Grace")
    assert names_in(tmp_path) == ["target"]


def test_a_folder_is_cleaned_at_intervals(tmp_path: Path) -> None:
    clean_once(tmp_path)
    path = tmp_path / ".facebank-1-0123456789abcdef.part"
    path.touch()
    clean_once(tmp_path)
    assert path.exists()
    assert remove_leftovers([tmp_path, tmp_path]) == ([path], [])


def test_a_new_folder_is_removed_unless_renamed(tmp_path: Path) -> None:
    with new_folder(tmp_path / "deep" / "kept") as folder:
        (folder / "file").touch()
        assert mode_of(folder) == 0o700
        folder.rename(tmp_path / "deep" / "kept")
    with new_folder(tmp_path / "deep" / "gone") as folder:
        (folder / "file").touch()
    assert names_in(tmp_path / "deep") == ["kept"]


def test_wiping_a_link_keeps_its_target(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"Ada")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    wipe_file(tmp_path / "link")
    wipe_file(tmp_path / "absent")
    assert (tmp_path / "file").read_bytes() == b"Ada"


@pytest.mark.parametrize(
    ("error_number", "read_advice", "write_advice"),
    [
        (errno.EACCES, "check its permissions", "choose a folder where you may write"),
        (errno.ENOENT, "check the path", "choose another path"),
        (errno.ENOSPC, "free some space", "free some space"),
        (errno.EIO, "check the disk and its connection", "check the disk and its connection"),
    ],
)
def test_the_reason_for_a_file_error_ends_with_advice(error_number: int, read_advice: str, write_advice: str) -> None:
    error = OSError(error_number, os.strerror(error_number))
    assert read_reason(error) == f"{os.strerror(error_number)}; {read_advice}"
    assert write_reason(error) == f"{os.strerror(error_number)}; {write_advice}"


def test_the_reason_for_other_errors_is_their_text() -> None:
    assert read_reason(ValueError("embedded null byte")) == "embedded null byte"
    assert write_reason(ValueError()) == "ValueError"
