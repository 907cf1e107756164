"""Fixtures of the evaluation tests."""

from __future__ import annotations

import pytest

from facebank.operations.engine import Engine, load_engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine of the embedded pack, loaded once."""
    return load_engine()
