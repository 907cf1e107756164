"""JSON Schemas of the commands' ``--json`` output, one file per command."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def names() -> list[str]:
    """Return the names of all schemas, such as ``identify`` or ``people-list``."""
    file_names = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".json") for name in file_names if name.endswith(".json"))


def load(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a command, such as ``identify``; raises KeyError if unknown."""
    if name not in names():
        raise KeyError(name)
    schema: dict[str, Any] = json.loads((files(__name__) / f"{name}.json").read_text(encoding="utf-8"))
    return schema
