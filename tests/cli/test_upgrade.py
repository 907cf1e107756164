"""Galleries of an earlier version, brought up to date by whichever command opens them for writing first."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from facebank.gallery.schema import MIGRATIONS, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    from .conftest import Run

TABLES = ("packs", "gallery", "people", "samples", "thumbnails", "vectors", "settings")
TOLD = "was brought up to date; decisions may differ"


@pytest.fixture
def older(two_people: Path) -> Path:
    """The gallery of two people as the version before left it."""
    newer = two_people.with_name("newer.facebank")
    with closing(sqlite3.connect(two_people)) as connection:
        connection.execute("VACUUM INTO ?", (str(newer),))
    for file in two_people.parent.glob(f"{two_people.name}*"):
        file.unlink()
    with closing(sqlite3.connect(two_people, isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:2])
        connection.execute("ATTACH ? AS newer", (str(newer),))
        for table in TABLES:
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM newer.{table}")
    newer.unlink()
    return two_people


def test_a_command_for_people_tells_of_it_once(
    run: Run, older: Path, valid: Callable[[str, Sequence[dict[str, Any]]], None]
) -> None:
    first, second = run("people", "list", "--json"), run("people", "list", "--json")
    assert f"{older} {TOLD}" in first.err
    assert second.err == ""
    valid("people-list", first.records)
    assert first.out == second.out
    assert [record["person"] for record in first.records] == ["Barack Obama", "Eileen Collins"]


def test_identify_tells_of_it_once(run: Run, older: Path, portrait: Path) -> None:
    first, second = run("identify", portrait, "--json"), run("identify", portrait, "--json")
    assert first.err.count(f"{older} {TOLD}") == 1
    assert TOLD not in second.err
    assert first.out == second.out
    assert first.records[0]["faces"][0]["person"] == "Barack Obama"
