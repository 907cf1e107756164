"""The photos of a folder are found, in natural order."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from facebank.errors import PhotoNotFoundError, UnreadablePhotoError
from facebank.media import find_photos, find_videos, list_folder, read_photo
from facebank.media.formats import SKIPPED, describe_skipped


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def photo_names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_photos(folder)]


def test_photos_are_found_by_suffix(tmp_path: Path) -> None:
    photos = [
        "a.jpg", "b.JPEG", "c.Png", "d.webp", "e.bmp", "f.tif", "g.tiff", "h.gif", "i.avif", "j.heic", "k.HEIF",
        "l.mpo", "m.ppm", "n.pgm", "o.jfif",
    ]  # fmt: skip
    make_files(tmp_path, *photos, "notes.txt", "video.mp4", "jpg", "archive.jpg.zip", "drawing.svg", "x.psd")
    assert photo_names(tmp_path) == photos


def test_videos_are_listed_separately(tmp_path: Path) -> None:
    make_files(tmp_path, "a.jpg", "videos/c.MOV", "b.mp4", "videos/notes.txt", ".d.mp4")
    assert find_videos(tmp_path) == [tmp_path / "b.mp4", tmp_path / "videos" / "c.MOV"]
    assert find_videos(tmp_path / "b.mp4") == []


def test_subfolders_are_searched_without_hidden_files(tmp_path: Path) -> None:
    make_files(
        tmp_path, "2019/summer/b.jpg", "2019/a.jpg", ".hidden.jpg", ".thumbnails/c.jpg", "2019/.d/e.jpg", "._f.jpg"
    )
    assert photo_names(tmp_path) == ["2019/a.jpg", "2019/summer/b.jpg"]


def test_a_named_hidden_folder_is_searched(tmp_path: Path) -> None:
    make_files(tmp_path, ".secret/a.jpg")
    assert photo_names(tmp_path / ".secret") == ["a.jpg"]


def test_files_are_in_natural_order(tmp_path: Path) -> None:
    ordered = [
        "1.jpg",
        "2.jpg",
        "10.jpg",
        "a/1.jpg",
        "b.jpg",
        "B2.jpg",
        "b10.jpg",
        "b10x.jpg",
        "img9-2.jpg",
        "img9-10.jpg",
    ]
    make_files(tmp_path, *reversed(ordered))
    assert photo_names(tmp_path) == ordered


def test_a_folder_named_like_a_photo_is_searched(tmp_path: Path) -> None:
    make_files(tmp_path, "album.jpg/a.png")
    assert photo_names(tmp_path) == ["album.jpg/a.png"]


def test_paths_start_with_the_given_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(tmp_path, "album/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert find_photos("album") == [Path("album/a.jpg")]


def test_a_named_file_is_listed_regardless_of_suffix(tmp_path: Path) -> None:
    make_files(tmp_path, "photo.dat")
    assert find_photos(tmp_path / "photo.dat") == [tmp_path / "photo.dat"]


def test_an_empty_folder_has_no_photos(tmp_path: Path) -> None:
    assert find_photos(tmp_path) == []


@pytest.mark.parametrize("name", ["absent", "nul\0l", "x" * 300])
def test_a_missing_folder_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(PhotoNotFoundError, match=r"there is no photo or folder .*; check the path"):
        find_photos(tmp_path / name)


def test_a_search_of_circular_links_terminates(tmp_path: Path) -> None:
    make_files(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "across").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "across").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "self").symlink_to(".")
    assert photo_names(tmp_path) == ["a/1.jpg", "b/2.jpg"]


def test_a_link_to_itself_does_not_hide_other_files(tmp_path: Path) -> None:
    make_files(tmp_path, "1.jpg")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to("first")
    assert photo_names(tmp_path) == ["1.jpg", "loop.jpg"]


def test_links_to_other_folders_are_followed(tmp_path: Path) -> None:
    make_files(tmp_path, "elsewhere/1.jpg", "album/2.jpg")
    (tmp_path / "album" / "more").symlink_to(tmp_path / "elsewhere")
    assert photo_names(tmp_path / "album") == ["2.jpg", "more/1.jpg"]


def test_links_to_files_are_photos_even_when_broken(tmp_path: Path) -> None:
    make_files(tmp_path, "elsewhere/1.jpg", "album/2.jpg")
    (tmp_path / "album" / "linked.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (tmp_path / "album" / "broken.jpg").symlink_to(tmp_path / "absent.jpg")
    assert photo_names(tmp_path / "album") == ["2.jpg", "broken.jpg", "linked.jpg"]


def test_very_deep_folders_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1500):
        os.mkdir("d")  # noqa: PTH102
        os.chdir("d")
    Path("1.jpg").touch()
    os.chdir(tmp_path)
    try:
        assert photo_names(Path()) == ["d/" * 1500 + "1.jpg"]
    finally:
        # The folders are too deep for the cleanup of pytest.
        subprocess.run(["rm", "-r", "d"], check=True)


def test_unreadable_folders_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(tmp_path, "a/1.jpg", "closed/2.jpg", "z.jpg")
    if os.geteuid() == 0:
        # Root can open every folder, so the test raises the error itself.
        os_open, access = os.open, os.access
        closed = tmp_path / "closed"

        def open_or_refuse(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if Path(path) == closed:
                raise PermissionError(13, "Permission denied", str(path))
            return os_open(path, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", open_or_refuse)
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and access(path, mode))
    else:
        (tmp_path / "closed").chmod(0)
    assert photo_names(tmp_path) == ["a/1.jpg", "closed", "z.jpg"]
    with pytest.raises(UnreadablePhotoError, match=r"closed is a folder that cannot be opened"):
        read_photo(tmp_path / "closed")
    if os.geteuid() != 0:
        (tmp_path / "closed").chmod(0o700)


JPEG = b"\xff\xd8\xff\xe0" + bytes(60)


def test_unsupported_pictures_are_listed_by_kind(tmp_path: Path) -> None:
    kinds = {
        "raw": ["a.CR2", "b.nef", "c.dng", "d.arw", "sub/e.raf"],
        "jpeg_xl": ["f.jxl"],
        "icon": ["g.ico"],
        "other": ["h.xcf"],
    }
    make_files(tmp_path, *(name for names in kinds.values() for name in names), "notes.txt", ".hidden.cr2", "README")
    (tmp_path / "b.nef").write_bytes(b"MM\0*" + bytes(60))  # most raw files start like a TIFF
    (tmp_path / "i").write_bytes(b"8BPS" + bytes(60))
    contents = list_folder(tmp_path)
    assert contents.photos == contents.videos == ()
    names_by_kind: dict[str, list[str]] = {}
    for path, kind in contents.skipped:
        names_by_kind.setdefault(kind.code, []).append(path.relative_to(tmp_path).as_posix())
    assert names_by_kind.pop("photoshop")[-1] == "i"
    assert names_by_kind == kinds


def test_files_without_suffix_are_recognized_by_content(tmp_path: Path) -> None:
    names = ["Summer 2.5", "no-extension", "photo 12.03.2019", "really-a-jpeg.cr2", "sub/DSC0001"]
    make_files(tmp_path, *names, "BMW", "Makefile", "a.txt", "b.thm", "c.jpg.part")
    for name in (*names, "a.txt", "b.thm", "c.jpg.part"):
        (tmp_path / name).write_bytes(JPEG)
    (tmp_path / "BMW").write_bytes(b"BMW, and P5 \n")
    assert sorted(photo_names(tmp_path)) == sorted(names)
    assert list_folder(tmp_path).skipped == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_without_suffix_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    assert list_folder(tmp_path).photos == ()


def test_counts_of_skipped_kinds_are_described() -> None:
    kinds = {kind.code: kind for kind in SKIPPED}
    assert describe_skipped([]) == ""
    assert describe_skipped([kinds["raw"]]) == "1 camera raw file"
    several = [kinds["icon"], *[kinds["raw"]] * 1200, *[kinds["jpeg_xl"]] * 2]
    assert describe_skipped(several) == "1,200 camera raw files, 2 JPEG XL pictures and 1 icon"
