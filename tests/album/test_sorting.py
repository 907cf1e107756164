"""Sort plans run as they were made, and people's folder names are safe."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.album.album import Album
from facebank.album.sort.entries import SortMode, folder_name
from facebank.album.sort.journal import read_journal
from facebank.album.sort.plan import SortPlan, plan_sorting
from facebank.album.sort.run import sort_photos
from facebank.types import Decision, Face, Identity, Photo, Quality, Reason

KEY = bytes(range(32))


def make_plan(folder: Path, mode: SortMode) -> SortPlan:
    """Return a plan for one photo of two people."""
    path = folder / "album" / "photo.jpg"
    path.parent.mkdir()
    path.write_bytes(b"photo")
    identities = [Identity(Decision.KNOWN, Reason.MATCH, name, 0.9, 0.9, ()) for name in ("Ada", "Bob")]
    box, landmarks, embedding = np.zeros(4, np.float32), np.zeros((5, 2), np.float32), np.zeros(4, np.float32)
    face = Face(box, landmarks, 1.0, Quality(1.0, 100.0, 1.0, 1.0), embedding)
    photo = Photo(
        str(path), (face, face), content_hash=sha256(b"photo").hexdigest(), picture_hash="ab" * 32
    ).identified(identities)
    return plan_sorting([photo], ["Ada", "Bob"], path.parent, folder / "out", mode)


@pytest.mark.parametrize("mode", SortMode)
def test_a_plan_is_run_with_its_mode_and_folder(tmp_path: Path, mode: SortMode) -> None:
    plan = make_plan(tmp_path, mode)
    sort_photos(plan, KEY)
    photo_path, out = tmp_path / "album" / "photo.jpg", tmp_path / "out"
    people = ["Ada"] if mode is SortMode.MOVE else ["Ada", "Bob"]
    assert sorted(path.parent.name for path in out.glob("*/photo.jpg")) == people
    assert photo_path.exists() is (mode is not SortMode.MOVE)
    assert (out / "Ada" / "photo.jpg").stat().st_nlink == (3 if mode is SortMode.LINK else 1)
    assert {entry.mode for entry in read_journal(out, KEY).entries} == {mode}


def test_a_plan_for_copying_cannot_be_run_as_a_move(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, SortMode.COPY)
    with pytest.raises(FrozenInstanceError):
        plan.mode = SortMode.MOVE  # type: ignore[misc]
    runs: tuple[Callable[..., Any], ...] = (sort_photos, Album.sort)
    for run in runs:
        assert not {"mode", "out"} & set(inspect.signature(run).parameters)


@pytest.mark.parametrize(
    ("person", "folder"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("Åsa Ö. Ünal", "Åsa Ö. Ünal"),
        ("..", "_"),
        (".hidden", "_.hidden"),
        ("Dr. No.", "Dr. No"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("AC/DC", "AC_DC"),
        ("a\\b:c?", "a_b_c_"),
        ("日" * 200, "日" * 85),
        ("x" + "😀" * 200, "x" + "😀" * 63),
    ],
)
def test_the_folder_name_of_a_person_is_safe(person: str, folder: str) -> None:
    assert folder_name(person) == folder


@given(st.text(min_size=1, max_size=40))
def test_a_folder_name_is_always_one_path_component(person: str) -> None:
    name = folder_name(person)
    path = Path("out") / name
    assert name not in {"", ".", ".."}
    assert path.parent == Path("out")
    assert not name.startswith(".")
