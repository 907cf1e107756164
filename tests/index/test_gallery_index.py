"""The cached index equals the index in memory, and changed or damaged cache files are not used."""

from __future__ import annotations

import sqlite3
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from facebank.errors import GalleryBusyError, GalleryFormatError, UsageError
from facebank.gallery import Gallery
from facebank.gallery.derived import DERIVED_PLACES_SETTING, INDEX_FILE_SETTING, index_file
from facebank.gallery.store.rows import delete
from facebank.index import derived_file, gallery_index
from facebank.index.derived_file import IN_PIECES, DerivedFile, FileKey, FileSection, write_derived_file
from facebank.index.gallery_index import GalleryIndex, open_index, read_with_retry
from facebank.index.indexed_samples import MASK, follow_samples
from facebank.operations.guard import EnrolledFaces
from facebank.recognition.resemblance import OtherPeople
from tests.gallery.conftest import FaceFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.index.people_index import PeopleIndex

_TABLE_BYTES = 8192  # the header, the people and their names


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    """A gallery of people with one to five samples, drawn and worn masks, and a birth date."""
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    faces, random = FaceFactory(), np.random.default_rng(1)
    opened = Gallery.open(tmp_path / "family.facebank", faces.pack, create=True)
    for number in range(30):
        samples = faces.samples(int(random.integers(1, 6)))
        masked = [replace(sample, vectors={**sample.vectors, MASK: faces.vector()}) for sample in samples]
        opened.enroll(f"Person {number} \u00e9", masked if number % 3 else samples)
    opened.enroll("Person 1 \u00e9", [faces.sample(masked=True)])
    opened.describe("Person 2 \u00e9", born="2001-02")
    monkeypatch.setattr(gallery_index, "MIN_CACHED_SAMPLES", 10)
    return opened


def open_in_memory(gallery: Gallery) -> GalleryIndex:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery_index, "MIN_CACHED_SAMPLES", 1 << 30)
        index_file(gallery.path).unlink(missing_ok=True)
        return open_index(gallery)


def read_arrays(people: PeopleIndex | None) -> list[bytes]:
    assert people is not None
    positions, rows = np.arange(len(people.person_ids)), np.arange(people.count)
    arrays: list[Any] = [
        people.person_ids,
        people.starts,
        people.embeddings(),
        people.qualities(rows),
        people.prototypes_of(positions),
        people.products_with_others(positions),
        people.prototype_sum,
        np.array(people.products_range),
    ]
    return [array.tobytes() for array in arrays]


def test_the_cached_index_equals_the_one_in_memory(gallery: Gallery) -> None:
    cached = open_index(gallery)
    assert index_file(gallery.path).exists()
    reopened, expected = open_index(gallery), open_in_memory(gallery)
    for index in (cached, reopened):
        assert read_arrays(index.people) == read_arrays(expected.people)
        assert index.masked is not None
        assert expected.masked is not None
        assert read_arrays(index.masked[0]) == read_arrays(expected.masked[0])
        assert np.array_equal(index.masked[1], expected.masked[1])
        assert expected.people is not None
        assert dict(index.names.items()) == {number: index.names[number] for number in index.names}
        assert dict(index.names.items()) == {
            number: expected.names[number] for number in expected.people.person_ids.tolist()
        }
        assert dict(index.birth_dates) == dict(expected.birth_dates)
        assert index.revision == expected.revision
        with pytest.raises(KeyError):
            index.names[10**6]


@pytest.mark.parametrize("search_name", ["nearest_people", "nearest_samples"])
def test_the_nearest_are_found_in_the_cache(gallery: Gallery, search_name: str) -> None:
    people = open_index(gallery).people
    assert people is not None
    probes = np.stack([FaceFactory(9).vector() for _ in range(5)])
    embeddings = people.prototypes if search_name == "nearest_people" else people.embeddings()
    for probe, rows_found in zip(probes, getattr(people, search_name).near(probes.astype(np.float64), 5), strict=True):
        assert np.isin(np.argsort(-(embeddings @ probe))[:5], rows_found).all()


def test_people_with_one_sample_share_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gallery_index, "MIN_CACHED_SAMPLES", 10)
    faces = FaceFactory(4)
    with Gallery.open(tmp_path / "g.facebank", faces.pack, create=True) as gallery:
        gallery.enroll_people([(f"P{number}", faces.samples(1)) for number in range(40)])
        people = open_index(gallery).people
        assert people is not None
        probe = faces.vector()
        (rows_found,) = people.nearest_people.near(probe.astype(np.float64)[None], 3)
        assert np.isin(np.argsort(-(people.prototypes @ probe))[:3], rows_found).all()


def test_a_change_rebuilds_the_index(gallery: Gallery) -> None:
    before = open_index(gallery)
    gallery.forget("Person 3 \u00e9")
    assert not index_file(gallery.path).exists()
    after = open_index(gallery)
    assert after.people is not None
    assert before.people is not None
    assert len(after.people.person_ids) == len(before.people.person_ids) - 1
    with pytest.raises(GalleryBusyError):
        before.people.prototypes_of(np.arange(5))


@pytest.mark.parametrize("percent", range(0, 100, 4))
def test_a_flipped_byte_is_detected(gallery: Gallery, percent: int) -> None:
    expected = read_arrays(open_index(gallery).people)
    path = index_file(gallery.path)
    data = bytearray(path.read_bytes())
    data[percent * len(data) // 100] ^= 0x10
    path.write_bytes(data)
    assert read_with_retry(lambda: read_arrays(open_index(gallery).people)) == expected
    assert read_arrays(open_index(gallery).people) == expected


def test_an_overwritten_index_is_lost_and_rebuilt(gallery: Gallery) -> None:
    index = open_index(gallery)
    expected = read_arrays(index.people)
    path = index_file(gallery.path)
    path.write_bytes(path.read_bytes()[:_TABLE_BYTES] + bytes(path.stat().st_size - _TABLE_BYTES))
    assert not index.is_lost
    with pytest.raises(GalleryBusyError):
        read_arrays(index.people)
    assert index.is_lost
    reopened = open_index(gallery)
    assert not reopened.is_lost
    assert read_arrays(reopened.people) == expected


def test_a_file_written_by_another_process_is_kept(gallery: Gallery) -> None:
    expected = open_in_memory(gallery)
    first = open_index(gallery)
    content = index_file(gallery.path).read_bytes()
    token = gallery.read_setting(INDEX_FILE_SETTING)
    assert gallery_index._write_to_cache(gallery, expected, None) == token
    assert index_file(gallery.path).read_bytes() == content
    assert read_arrays(first.people) == read_arrays(expected.people)
    assert not first.is_lost


def test_a_person_forgotten_during_the_write_is_not_cached(gallery: Gallery) -> None:
    expected = open_in_memory(gallery)
    with Gallery.open(gallery.path) as other:
        other.forget("Person 3 \u00e9")
    assert gallery_index._write_to_cache(gallery, expected, None) is None
    assert not list(index_file(gallery.path).parent.iterdir())


def test_the_cache_folder_is_noted_before_it_is_written(gallery: Gallery) -> None:
    index_file(gallery.path).mkdir(parents=True)  # blocks the file's path
    assert open_index(gallery).file is None
    assert gallery.read_setting(DERIVED_PLACES_SETTING)


def test_a_gallery_moved_while_open_is_refused(gallery: Gallery) -> None:
    for path in list(gallery.path.parent.glob("family.facebank*")):
        path.rename(path.with_name(path.name.replace("family", "moved")))
    with pytest.raises(UsageError, match="moved"):
        open_index(gallery)


def read_index_file(gallery: Gallery) -> DerivedFile:
    file = derived_file.read_derived_file(
        index_file(gallery.path), gallery.pack, gallery.read_setting(INDEX_FILE_SETTING)
    )
    assert file is not None
    return file


def read_sections(gallery: Gallery) -> dict[str, bytes]:
    file = read_index_file(gallery)
    return {name: file.read(name).tobytes() for name in file._placements}


CHANGES: dict[str, Callable[[Gallery, FaceFactory], object]] = {
    "a new person": lambda gallery, faces: gallery.enroll("Ada", faces.samples(2)),
    "a person without samples, who gets one": lambda gallery, faces: (
        gallery.enroll("Ada", []),
        open_index(gallery),
        gallery.enroll("Ben", faces.samples(1)),
        open_index(gallery),
        gallery.enroll("Ada", faces.samples(1)),
    ),
    "samples of a known person": lambda gallery, faces: gallery.enroll("Person 4 \u00e9", faces.samples(2)),
    "drawn masks": lambda gallery, faces: gallery.enroll(
        "Person 4 \u00e9",
        [replace(sample, vectors={**sample.vectors, MASK: faces.vector()}) for sample in faces.samples(2)],
    ),
    "a worn mask": lambda gallery, faces: gallery.enroll("Person 5 \u00e9", [faces.sample(masked=True)]),
    "another name": lambda gallery, faces: gallery.rename("Person 6 \u00e9", "Zo\u00eb"),
    "a birth date": lambda gallery, faces: gallery.describe("Person 6 \u00e9", born="1999"),
    "a merge": lambda gallery, faces: gallery.merge(["Person 7 \u00e9", "Person 9 \u00e9"], "Person 8 \u00e9"),
    "a split": lambda gallery, faces: gallery.split(
        "Person 4 \u00e9", "Ada", [gallery.enroll("Person 4 \u00e9", faces.samples(1))[0].sample_id]
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("has_masks", [True, False])
def test_an_updated_index_equals_a_rebuilt_one(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, has_masks: bool
) -> None:
    faces, updated = FaceFactory(9), gallery
    if not has_masks:
        updated = Gallery.open(tmp_path / "plain.facebank", faces.pack, create=True)
        for number in range(10):
            updated.enroll(f"Person {number} \u00e9", faces.samples(3))
    open_index(updated)
    with monkeypatch.context() as patch:
        patch.delattr(gallery_index, "read_samples")  # not called
        CHANGES[change](updated, faces)
        open_index(updated)
    sections = read_sections(updated)
    index_file(updated.path).unlink()
    open_index(updated)
    assert sections == read_sections(updated)


def test_an_index_is_not_updated_after_a_removal(gallery: Gallery) -> None:
    open_index(gallery)
    file = read_index_file(gallery)
    assert follow_samples(gallery, file) is not None
    removed = gallery.samples("Person 4 \u00e9")[0].id
    with gallery._changing() as connection:
        delete(connection, "samples", "id", [removed])
    assert follow_samples(gallery, file) is None


def test_a_damaged_new_embedding_is_an_error(gallery: Gallery) -> None:
    open_index(gallery)
    (added,) = gallery.enroll("Ada", FaceFactory(7).samples(1))
    with sqlite3.connect(gallery.path) as connection:
        connection.execute(
            "UPDATE vectors SET vector = (SELECT vector FROM vectors WHERE sample_id = 1) WHERE sample_id = ?",
            (added.sample_id,),
        )
    with pytest.raises(GalleryFormatError, match="does not match its digest"):
        open_index(gallery)


def test_a_restored_backup_at_the_same_revision_gets_its_own_index(gallery: Gallery, tmp_path: Path) -> None:
    open_index(gallery)
    backup = gallery.back_up(tmp_path / "copy.facebank")
    gallery.enroll("Ada", FaceFactory(7).samples(1))
    open_index(gallery)
    gallery.close()
    backup.replace(gallery.path)
    for suffix in ("-wal", "-shm"):
        gallery.path.with_name(f"{gallery.path.name}{suffix}").unlink(missing_ok=True)
    with Gallery.open(gallery.path) as restored:
        restored.enroll("Ben", FaceFactory(8).samples(1))
        names = dict(open_index(restored).names.items()).values()
        assert "Ben" in names
        assert "Ada" not in names


def test_enrolled_faces_are_reloaded_after_the_index_was_overwritten(gallery: Gallery) -> None:
    faces = EnrolledFaces(gallery)
    faces.refresh()
    path = index_file(gallery.path)
    path.write_bytes(bytes(path.stat().st_size))
    path.unlink()
    probe = FaceFactory(9).vector()
    with pytest.raises(GalleryBusyError):
        faces.other_people([]).nearest(probe)
    faces.refresh()
    assert faces.other_people([]).nearest(probe) == OtherPeople(open_in_memory(gallery).people).nearest(probe)


def test_a_full_disk_leaves_no_file(mount: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    small_disk = mount("size=2m")
    monkeypatch.setattr(derived_file, "_SPARE_SPACE", 0)

    def parts() -> Iterator[NDArray[np.uint8]]:
        yield np.full(1 << 16, 7, np.uint8)
        with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(4096))
        yield np.full(1 << 20, 7, np.uint8)

    section = FileSection("codes", "|u1", ((1 << 20) + (1 << 16),), parts())
    key = FileKey.draw(FaceFactory.pack, 1)
    assert not write_derived_file(small_disk / "indexes" / "x.vectors", key, [section], nullcontext())
    assert not list((small_disk / "indexes").iterdir())


@pytest.mark.parametrize("start", [0, 4096, 12288])
def test_rows_are_read_into_an_array(tmp_path: Path, start: int) -> None:
    stored = np.random.default_rng(2).random((20_000, 3), np.float32)
    key = FileKey.draw(FaceFactory.pack, 1)
    section = FileSection("rows", "<f4", stored.shape, [stored[:7_001], stored[7_001:]], IN_PIECES)
    assert write_derived_file(tmp_path / "x.vectors", key, [section], nullcontext())
    file = derived_file.read_derived_file(tmp_path / "x.vectors", FaceFactory.pack, key.token)
    assert file is not None
    for count in (1, 341, 342, 4096, 7_712):
        rows = np.zeros((count, 3), np.float32)
        file.read_into("rows", start, rows)
        assert np.array_equal(rows, stored[start : start + count])
        half = start + count // 2
        assert np.array_equal(file.read("rows", half, start + count), stored[half : start + count])
    indices = np.random.default_rng(3).integers(0, 20_000, 500)
    assert np.array_equal(file.take("rows", indices), stored[indices])


def test_a_file_of_another_gallery_is_not_used(gallery: Gallery, tmp_path: Path) -> None:
    open_index(gallery)
    faces = FaceFactory(5)
    with Gallery.open(tmp_path / "other.facebank", faces.pack, create=True) as other:
        other.enroll("Ada", faces.samples(20))
        open_index(other)
        index_file(other.path).replace(index_file(gallery.path))
    people = open_index(gallery).people
    assert people is not None
    assert len(people.person_ids) == 30


def test_a_read_only_gallery_is_not_cached(gallery: Gallery) -> None:
    gallery.close()
    with Gallery.open(gallery.path, read_only=True) as reader:
        assert open_index(reader).people is not None
    assert not index_file(gallery.path).exists()
