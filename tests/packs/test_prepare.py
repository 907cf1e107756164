"""The cache of prepared networks is written once, and repaired if it is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebank.errors import ManifestError, PackIntegrityError, PackNotFoundError, StorageError
from facebank.packs import NetworkFile, load_pack, open_session
from facebank.packs.graph import DynamicAxes, prepare_network
from facebank.packs.network_file import PREPARATION
from facebank.storage.files import sha256_of
from tests.packs.conftest import run_python

if TYPE_CHECKING:
    from tests.packs.conftest import Folders

PREPARE = "from facebank.packs import load_pack; print(load_pack().embedder_path())"


def test_a_network_is_prepared_once(folders: Folders) -> None:
    spec = load_pack().manifest.detector
    first = load_pack().detector_path()
    modified_at = first.stat().st_mtime_ns
    # The source is not read again.
    assert NetworkFile(Path("gone.onnx"), spec.sha256, "batch_and_size").path() == first
    assert first.stat().st_mtime_ns == modified_at
    assert sha256_of(first) in first.name
    assert list((folders.cache / "prepared").iterdir()) == [first]


def test_a_network_is_tuned_once(folders: Folders) -> None:
    network = load_pack().embedder_file
    tuned = network.load_tuned()
    assert [str(tuned)] == [str(path) for path in (folders.cache / "prepared").iterdir()]
    assert NetworkFile(Path("gone.onnx"), network.sha256, "batch").load_tuned() == tuned


def test_a_network_without_slow_nodes_is_kept_in_one_form(folders: Folders) -> None:
    network = load_pack().detector_file
    assert network.load_tuned() == network.path()
    assert len(list((folders.cache / "prepared").glob("*.onnx"))) == 1
    assert NetworkFile(Path("gone.onnx"), network.sha256, network.dynamic).load_tuned() == network.path()


@pytest.mark.parametrize("is_writable", [True, False])
@pytest.mark.parametrize("load", [NetworkFile.load, NetworkFile.load_tuned])
@pytest.mark.parametrize("name", ["detector_file", "embedder_file"])
def test_a_network_is_prepared_once_in_a_process(
    folders: Folders,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    load: Callable[[NetworkFile], Path | bytes],
    is_writable: bool,
) -> None:
    labels = []

    def prepare(data: bytes, dynamic: DynamicAxes, label: str) -> bytes:
        labels.append(label)
        return prepare_network(data, dynamic, label)

    monkeypatch.setattr("facebank.packs.graph.prepare_network", prepare)
    if not is_writable:
        folders.cache.write_text("a file where a folder should be")
    network: NetworkFile = getattr(load_pack(), name)
    assert isinstance(load(network), Path if is_writable else bytes)
    assert labels == [str(network.source)]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(offset=st.integers(0, 200_000), flip=st.integers(1, 255))
def test_a_damaged_copy_is_replaced(offset: int, flip: int) -> None:
    path = load_pack().detector_path()
    original = path.read_bytes()
    damaged = bytearray(original)
    damaged[offset] ^= flip
    path.write_bytes(damaged)
    assert load_pack().detector_path().read_bytes() == original


def test_a_partial_copy_is_replaced() -> None:
    path = load_pack().detector_path()
    os.truncate(path, 1000)
    open_session(load_pack().detector_path(), "cpu")


def test_a_copy_of_an_earlier_version_is_removed(folders: Folders) -> None:
    path = load_pack().detector_path()
    older = path.with_name(path.name.replace(f"-v{PREPARATION}-", "-v0-"))
    path.rename(older)
    assert load_pack().detector_path() == path
    assert list((folders.cache / "prepared").iterdir()) == [path]


def test_other_forms_of_an_earlier_version_are_removed(folders: Folders) -> None:
    network = load_pack().embedder_file
    path = network.path()
    path.rename(path.with_name(path.name.replace(f"-v{PREPARATION}-", "-v0-")))
    tuned = network.load_tuned()
    assert list((folders.cache / "prepared").iterdir()) == [tuned]


def test_concurrent_processes_prepare_one_file(folders: Folders) -> None:
    with ThreadPoolExecutor(2) as pool:
        processes = list(pool.map(run_python, [PREPARE] * 2))
    paths = [process.stdout.strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert paths[0] == paths[1]
    assert [str(path) for path in (folders.cache / "prepared").iterdir()] == [paths[0]]
    open_session(Path(paths[0]), "cpu")


def test_an_altered_source_is_not_prepared(tmp_path: Path) -> None:
    spec = load_pack().manifest.detector
    altered = tmp_path / "altered.onnx"
    altered.write_bytes((load_pack().folder / spec.file).read_bytes()[:-1])
    with pytest.raises(PackIntegrityError, match=r"altered\.onnx is partial or altered"):
        NetworkFile(altered, spec.sha256, "batch").path()


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PackIntegrityError, match=r"missing\.onnx cannot be read"):
        NetworkFile(tmp_path / "missing.onnx", load_pack().manifest.detector.sha256, "batch").path()


def test_an_unwritable_cache_is_an_error_or_bypassed(folders: Folders) -> None:
    folders.cache.write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="FACEBANK_CACHE"):
        load_pack().detector_path()
    for network in (load_pack().detector_file.load(), load_pack().embedder_file.load_tuned()):
        assert isinstance(network, bytes)
        assert open_session(network, "cpu").get_inputs()


def test_a_cache_that_cannot_be_read_is_bypassed(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBANK_CACHE", str(folders.cache / ("x" * 300)))
    for network in (load_pack().detector_file, load_pack().embedder_file):
        assert isinstance(network.load(), bytes)
        assert isinstance(network.load_tuned(), bytes)


def test_a_full_disk_is_an_error(folders: Folders) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (folders.cache / "prepared").mkdir(parents=True)
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "from facebank.packs import load_pack; load_pack().detector_path()"
    )
    process = run_python(script)
    assert "facebank.errors.StorageError: cannot write" in process.stderr
    assert list((folders.cache / "prepared").iterdir()) == []


def test_packs_are_found_by_name_and_by_folder(pack_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_pack() == load_pack("opencv")
    assert load_pack(pack_folder).name == "small"
    assert load_pack(str(pack_folder)).embedder_path() == pack_folder / "e.onnx"
    monkeypatch.chdir(pack_folder.parent)
    assert load_pack("a pack").name == "small"


@pytest.mark.parametrize("name", ["nobody", "../packs", "", "red \x1b[31m", "a\0b"])
def test_an_unknown_pack_is_an_error(name: str) -> None:
    with pytest.raises(PackNotFoundError, match="installed are opencv") as caught:
        load_pack(name)
    assert str(caught.value).isprintable()


def test_the_error_names_an_altered_file(pack_folder: Path) -> None:
    (pack_folder / "d.onnx").write_bytes(b"other")
    (pack_folder / "e.onnx").unlink()
    pack = load_pack(pack_folder)
    with pytest.raises(PackIntegrityError, match=r"d\.onnx is partial or altered"):
        pack.detector_path()
    with pytest.raises(PackIntegrityError, match=r"e\.onnx cannot be read"):
        pack.embedder_path()


def test_an_installed_pack_in_a_renamed_folder_is_an_error(folders: Folders, pack_folder: Path) -> None:
    folders.packs.mkdir()
    pack_folder.rename(folders.packs / "renamed")
    with pytest.raises(ManifestError, match="installed as 'renamed'"):
        load_pack("renamed")
