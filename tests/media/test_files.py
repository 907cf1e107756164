"""Files that are read as photos, and limits on them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from facebank.errors import PhotoNotFoundError, PhotoTooLargeError, UnreadablePhotoError, UsageError
from facebank.media import PhotoLimits, read_photo, read_photo_bytes
from tests.conftest import PROJECT
from tests.encoded_pictures import encode, png_chunk, png_header

PIXELS = np.random.default_rng(5).integers(0, 256, (30, 40, 3), np.uint8)


@pytest.fixture
def photo_path(tmp_path: Path) -> Path:
    path = tmp_path / "party.png"
    Image.fromarray(PIXELS).save(path)
    return path


def test_photos_have_their_path_and_hash(photo_path: Path) -> None:
    photo = read_photo(photo_path)
    assert photo.path == str(photo_path)
    assert photo.content_hash == hashlib.sha256(photo_path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(photo.pixels, PIXELS)


def test_a_path_can_be_a_string_and_is_not_changed(photo_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo_path.parent)
    assert read_photo("./party.png").path == "./party.png"


def test_links_to_photos_are_read(photo_path: Path) -> None:
    link = photo_path.with_name("link.png")
    link.symlink_to(photo_path)
    assert read_photo(link).width == 40


@pytest.mark.parametrize("name", ["absent.jpg", "party.png/inside.jpg", "nul\0l.jpg"])
def test_a_missing_file_raises(photo_path: Path, name: str) -> None:
    with pytest.raises(PhotoNotFoundError, match=r"there is no photo .*; check the path"):
        read_photo(photo_path.parent / name)


def test_a_broken_link_raises(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(tmp_path / "absent.jpg")
    with pytest.raises(PhotoNotFoundError):
        read_photo(tmp_path / "link.jpg")


@pytest.mark.parametrize("name", ["loop.jpg", "x" * 300 + ".jpg"])
def test_circular_links_and_too_long_names_are_unreadable(tmp_path: Path, name: str) -> None:
    if name == "loop.jpg":
        (tmp_path / name).symlink_to(tmp_path / name)
    with pytest.raises(UnreadablePhotoError, match=r"cannot be read: "):
        read_photo(tmp_path / name)


def test_folders_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"is a folder, not a photo$"):
        read_photo(tmp_path)


def test_pipes_are_rejected_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadablePhotoError, match=r"is a named pipe, not a photo$"):
        read_photo(tmp_path / "pipe.jpg")


def test_sockets_and_devices_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        with pytest.raises(UnreadablePhotoError, match=r"is a socket, not a photo$"):
            read_photo("socket.jpg")
    with pytest.raises(UnreadablePhotoError, match=r"^/dev/zero is a device, not a photo$"):
        read_photo("/dev/zero")


def test_files_without_permission_are_unreadable(photo_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    photo_path.chmod(0)
    with pytest.raises(UnreadablePhotoError, match=r"cannot be read: Permission denied"):
        read_photo(photo_path)


def test_empty_files_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(UnreadablePhotoError, match=r"is empty: use another copy$"):
        read_photo(tmp_path / "empty.jpg")


def test_names_in_messages_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\n\u202egpj.jpg"
    path.write_bytes(b"text")
    with pytest.raises(UnreadablePhotoError) as caught:
        read_photo(path)
    assert r"a\x1b[31m\n\u202egpj.jpg is not a photo" in str(caught.value)
    assert str(caught.value).isprintable()


def test_undecodable_names_are_read(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Image.fromarray(PIXELS).save(path)
    assert read_photo(path).width == 40


def test_limit_on_bytes_is_checked_before_opening(photo_path: Path) -> None:
    size = photo_path.stat().st_size
    assert read_photo(photo_path, PhotoLimits(max_bytes=size)).width == 40
    with pytest.raises(PhotoTooLargeError, match=f"party.png has {size:,} bytes, the limit is {size - 1:,}"):
        read_photo(photo_path, PhotoLimits(max_bytes=size - 1))


def test_huge_sparse_files_are_rejected_by_size(tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PhotoTooLargeError, match=r"1,099,511,627,776 bytes"):
        read_photo(tmp_path / "huge.jpg")


def test_limit_on_bytes_applies_to_data_in_memory() -> None:
    with pytest.raises(PhotoTooLargeError, match=r"^<bytes> has 11 bytes, the limit is 10"):
        read_photo_bytes(bytes(11), limits=PhotoLimits(max_bytes=10))


def test_limit_on_bytes_of_avif_is_a_twentieth() -> None:
    data = encode(Image.fromarray(PIXELS), "AVIF")
    size = len(data)
    assert read_photo_bytes(data, limits=PhotoLimits(max_bytes=size * 20)).width == 40
    with pytest.raises(PhotoTooLargeError, match=f"has {size:,} bytes, the limit is {size - 1:,}"):
        read_photo_bytes(data, limits=PhotoLimits(max_bytes=size * 20 - 1))


@pytest.mark.parametrize(
    ("file_type", "options", "pixels"),
    [
        ("JPEG", {}, 1200),
        ("PNG", {}, 1200),
        ("GIF", {}, 1200),
        ("BMP", {}, 1200),
        ("PPM", {}, 1200),
        # The limit is lower for formats that need more memory per pixel.
        ("JPEG", {"progressive": True}, 1800),
        ("WEBP", {}, 1800),
        ("TIFF", {}, 1800),
        ("AVIF", {}, 1800),
    ],
)
def test_limit_on_pixels_is_exact_in_every_format(file_type: str, options: dict[str, Any], pixels: int) -> None:
    data = encode(Image.fromarray(PIXELS), file_type, **options)
    assert read_photo_bytes(data, limits=PhotoLimits(max_pixels=pixels)).width == 40
    with pytest.raises(PhotoTooLargeError, match=r"40 x 30 pixels, the limit is 1,199; use a smaller copy"):
        read_photo_bytes(data, limits=PhotoLimits(max_pixels=pixels - 1))


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"icc_profile": b"x" * 10}])
def test_webp_is_measured_before_pillow_allocates_its_canvas(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(Image.new("RGB", (1000, 700)), "WEBP", **options)
    monkeypatch.setitem(sys.modules, "PIL.WebPImagePlugin", None)
    with pytest.raises(PhotoTooLargeError, match=r"1,000 x 700 pixels"):
        read_photo_bytes(data, limits=PhotoLimits(max_pixels=1_049_999))


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_pixels": -1}])
def test_limits_must_be_positive(limits: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"1 or more"):
        PhotoLimits(**limits)


READ_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import cv2, numpy
from PIL import PngImagePlugin
from facebank.errors import PhotoTooLargeError
from facebank.media import read_photo
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20,) * 2)
try:
    read_photo(sys.argv[1])
except PhotoTooLargeError as error:
    print(error)
"""

MEASURE_MEMORY = """
import json, os, resource, sys
from importlib import import_module
from pathlib import Path
from facebank.media import read_photo_bytes
from facebank.media.formats import FORMATS
import cv2, numpy
from PIL import Image
for module in {photo_format.module for photo_format in FORMATS} - {"pillow_heif"}:
    import_module(module)
for path in map(Path, sys.argv[1:]):
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        continue
    data = path.read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    photo = read_photo_bytes(data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([path.name, (peak - before) * 1024 / photo.width / photo.height]), flush=True)
    os._exit(0)
"""

MEMORY_FILES: dict[str, tuple[str, str, dict[str, Any], float]] = {
    "jpeg": ("RGB", "JPEG", {}, 1.0),
    "progressive": ("RGB", "JPEG", {"progressive": True, "subsampling": "4:4:4"}, 1.5),
    "progressive-cmyk": ("CMYK", "JPEG", {"progressive": True}, 1.5),
    "png": ("RGBA", "PNG", {"compress_level": 1}, 1.0),
    "bmp": ("RGB", "BMP", {}, 1.0),
    "ppm": ("RGB", "PPM", {}, 1.0),
    "tiff-of-one-strip": ("RGBA", "TIFF", {"compression": "tiff_lzw", "strip_size": 1 << 30}, 1.5),
    "webp": ("RGB", "WEBP", {"method": 0}, 1.5),
    "lossless-webp": ("RGB", "WEBP", {"lossless": True, "method": 0, "quality": 0}, 1.5),
    "avif": ("RGBA", "AVIF", {"speed": 10, "subsampling": "4:4:4"}, 1.5),
}
"""By name: mode, format and options for Pillow, and the factor that divides the limit on pixels."""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_the_largest_photos_need_less_than_1500_megabytes(tmp_path: Path) -> None:
    width, height = 2400, 1600
    smooth = np.add.outer(np.arange(height), np.arange(width))[..., np.newaxis] // np.array([9, 11, 13])
    image = Image.fromarray((smooth % 256).astype(np.uint8))
    for name, (mode, file_type, options, _) in MEMORY_FILES.items():
        image.convert(mode).save(tmp_path / name, file_type, **options)
    process = subprocess.run(
        [sys.executable, "-c", MEASURE_MEMORY, *(str(tmp_path / name) for name in MEMORY_FILES)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=PROJECT,
    )
    assert process.stderr == ""
    bytes_per_pixel = dict(json.loads(line) for line in process.stdout.splitlines())
    assert bytes_per_pixel.keys() == MEMORY_FILES.keys()
    for name, (*_, divisor) in MEMORY_FILES.items():
        assert 4 < bytes_per_pixel[name] < 1.5e9 / (PhotoLimits().max_pixels / divisor), name


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_200_megapixel_png_is_refused_without_allocating(tmp_path: Path) -> None:
    compressor = zlib.compressobj(1)
    rows = b"".join(compressor.compress(bytes(1 + 20_000 * 3)) for _ in range(10_000)) + compressor.flush()
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(20_000, 10_000) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b""))
    assert path.stat().st_size < 4_000_000
    process = subprocess.run(
        [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=PROJECT,
    )
    assert process.stdout == (f"{path} has 20,000 x 10,000 pixels, the limit is 120,000,000; use a smaller copy\n")
    assert process.stderr == ""


def test_large_photos_cause_no_pillow_warning() -> None:
    # Pillow warns above 89 megapixels, below the limit of facebank.
    rows = zlib.compress(bytes((1 + 1250) * 9500), 1)
    data = png_header(10_000, 9_500, bits=1, color_type=0) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photo = read_photo_bytes(data)
    assert (photo.width, photo.height) == (10_000, 9_500)
    assert caught == []


def corrupt_exif_jpeg() -> bytes:
    """Return a JPEG that makes Pillow warn when it is opened."""
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x0128] = 1, 72.0, 2
    return encode(Image.fromarray(PIXELS), "JPEG", exif=exif.tobytes()[:-9])


def test_pillows_warnings_do_not_leak() -> None:
    data = corrupt_exif_jpeg()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(BytesIO(data)).getexif()
        assert caught, "Pillow no longer warns of this file"
        caught.clear()
        read_photo_bytes(data)
    assert caught == []


def test_other_warnings_are_shown_while_photos_are_read() -> None:
    data = corrupt_exif_jpeg()
    stop = threading.Event()

    def read_repeatedly() -> None:
        while not stop.is_set():
            read_photo_bytes(data)

    reader = threading.Thread(target=read_repeatedly)
    reader.start()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(200):
                warnings.warn("mine", UserWarning, stacklevel=1)
    finally:
        stop.set()
        reader.join()
    assert sum(str(warning.message) == "mine" for warning in caught) == 200


def test_reading_in_threads_does_not_change_the_warning_filters() -> None:
    data = corrupt_exif_jpeg()
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [read_photo_bytes(data) for _ in range(150)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
    assert list(warnings.filters) == before


def test_pillow_settings_are_not_changed(photo_path: Path) -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, sorted(Image.OPEN))
    read_photo(photo_path)
    with pytest.raises(UnreadablePhotoError):
        read_photo_bytes(photo_path.read_bytes()[:-500])
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, sorted(Image.OPEN)) == before
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_importing_the_package_loads_no_decoder() -> None:
    code = "import sys, facebank.media; print(sorted({'PIL', 'cv2', 'pillow_heif'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert process.stdout == "[]\n"
