"""Unusual real files are read like by Pillow or refused with a reason, within 5 seconds and 1 GB."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from facebank.media import read_photo
from tests.conftest import PROJECT

if TYPE_CHECKING:
    from numpy.typing import NDArray

READ = "read"
HEIC = READ if find_spec("pillow_heif") else "UnsupportedPhotoError"
FILES = {
    "12in16bit.tif": READ,
    "16bit.cropped.tif": READ,
    "broken_data_stream.png": "UnreadablePhotoError",
    "crash-2020-10-test.tif": "UnreadablePhotoError",
    "crash-338516dbd2f0e83caddb8ce256c22db3bd6dc40f.tif": "UnreadablePhotoError",
    "decompression_bomb.gif": "PhotoTooLargeError",
    "decompression_bomb.ico": "UnsupportedPhotoError",
    "empty.jpg": "UnreadablePhotoError",
    "exif-dpi-zerodivision.jpg": READ,
    "exif_imagemagick_orientation.png": READ,
    "exif_typeerror.jpg": READ,
    "frozenpond.mpo": READ,
    "hopper.avif": READ,
    "hopper.bmp": READ,
    "hopper.gif": READ,
    "hopper.ico": "UnsupportedPhotoError",
    "hopper.jpg": READ,
    "hopper.png": READ,
    "hopper.ppm": READ,
    "hopper.psd": "UnsupportedPhotoError",
    "hopper.tif": READ,
    "hopper.webp": READ,
    "hopper_16bit.pgm": READ,
    "hopper_16bit_qtables.jpg": READ,
    "hopper_bad_exif.jpg": READ,
    **{f"hopper_orientation_{number}.jpg": READ for number in range(2, 9)},
    "hopper_orientation_6.webp": READ,
    "hopper_unexpected.ico": "UnsupportedPhotoError",
    "invalid-exif.jpg": READ,
    "iss634.webp": READ,
    "phone.heic": HEIC,
    "pil_sample_cmyk.jpg": READ,
    "sugarshack_bad_mpo_header.jpg": READ,
    "text.jpg": "UnreadablePhotoError",
    "tiff_16bit_RGB.tiff": READ,
    "tiff_strip_cmyk_jpeg.tif": READ,
    "timeout-52d106579505547091ef69b58341351a37c23e31.dds": "UnsupportedPhotoError",
    "transparent.webp": READ,
    "truncated_app14.jpg": READ,
    "truncated_end_chunk.png": "UnreadablePhotoError",
    "truncated_image.png": "UnreadablePhotoError",
    "truncated_jpeg.jpg": "UnreadablePhotoError",
    "xmp_tags_orientation.png": READ,
}

READ_ALL = """
import json, re, sys, time
from facebank.errors import PhotoError
from facebank.media import read_photo
for path in sys.argv[1:]:
    start = time.perf_counter()
    try:
        read_photo(path)
        outcome, message = "read", ""
    except PhotoError as error:
        outcome, message = type(error).__name__, str(error)
    seconds = time.perf_counter() - start
    # ru_maxrss would include the peak of the parent process.
    with open("/proc/self/status") as status:
        memory = int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1]) * 1024
    print(json.dumps([path, outcome, message, seconds, memory]), flush=True)
"""


@pytest.fixture(scope="module")
def odd_folder(shared: Path) -> Path:
    return shared / "data" / "odd"


@pytest.fixture(scope="module")
def outcomes(odd_folder: Path) -> dict[str, tuple[str, str, float, int]]:
    """The outcome for each file, read in a separate process because a decoder can crash."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ_ALL, *map(str, sorted(odd_folder.iterdir()))],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=PROJECT,
    )
    assert process.stderr == ""
    lines = (json.loads(line) for line in process.stdout.splitlines())
    return {Path(path).name: (outcome, message, seconds, memory) for path, outcome, message, seconds, memory in lines}


def test_the_list_is_complete(odd_folder: Path) -> None:
    assert sorted(path.name for path in odd_folder.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_or_rejected_within_bounds(name: str, outcomes: dict[str, tuple[str, str, float, int]]) -> None:
    assert name in outcomes, "reading this file or one before it crashed the process"
    outcome, message, seconds, memory = outcomes[name]
    assert outcome == FILES[name]
    assert (name in message) == (outcome != READ)
    assert seconds < 5
    assert memory < 10**9


@pytest.mark.parametrize("name", [name for name, outcome in FILES.items() if outcome == READ])
def test_pixels_equal_those_of_pillow(name: str, odd_folder: Path) -> None:
    pixels = read_photo(odd_folder / name).pixels
    np.testing.assert_array_equal(pixels, read_with_pillow(odd_folder / name))


def read_with_pillow(path: Path) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with path.open("rb") as file, open_image(path, file) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
    if image.mode in ("I;16", "I"):
        return np.repeat(np.rint(np.asarray(image) / 257).astype(np.uint8)[..., np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def open_image(path: Path, file: object) -> Image.Image:
    if path.suffix == ".heic":
        import pillow_heif

        heic: Image.Image = pillow_heif.HeifImageFile(file)  # type: ignore[no-untyped-call]
        return heic
    return Image.open(path)
