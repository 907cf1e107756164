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
def described_gallery(gallery: Gallery, faces: FaceFactory) -> Gallery:
    """A gallery with Ada, born 1985-06, who has a note."""
    gallery.enroll("Ada", faces.samples(2))
    gallery.describe("Ada", born="1985-06", note="from the sea")
    return gallery


def facts(gallery: Gallery, name: str) -> tuple[str | None, str | None]:
    person = gallery.person(name)
    return person.born, person.note


def test_facts_are_set_one_by_one(described_gallery: Gallery) -> None:
    assert facts(described_gallery, "Ada") == ("1985-06", "from the sea")
    described_gallery.describe("ADA", born="1985")
    assert facts(described_gallery, "Ada") == ("1985", "from the sea")
    described_gallery.describe("Ada", note="  tall ")
    assert facts(described_gallery, "Ada") == ("1985", "tall")
    assert described_gallery.people()[0].born == "1985"


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_facts_are_cleared_one_by_one(described_gallery: Gallery, empty: str | None) -> None:
    described_gallery.describe("Ada", born=empty)
    assert facts(described_gallery, "Ada") == (None, "from the sea")
    assert described_gallery.birth_dates() == {}
    described_gallery.describe("Ada", note=empty)
    assert facts(described_gallery, "Ada") == (None, None)


def test_only_changed_facts_advance_the_revision(described_gallery: Gallery) -> None:
    before = described_gallery.revision
    described_gallery.describe("Ada", born="1985-06")
    assert described_gallery.revision == before
    described_gallery.describe("Ada", born="1985-07")
    assert described_gallery.revision > before


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
def test_invalid_facts_are_rejected(described_gallery: Gallery, changes: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        described_gallery.describe("Ada", **changes)
    assert len(str(caught.value)) < 200
    assert facts(described_gallery, "Ada") == ("1985-06", "from the sea")


def test_describing_an_unknown_person_raises(described_gallery: Gallery) -> None:
    with pytest.raises(PersonNotFoundError, match="Bob"):
        described_gallery.describe("Bob", born="1985")


def test_facts_cannot_be_changed_in_a_read_only_gallery(described_gallery: Gallery, path: Path) -> None:
    with Gallery.open(path, read_only=True) as reader, pytest.raises(StorageError):
        reader.describe("Ada", born="1985")


def test_facts_are_kept_when_renaming_and_re_embedding(described_gallery: Gallery, faces: FaceFactory) -> None:
    described_gallery.rename("Ada", "Ada Lovelace")
    vectors = {sample.id: {"plain": faces.vector(24)} for sample in described_gallery.samples("Ada Lovelace")}
    described_gallery.rebind(faces.other_pack, vectors)
    assert facts(described_gallery, "Ada Lovelace") == ("1985-06", "from the sea")


def test_merging_keeps_and_completes_facts(described_gallery: Gallery) -> None:
    for name, born, note in (("Bob", "1990", "tall"), ("Carl", "1991", None), ("Dora", None, "tall")):
        described_gallery.enroll(name, [])
        described_gallery.describe(name, born=born, note=note)
    described_gallery.merge(["Bob"], into="Ada")
    assert facts(described_gallery, "Ada") == ("1985-06", "from the sea; tall")
    described_gallery.merge(["Carl"], into="Dora")
    assert facts(described_gallery, "Dora") == ("1991", "tall")
    described_gallery.merge(["Dora"], into="Ada")
    assert facts(described_gallery, "Ada") == ("1985-06", "from the sea; tall")


def test_too_long_notes_are_not_joined(described_gallery: Gallery) -> None:
    described_gallery.enroll("Bob", [])
    described_gallery.describe("Bob", note="x" * 2000)
    described_gallery.merge(["Bob"], into="Ada")
    assert facts(described_gallery, "Ada") == ("1985-06", "from the sea")


def test_forgetting_a_person_erases_the_note(described_gallery: Gallery, path: Path) -> None:
    assert b"from the sea" in path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
    described_gallery.forget("Ada")
    described_gallery.close()
    for entry in path.parent.iterdir():
        assert b"from the sea" not in entry.read_bytes()
