"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


def find_shared() -> Path | None:
    """Return the folder of real photographs and weights: ``FACEBANK_DATA``, else ``../shared``, else None."""
    named = os.environ.get("FACEBANK_DATA")
    folder = Path(named) if named else PROJECT.parent / "shared"
    if (folder / "data").is_dir() and (folder / "models").is_dir():
        return folder
    if named:
        raise pytest.UsageError(f"FACEBANK_DATA names {named}, which holds no data/ and models/")
    return None


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with ``data/`` and ``models/``; skips the test where it is absent."""
    folder = find_shared()
    if folder is None:
        pytest.skip("needs ../shared (or FACEBANK_DATA): real photographs and weights")
    return folder
