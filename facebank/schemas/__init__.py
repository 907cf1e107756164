"""JSON Schemas of what the commands write with ``--json``, one file a command."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def names() -> list[str]:
    """Return the names of all schemas, such as ``identify`` or ``people-list``."""
    found = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".json") for name in found if name.endswith(".json"))


def load(name: str) -> dict[str, Any]:
    """Read a schema (JSON Schema, draft 2020-12).

    Parameters
    ----------
    name
        Such as ``identify`` or ``people-list``: the command's words joined by a hyphen.

    Raises
    ------
    KeyError
        There is no such schema.
    """
    if name not in names():
        raise KeyError(name)
    schema: dict[str, Any] = json.loads((files(__name__) / f"{name}.json").read_text(encoding="utf-8"))
    return schema
