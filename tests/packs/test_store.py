"""Listing, adding, verifying and removing installed packs."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facebank.errors import ManifestError, PackError, PackIntegrityError, PackNotFoundError, StorageError, UsageError
from facebank.packs import (
    FileState,
    add_pack,
    assemble_pack,
    list_packs,
    load_pack,
    open_session,
    remove_pack,
    verify_pack,
)
from facebank.packs.manifest import MANIFEST_NAME
from facebank.packs.store import former_folder, installed_names
from facebank.storage.leftovers import remove_leftovers

if TYPE_CHECKING:
    from tests.packs.conftest import Folders

MANIFESTS = Path(__file__).parents[2] / "models" / "manifests"


def test_the_embedded_pack_is_intact() -> None:
    health = verify_pack()
    assert health.is_ok
    assert health.pack.is_embedded
    assert list(health.files.values()) == [FileState.OK, FileState.OK]
    assert [pack.name for pack in list_packs()] == ["opencv"]


def test_a_pack_is_added_verified_and_removed(pack_folder: Path, folders: Folders) -> None:
    (pack_folder / "notes.txt").write_text("not part of the pack")
    pack = add_pack(pack_folder)
    assert sorted(path.name for path in pack.folder.iterdir()) == ["d.onnx", "e.onnx", MANIFEST_NAME]
    assert load_pack("small") == pack
    assert verify_pack("small").is_ok
    remove_pack("small")
    assert [pack.name for pack in list_packs()] == ["opencv"]
    assert list(folders.packs.iterdir()) == []
    assert (pack_folder / "e.onnx").exists()


def test_verify_names_the_files_that_differ(pack_folder: Path) -> None:
    pack = add_pack(pack_folder)
    (pack.folder / "d.onnx").write_bytes(b"other")
    (pack.folder / "e.onnx").unlink()
    health = verify_pack("small")
    assert not health.is_ok
    assert health.files == {"d.onnx": FileState.ALTERED, "e.onnx": FileState.MISSING}
    (pack.folder / "e.onnx").mkdir()
    assert verify_pack("small").files["e.onnx"] is FileState.UNREADABLE


def test_a_pack_with_a_wrong_manifest_is_listed_verified_and_removed(pack_folder: Path) -> None:
    pack = add_pack(pack_folder)
    (pack.folder / MANIFEST_NAME).write_text("nonsense")
    assert list_packs()[1].problem
    assert not verify_pack("small").is_ok
    with pytest.raises(ManifestError):
        load_pack("small")
    remove_pack("small")
    assert len(list_packs()) == 1


def test_an_altered_pack_is_not_added(pack_folder: Path, folders: Folders) -> None:
    (pack_folder / "e.onnx").write_bytes(b"other")
    with pytest.raises(PackIntegrityError, match=r"a pack.e\.onnx is partial or altered"):
        add_pack(pack_folder)
    assert list(folders.packs.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_as_a_network_is_an_error(pack_folder: Path) -> None:
    (pack_folder / "e.onnx").unlink()
    os.mkfifo(pack_folder / "e.onnx")
    with pytest.raises(PackIntegrityError, match="not a regular file"):
        add_pack(pack_folder)


def test_a_pack_is_replaced_only_on_request(pack_folder: Path) -> None:
    add_pack(pack_folder)
    with pytest.raises(PackError, match="facebank packs remove small"):
        add_pack(pack_folder)
    assert add_pack(pack_folder, replace=True).name == "small"


@pytest.mark.parametrize("is_moved", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("move_number", [1, 2], ids=["the old pack is moved away", "the new one is moved in"])
def test_an_interrupted_replacement_leaves_an_intact_pack(
    pack_folder: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch, move_number: int, is_moved: bool
) -> None:
    add_pack(pack_folder)
    moves: list[Path] = []
    move = Path.replace

    def move_or_interrupt(source: Path, target: Path) -> Path:
        moves.append(source)
        if len(moves) == move_number and not is_moved:
            raise KeyboardInterrupt
        result = move(source, target)
        if len(moves) == move_number and is_moved:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Path, "replace", move_or_interrupt)
    with pytest.raises(KeyboardInterrupt):
        add_pack(pack_folder, replace=True)
    assert verify_pack("small").is_ok
    assert [path.name for path in folders.packs.iterdir()] == ["small"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("is_moved", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("move_number", [1, 2, 3])
def test_a_killed_replacement_leaves_a_usable_pack(
    pack_folder: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch, move_number: int, is_moved: bool
) -> None:
    add_pack(pack_folder)
    moves, move = list[Path](), Path.replace

    def move_or_kill(source: Path, target: Path) -> None:
        moves.append(source)
        if len(moves) == move_number and not is_moved:
            os.kill(os.getpid(), signal.SIGKILL)
        move(source, target)
        if len(moves) == move_number and is_moved:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        monkeypatch.setattr(Path, "replace", move_or_kill)
        try:
            add_pack(pack_folder, replace=True)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    remove_leftovers([folders.packs])  # the next command that writes there does this
    assert "small" in installed_names()
    assert load_pack("small").embedder_path().is_file()
    assert verify_pack("small").is_ok
    with pytest.raises(PackError, match="is installed"):
        add_pack(pack_folder)
    add_pack(pack_folder, replace=True)
    assert [path.name for path in folders.packs.iterdir()] == ["small"]
    remove_pack("small")
    assert list(folders.packs.iterdir()) == []


@pytest.mark.parametrize("has_replacement", [False, True], ids=["alone", "beside its replacement"])
def test_removing_a_pack_removes_its_former_version(pack_folder: Path, folders: Folders, has_replacement: bool) -> None:
    add_pack(pack_folder)
    (folders.packs / "small").rename(former_folder("small"))
    if has_replacement:
        shutil.copytree(former_folder("small"), folders.packs / "small")
    remove_pack("small")
    assert list(folders.packs.iterdir()) == []


def test_a_dangling_link_is_replaced(pack_folder: Path, folders: Folders) -> None:
    folders.packs.mkdir()
    (folders.packs / "small").symlink_to("nowhere")
    add_pack(pack_folder)
    assert [path.name for path in folders.packs.iterdir()] == ["small"]
    assert verify_pack("small").is_ok


def test_the_embedded_pack_cannot_be_removed_or_replaced() -> None:
    with pytest.raises(UsageError, match="part of facebank"):
        remove_pack("opencv")
    with pytest.raises(PackError, match="embedded"):
        add_pack(load_pack().folder, replace=True)


@pytest.mark.parametrize("name", ["nobody", "..", ".accepted-licences.json", "a/b", ""])
def test_an_unknown_pack_is_an_error(name: str, folders: Folders) -> None:
    folders.packs.mkdir()
    with pytest.raises(PackNotFoundError):
        remove_pack(name)
    if name:
        with pytest.raises(PackNotFoundError):
            verify_pack(name)


def test_an_unwritable_packs_folder_is_an_error(pack_folder: Path, folders: Folders) -> None:
    folders.packs.write_text("a file")
    assert [pack.name for pack in list_packs()] == ["opencv"]
    with pytest.raises(StorageError, match="FACEBANK_PACKS"):
        add_pack(pack_folder)


def test_an_unknown_home_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBANK_PACKS", "~nobody-of-this-name/packs")
    with pytest.raises(UsageError, match="FACEBANK_PACKS names '~nobody-of-this-name/packs'"):
        list_packs()


def test_a_too_long_name_is_an_error() -> None:
    with pytest.raises(PackNotFoundError):
        load_pack("x" * 5000)


@pytest.mark.parametrize("name", sorted(path.stem for path in MANIFESTS.glob("*.toml")))
def test_packs_are_assembled_from_manifests(name: str, shared: Path, tmp_path: Path) -> None:
    pack = assemble_pack(MANIFESTS / f"{name}.toml", shared / "models", tmp_path / name)
    assert pack.name == name
    embedder = open_session(pack.embedder_path(), "cpu")
    assert embedder.get_inputs()[0].name == pack.manifest.embedder.input
    assert embedder.get_outputs()[0].shape[1] == pack.manifest.embedder.dimension
    open_session(pack.detector_path(), "cpu")
    assert add_pack(pack.folder).embedder_path()


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(PackIntegrityError, match=r"det_500m\.onnx is missing"):
        assemble_pack(MANIFESTS / "insightface-mbf.toml", tmp_path, tmp_path / "pack")
