"""XMP is read from photos and from sidecars of either name, and written without loss."""

from __future__ import annotations

import os
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebank.album.tags.sidecars import has_unique_stem, sidecar_of
from facebank.album.tags.xmp_document import MAX_BYTES, XmpDocument
from facebank.album.tags.xmp_files import embed, read_photo_xmp, write_sidecar
from facebank.errors import PhotoNotFoundError, StorageError, XmpError
from facebank.media import PhotoFile, read_header, read_photo, read_photo_bytes, read_photo_file
from tests.demo_photos import COLLINS

from .xmp_samples import DIGIKAM, LIGHTROOM, PICASA, region_item, with_regions


@pytest.fixture
def photo_path(tmp_path: Path) -> Path:
    path = tmp_path / "collins.jpg"
    shutil.copy(COLLINS, path)
    return path


def make_document(name: str = "Ada") -> XmpDocument:
    document = XmpDocument.empty("made.xmp")
    document.add_region((0.1, 0.1, 0.2, 0.3), name, (512, 512))
    return document


def region_names(path: Path) -> list[str]:
    return [region.name for source in read_photo_xmp(path).sources for region in source.document.regions]


def test_both_names_of_sidecars_are_read_and_the_longer_takes_precedence(photo_path: Path) -> None:
    assert read_photo_xmp(photo_path).sources == ()
    photo_path.with_suffix(".xmp").write_text(LIGHTROOM, encoding="utf-8")
    assert [source.path.name for source in read_photo_xmp(photo_path).sources] == ["collins.xmp"]
    sidecar_of(photo_path).write_text(DIGIKAM, encoding="utf-8")
    assert [source.path.name for source in read_photo_xmp(photo_path).sources] == ["collins.jpg.xmp", "collins.xmp"]
    assert has_unique_stem(photo_path)
    photo_path.with_suffix(".CR2").touch()
    assert not has_unique_stem(photo_path)


def test_a_sidecar_is_written_atomically_and_keeps_its_permissions(photo_path: Path) -> None:
    sidecar = sidecar_of(photo_path)
    write_sidecar(sidecar, make_document())
    sidecar.chmod(0o640)
    with pytest.raises(StorageError, match="changed by another program"):
        write_sidecar(sidecar, make_document("Grace"), b"something else")
    write_sidecar(sidecar, make_document("Grace"), sidecar.read_bytes())
    assert region_names(photo_path) == ["Grace"]
    assert sidecar.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in photo_path.parent.iterdir()) == ["collins.jpg", "collins.jpg.xmp"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_embedding_keeps_the_picture_times_and_permissions(photo_path: Path, suffix: str) -> None:
    target = photo_path.with_name(f"copy{suffix}")
    with Image.open(photo_path) as image:
        image.save(target)
    target.chmod(0o640)
    os.utime(target, ns=(10**18, 10**18 + 5))
    before = read_photo(target)
    data = embed(read_photo_xmp(target), make_document())
    after = read_photo(target)
    assert target.read_bytes() == data
    assert region_names(target) == ["Ada"]
    assert np.array_equal(before.pixels, after.pixels)
    assert before.taken_at == after.taken_at
    assert target.stat().st_mtime_ns == 10**18 + 5
    assert target.stat().st_mode & 0o777 == 0o640
    assert len(list(photo_path.parent.iterdir())) == 2


def test_an_orientation_in_xmp_only_is_preserved(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "turned.png"
    shutil.copy(shared / "data" / "odd" / "xmp_tags_orientation.png", path)
    path.chmod(0o644)
    before, xmp = read_photo(path), read_photo_xmp(path)
    assert xmp.embedded is not None
    assert xmp.header.orientation != 1
    xmp.embedded.document.add_region((0.1, 0.1, 0.2, 0.3), "Ada", (10, 10))
    embed(xmp, xmp.embedded.document)
    assert np.array_equal(read_photo(path).pixels, before.pixels)
    assert region_names(path) == ["Ada"]


def test_a_photo_is_left_alone_if_xmp_cannot_be_embedded_safely(photo_path: Path) -> None:
    xmp, data = read_photo_xmp(photo_path), photo_path.read_bytes()
    other = photo_path.with_name("other.jpg")
    other.hardlink_to(photo_path)
    with pytest.raises(XmpError, match="linked to other names"):
        embed(xmp, make_document())
    other.unlink()
    photo_path.write_bytes(data + b"more")
    with pytest.raises(StorageError, match="changed by another program"):
        embed(xmp, make_document())
    assert photo_path.read_bytes() == data + b"more"
    assert [path.name for path in photo_path.parent.iterdir()] == ["collins.jpg"]


def test_a_link_to_a_photo_stays_a_link(photo_path: Path) -> None:
    link = photo_path.with_name("link.jpg")
    link.symlink_to(photo_path)
    embed(read_photo_xmp(link), make_document())
    assert link.is_symlink()
    assert region_names(photo_path) == ["Ada"]


def test_only_the_first_part_of_a_jpeg_is_read(photo_path: Path) -> None:
    data = embed(read_photo_xmp(photo_path), make_document())
    photo_path.write_bytes(data + b"\0" * 2_000_000)
    xmp = read_photo_xmp(photo_path, to_change=False)
    assert len(xmp.file.data) < 1_000_000
    assert [region.name for source in xmp.sources for region in source.document.regions] == ["Ada"]
    photo_path.write_bytes(data[:2] + b"".join(b"\xff\xec\xea\x60" + b"\0" * 59_998 for _ in range(9)) + data[2:])
    assert len(read_photo_xmp(photo_path, to_change=False).file.data) == photo_path.stat().st_size
    assert region_names(photo_path) == ["Ada"]


def test_xmp_is_not_embedded_in_a_tiff(photo_path: Path) -> None:
    path = photo_path.with_suffix(".tif")
    with Image.open(photo_path) as image:
        image.save(path)
    with pytest.raises(XmpError, match=r"TIFF.*sidecar"):
        embed(read_photo_xmp(path), make_document())


def test_xmp_in_other_formats_is_read(photo_path: Path) -> None:
    path = photo_path.with_suffix(".tif")
    with Image.open(photo_path) as image:
        image.save(path, tiffinfo={700: PICASA.encode()})
    assert region_names(path) == ["Ada & Söhne"]


@pytest.mark.parametrize("name", ["folder.jpg", "huge.jpg", "broken.jpg"])
def test_errors_name_the_sidecar(photo_path: Path, name: str) -> None:
    path = photo_path.with_name(name)
    photo_path.rename(path)
    if name == "folder.jpg":
        sidecar_of(path).mkdir()
    elif name == "huge.jpg":
        sidecar_of(path).write_bytes(b" " * (MAX_BYTES + 1))
    elif name == "broken.jpg":
        sidecar_of(path).write_text("<x")
    with pytest.raises(XmpError, match=r"\.jpg\.xmp") as caught:
        read_photo_xmp(path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may do everything")
def test_an_unwritable_folder_is_an_error(photo_path: Path) -> None:
    xmp = read_photo_xmp(photo_path)
    photo_path.parent.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            write_sidecar(sidecar_of(photo_path), make_document())
        with pytest.raises(StorageError, match="Permission denied"):
            embed(xmp, make_document())
    finally:
        photo_path.parent.chmod(0o700)


def test_a_missing_folder_is_an_error(photo_path: Path) -> None:
    xmp = read_photo_xmp(photo_path)
    shutil.rmtree(photo_path.parent)
    with pytest.raises(StorageError, match="cannot be written"):
        write_sidecar(sidecar_of(photo_path), make_document())
    with pytest.raises(StorageError, match="cannot be written"):
        embed(xmp, make_document())
    with pytest.raises(PhotoNotFoundError):
        read_photo_xmp(photo_path)


def test_a_photo_can_have_many_regions(photo_path: Path) -> None:
    faces = "".join(region_item(f"Person {number}", (0.1, 0.1, 0.2, 0.2)) for number in range(900))
    sidecar_of(photo_path).write_bytes(with_regions(faces))
    assert len(region_names(photo_path)) == 900


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WebP", "TIFF"])
def test_a_header_has_the_size_and_orientation_of_the_photo(image_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    Image.new("RGB", (40, 30)).save(file, image_format, exif=exif.tobytes())
    header = read_header(PhotoFile("a", file.getvalue(), None))
    decoded = read_photo_bytes(file.getvalue())
    assert (header.format_name, header.width, header.height) == (image_format, decoded.width, decoded.height)
    assert header.orientation == orientation


@pytest.mark.parametrize("name", ["phone.heic", "hopper.avif", "hopper_orientation_6.jpg", "hopper.gif"])
def test_a_real_header_has_the_size_of_the_photo(shared: Path, name: str) -> None:
    path = shared / "data" / "odd" / name
    header, decoded = read_header(read_photo_file(path)), read_photo(path)
    assert (header.width, header.height) == (decoded.width, decoded.height)


def test_a_new_sidecar_is_as_private_as_its_photo(photo_path: Path) -> None:
    photo_path.chmod(0o600)
    write_sidecar(sidecar_of(photo_path), make_document())
    assert sidecar_of(photo_path).stat().st_mode & 0o777 == 0o600


def test_a_read_only_photo_is_not_written(photo_path: Path) -> None:
    photo_path.chmod(0o444)
    with pytest.raises(XmpError, match="may not be written"):
        embed(read_photo_xmp(photo_path), make_document())


def test_a_linked_sidecar_is_followed_and_a_shared_one_refused(photo_path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.xmp"
    write_sidecar(sidecar_of(photo_path), make_document())
    sidecar_of(photo_path).rename(elsewhere)
    sidecar_of(photo_path).symlink_to(elsewhere)
    write_sidecar(sidecar_of(photo_path), make_document("Grace"), elsewhere.read_bytes())
    assert sidecar_of(photo_path).is_symlink()
    assert region_names(photo_path) == ["Grace"]
    (tmp_path / "other name.xmp").hardlink_to(elsewhere)
    with pytest.raises(XmpError, match="linked to other names"):
        write_sidecar(sidecar_of(photo_path), make_document(), elsewhere.read_bytes())


def test_a_photo_with_a_name_too_long_for_a_sidecar_has_none(photo_path: Path) -> None:
    renamed = photo_path.rename(photo_path.with_name(f"{'n' * 251}.jpg"))
    xmp = read_photo_xmp(renamed)
    assert xmp.sources == ()
    embed(xmp, make_document())
    assert region_names(renamed) == ["Ada"]
    with pytest.raises(StorageError, match="too long"):
        write_sidecar(sidecar_of(renamed), make_document())
