"""``facebank --index``: Milvus Lite, unreachable servers and invalid addresses."""

from __future__ import annotations

import importlib.util
import os
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run

NOBODY = "milvus://127.0.0.1:1/family"


@pytest.fixture
def lite() -> str:
    """Return the address of a Milvus Lite file in the test's folder."""
    lacking = [name for name in ("pymilvus", "milvus_lite") if importlib.util.find_spec(name) is None]
    if lacking:
        (pytest.fail if os.environ.get("FACEBANK_CI_MILVUS") else pytest.skip)(f"not installed: {', '.join(lacking)}")
    return "milvus-lite:vectors.db"


def test_people_are_searched_and_forgotten_on_the_index(
    run: Run, two_people: Path, speech: Path, lite: str, valid: Callable[..., None]
) -> None:
    here = run("identify", speech, "--json").records
    there = run("--index", lite, "identify", speech, "--json")
    assert (there.records, there.err) == (here, "")
    forgotten = run("people", "forget", "Eileen Collins", "--json")
    (record,) = forgotten.records
    valid("people-forget", [record])
    (address,) = record["mirrors"]
    assert f"--index {address}" in forgotten.err
    (checked,) = run("people", "check", "--json").records
    valid("people-check", [checked])
    assert checked["mirrors"] == [{"address": address, "behind": True, "owes": True}]
    assert "may still hold" in run("people", "check").err
    assert f"--index {address} people check" in run("doctor", code=None).out.replace("'", "")
    (checked,) = run("--index", lite, "people", "check", "--json").records
    assert checked["mirrors"] == [{"address": address, "behind": False, "owes": False}]
    dropped = run("people", "unmirror", lite, "--json")
    valid("people-unmirror", dropped.records)
    assert dropped.records == [{"address": address, "known": True}]
    assert run("people", "check", "--json").records[0]["mirrors"] == []


def test_an_unreachable_index(run: Run, two_people: Path, speech: Path, lite: str) -> None:
    start = time.monotonic()
    failed = run("--index", NOBODY, "identify", speech, code=2, FACEBANK_MILVUS_TOKEN="root:very-secret")
    assert time.monotonic() - start < 60
    assert (failed.out.count("\n"), failed.err.count("\n")) == (0, 1)
    assert "milvus://127.0.0.1:1/family: Milvus does not answer" in failed.err
    assert "very-secret" not in failed.err
    lenient = run("--index", NOBODY, "--fallback", "local", "identify", speech, "--json")
    assert lenient.records == run("identify", speech, "--json").records
    assert lenient.err.count("this machine searches instead") == 1
    gone = run("people", "unmirror", NOBODY, "--gone")
    assert "is forgotten" in gone.out


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("milvus://host", "is not an address of an index"),
        ("redis://host/family", "is not an address of an index"),
        ("milvus://host:99999/family", "is not an address of an index"),
        ("milvus://root:very-secret@host/family", "FACEBANK_MILVUS_TOKEN"),
        ("milvus://host/family?index=hnsw", "flat or ivf_flat"),
        ("milvus://host/family?nprobe=3", "index=ivf_flat"),
        ("milvus://host/family?index=ivf_flat&nlist=many", "nlist must be a number"),
        ("milvus://host/family?token=very-secret", "at most"),
        ("milvus+tls://host/family?ca=absent.pem", "certificates"),
        ("milvus-lite:absent/vectors.db", "in an existing folder"),
    ],
)
def test_invalid_addresses(run: Run, two_people: Path, speech: Path, address: str, message: str) -> None:
    failed = run("--index", address, "identify", speech, code=2)
    assert message in failed.err
    assert "very-secret" not in failed.err


def test_a_fallback_needs_an_index(run: Run) -> None:
    assert "--index" in run("--fallback", "local", "people", "list", code=2).err
