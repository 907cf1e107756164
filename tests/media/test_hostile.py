"""Broken and hostile bytes end in a photo or in one typed error, soon."""

from __future__ import annotations

import re
import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facebank.errors import PhotoError, UnreadablePhotoError
from facebank.media import read_photo_bytes
from facebank.media.formats import recognise_format
from facebank.media.reading import _explained

PIXELS = np.random.default_rng(8).integers(0, 256, (13, 19, 3), np.uint8)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {}),
    "progressive-jpeg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {}),
    "lossless-webp": ("WEBP", {"lossless": True}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "lzw-tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "avif": ("AVIF", {}),
    "ppm": ("PPM", {}),
}


def encoded(image: Image.Image, file_type: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, file_type, **options)
    return file.getvalue()


FILES = {kind: encoded(Image.fromarray(PIXELS), file_type, **options) for kind, (file_type, options) in KINDS.items()}


def read_or_refuse(data: bytes) -> None:
    try:
        photo = read_photo_bytes(data, "party")
    except PhotoError as error:
        message = str(error)
        assert message.startswith("party ")
        assert message.isprintable()
        assert len(message) < 300
    else:
        assert photo.pixels.dtype == np.uint8
        assert photo.pixels.shape == (photo.height, photo.width, 3)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    file = bytearray(FILES[kind])
    positions = st.integers(0, len(file) - 1) | st.integers(0, min(len(file), 120) - 1)
    for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=12)):
        file[position] = value
    read_or_refuse(bytes(file))


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_is_read_or_refused(kind: str) -> None:
    for length in range(len(FILES[kind])):
        read_or_refuse(FILES[kind][:length])


@pytest.mark.parametrize("kind", KINDS)
def test_file_cut_in_half_is_refused(kind: str) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"^party is a damaged \w+: .*; use another copy$"):
        read_photo_bytes(FILES[kind][: len(FILES[kind]) // 2], "party")


def test_reasons_from_decoders_are_made_safe_to_print() -> None:
    photo_format = recognise_format(FILES["png"], "party")
    message = str(_explained(ValueError("bad\nchunk \x1b[31m" + "x" * 10_000), photo_format, "party"))
    assert message.startswith(r"party is a damaged PNG: bad chunk \x1b[31mxxx")
    assert len(message) < 300
    assert message.isprintable()


def test_truncated_jpeg_is_refused_with_the_reason() -> None:
    large = encoded(Image.fromarray(np.random.default_rng(1).integers(0, 256, (400, 600, 3), np.uint8)), "JPEG")
    for share in (0.3, 0.6, 0.9, 0.99):
        with pytest.raises(UnreadablePhotoError, match=r"^party is a damaged JPEG: .*truncated"):
            read_photo_bytes(large[: int(len(large) * share)], "party")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(rest=st.binary(max_size=300))
def test_nothing_but_a_signature_is_refused(kind: str, rest: bytes) -> None:
    read_or_refuse(FILES[kind][:16] + rest)


def test_jpeg_of_endless_scans_is_refused_at_once() -> None:
    progressive = encoded(Image.new("L", (4000, 3000), 128), "JPEG", progressive=True)
    last_scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    # each of these 30 bytes or less would be a pass over 12 megapixels: hours of work for this file
    bomb = progressive[:-2] + last_scan * 1_000_000 + progressive[-2:]
    with pytest.raises(UnreadablePhotoError, match=r"more than 100 scans"):
        read_photo_bytes(bomb, "party")


def test_progressive_jpeg_of_usual_scans_is_read() -> None:
    progressive = FILES["progressive-jpeg"]
    assert len(re.findall(rb"\xff\xda", progressive)) > 5
    assert read_photo_bytes(progressive).width == 19


def test_jpeg_of_endless_segments_is_refused_at_once() -> None:
    jpeg = FILES["jpeg"]
    with pytest.raises(UnreadablePhotoError, match=r"more than 10,000 segments"):
        read_photo_bytes(jpeg[:2] + b"\xff\xe5\0\2" * 5_000_000 + jpeg[2:], "party")


@pytest.mark.parametrize("junk", [b"\0", b"\xff"])
def test_jpeg_of_endless_junk_is_refused_at_once(junk: bytes) -> None:
    jpeg = FILES["jpeg"]
    with pytest.raises(UnreadablePhotoError, match=r"no picture after its start"):
        read_photo_bytes(jpeg[:20] + junk * 100_000_000 + jpeg[20:], "party")


def test_jpeg_with_a_little_junk_and_fill_bytes_is_read() -> None:
    jpeg = FILES["jpeg"]
    np.testing.assert_array_equal(
        read_photo_bytes(jpeg[:20] + b"\0junk\xff\xff\xff" + jpeg[20:]).pixels, read_photo_bytes(jpeg).pixels
    )


def test_jpeg_with_much_before_its_picture_is_read() -> None:
    file = encoded(Image.fromarray(PIXELS), "JPEG", icc_profile=bytes(500_000))
    np.testing.assert_array_equal(read_photo_bytes(file).pixels, read_photo_bytes(FILES["jpeg"]).pixels)


def test_jpeg_followed_by_a_film_is_read() -> None:
    # as telephones write "motion photos"; the film's bytes look like a thousand scans
    jpeg = FILES["jpeg"]
    film = b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\2" * 1000
    np.testing.assert_array_equal(read_photo_bytes(jpeg + film).pixels, read_photo_bytes(jpeg).pixels)


def tiff_with_entry(tag: int, kind: int, count: int, value: int) -> bytes:
    """Return the small TIFF with one more entry in its directory."""
    tiff = FILES["tiff"]
    (start,) = struct.unpack_from("<I", tiff, 4)
    (entries,) = struct.unpack_from("<H", tiff, start)
    directory = tiff[start + 2 : start + 2 + 12 * entries] + struct.pack("<HHII", tag, kind, count, value)
    moved = struct.pack("<H", entries + 1) + directory + bytes(4)
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:].rjust(len(tiff) - 8) + moved


def test_tiff_entry_inside_the_file_is_accepted() -> None:
    np.testing.assert_array_equal(read_photo_bytes(tiff_with_entry(60_000, 1, 100, 8)).pixels, PIXELS)


@pytest.mark.parametrize(("count", "offset"), [(100, 1 << 31), (1 << 31, 8), ((1 << 32) - 1, (1 << 32) - 1)])
def test_tiff_entry_behind_the_file_is_refused_in_silence(
    count: int, offset: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"damaged TIFF: tag 60000 lies behind the end of the file"):
        read_photo_bytes(tiff_with_entry(60_000, 1, count, offset), "party")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"II*\0" + struct.pack("<I", 4_000_000_000), "the directory lies behind the end of the file"),
        (b"MM\0*" + struct.pack(">IH", 8, 5_000) + bytes(100), "a directory of 5,000 entries"),
        (b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 63) + bytes(100), "a directory of .* entries"),
        (b"II+\0\x08\0\0\0" + struct.pack("<Q", (1 << 64) - 1), "the directory lies behind the end of the file"),
    ],
)
def test_hostile_tiff_directory_is_refused(head: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePhotoError, match=f"^party is a damaged TIFF: {reason}; use another copy$"):
        read_photo_bytes(head, "party")
