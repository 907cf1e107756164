"""Small values that a gallery keeps beside its people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from facebank.errors import UsageError
from facebank.gallery.store import tables
from facebank.gallery.store.codec import variant_name
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    import sqlite3

_LARGEST = 64 * 1024  # characters of JSON


def read(connection: sqlite3.Connection, key: str) -> Any:
    """Return the value kept under a key; None if there is none."""
    text = tables.read_setting(connection, key)
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"the setting '{printable(key)}' is no JSON") from error


def encode(key: str, value: object) -> str | None:
    """Return the JSON of a value; raises `UsageError` for a key or value that cannot be kept."""
    try:
        variant_name(key)
        text = None if value is None else json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"The setting '{printable(key)}' cannot be kept: {error}.") from error
    if text is not None and len(text) > _LARGEST:
        raise UsageError(f"The setting '{printable(key)}' cannot be kept: it is larger than 64 KiB.")
    return text
