"""XMP packets are embedded in photos without changing anything else."""

from __future__ import annotations

import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facebank.album.tags.xmp_document import MAX_BYTES
from facebank.album.tags.xmp_packets import find_packet
from facebank.errors import XmpError
from facebank.media import read_photo_bytes
from tests.encoded_pictures import jpeg_segment, png_chunk

from .xmp_samples import DIGIKAM, LIGHTROOM, embed, extended_xmp

VARIANTS = {"JPEG": {}, "PNG": {}, "WebP": {}, "WebP lossless": {"lossless": True}, "WebP alpha": {"lossless": True}}


def format_of(variant: str) -> str:
    return variant.split(maxsplit=1)[0]


def picture(variant: str, xmp: bytes | None = None) -> bytes:
    """Return a small picture of a variant of a format, with XMP embedded by Pillow."""
    random = np.random.default_rng(7)
    channels = 4 if variant == "WebP alpha" else 3
    pixels = random.integers(0, 256, (31, 45, channels), dtype=np.uint8)
    file, options = BytesIO(), {} if xmp is None else {"xmp": xmp}
    if xmp is not None and variant == "PNG":
        from PIL.PngImagePlugin import PngInfo

        texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        options = {"pnginfo": texts}  # type: ignore[dict-item]
    Image.fromarray(pixels).save(file, format_of(variant), **VARIANTS[variant], **options)
    return file.getvalue()


def packet_of(data: bytes, image_format: str) -> bytes | None:
    packet = find_packet(data, image_format, "photo")
    assert packet is not None
    return packet.data


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_packet_is_embedded_and_replaced_without_changing_the_picture(variant: str) -> None:
    data, image_format = picture(variant), format_of(variant)
    assert packet_of(data, image_format) is None
    once = embed(data, image_format, LIGHTROOM.encode())
    twice = embed(once, image_format, DIGIKAM.encode())
    assert packet_of(once, image_format) == LIGHTROOM.encode()
    assert packet_of(twice, image_format) == DIGIKAM.encode()
    assert embed(twice, image_format, LIGHTROOM.encode()) == once
    before = read_photo_bytes(data).pixels
    for written in (once, twice):
        assert np.array_equal(read_photo_bytes(written).pixels, before)
        with Image.open(BytesIO(written)) as image:
            image.load()
            assert image.info["xmp"] in (LIGHTROOM.encode(), DIGIKAM.encode())
            assert image.mode == ("RGBA" if variant == "WebP alpha" else "RGB")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_packet_of_another_program_is_found(variant: str) -> None:
    assert packet_of(picture(variant, DIGIKAM.encode()), format_of(variant)) == DIGIKAM.encode()


@pytest.mark.parametrize("variant", VARIANTS)
@given(data=st.data())
def test_a_damaged_file_raises_xmp_error(variant: str, data: st.DataObject) -> None:
    valid, image_format = picture(variant, LIGHTROOM.encode()), format_of(variant)
    start = data.draw(st.integers(0, len(valid) - 1))
    junk = data.draw(st.binary(max_size=30))
    damaged = valid[:12] + (valid[: data.draw(st.integers(0, len(valid)))] + junk + valid[start:])[12:]
    with suppress(XmpError):
        packet = find_packet(damaged, image_format, "photo.x")
        assert packet is not None
        assert 0 <= packet.start <= packet.end <= len(damaged)


REAL_PHOTOS = (
    *("hopper.jpg", "hopper_orientation_6.jpg", "pil_sample_cmyk.jpg", "exif-dpi-zerodivision.jpg", "frozenpond.mpo"),
    *("sugarshack_bad_mpo_header.jpg", "hopper.png", "exif_imagemagick_orientation.png"),
    *("hopper.webp", "hopper_orientation_6.webp", "iss634.webp", "transparent.webp"),
)


@pytest.mark.parametrize("name", REAL_PHOTOS)
def test_embedding_in_real_photos_preserves_everything_else(shared: Path, name: str) -> None:
    data = (shared / "data" / "odd" / name).read_bytes()
    image_format = {"png": "PNG", "webp": "WebP"}.get(name.rpartition(".")[2], "JPEG")
    written = embed(data, image_format, DIGIKAM.encode())
    assert packet_of(written, image_format) == DIGIKAM.encode()
    before, after = read_photo_bytes(data), read_photo_bytes(written)
    assert np.array_equal(before.pixels, after.pixels)
    assert before.taken_at == after.taken_at
    old, new = find_packet(data, image_format, "photo"), find_packet(written, image_format, "photo")
    assert old is not None
    assert new is not None
    if image_format != "WebP":
        assert data[: old.start] + data[old.end :] == written[: new.start] + written[new.end :]
    if name == "frozenpond.mpo":  # its index locates the second picture by offset
        frames = [list(image_frames(file)) for file in (data, written)]
        assert len(frames[0]) == 2
        assert all(np.array_equal(first, second) for first, second in zip(*frames, strict=True))


def image_frames(data: bytes) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    frames = []
    with Image.open(BytesIO(data)) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(np.array(image))
    return frames


def test_extended_xmp_is_assembled() -> None:
    segments, packet = extended_xmp(DIGIKAM.encode())
    data = embed(picture("JPEG"), "JPEG", packet)
    packet_found = find_packet(data, "JPEG", "photo")
    assert packet_found is not None
    with_extension = data[: packet_found.end] + segments + data[packet_found.end :]
    assembled = find_packet(with_extension, "JPEG", "photo")
    assert assembled is not None
    assert assembled.extended == DIGIKAM.encode()
    rewritten = embed(with_extension, "JPEG", packet + b" ")
    assert segments in rewritten


def test_incomplete_extended_xmp_is_ignored() -> None:
    segments, packet = extended_xmp(DIGIKAM.encode(), guid="0" * 32)
    data = picture("JPEG")
    data = data[:2] + segments + embed(data, "JPEG", packet)[2:]
    read = find_packet(data, "JPEG", "photo")
    assert read is not None
    assert read.extended is None


def test_unsafe_changes_are_refused() -> None:
    data = picture("JPEG")
    with pytest.raises(XmpError, match=r"one packet.*sidecar"):
        embed(data, "JPEG", b"x" * 70_000)
    double = embed(data, "JPEG", b"<a/>")
    packet_segment = jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<b/>")
    double = double[:2] + packet_segment + double[2:]
    with pytest.raises(XmpError, match=r"more than one packet.*sidecar"):
        embed(double, "JPEG", b"<c/>")
    signed = data[:2] + jpeg_segment(0xEB, b"JP\0\0jumb c2pa") + data[2:]
    with pytest.raises(XmpError, match="signed"):
        embed(signed, "JPEG", b"<c/>")
    behind = (
        data[:20]
        + jpeg_segment(0xE2, b"MPF\0II")
        + jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<b/>")
        + data[20:]
    )
    with pytest.raises(XmpError, match="list of pictures"):
        embed(behind, "JPEG", b"<c/>")


def test_a_compressed_packet_is_decompressed_up_to_the_size_limit() -> None:
    chunk = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * (MAX_BYTES * 4)))
    data = picture("PNG")
    packet = packet_of(data[:33] + chunk + data[33:], "PNG")
    assert packet is not None
    assert len(packet) == MAX_BYTES + 1


def test_xmp_is_not_embedded_in_other_formats() -> None:
    assert find_packet(b"II*\0", "TIFF", "photo.tif") is None
