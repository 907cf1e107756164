"""Orientation and time of a photo from intact and broken EXIF and XMP data."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, UnidentifiedImageError

from facebank.media import read_photo, read_photo_bytes, turn_photo
from tests.encoded_pictures import encode

if TYPE_CHECKING:
    from pathlib import Path

ORIENTATION, EXIF_IFD = 0x0112, 0x8769
# The upright scene, and how each EXIF orientation stores it (EXIF 2.32, 4.6.4).
SCENE = np.random.default_rng(3).integers(0, 256, (24, 40, 3), np.uint8)
STORED = {
    1: SCENE,
    2: SCENE[:, ::-1],
    3: SCENE[::-1, ::-1],
    4: SCENE[::-1],
    5: SCENE.transpose(1, 0, 2),
    6: np.rot90(SCENE, 1),
    7: SCENE[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(SCENE, -1),
}


def encode_pixels(pixels: np.ndarray[Any, Any], file_type: str, **options: Any) -> bytes:
    return encode(Image.fromarray(np.ascontiguousarray(pixels)), file_type, **options)


def exif_with(main_tags: dict[int, object] | None = None, exif_tags: dict[int, object] | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    for tag, value in (main_tags or {}).items():
        exif[tag] = value
    if exif_tags:
        exif.get_ifd(EXIF_IFD).update(exif_tags)
    return exif


def read_taken_at(
    main_tags: dict[int, object] | None = None, exif_tags: dict[int, object] | None = None
) -> datetime | None:
    return read_photo_bytes(encode_pixels(SCENE, "PNG", exif=exif_with(main_tags, exif_tags))).taken_at


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("file_type", "options"),
    [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_exif_orientation_is_applied(file_type: str, options: dict[str, Any], orientation: int) -> None:
    data = encode_pixels(STORED[orientation], file_type, exif=exif_with({ORIENTATION: orientation}), **options)
    photo = read_photo_bytes(data)
    np.testing.assert_array_equal(photo.pixels, SCENE)
    assert photo.pixels.flags.c_contiguous
    assert photo.has_orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_type", ["JPEG", "AVIF"])
def test_orientation_is_applied_as_pillow_does(file_type: str, orientation: int) -> None:
    data = encode_pixels(STORED[orientation], file_type, exif=exif_with({ORIENTATION: orientation}))
    expected = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    photo = read_photo_bytes(data)
    np.testing.assert_array_equal(photo.pixels, np.asarray(expected))
    assert photo.pixels.shape == SCENE.shape


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_type", ["JPEG", "WEBP"])
def test_xmp_orientation_is_applied(file_type: str, orientation: int) -> None:
    xmp = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()
    data = encode_pixels(STORED[orientation], file_type, xmp=xmp)
    photo = read_photo_bytes(data)
    np.testing.assert_array_equal(photo.pixels, np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data)))))
    assert photo.pixels.shape == SCENE.shape
    assert photo.has_orientation


@pytest.mark.parametrize("exif", [None, {ORIENTATION: 0}, {ORIENTATION: 9}, {0x010F: "Maker"}])
def test_photos_without_a_valid_orientation_are_not_turned(exif: dict[int, object] | None) -> None:
    photo = read_photo_bytes(encode_pixels(SCENE, "PNG", **({"exif": exif_with(exif)} if exif else {})))
    assert not photo.has_orientation
    np.testing.assert_array_equal(photo.pixels, SCENE)


@pytest.mark.parametrize("turns", range(-5, 6))
def test_photos_are_turned_counterclockwise(turns: int) -> None:
    photo = read_photo_bytes(encode_pixels(SCENE, "PNG"), "scene")
    turned = turn_photo(photo, turns)
    np.testing.assert_array_equal(turned.pixels, np.rot90(SCENE, turns))
    assert turned.pixels.flags.c_contiguous
    assert (turned.path, turned.content_hash) == (photo.path, photo.content_hash)
    np.testing.assert_array_equal(photo.pixels, SCENE)


def test_a_full_turn_returns_the_photo() -> None:
    photo = read_photo_bytes(encode_pixels(SCENE, "PNG"))
    assert turn_photo(photo, 4) is photo


def test_the_original_date_takes_precedence() -> None:
    dates: dict[int, object] = {0x9003: "2012:03:14 15:09:26", 0x9004: "2013:01:01 00:00:00"}
    assert read_taken_at({0x0132: "2014:01:01 00:00:00"}, dates) == datetime(2012, 3, 14, 15, 9, 26)


def test_the_digitizing_date_replaces_a_missing_original_date() -> None:
    expected = datetime(2013, 1, 2, 3, 4, 5)
    assert read_taken_at({0x0132: "2014:01:01 00:00:00"}, {0x9004: "2013:01:02 03:04:05"}) == expected


def test_the_modification_date_replaces_missing_dates() -> None:
    assert read_taken_at({0x0132: "2014:05:06 07:08:09"}) == datetime(2014, 5, 6, 7, 8, 9)


def test_offset_and_fraction_are_read() -> None:
    exif_tags: dict[int, object] = {0x9003: "2012:03:14 15:09:26", 0x9011: "-03:30", 0x9291: "05", 0x9012: "+01:00"}
    moment = read_taken_at(None, exif_tags)
    assert moment == datetime(2012, 3, 14, 15, 9, 26, 50_000, timezone(-timedelta(hours=3, minutes=30)))
    assert moment.utcoffset() == -timedelta(hours=3, minutes=30)


def test_date_without_offset_stays_naive() -> None:
    moment = read_taken_at(None, {0x9003: "2012:03:14 15:09:26"})
    assert moment is not None
    assert moment.tzinfo is None


@pytest.mark.parametrize("offset", ["Z", "+00:00", "+0000"])
def test_offsets_of_zero_are_utc(offset: str) -> None:
    assert read_taken_at(None, {0x9003: "2012:03:14 15:09:26", 0x9011: offset}) == datetime(
        2012, 3, 14, 15, 9, 26, 0, UTC
    )


@pytest.mark.parametrize("offset", ["", "   ", "local", "+99:99", "+24:00", "12"])
def test_invalid_offsets_are_ignored(offset: str) -> None:
    assert read_taken_at(None, {0x9003: "2012:03:14 15:09:26", 0x9011: offset}) == datetime(2012, 3, 14, 15, 9, 26)


@pytest.mark.parametrize(
    "broken", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2012:13:45 25:61:61", "yesterday", "", "2012"]
)
def test_invalid_dates_are_skipped(broken: str) -> None:
    expected = datetime(2014, 5, 6, 7, 8, 9)
    assert read_taken_at({0x0132: "2014:05:06 07:08:09"}, {0x9003: broken, 0x9004: broken}) == expected


@pytest.mark.parametrize(
    "date", ["2012-03-14 15:09:26", "2012-03-14T15:09:26", "2012/03/14 15:09:26", "2012:3:14 15:9:26"]
)
def test_other_date_formats_are_read(date: str) -> None:
    assert read_taken_at({0x0132: date}) == datetime(2012, 3, 14, 15, 9, 26)


def test_photos_without_a_date_have_the_files_date(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encode_pixels(SCENE, "PNG"))
    os.utime(path, (0, 1_000_000_000))
    assert read_photo(path).taken_at == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    assert not read_photo(path).camera_dated
    assert read_photo_bytes(path.read_bytes()).taken_at is None


def test_exif_dates_precede_file_dates(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encode_pixels(SCENE, "PNG", exif=exif_with({0x0132: "2014:05:06 07:08:09"})))
    assert read_photo(path).taken_at == datetime(2014, 5, 6, 7, 8, 9)
    assert read_photo(path).camera_dated


@pytest.mark.parametrize(
    "date",
    ["1970:01:01 00:00:00", "1980:01:01 12:00:00", "2000:01:01 23:59:59", "2999:01:01 00:00:00"],
)
def test_dates_of_unset_clocks_are_not_camera_dates(date: str) -> None:
    photo = read_photo_bytes(encode_pixels(SCENE, "PNG", exif=exif_with({0x0132: date})))
    assert photo.taken_at is not None
    assert not photo.camera_dated


WHOLE_EXIF = exif_with(
    {ORIENTATION: 6, 0x0132: "2020:01:02 03:04:05", 0x011A: 72.0, 0x0128: 2},
    {0x9003: "2012:03:14 15:09:26", 0x9011: "+02:00", 0x9291: "53"},
).tobytes()


@pytest.mark.parametrize("file_type", ["JPEG", "PNG", "WEBP"])
@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(6, len(WHOLE_EXIF) - 1), st.integers(0, 255)), max_size=16),
    length=st.integers(6, len(WHOLE_EXIF)),
)
def test_photos_with_broken_exif_are_read(file_type: str, changes: list[tuple[int, int]], length: int) -> None:
    exif = bytearray(WHOLE_EXIF)
    for position, value in changes:
        exif[position] = value
    photo = read_photo_bytes(encode_pixels(SCENE, file_type, exif=bytes(exif[:length])))
    assert sorted(photo.pixels.shape) == sorted(SCENE.shape)


def test_photos_whose_exif_breaks_pillow_are_read() -> None:
    # The resolution is stored as bytes instead of a fraction.
    exif = exif_with({0x011A: 72.0, 0x0128: 2}).tobytes().replace(b"\x01\x1a\0\5", b"\x01\x1a\0\7")
    data = encode_pixels(SCENE, "JPEG", exif=exif)
    with pytest.raises(UnidentifiedImageError):
        Image.open(BytesIO(data))
    assert read_photo_bytes(data).pixels.shape == SCENE.shape


@pytest.mark.parametrize("text", ["2012:05:06", "2012-05-06", "2012:05:06 00:00", "2012:05:06\0"])
def test_dates_without_a_time_are_read(text: str) -> None:
    assert read_taken_at({0x0132: text}) == datetime(2012, 5, 6)


@pytest.mark.parametrize("text", ["0012:05:06 10:00:00", "0001:01:01 00:00:00", "1839:12:31 10:00:00", "2012:05:061"])
def test_years_before_photography_are_ignored(text: str) -> None:
    assert read_taken_at({0x0132: text}) is None
    assert read_taken_at({0x0132: "2012:05:06 10:11:12"}, {0x9003: text}) == datetime(2012, 5, 6, 10, 11, 12)
