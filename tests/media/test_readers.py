"""What reads photos has a fingerprint that follows what is installed."""

from __future__ import annotations

import sys

import pytest

from facebank.media.formats import decoder_versions


def test_a_decoder_that_is_missing_or_of_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with_heic = decoder_versions.__wrapped__()
    assert with_heic == decoder_versions()
    assert "PIL.JpegImagePlugin=" in with_heic
    with monkeypatch.context() as hidden:
        hidden.setitem(sys.modules, "pillow_heif", None)
        assert "pillow_heif=none" in decoder_versions.__wrapped__()
    monkeypatch.setattr("PIL.__version__", "99.0")
    assert decoder_versions.__wrapped__() != with_heic
