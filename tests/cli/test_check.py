"""``facebank people check`` and ``people backup``."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run


def test_a_flipped_bit_changes_no_identity_and_is_repaired(
    run: Run, two_people: Path, speech: Path, valid: Callable[..., None]
) -> None:
    """A bit of a sample's person id is flipped, which would turn the sample into another person's."""
    (healthy,) = run("people", "check", "--json").records
    assert healthy["healthy"]
    right = run("identify", speech, "--json").records
    with closing(sqlite3.connect(two_people)) as connection, connection:
        connection.execute("UPDATE samples SET person_id = person_id + 2 WHERE id = 1")
    refused = run("identify", speech, code=2)
    assert "--repair" in refused.err
    assert "sample 1" in refused.err
    (damaged,) = run("people", "check", "--json", code=1).records
    assert [damage["kind"] for damage in damaged["damage"]] == ["reference", "row"]
    (repaired,) = run("people", "check", "--repair", "--json").records
    assert (repaired["repaired"], repaired["lost"]) == (True, [])
    assert len(repaired["mended"]) == 1
    valid("people-check", [healthy, damaged, repaired])
    assert run("identify", speech, "--json").records == right
    done = run("people", "backup", "copy.facebank", "--json")
    valid("people-backup", done.records)
    assert run("--gallery", "copy.facebank", "people", "list").out == run("people", "list").out
    assert "already" in run("people", "backup", "copy.facebank", code=2).err
    planned = run("people", "forget", "Eileen Collins", "--dry-run")
    assert "damaged-" in planned.out
    assert "copy.facebank" in planned.err


def test_lost_samples_are_listed_with_their_photos(run: Run, two_people: Path, portrait: Path) -> None:
    with closing(sqlite3.connect(two_people)) as connection, connection:
        connection.execute("UPDATE samples SET quality = quality / 3 WHERE id = 1")
    repaired = run("people", "check", "--repair", code=1)
    assert "Barack Obama" in repaired.out
    assert str(portrait) in repaired.out
    assert "is intact" in run("people", "check").out
    run("enroll", "--name", "Barack Obama", portrait)
