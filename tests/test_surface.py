"""The list of public interfaces by which two versions are compared."""

from __future__ import annotations

import sys

import pytest

from benchmarks.surface import PROJECT, keys, main, surface


def test_the_public_interface_is_listed() -> None:
    assert {
        "command facebank --gallery",
        "command facebank people list --json",
        "command facebank identify argument 1",
        "schema identify.faces[].box",
        'schema identify.faces[].reason = "below_threshold"',
        "error LicenceNotAcceptedError",
        "word below_threshold",
        "python FaceBank",
    } <= surface(PROJECT)


def test_keys_are_found_in_nested_schemas() -> None:
    schema = {"oneOf": [{"properties": {"a": {"const": 1}}}], "$defs": {"part": {"properties": {"b": {}}}}}
    assert set(keys(schema, "x")) == {"schema x.a", "schema x.a = 1", "schema x part.b"}


def test_a_version_compared_with_itself_has_no_differences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["surface", "--before", sys.executable, "--documents", str(PROJECT)])
    assert main() == 0
    assert capsys.readouterr().out == "nothing is missing\n"
