"""Birth dates and notes: setting and clearing them, and keeping them when people are renamed or merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from facebank.errors import PersonNotFoundError, StorageError, UsageError
from facebank.gallery import Gallery

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gallery.conftest import FaceFactory


@pytest.fixture
def ada(gallery: Gallery, faces: FaceFactory) -> Gallery:
    """A gallery with Ada, born 1985-06, who has a note."""
    gallery.enroll("Ada", faces.samples(2))
    gallery.describe("Ada", born="1985-06", note="from the sea")
    return gallery


def facts(gallery: Gallery, name: str) -> tuple[str | None, str | None]:
    person = gallery.person(name)
    return person.born, person.note


def test_facts_are_set_one_by_one(ada: Gallery) -> None:
    assert facts(ada, "Ada") == ("1985-06", "from the sea")
    ada.describe("ADA", born="1985")
    assert facts(ada, "Ada") == ("1985", "from the sea")
    ada.describe("Ada", note="  tall ")
    assert facts(ada, "Ada") == ("1985", "tall")
    assert ada.people()[0].born == "1985"


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_facts_are_cleared_one_by_one(ada: Gallery, empty: str | None) -> None:
    ada.describe("Ada", born=empty)
    assert facts(ada, "Ada") == (None, "from the sea")
    assert ada.birth_dates() == {}
    ada.describe("Ada", note=empty)
    assert facts(ada, "Ada") == (None, None)


def test_only_changed_facts_advance_the_revision(ada: Gallery) -> None:
    before = ada.revision
    ada.describe("Ada", born="1985-06")
    assert ada.revision == before
    ada.describe("Ada", born="1985-07")
    assert ada.revision > before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"born": "yesterday"}, "is not a birth date"),
        ({"born": "1985-02-30"}, "is not a birth date"),
        ({"born": "1849-12-31"}, "before 1850"),
        ({"born": "9999"}, "in the future"),
        ({"note": "x" * 2001}, "at most 2,000 characters"),
        ({"note": "x" * 10_000_000}, "at most 2,000 characters, not 10,000,000"),
        ({"note": "\udcff"}, "not valid Unicode"),
    ],
)
def test_invalid_facts_are_rejected(ada: Gallery, changes: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        ada.describe("Ada", **changes)
    assert len(str(caught.value)) < 200
    assert facts(ada, "Ada") == ("1985-06", "from the sea")


def test_describing_an_unknown_person_raises(ada: Gallery) -> None:
    with pytest.raises(PersonNotFoundError, match="Bob"):
        ada.describe("Bob", born="1985")


def test_facts_cannot_be_changed_in_a_read_only_gallery(ada: Gallery, path: Path) -> None:
    with Gallery.open(path, read_only=True) as reader, pytest.raises(StorageError):
        reader.describe("Ada", born="1985")


def test_facts_are_kept_when_renaming_and_re_embedding(ada: Gallery, faces: FaceFactory) -> None:
    ada.rename("Ada", "Ada Lovelace")
    vectors = {sample.id: {"plain": faces.vector(24)} for sample in ada.samples("Ada Lovelace")}
    ada.rebind(faces.other_pack, vectors)
    assert facts(ada, "Ada Lovelace") == ("1985-06", "from the sea")


def test_merging_keeps_and_completes_facts(ada: Gallery) -> None:
    for name, born, note in (("Bob", "1990", "tall"), ("Carl", "1991", None), ("Dora", None, "tall")):
        ada.enroll(name, [])
        ada.describe(name, born=born, note=note)
    ada.merge(["Bob"], into="Ada")
    assert facts(ada, "Ada") == ("1985-06", "from the sea; tall")
    ada.merge(["Carl"], into="Dora")
    assert facts(ada, "Dora") == ("1991", "tall")
    ada.merge(["Dora"], into="Ada")
    assert facts(ada, "Ada") == ("1985-06", "from the sea; tall")


def test_too_long_notes_are_not_joined(ada: Gallery) -> None:
    ada.enroll("Bob", [])
    ada.describe("Bob", note="x" * 2000)
    ada.merge(["Bob"], into="Ada")
    assert facts(ada, "Ada") == ("1985-06", "from the sea")


def test_forgetting_a_person_erases_the_note(ada: Gallery, path: Path) -> None:
    assert b"from the sea" in path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
    ada.forget("Ada")
    ada.close()
    for file in path.parent.iterdir():
        assert b"from the sea" not in file.read_bytes()
