"""The floor plan: which room may use which, drawn from the imports; a circle or an import that climbs is a fault."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).resolve().parents[1]
STOREYS = (
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
"""From the ground up: a room uses itself and those below."""


class Import(NamedTuple):
    """One module that names another; `when` is ``eager``, ``lazy`` (inside a function) or ``typing``."""

    module: str
    other: str
    when: str


@cache
def modules() -> dict[str, Path]:
    """Return every module of the library by its dotted name."""
    found = {}
    for path in sorted((PROJECT / "facebank").rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        if "-" not in path.stem:  # hooks of PyInstaller are no modules
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def homes() -> dict[tuple[str, str], str]:
    """Return the modules that the names of a package's ``__init__`` come from, by package and name."""
    found = {}
    for package, path in modules().items():
        if path.name == "__init__.py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module in modules():
                    found.update({(package, alias.name): node.module for alias in node.names})
    return found


def imports_in(node: ast.AST, when: str = "eager") -> Iterator[tuple[ast.ImportFrom, str]]:
    """Yield what a module imports from the library, with when that happens."""
    for child in ast.iter_child_nodes(node):
        now = when
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            now = "typing"
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and when == "eager":
            now = "lazy"
        if isinstance(child, ast.ImportFrom) and (child.module or "").split(".")[0] == "facebank":
            yield child, now
        yield from imports_in(child, now)


@cache
def imports() -> frozenset[Import]:
    """Return all imports between modules; names of a package count for the module that they live in."""
    found = set()
    for module, path in modules().items():
        if path.name == "__init__.py":
            continue
        for node, when in imports_in(ast.parse(path.read_text(encoding="utf-8"))):
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                other = whole if whole in modules() else homes().get((node.module, alias.name), node.module)
                found.add(Import(module, other, when))
    return frozenset(found)


def storey(module: str) -> int:
    """Return how high a module's room lies."""
    room = module.split(".")[1]
    return next(number for number, rooms in enumerate(STOREYS) if room in rooms)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the modules that need one another, in groups (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_ones: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        open_ones.append(module)
        for other in sorted(edges[module]):
            if other not in order:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in open_ones:
                lowest[module] = min(lowest[module], order[other])
        if lowest[module] == order[module]:
            group = open_ones[open_ones.index(module) :]
            del open_ones[-len(group) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(modules()):
        if module not in order:
            visit(module)
    return found


def test_every_room_is_on_the_plan() -> None:
    rooms = {module.split(".")[1] for module in modules() if "." in module}
    assert rooms == set().union(*STOREYS)


def test_no_import_climbs() -> None:
    climbing = {
        (found.module, found.other)
        for found in imports()
        if found.other != "facebank" and storey(found.other) > storey(found.module)
    }
    assert climbing == set()


@pytest.mark.parametrize("when", [{"eager"}, {"eager", "lazy"}, {"eager", "lazy", "typing"}], ids=len)
def test_no_modules_need_one_another(when: set[str]) -> None:
    edges: dict[str, set[str]] = defaultdict(set)
    for found in imports():
        if found.when in when and found.other != found.module:
            edges[found.module].add(found.other)
    assert circles(edges) == []


def test_a_circle_would_be_found() -> None:
    one, two, three = sorted(modules())[:3]
    edges = defaultdict(set, {one: {two}, two: {three}, three: {one}})
    assert circles(edges) == [[one, two, three]]
