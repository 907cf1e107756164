"""Links that lead out of the named folders are not followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facebank.storage.folders import NamedFolders, skipped_files_message


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with links of all kinds, and their targets beside it."""
    folder, outside = tmp_path / "album", tmp_path / "outside"
    for parent in (folder / "2019", outside):
        parent.mkdir(parents=True)
        (parent / "mia.jpg").write_text("photo")
    (folder / "file.jpg").symlink_to(Path("..", "outside", "mia.jpg"))
    (folder / "folder").symlink_to(outside)
    (folder / "chain.jpg").symlink_to("folder/mia.jpg")
    (folder / "broken.jpg").symlink_to(outside / "none.jpg")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "within.jpg").symlink_to(Path("2019", "mia.jpg"))
    (folder / "back").symlink_to(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "is_inside"),
    [
        ("2019/mia.jpg", True),
        ("2019/not there yet.jpg", True),
        ("within.jpg", True),
        ("back/back/2019/mia.jpg", True),
        ("file.jpg", False),
        ("folder/mia.jpg", False),
        ("folder/not there yet.jpg", False),
        ("chain.jpg", False),
        ("back/folder/mia.jpg", False),
        ("broken.jpg", False),
        ("../outside/mia.jpg", False),
        ("../album2/mia.jpg", False),
    ],
)
def test_targets_outside_are_excluded(album: Path, name: str, is_inside: bool) -> None:
    assert NamedFolders([album]).contains(album / name) is is_inside


def test_without_a_cache_a_folder_replaced_by_a_link_is_excluded(album: Path) -> None:
    folders, photo = NamedFolders([album], cached=False), album / "2019" / "mia.jpg"
    assert folders.contains(photo)
    (album / "2019").rename(album.parent / "elsewhere")
    (album / "2019").symlink_to(album.parent / "elsewhere")
    assert not folders.contains(photo)


def test_circular_links_terminate(album: Path) -> None:
    NamedFolders([album]).contains(album / "circle.jpg")


def test_a_named_link_stands_for_its_target(album: Path) -> None:
    assert NamedFolders([album / "folder"]).contains(album / "folder" / "mia.jpg")
    assert NamedFolders([album / "file.jpg"]).contains(album / "file.jpg")
    assert NamedFolders([album, album.parent / "outside"]).contains(album / "file.jpg")


def test_sidecars_of_a_named_photo_are_included(album: Path) -> None:
    named = NamedFolders([album / "2019" / "mia.jpg"])
    assert named.contains(album / "2019" / "mia.jpg.xmp")
    assert named.contains(album / "2019" / "mia.xmp")
    assert not named.contains(album / "2019" / "bea.jpg.xmp")
    (album / "2019" / "mia.jpg.xmp").symlink_to(album.parent / "outside" / "mia.xmp")
    assert not NamedFolders([album / "2019" / "mia.jpg"]).contains(album / "2019" / "mia.jpg.xmp")


def test_without_named_folders_links_are_excluded(album: Path) -> None:
    named = NamedFolders([])
    assert named.contains(album / "2019" / "mia.jpg")
    assert not any(
        named.contains(album / name) for name in ("file.jpg", "folder/mia.jpg", "within.jpg", "back/file.jpg")
    )


def test_relative_paths_are_accepted(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    named = NamedFolders(["."])
    assert named.contains("2019/mia.jpg")
    assert not named.contains("file.jpg")


def test_the_message_counts_and_lists_files() -> None:
    assert "1 photo is skipped" in skipped_files_message(["a.jpg"])
    message = skipped_files_message([f"{number}\x1b.jpg" for number in range(5)], "file")
    assert "5 files are skipped" in message
    assert "and 2 more" in message
    assert "\x1b" not in message
    assert "where it would be written" in skipped_files_message(["a.jpg"], as_targets=True)


class RacingFolders(NamedFolders):
    """Named folders that replace a folder by a link after it was checked and before it is opened."""

    def real(self, path: str | os.PathLike[str]) -> str:
        real_path = super().real(path)
        folder = next(path for path in (Path(real_path), Path(real_path).parent) if path.name in {"2019", "outside"})
        if folder.name == "2019":
            folder.rename(folder.with_name("before"))
            folder.symlink_to(folder.parents[1] / "outside")
        return real_path


def test_files_inside_are_opened(album: Path) -> None:
    year = album / "2019"
    for named in (NamedFolders([album]), NamedFolders([year]), NamedFolders([year / "mia.jpg"])):
        with named.open_file(year / "mia.jpg") as file:
            assert file.read() == b"photo"
    with NamedFolders([album]).open_folder(year) as folder, folder.entries() as entries:
        assert [entry.name for entry in entries] == ["mia.jpg"]


@pytest.mark.parametrize("name", [".", "2019"])
def test_links_created_before_opening_are_not_followed(album: Path, name: str) -> None:
    named = RacingFolders([album / name])
    with pytest.raises(OSError, match=r"Not a directory|is a link|symbolic link"), named.open_folder(album / "2019"):
        pass
    with pytest.raises(OSError, match="leads out"), named.open_file(album / "2019" / "mia.jpg"):
        pass


@pytest.mark.parametrize("path", ["file.jpg", "folder/mia.jpg", "../outside/mia.jpg"])
def test_files_outside_are_not_opened(album: Path, path: str) -> None:
    with (
        pytest.raises(OSError, match="leads out of the named folders"),
        NamedFolders([album]).open_file(album / path),
    ):
        pass
