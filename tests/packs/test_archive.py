"""Malicious and damaged archives are refused."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import PackIntegrityError
from facebank.packs.install import ArchiveLimits, open_archive

if TYPE_CHECKING:
    from tests.packs.conftest import MakeZip


def write_archive(folder: Path, data: bytes) -> Path:
    path = folder / "pack.zip"
    path.write_bytes(data)
    return path


def test_an_entry_is_unpacked_unchanged(tmp_path: Path, make_zip: MakeZip) -> None:
    path = write_archive(tmp_path, make_zip({"folder/a.onnx": b"a" * 5000, "b.txt": b"b"}))
    target = io.BytesIO()
    with open_archive(path) as archive:
        assert archive.names == ["folder/a.onnx", "b.txt"]
        archive.unpack("folder/a.onnx", target)
    assert target.getvalue() == b"a" * 5000


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up.onnx", "a/../../up.onnx", "a\\..\\up.onnx", "C:/x.onnx", "a//b.onnx", "./a.onnx"]
)
def test_an_unsafe_path_is_an_error(tmp_path: Path, make_zip: MakeZip, name: str) -> None:
    path = write_archive(tmp_path, make_zip({"fine.onnx": b"x", name: b"x"}))
    with pytest.raises(PackIntegrityError, match="unsafe path"), open_archive(path):
        pass


@pytest.mark.parametrize("file_type", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_an_error(tmp_path: Path, file_type: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("d.onnx")
        entry.external_attr = (file_type | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with (
        pytest.raises(PackIntegrityError, match="link or device"),
        open_archive(write_archive(tmp_path, buffer.getvalue())),
    ):
        pass


@pytest.mark.parametrize(
    ("limits", "max_bytes", "message"),
    [
        (ArchiveLimits(), None, "100 times"),
        (ArchiveLimits(unpacked_bytes=1000), None, "too much"),
        (ArchiveLimits(), 1000, "too much"),
    ],
    ids=["ratio", "archive", "entry"],
)
def test_a_zip_bomb_is_an_error(
    tmp_path: Path, make_zip: MakeZip, limits: ArchiveLimits, max_bytes: int | None, message: str
) -> None:
    path = write_archive(tmp_path, make_zip({"d.onnx": bytes(50_000_000)}))
    target = io.BytesIO()
    with open_archive(path, limits) as archive, pytest.raises(PackIntegrityError, match=message):
        archive.unpack("d.onnx", target, max_bytes=max_bytes)
    assert target.getvalue() == b""


def test_the_size_limit_applies_to_all_entries_together(tmp_path: Path, make_zip: MakeZip) -> None:
    path = write_archive(tmp_path, make_zip({"a": bytes(600), "b": bytes(600)}))
    with open_archive(path, ArchiveLimits(unpacked_bytes=1000)) as archive:
        archive.unpack("a", io.BytesIO())
        with pytest.raises(PackIntegrityError, match="too much"):
            archive.unpack("b", io.BytesIO())


def test_an_entry_with_a_false_size_is_an_error(tmp_path: Path, make_zip: MakeZip) -> None:
    data = bytearray(make_zip({"d.onnx": bytes(range(256)) * 40}))
    directory = data.rindex(b"PK\1\2")
    for offset in (22, directory + 24):
        data[offset : offset + 4] = struct.pack("<L", 100)
    target = io.BytesIO()
    with (
        open_archive(write_archive(tmp_path, bytes(data))) as archive,
        pytest.raises(PackIntegrityError, match="complete"),
    ):
        archive.unpack("d.onnx", target)
    assert len(target.getvalue()) <= 100


def test_duplicate_names_are_an_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("d.onnx", b"1")
        archive.writestr("d.onnx", b"2")
    with pytest.raises(PackIntegrityError, match="twice"), open_archive(write_archive(tmp_path, buffer.getvalue())):
        pass


def test_an_encrypted_entry_is_an_error(tmp_path: Path, make_zip: MakeZip) -> None:
    data = bytearray(make_zip({"d.onnx": b"x"}))
    data[data.rindex(b"PK\1\2") + 8] |= 1
    with pytest.raises(PackIntegrityError, match="encrypted"), open_archive(write_archive(tmp_path, bytes(data))):
        pass


def test_an_unsupported_compression_is_an_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("d.onnx", b"x")
    with (
        pytest.raises(PackIntegrityError, match="unsupported compression"),
        open_archive(write_archive(tmp_path, buffer.getvalue())),
    ):
        pass


def test_too_many_entries_are_an_error(tmp_path: Path, make_zip: MakeZip) -> None:
    path = write_archive(tmp_path, make_zip({f"{number:064d}": b"" for number in range(11_000)}))
    with pytest.raises(PackIntegrityError, match="at once"), open_archive(path):
        pass


def test_a_missing_entry_is_an_error(tmp_path: Path, make_zip: MakeZip) -> None:
    path = write_archive(tmp_path, make_zip({"a": b"x"}))
    with open_archive(path) as archive, pytest.raises(PackIntegrityError, match=r"does not contain d\.onnx"):
        archive.unpack("d.onnx", io.BytesIO())


@given(st.data())
def test_damage_is_an_error_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d.onnx", b"detector " * 20)
        archive.writestr("e.onnx", b"embedder " * 20)
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = write_archive(tmp_path_factory.mktemp("zip"), bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    target = io.BytesIO()
    try:
        with open_archive(path) as archive:
            archive.unpack("d.onnx", target)
    except PackIntegrityError:
        return
    assert target.getvalue() == b"detector " * 20
