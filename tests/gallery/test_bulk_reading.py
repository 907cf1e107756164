"""Bulk reads of a large gallery return the same data as reads of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import GalleryFormatError
from facebank.gallery import vectors as vector_tables
from facebank.gallery.name_table import NAMES_PER_BLOCK, NameTable
from facebank.gallery.names import are_plain, normalize_name

from .databases import connect_unchecked, execute_unchecked

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from tests.gallery.conftest import FaceFactory


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 100])
def test_vectors_and_qualities_are_consistent(
    gallery: Gallery, faces: FaceFactory, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, count in (("Ada", 2), ("Bob", 3), ("Ada", 1)):
        gallery.enroll(name, faces.samples(count))
    expected = gallery.vectors()
    qualities = {sample.id: sample.quality for name in ("Ada", "Bob") for sample in gallery.samples(name)}
    monkeypatch.setattr(vector_tables, "_ROWS_PER_BLOCK", rows_at_once)
    table, sample_qualities = gallery.rated_vectors()
    assert table.sample_ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert table.person_ids.tolist() == expected.person_ids.tolist() == [1, 1, 2, 2, 2, 1]
    assert np.array_equal(table.matrix, expected.matrix)
    assert sample_qualities.tolist() == pytest.approx([qualities[sample_id] for sample_id in table.sample_ids.tolist()])
    assert sample_qualities.dtype == table.matrix.dtype == np.float32


def test_an_empty_gallery_is_read(gallery: Gallery) -> None:
    table, sample_qualities = gallery.rated_vectors()
    assert table.matrix.shape == (0, gallery.pack.dimension)
    assert len(sample_qualities) == len(table.sample_ids) == len(table.person_ids) == len(gallery.name_table()) == 0


@pytest.mark.parametrize("damaged", ["'x'", "x'00'", "-1"])
def test_the_error_of_a_damaged_quality_names_the_person(gallery: Gallery, faces: FaceFactory, damaged: str) -> None:
    gallery.enroll("Ada", faces.samples(2))
    execute_unchecked(gallery.path, f"UPDATE samples SET quality = {damaged} WHERE id = 1")
    with pytest.raises(GalleryFormatError, match=r"sample 1 of 'Ada'.*--repair"):
        gallery.rated_vectors()


def test_name_table_equals_names(gallery: Gallery, faces: FaceFactory) -> None:
    names = [f"person {number}" for number in range(2 * NAMES_PER_BLOCK)]
    names[3], names[NAMES_PER_BLOCK + 1] = "Zoë Straße", "علی\u200cرضا"
    gallery.enroll_people([(name, []) for name in names])
    gallery.enroll("Last", faces.samples(1))
    gallery.forget("person 7")
    table = gallery.name_table()
    assert dict(table) == gallery.names()
    assert len(table) == 2 * NAMES_PER_BLOCK
    for number in (0, -1, 8, 2 * NAMES_PER_BLOCK + 2):
        assert number not in table


@pytest.mark.parametrize("name", ["a/b", "", ".", "..", " a", "a\nb", "x" * 201])
def test_a_damaged_name_is_reported(gallery: Gallery, faces: FaceFactory, name: str) -> None:
    gallery.enroll("Ada", faces.samples(1))
    with connect_unchecked(gallery.path) as connection:
        connection.execute("UPDATE people SET name = ?", (name,))
    with pytest.raises(GalleryFormatError, match="invalid name of a person"):
        gallery.name_table()


@given(st.lists(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), max_size=3 * NAMES_PER_BLOCK))
def test_a_name_table_returns_all_names(names: list[str]) -> None:
    ids = 3 * np.arange(len(names), dtype=np.int64)
    blocks = [names[start : start + NAMES_PER_BLOCK] for start in range(0, len(names), NAMES_PER_BLOCK)]
    assert dict(NameTable(ids, blocks)) == dict(zip(ids.tolist(), names, strict=True))


@given(st.text(max_size=250))
def test_plain_names_are_normalized_already(text: str) -> None:
    if are_plain([text]):
        assert normalize_name(text) == text == " ".join(text.split())
        assert text.isascii()


def test_a_name_that_is_not_plain_is_detected() -> None:
    assert are_plain(["Ada", "O'Neil, J. (jr.)"])
    assert not any(are_plain(["Ada", name]) for name in ("", " a", "a  b", "a/b", "..", "é", "x" * 201, 7, None))
