"""Inspection of a gallery: its size and pack, and problems of the file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from facebank.gallery import FaceKey, Gallery, GalleryHealth, inspect_gallery
from facebank.gallery.store.migrations import SCHEMA_VERSION

from .databases import execute_unchecked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gallery.conftest import FaceFactory


def test_a_healthy_gallery_is_described(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(3))
    gallery.enroll("Bob", faces.samples(1))
    expected = GalleryHealth(gallery.path, True, SCHEMA_VERSION, "opencv", "ab" * 32, 2, 4, "wal", ())
    assert inspect_gallery(gallery.path) == expected
    gallery.close()
    before = gallery.path.read_bytes()
    assert inspect_gallery(str(gallery.path)) == expected
    assert gallery.path.read_bytes() == before
    assert {path.name for path in gallery.path.parent.iterdir()} == {gallery.path.name, f"{gallery.path.name}-reserve"}


def test_a_missing_gallery_has_no_problems(path: Path) -> None:
    assert inspect_gallery(path) == GalleryHealth(path, exists=False)
    path.touch()
    assert inspect_gallery(path) == GalleryHealth(path, exists=True)


@pytest.mark.parametrize("content", [b"text", b"SQLite format 3\0" + bytes(4080)])
def test_a_foreign_file_is_a_problem(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    health = inspect_gallery(path)
    assert health.exists
    assert health.person_count is None
    assert len(health.problems) == 1


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_readable_permissions_are_a_problem(gallery: Gallery) -> None:
    gallery.path.chmod(0o644)
    (problem,) = inspect_gallery(gallery.path).problems
    assert "chmod 600" in problem


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM people WHERE id = 1",
        "UPDATE vectors SET vector = zeroblob(64)",
        "UPDATE samples SET content_hash = 'x'",
        "UPDATE people SET name = 'a/b'",
        "UPDATE denials SET content_hash = 'x'",
        "UPDATE denials SET box = zeroblob(8)",
        "UPDATE denials SET person_id = 7",
        "UPDATE strangers SET vector = zeroblob(64)",
        "UPDATE strangers SET remembered_at = 'then'",
    ],
)
def test_damage_is_found(gallery: Gallery, faces: FaceFactory, statement: str) -> None:
    gallery.enroll("Ada", faces.samples(3))
    gallery.deny("Ada", FaceKey.from_sample(faces.sample()))
    gallery.remember_stranger(faces.sample())
    gallery.close()
    execute_unchecked(gallery.path, statement)
    problems = inspect_gallery(gallery.path).problems
    assert problems
    assert all("damaged" in problem for problem in problems)


def test_an_overwritten_page_is_found(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(30))
    gallery.close()
    content = bytearray(gallery.path.read_bytes())
    content[-4096:] = os.urandom(4096)
    gallery.path.write_bytes(content)
    assert inspect_gallery(gallery.path).problems
