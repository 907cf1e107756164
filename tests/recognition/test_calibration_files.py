"""Calibration files are written and read; invalid ones are refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.packs import load_pack
from facebank.recognition.calibration.calibration import (
    Calibration,
    Calibrator,
)
from facebank.recognition.cohort import NO_CORRECTION
from facebank.recognition.pairs import PairModel
from facebank.recognition.scoring import CLASSIFIERS

from .synthetic_calibrators import (
    calibrators,
    embedded_calibration,
    equal_counts,
    probabilities_with_stranger,
)


@given(st.lists(calibrators(), max_size=3), st.text(max_size=20), st.integers(0, 2**40))
def test_calibration_round_trips(drawn: list[Calibrator], text: str, people: int) -> None:
    renamed = tuple(
        replace(calibrator, classifier=classifier) for calibrator, classifier in zip(drawn, CLASSIFIERS, strict=False)
    )
    calibration = Calibration("ab" * 32, "".join(filter(str.isprintable, text)), people, people, renamed)
    assert Calibration.from_json(calibration.to_json()) == calibration
    assert Calibration.from_json(calibration.to_json().encode()) == calibration
    for classifier in CLASSIFIERS:
        assert calibration.calibrator(classifier) == next(
            (calibrator for calibrator in renamed if calibrator.classifier == classifier), None
        )


def test_first_format_is_read_without_correction() -> None:
    (calibrator,) = Calibration.from_json(json.dumps(make_valid())).calibrators
    assert calibrator.correction == NO_CORRECTION
    assert [table.unenrolled for table in calibrator.tables] == [0, 0]


def test_embedded_calibration_corrects_scores_and_states_its_data() -> None:
    assert all(calibrator.correction.share > 0 for calibrator in embedded_calibration().calibrators)
    assert embedded_calibration().pairs is not None
    for word in ("LFW", "Families In the Wild", "Large Age Gap"):
        assert word in embedded_calibration().made_from


def test_embedded_calibration_belongs_to_the_embedded_pack() -> None:
    assert embedded_calibration().pack_digest == load_pack().digest
    assert {calibrator.classifier for calibrator in embedded_calibration().calibrators} >= {
        "prototype",
        "knn",
        "svm",
        "logistic",
    }
    assert Calibration.from_json(embedded_calibration().to_json()) == embedded_calibration()


def make_valid() -> dict[str, Any]:
    """Return the smallest valid calibration as JSON data."""
    table = {
        "size": 10,
        "evidence": [[-1.0, 1.0]] * 3,
        "thresholds": [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1],
        "thresholds_per_sample": 0.0,
        "lapse": 0.001,
    }
    calibrator = {"classifier": "knn", "knots": [0.0, 1.0], "tables": [table, {**table, "size": 100}]}
    return {
        "format": 1,
        "pack_digest": "ab",
        "made_from": "a test",
        "people": 9,
        "photos": 99,
        "calibrators": [calibrator],
    }


def test_smallest_calibration_is_read() -> None:
    calibration = Calibration.from_json(json.dumps(make_valid()))
    assert [table.size for table in calibration.calibrators[0].tables] == [10, 100]


Keys = tuple[str | int, ...]
"""Keys and indices that lead to a value in nested objects and lists."""

KNOTS = ("calibrators", 0, "knots")
TABLE = ("calibrators", 0, "tables", 0)
CURVE = (*TABLE, "evidence", 0)
CORRECTION = ("calibrators", 0, "correction")
PAIRS = dict.fromkeys(PairModel.names(), 0.5)
INVALID_VALUES: list[tuple[Keys, Any]] = [
    (("format",), 3),
    (("format",), None),
    (CORRECTION, {"share": 2.0, "level": 0.5, "shrinkage": 5.0}),
    (CORRECTION, {"share": 0.5, "level": -0.5, "shrinkage": 5.0}),
    (CORRECTION, {"share": 0.5, "level": 0.5, "shrinkage": 0.0}),
    (CORRECTION, {"share": 0.5, "level": math.nan, "shrinkage": 5.0}),
    (CORRECTION, {"share": 0.5}),
    (CORRECTION, [0.5, 0.5, 5.0]),
    (("pairs",), {**PAIRS, "steepness": math.inf}),
    (("pairs",), {**PAIRS, "lean": "0"}),
    (("pairs",), {"steepness": 1.0}),
    (("pairs",), 7),
    ((*TABLE, "further"), -1),
    ((*TABLE, "further"), 10**6),
    ((*TABLE, "further"), 5.0),
    (("people",), 1e999),
    (("people",), -1),
    (("people",), "9"),
    (("people",), True),
    (("photos",), 1.5),
    (("photos",), 10**400),
    (("pack_digest",), ["ab"]),
    (("made_from",), {"a": 1}),
    (("calibrators",), 7),
    (("calibrators",), "knn"),
    (("calibrators",), {"knn": 1}),
    (("calibrators",), [None]),
    (("calibrators", 0, "classifier"), 1),
    (KNOTS, [0.0]),
    (KNOTS, []),
    (KNOTS, [1.0, 0.0]),
    (KNOTS, [0.0, 0.0]),
    (KNOTS, [0.0, math.nan]),
    (KNOTS, [0.0, math.inf]),
    (KNOTS, [0.0, 1e6]),
    (KNOTS, [0.0, 10**400]),
    (KNOTS, [0.0, "1"]),
    (KNOTS, [False, True]),
    (KNOTS, "01"),
    (KNOTS, {"0": 1}),
    (KNOTS, [[0.0, 1.0]]),
    (KNOTS, [number / 1000 for number in range(201)]),
    (("calibrators", 0, "tables"), []),
    (("calibrators", 0, "tables"), {}),
    (("calibrators", 0, "tables"), [make_valid()["calibrators"][0]["tables"][0]] * 2),
    (
        ("calibrators", 0, "tables"),
        [{**make_valid()["calibrators"][0]["tables"][0], "size": size} for size in range(1, 42)],
    ),
    ((*TABLE, "size"), 0),
    ((*TABLE, "size"), 100),
    ((*TABLE, "size"), "10"),
    ((*TABLE, "size"), 10.0),
    ((*TABLE, "size"), -(10**400)),
    ((*TABLE, "evidence"), [[-1.0, 1.0]] * 2),
    ((*TABLE, "evidence"), [[-1.0, 1.0]] * 4),
    ((*TABLE, "evidence"), 0),
    (CURVE, [1.0, -1.0]),
    (CURVE, [0.0]),
    (CURVE, [0.0, 1.0, 2.0]),
    (CURVE, [math.nan, 1.0]),
    (CURVE, [-1e300, 1.0]),
    (CURVE, None),
    ((*TABLE, "thresholds"), [0.1 * number for number in range(8)]),
    ((*TABLE, "thresholds"), [0.5] * 7),
    ((*TABLE, "thresholds"), [math.inf] * 8),
    ((*TABLE, "thresholds_per_sample"), None),
    ((*TABLE, "thresholds_per_sample"), math.nan),
    ((*TABLE, "lapse"), 1.0),
    ((*TABLE, "lapse"), -0.1),
    ((*TABLE, "lapse"), [0.1]),
]


def find_parent(content: Any, keys: Keys) -> Any:
    """Return the object or list that contains the last key."""
    for key in keys[:-1]:
        content = content[key]
    return content


def replace_value(keys: Keys, value: Any) -> str:
    """Return a valid calibration as JSON with one value replaced."""
    content = make_valid()
    find_parent(content, keys)[keys[-1]] = value
    return json.dumps(content)


@pytest.mark.parametrize(("keys", "value"), INVALID_VALUES, ids=lambda value: str(value)[:60])
def test_invalid_calibration_is_refused(keys: Keys, value: Any) -> None:
    with pytest.raises(UsageError, match="not a calibration of a pack"):
        Calibration.from_json(replace_value(keys, value))


def list_keys(content: Any, *keys: str | int) -> list[Keys]:
    """Return the keys that lead to each value of an object, in nested objects and lists."""
    if isinstance(content, dict):
        return [item for key, value in content.items() for item in [(*keys, key), *list_keys(value, *keys, key)]]
    if isinstance(content, list):
        return [item for index, value in enumerate(content) for item in list_keys(value, *keys, index)]
    return []


@pytest.mark.parametrize("keys", list_keys(make_valid()), ids=str)
def test_every_missing_key_is_refused(keys: Keys) -> None:
    content = make_valid()
    del find_parent(content, keys)[keys[-1]]
    with pytest.raises(UsageError, match="not a calibration of a pack"):
        Calibration.from_json(json.dumps(content))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe\x00",
        "null",
        "[]",
        "1",
        '"format"',
        "{}",
        json.dumps(make_valid())[:-1],
        "[" * 100_000,
        '{"format":' * 100_000,
        '{"format": 1, "people": ' + "9" * 5000 + "}",
        '{"format": 1, "calibrators": ' + "[" * 5_000 + "]" * 5_000 + "}",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_other_content_is_refused_in_one_line(text: str | bytes) -> None:
    with pytest.raises(UsageError, match="evil") as caught:
        Calibration.from_json(text, "evil\n\x1b[31m.json")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(list_keys(make_valid())), json_values)
def test_any_value_is_read_or_refused(keys: Keys, value: Any) -> None:
    try:
        calibration = Calibration.from_json(replace_value(keys, value))
    except UsageError:
        return
    for calibrator in calibration.calibrators:
        probabilities = probabilities_with_stranger(calibrator, [0.5, 0.2], [1, 2], 10)
        assert probabilities.sum() == pytest.approx(1)
        assert math.isfinite(calibrator.threshold(equal_counts(500), 0.01))


@pytest.mark.parametrize("name", PairModel.names())
def test_pair_parameters_stay_within_computable_bounds(name: str) -> None:
    content = json.loads(embedded_calibration().to_json())
    content["pairs"][name] = 20
    Calibration.from_json(json.dumps(content))
    content["pairs"][name] = 900_000
    with pytest.raises(UsageError, match="not a calibration"):
        Calibration.from_json(json.dumps(content))


def test_text_of_a_file_is_escaped_for_terminals() -> None:
    calibration = Calibration.from_json(json.dumps({**make_valid(), "made_from": "\x1b[31mred\u202e"}))
    assert calibration.made_from.isprintable()
