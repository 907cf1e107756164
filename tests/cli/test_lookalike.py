"""``facebank lookalike``: ranking by resemblance."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run, Validate


def test_everybody_is_ranked_by_resemblance(run: Run, two_people: Path, stranger: Path, validate: Validate) -> None:
    records = run("lookalike", stranger, "--json").records
    validate("lookalike", records)
    (record,) = records
    assert (record["image"], record["face"], record["people"]) == (str(stranger), 1, 2)
    assert record["heading"] == "resemblance, not identity"
    shares = [lookalike["share"] for lookalike in record["lookalikes"]]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    (identified,) = run("identify", stranger, "--json").records
    candidates = identified["faces"][0]["candidates"]
    assert [lookalike["person"] for lookalike in record["lookalikes"]] == [
        candidate["person"] for candidate in candidates
    ]
    for lookalike, candidate in zip(record["lookalikes"], candidates, strict=True):
        assert lookalike["similarity"] == pytest.approx(candidate["similarity"], abs=1e-4)


def test_the_table_has_a_heading_and_all_shares(run: Run, two_people: Path, speech: Path) -> None:
    run("people", "rename", "Eileen Collins", "Eileen [bold] Collins")
    heading, titles, *rows = run("lookalike", speech).out.splitlines()
    assert heading == f"resemblance, not identity: {speech}, face 1"
    assert titles.split("\t") == ["person", "similarity", "share"]
    assert [row.split("\t")[0] for row in rows] == ["Barack Obama", "Eileen [bold] Collins"]
    assert all(row.endswith("%") for row in rows)
    *_, first, others = run("lookalike", speech, "--top", "1").out.splitlines()
    assert first == rows[0]
    assert others.split("\t")[0] == "(1 more)"
    assert sum(float(row.split("\t")[2].rstrip("%")) for row in (first, others)) == pytest.approx(100, abs=0.11)


def test_a_gallery_without_samples_is_refused(run: Run, two_people: Path, speech: Path) -> None:
    for name in ("Barack Obama", "Eileen Collins"):
        (sample,) = run("people", "show", name, "--json").records
        run("people", "remove-sample", str(sample["sample_id"]))
    result = run("lookalike", speech, code=2)
    assert result.out == ""
    assert "facebank enroll" in result.err
    assert "--top" in run("lookalike", speech, "--top", "0", code=2).err


def test_a_missing_gallery_is_refused(run: Run, speech: Path) -> None:
    result = run("lookalike", speech, code=2)
    assert len(result.err.splitlines()) == 1
