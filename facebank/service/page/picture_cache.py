"""Cache of the pictures that pages show, in memory only."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_BYTES = 64 << 20


class PictureCache:
    """LRU cache of encoded pictures by key; thread-safe."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._clearings = 0
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """Return the picture of a key, made by `make` if it is missing."""
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
            clearings = self._clearings
        picture = make()
        with self._lock:
            if clearings != self._clearings:  # the picture may show a person forgotten meanwhile
                return picture
            self._size += len(picture) - len(self._pictures.pop(key, b""))
            self._pictures[key] = picture
            while self._size > self._max_bytes:
                self._size -= len(self._pictures.popitem(last=False)[1])
        return picture

    def clear(self) -> None:
        """Drop all pictures."""
        with self._lock:
            self._pictures.clear()
            self._size = 0
            self._clearings += 1
