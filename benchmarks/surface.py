"""Lists the public interface of an installed version, and what a later version removed.

    python -m benchmarks.surface
    python -m benchmarks.surface --before OLD/bin/python --after NEW/bin/python

Prints sorted lines that begin with a kind:

- ``command``: a command with one of its options or arguments
- ``schema``: a key of a command's JSON, or ``key = value`` for one of its listed values
- ``error``: a class of ``facebank.errors``
- ``word``: a reason, setting or key that is in backticks in the documents and a string in the code
- ``python``: a module, class, function or attribute that the documents mention

The documents are README.md, SECURITY.md and docs/ of ``--documents`` (default: this checkout) and the README installed
with the version. With two interpreters, prints lines of the earlier version that are missing in the later one, and
exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[1]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([A-Za-z_][\w.]*)(?:\([^`]*\))?`")


def commands(command: Any, words: tuple[str, ...] = ("facebank",)) -> Iterator[str]:
    """Yield the options and arguments of a command and its subcommands."""
    name = " ".join(words)
    yield f"command {name}"
    arguments = 0
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            arguments += 1
            yield f"command {name} argument {arguments}"
        else:
            yield from (f"command {name} {option}" for option in [*parameter.opts, *parameter.secondary_opts])
    for word in getattr(command, "commands", {}):
        yield from commands(command.commands[word], (*words, word))


def keys(schema: object, prefix: str) -> Iterator[str]:
    """Yield the keys and enumerated values of a JSON Schema below `prefix`."""
    if isinstance(schema, list):
        for element in schema:
            yield from keys(element, prefix)
    elif isinstance(schema, dict):
        for value in [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]:
            yield f"schema {prefix} = {json.dumps(value)}"
        for name, inner in schema.get("properties", {}).items():
            yield f"schema {prefix}.{name}"
            yield from keys(inner, f"{prefix}.{name}")
        for name, inner in {**schema.get("$defs", {}), **schema.get("patternProperties", {})}.items():
            yield from keys(inner, f"{prefix} {name}")
        yield from keys(schema.get("items"), f"{prefix}[]")
        for name in ("anyOf", "oneOf", "allOf", "then", "else", "additionalProperties", "prefixItems"):
            yield from keys(schema.get(name), prefix)


def package_names() -> tuple[set[str], set[str]]:
    """Return the names defined in the package's sources, and their string constants."""
    names, strings = {"facebank"}, set()
    for path in Path(str(files("facebank"))).rglob("*.py"):
        names.update((path.parent.name, path.stem))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Attribute(attr=name, ctx=ast.Store()):
                    names.add(name)
                case ast.Name(id=name, ctx=ast.Store()):
                    names.add(name)
                case ast.Constant(value=str() as text):
                    strings.add(text)
    return names, strings


def read_names(text: str) -> tuple[set[str], set[str]]:
    """Return the words in backticks in a document, and the names used in its Python examples."""
    words = set(INLINE.findall(BLOCK.sub("", text)))
    names = {part for word in words for part in word.split(".")}
    for block in PYTHON_BLOCK.findall(text):
        for node in ast.walk(ast.parse(block)):
            match node:
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str() as name):
                    names.add(name)
                case ast.ImportFrom(module=str() as module, names=imported):
                    names.update([*module.split("."), *(alias.name for alias in imported)])
    return words, names


def surface(documents: Path) -> set[str]:
    """Return the lines of the version installed in this interpreter."""
    import typer.main

    from facebank import errors, schemas

    app = import_module("facebank_cli.app").build_app()
    lines = set(commands(typer.main.get_command(app)))
    for name in schemas.names():
        lines.update(keys(schemas.load(name), name))
    lines.update(f"error {name}" for name in vars(errors) if name.endswith("Error"))
    defined, strings = package_names()
    paths = [documents / "README.md", documents / "SECURITY.md", *(documents / "docs").rglob("*.md")]
    for text in [str(metadata("facebank").json["description"]), *(path.read_text(encoding="utf-8") for path in paths)]:
        words, names = read_names(text)
        lines.update(f"word {word}" for word in words & strings)
        lines.update(f"python {name}" for name in names & defined)
    return lines


def surface_of(python: Path, documents: Path) -> set[str]:
    """Return the lines of the version installed in another interpreter."""
    command = [str(python), __file__, "--documents", str(documents)]
    return set(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines())


def main() -> int:
    """Print the lines of one version, or those missing in the later of two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="interpreter of the earlier version")
    parser.add_argument(
        "--after", type=Path, default=Path(sys.executable), help="interpreter of the later version (default: this)"
    )
    parser.add_argument("--documents", type=Path, default=PROJECT, help="folder with README.md, SECURITY.md and docs/")
    arguments = parser.parse_args()
    if arguments.before is None:
        print("\n".join(sorted(surface(arguments.documents))))
        return 0
    missing = surface_of(arguments.before, arguments.documents) - surface_of(arguments.after, arguments.documents)
    print("\n".join(sorted(missing)) or "nothing is missing")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
