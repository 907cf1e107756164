"""``facebank settings``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

Valid = Callable[[str, Sequence[dict[str, Any]]], None]

DEFAULTS = {"fpir": 0.01, "classifier": "prototype", "stranger_share": 0.5}


@pytest.mark.usefixtures("two_people")
def test_settings_are_shown_set_and_unset(run: Run, valid: Valid) -> None:
    records = run("settings", "show", "--json").records
    valid("settings-show", records)
    assert {record["key"]: record["value"] for record in records} == DEFAULTS
    assert not any(record["is_set"] for record in records)
    record = {"key": "fpir", "value": 0.001, "default": 0.01, "is_set": True}
    changed = run("settings", "set", "fpir", "0.001", "--json").records
    valid("settings-set", changed)
    assert changed == [record]
    assert run("settings", "show", "--json").records[0] == record
    assert "classifier\tknn\tprototype\tyes" in run("settings", "set", "classifier", "knn").out
    unset = run("settings", "unset", "fpir", "--json").records
    valid("settings-unset", unset)
    assert unset == [{**record, "value": 0.01, "is_set": False}]


@pytest.mark.usefixtures("two_people")
def test_settings_alone_shows_them(run: Run) -> None:
    assert run("settings").out == run("settings", "show").out
    assert run("settings").out.splitlines()[0] == "setting\tvalue\tdefault\tset"


@pytest.mark.usefixtures("two_people")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("fpir", value) for value in ("0", "0.0009", "0.21", "nan", "1%", "", "x" * 10_000, "\x1b[31m")),
        *(("stranger_share", value) for value in ("0", "1", "inf")),
        *(("classifier", value) for value in ("", "AUTO", "forest")),
        ("threshold", "0.5"),
    ],
)
def test_what_cannot_be_is_one_sentence(run: Run, key: str, value: str) -> None:
    ran = run("settings", "set", "--", key, value, code=2)
    assert (ran.out, len(ran.err.splitlines())) == ("", 1)
    assert len(ran.err) < 300
    assert "\x1b" not in ran.err
    assert not any(record["is_set"] for record in run("settings", "show", "--json").records)


def test_settings_need_a_gallery(run: Run, gallery: Path) -> None:
    for arguments in (["show"], ["set", "fpir", "0.01"], ["unset", "fpir"], []):
        assert "no gallery" in run("settings", *arguments, code=2).err
    assert not gallery.exists()
