"""Inputs of the trials: the demo photos, distinct copies of them, and a copy of the embedded pack."""

from __future__ import annotations

import shutil
from pathlib import Path

from facebank.packs import EMBEDDED_FOLDER

DEMO_PHOTOS = Path(__file__).resolve().parents[2] / "facebank" / "demo" / "photos"
PERSON, OTHER_PERSON = "Barack Obama", "Eileen Collins"
ENROLLED = {PERSON: "barack_obama_portrait_2012.jpg", OTHER_PERSON: "eileen_collins.jpg"}


def add_comment(path: Path, comment: str) -> bytes:
    """Return a JPEG's bytes with a comment, which makes its content distinct."""
    data, note = path.read_bytes(), comment.encode()
    return data[:2] + b"\xff\xfe" + (2 + len(note)).to_bytes(2, "big") + note + data[2:]


def copy_embedded_pack(folder: Path, name: str) -> None:
    """Write a copy of the embedded pack under another name."""
    shutil.copytree(EMBEDDED_FOLDER, folder)
    manifest = folder / "pack.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('name = "opencv"', f'name = "{name}"', 1), encoding="utf-8")
