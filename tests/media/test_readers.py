"""What reads photos has a fingerprint that follows what is installed."""

from __future__ import annotations

import sys

import pytest

from facebank.media.readers import readers


def test_a_decoder_that_is_missing_or_of_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with_heic = readers.__wrapped__()
    assert with_heic == readers()
    assert "PIL.JpegImagePlugin=" in with_heic
    with monkeypatch.context() as hidden:
        hidden.setitem(sys.modules, "pillow_heif", None)
        assert "pillow_heif=none" in readers.__wrapped__()
    monkeypatch.setattr("PIL.__version__", "99.0")
    assert readers.__wrapped__() != with_heic
