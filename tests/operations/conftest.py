"""Fixtures of the operations tests."""

from __future__ import annotations

import pytest

from facebank.operations.engine import Engine, load_engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine of the embedded pack on the CPU, loaded once."""
    return load_engine(None, "cpu")
