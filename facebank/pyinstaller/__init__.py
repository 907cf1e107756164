"""Where PyInstaller finds what it must put into a program that uses facebank: the embedded pack, schemas and photos."""

from __future__ import annotations

from pathlib import Path


def hook_folders() -> list[str]:
    """Return the folder of the hooks; PyInstaller asks for it by the entry point ``pyinstaller40``."""
    return [str(Path(__file__).parent)]
