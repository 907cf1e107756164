"""Verification files in pickle format, which are parsed and never executed."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Pick, read_dataset_photo
from facebank.evaluation.datasets import bin_file
from facebank.evaluation.datasets.bin_file import MAX_IMAGE, parse_bin, read_bin
from facebank.evaluation.datasets.checking import UnusableEntryError

PROTOCOLS = (2, 3, 4, 5)
# No empty bytes: protocol 2 cannot represent them, so Python 3 writes a call.
ENTRIES = st.lists(st.tuples(st.binary(min_size=1), st.binary(min_size=1, max_size=400), st.booleans()), min_size=1)


def dump_like_python_2(images: list[bytes], same: list[bool]) -> bytes:
    """Return a pickle of protocol 2 with Python 2 strings, like the published files."""
    strings = b"".join(
        (b"U" + bytes([len(image)]) if len(image) < 256 else b"T" + struct.pack("<i", len(image)))
        + image
        + b"r"
        + struct.pack("<I", 1000 + number)
        for number, image in enumerate(images)
    )
    labels = b"".join(b"\x88" if value else b"\x89" for value in same)
    return b"\x80\x02]q\x01(" + strings + b"e]q\x02(" + labels + b"e\x86q\x03."


def flatten(entries: list[tuple[bytes, bytes, bool]]) -> tuple[list[bytes], list[bool]]:
    return [image for first, second, _ in entries for image in (first, second)], [same for _, _, same in entries]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(entries=ENTRIES)
def test_file_of_python_3_is_read(protocol: int, entries: list[tuple[bytes, bytes, bool]]) -> None:
    images, same = flatten(entries)
    assert parse_bin(io.BytesIO(pickle.dumps((images, same), protocol))) == (images, same)
    assert parse_bin(io.BytesIO(pickle.dumps([tuple(images), tuple(same)], protocol))) == (images, same)


@given(entries=ENTRIES)
def test_file_of_python_2_is_read(entries: list[tuple[bytes, bytes, bool]]) -> None:
    images, same = flatten(entries)
    data = dump_like_python_2(images, same)
    assert pickle.loads(data, encoding="bytes") == (images, same)
    assert parse_bin(io.BytesIO(data)) == (images, same)


def test_shared_object_is_read() -> None:
    image = b"x" * 300
    assert parse_bin(io.BytesIO(pickle.dumps(([image, image], [1]), 4))) == ([image, image], [True])


def test_long_list_is_read() -> None:
    images = [bytes([number % 251]) for number in range(6000)]
    same = [number % 2 == 0 for number in range(3000)]
    assert parse_bin(io.BytesIO(pickle.dumps((images, same), 3))) == (images, same)


@given(st.binary())
def test_arbitrary_bytes_are_an_error(data: bytes) -> None:
    for start in (b"", b"\x80\x02", b"\x80\x04(", b"\x80\x02]q\x01("):
        with pytest.raises(UnusableEntryError):
            parse_bin(io.BytesIO(start + data))


OPCODES = st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes])


@given(
    st.lists(st.one_of(OPCODES, st.sampled_from([b"K\x01", b"q\x01", b"h\x01", b"U\x01a", b"C\x01a", b"X\0\0\0\0"])))
)
def test_arbitrary_opcodes_are_an_error(opcodes: list[bytes]) -> None:
    with pytest.raises(UnusableEntryError):
        parse_bin(io.BytesIO(b"\x80\x04" + b"".join(opcodes) + b"."))


@given(entries=ENTRIES, protocol=st.sampled_from(PROTOCOLS), fraction=st.floats(0, 1, exclude_max=True))
def test_truncated_file_is_an_error(entries: list[tuple[bytes, bytes, bool]], protocol: int, fraction: float) -> None:
    data = pickle.dumps(flatten(entries), protocol)
    with pytest.raises(UnusableEntryError):
        parse_bin(io.BytesIO(data[: int(fraction * len(data))]))


class HostileObject:
    """An object whose pickle runs a command that creates `target`."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_hostile_pickle_is_refused_and_not_executed(tmp_path: Path, protocol: int) -> None:
    target, path = tmp_path / "done", tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([HostileObject(target), b"b"], [True]), protocol))
    with pytest.raises(DatasetError, match=r"lfw.bin: .* it imports \w+\.system, which is not allowed"):
        read_bin(path)
    assert not target.exists()

    # The same pickle is harmful when it is executed.
    pickle.loads(path.read_bytes())
    assert target.exists()


def test_only_bytes_objects_may_reference_the_encoder() -> None:
    data = pickle.dumps(([b"\xff", b"b"], [True]), 2)
    assert b"latin1" in data
    with pytest.raises(UnusableEntryError, match="it calls a function"):
        parse_bin(io.BytesIO(data.replace(b"X\x06\x00\x00\x00latin1", b"X\x05\x00\x00\x00rot13")))


def dump_encoded(function: bytes) -> bytes:
    """Return a pickle of a pair whose images are calls of `function` with "a" and "latin1"."""
    arguments = b"X\x01\0\0\0aX\x06\0\0\0latin1\x86R"
    return b"\x80\x02](" + 2 * (function + arguments) + b"e](\x88e\x86."


def test_encoder_builds_bytes() -> None:
    assert parse_bin(io.BytesIO(dump_encoded(b"c_codecs\nencode\n"))) == ([b"a", b"a"], [True])


def test_other_callables_are_refused() -> None:
    with pytest.raises(UnusableEntryError, match="it calls a function"):
        parse_bin(io.BytesIO(dump_encoded(b"X\x01\0\0\0x")))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (([b"a", b"b", b"c"], [True]), "3 images for 1 pairs"),
        (([], []), "the list of pairs is empty"),
        (([b"a", "b"], [True]), "image 2 is str, not bytes"),
        (([b"a", b"b"], [2]), "the label of pair 1 is not a boolean"),
        (([b"a", b"b"], [None]), "unsupported opcode NONE"),
        (([b"a", b"b"],), "expected two lists"),
        ({"a": 1}, "unsupported opcode EMPTY_DICT"),
        (b"a", "expected two lists"),
        ((b"ab", [True]), "expected two lists"),
        (([np.zeros(3, np.uint8)] * 2, [True]), "it imports numpy"),
    ],
)
def test_pickles_of_another_structure_are_refused(value: object, message: str) -> None:
    with pytest.raises(UnusableEntryError, match=message):
        parse_bin(io.BytesIO(pickle.dumps(value, 4)))


def test_trailing_data_is_refused() -> None:
    with pytest.raises(UnusableEntryError, match="data after the end"):
        parse_bin(io.BytesIO(pickle.dumps(([b"a", b"b"], [True])) + b"x"))


class LargestReadStream(io.BytesIO):
    """A stream that records the largest requested read, in bytes."""

    largest_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.largest_read = max(self.largest_read, -1 if size is None else size)
        return super().read(size)


@pytest.mark.parametrize(
    "start", [b"\x80\x02T\xff\xff\xff\x7f", b"\x80\x03B\xff\xff\xff\xff", b"\x80\x04\x8e\0\0\0\0\0\1\0\0"]
)
def test_declared_length_is_checked(start: bytes) -> None:
    stream = LargestReadStream(start + b"abc")
    with pytest.raises(UnusableEntryError, match="an image of"):
        parse_bin(stream)
    assert stream.largest_read <= 16


def test_too_large_image_is_refused() -> None:
    with pytest.raises(UnusableEntryError, match="image 1 of"):
        parse_bin(io.BytesIO(pickle.dumps(([bytes(MAX_IMAGE + 1), b"b"], [True]))))


def test_deeply_nested_value_is_refused() -> None:
    data = b"\x80\x02" + b"]" + b"\x85" * 200_000 + b"."
    with pytest.raises(UnusableEntryError, match="expected two lists"):
        parse_bin(io.BytesIO(data))
    with pytest.raises(UnusableEntryError):
        parse_bin(io.BytesIO(b"\x80\x04" + b"]" + b"\x85" * 200_000 + b"]\x93."))


@pytest.mark.parametrize(("count", "lengths"), [(60, [6] * 10), (23, [3] * 3 + [2] * 7), (5, [5])])
def test_file_is_opened_as_a_dataset(
    tmp_path: Path, draw_jpeg: Callable[[int], bytes], count: int, lengths: list[int]
) -> None:
    path = tmp_path / "faces.bin"
    images = [draw_jpeg(number) for number in range(2 * count)]
    path.write_bytes(dump_like_python_2(images, [number % 2 == 0 for number in range(count)]))
    dataset = read_bin(path)
    assert dataset.pick is Pick.ALIGNED
    assert dataset.people == ()
    assert [photo.content for photo in dataset.photos] == images
    assert [pair.same for pair in dataset.pairs] == [number % 2 == 0 for number in range(count)]
    folds = [pair.fold for pair in dataset.pairs]
    assert folds == sorted(folds)
    assert [folds.count(fold) for fold in sorted(set(folds))] == lengths
    assert read_dataset_photo(dataset.photos[3]).pixels.shape == (6, 8, 3)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_bin(tmp_path / "lfw.bin")


def test_number_of_opcodes_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bin_file, "_MAX_OPCODES", 1000)
    with pytest.raises(UnusableEntryError, match="too many opcodes"):
        parse_bin(io.BytesIO(b"\x80\x02]" + b"]a" * 1000 + b"."))


def test_too_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([b"a", b"b"], [True])))
    monkeypatch.setattr(bin_file, "MAX_FILE", 10)
    with pytest.raises(DatasetError, match=r"lfw\.bin: exceeds the limit of 10 bytes"):
        read_bin(path)
