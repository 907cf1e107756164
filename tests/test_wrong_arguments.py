"""Arguments of the wrong kind: each is refused with a sentence, in an error of facebank's own."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from facebank import DecisionSettings, FaceBank, FacebankError
from facebank.errors import GalleryError, StorageError, StreamError, UnreadablePhotoError, UsageError

PHOTOS = Path(__file__).resolve().parents[1] / "facebank" / "demo" / "photos"
OBAMA, SPEECH = (PHOTOS / f"barack_obama_{name}.jpg" for name in ("portrait_2012", "speech"))
LONG = "x" * 5000
IMPOSSIBLE = ["a\0b", "\ud800"]


class BytesPath(os.PathLike[Any]):
    """A path of bytes, which `pathlib` does not take."""

    def __fspath__(self) -> bytes:
        return b"photos"


class Download:
    """A file-like object with nothing but `read`."""

    def read(self) -> bytes:
        return SPEECH.read_bytes()


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceBank]:
    with FaceBank.open(tmp_path_factory.mktemp("arguments") / "test.facebank", device="cpu") as opened:
        opened.enroll("Barack", OBAMA)
        opened.album().scan(SPEECH)
        yield opened


@pytest.mark.parametrize("path", [*IMPOSSIBLE, BytesPath()])
@pytest.mark.parametrize(
    "use",
    [
        FaceBank.open,
        lambda path, bank: bank.album(path),
        lambda path, bank: bank.album().scan(path),
        lambda path, bank: bank.album().scan([path]),
        lambda path, bank: bank.export(path),
        lambda path, bank: bank.gallery.back_up(path),
    ],
)
def test_paths_that_no_file_can_have_are_refused(
    bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any, use: Callable[..., object]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"is not valid for a file|must be text or a pathlib"):
        use(path) if use == FaceBank.open else use(path, bank)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [".", LONG])
def test_galleries_and_scans_where_none_can_be_are_refused(bank: FaceBank, path: str) -> None:
    for use in (FaceBank.open(path).people, lambda: FaceBank.open(path).enroll("Barack", OBAMA)):
        with pytest.raises((GalleryError, StorageError)):
            use()
    with pytest.raises(FacebankError):
        bank.album(path).count()


def test_a_photo_with_too_long_a_name_does_not_stop_the_others(bank: FaceBank) -> None:
    long, other = bank.identify([LONG, SPEECH])
    assert "File name too long" in str(long.error)
    assert [face.person for face in other.faces] == ["Barack"]
    with pytest.raises(FacebankError):
        bank.album().scan(LONG)
    with pytest.raises(StreamError):
        bank.watch(LONG, print)


@pytest.mark.parametrize("places", [None, 3, 1.5, object(), b"photos", np.array(3), io.StringIO("photos")])
def test_places_that_are_neither_path_nor_list_are_refused(bank: FaceBank, places: Any) -> None:
    album = bank.album()
    for use in (album.scan, album.count, album.forget, lambda places: list(album.identify(places))):
        with pytest.raises(UsageError, match=r"the path must be text or a pathlib.Path, not"):
            use(places)


def test_scanning_nothing_says_so(bank: FaceBank) -> None:
    with pytest.raises(FacebankError, match="nothing given: no photos there"):
        bank.album().scan([])


@pytest.mark.parametrize("names", [None, 3, b"Barack"])
def test_names_that_are_neither_text_nor_list_are_refused(bank: FaceBank, names: Any) -> None:
    for use in (bank.album().find, lambda names: bank.merge(names, "Barack")):
        with pytest.raises(UsageError, match="names are text or a list of text, not"):
            use(names)


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda bank: bank.album().find("Barack", "2019"), "period is a Period"),
        (lambda bank: bank.album().find("Barack", None, 3), "settings must be DecisionSettings, not 3"),
        (lambda bank: list(bank.album().identify(settings=3)), "settings must be DecisionSettings, not 3"),
        (lambda bank: bank.identify(SPEECH, 3), "settings must be DecisionSettings, not 3"),
        (
            lambda bank: DecisionSettings().write(cast("Any", "test.facebank")),
            "such as bank.gallery, not 'test.facebank'",
        ),
        (lambda bank: bank.album().scan(SPEECH, workers=0), "workers are a number from 1"),
        (lambda bank: bank.album().scan(SPEECH, workers="2"), "workers are a number from 1"),
        (lambda bank: bank.identify(SPEECH, channels=["BGR"]), "unknown channel order"),
        (lambda bank: bank.confirm(SPEECH, "Barack", "1"), "integer from 1, not '1'"),
        (lambda bank: bank.deny(SPEECH, "Barack", 1.5), "integer from 1, not 1.5"),
        (lambda bank: bank.deny(SPEECH, "Barack", True), "integer from 1, not True"),
        (lambda bank: bank.watch("party.avi", None), "None cannot be called"),
        (lambda bank: bank.watch(0, print, on_trouble=3), "3 cannot be called"),
        (lambda bank: bank.watch(0, print, mqtt=3), "the MQTT broker must be text, not 3"),
        (lambda bank: bank.watch(0, print, webhook=b"http://host"), "the webhook must be text"),
        (lambda bank: bank.watch(0, print, camera=3), "a camera's name must have 1 to 200 characters"),
        (lambda bank: FaceBank.open(bank.path, pack=cast("Any", 3)), "pack is the name or folder of one, not 3"),
        (lambda bank: FaceBank.open(bank.path, threads=10**9), "threads are a number from 1 to 1,024"),
    ],
)
def test_other_arguments_of_the_wrong_kind_are_refused(
    bank: FaceBank, use: Callable[[FaceBank], object], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        use(bank)


@pytest.mark.parametrize("margin", [-0.5, -3, float("nan"), float("inf"), "a", None])
def test_margins_that_leave_no_crop_are_refused(bank: FaceBank, margin: Any) -> None:
    face = next(bank.analyze(SPEECH)).faces[0]
    with pytest.raises(UsageError, match=r"margin must be a fraction above -0.5"):
        face.crop(margin=margin)
    assert min(face.crop(margin=-0.4).shape) > 0


def test_the_number_of_a_face_may_be_numpys(bank: FaceBank) -> None:
    number: Any = np.int64(1)
    assert bank.confirm(OBAMA, "Barack", number).face_number == 1


def test_a_file_with_nothing_but_read_is_read(bank: FaceBank) -> None:
    (photo,) = bank.identify(Download())  # type: ignore[arg-type]
    assert [face.person for face in photo.faces] == ["Barack"]


def test_a_file_that_is_open_for_writing_is_refused_in_words(bank: FaceBank, tmp_path: Path) -> None:
    with (tmp_path / "new.jpg").open("wb") as file:
        (photo,) = bank.identify(file)
    assert str(photo.error).endswith("is not open for reading: open it with mode 'rb'")


def test_an_image_without_pixels_is_refused_in_words(bank: FaceBank) -> None:
    with pytest.raises(UnreadablePhotoError, match="has no pixels: its size is 0 x 7"):
        bank.verify(OBAMA, Image.new("RGB", (0, 7)))


def test_a_bank_says_why_it_cannot_be_pickled(bank: FaceBank) -> None:
    for thing in (bank, bank.album(), bank.gallery):
        with pytest.raises(TypeError, match=r"cannot be pickled: call \w+.open in each process"):
            pickle.dumps(thing)
