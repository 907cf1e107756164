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
def people(gallery: Gallery, faces: FaceFactory) -> Gallery:
    """Ada, Bea and Cleo with two samples each, and facts about them."""
    for name in ("Ada", "Bea", "Cleo"):
        gallery.enroll(name, faces.samples(2))
    gallery.describe("Ada", note="first")
    gallery.describe("Bea", born="1990", note="second")
    return gallery


def test_a_merge_is_undone_completely(people: Gallery, faces: FaceFactory) -> None:
    only_bea, both, only_ada = (make_key(faces, number) for number in (1, 2, 3))
    people.deny("Bea", only_bea)
    for name in ("Ada", "Bea"):
        people.deny(name, both)
    people.deny("Ada", only_ada)
    before = read_state(people)
    merged = people.merge(["Bea", "Cleo"], "Ada")
    assert (merged.sample_count, merged.born, merged.note) == (6, "1990", "first; second")
    assert [(source.name, source.samples) for source in people.merged_people("Ada")] == [("Bea", 2), ("Cleo", 2)]
    assert people.people_with_merges() == {"Ada"}
    assert [person.name for person in people.unmerge("ada")] == ["Bea", "Cleo"]
    assert read_state(people) == before
    ada, bea = people.person("Ada").id, people.person("Bea").id
    assert [people.denials_of(face) for face in (only_bea, both, only_ada)] == [{bea}, {ada, bea}, {ada}]
    assert people.people_with_merges() == set()
    assert len(people.vectors().sample_ids) == 6
    assert inspect_gallery(people.path).problems == ()
    with pytest.raises(UsageError, match="Nothing to undo"):
        people.unmerge("Ada")


def test_merges_are_undone_in_reverse_order(people: Gallery) -> None:
    first = read_state(people)
    people.merge(["Cleo"], "Bea")
    second = read_state(people)
    people.merge(["Bea"], "Ada")
    assert [source.name for source in people.merged_people("Ada")] == ["Bea"]
    people.unmerge("Ada")
    assert read_state(people) == second
    assert [source.name for source in people.merged_people("Bea")] == ["Cleo"]
    people.unmerge("Bea")
    assert read_state(people) == first


def test_nested_merges_are_undone(people: Gallery, faces: FaceFactory) -> None:
    people.enroll("Dora", faces.samples(1))
    states = [read_state(people)]
    for source, into in (("Dora", "Cleo"), ("Cleo", "Bea"), ("Bea", "Ada")):
        people.merge([source], into)
        states.append(read_state(people))
    for into in ("Ada", "Bea", "Cleo"):
        states.pop()
        people.unmerge(into)
        assert read_state(people) == states[-1]
    assert inspect_gallery(people.path).problems == ()


def test_later_changes_are_kept(people: Gallery, faces: FaceFactory) -> None:
    people.merge(["Bea"], "Ada")
    people.enroll("Ada", faces.samples(1))
    people.describe("Ada", note="third")
    people.remove_sample(3)
    people.rename("Ada", "Lovelace")
    people.unmerge("Lovelace")
    assert {name: (note, samples) for name, (_, note, _, samples) in read_state(people).items()} == {
        "Lovelace": ("third", [1, 2, 7]),
        "Bea": ("second", [4]),
        "Cleo": (None, [5, 6]),
    }


def test_undoing_a_merge_requires_a_free_name(people: Gallery, faces: FaceFactory) -> None:
    people.merge(["Bea"], "Ada")
    people.enroll("bea", faces.samples(1))
    before = read_state(people)
    with pytest.raises(PersonExistsError, match="people rename"):
        people.unmerge("Ada")
    assert read_state(people) == before


def test_the_name_of_a_merged_person_is_explained(people: Gallery) -> None:
    people.merge(["Bea"], "Ada")
    for use in (people.person, people.forget):
        with pytest.raises(PersonNotFoundError, match=r"merged into Ada.*people unmerge Ada"):
            use("bea")


def test_forgetting_erases_names_of_merged_people(people: Gallery, tmp_path: Path) -> None:
    people.rename("Bea", "Beatrix Unlikely")
    people.describe("Beatrix Unlikely", note="lives in Utrecht")
    people.merge(["Beatrix Unlikely"], "Ada")
    folder = export_gallery(people, tmp_path / "export").folder
    exported = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"Beatrix" not in exported
    assert b"Utrecht" in exported  # the merged note contains the note of each person
    assert b"Beatrix" in read_files(people)
    people.forget("Ada")
    assert b"Beatrix" not in read_files(people)
    assert b"Utrecht" not in read_files(people)
    assert inspect_gallery(people.path).problems == ()


def test_removing_the_last_sample_erases_the_merged_name(people: Gallery) -> None:
    people.rename("Bea", "Beatrix Unlikely")
    people.merge(["Beatrix Unlikely"], "Ada")
    for number in (3, 4):
        people.remove_sample(number)
    assert people.merged_people("Ada") == []
    assert b"Beatrix" not in read_files(people)


def read_files(gallery: Gallery) -> bytes:
    """Return all bytes of a gallery, its log included."""
    return b"".join(file.read_bytes() for file in gallery.path.parent.glob(f"{gallery.path.name}*") if file.is_file())


def test_samples_are_split_off(people: Gallery) -> None:
    people.merge(["Bea"], "Ada")
    new = people.split("Ada", "Eve", [2, 4])
    assert (new.name, new.sample_count, new.born, new.note) == ("Eve", 2, None, None)
    assert [sample.id for sample in people.samples("Ada")] == [1, 3]
    people.unmerge("Ada")
    assert {name: samples for name, (*_, samples) in read_state(people).items()} == {
        "Ada": [1],
        "Bea": [3],
        "Cleo": [5, 6],
        "Eve": [2, 4],
    }
    assert inspect_gallery(people.path).problems == ()


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
    people: Gallery, into: str, samples: list[int], error: type[Exception], message: str
) -> None:
    before = read_state(people)
    with pytest.raises(error, match=message):
        people.split("Ada", into, samples)
    assert read_state(people) == before


def test_a_single_sample_cannot_be_split(people: Gallery) -> None:
    people.split("Ada", "Eve", [2])
    with pytest.raises(UsageError, match="has one sample, which cannot be split"):
        people.split("Eve", "Mallory", [2])
