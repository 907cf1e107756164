"""The folder of photographs in the package, for tests."""

from __future__ import annotations

from pathlib import Path

DEMO_PHOTOS = Path(__file__).resolve().parents[1] / "facebank" / "demo" / "photos"
