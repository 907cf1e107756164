"""Pixels of all formats and modes, and named errors for unsupported ones."""

from __future__ import annotations

import struct
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from facebank.errors import UnreadablePhotoError, UnsupportedPhotoError
from facebank.media import decoder_versions, read_photo_bytes
from tests.encoded_pictures import encode, make_tiff

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT = 23, 17
RNG = np.random.default_rng(20)
COLORS = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
SMOOTH = np.stack(np.broadcast_arrays(*np.ogrid[40:200:17j, 60:220:23j], 128.0), axis=-1).astype(np.uint8)
GRAY = COLORS[..., 0]


def read_pixels(data: bytes) -> NDArray[np.uint8]:
    photo = read_photo_bytes(data, "photo")
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.c_contiguous
    assert photo.pixels.shape == (photo.height, photo.width, 3)
    return photo.pixels


def gray_to_rgb(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(values[..., np.newaxis], 3, axis=2)


def blend_on_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    opacity = alpha[..., np.newaxis] / 255
    return rgb * opacity + 255 * (1 - opacity)


@pytest.mark.parametrize("file_type", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_color_is_read_exactly(file_type: str) -> None:
    np.testing.assert_array_equal(read_pixels(encode(Image.fromarray(COLORS), file_type)), COLORS)


def test_lossless_webp_is_read_exactly() -> None:
    np.testing.assert_array_equal(read_pixels(encode(Image.fromarray(COLORS), "WEBP", lossless=True)), COLORS)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": "4:4:4"}])
def test_jpeg_is_read_in_color(options: dict[str, Any]) -> None:
    difference = read_pixels(encode(Image.fromarray(SMOOTH), "JPEG", quality=95, **options)).astype(int) - SMOOTH
    assert np.abs(difference).max() <= 12


def test_avif_is_read_in_color() -> None:
    difference = read_pixels(encode(Image.fromarray(SMOOTH), "AVIF", quality=95)).astype(int) - SMOOTH
    assert np.abs(difference).max() <= 12


def test_a_photo_of_many_bands_is_read_whole() -> None:
    large = RNG.integers(0, 256, (1300, 1021, 3), np.uint8)
    np.testing.assert_array_equal(read_pixels(encode(Image.fromarray(large), "PPM")), large)


@pytest.mark.parametrize("shape", [(1, 1), (1, 600_000), (600_000, 1)])
def test_odd_shapes_are_read(shape: tuple[int, int]) -> None:
    values = RNG.integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(read_pixels(encode(Image.fromarray(values), "PPM")), values)


@pytest.mark.parametrize("file_type", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_read(file_type: str) -> None:
    red, blue = Image.new("RGB", (8, 6), (250, 0, 0)), Image.new("RGB", (8, 6), (0, 0, 250))
    pixels = read_pixels(encode(red, file_type, save_all=True, append_images=[blue]))
    assert pixels.shape == (6, 8, 3)
    assert (np.abs(pixels.astype(int) - (250, 0, 0)) <= 8).all()


def test_the_first_photo_of_an_mpo_is_read() -> None:
    first, second = Image.fromarray(SMOOTH), Image.new("RGB", (40, 30))
    data = encode(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(read_pixels(data).astype(int) - SMOOTH).max() <= 12


@pytest.mark.parametrize("file_type", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_gray_has_three_equal_channels(file_type: str) -> None:
    np.testing.assert_array_equal(read_pixels(encode(Image.fromarray(GRAY), file_type)), gray_to_rgb(GRAY))


@pytest.mark.parametrize("file_type", ["PNG", "BMP", "TIFF", "PPM"])
def test_one_bit_pixels_are_black_or_white(file_type: str) -> None:
    bits = GRAY > 127
    np.testing.assert_array_equal(
        read_pixels(encode(Image.fromarray(bits), file_type)), gray_to_rgb(np.where(bits, 255, 0).astype(np.uint8))
    )


@pytest.mark.parametrize("file_type", ["PNG", "GIF", "BMP", "TIFF"])
def test_palettes_are_applied(file_type: str) -> None:
    image = Image.fromarray(GRAY % 4)
    image.putpalette([10, 20, 30, 200, 100, 0, 0, 255, 0, 9, 9, 250])
    palette = np.array([[10, 20, 30], [200, 100, 0], [0, 255, 0], [9, 9, 250]], np.uint8)
    np.testing.assert_array_equal(read_pixels(encode(image, file_type)), palette[GRAY % 4])


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255, 255])])
@pytest.mark.parametrize("file_type", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(file_type: str, transparency: int | bytes) -> None:
    if file_type == "GIF" and isinstance(transparency, bytes):
        transparency = 1
    image = Image.fromarray(GRAY % 4)
    image.putpalette([10, 20, 30, 200, 100, 0, 0, 255, 0, 9, 9, 250])
    palette = np.array([[10, 20, 30], [255, 255, 255], [0, 255, 0], [9, 9, 250]], np.uint8)
    np.testing.assert_array_equal(read_pixels(encode(image, file_type, transparency=transparency)), palette[GRAY % 4])


@pytest.mark.parametrize("file_type", ["PNG", "TIFF", "WEBP"])
def test_transparency_becomes_white(file_type: str) -> None:
    alpha = RNG.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    alpha[0], alpha[1] = 0, 255
    image = Image.fromarray(np.dstack([COLORS, alpha]))
    pixels = read_pixels(encode(image, file_type, **({"lossless": True, "exact": True} if file_type == "WEBP" else {})))
    assert np.abs(pixels - blend_on_white(COLORS, alpha)).max() <= 1
    assert (pixels[0] == 255).all()
    np.testing.assert_array_equal(pixels[1], COLORS[1])


def test_transparent_gray_becomes_white() -> None:
    alpha = COLORS[..., 1]
    pixels = read_pixels(encode(Image.fromarray(np.dstack([GRAY, alpha])), "PNG"))
    assert np.abs(pixels - blend_on_white(gray_to_rgb(GRAY), alpha)).max() <= 1


def test_premultiplied_gray_becomes_white() -> None:
    alpha = COLORS[..., 1]
    premultiplied = np.rint(GRAY * (alpha / 255)).astype(np.uint8)
    straight = encode(Image.fromarray(np.dstack([premultiplied, alpha])), "TIFF")
    data = straight.replace(struct.pack("<HHIH", 338, 3, 1, 2), struct.pack("<HHIH", 338, 3, 1, 1))
    assert Image.open(BytesIO(data)).mode == "La"
    assert np.abs(read_pixels(data) - blend_on_white(gray_to_rgb(GRAY), alpha)).max() <= 2


def test_a_transparent_color_of_png_is_white() -> None:
    colors = COLORS.copy()
    colors[3, 5] = (1, 2, 3)
    expected = colors.copy()
    expected[3, 5] = 255
    np.testing.assert_array_equal(read_pixels(encode(Image.fromarray(colors), "PNG", transparency=(1, 2, 3))), expected)


@pytest.mark.parametrize("file_type", ["JPEG", "TIFF"])
def test_cmyk_is_converted(file_type: str) -> None:
    options = {"quality": 95} if file_type == "JPEG" else {}
    data = encode(Image.fromarray(SMOOTH).convert("CMYK"), file_type, **options)
    assert Image.open(BytesIO(data)).mode == "CMYK"
    assert np.abs(read_pixels(data).astype(int) - SMOOTH).max() <= 12


DEEP = np.linspace(0, 65_535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).round().astype(np.uint16)
DEEP_AS_8_BIT = gray_to_rgb(np.rint(DEEP / 257).astype(np.uint8))


@pytest.mark.parametrize("file_type", ["PNG", "TIFF", "PPM"])
def test_16_bit_gray_is_scaled(file_type: str) -> None:
    np.testing.assert_array_equal(read_pixels(encode(Image.fromarray(DEEP), file_type)), DEEP_AS_8_BIT)


def test_dark_16_bit_gray_stays_dark() -> None:
    dark = (DEEP // 512).astype(np.uint16)
    for file_type in ("PNG", "TIFF", "PPM"):
        assert read_pixels(encode(Image.fromarray(dark), file_type)).max() == 0


def test_a_transparent_value_of_16_bit_gray_is_white() -> None:
    data = encode(Image.fromarray(DEEP), "PNG", transparency=int(DEEP[2, 3]))
    expected = DEEP_AS_8_BIT.copy()
    expected[2, 3] = 255
    np.testing.assert_array_equal(read_pixels(data), expected)


@pytest.mark.parametrize("white", [1.0, 255.0, 65_535.0, 1e9])
def test_float_tiff_is_scaled_to_its_white(white: float) -> None:
    values = np.linspace(0, white, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    expected = gray_to_rgb(np.rint(np.linspace(0, 255, WIDTH * HEIGHT)).astype(np.uint8).reshape(HEIGHT, WIDTH))
    assert np.abs(read_pixels(encode(Image.fromarray(values), "TIFF")).astype(int) - expected).max() <= 1


def test_float_tiff_may_contain_nan() -> None:
    values = np.full((2, 4), 0.5, np.float32)
    values[0] = np.nan, np.inf, -np.inf, -3
    pixels = read_pixels(encode(Image.fromarray(values), "TIFF"))[..., 0]
    assert pixels[0].tolist() == [0, 255, 0, 0]
    assert pixels[1].tolist() == [128] * 4


def test_32_bit_tiff_is_scaled() -> None:
    values = DEEP.astype(np.int32)
    np.testing.assert_array_equal(read_pixels(encode(Image.fromarray(values), "TIFF")), DEEP_AS_8_BIT)


def tiff_of_strip(
    bits: int, samples: int, photometric: int, strip: bytes, size: tuple[int, int], order: str = "<"
) -> bytes:
    """Return an uncompressed TIFF that Pillow can read but not write."""
    sample_bits = struct.pack(order + "3H", bits, bits, bits)
    entries = {
        256: (4, 1, size[0]),
        257: (4, 1, size[1]),
        258: (3, samples, 200 if samples > 1 else bits),
        259: (3, 1, 1),
        262: (3, 1, photometric),
        273: (4, 1, 200 + len(sample_bits)),
        277: (3, 1, samples),
        278: (4, 1, size[1]),
        279: (4, 1, len(strip)),
    }
    return make_tiff(entries, sample_bits + strip, order)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_color_tiff_keeps_the_high_bytes(order: str) -> None:
    values = RNG.integers(0, 65_536, (4, 5, 3), np.uint16)
    data = tiff_of_strip(16, 3, 2, values.astype(f"{order}u2").tobytes(), (5, 4), order)
    np.testing.assert_array_equal(read_pixels(data), (values >> 8).astype(np.uint8))


def test_big_endian_16_bit_gray_tiff_is_scaled() -> None:
    data = tiff_of_strip(16, 1, 1, DEEP.astype(">u2").tobytes(), (WIDTH, HEIGHT), ">")
    np.testing.assert_array_equal(read_pixels(data), DEEP_AS_8_BIT)


def test_12_bit_tiff_is_scaled_to_its_white() -> None:
    # Three bytes hold two pixels, 0xFFF and 0x800.
    assert read_pixels(tiff_of_strip(12, 1, 1, b"\xff\xf8\x00", (2, 1)))[0, :, 0].tolist() == [255, 128]


UNSUPPORTED = {
    "a Photoshop file": b"8BPS\0\1",
    "a Windows icon": b"\0\0\1\0\1\0",
    "a DDS texture": b"DDS |\0\0\0",
    "a PostScript file": b"%!PS-Adobe",
    "a PDF file": b"%PDF-1.7",
    "a JPEG 2000 picture": b"\0\0\0\x0cjP  \r\n\x87\n",
    "a JPEG XL picture": b"\xff\x0a\xfa\x1f",
    "a camera raw file": b"II*\0\x10\0\0\0CR\2\0",
    "an SVG drawing": b"<svg xmlns='http://www.w3.org/2000/svg'>",
}
VIDEOS = {
    "MP4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "QuickTime": b"\0\0\0\x08wide\0\0\0\0mdat",
    "AVI": b"RIFF\0\0\0\0AVI LIST",
    "Matroska": b"\x1a\x45\xdf\xa3",
    "MPEG": b"\0\0\1\xba\x44",
    "ASF": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
}


@pytest.mark.parametrize(("name", "head"), UNSUPPORTED.items(), ids=UNSUPPORTED)
def test_unsupported_formats_are_named(name: str, head: bytes) -> None:
    with pytest.raises(UnsupportedPhotoError, match=f"^party is {name}, which is not supported; save it as"):
        read_photo_bytes(head + bytes(100), "party")


@pytest.mark.parametrize("head", VIDEOS.values(), ids=VIDEOS)
def test_the_error_of_a_video_names_the_command(head: bytes) -> None:
    with pytest.raises(UnsupportedPhotoError, match=r"^party is a video: use 'facebank video' to identify"):
        read_photo_bytes(head + bytes(100), "party")


@pytest.mark.parametrize("file_type", ["ICO", "DDS", "EPS", "PCX", "TGA", "SGI", "JPEG2000", "PDF"])
def test_formats_outside_the_list_are_not_decoded(file_type: str) -> None:
    with pytest.raises((UnsupportedPhotoError, UnreadablePhotoError), match=r"^party is "):
        read_photo_bytes(encode(Image.fromarray(COLORS), file_type), "party")


@pytest.mark.parametrize("data", [b"hello, I am text\n", b"\0" * 1000, b"P", b"GIF", b"\xff\xd8", b"<html><body>"])
def test_other_files_are_rejected(data: bytes) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"^party is not a photo"):
        read_photo_bytes(data, "party")


def test_empty_bytes_are_rejected() -> None:
    with pytest.raises(UnreadablePhotoError, match=r"^party is empty: use another copy$"):
        read_photo_bytes(b"", "party")


def test_thumbnails_of_raw_files_are_not_read() -> None:
    data = encode(Image.fromarray(COLORS), "TIFF", tiffinfo={254: 1})
    with pytest.raises(UnsupportedPhotoError, match=r"^party is a camera raw file"):
        read_photo_bytes(data, "party")


def test_the_error_without_the_extra_for_heic_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnsupportedPhotoError, match=r"^party is a HEIC photo.*pip install 'facebank\[heif\]'$"):
        read_photo_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "party")


def test_the_suffix_does_not_determine_the_format() -> None:
    assert read_photo_bytes(encode(Image.fromarray(COLORS), "PNG"), "photo.jpg").width == WIDTH


def test_decoder_versions_reflect_missing_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = decoder_versions.__wrapped__()
    assert versions == decoder_versions()
    assert "PIL.JpegImagePlugin=" in versions
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pillow_heif", None)
        assert "pillow_heif=none" in decoder_versions.__wrapped__()
    monkeypatch.setattr("PIL.__version__", "99.0")
    assert decoder_versions.__wrapped__() != versions
