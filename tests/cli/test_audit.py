"""``facebank audit``."""

from __future__ import annotations

from pathlib import Path

from .conftest import Run, Validate, run_on_terminal


def test_people_with_one_sample_are_found(run: Run, two_people: Path, validate: Validate) -> None:
    records = run("audit", "--json").records
    validate("audit", records)
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
    variables = {**environment, "FACEBANK_GALLERY": str(two_people), "COLUMNS": "80"}
    lines = [line.strip() for line in run_on_terminal([*program, "audit"], tmp_path, variables).splitlines()]
    commands = [command for record in run("audit", "--json").records for command in record["commands"]]
    assert len(commands) == 2
    assert set(commands) <= set(lines)


def test_a_wrong_name_is_found(run: Run, two_people: Path, speech: Path, portrait: Path, validate: Validate) -> None:
    run("enroll", "--name", "Barack [red] Other", speech, portrait.with_name("joe_biden_blue_room.jpg"), code=None)
    records = run("audit", "--json").records
    validate("audit", records)
    findings = [record["finding"] for record in records]
    assert findings != ["few_samples"] * 2
    titles, *rows = run("audit").out.splitlines()
    assert titles.split("\t")[0] == "finding"
    assert [row.split("\t")[0] for row in rows] == findings
    assert all(len(row.split("\t")) == 3 for row in rows)
    assert any("Barack [red] Other" in row for row in rows)
    # The separator is no shell syntax: a pasted line fails instead of running the second command.
    assert [row.split("\t")[2] for row in rows] == [", or ".join(record["commands"]) for record in records]


def test_confusable_pairs_are_limited(run: Run, two_people: Path, speech: Path, validate: Validate) -> None:
    run("enroll", "--name", "Twin", speech, code=None)
    run("enroll", "--name", "Twin", speech, "--force", code=None)
    records = run("audit", "--json").records
    validate("audit", records)
    (pair,) = (record for record in records if record["finding"] == "confusable")
    assert sorted(pair["people"]) == ["Barack Obama", "Twin"]
    assert 0.01 <= pair["expected_error"] <= 0.5
    assert pair["similarity"] is None
    assert not any(record["finding"] == "confusable" for record in run("audit", "--pairs", "0", "--json").records)
    assert "--pairs" in run("audit", "--pairs", "-1", code=2).err


def test_an_empty_gallery_has_no_findings_and_a_missing_one_is_an_error(
    run: Run, two_people: Path, gallery: Path
) -> None:
    for name in ("Barack Obama", "Eileen Collins"):
        run("people", "forget", name)
    assert run("audit", "--json").out == ""
    assert "facebank enroll" in run("audit").out
    result = run("audit", code=2, FACEBANK_GALLERY=str(gallery.with_name("none.facebank")))
    assert result.out == ""
    assert len(result.err.splitlines()) == 1


def test_people_without_samples_are_found(run: Run, two_people: Path, validate: Validate) -> None:
    for name in ("Barack Obama", "Eileen Collins"):
        (sample,) = run("people", "show", name, "--json").records
        run("people", "remove-sample", str(sample["sample_id"]))
    records = run("audit", "--json").records
    validate("audit", records)
    assert [record["finding"] for record in records] == ["no_samples", "no_samples"]
