"""``facebank doctor``: findings and exit codes."""

from __future__ import annotations

from pathlib import Path

from facebank import __version__

from .conftest import Run, Validate


def test_every_section_is_checked(run: Run, validate: Validate) -> None:
    result = run("doctor", "--json", code=None)
    validate("doctor", result.records)
    details = {finding["subject"]: finding["detail"] for finding in result.records}
    assert {finding["section"] for finding in result.records} == {
        "Software",
        "Installation",
        "Device",
        "Packs",
        "Folders",
        "Gallery",
    }
    assert {"Python", "numpy", "ONNX Runtime", "FAISS", "OpenCV", "Small network", "Pack opencv"} <= set(details)
    assert details["facebank"] == __version__
    problems = [finding for finding in result.records if finding["severity"] == "problem"]
    assert result.code == (1 if problems else 0)


def test_findings_are_printed_as_lines(run: Run, two_people: Path) -> None:
    output = run("--device", "cpu", "doctor").out
    assert "ran on: cpu" in output
    assert f"{two_people}: 2 people, 2 samples" in output
    assert output.rstrip().endswith("No problems")


def test_a_file_that_is_not_a_gallery_is_a_problem(run: Run, gallery: Path, validate: Validate) -> None:
    gallery.write_text("no gallery at all " * 100)
    records = run("doctor", "--json", code=1).records
    validate("doctor", records)
    assert [finding["section"] for finding in records if finding["severity"] == "problem"] == ["Gallery"]
    output = run("doctor", code=1).out
    assert "PROBLEM" in output
    assert output.rstrip().splitlines()[-1].startswith("1 problem")
