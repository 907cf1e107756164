"""The index in the cache says what the index in memory says, and nothing that was changed or damaged is believed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from facebank.errors import GalleryBusyError
from facebank.gallery import Gallery
from facebank.gallery.derived import index_file
from facebank.index import gallery_index
from facebank.index.gallery_index import GalleryIndex, open_index
from tests.gallery.conftest import Faces

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.index.people_index import PeopleIndex


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    """Return a gallery of people with one to five samples, masks drawn and worn, birth dates and a stranger."""
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    faces, random = Faces(), np.random.default_rng(1)
    opened = Gallery.open(tmp_path / "family.facebank", faces.pack, create=True)
    for number in range(30):
        samples = faces.samples(int(random.integers(1, 6)))
        masked = [replace(each, vectors={**each.vectors, gallery_index.MASK: faces.vector()}) for each in samples]
        opened.enroll(f"Person {number} \u00e9", masked if number % 3 else samples)
    opened.enroll("Person 1 \u00e9", [faces.sample(masked=True)])
    opened.describe("Person 2 \u00e9", born="2001-02")
    monkeypatch.setattr(gallery_index, "KEPT_FROM", 10)
    return opened


def in_memory(gallery: Gallery) -> GalleryIndex:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery_index, "KEPT_FROM", 1 << 30)
        index_file(gallery.path).unlink(missing_ok=True)
        return open_index(gallery)


def told(people: PeopleIndex | None) -> list[bytes]:
    assert people is not None
    places, rows = np.arange(len(people.people)), np.arange(people.count)
    arrays: list[Any] = [
        people.people,
        people.starts,
        people.vectors(),
        people.qualities(rows),
        people.prototypes_of(places),
        people.common_with_others(places),
        people.total,
        np.array(people.commonness),
    ]
    return [array.tobytes() for array in arrays]


def test_what_is_kept_is_what_was_made(gallery: Gallery) -> None:
    kept = open_index(gallery)
    assert index_file(gallery.path).exists()
    again, made = open_index(gallery), in_memory(gallery)
    for index in (kept, again):
        assert told(index.people) == told(made.people)
        assert index.masked is not None
        assert made.masked is not None
        assert told(index.masked[0]) == told(made.masked[0])
        assert np.array_equal(index.masked[1], made.masked[1])
        assert made.people is not None
        assert dict(index.names.items()) == {number: index.names[number] for number in index.names}
        assert dict(index.names.items()) == {number: made.names[number] for number in made.people.people.tolist()}
        assert dict(index.birth_dates) == dict(made.birth_dates)
        assert index.revision == made.revision
        with pytest.raises(KeyError):
            index.names[10**6]


@pytest.mark.parametrize("what", ["nearest_people", "nearest_samples"])
def test_the_nearest_are_found_in_the_cache(gallery: Gallery, what: str) -> None:
    people = open_index(gallery).people
    assert people is not None
    probes = np.stack([Faces(9).vector() for _ in range(5)])
    rows = people.prototypes if what == "nearest_people" else people.vectors()
    for probe, found in zip(probes, getattr(people, what).near(probes.astype(np.float64), 5), strict=True):
        assert np.isin(np.argsort(-(rows @ probe))[:5], found).all()


def test_people_with_one_sample_share_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gallery_index, "KEPT_FROM", 10)
    faces = Faces(4)
    with Gallery.open(tmp_path / "g.facebank", faces.pack, create=True) as gallery:
        gallery.enroll_people([(f"P{number}", faces.samples(1)) for number in range(40)])
        people = open_index(gallery).people
        assert people is not None
        probe = faces.vector()
        (found,) = people.nearest_people.near(probe.astype(np.float64)[None], 3)
        assert np.isin(np.argsort(-(people.prototypes @ probe))[:3], found).all()


def test_a_change_is_seen(gallery: Gallery) -> None:
    before = open_index(gallery)
    gallery.forget("Person 3 \u00e9")
    assert not index_file(gallery.path).exists()
    after = open_index(gallery)
    assert after.people is not None
    assert before.people is not None
    assert len(after.people.people) == len(before.people.people) - 1
    with pytest.raises(GalleryBusyError):
        before.people.prototypes_of(np.arange(5))


@pytest.mark.parametrize("position", range(0, 100, 4))
def test_no_flipped_byte_is_believed(gallery: Gallery, position: int) -> None:
    made = told(open_index(gallery).people)
    path = index_file(gallery.path)
    data = bytearray(path.read_bytes())
    data[position * len(data) // 100] ^= 0x10
    path.write_bytes(data)
    try:
        assert told(open_index(gallery).people) == made
    except GalleryBusyError:
        path.unlink()
    assert told(open_index(gallery).people) == made


def test_a_file_of_another_gallery_is_not_used(gallery: Gallery, tmp_path: Path) -> None:
    open_index(gallery)
    faces = Faces(5)
    with Gallery.open(tmp_path / "other.facebank", faces.pack, create=True) as other:
        other.enroll("Ada", faces.samples(20))
        open_index(other)
        index_file(other.path).replace(index_file(gallery.path))
    people = open_index(gallery).people
    assert people is not None
    assert len(people.people) == 30


def test_who_may_only_read_keeps_nothing(gallery: Gallery) -> None:
    gallery.close()
    with Gallery.open(gallery.path, read_only=True) as reader:
        assert open_index(reader).people is not None
    assert not index_file(gallery.path).exists()
