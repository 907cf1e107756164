"""Where the gallery is that nobody named."""

from __future__ import annotations

from pathlib import Path

from facebank.storage.paths import path_from_environment


def default_gallery_path() -> Path:
    """Return the gallery that is used where none is named.

    Returns
    -------
    Path
        What the environment's ``FACEBANK_GALLERY`` says, else ``gallery.facebank`` in the user's data folder.
    """
    named = path_from_environment("FACEBANK_GALLERY")
    if named is not None:
        return named
    from platformdirs import user_data_path

    return user_data_path("facebank", appauthor=False) / "gallery.facebank"
