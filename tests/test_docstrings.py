"""Public names have docstrings with examples, which run as doctests with the fixtures of ``conftest.py``."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

import pytest

import facebank
from facebank import sklearn

PROJECT = Path(__file__).resolve().parents[1]
NAMES = [name for name in facebank.__all__ if name != "__version__"]
ESTIMATORS = [name for name, value in vars(sklearn).items() if name.startswith("Face") and inspect.isclass(value)]


def list_public_methods(cls: type) -> list[str]:
    method_types = (classmethod, staticmethod, property)
    return [
        name
        for name, value in vars(cls).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, method_types))
    ]


PUBLIC = [
    *(f"facebank.{name}" for name in NAMES),
    *(f"facebank.sklearn.{name}" for name in ESTIMATORS),
    *(
        f"facebank.{name}.{method}"
        for name in NAMES
        if inspect.isclass(getattr(facebank, name))
        for method in list_public_methods(getattr(facebank, name))
    ),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name: str) -> None:
    _, *parts = name.split(".")
    value: object = facebank
    for part in parts:
        value = getattr(value, part)
    text = inspect.getdoc(value) or ""
    assert "Examples\n--------\n>>> " in text, f"{name} has no example"


def test_modules_of_public_names_are_in_testpaths() -> None:
    options = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert "--doctest-modules" in options["addopts"]
    tested = {PROJECT / path for path in options["testpaths"]}
    modules = {getattr(facebank, name).__module__ for name in NAMES} | {"facebank", "facebank.sklearn"}
    for module in modules:
        folder = PROJECT / Path(*module.split("."))
        path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        assert path in tested, f"the examples of {module} are not in testpaths"
