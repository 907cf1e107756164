"""``facebank audit``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .conftest import Run
from .test_identify import on_a_terminal

Valid = Callable[[str, Sequence[dict[str, Any]]], None]


def test_people_with_one_sample_are_found(run: Run, two_people: Path, valid: Valid) -> None:
    records = run("audit", "--json").records
    valid("audit", records)
    assert [(record["finding"], record["people"]) for record in records] == [
        ("few_samples", ["Barack Obama"]),
        ("few_samples", ["Eileen Collins"]),
    ]
    assert records[0]["commands"] == ["facebank enroll --name 'Barack Obama' PHOTO..."]


def test_commands_have_their_own_line_on_a_terminal(
    program: list[str], environment: dict[str, str], run: Run, two_people: Path, tmp_path: Path
) -> None:
    name = "Eileen O'Collins of the long name that fits into no column"
    run("people", "rename", "Eileen Collins", name)
    settings = {**environment, "FACEBANK_GALLERY": str(two_people), "COLUMNS": "80"}
    lines = [line.strip() for line in on_a_terminal([*program, "audit"], tmp_path, settings).splitlines()]
    commands = [command for record in run("audit", "--json").records for command in record["commands"]]
    assert len(commands) == 2
    assert set(commands) <= set(lines)


def test_a_wrong_name_is_found(run: Run, two_people: Path, speech: Path, portrait: Path, valid: Valid) -> None:
    run("enroll", "--name", "Barack [red] Other", speech, portrait.with_name("joe_biden_blue_room.jpg"), code=None)
    records = run("audit", "--json").records
    valid("audit", records)
    kinds = [record["finding"] for record in records]
    assert kinds != ["few_samples"] * 2
    titles, *rows = run("audit").out.splitlines()
    assert titles.split("\t")[0] == "finding"
    assert [row.split("\t")[0] for row in rows] == kinds
    assert all(len(row.split("\t")) == 3 for row in rows)
    assert any("Barack [red] Other" in row for row in rows)
    # a separator that runs nothing if somebody pastes the whole line into a shell
    assert [row.split("\t")[2] for row in rows] == [", or ".join(record["commands"]) for record in records]


def test_confusable_pairs_are_limited(run: Run, two_people: Path, speech: Path, valid: Valid) -> None:
    run("enroll", "--name", "Twin", speech, code=None)
    run("enroll", "--name", "Twin", speech, "--force", code=None)
    records = run("audit", "--json").records
    valid("audit", records)
    (pair,) = (record for record in records if record["finding"] == "confusable")
    assert sorted(pair["people"]) == ["Barack Obama", "Twin"]
    assert 0.01 <= pair["expected_error"] <= 0.5
    assert pair["similarity"] is None
    assert not any(one["finding"] == "confusable" for one in run("audit", "--pairs", "0", "--json").records)
    assert "--pairs" in run("audit", "--pairs", "-1", code=2).err


def test_an_empty_gallery_and_no_gallery(run: Run, two_people: Path, gallery: Path) -> None:
    for name in ("Barack Obama", "Eileen Collins"):
        run("people", "forget", name)
    assert run("audit", "--json").out == ""
    assert "facebank enroll" in run("audit").out
    ran = run("audit", code=2, FACEBANK_GALLERY=str(gallery.with_name("none.facebank")))
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1


def test_people_without_samples(run: Run, two_people: Path, valid: Valid) -> None:
    for name in ("Barack Obama", "Eileen Collins"):
        (sample,) = run("people", "show", name, "--json").records
        run("people", "remove-sample", str(sample["sample_id"]))
    records = run("audit", "--json").records
    valid("audit", records)
    assert [record["finding"] for record in records] == ["no_samples", "no_samples"]
