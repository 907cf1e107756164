"""Layers of the packages: no package imports a higher layer, and there are no import cycles."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).resolve().parents[1]
LAYERS = (
    {"types", "errors", "storage"},
    {"media"},
    {"packs"},
    {"vision"},
    {"gallery"},
    {"index"},
    {"recognition"},
    {"operations", "sklearn"},
    {"album", "video"},
    {"bank"},
    {"evaluation", "doctor", "demo", "schemas"},
    {"service", "cluster"},
    {"pyinstaller"},
)
"""Packages by layer, lowest first; a package imports only itself and lower layers."""


class Import(NamedTuple):
    """An import of a module by another; `when` is ``eager``, ``lazy`` (inside a function) or ``typing``."""

    module: str
    other: str
    when: str


@cache
def modules() -> dict[str, Path]:
    """Return every module of the library by its dotted name."""
    paths = {}
    for path in sorted((PROJECT / "facebank").rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        if "-" not in path.stem:  # PyInstaller hooks are not modules
            paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


@cache
def defining_modules() -> dict[tuple[str, str], str]:
    """Return the modules that define the names of each package's ``__init__``, by package and name."""
    origins = {}
    for package, path in modules().items():
        if path.name == "__init__.py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module in modules():
                    origins.update({(package, alias.name): node.module for alias in node.names})
    return origins


def find_imports(node: ast.AST, when: str = "eager") -> Iterator[tuple[ast.ImportFrom, str]]:
    """Yield a module's imports from the library, and when they happen."""
    for child in ast.iter_child_nodes(node):
        child_when = when
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            child_when = "typing"
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and when == "eager":
            child_when = "lazy"
        if isinstance(child, ast.ImportFrom) and (child.module or "").split(".")[0] == "facebank":
            yield child, child_when
        yield from find_imports(child, child_when)


@cache
def imports() -> frozenset[Import]:
    """Return all imports between modules; a name of a package counts for the module that defines it."""
    imported = set()
    for module, path in modules().items():
        if path.name == "__init__.py":
            continue
        for node, when in find_imports(ast.parse(path.read_text(encoding="utf-8"))):
            assert node.module is not None
            for alias in node.names:
                full_name = f"{node.module}.{alias.name}"
                other = (
                    full_name
                    if full_name in modules()
                    else defining_modules().get((node.module, alias.name), node.module)
                )
                imported.add(Import(module, other, when))
    return frozenset(imported)


def layer(module: str) -> int:
    """Return the layer of a module's package."""
    package = module.split(".")[1]
    return next(number for number, packages in enumerate(LAYERS) if package in packages)


def import_cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the import cycles: strongly connected components of several modules (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    cycles: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in sorted(edges[module]):
            if other not in order:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], order[other])
        if lowest[module] == order[module]:
            group = stack[stack.index(module) :]
            del stack[-len(group) :]
            if len(group) > 1:
                cycles.append(sorted(group))

    for module in sorted(modules()):
        if module not in order:
            visit(module)
    return cycles


def test_every_package_has_a_layer() -> None:
    packages = {module.split(".")[1] for module in modules() if "." in module}
    assert packages == set().union(*LAYERS)


def test_no_package_imports_a_higher_layer() -> None:
    violations = {
        (entry.module, entry.other)
        for entry in imports()
        if entry.other != "facebank" and layer(entry.other) > layer(entry.module)
    }
    assert violations == set()


@pytest.mark.parametrize("when", [{"eager"}, {"eager", "lazy"}, {"eager", "lazy", "typing"}], ids=len)
def test_there_are_no_import_cycles(when: set[str]) -> None:
    edges: dict[str, set[str]] = defaultdict(set)
    for entry in imports():
        if entry.when in when and entry.other != entry.module:
            edges[entry.module].add(entry.other)
    assert import_cycles(edges) == []


def test_import_cycles_are_detected() -> None:
    a, b, c = sorted(modules())[:3]
    edges = defaultdict(set, {a: {b}, b: {c}, c: {a}})
    assert import_cycles(edges) == [[a, b, c]]
