"""Empty paths, which Python treats as the current folder, are rejected everywhere; nested paths are removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facebank import FaceBank, read_photo
from facebank.album.album import Album
from facebank.demo.demonstration import run_demo
from facebank.errors import PackNotFoundError, StreamError, UsageError
from facebank.gallery import Gallery, default_gallery_path, exported_pack, inspect_gallery
from facebank.media import find_photos, find_videos
from facebank.media.live import live_source
from facebank.media.video import Video
from facebank.operations.annotate import Annotator
from facebank.operations.inputs import require_photos
from facebank.packs import add_pack, load_pack
from facebank.storage.paths import absolute, cache_folder, calibrations_folder, named_path, outermost, packs_folder
from facebank.vision.insightface_adapter import open_package
from tests.demo_photos import DEMO_PHOTOS

PHOTO = DEMO_PHOTOS / "eileen_collins.jpg"


@pytest.fixture
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with files that an empty path would find."""
    (tmp_path / "pack.toml").touch()
    (tmp_path / "eileen.jpg").write_bytes(PHOTO.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "action",
    [
        named_path,
        read_photo,
        find_photos,
        find_videos,
        require_photos,
        lambda empty: require_photos([PHOTO, empty]),
        FaceBank.open,
        Gallery.open,
        inspect_gallery,
        exported_pack,
        add_pack,
        run_demo,
        Video,
        absolute,
        Annotator,
        lambda empty: Annotator("out", [empty]),
        lambda empty: Album(FaceBank(Path("g.facebank")), empty),
    ],
)
def test_empty_paths_are_rejected(action: Callable[[str], Any], current_folder: Path) -> None:
    with pytest.raises(UsageError, match="is empty"):
        action("")


@pytest.mark.parametrize(("action", "error"), [(load_pack, PackNotFoundError), (live_source, StreamError)])
def test_an_empty_name_is_not_the_current_folder(
    action: Callable[[str], Any], error: type, current_folder: Path
) -> None:
    with pytest.raises(error):
        action("")


def test_an_empty_package_folder_is_not_the_current_folder(current_folder: Path) -> None:
    (current_folder / "network.onnx").touch()
    with pytest.raises(PackNotFoundError, match="is not a folder with ONNX files"):
        open_package("insightface:")


def test_a_bank_rejects_empty_paths(current_folder: Path) -> None:
    with FaceBank.open("g.facebank") as bank:
        for action in (
            lambda: bank.enroll("Ada", ""),
            lambda: bank.enroll("Ada", ["eileen.jpg", ""]),
            lambda: bank.verify("eileen.jpg", ""),
            lambda: bank.import_people(""),
        ):
            with pytest.raises(UsageError, match="is empty"):
                action()
    assert not (current_folder / "g.facebank").exists()


@pytest.mark.parametrize(
    ("variable", "action"),
    [
        ("FACEBANK_GALLERY", default_gallery_path),
        ("FACEBANK_PACKS", packs_folder),
        ("FACEBANK_CACHE", cache_folder),
        ("FACEBANK_CALIBRATIONS", calibrations_folder),
    ],
)
def test_empty_environment_variables_count_as_unset(
    variable: str, action: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    default = action()
    monkeypatch.setenv(variable, "")
    assert action() == default != Path()


def test_outermost_removes_nested_paths() -> None:
    assert outermost(["/a/b", "/a", "/a-b", "/a/b/c", "/a"]) == ["/a", "/a-b"]
    assert outermost(["/x", "/"]) == ["/"]
    assert outermost(["b", "b/../a"]) == [str(Path.cwd() / "a"), str(Path.cwd() / "b")]
