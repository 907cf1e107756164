"""The adapter without its library: package folders, and errors if the library is missing or broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from onnx import ModelProto

from facebank.errors import MissingDependencyError, PackIntegrityError, PackNotFoundError, UsageError
from facebank.vision.insightface_adapter import open_package
from tests.small_networks import external_tensor, small_embedder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "buffalo_tiny"
    package.mkdir()
    (package / "detector.onnx").write_bytes(b"a detector")
    (package / "recognizer.onnx").write_bytes(b"a recognizer")
    return package


def test_a_missing_library_is_an_error_with_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "insightface", None)
    with pytest.raises(MissingDependencyError) as caught:
        open_package(f"insightface:{folder}").load()
    message = str(caught.value)
    assert "pip install 'facebank[insightface]'" in message
    assert "overwrite onnxruntime-gpu and opencv-python-headless" in message
    assert "\n" not in message


def test_a_broken_library_is_not_reported_as_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site" / "insightface"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(site.parent)
    monkeypatch.delitem(sys.modules, "insightface", raising=False)
    with pytest.raises(MissingDependencyError, match=r"cannot be imported: .*a_module_that_is_not_there.*doctor"):
        open_package(f"insightface:{folder}").load()


def test_name_and_digest_come_from_the_folder(folder: Path) -> None:
    package = open_package(f"insightface:{folder}")
    assert package.name == "insightface:buffalo_tiny"
    assert package == open_package(f"insightface:{folder}")
    (folder / "recognizer.onnx").write_bytes(b"another recognizer")
    changed = open_package(f"insightface:{folder}")
    assert changed.digest != package.digest
    (folder / "manifest.json").write_text("{}")
    assert open_package(f"insightface:{folder}").digest != changed.digest


def test_thresholds_are_marked_as_not_calibrated(folder: Path) -> None:
    assert "no data" in open_package(f"insightface:{folder}").thresholds.calibrated_on


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_networks_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackNotFoundError, match=name):
        open_package(f"insightface:{tmp_path / name}")


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x", "x" * 5000], ids=["unknown home folder", "too long"])
def test_an_invalid_folder_name_is_an_error(name: str) -> None:
    with pytest.raises(PackNotFoundError, match="not a folder with ONNX files"):
        open_package(f"insightface:{name}")


def test_an_unknown_device_is_an_error(folder: Path) -> None:
    with pytest.raises(UsageError, match="quantum"):
        open_package(f"insightface:{folder}").load("quantum")


@pytest.mark.parametrize("name", ["recognizer.onnx", "more/unused.ONNX"])
def test_external_weights_are_an_error_before_loading(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in folder.iterdir():
        file.write_bytes(small_embedder())
    model = ModelProto.FromString(small_embedder())
    model.graph.initializer.append(external_tensor("w"))
    (folder / name).parent.mkdir(exist_ok=True)
    digest = open_package(f"insightface:{folder}").digest
    (folder / name).write_bytes(model.SerializeToString())
    package = open_package(f"insightface:{folder}")
    assert package.digest != digest

    def load_networks(**_: object) -> None:
        pytest.fail("loaded")

    monkeypatch.setattr("facebank.vision.insightface_adapter._import_face_analysis", lambda: load_networks)
    with pytest.raises(PackIntegrityError, match="keeps weights in another file"):
        package.load("cpu")
