"""Lazy import of pyarrow (extra ``cluster``), for reading and writing Parquet."""

from __future__ import annotations

from typing import Any

from facebank.errors import MissingDependencyError, was_interrupted
from facebank.storage.text import printable

_INSTALL = "Parquet and Arrow need the package pyarrow; run: python -m pip install 'facebank[cluster]'"


def pyarrow() -> Any:
    """Return the module ``pyarrow``, with ``pyarrow.parquet`` loaded; raises `MissingDependencyError` without it."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet
    except ImportError as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        if isinstance(error, ModuleNotFoundError) and error.name == "pyarrow":
            raise MissingDependencyError(_INSTALL) from error
        raise MissingDependencyError(f"pyarrow cannot be imported: {printable(str(error))}; {_INSTALL}") from error
    return arrow
