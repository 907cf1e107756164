"""Images and labels in npz files, which are checked and never unpickled."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebank.errors import DatasetError, PhotoError
from facebank.evaluation.dataset import Pick, read_dataset_photo
from facebank.evaluation.datasets import arrays, npz
from facebank.evaluation.datasets.arrays import read_arrays

IMAGES = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)


def write_arrays(folder: Path, compress: bool = False, **content: Any) -> Path:
    path = folder / "faces.npz"
    (np.savez_compressed if compress else np.savez)(path, **content)
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("in_columns", [False, True])
def test_images_and_labels_are_read(tmp_path: Path, compress: bool, in_columns: bool) -> None:
    images = np.asfortranarray(IMAGES) if in_columns else IMAGES
    labels = np.array(["Ada", "Bea", "", "ada"])
    path = write_arrays(
        tmp_path,
        compress,
        images=images,
        labels=labels,
        splits=np.array(["train", "val", "test", ""]),
        groups=np.array([1, 1, 2, 3]),
        aligned=np.array(True),
        other=np.zeros(3),
    )
    dataset = read_arrays(path)
    assert [photo.person for photo in dataset.photos] == ["Ada", "Bea", None, "Ada"]
    assert [photo.split for photo in dataset.photos] == ["train", "validation", "test", None]
    assert [photo.group for photo in dataset.photos] == ["1", "1", "2", "3"]
    assert dataset.pick is Pick.ALIGNED
    assert [note.entry for note in dataset.skipped] == ["Ada and ada"]
    for photo, image in zip(dataset.photos, IMAGES, strict=True):
        assert np.array_equal(read_dataset_photo(photo).pixels, image)


def test_layout_of_the_tutorial_is_read(tmp_path: Path) -> None:
    path = tmp_path / "5-celebrity-faces-dataset.npz"
    np.savez_compressed(path, IMAGES[:3], np.array(["a", "b", "a"]), IMAGES[3:], np.array(["b"]))
    dataset = read_arrays(path)
    assert [(photo.person, photo.split) for photo in dataset.photos] == [
        ("a", "train"),
        ("b", "train"),
        ("a", "train"),
        ("b", "test"),
    ]
    assert dataset.pick is Pick.LARGEST


@pytest.mark.parametrize("labels", [np.arange(4), np.arange(4, dtype=np.uint8), np.array([b"0", b"1", b"2", b"3"])])
def test_labels_may_be_integers_or_bytes(tmp_path: Path, labels: Any) -> None:
    assert read_arrays(write_arrays(tmp_path, images=IMAGES, labels=labels)).people == ("0", "1", "2", "3")


LABELS = np.array(["a", "b", "a", "b"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": IMAGES}, "expected the arrays images and labels, or arr_0 to arr_3"),
        ({"images": IMAGES, "labels": LABELS[:3]}, "the array labels has 3 values for 4 images"),
        ({"images": IMAGES, "labels": LABELS.reshape(2, 2)}, "the array labels is <U1 of shape"),
        ({"images": IMAGES, "labels": np.zeros(4)}, "the array labels is float64"),
        ({"images": IMAGES / 255, "labels": LABELS}, "the array images is float64 of shape"),
        ({"images": IMAGES[..., 0], "labels": LABELS}, "the array images is uint8 of shape"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "it has no images"),
        ({"images": IMAGES, "labels": LABELS.astype(object)}, "the array labels has Python objects"),
        ({"images": IMAGES, "labels": LABELS, "splits": LABELS}, "the split of image 1 is 'a'; expected train"),
        (
            {"images": IMAGES, "labels": LABELS, "aligned": np.ones(4, bool)},
            "the array aligned is not a single boolean",
        ),
        ({"images": IMAGES, "labels": np.array(["a/b"] * 4)}, "A person cannot be called"),
    ],
)
def test_mismatched_arrays_are_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=f"faces.npz: .*{message}|faces.npz: {message}"):
        read_arrays(write_arrays(tmp_path, **content))


def npy_bytes(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write_zip(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def test_zip_bomb_is_refused_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_TOTAL", 1_000_000)
    path = write_zip(
        tmp_path / "bomb.npz",
        images=npy_bytes(np.zeros((40, 100, 100, 3), np.uint8)),
        labels=npy_bytes(np.arange(40)),
    )
    assert path.stat().st_size < 10_000
    with pytest.raises(DatasetError, match=r"the arrays have 1,200,.* uncompressed bytes; the limit is 1,000,000"):
        read_arrays(path)


def test_false_header_is_refused(tmp_path: Path) -> None:
    forged = npy_bytes(IMAGES).replace(b"(4, 5, 6, 3)", b"(99999, 99999, 9999, 3)", 1).replace(b" " * 11, b"", 1)
    path = write_zip(tmp_path / "x.npz", images=forged, labels=npy_bytes(LABELS))
    with pytest.raises(DatasetError, match="the size of the array images does not match its header"):
        read_arrays(path)


@pytest.mark.parametrize(
    "start", [b"", b"no array", b"\x93NUMPY\x09\x00", b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPY\x01\x00\x10\x00((((((("]
)
def test_invalid_array_is_an_error(tmp_path: Path, start: bytes) -> None:
    with pytest.raises(DatasetError, match="the array images"):
        read_arrays(write_zip(tmp_path / "x.npz", images=start, labels=npy_bytes(LABELS)))


def test_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = write_arrays(tmp_path, images=IMAGES, labels=LABELS)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match="not an npz file, or damaged"):
        read_arrays(path)
    index = data.index(IMAGES.tobytes()) + 7
    path.write_bytes(data[:index] + b"\xff" + data[index + 1 :])
    with pytest.raises(DatasetError, match="not an npz file, or damaged"):
        read_arrays(path)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_arrays(tmp_path / "missing.npz")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=st.integers(0, 1999), value=st.integers(0, 255))
def test_changed_byte_gives_a_dataset_or_an_error(tmp_path: Path, index: int, value: int) -> None:
    data = bytearray(write_arrays(tmp_path, images=IMAGES, labels=LABELS).read_bytes())
    data[index % len(data)] = value
    path = tmp_path / "changed.npz"
    path.write_bytes(data)
    try:
        assert len(read_arrays(path).photos) == 4
    except DatasetError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("compress", [False, True])
def test_images_are_read_one_at_a_time(tmp_path: Path, compress: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_RESTART_INTERVAL", 100_000)
    monkeypatch.setattr(npz, "_BLOCK", 30_000)
    monkeypatch.setattr(npz, "_COMPRESSED_BLOCK", 7_000)
    images = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    dataset = read_arrays(write_arrays(tmp_path, compress, images=images, labels=np.arange(60)))
    for number in (59, 0, 1, 30, 29, 58, 7, 8):
        assert np.array_equal(read_dataset_photo(dataset.photos[number]).pixels, images[number])


@pytest.mark.parametrize("compress", [False, True])
def test_many_images_take_little_memory(tmp_path: Path, compress: bool) -> None:
    path = write_arrays(tmp_path, compress, images=np.zeros((1000, 100, 100, 3), np.uint8), labels=np.arange(1000))
    tracemalloc.start()
    dataset = read_arrays(path)
    hashes = {read_dataset_photo(photo).content_hash for photo in dataset.photos}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(dataset.photos), len(hashes)) == (1000, 1)
    assert peak < 10_000_000


@pytest.mark.parametrize(
    ("content", "limit", "message"),
    [
        ({"images": np.zeros((30, 1, 1, 3), np.uint8), "labels": np.arange(30)}, "MAX_IMAGES", "has 30 images"),
        (
            {"images": IMAGES, "labels": LABELS.astype("U10")},
            "MAX_WHOLE",
            "the array labels has 160 uncompressed bytes",
        ),
        (
            {"images": np.asfortranarray(IMAGES), "labels": LABELS},
            "MAX_WHOLE",
            "the array images has 360 uncompressed bytes",
        ),
    ],
)
def test_limits_are_checked_in_the_header(
    tmp_path: Path, content: dict[str, Any], limit: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_arrays(tmp_path, True, **content)
    if limit == "MAX_IMAGES":
        monkeypatch.setattr(arrays, limit, 20)
    else:
        monkeypatch.setattr(npz, limit, 100)
    with pytest.raises(DatasetError, match=message):
        read_arrays(path)


def test_file_changed_while_reading_is_an_error(tmp_path: Path) -> None:
    path = write_arrays(tmp_path, images=np.zeros((4, 100, 100, 3), np.uint8), labels=LABELS)
    photo = read_arrays(path).photos[2]
    os.truncate(path, 300)
    with pytest.raises(PhotoError, match=r"image 3 of .*faces.npz cannot be read: the file has changed"):
        read_dataset_photo(photo)
