"""Invalid and forged exports are refused and import nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import ExchangeError, FacebankError, PackMismatchError
from facebank.gallery import Gallery, PackIdentity, export_gallery, import_gallery

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gallery.conftest import FaceFactory


def reseal(folder: Path, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> None:
    """Rewrite the manifest of an altered export with matching hashes, as an attacker would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in list(manifest["files"]):
        content = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def check_refused(gallery: Gallery, folder: Path, message: str | None = None) -> None:
    """Check that importing a folder is a one-line error and adds nothing."""
    with pytest.raises(ExchangeError, match=message) as caught:
        import_gallery(gallery, folder)
    assert str(caught.value).isprintable()
    assert gallery.people() == []


def test_exports_of_another_pack_are_rejected(
    gallery: Gallery, export_folder: Path, faces: FaceFactory, tmp_path: Path
) -> None:
    with (
        Gallery.open(tmp_path / "buffalo", faces.other_pack, create=True) as buffalo,
        pytest.raises(PackMismatchError, match=r"'opencv'.*'buffalo_l'.*re-embed"),
    ):
        import_gallery(buffalo, export_folder)


def test_other_folders_are_rejected(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "empty", tmp_path / "file"):
        check_refused(gallery, folder, r"manifest\.json is missing")


@pytest.mark.parametrize("name", ["manifest.json", "people.jsonl", "samples.jsonl", "vectors.npz", "thumbnails.npz"])
def test_missing_truncated_and_altered_files_are_rejected(
    other_gallery: Gallery, export_folder: Path, name: str
) -> None:
    original = (export_folder / name).read_bytes()
    altered = bytearray(original)
    altered[len(original) // 2] ^= 1
    for content in (original[:-1], original[: len(original) // 2], b"", bytes(altered), None):
        (export_folder / name).unlink(missing_ok=True)
        if content is not None:
            (export_folder / name).write_bytes(content)
        # The manifest has no checksum.
        if name != "manifest.json" or content not in {original[:-1], bytes(altered)}:
            check_refused(other_gallery, export_folder, name.replace(".", r"\."))


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_links_and_pipes_are_rejected(other_gallery: Gallery, export_folder: Path) -> None:
    for name in ("people.jsonl", "manifest.json"):
        (export_folder / name).rename(export_folder.parent / name)
        (export_folder / name).symlink_to(export_folder.parent / name)
        check_refused(other_gallery, export_folder, "not a regular file")
        (export_folder / name).unlink()
        os.mkfifo(export_folder / name)
        check_refused(other_gallery, export_folder, "not a regular file")


def set_value(*keys: str | int, value: object) -> Callable[[Any], None]:
    def change(record: Any) -> None:
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_value("format", value="zip"),
        set_value("version", value=2),
        set_value("pack", value=None),
        set_value("pack", "dimension", value=0.5),
        set_value("counts", "people", value=-1),
        set_value("counts", "people", value=2),
        set_value("counts", "people", value=10**9),
        set_value("counts", "samples", value=True),
        set_value("counts", "samples", value=6),
        set_value("counts", "samples", value=4),
        set_value("counts", "vectors", value=9),
        set_value("counts", "vectors", value=9_000_000),
        set_value("counts", "thumbnails", value=1),
        set_value("counts", "thumbnails", value=0),
        set_value("counts", "thumbnail_bytes", value=2**33),
        set_value("variants", value=["plain"]),
        set_value("variants", value=["../x", "b", "c"]),
        set_value("variants", value=["flip", "flip", "flip"]),
        set_value("files", value={}),
        set_value("files", "more.jsonl", value={"bytes": 0, "sha256": "ab" * 32}),
        set_value("files", "people.jsonl", value=7),
        set_value("files", "people.jsonl", "bytes", value=10**15),
        set_value("files", "people.jsonl", "sha256", value="x"),
    ],
)
def test_manifests_with_wrong_values_are_rejected(
    other_gallery: Gallery, export_folder: Path, change: Callable[[Any], None]
) -> None:
    reseal(export_folder, change)
    check_refused(other_gallery, export_folder)


@pytest.mark.parametrize("content", ["[]", "7", "{", '{"a": NaN}', "[" * 60_000, "\ud800", "1" * 50_000, " " * 70_000])
def test_unreadable_manifests_are_rejected(other_gallery: Gallery, export_folder: Path, content: str) -> None:
    (export_folder / "manifest.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    check_refused(other_gallery, export_folder)


@pytest.mark.parametrize(
    "change",
    [
        set_value("person", value="Somebody Else"),
        set_value("person", value=None),
        set_value("sample", value=77),
        set_value("sample", value=2),
        set_value("sample", value="1"),
        set_value("box", value=[1, 2, 3]),
        set_value("box", value=[1, 2, 3, "x"]),
        set_value("box", value=[1, 2, 3, 1e300]),
        set_value("box", value=[[1, 2], [3]]),
        set_value("landmarks", value={}),
        set_value("detection_score", value=None),
        set_value("quality", value=[]),
        set_value("source", value=7),
        set_value("source", value="x" * 40_000),
        set_value("source", value="x" * 80_000),
        set_value("content_hash", value="../.."),
        set_value("quarter_turns", value=4),
        set_value("quarter_turns", value=1.0),
        set_value("taken_at", value="yesterday"),
        set_value("enrolled_at", value=None),
        set_value("masked", value=1),
        set_value("camera_dated", value="yes"),
        lambda record: record.pop("quality"),
    ],
)
def test_invalid_samples_are_rejected(
    other_gallery: Gallery, export_folder: Path, change: Callable[[Any], None]
) -> None:
    lines = (export_folder / "samples.jsonl").read_text().splitlines()
    record = json.loads(lines[0])
    change(record)
    (export_folder / "samples.jsonl").write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")
    reseal(export_folder)
    check_refused(other_gallery, export_folder)


def replace_second_person(folder: Path, record: dict[str, object]) -> None:
    lines = (folder / "people.jsonl").read_text().splitlines()
    lines[1] = json.dumps(record)
    (folder / "people.jsonl").write_text("\n".join(lines) + "\n")
    reseal(folder)


@pytest.mark.parametrize("name", ["../../etc", "a\nb", "", "Ada", "ADA", "Zoe\u0308", 7, None])
def test_invalid_people_are_rejected(other_gallery: Gallery, export_folder: Path, name: object) -> None:
    replace_second_person(export_folder, {"name": name})
    with pytest.raises(ExchangeError) as caught:
        import_gallery(other_gallery, export_folder)
    assert not str(caught.value).endswith("..")
    assert other_gallery.people() == []


@pytest.mark.parametrize(
    "facts",
    [
        {"born": "yesterday"},
        {"born": "1985-13"},
        {"born": 1985},
        {"note": ""},
        {"note": "x" * 2001},
        {"note": ["x"]},
    ],
)
def test_invalid_facts_are_rejected(other_gallery: Gallery, export_folder: Path, facts: dict[str, object]) -> None:
    record = json.loads((export_folder / "people.jsonl").read_text().splitlines()[1])
    replace_second_person(export_folder, {**record, **facts})
    check_refused(other_gallery, export_folder)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object], **options: Any) -> None:
    """Rewrite an npz file with changed arrays."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    change(arrays)
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def scale(arrays: dict[str, Any], factor: float) -> None:
    arrays["matrix"] = (arrays["matrix"] * np.float32(factor)).astype(np.float32)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("variants"),
        lambda arrays: arrays.update(more=np.zeros(3)),
        lambda arrays: arrays.update(matrix=arrays["matrix"].astype(np.float64)),
        lambda arrays: arrays.update(matrix=arrays["matrix"].astype(object)),
        lambda arrays: arrays.update(sample_ids=arrays["sample_ids"].astype(object)),
        lambda arrays: arrays.update(matrix=np.asfortranarray(arrays["matrix"])),
        lambda arrays: arrays.update(matrix=arrays["matrix"][:-1]),
        lambda arrays: arrays.update(matrix=arrays["matrix"].reshape(-1)),
        lambda arrays: scale(arrays, 2),
        lambda arrays: scale(arrays, float("nan")),
        lambda arrays: arrays.update(sample_ids=arrays["sample_ids"] * 0),
        lambda arrays: arrays.update(sample_ids=arrays["sample_ids"] + 1),
        lambda arrays: arrays.update(variants=arrays["variants"] - 1),
        lambda arrays: arrays.update(variants=arrays["variants"] + 1),
    ],
)
def test_invalid_vectors_are_rejected(
    other_gallery: Gallery, export_folder: Path, change: Callable[[Any], object]
) -> None:
    rewrite(export_folder / "vectors.npz", change)
    reseal(export_folder)
    check_refused(other_gallery, export_folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.update(ends=arrays["ends"][::-1].copy()),
        lambda arrays: arrays.update(ends=arrays["ends"] - 1),
        lambda arrays: arrays.update(ends=arrays["ends"] * -1),
        lambda arrays: arrays.update(data=arrays["data"] * 0),
        lambda arrays: arrays.update(sample_ids=arrays["sample_ids"] * 0),
        lambda arrays: arrays.update(sample_ids=arrays["sample_ids"] + 50),
    ],
)
def test_invalid_thumbnails_are_rejected(
    other_gallery: Gallery, export_folder: Path, change: Callable[[Any], object]
) -> None:
    rewrite(export_folder / "thumbnails.npz", change)
    reseal(export_folder)
    check_refused(other_gallery, export_folder)


def test_compressed_arrays_are_refused(other_gallery: Gallery, export_folder: Path) -> None:
    rewrite(export_folder / "vectors.npz", lambda arrays: None, compression=zipfile.ZIP_DEFLATED)
    reseal(export_folder)
    check_refused(other_gallery, export_folder, "compressed")


def test_a_file_larger_than_its_arrays_is_refused(other_gallery: Gallery, export_folder: Path) -> None:
    with (export_folder / "vectors.npz").open("r+b") as stream:
        content = stream.read()
        stream.seek(0)
        stream.write(b"x" * 1_000_000 + content)  # a zip file may start at any offset
    reseal(export_folder)
    check_refused(other_gallery, export_folder, "larger")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_altered_exports_raise_typed_errors_only(random_faces: type[FaceFactory], data: st.DataObject) -> None:
    """The hashes match; only the readers of the files can detect the change."""
    faces = random_faces(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with Gallery.open(root / "a", faces.pack, create=True) as gallery:
            gallery.enroll_people([("Ada", faces.samples(2)), ("Bob", [replace(faces.sample(), thumbnail=None)])])
            export = export_gallery(gallery, root / "export").folder
            name = data.draw(st.sampled_from(sorted(path.name for path in export.iterdir())))
            content = bytearray((export / name).read_bytes())
            for _ in range(data.draw(st.integers(1, 10))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
            (export / name).write_bytes(content)
            with suppress(ValueError, KeyError, TypeError, AttributeError, OSError):  # an unreadable manifest is kept
                reseal(export)
            gallery.forget("Ada")
            revision = gallery.revision
            try:
                import_gallery(gallery, export)
            except FacebankError:
                assert gallery.revision == revision
                assert [person.name for person in gallery.people()] == ["Bob"]


def test_an_import_into_a_pack_of_the_same_name_compares_digests(export_folder: Path, tmp_path: Path) -> None:
    namesake = PackIdentity("opencv", "ef" * 32, 16)
    with (
        Gallery.open(tmp_path / "namesake", namesake, create=True) as gallery,
        pytest.raises(PackMismatchError, match=r"abababab.*efefefef"),
    ):
        import_gallery(gallery, export_folder)
