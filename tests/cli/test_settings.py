"""``facebank settings``: show, set and unset."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run, Validate

DEFAULTS = {
    "fpir": 0.01,
    "classifier": "prototype",
    "stranger_share": 0.5,
    "least_probability": 0.5,
    "allow_twice": False,
    "confusable_error": 0.04,
}


@pytest.mark.usefixtures("two_people")
def test_settings_are_shown_set_and_unset(run: Run, validate: Validate) -> None:
    records = run("settings", "show", "--json").records
    validate("settings-show", records)
    assert {record["key"]: record["value"] for record in records} == DEFAULTS
    assert not any(record["is_set"] for record in records)
    record = {"key": "fpir", "value": 0.001, "default": 0.01, "is_set": True}
    changed = run("settings", "set", "fpir", "0.001", "--json").records
    validate("settings-set", changed)
    assert changed == [record]
    shown = run("settings", "show", "--json").records[0]
    assert {key: shown[key] for key in record} == record
    assert "classifier\tknn\tprototype\tyes" in run("settings", "set", "classifier", "knn").out
    assert "allow_twice\ttrue\tfalse\tyes" in run("settings", "set", "allow_twice", "true").out
    unset = run("settings", "unset", "fpir", "--json").records
    validate("settings-unset", unset)
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
        *(("least_probability", value) for value in ("-0.1", "1", "nan")),
        *(("classifier", value) for value in ("", "AUTO", "forest")),
        ("threshold", "0.5"),
    ],
)
def test_an_invalid_value_is_refused_in_one_sentence(run: Run, key: str, value: str) -> None:
    result = run("settings", "set", "--", key, value, code=2)
    assert (result.out, len(result.err.splitlines())) == ("", 1)
    assert len(result.err) < 300
    assert "\x1b" not in result.err
    assert not any(record["is_set"] for record in run("settings", "show", "--json").records)


@pytest.mark.usefixtures("two_people")
def test_the_fraction_of_strangers_named_is_shown(run: Run, validate: Validate) -> None:
    """The stricter of the two limits, probability or threshold, determines the fraction."""

    def show_fraction() -> tuple[float, bool, str]:
        records = run("settings", "show", "--json").records
        validate("settings-show", records)
        line = run("settings", "show").out.splitlines()[-2]
        return records[0]["strangers_named"], records[0]["strangers_named_is_below"], line

    fraction, is_below, line = show_fraction()
    assert 0.001 < fraction <= 0.0100001
    assert not is_below
    assert line.endswith(f"{100 * fraction:.2g} % at most")
    run("settings", "set", "least_probability", "0")
    fraction, is_below, _ = show_fraction()
    assert fraction == pytest.approx(0.01)
    assert not is_below
    run("settings", "set", "stranger_share", "0.99")
    run("settings", "set", "least_probability", "0.9")
    fraction, is_below, line = show_fraction()
    assert fraction == pytest.approx(0.001)
    assert is_below
    assert line.endswith("below 0.1 %")


def test_settings_need_a_gallery(run: Run, gallery: Path) -> None:
    for arguments in (["show"], ["set", "fpir", "0.01"], ["unset", "fpir"], []):
        assert "no gallery" in run("settings", *arguments, code=2).err
    assert not gallery.exists()


@pytest.mark.parametrize("command", [(), ("show",), ("set",), ("unset",)])
def test_help_fits_80_columns(run: Run, command: tuple[str, ...]) -> None:
    output = run("settings", *command, "--help").out
    assert "confusable_error" in output
    assert max(map(len, output.splitlines())) <= 80
