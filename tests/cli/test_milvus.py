"""``facebank --index``: Milvus Lite, unreachable servers and invalid addresses."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import pytest

from .conftest import Run, Validate

UNREACHABLE = "milvus://127.0.0.1:1/family"


@pytest.fixture
def lite() -> str:
    """The address of a Milvus Lite file in the test's folder."""
    missing = [name for name in ("pymilvus", "milvus_lite") if importlib.util.find_spec(name) is None]
    if missing:
        (pytest.fail if os.environ.get("FACEBANK_CI_MILVUS") else pytest.skip)(f"not installed: {', '.join(missing)}")
    return "milvus-lite:vectors.db"


def test_people_are_searched_and_forgotten_on_the_index(
    run: Run, two_people: Path, speech: Path, lite: str, validate: Validate
) -> None:
    local = run("identify", speech, "--json").records
    remote = run("--index", lite, "identify", speech, "--json")
    assert (remote.records, remote.err) == (local, "")
    forgotten = run("people", "forget", "Eileen Collins", "--json")
    (record,) = forgotten.records
    validate("people-forget", [record])
    (address,) = record["mirrors"]
    assert f"--index {address}" in forgotten.err
    (checked,) = run("people", "check", "--json").records
    validate("people-check", [checked])
    assert checked["mirrors"] == [{"address": address, "behind": True, "owes": True}]
    assert "may still hold" in run("people", "check").err
    assert f"--index {address} people check" in run("doctor", code=None).out.replace("'", "")
    (checked,) = run("--index", lite, "people", "check", "--json").records
    assert checked["mirrors"] == [{"address": address, "behind": False, "owes": False}]
    unmirrored = run("people", "unmirror", lite, "--json")
    validate("people-unmirror", unmirrored.records)
    assert unmirrored.records == [{"address": address, "known": True}]
    assert run("people", "check", "--json").records[0]["mirrors"] == []


def test_an_unreachable_index_is_an_error_unless_the_machine_may_search(
    run: Run, two_people: Path, speech: Path, lite: str
) -> None:
    start_time = time.monotonic()
    failed = run("--index", UNREACHABLE, "identify", speech, code=2, FACEBANK_MILVUS_TOKEN="root:very-secret")
    assert time.monotonic() - start_time < 60
    assert (failed.out.count("\n"), failed.err.count("\n")) == (0, 1)
    assert "milvus://127.0.0.1:1/family: Milvus does not answer" in failed.err
    assert "very-secret" not in failed.err
    fallback = run("--index", UNREACHABLE, "--fallback", "local", "identify", speech, "--json")
    assert fallback.records == run("identify", speech, "--json").records
    assert fallback.err.count("searching on this machine instead") == 1
    assert "--gone" in run("people", "unmirror", UNREACHABLE, code=2).err
    unmirrored = run("people", "unmirror", UNREACHABLE, "--gone")
    assert "is forgotten" in unmirrored.out


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("milvus://host", "is not an address of an index"),
        ("redis://host/family", "is not an address of an index"),
        ("milvus://host:99999/family", "is not an address of an index"),
        ("milvus://host:0/family", "is not an address of an index"),
        ("milvus://root:very-secret@host/family", "FACEBANK_MILVUS_TOKEN"),
        ("milvus://host/family?index=hnsw", "flat or ivf_flat"),
        ("milvus://host/family?nprobe=3", "index=ivf_flat"),
        ("milvus://host/family?index=ivf_flat&nlist=many", "nlist must be a number"),
        ("milvus://host/family?token=very-secret", "at most"),
        ("milvus+tls://host/family?ca=absent.pem", "certificates"),
        ("milvus-lite:absent/vectors.db", "in an existing folder"),
    ],
)
def test_invalid_addresses_of_an_index_are_refused(
    run: Run, two_people: Path, speech: Path, address: str, message: str
) -> None:
    failed = run("--index", address, "identify", speech, code=2)
    assert message in failed.err
    assert "very-secret" not in failed.err


def test_a_fallback_needs_an_index(run: Run) -> None:
    assert "--index" in run("--fallback", "local", "people", "list", code=2).err
