"""A manifest that does not match its networks raises `ManifestError`, not an error of the runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facebank.errors import ManifestError
from facebank.packs import Pack, open_session
from facebank.vision.detector import Scrfd, YuNet


def test_a_yunet_network_as_scrfd_is_an_error(opencv_pack: Pack) -> None:
    with pytest.raises(ManifestError, match="12 outputs"):
        Scrfd(open_session(opencv_pack.detector_path(), "cpu"), opencv_pack.manifest.detector)


def test_an_embedder_as_detector_is_an_error(opencv_pack: Pack) -> None:
    for detector in (YuNet, Scrfd):
        with pytest.raises(ManifestError, match=r"correct (pack\.toml|the detector)"):
            detector(open_session(opencv_pack.embedder_path(), "cpu"), opencv_pack.manifest.detector)


def test_an_scrfd_network_as_yunet_is_an_error(opencv_pack: Pack, shared: Path) -> None:
    scrfd = open_session(shared / "models" / "insightface-mbf" / "det_500m.onnx", "cpu")
    with pytest.raises(ManifestError, match="not a YuNet"):
        YuNet(scrfd, replace(opencv_pack.manifest.detector, file="det_500m.onnx"))


def test_an_unprepared_detector_of_fixed_size_is_an_error(opencv_pack: Pack) -> None:
    spec = replace(opencv_pack.manifest.detector, prepare=False)
    session = open_session(opencv_pack.folder / spec.file, "cpu")
    with pytest.raises(ManifestError, match="any size"):
        YuNet(session, spec)
