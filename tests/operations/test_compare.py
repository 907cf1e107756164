"""Comparison of a face with all faces of a photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank
from facebank.errors import NoFaceError, PhotoError, UsageError
from tests.demo_photos import DEMO_PHOTOS

PORTRAIT, SPEECH = DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", DEMO_PHOTOS / "barack_obama_speech.jpg"


def test_similarities_are_those_of_the_embeddings(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "a.facebank", device="cpu") as bank:
        comparison = bank.compare(PORTRAIT, SPEECH)
        source, other = (next(bank.analyze(path)).faces for path in (PORTRAIT, SPEECH))
        expected = [float(source[0].embedding @ face.embedding) for face in other]
        assert [face.similarity for face in comparison.faces] == pytest.approx(expected, abs=1e-6)
        assert comparison.faces[0].similarity == pytest.approx(bank.verify(PORTRAIT, SPEECH).similarity, abs=1e-6)
        assert [face.same for face in comparison.faces] == [value >= comparison.threshold for value in expected]
        assert comparison.faces[0].face.crop().shape[2] == 3

        bank.enroll("Barack", PORTRAIT)
        (sample,) = bank.samples("Barack")
        from_sample = bank.compare(sample, SPEECH)
        assert from_sample.source is sample
        assert [face.similarity for face in from_sample.faces] == pytest.approx(expected, abs=1e-5)
        bank.gallery.remove_sample(sample.id)
        with pytest.raises(UsageError, match="no sample 1"):
            bank.compare(sample, SPEECH)


def test_photos_without_a_face_are_refused(tmp_path: Path) -> None:
    gray = np.full((200, 200, 3), 128, np.uint8)
    with FaceBank.open(tmp_path / "a.facebank", device="cpu") as bank:
        for pair in ((gray, SPEECH), (SPEECH, gray)):
            with pytest.raises(NoFaceError, match="no face"):
                bank.compare(*pair)
        with pytest.raises(PhotoError, match="not a photo"):
            bank.compare(b"nothing", SPEECH)
