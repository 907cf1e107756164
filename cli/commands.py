"""The commands of the program, each imported when it is asked for: none waits for the code of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
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
    """Commands by name, as a group of Typer keeps them; each is built when it is asked for.

    Parameters
    ----------
    names
        In the order of the help.
    build
        Returns the command of a name.
    """

    def __init__(self, names: Iterable[str], build: Callable[[str], Any]) -> None:
        self._names = tuple(names)
        self._build = build
        self.loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self.loaded:
            if name not in self._names:
                raise KeyError(name)
            self.loaded[name] = self._build(name)
            refuse_empty_paths(self.loaded[name])
        return self.loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self.loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self.loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def all_commands() -> Commands:
    """Return the commands of the program."""
    return Commands(_MODULES, _load)


def _load(name: str) -> Any:
    """Import the module of a command and let it register: ``register(app)`` is all that it has to offer."""
    app = typer.Typer(rich_markup_mode=None)
    import_module(f".{_MODULES[name]}", __package__).register(app)
    return typer.main.get_group(app).commands[name]
