"""Photos annotated with boxes and names."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from facebank.errors import PhotoTooLargeError, StorageError, UsageError
from facebank.media import Mark, annotate_photo, is_annotated
from facebank.media import labels as labels_module
from facebank.media.labels import LabelPainter
from facebank.types import Decision, DecodedPhoto
from tests.conftest import PROJECT

GREEN, ORANGE, GRAY = (0, 158, 115), (230, 159, 0), (128, 138, 150)
BACKGROUND = (90, 60, 200)


def blank_photo(width: int = 640, height: int = 480) -> DecodedPhoto:
    pixels = np.full((height, width, 3), BACKGROUND, np.uint8)
    return DecodedPhoto("photo", pixels, "0" * 64, has_orientation=False, taken_at=None)


def make_mark(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    label: str = "",
    decision: Decision = Decision.KNOWN,
    *,
    has_landmarks: bool = False,
) -> Mark:
    landmarks = np.array(
        [[x1 + 20, y1 + 20], [x2 - 20, y1 + 20], [x1 + 40, y1 + 40], [x1 + 20, y2 - 20], [x2, y2 - 20]]
    )
    return Mark(
        np.array([x1, y1, x2, y2], np.float32), landmarks.astype(np.float32) if has_landmarks else None, label, decision
    )


def annotate(photo: DecodedPhoto, *marks: Mark, folder: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    annotate_photo(photo, marks, folder / "annotated.png")
    with Image.open(folder / "annotated.png") as image:
        return np.asarray(image.convert("RGB"))


def color_mask(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], color: tuple[int, int, int]
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (pixels == color).all(axis=2)
    return mask


@pytest.mark.parametrize(
    ("decision", "color"), [(Decision.KNOWN, GREEN), (Decision.UNCERTAIN, ORANGE), (Decision.UNKNOWN, GRAY)]
)
def test_frames_have_the_color_of_the_decision(decision: Decision, color: tuple[int, int, int], tmp_path: Path) -> None:
    pixels = annotate(blank_photo(), make_mark(200, 150, 320, 300, decision=decision), folder=tmp_path)
    mask = color_mask(pixels, color)
    for y, x in ((150, 260), (300, 260), (225, 200), (225, 320)):
        assert mask[y, x]
    rows, columns = np.nonzero((pixels != BACKGROUND).any(axis=2))
    assert (rows.min(), rows.max()) == pytest.approx((150, 300), abs=4)
    assert (columns.min(), columns.max()) == pytest.approx((200, 320), abs=4)
    assert (pixels[170:280, 220:300] == BACKGROUND).all()  # the face itself


def test_the_photo_is_not_modified(tmp_path: Path) -> None:
    photo = blank_photo()
    annotate(photo, make_mark(200, 150, 320, 300, "Ada"), folder=tmp_path)
    assert (photo.pixels == BACKGROUND).all()


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png"])
def test_annotated_pictures_are_recognized(tmp_path: Path, suffix: str) -> None:
    annotated_path, other, absent = (tmp_path / f"{name}{suffix}" for name in ("annotated", "other", "absent"))
    annotate_photo(blank_photo(), [make_mark(200, 150, 320, 300, "Ada")], annotated_path)
    Image.fromarray(blank_photo().pixels).save(other)
    os.mkfifo(tmp_path / "pipe")
    assert is_annotated(annotated_path)
    assert not any(is_annotated(path) for path in (other, absent, tmp_path / "pipe", tmp_path))


def test_landmarks_are_drawn_as_dots(tmp_path: Path) -> None:
    undotted = annotate(blank_photo(), make_mark(200, 150, 320, 300), folder=tmp_path)
    dotted = annotate(blank_photo(), make_mark(200, 150, 320, 300, has_landmarks=True), folder=tmp_path)
    for x, y in ((220, 170), (300, 170), (240, 190), (220, 280)):
        assert (dotted[y, x] == 255).all()
        assert (undotted[y, x] == BACKGROUND).all()


def label_area(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], color: tuple[int, int, int]) -> tuple[int, ...]:
    """Return top, bottom, left and right of the largest area filled with a color."""
    rows = np.nonzero(color_mask(pixels, color).sum(axis=1) > 70)[0]
    columns = np.nonzero(color_mask(pixels[rows], color).sum(axis=0) > 3)[0]
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_labels_are_above_their_box(tmp_path: Path) -> None:
    pixels = annotate(blank_photo(), make_mark(300, 200, 330, 230, "Grace Hopper"), folder=tmp_path)
    top, _, left, right = label_area(pixels, GREEN)
    assert 160 < top < 190
    assert (left + right) / 2 == pytest.approx(315, abs=3)
    assert (pixels == 255).all(axis=2).sum() > 50  # white letters


@pytest.mark.parametrize(
    "corner", [(0, 0, 60, 60), (580, 0, 640, 60), (0, 420, 60, 480), (580, 420, 640, 480), (-50, -50, 700, 500)]
)
def test_labels_are_complete_at_every_edge(corner: tuple[int, int, int, int], tmp_path: Path) -> None:
    label = np.asarray(LabelPainter(11).paint("Grace Brewster Hopper", GREEN, 640))
    pixels = annotate(blank_photo(), make_mark(*corner, "Grace Brewster Hopper"), folder=tmp_path)
    label_letters = (label[..., 3] == 255) & (label[..., :3] == 255).all(axis=2)
    letters = (pixels == 255).all(axis=2)
    assert letters.sum() >= label_letters.sum() > 30
    rows = np.nonzero(letters)[0]
    assert corner[1] - 25 <= rows.min() <= rows.max() <= corner[3] + 25


def test_labels_do_not_overlap(tmp_path: Path) -> None:
    first = make_mark(200, 200, 260, 260, "Grace Hopper of the Navy")
    second = make_mark(265, 200, 325, 260, "Ada Lovelace of London", Decision.UNCERTAIN)
    pixels = annotate(blank_photo(), first, second, folder=tmp_path)
    top, bottom, *_ = label_area(pixels, GREEN)
    other_top, other_bottom, *_ = label_area(pixels, ORANGE)
    assert bottom < other_top or other_bottom < top


def test_lines_and_text_scale_with_the_photo(tmp_path: Path) -> None:
    small = annotate(blank_photo(320, 240), make_mark(80, 100, 160, 180, "Ada"), folder=tmp_path)
    large = annotate(blank_photo(1600, 1200), make_mark(400, 500, 800, 900, "Ada"), folder=tmp_path)
    assert color_mask(small, GREEN)[140, 60:100].sum() >= 1
    assert color_mask(large, GREEN)[700, 350:450].sum() >= 3
    assert color_mask(large, GREEN).sum() > 8 * color_mask(small, GREEN).sum()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (20, 20)])
def test_tiny_photos_can_be_annotated(size: tuple[int, int], tmp_path: Path) -> None:
    pixels = annotate(
        blank_photo(*size), make_mark(0, 0, *size, "A rather long name", has_landmarks=True), folder=tmp_path
    )
    assert pixels.shape == (size[1], size[0], 3)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(width=32), min_size=14, max_size=14),
    label=st.text(st.characters(), max_size=40),
    decision=st.sampled_from(Decision),
)
def test_any_mark_can_be_drawn(
    values: list[float], label: str, decision: Decision, tmp_path_factory: pytest.TempPathFactory
) -> None:
    coordinates = np.array(values, np.float32)
    any_mark = Mark(coordinates[:4], coordinates[4:].reshape(5, 2), label, decision)
    annotate_photo(blank_photo(160, 120), [any_mark], tmp_path_factory.getbasetemp() / "any.jpg")


@pytest.mark.parametrize("name", ["Łukasz Żółć", "Дмитрий", "Ελένη", "محمد", "שלום"])
def test_scripts_supported_by_dejavu_are_drawn(name: str) -> None:
    try:
        ImageFont.truetype("DejaVuSans.ttf", 20)
    except OSError:
        pytest.skip("DejaVu Sans is not installed")
    painter = LabelPainter(20)
    font, text = painter._choose_font(name)
    assert text == name
    assert not labels_module._missing_letters(name, font)


def test_missing_letters_are_drawn_without_accents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "_SYSTEM_FONTS", ())
    _, text = LabelPainter(20)._choose_font("José Ångström 王")
    assert text == "Jose Angstrom 王"


@pytest.mark.parametrize("width", [30, 80, 200, 2000])
def test_long_labels_are_cut_to_the_width(width: int) -> None:
    label = LabelPainter(20).paint("Pablo Diego José Francisco de Paula Juan Nepomuceno " * 3, GREEN, width)
    assert label.width <= width
    if width < 2000:
        assert label.width >= width * 0.7


def test_control_characters_of_a_label_are_escaped() -> None:
    escaped, control = (np.asarray(LabelPainter(20).paint(text, GREEN, 999)) for text in ("a\\nb", "a\nb"))
    np.testing.assert_array_equal(escaped, control)


@pytest.mark.parametrize(("color", "letter_level"), [(GREEN, 255), (GRAY, 255), (ORANGE, 20)])
def test_letters_contrast_with_the_color_of_the_label(color: tuple[int, int, int], letter_level: int) -> None:
    label = np.asarray(LabelPainter(40).paint("III", color, 999))
    assert (label[..., :3] == letter_level).all(axis=2).sum() > 100


@pytest.mark.parametrize(("name", "file_type"), [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.png", "PNG")])
def test_the_suffix_determines_the_format(name: str, file_type: str, tmp_path: Path) -> None:
    annotate_photo(blank_photo(), [], tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert (image.format, image.size) == (file_type, (640, 480))
        assert not image.getexif()


@pytest.mark.parametrize("name", ["a.gif", "a", "a.txt"])
def test_other_suffixes_are_rejected(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name an annotated photo \.jpg or \.png"):
        annotate_photo(blank_photo(), [], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_existing_pictures_are_replaced_privately(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    (tmp_path / "reader").hardlink_to(target)
    annotate_photo(blank_photo(), [], target)
    assert (tmp_path / "reader").read_bytes() == b"old"  # for a process that has the old picture open
    assert target.read_bytes().startswith(b"\x89PNG")
    assert target.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("FACEBANK_SHARE_FILES", "1")
    annotate_photo(blank_photo(), [], target)
    (tmp_path / "other").touch()
    assert target.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "other", "reader"]


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"a\.png cannot be written: No such file or directory"):
        annotate_photo(blank_photo(), [], tmp_path / "absent" / "a.png")


@pytest.mark.parametrize("size", [(65_501, 2), (2, 65_501)])
def test_photos_too_large_for_jpeg_are_rejected_silently(
    size: tuple[int, int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        PhotoTooLargeError, match=r"^photo has .* pixels, more than the 65,500 a side of a JPEG; save the copy as PNG$"
    ):
        annotate_photo(blank_photo(*size), [], tmp_path / "a.jpg")
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    annotate_photo(blank_photo(*size), [], tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == size


def test_the_largest_jpeg_is_written(tmp_path: Path) -> None:
    annotate_photo(blank_photo(65_500, 2), [], tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.size == (65_500, 2)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from facebank.errors import StorageError
from facebank.types import DecodedPhoto
from facebank.media import annotate_photo
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    annotate_photo(DecodedPhoto("x", noise, "", False, None), [], Path(sys.argv[1]))
except StorageError as error:
    print(error)
"""


def test_a_full_disk_keeps_the_existing_picture(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    completed = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(target)],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    assert completed.stdout == f"{target} cannot be written: {os.strerror(errno.EFBIG)}\n"
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 50_000
