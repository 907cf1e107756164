"""Merging people, undoing a merge, and splitting a person in two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facebank.errors import PersonExistsError, PersonNotFoundError, UsageError
from facebank.gallery import FaceKey, Gallery, export_gallery, inspect_gallery

if TYPE_CHECKING:
    from tests.gallery.conftest import FaceFactory


def read_state(gallery: Gallery) -> dict[str, tuple[object, ...]]:
    """Return everything that the library reports about the people of a gallery."""
    return {
        person.name: (
            person.born,
            person.note,
            person.created_at,
            [sample.id for sample in gallery.samples(person.name)],
        )
        for person in gallery.people()
    }


def make_key(faces: FaceFactory, number: int) -> FaceKey:
    """Return the key of a face in a photo with this number."""
    return FaceKey(f"{number:064x}", 0, faces.sample().box)


@pytest.fixture
def family(gallery: Gallery, faces: FaceFactory) -> Gallery:
    """A gallery of Ada, Bea and Cleo with two samples each, and facts about Ada and Bea."""
    for name in ("Ada", "Bea", "Cleo"):
        gallery.enroll(name, faces.samples(2))
    gallery.describe("Ada", note="first")
    gallery.describe("Bea", born="1990", note="second")
    return gallery


def test_a_merge_is_undone_completely(family: Gallery, faces: FaceFactory) -> None:
    only_bea, both, only_ada = (make_key(faces, number) for number in (1, 2, 3))
    family.deny("Bea", only_bea)
    for name in ("Ada", "Bea"):
        family.deny(name, both)
    family.deny("Ada", only_ada)
    before = read_state(family)
    merged = family.merge(["Bea", "Cleo"], "Ada")
    assert (merged.sample_count, merged.born, merged.note) == (6, "1990", "first; second")
    assert [(source.name, source.sample_count) for source in family.merged_people("Ada")] == [("Bea", 2), ("Cleo", 2)]
    assert family.people_with_merges() == {"Ada"}
    assert [person.name for person in family.unmerge("ada")] == ["Bea", "Cleo"]
    assert read_state(family) == before
    ada, bea = family.person("Ada").id, family.person("Bea").id
    assert [family.denials_of(face) for face in (only_bea, both, only_ada)] == [{bea}, {ada, bea}, {ada}]
    assert family.people_with_merges() == set()
    assert len(family.vectors().sample_ids) == 6
    assert inspect_gallery(family.path).problems == ()
    with pytest.raises(UsageError, match="No merge into"):
        family.unmerge("Ada")


def test_merges_are_undone_in_reverse_order(family: Gallery) -> None:
    first = read_state(family)
    family.merge(["Cleo"], "Bea")
    second = read_state(family)
    family.merge(["Bea"], "Ada")
    assert [source.name for source in family.merged_people("Ada")] == ["Bea"]
    family.unmerge("Ada")
    assert read_state(family) == second
    assert [source.name for source in family.merged_people("Bea")] == ["Cleo"]
    family.unmerge("Bea")
    assert read_state(family) == first


def test_nested_merges_are_undone(family: Gallery, faces: FaceFactory) -> None:
    family.enroll("Dora", faces.samples(1))
    states = [read_state(family)]
    for source, into in (("Dora", "Cleo"), ("Cleo", "Bea"), ("Bea", "Ada")):
        family.merge([source], into)
        states.append(read_state(family))
    for into in ("Ada", "Bea", "Cleo"):
        states.pop()
        family.unmerge(into)
        assert read_state(family) == states[-1]
    assert inspect_gallery(family.path).problems == ()


def test_undoing_a_merge_keeps_later_changes(family: Gallery, faces: FaceFactory) -> None:
    family.merge(["Bea"], "Ada")
    family.enroll("Ada", faces.samples(1))
    family.describe("Ada", note="third")
    family.remove_sample(3)
    family.rename("Ada", "Lovelace")
    family.unmerge("Lovelace")
    assert {name: (note, samples) for name, (_, note, _, samples) in read_state(family).items()} == {
        "Lovelace": ("third", [1, 2, 7]),
        "Bea": ("second", [4]),
        "Cleo": (None, [5, 6]),
    }


def test_undoing_a_merge_requires_a_free_name(family: Gallery, faces: FaceFactory) -> None:
    family.merge(["Bea"], "Ada")
    family.enroll("bea", faces.samples(1))
    before = read_state(family)
    with pytest.raises(PersonExistsError, match="people rename"):
        family.unmerge("Ada")
    assert read_state(family) == before


def test_the_name_of_a_merged_person_is_explained(family: Gallery) -> None:
    family.merge(["Bea"], "Ada")
    for use in (family.person, family.forget):
        with pytest.raises(PersonNotFoundError, match=r"merged into Ada.*people unmerge Ada"):
            use("bea")


def test_forgetting_erases_names_of_merged_people(family: Gallery, tmp_path: Path) -> None:
    family.rename("Bea", "Beatrix Unlikely")
    family.describe("Beatrix Unlikely", note="lives in Utrecht")
    family.merge(["Beatrix Unlikely"], "Ada")
    folder = export_gallery(family, tmp_path / "export").folder
    exported = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"Beatrix" not in exported
    assert b"Utrecht" in exported  # the merged note contains the note of each person
    assert b"Beatrix" in read_files(family)
    family.forget("Ada")
    assert b"Beatrix" not in read_files(family)
    assert b"Utrecht" not in read_files(family)
    assert inspect_gallery(family.path).problems == ()


def test_removing_the_last_sample_erases_the_merged_name(family: Gallery) -> None:
    family.rename("Bea", "Beatrix Unlikely")
    family.merge(["Beatrix Unlikely"], "Ada")
    for number in (3, 4):
        family.remove_sample(number)
    assert family.merged_people("Ada") == []
    assert b"Beatrix" not in read_files(family)


def read_files(gallery: Gallery) -> bytes:
    """Return all bytes of a gallery, its log included."""
    return b"".join(path.read_bytes() for path in gallery.path.parent.glob(f"{gallery.path.name}*") if path.is_file())


def test_samples_are_split_off(family: Gallery) -> None:
    family.merge(["Bea"], "Ada")
    new = family.split("Ada", "Eve", [2, 4])
    assert (new.name, new.sample_count, new.born, new.note) == ("Eve", 2, None, None)
    assert [sample.id for sample in family.samples("Ada")] == [1, 3]
    family.unmerge("Ada")
    assert {name: samples for name, (*_, samples) in read_state(family).items()} == {
        "Ada": [1],
        "Bea": [3],
        "Cleo": [5, 6],
        "Eve": [2, 4],
    }
    assert inspect_gallery(family.path).problems == ()


@pytest.mark.parametrize(
    ("into", "samples", "error", "message"),
    [
        ("Eve", [1, 3], UsageError, "Sample 3 does not belong to 'Ada'"),
        ("Eve", [1, 2], UsageError, "not all"),
        ("Eve", [], UsageError, "give some"),
        ("bea", [1], PersonExistsError, "people merge"),
        ("Ada", [1], PersonExistsError, "another name"),
    ],
)
def test_invalid_splits_are_rejected(
    family: Gallery, into: str, samples: list[int], error: type[Exception], message: str
) -> None:
    before = read_state(family)
    with pytest.raises(error, match=message):
        family.split("Ada", into, samples)
    assert read_state(family) == before


def test_a_single_sample_cannot_be_split(family: Gallery) -> None:
    family.split("Ada", "Eve", [2])
    with pytest.raises(UsageError, match="has one sample, which cannot be split"):
        family.split("Eve", "Mallory", [2])
