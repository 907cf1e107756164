"""``import facebank`` is cheap: heavy libraries are loaded on use."""

from __future__ import annotations

import subprocess
import sys

import pytest

import facebank

HEAVY = {
    *("numpy", "cv2", "onnx", "onnxruntime", "faiss", "sklearn", "matplotlib"),
    *("PIL", "rich", "typer", "sqlite3", "platformdirs"),
}


def list_modules_after(statement: str) -> set[str]:
    process = subprocess.run(
        [sys.executable, "-c", f"{statement}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in process.stdout.split()}


def test_importing_facebank_loads_nothing_heavy() -> None:
    assert not HEAVY & list_modules_after("import facebank, facebank.types, facebank.errors")


def test_public_names_are_loaded_on_use() -> None:
    loaded = list_modules_after("from facebank import FaceBank")
    assert "numpy" in loaded
    assert not {"sklearn", "onnx", "faiss", "onnxruntime", "matplotlib"} & loaded


@pytest.mark.parametrize("name", facebank.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(facebank, name) is not None
    assert name in dir(facebank)


def test_unknown_names_raise() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Facebank'"):
        facebank.Facebank  # noqa: B018
