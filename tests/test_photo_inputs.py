"""Photos as paths, bytes, files, Pillow images and arrays; other types are rejected with a message."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facebank import FaceBank, read_photo
from facebank.errors import GalleryNotFoundError, PhotoNotFoundError, UnreadablePhotoError, UsageError
from facebank.media import open_photo
from facebank.types import Photo
from tests.demo_photos import DEMO_PHOTOS, OBAMA, SPEECH


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceBank]:
    with FaceBank.open(tmp_path_factory.mktemp("inputs") / "test.facebank") as opened:
        opened.enroll("Barack", OBAMA)
        yield opened


def make_bgr_pixels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return read_pixels()[..., ::-1].copy()


def read_pixels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return read_photo(SPEECH).pixels


INPUTS: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "str": (lambda: str(SPEECH), "RGB", str(SPEECH)),
    "path": (lambda: SPEECH, "RGB", str(SPEECH)),
    "bytes": (SPEECH.read_bytes, "RGB", "<bytes>"),
    "bytearray": (lambda: bytearray(SPEECH.read_bytes()), "RGB", "<bytes>"),
    "memoryview": (lambda: memoryview(SPEECH.read_bytes()), "RGB", "<bytes>"),
    "file": (lambda: SPEECH.open("rb"), "RGB", str(SPEECH)),
    "buffer": (lambda: io.BytesIO(SPEECH.read_bytes()), "RGB", "<file>"),
    "pillow": (lambda: Image.open(SPEECH), "RGB", "<image>"),
    "pillow in memory": (lambda: Image.fromarray(read_pixels()), "RGB", "<image>"),
    "array": (read_pixels, "RGB", "<array>"),
    "BGR array": (make_bgr_pixels, "BGR", "<array>"),
    "decoded": (lambda: read_photo(SPEECH), "RGB", str(SPEECH)),
}
"""A function that makes the photo, the order of its channels and its expected path, by type."""


@pytest.mark.filterwarnings("ignore:unclosed file")
@pytest.mark.parametrize("input_type", INPUTS)
def test_all_input_types_give_equal_results(bank: FaceBank, input_type: str) -> None:
    make, channels, label = INPUTS[input_type]
    expected = next(bank.identify(SPEECH)).faces[0]
    for photos in (make(), [make()], iter([make()])):
        (photo,) = bank.identify(photos, channels=channels)
        assert (photo.path, photo.error, [face.person for face in photo.faces]) == (label, None, ["Barack"])
        assert photo.faces[0].embedding @ expected.embedding == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("input_type", ["bytes", "pillow in memory", "BGR array"])
def test_all_methods_accept_all_input_types(bank: FaceBank, input_type: str) -> None:
    make, channels, label = INPUTS[input_type]
    assert bank.verify(OBAMA, make(), channels=channels).same
    assert bank.verify(OBAMA, make(), channels=channels).b == label
    assert [len(photo.faces) for photo in bank.analyze([make(), SPEECH], channels=channels)] == [1, 1]
    assert bank.lookalikes(make(), channels=channels).people[0].person == "Barack"
    report = bank.enroll("Barack", [make()], channels=channels)
    assert [(photo.path, photo.accepted) for photo in report.photos] == [(label, True)]
    assert bank.confirm(make(), "Barack", channels=channels).detail
    bank.gallery.remove_sample(bank.samples("Barack")[-1].id)


INVALID_INPUTS = [
    (None, "not None"),
    ({"a": SPEECH}, "not a dict"),
    (7, "not an int"),
    (0.5, "not a float"),
    ([[str(SPEECH)]], "not a list: pass the photos themselves"),
    ([str(SPEECH), None], "not None"),
    (io.StringIO("text"), "not a StringIO: open the file with mode 'rb'"),
    (np.zeros((4, 5), np.uint8), "gray"),
    (np.zeros((4, 5, 3), np.float64), "float64"),
    (np.zeros((4, 5, 4), np.uint8), "alpha"),
    (np.zeros((3, 4, 5), np.uint8), "channels first"),
    (np.zeros((2, 4, 5, 3), np.uint8), r"\(2, 4, 5, 3\)"),
    ("", "is empty"),
]


@pytest.mark.parametrize(("invalid", "message"), INVALID_INPUTS, ids=[message for _, message in INVALID_INPUTS])
def test_invalid_inputs_are_rejected_before_a_gallery_is_created(tmp_path: Path, invalid: Any, message: str) -> None:
    with FaceBank.open(tmp_path / "new.facebank") as bank:
        for method in (lambda: bank.enroll("Ada", invalid), lambda: bank.analyze(invalid)):
            with pytest.raises(UsageError, match=message):
                method()
        if not isinstance(invalid, list):
            with pytest.raises(UsageError, match=message):
                bank.verify(invalid, SPEECH)
    assert not (tmp_path / "new.facebank").exists()


def test_invalid_inputs_during_an_import_of_pillow_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", ModuleType("PIL.Image"))  # as in the middle of its import
    with pytest.raises(UsageError, match="a photo must be"):
        open_photo(object())  # type: ignore[arg-type]


def test_a_missing_file_raises_without_creating_a_gallery(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "new.facebank") as bank:
        for method in (bank.analyze, lambda photo: bank.enroll("Ada", photo), lambda photo: bank.verify(photo, photo)):
            with pytest.raises(PhotoNotFoundError, match=r"absent\.jpg"):
                method(tmp_path / "absent.jpg")
        with pytest.raises(GalleryNotFoundError):
            bank.identify(SPEECH)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_raises_with_a_gallery(bank: FaceBank, tmp_path: Path) -> None:
    with pytest.raises(PhotoNotFoundError):
        bank.identify(tmp_path / "absent.jpg")
    are_readable = [photo.error is None for photo in bank.identify([SPEECH, tmp_path / "absent.jpg"])]
    assert are_readable == [True, False]


@pytest.mark.parametrize(
    ("photo", "message"), [(b"", "is empty"), (b"no photo", "is not a photo"), (DEMO_PHOTOS, "folder")]
)
def test_unreadable_photos_raise(photo: Any, message: str) -> None:
    with pytest.raises(UnreadablePhotoError, match=message):
        open_photo(photo)


def test_unknown_channel_orders_are_rejected_immediately(bank: FaceBank) -> None:
    for method in (bank.identify, bank.analyze, lambda photo, **options: bank.enroll("Ada", photo, **options)):
        with pytest.raises(UsageError, match="'GBR': use channels='RGB' or 'BGR'"):
            method(SPEECH, channels="GBR")  # type: ignore[arg-type]


def test_iterators_are_consumed_lazily(bank: FaceBank) -> None:
    read_count = 0

    def read_frames() -> Iterator[Any]:
        nonlocal read_count
        for _ in range(1000):
            read_count += 1
            yield read_pixels()

    assert next(bank.identify(read_frames())).faces[0].person == "Barack"
    assert read_count < 200


def test_crops_have_the_size_of_the_box_and_its_margin(bank: FaceBank) -> None:
    (face,) = next(bank.identify(SPEECH)).faces
    x1, y1, x2, y2 = face.box
    crop = face.crop()
    assert crop.dtype == np.uint8
    assert abs(crop.shape[0] - (y2 - y1)) < 2
    assert abs(crop.shape[1] - (x2 - x1)) < 2
    np.testing.assert_array_equal(crop, face.crop(read_pixels()))
    assert face.crop(margin=0.5).shape[0] > 1.5 * crop.shape[0]
    assert face.crop(margin=100).shape == read_pixels().shape


def test_a_face_is_not_cropped_from_a_changed_photo(bank: FaceBank, tmp_path: Path) -> None:
    path = tmp_path / "speech.jpg"
    path.write_bytes(SPEECH.read_bytes())
    (face,) = next(bank.identify(path)).faces
    path.write_bytes(OBAMA.read_bytes())
    with pytest.raises(UsageError, match="has changed"):
        face.crop()


def test_cropping_from_a_photo_in_memory_needs_its_pixels(bank: FaceBank) -> None:
    (face,) = next(bank.identify(read_pixels())).faces
    with pytest.raises(UsageError, match="pass the photo"):
        face.crop()
    (face_of_file,) = next(bank.identify(SPEECH)).faces
    np.testing.assert_array_equal(face.crop(read_pixels()), face_of_file.crop())


def test_a_face_without_an_opener_is_cropped_from_a_read_photo(bank: FaceBank) -> None:
    (photo,) = bank.identify(SPEECH)
    crop = photo.faces[0].crop()
    face = replace(photo.faces[0], opener=None)
    for argument in (None, SPEECH, read_pixels()):
        with pytest.raises(UsageError, match=r"cannot be opened from this face: call face\.crop\(facebank\.read_photo"):
            face.crop(argument)
    np.testing.assert_array_equal(face.crop(read_photo(SPEECH)), crop)


def test_results_can_be_pickled(bank: FaceBank) -> None:
    (photo,) = bank.identify(SPEECH)
    (face,) = photo.faces
    assert (face.face_number, face.path, face.content_hash) == (1, str(SPEECH), photo.content_hash)
    unpickled: Photo = pickle.loads(pickle.dumps(photo))
    assert unpickled.faces[0].person == "Barack"
    np.testing.assert_array_equal(unpickled.faces[0].crop(), face.crop())


def test_analyzed_faces_have_no_decision(bank: FaceBank) -> None:
    (analyzed,) = bank.analyze(SPEECH)
    assert (analyzed.faces[0].person, analyzed.faces[0].decision, analyzed.faces[0].candidates) == (None, None, ())
