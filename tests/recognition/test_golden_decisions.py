"""Decisions match the recorded ones: person, decision, reason and order exactly, numbers to a millionth."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from facebank.operations.engine import load_engine
from tests.recognition import golden

TOLERANCE = 1e-6


@cache
def read_golden() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the recorded decisions."""
    loaded: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(golden.GOLDEN.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def galleries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a gallery of each size."""
    folder = tmp_path_factory.mktemp("golden")
    for people in golden.SIZES:
        golden.make_gallery(folder / f"{people}.facebank", load_engine(None), people)
    return folder


def test_every_reason_and_case_is_recorded() -> None:
    decisions = [face for photos in read_golden().values() for faces in photos.values() for face in faces]
    reasons = {face["reason"] for face in decisions}
    assert {
        "match",
        "below_threshold",
        "runner_up_too_near",
        "improbable",
        "confusable",
        "same_person_twice",
    } <= reasons
    assert {"face_too_poor", "remembered_stranger"} <= reasons
    assert {case.name for case in golden.cases()} == set(read_golden())


@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_decisions_match_the_recorded_ones(case: golden.Case, galleries: Path) -> None:
    path = galleries / f"{case.people}.facebank"
    actual = golden.decide(path, load_engine(None), case)
    expected = read_golden()[case.name]
    assert list(actual) == list(expected)
    for name, faces in actual.items():
        assert [drop_numbers(face) for face in faces] == [drop_numbers(face) for face in expected[name]], name
        numbers = [number for face in expected[name] for number in list_numbers(face)]
        assert [number for face in faces for number in list_numbers(face)] == pytest.approx(numbers, abs=TOLERANCE), (
            name
        )


def drop_numbers(face: dict[str, Any]) -> tuple[Any, ...]:
    """Return the values that must be equal."""
    return face["decision"], face["reason"], face["person"], [person for person, _, _ in face["candidates"]]


def list_numbers(face: dict[str, Any]) -> list[float]:
    """Return the similarities and probabilities, -1 for missing ones."""
    numbers = [number for _, similarity, probability in face["candidates"] for number in (similarity, probability)]
    return [-1.0 if number is None else number for number in [*numbers, face["stranger"]]]
