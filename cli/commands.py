"""The commands of the program, each imported only when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer.main

from .help_layout import CommandApp
from .paths import refuse_empty_paths

SECTIONS: dict[str, dict[str, str]] = {
    "Start": {"demo": "demo", "doctor": "doctor", "help": "help"},
    "People": {
        "enroll": "enroll",
        "people": "people",
        "confirm": "feedback",
        "deny": "feedback",
        "strangers": "strangers",
        "audit": "audit",
    },
    "Photos": {"identify": "identify", "verify": "verify", "lookalike": "lookalike", "explain": "explain"},
    "Albums": {
        "scan": "scan",
        "album": "album",
        "find": "find",
        "cluster": "cluster",
        "sort": "sort",
        "tags": "tags",
    },
    "Videos and cameras": {"video": "video", "watch": "watch"},
    "Services and other programs": {"serve": "serve", "import": "imports"},
    "Settings, packs and accuracy": {"settings": "settings", "packs": "packs", "bench": "bench"},
}
"""The commands in help order: for each heading, names of commands and of their modules."""

_MODULES = {name: module for section in SECTIONS.values() for name, module in section.items()}


class Commands(MutableMapping[str, Any]):
    """A lazy mapping from names to Typer commands, for the ``commands`` of a Typer group.

    Parameters
    ----------
    names
        Names of the commands, in help order.
    build
        Returns the command with a given name; called on first access.
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
    """Import the module of a command and return the command that its ``register`` adds."""
    app = CommandApp()
    import_module(f".{_MODULES[name]}", __package__).register(app)
    return typer.main.get_group(app).commands[name]
