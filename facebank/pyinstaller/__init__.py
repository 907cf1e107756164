"""Hooks for PyInstaller, which include the embedded pack, schemas and photos in a program that uses facebank."""

from __future__ import annotations

from pathlib import Path


def hook_folders() -> list[str]:
    """Return the folder of the hooks; PyInstaller calls this through the entry point ``pyinstaller40``."""
    return [str(Path(__file__).parent)]
