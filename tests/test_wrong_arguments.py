"""Invalid arguments raise facebank's errors with a message."""

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
from facebank.errors import (
    GalleryError,
    InvalidNameError,
    PackError,
    StorageError,
    StreamError,
    UnreadablePhotoError,
    UsageError,
)
from tests.demo_photos import OBAMA, SPEECH

LONG_NAME = "x" * 5000
INVALID_PATHS = ["a\0b", "\ud800"]


class BytesPath(os.PathLike[Any]):
    """A path of bytes, which `pathlib` does not support."""

    def __fspath__(self) -> bytes:
        return b"photos"


class Readable:
    """A file-like object with only a `read` method."""

    def read(self) -> bytes:
        return SPEECH.read_bytes()


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceBank]:
    with FaceBank.open(tmp_path_factory.mktemp("arguments") / "test.facebank", device="cpu") as opened:
        opened.enroll("Barack", OBAMA)
        opened.album().scan(SPEECH)
        yield opened


@pytest.mark.parametrize("path", [*INVALID_PATHS, BytesPath()])
@pytest.mark.parametrize(
    "use",
    [
        lambda path, _: FaceBank.open(path),
        lambda path, bank: bank.album(path),
        lambda path, bank: bank.album().scan(path),
        lambda path, bank: bank.album().scan([path]),
        lambda path, bank: bank.export(path),
        lambda path, bank: bank.gallery.back_up(path),
    ],
)
def test_invalid_paths_are_rejected(
    bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any, use: Callable[..., object]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"is not valid for a file|must be text or a pathlib"):
        use(path, bank)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [".", LONG_NAME])
def test_invalid_gallery_and_scan_paths_are_rejected(bank: FaceBank, path: str) -> None:
    for use in (FaceBank.open(path).people, lambda: FaceBank.open(path).enroll("Barack", OBAMA)):
        with pytest.raises((GalleryError, StorageError)):
            use()
    with pytest.raises(FacebankError):
        bank.album(path).count()


def test_a_too_long_file_name_does_not_stop_other_photos(bank: FaceBank) -> None:
    long, other = bank.identify([LONG_NAME, SPEECH])
    assert "File name too long" in str(long.error)
    assert [face.person for face in other.faces] == ["Barack"]
    with pytest.raises(FacebankError):
        bank.album().scan(LONG_NAME)
    with pytest.raises(StreamError):
        bank.watch(LONG_NAME, print)


@pytest.mark.parametrize("paths", [None, 3, 1.5, object(), b"photos", np.array(3), io.StringIO("photos")])
def test_paths_of_other_types_are_rejected(bank: FaceBank, paths: Any) -> None:
    album = bank.album()
    for use in (album.scan, album.count, album.forget, lambda paths: list(album.identify(paths))):
        with pytest.raises(UsageError, match=r"the path must be text or a pathlib.Path, not"):
            use(paths)


def test_scanning_nothing_is_an_error(bank: FaceBank) -> None:
    with pytest.raises(FacebankError, match="nothing given: no photos there"):
        bank.album().scan([])


@pytest.mark.parametrize("names", [None, 3, b"Barack"])
def test_names_of_other_types_are_rejected(bank: FaceBank, names: Any) -> None:
    for use in (bank.album().find, lambda names: bank.merge(names, "Barack")):
        with pytest.raises(UsageError, match=r"must be (text|a name) or a list of (text|names), not"):
            use(names)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda bank: bank.album().find("Barack", "2019"), "period is a Period"),
        (lambda bank: bank.album().find("Barack", None, 3), "settings must be DecisionSettings, not 3"),
        (lambda bank: list(bank.album().identify(settings=3)), "settings must be DecisionSettings, not 3"),
        (lambda bank: bank.identify(SPEECH, 3), "settings must be DecisionSettings, not 3"),
        (
            lambda bank: DecisionSettings().write(cast("Any", "test.facebank")),
            "such as bank.gallery, not 'test.facebank'",
        ),
        (lambda bank: bank.album().scan(SPEECH, workers=0), "workers must be 1 or more"),
        (lambda bank: bank.album().scan(SPEECH, workers="2"), "workers must be 1 or more"),
        (lambda bank: bank.identify(SPEECH, channels=["BGR"]), "unknown channel order"),
        (lambda bank: bank.confirm(SPEECH, "Barack", "1"), "integer from 1, not '1'"),
        (lambda bank: bank.deny(SPEECH, "Barack", 1.5), "integer from 1, not 1.5"),
        (lambda bank: bank.deny(SPEECH, "Barack", True), "integer from 1, not True"),
        (lambda bank: bank.watch("party.avi", None), "None cannot be called"),
        (lambda bank: bank.watch(0, print, on_status=3), "3 cannot be called"),
        (lambda bank: bank.watch(0, print, mqtt=3), "the MQTT broker must be text, not 3"),
        (lambda bank: bank.watch(0, print, webhook=b"http://host"), "the webhook must be text"),
        (lambda bank: bank.watch(0, print, camera=3), "a camera's name must have 1 to 200 characters"),
        (
            lambda bank: FaceBank.open(bank.path, pack=cast("Any", 3)),
            "pack must be the name or folder of a pack, not 3",
        ),
        (lambda bank: FaceBank.open(bank.path, threads=10**9), "threads must be a number from 1 to 1,024"),
        (lambda bank: FaceBank.open(bank.path, device="gpu"), "'gpu': use auto, cpu or cuda"),
        (lambda _: FaceBank.open(cast("Any", 5)), "the path of the gallery must be text or a pathlib.Path, not 5"),
    ],
)
def test_other_arguments_of_wrong_types_are_rejected(
    bank: FaceBank, use: Callable[[FaceBank], object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        use(bank)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_invalid_numbers_of_threads_are_rejected(tmp_path: Path, threads: Any) -> None:
    with pytest.raises(UsageError, match="threads must be a number from 1"):
        FaceBank.open(tmp_path / "a.facebank", threads=threads)


@pytest.mark.parametrize("name", [None, 3])
def test_a_new_person_without_a_text_name_is_rejected(bank: FaceBank, name: Any) -> None:
    with pytest.raises(InvalidNameError, match=f"A person's name is text, not {name}"):
        bank.enroll(name, SPEECH)


def test_an_unknown_pack_is_rejected_on_use(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no-such-pack"):
        next(FaceBank.open(tmp_path / "a.facebank", pack="no-such-pack").analyze(SPEECH))


@pytest.mark.parametrize("margin", [-0.5, -3, float("nan"), float("inf"), "a", None])
def test_margins_without_a_crop_are_rejected(bank: FaceBank, margin: Any) -> None:
    face = next(bank.analyze(SPEECH)).faces[0]
    with pytest.raises(UsageError, match=r"margin must be a fraction above -0.5"):
        face.crop(margin=margin)
    assert min(face.crop(margin=-0.4).shape) > 0


def test_numpy_integers_are_accepted_as_face_numbers(bank: FaceBank) -> None:
    face_number: Any = np.int64(1)
    assert bank.confirm(OBAMA, "Barack", face_number).face_number == 1


def test_objects_with_a_read_method_are_accepted(bank: FaceBank) -> None:
    (photo,) = bank.identify(Readable())  # type: ignore[arg-type]
    assert [face.person for face in photo.faces] == ["Barack"]


def test_files_open_for_writing_are_rejected(bank: FaceBank, tmp_path: Path) -> None:
    with (tmp_path / "new.jpg").open("wb") as file:
        (photo,) = bank.identify(file)
    assert str(photo.error).endswith("is not open for reading: open it with mode 'rb'")


def test_images_without_pixels_are_rejected(bank: FaceBank) -> None:
    with pytest.raises(UnreadablePhotoError, match="has no pixels, its size is 0 x 7"):
        bank.verify(OBAMA, Image.new("RGB", (0, 7)))


def test_pickling_a_bank_is_an_error(bank: FaceBank) -> None:
    for value in (bank, bank.album(), bank.gallery):
        with pytest.raises(TypeError, match=r"cannot be pickled: call \w+.open in each process"):
            pickle.dumps(value)
