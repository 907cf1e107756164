"""Comparison of a face with all faces of a photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank
from facebank.errors import NoFaceError, PhotoError, UsageError
from tests.demo_photos import OBAMA, SPEECH


def test_similarities_are_those_of_the_embeddings(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "a.facebank", device="cpu") as bank:
        comparison = bank.compare(OBAMA, SPEECH)
        (face,), compared_faces = (next(bank.analyze(path)).faces for path in (OBAMA, SPEECH))
        expected = [float(face.embedding @ compared.embedding) for compared in compared_faces]
        assert [face.similarity for face in comparison.faces] == pytest.approx(expected, abs=1e-6)
        assert comparison.faces[0].similarity == pytest.approx(bank.verify(OBAMA, SPEECH).similarity, abs=1e-6)
        assert [face.same for face in comparison.faces] == [value >= comparison.threshold for value in expected]
        assert comparison.faces[0].face.crop().shape[2] == 3


def test_a_sample_is_compared_like_its_photo(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "a.facebank", device="cpu") as bank:
        expected = [face.similarity for face in bank.compare(OBAMA, SPEECH).faces]
        bank.enroll("Barack", OBAMA)
        (sample,) = bank.samples("Barack")
        comparison = bank.compare(sample, SPEECH)
        assert comparison.source is sample
        assert [face.similarity for face in comparison.faces] == pytest.approx(expected, abs=1e-5)
        bank.gallery.remove_sample(sample.id)
        with pytest.raises(UsageError, match="no sample 1"):
            bank.compare(sample, SPEECH)


def test_photos_without_a_face_are_refused(tmp_path: Path) -> None:
    gray = np.full((200, 200, 3), 128, np.uint8)
    with FaceBank.open(tmp_path / "a.facebank", device="cpu") as bank:
        for pair in ((gray, SPEECH), (SPEECH, gray)):
            with pytest.raises(NoFaceError, match="no face"):
                bank.compare(*pair)


def test_bytes_that_are_not_a_photo_are_refused(tmp_path: Path) -> None:
    with (
        FaceBank.open(tmp_path / "a.facebank", device="cpu") as bank,
        pytest.raises(PhotoError, match="not a photo"),
    ):
        bank.compare(b"nothing", SPEECH)
