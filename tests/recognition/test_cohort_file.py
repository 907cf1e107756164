"""The stored cohort of a gallery's scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebank.gallery.derived import cohort_file, wipe_derived
from facebank.recognition.cohort_file import (
    MAX_PEOPLE,
    album_people_problem,
    album_version,
    read_album_people,
    warn_of_unusable_people,
    write_album_people,
)
from tests.recognition.synthetic import DIMENSION
from tests.recognition.test_cohort import make_people

DIGEST = "ab" * 32


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "family.facebank"


def test_cohort_round_trips_and_is_wiped(gallery: Path) -> None:
    people = make_people(0, 7)
    assert read_album_people(gallery, DIGEST, DIMENSION) is None
    assert album_version(gallery) == 0
    write_album_people(gallery, DIGEST, people)
    assert album_version(gallery) > 0
    stored = read_album_people(gallery, DIGEST, DIMENSION)
    assert stored is not None
    assert np.array_equal(stored, people)
    assert cohort_file(gallery).stat().st_mode & 0o077 == 0
    wipe_derived(gallery)
    assert read_album_people(gallery, DIGEST, DIMENSION) is None


def test_people_with_most_faces_are_kept(gallery: Path) -> None:
    people = make_people(0, MAX_PEOPLE + 5)
    write_album_people(gallery, DIGEST, people)
    stored = read_album_people(gallery, DIGEST, DIMENSION)
    assert stored is not None
    assert np.array_equal(stored, people[:MAX_PEOPLE])


def test_scan_without_people_is_kept(gallery: Path) -> None:
    write_album_people(gallery, DIGEST, make_people(0, 7)[:0])
    stored = read_album_people(gallery, DIGEST, DIMENSION)
    assert stored is not None
    assert stored.shape == (0, DIMENSION)


def test_damaged_files_and_those_of_other_packs_are_ignored(gallery: Path) -> None:
    assert album_people_problem(gallery, DIGEST, DIMENSION) is None
    write_album_people(gallery, DIGEST, make_people(0, 7))
    assert album_people_problem(gallery, DIGEST, DIMENSION) is None
    for digest, dimension in (("cd" * 32, DIMENSION), (DIGEST, DIMENSION + 1)):
        assert read_album_people(gallery, digest, dimension) is None
        assert "is damaged, or was made with another pack: " in (album_people_problem(gallery, digest, dimension) or "")
    path = cohort_file(gallery)
    original = path.read_bytes()
    for damaged in (
        b"",
        original[:50],
        original[:-1],
        original[:-1] + b"\x00",
        original + b"\x00" * 64,
        b"x" * len(original),
    ):
        path.write_bytes(damaged)
        assert read_album_people(gallery, DIGEST, DIMENSION) is None
        assert f"{path} is damaged: " in (album_people_problem(gallery, DIGEST, DIMENSION) or "")
    path.unlink()
    path.symlink_to("/dev/zero")
    assert read_album_people(gallery, DIGEST, DIMENSION) is None
    assert f"{path} is damaged: " in (album_people_problem(gallery, DIGEST, DIMENSION) or "")


def test_every_flipped_bit_is_detected(gallery: Path) -> None:
    write_album_people(gallery, DIGEST, make_people(0, 2))
    path = cohort_file(gallery)
    original = path.read_bytes()
    for index in range(len(original)):
        path.write_bytes(original[:index] + bytes([original[index] ^ 1 << index % 8]) + original[index + 1 :])
        assert album_people_problem(gallery, DIGEST, DIMENSION) is not None


def test_damage_warns_once(gallery: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_album_people(gallery, DIGEST, make_people(0, 7))
    warn_of_unusable_people(gallery, DIGEST, DIMENSION)
    assert caplog.messages == []
    cohort_file(gallery).write_bytes(b"x" * 200)
    for _ in range(2):
        warn_of_unusable_people(gallery, DIGEST, DIMENSION)
    assert caplog.messages == [album_people_problem(gallery, DIGEST, DIMENSION)]
