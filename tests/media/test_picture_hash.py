"""Picture hashes depend on pixels but not on metadata, and exist for hostile files."""

from __future__ import annotations

import hashlib
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facebank.errors import PhotoError
from facebank.media import (
    PhotoLimits,
    picture_hash,
    picture_hash_of_file,
    picture_hash_of_photo,
    read_header,
    read_photo,
    read_photo_bytes,
    read_photo_file,
)
from tests.encoded_pictures import encode, jpeg_segment, png_chunk

PIXELS = np.random.default_rng(3).integers(0, 256, (23, 37, 4), np.uint8)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {}),
    "progressive": ("JPEG", {"progressive": True}),
    "gray jpeg": ("JPEG", {}),
    "cmyk jpeg": ("JPEG", {}),
    "png": ("PNG", {}),
    "png with alpha": ("PNG", {}),
    "webp": ("WEBP", {}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "webp with alpha": ("WEBP", {"lossless": True}),
}
MODES = {"gray jpeg": "L", "cmyk jpeg": "CMYK", "png with alpha": "RGBA", "webp with alpha": "RGBA"}
LIMITS = PhotoLimits(max_pixels=100_000)


def encode_variant(variant: str, pixels: np.ndarray[Any, np.dtype[np.uint8]] = PIXELS, **extra_options: Any) -> bytes:
    file_type, options = VARIANTS[variant]
    image = Image.fromarray(pixels, "RGBA").convert(MODES.get(variant, "RGB"))
    return encode(image, file_type, **options, **extra_options)


def encode_with_metadata(variant: str, orientation: int | None = None) -> bytes:
    """Return the same picture with other metadata, written by Pillow."""
    exif = Image.Exif()
    exif[0x010E] = "a title"
    if orientation is not None:
        exif[0x0112] = orientation
    metadata: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": b"a profile" * 50}
    if "jpeg" in variant or variant == "progressive":
        metadata |= {"comment": b"rated", "xmp": b"<x/>"}
    elif "png" in variant:
        metadata["pnginfo"] = PngInfo()
        metadata["pnginfo"].add_itxt("XML:com.adobe.xmp", "<x/>")
        metadata["pnginfo"].add_text("Title", "a title")
    else:
        metadata["xmp"] = b"<x/>"
    return encode_variant(variant, **metadata)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_hash_covers_pixels_without_metadata(variant: str) -> None:
    data, other = encode_variant(variant), encode_with_metadata(variant)
    assert data != other
    assert picture_hash(data) == picture_hash(other)
    changed = PIXELS.copy()
    changed[..., :3] ^= 0x40
    assert picture_hash(encode_variant(variant, changed)) != picture_hash(data)
    assert picture_hash(data) == picture_hash_of_file(BytesIO(data)) != hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("variant", ["jpeg", "progressive", "png", "webp"])
def test_the_hash_omits_trailing_data(variant: str) -> None:
    data = encode_variant(variant)
    assert picture_hash(data + b"a video of the same moment \xff\xd8\xff\xd9" * 9) == picture_hash(data)


def test_the_orientation_changes_the_hash() -> None:
    data = encode_variant("jpeg")
    assert len({picture_hash(data, orientation) for orientation in range(1, 9)}) == 8
    assert picture_hash(data, 1) == picture_hash(data)
    photos = [read_photo_bytes(encode_with_metadata("jpeg", orientation)) for orientation in (None, 1, 6)]
    assert [photo.picture_hash for photo in photos] == [picture_hash(data), picture_hash(data), picture_hash(data, 6)]


def test_other_formats_are_hashed_completely() -> None:
    for file_type in ("BMP", "GIF", "TIFF", "PPM"):
        data = encode(Image.fromarray(PIXELS[..., :3]), file_type)
        assert picture_hash(data) == hashlib.sha256(data).hexdigest()
    for data in (
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBP",
        encode_variant("png")[:60],
        encode_variant("webp")[:30],
    ):
        assert picture_hash(data) == hashlib.sha256(data).hexdigest()


def test_the_hash_covers_jpeg_segments_that_affect_colors() -> None:
    with_jfif = encode_variant("jpeg")
    without_jfif = with_jfif[:2] + with_jfif[20:]  # without the 18 bytes of the JFIF segment
    adobe = b"Adobe\0\x64\0\0\0\0"
    ycc, rgb = (
        without_jfif[:2] + jpeg_segment(0xEE, adobe + bytes((transform,))) + without_jfif[2:] for transform in (1, 0)
    )
    assert picture_hash(with_jfif) == picture_hash(without_jfif) == picture_hash(ycc) != picture_hash(rgb)
    assert not np.array_equal(read_photo_bytes(with_jfif).pixels, read_photo_bytes(rgb).pixels)
    assert np.array_equal(read_photo_bytes(with_jfif).pixels, read_photo_bytes(without_jfif).pixels)


def test_the_hash_covers_the_transparent_color_of_a_png() -> None:
    image = Image.fromarray(PIXELS[..., 0])
    opaque, transparent = encode(image, "PNG"), encode(image, "PNG", transparency=int(PIXELS[0, 0, 0]))
    assert picture_hash(opaque) != picture_hash(transparent)


class CountingStream(BytesIO):
    """A stream that counts the bytes read."""

    byte_count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.byte_count += len(data)
        return data


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + jpeg_segment(0xDA, b"") + jpeg_segment(0xFE, b"") * 500_000,
        b"\xff\xd8" + jpeg_segment(0xE1, b"") * 500_000,
        b"\xff\xd8" + b"\xff" * 2_000_000,
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"tEXt", b"") * 200_000,
        b"RIFF\xff\xff\xff\xffWEBP" + b"EXIF\0\0\0\0" * 200_000,
    ],
    ids=["segments in a scan", "segments", "fill bytes", "chunks", "WebP chunks"],
)
def test_the_amount_of_reading_is_bounded(data: bytes) -> None:
    file = CountingStream(data)
    assert picture_hash_of_file(file) == hashlib.sha256(data).hexdigest()
    assert file.byte_count < 4 * len(data)


@given(st.sampled_from(sorted(VARIANTS)), st.data())
def test_files_with_equal_hashes_have_equal_pixels(variant: str, draw: st.DataObject) -> None:
    """Changed bytes give another hash or leave the pixels unchanged."""
    data = bytearray(encode_with_metadata(variant))
    for _ in range(draw.draw(st.integers(1, 3))):
        position = draw.draw(st.integers(0, len(data) - 1))
        data[position] = draw.draw(st.integers(0, 255))
    data = data[: draw.draw(st.integers(len(data) // 2, len(data)))] if draw.draw(st.booleans()) else data
    if picture_hash(bytes(data)) == picture_hash(encode_variant(variant)):
        try:
            photo = read_photo_bytes(bytes(data), "photo", LIMITS)
        except PhotoError:
            return  # broken metadata can make a file unreadable
        if photo.picture_hash == picture_hash(encode_variant(variant)):
            assert np.array_equal(photo.pixels, read_photo_bytes(encode_variant(variant)).pixels)


def test_removing_metadata_keeps_the_hash_of_real_photos(shared: Path) -> None:
    checked = 0
    for path in sorted((shared / "data" / "odd").iterdir()):
        data = path.read_bytes()
        if picture_hash(data) == hashlib.sha256(data).hexdigest():
            continue  # another format, or too broken to find the picture data
        if data.startswith(b"\xff\xd8\xff") and b"\xff\xe1" in data[:65_536]:
            position, stripped = 2, data[:2]
            while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
                end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
                if data[position + 1] != 0xE1:
                    stripped += data[position:end]
                position = end
            assert picture_hash(stripped + data[position:]) == picture_hash(data), path.name
            checked += 1
    assert checked >= 10


def test_undecoded_photos_have_the_same_hash(shared: Path) -> None:
    for path in sorted((shared / "data" / "odd").iterdir()):
        try:
            photo = read_photo(path, PhotoLimits(max_pixels=4_000_000))
        except PhotoError:
            continue
        file = read_photo_file(path)
        assert picture_hash_of_photo(file, read_header(file)) == photo.picture_hash, path.name
