"""Broken and hostile files give a photo or a typed error within a short time."""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facebank.errors import PhotoError, UnreadablePhotoError, UnsupportedPhotoError
from facebank.media import PhotoLimits, read_photo_bytes
from tests.encoded_pictures import encode, make_tiff, png_chunk

PIXELS = np.random.default_rng(8).integers(0, 256, (13, 19, 3), np.uint8)
ENCODINGS: dict[str, tuple[str, dict[str, Any]]] = {
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

# A changed byte can declare a hundred megapixels, which would slow the tests down.
LIMITS = PhotoLimits(max_pixels=1_000_000)


FILES = {
    encoding: encode(Image.fromarray(PIXELS), file_type, **options)
    for encoding, (file_type, options) in ENCODINGS.items()
}


def read_or_refuse(data: bytes) -> None:
    try:
        photo = read_photo_bytes(data, "party", LIMITS)
    except PhotoError as error:
        message = str(error)
        assert message.startswith("party ")
        assert message.isprintable()
        assert len(message) < 300
    else:
        assert photo.pixels.dtype == np.uint8
        assert photo.pixels.shape == (photo.height, photo.width, 3)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_changed_bytes_are_read_or_rejected(encoding: str, data: st.DataObject) -> None:
    changed = bytearray(FILES[encoding])
    positions = st.integers(0, len(changed) - 1) | st.integers(0, min(len(changed), 120) - 1)
    for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=12)):
        changed[position] = value
    read_or_refuse(bytes(changed))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_truncated_files_are_read_or_rejected(encoding: str) -> None:
    for length in range(len(FILES[encoding])):
        read_or_refuse(FILES[encoding][:length])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_files_cut_in_half_are_rejected(encoding: str) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"^party is a damaged \w+: .*; use another copy$"):
        read_photo_bytes(FILES[encoding][: len(FILES[encoding]) // 2], "party")


def test_decoder_messages_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ValueError("bad\nchunk \x1b[31m" + "x" * 10_000)

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(UnreadablePhotoError) as caught:
        read_photo_bytes(FILES["png"], "party")
    message = str(caught.value)
    assert message.startswith(r"party is a damaged PNG: bad chunk \x1b[31mxxx")
    assert len(message) < 300
    assert message.isprintable()


def test_a_truncated_jpeg_is_rejected_with_the_reason() -> None:
    large = encode(Image.fromarray(np.random.default_rng(1).integers(0, 256, (400, 600, 3), np.uint8)), "JPEG")
    for fraction in (0.3, 0.6, 0.9, 0.99):
        with pytest.raises(UnreadablePhotoError, match=r"^party is a damaged JPEG: .*truncated"):
            read_photo_bytes(large[: int(len(large) * fraction)], "party")


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=40, deadline=None)
@given(tail=st.binary(max_size=300))
def test_random_data_after_a_signature_is_read_or_rejected(encoding: str, tail: bytes) -> None:
    read_or_refuse(FILES[encoding][:16] + tail)


def test_a_flood_of_jpeg_scans_is_rejected() -> None:
    progressive = encode(Image.new("L", (4000, 3000), 128), "JPEG", progressive=True)
    last_scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    # Each scan is only a few bytes, but costs a pass over the whole picture.
    bomb = progressive[:-2] + last_scan * 100_000 + progressive[-2:]
    with pytest.raises(UnreadablePhotoError, match=r"more than 50 scans"):
        read_photo_bytes(bomb, "party")


def test_progressive_jpegs_are_read() -> None:
    progressive = FILES["progressive-jpeg"]
    assert len(re.findall(rb"\xff\xda", progressive)) > 5
    assert read_photo_bytes(progressive).width == 19


def test_a_flood_of_jpeg_segments_is_rejected() -> None:
    jpeg = FILES["jpeg"]
    with pytest.raises(UnreadablePhotoError, match=r"more than 10,000 segments"):
        read_photo_bytes(jpeg[:2] + b"\xff\xe5\0\2" * 1_000_000 + jpeg[2:], "party")


@pytest.mark.parametrize("junk", [b"\0", b"\xff"])
def test_a_flood_of_junk_in_a_jpeg_is_rejected(junk: bytes) -> None:
    jpeg = FILES["jpeg"]
    with pytest.raises(UnreadablePhotoError, match=r"no picture data"):
        read_photo_bytes(jpeg[:20] + junk * 10_000_000 + jpeg[20:], "party")


def test_little_junk_in_a_jpeg_is_accepted() -> None:
    jpeg = FILES["jpeg"]
    np.testing.assert_array_equal(
        read_photo_bytes(jpeg[:20] + b"\0junk\xff\xff\xff" + jpeg[20:]).pixels, read_photo_bytes(jpeg).pixels
    )


def test_a_jpeg_with_many_segments_is_read() -> None:
    data = encode(Image.fromarray(PIXELS), "JPEG", icc_profile=bytes(500_000))
    np.testing.assert_array_equal(read_photo_bytes(data).pixels, read_photo_bytes(FILES["jpeg"]).pixels)


def test_a_jpeg_followed_by_a_video_is_read() -> None:
    # Phones write motion photos like this; the bytes of this video look like a thousand scans.
    jpeg = FILES["jpeg"]
    video = b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\2" * 1000
    np.testing.assert_array_equal(read_photo_bytes(jpeg + video).pixels, read_photo_bytes(jpeg).pixels)


def test_a_flood_of_exif_is_rejected() -> None:
    jpeg, exif = FILES["jpeg"], b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)
    read_or_refuse(jpeg[:2] + exif * 3 + jpeg[2:])
    with pytest.raises(UnreadablePhotoError, match=r"more than 16,777,216 bytes before its picture"):
        read_photo_bytes(jpeg[:2] + exif * 257 + jpeg[2:], "party")


@pytest.mark.parametrize(
    ("name", "limit", "reason"),
    [(b"prVt", 1_000, "1,000 chunks that are not pixels"), (b"IDAT", 65_000, "65,536 chunks")],
)
def test_a_flood_of_png_chunks_is_rejected(name: bytes, limit: int, reason: str) -> None:
    png = FILES["png"]
    position = png.index(b"IDAT") - 4
    assert png[8:position].count(b"IHDR") == 1
    accepted = png[:position] + png_chunk(name) * (limit - 1) + png[position:]
    np.testing.assert_array_equal(read_photo_bytes(accepted).pixels, PIXELS)
    with pytest.raises(UnreadablePhotoError, match=f"^party is a damaged PNG: more than {reason}; use another copy$"):
        read_photo_bytes(png[:position] + png_chunk(name) * 70_000 + png[position:], "party")


def test_a_flood_of_gif_comments_is_rejected() -> None:
    gif = FILES["gif"]
    position = 13 + (3 << (gif[10] & 7) + 1)
    comment = b"\x21\xfe\xff" + bytes(255) + b"\0"
    expected = read_photo_bytes(gif).pixels
    np.testing.assert_array_equal(read_photo_bytes(gif[:position] + comment * 3_000 + gif[position:]).pixels, expected)
    for flood in (comment * 4_000, comment[:2] + comment[2:-1] * 10_000 + b"\0", b"\0" * 10_000):
        with pytest.raises(UnreadablePhotoError, match=r"more than 10,000 blocks before its picture"):
            read_photo_bytes(gif[:position] + flood + gif[position:], "party")


def test_a_flood_of_webp_chunks_is_rejected() -> None:
    webp = FILES["webp"]
    for count, is_flood in ((9_000, False), (10_000, True)):
        body = webp[8:] + b"abcd\0\0\0\0" * count
        data = b"RIFF" + struct.pack("<I", len(body)) + body
        if is_flood:
            with pytest.raises(UnreadablePhotoError, match=r"more than 10,000 chunks"):
                read_photo_bytes(data, "party")
        else:
            np.testing.assert_array_equal(read_photo_bytes(data).pixels, read_photo_bytes(webp).pixels)


def test_a_very_long_ppm_header_is_rejected() -> None:
    pixels = PIXELS.tobytes()
    header = b"P6 # made by hand\n#\n 19\t13 # size\r255\n"
    np.testing.assert_array_equal(read_photo_bytes(header + pixels).pixels, PIXELS)
    for flood in (b"#" + b"x" * 10_000 + b"\n", b" " * 10_000, b"\n#" * 5_000):
        with pytest.raises(UnreadablePhotoError, match=r"^party is a damaged PPM: its header is truncated or too"):
            read_photo_bytes(b"P6 " + flood + b"19 13 255\n" + pixels, "party")


@pytest.mark.parametrize("signature", [b"P1", b"P2", b"P3"])
def test_plain_text_ppm_is_rejected(signature: bytes) -> None:
    with pytest.raises(UnsupportedPhotoError, match=r"^party is a plain-text PPM picture, which is not supported"):
        read_photo_bytes(signature + b" 1 1 1 1 1 1", "party")


RLE_BMP = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 1084, 0, 0, 1078, 40, 2, 1, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1024)


@pytest.mark.parametrize(
    ("name", "data"),
    [("PPM", b"P6 2 1 254\n" + bytes(6)), ("PPM", b"P5 2 1 1000\n" + bytes(4)), ("BMP", RLE_BMP + b"\2\0\0\1")],
)
def test_formats_decoded_in_python_are_rejected(name: str, data: bytes) -> None:
    Image.open(BytesIO(data)).load()
    with pytest.raises(UnsupportedPhotoError, match=f"^party is a {name} of a rare kind that is not supported"):
        read_photo_bytes(data, "party")


def test_very_long_exif_is_not_read() -> None:
    def png_with_exif(padding: int) -> bytes:
        exif = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 274, 3, 1, 6, 0) + bytes(4 + padding)
        png = FILES["png"]
        return png[:33] + png_chunk(b"eXIf", exif) + png[33:]

    assert read_photo_bytes(png_with_exif(1_000_000)).has_orientation
    assert not read_photo_bytes(png_with_exif(1_100_000)).has_orientation


def tiff_with_entry(tag: int, value_type: int, count: int, value: int) -> bytes:
    """Return the small TIFF with an additional directory entry."""
    tiff = FILES["tiff"]
    (start,) = struct.unpack_from("<I", tiff, 4)
    (entries,) = struct.unpack_from("<H", tiff, start)
    directory = tiff[start + 2 : start + 2 + 12 * entries] + struct.pack("<HHII", tag, value_type, count, value)
    new_directory = struct.pack("<H", entries + 1) + directory + bytes(4)
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:].rjust(len(tiff) - 8) + new_directory


def test_a_tiff_entry_inside_the_file_is_accepted() -> None:
    np.testing.assert_array_equal(read_photo_bytes(tiff_with_entry(60_000, 1, 100, 8)).pixels, PIXELS)


@pytest.mark.parametrize(("count", "offset"), [(100, 1 << 31), (1 << 31, 8), ((1 << 32) - 1, (1 << 32) - 1)])
def test_a_tiff_entry_beyond_the_end_is_rejected_silently(
    count: int, offset: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"damaged TIFF: tag 60000 is beyond the end of the file"):
        read_photo_bytes(tiff_with_entry(60_000, 1, count, offset), "party")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"II*\0" + struct.pack("<I", 4_000_000_000), "its directory is beyond the end of the file"),
        (b"MM\0*" + struct.pack(">IH", 8, 5_000) + bytes(100), "a directory of 5,000 entries"),
        (b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 63) + bytes(100), "a directory of .* entries"),
        (b"II+\0\x08\0\0\0" + struct.pack("<Q", (1 << 64) - 1), "its directory is beyond the end of the file"),
    ],
)
def test_hostile_tiff_directories_are_rejected(head: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePhotoError, match=f"^party is a damaged TIFF: {reason}; use another copy$"):
        read_photo_bytes(head, "party")


def gray_tiff(width: int, height: int, compression: int = 1) -> dict[int, tuple[int, int, int]]:
    return {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, compression), 262: (3, 1, 1)}


def tiled_tiff(side: int, tile: int, *, value_type: int = 4) -> bytes:
    compressor = zlib.compressobj(1)
    packed = b"".join(compressor.compress(bytes(tile)) for _ in range(tile)) + compressor.flush()
    tiles = {322: (value_type, 1, tile), 323: (value_type, 1, tile), 324: (4, 1, 200), 325: (4, 1, len(packed))}
    return make_tiff(gray_tiff(side, side, compression=8) | tiles, packed)


@pytest.mark.parametrize("tile", [16, 256, 2_048])
def test_a_small_tiff_in_one_tile_is_read(tile: int) -> None:
    assert not read_photo_bytes(tiled_tiff(16, tile)).pixels.any()


@pytest.mark.parametrize("tile", [4_096, 1 << 16])
def test_oversized_tiff_tiles_are_rejected(tile: int) -> None:
    data = tiled_tiff(16, 4_096).replace(struct.pack("<II", 1, 4_096), struct.pack("<II", 1, tile))
    with pytest.raises(UnreadablePhotoError, match=rf"1 x {tile:,} x {tile:,} pixels for a picture of 16 x 16; use"):
        read_photo_bytes(data, "party")


def test_a_thin_tiff_with_many_tiles_is_rejected() -> None:
    data = tiled_tiff(16, 2_048).replace(struct.pack("<HHII", 256, 4, 1, 16), struct.pack("<HHII", 256, 4, 1, 10**6))
    with pytest.raises(UnreadablePhotoError, match=r"489 x 2,048 x 2,048 pixels for a picture of 1,000,000 x 16"):
        read_photo_bytes(data, "party")


@pytest.mark.parametrize("value_type", [5, 9])
def test_tiff_dimensions_must_be_integers(value_type: int) -> None:
    with pytest.raises(UnreadablePhotoError, match="tag 322 is not an integer"):
        read_photo_bytes(tiled_tiff(16, 16, value_type=value_type) + bytes(200), "party")


def test_duplicate_tiff_tags_are_rejected() -> None:
    with pytest.raises(UnreadablePhotoError, match=r"tag 256 occurs twice"):
        read_photo_bytes(tiff_with_entry(256, 3, 1, 19), "party")


def test_repeated_tiff_strips_are_rejected() -> None:
    # All strips refer to the same bytes, and Pillow would decode each of them over the whole image.
    def tiff_with_strips(count: int) -> bytes:
        strips = {273: (4, count, 200), 278: (4, 1, (1 << 32) - 1), 279: (4, 1, 1_000_000)}
        return make_tiff(gray_tiff(1_000, 1_000) | strips, struct.pack("<I", 200) * 250_000)

    assert read_photo_bytes(tiff_with_strips(2)).width == 1_000
    with pytest.raises(UnreadablePhotoError, match=r"60,000 x 1,000 x 1,000 pixels for a picture of 1,000 x 1,000"):
        read_photo_bytes(tiff_with_strips(60_000), "party")


@pytest.mark.parametrize("tag", [60_000, 34_665])
def test_a_flood_of_tiff_numbers_is_rejected(tag: int) -> None:
    # The numbers are in the directory of the file or in its EXIF data at offset 200.
    numbers = (5, 140_000, 300)
    strips = {273: (4, 1, 200), 278: (4, 1, 10), 279: (4, 1, 100)}
    exif = struct.pack("<HHHII", 1, 0x9003, *numbers)
    entry = {tag: (4, 1, 200) if tag == 34_665 else numbers}
    with pytest.raises(UnreadablePhotoError, match=r"a directory of more than 131,072 numbers"):
        read_photo_bytes(make_tiff(gray_tiff(10, 10) | strips | entry, exif + bytes(8 * 141_000)), "party")


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_all_tiff_layouts_are_accepted(compression: str, is_big: bool) -> None:
    image = Image.fromarray(np.tile(PIXELS, (30, 30, 1)))
    data = encode(image, "TIFF", compression=compression, big_tiff=is_big, strip_size=8_192)
    assert read_photo_bytes(data).pixels.shape == (390, 570, 3)
