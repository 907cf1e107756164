"""Upgrades of galleries that earlier versions wrote."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from facebank.gallery.store.migrations import MIGRATIONS, migrate

from .conftest import Run, Validate

TABLES = ("packs", "gallery", "people", "samples", "thumbnails", "vectors", "settings")
UPGRADE_MESSAGE = "was brought up to date: "
OTHER_RULES, SAME_RULES = "decisions may differ from before", "no decision changes"


def downgrade(version: int, gallery: Path) -> None:
    """Rewrite a gallery with the tables of an earlier version."""
    newer = gallery.with_name("newer.facebank")
    with closing(sqlite3.connect(gallery)) as connection:
        connection.execute("VACUUM INTO ?", (str(newer),))
    for path in gallery.parent.glob(f"{gallery.name}*"):
        path.unlink()
    with closing(sqlite3.connect(gallery, isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:version])
        connection.execute("ATTACH ? AS newer", (str(newer),))
        for table in TABLES:
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM newer.{table}")
    newer.unlink()


@pytest.fixture
def older_gallery(two_people: Path) -> Path:
    """The gallery of two people, as an earlier version wrote it."""
    downgrade(2, two_people)
    return two_people


def test_people_list_reports_the_upgrade_once(run: Run, older_gallery: Path, validate: Validate) -> None:
    first, second = run("people", "list", "--json"), run("people", "list", "--json")
    assert f"{older_gallery} {UPGRADE_MESSAGE}" in first.err
    assert OTHER_RULES in first.err
    assert f"{older_gallery}.before-schema-{len(MIGRATIONS)}.backup" in first.err
    assert second.err == ""
    validate("people-list", first.records)
    assert first.out == second.out
    assert [record["person"] for record in first.records] == ["Barack Obama", "Eileen Collins"]


def test_identify_reports_the_upgrade_once(run: Run, older_gallery: Path, portrait: Path) -> None:
    first, second = run("identify", portrait, "--json"), run("identify", portrait, "--json")
    assert first.err.count(f"{older_gallery} {UPGRADE_MESSAGE}") == 1
    assert UPGRADE_MESSAGE not in second.err
    assert first.out == second.out
    assert first.records[0]["faces"][0]["person"] == "Barack Obama"


def test_unchanged_rules_are_reported_as_such(run: Run, two_people: Path, portrait: Path) -> None:
    before = run("identify", portrait, "--json").out
    downgrade(3, two_people)
    upgraded = run("identify", portrait, "--json")
    changes = "its rows have digests that detect damage, merges can be undone"
    assert f"{two_people} {UPGRADE_MESSAGE}{changes}" in upgraded.err
    assert SAME_RULES in upgraded.err
    assert OTHER_RULES not in upgraded.err
    assert upgraded.out == before
