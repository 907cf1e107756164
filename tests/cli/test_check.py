"""``facebank people check`` and ``people backup``."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from .conftest import Run, Validate


def test_a_flipped_bit_changes_no_identity_and_is_repaired(
    run: Run, two_people: Path, speech: Path, validate: Validate
) -> None:
    """The flipped bit is in the person id of a sample, which would assign the sample to another person."""
    (healthy,) = run("people", "check", "--json").records
    assert healthy["healthy"]
    expected = run("identify", speech, "--json").records
    with closing(sqlite3.connect(two_people)) as connection, connection:
        connection.execute("UPDATE samples SET person_id = person_id + 2 WHERE id = 1")
    failed = run("identify", speech, code=2)
    assert "--repair" in failed.err
    assert "sample 1" in failed.err
    (damaged,) = run("people", "check", "--json", code=1).records
    assert [damage["kind"] for damage in damaged["damage"]] == ["reference", "row"]
    (repaired,) = run("people", "check", "--repair", "--json").records
    assert (repaired["repaired"], repaired["lost"]) == (True, [])
    assert len(repaired["mended"]) == 1
    validate("people-check", [healthy, damaged, repaired])
    assert run("identify", speech, "--json").records == expected
    backup = run("people", "backup", "copy.facebank", "--json")
    validate("people-backup", backup.records)
    assert run("--gallery", "copy.facebank", "people", "list").out == run("people", "list").out
    assert "already" in run("people", "backup", "copy.facebank", code=2).err
    preview = run("people", "forget", "Eileen Collins", "--dry-run")
    assert "damaged-" in preview.out
    assert "copy.facebank" in preview.err


def test_lost_samples_are_listed_with_their_photos(run: Run, two_people: Path, portrait: Path) -> None:
    with closing(sqlite3.connect(two_people)) as connection, connection:
        connection.execute("UPDATE samples SET quality = quality / 3 WHERE id = 1")
    repaired = run("people", "check", "--repair", code=1)
    assert "Barack Obama" in repaired.out
    assert str(portrait) in repaired.out
    assert "is intact" in run("people", "check").out
    run("enroll", "--name", "Barack Obama", portrait)
