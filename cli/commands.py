"""The commands of the program, each imported when it is asked for: none waits for the code of the others."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer.main

from .paths import refuse_empty_paths

# In the order of the help.
_MODULES = {
    "demo": "demo",
    "enroll": "enroll",
    "identify": "identify",
    "scan": "scan",
    "video": "video",
    "watch": "watch",
    "find": "find",
    "sort": "sort",
    "cluster": "cluster",
    "tags": "tags",
    "confirm": "confirm",
    "deny": "deny",
    "verify": "verify",
    "explain": "explain",
    "lookalike": "lookalike",
    "people": "people",
    "audit": "audit",
    "strangers": "strangers",
    "settings": "decision_settings",
    "packs": "packs",
    "bench": "bench",
    "doctor": "doctor",
}


class Commands(MutableMapping[str, Any]):
    """Commands by name, as a group of typer keeps them."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, _MODULES[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


def _load(name: str, module: str) -> Any:
    """Import the module of a command and let it register: ``register(app)`` is all that it has to offer."""
    app = typer.Typer(rich_markup_mode=None)
    import_module(f".{module}", __package__).register(app)
    command = typer.main.get_group(app).commands[name]
    refuse_empty_paths(command)
    return command
