"""``people forget`` and ``remove-sample``: questions, remaining copies, and wiped files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Run, Validate, run_on_terminal

PART = ".facebank-4194399-0123456789abcdef.part"


def test_forget_lists_remaining_copies_and_wipes_caches(
    run: Run, two_people: Path, speech: Path, tmp_path: Path, validate: Validate
) -> None:
    run("people", "export", tmp_path / "backup")
    run("identify", speech, "--annotate", tmp_path / "drawn")
    cache = str(tmp_path / "cache")
    run("identify", speech, "--classifier", "svm", FACEBANK_CACHE=cache)
    (tmp_path / PART).write_bytes(b"Barack Obama")
    classifiers = list(Path(cache, "classifiers").iterdir())
    assert len(classifiers) == 1
    (preview,) = run("people", "forget", "barack obama", "--dry-run", "--json").records
    assert preview["dry_run"]
    assert "Barack Obama" in run("people", "list").out
    result = run("people", "forget", "barack obama", "--json")
    (forgotten,) = result.records
    validate("people-forget", [preview, forgotten])
    for record in (preview, forgotten):
        assert {str(classifiers[0]), str(tmp_path / PART)} <= set(record["wiped"])
        assert record["stays"] == [
            {"kind": "annotated photos", "path": str(tmp_path / "drawn")},
            {"kind": "export", "path": str(tmp_path / "backup")},
        ]
    assert f"stays: {tmp_path / 'backup'}: an export" in result.err
    own_files = [path for path in tmp_path.rglob("*") if path.is_file() and not {"backup", "drawn"} & set(path.parts)]
    assert not [path for path in own_files if b"barack" in path.read_bytes().lower()]


def test_forget_asks_on_a_terminal(
    program: list[str], environment: dict[str, str], two_people: Path, run: Run, tmp_path: Path
) -> None:
    variables = {**environment, "FACEBANK_GALLERY": str(two_people)}
    forget = [*program, "people", "forget", "Eileen Collins"]
    output = run_on_terminal(forget, tmp_path, variables, code=2, answer=b"n\n")
    assert "Forget Eileen Collins, with 1 sample, for good? [y/N]" in output
    assert "nothing was removed" in output
    output = run_on_terminal([*program, "people", "remove-sample", "1", "--yes"], tmp_path, variables)
    assert "sample 1 is removed" in output
    run_on_terminal(forget, tmp_path, variables, answer=b"y\n")
    assert "Eileen Collins" not in run("people", "list").out


def test_remove_sample_names_the_person_and_photo(
    program: list[str], environment: dict[str, str], run: Run, two_people: Path, portrait: Path, tmp_path: Path
) -> None:
    (sample,) = run("people", "show", "Barack Obama", "--json").records
    sample_id = str(sample["sample_id"])
    description = f"sample {sample_id} of Barack Obama ({portrait})"
    assert f"to be removed: {description}" in run("people", "remove-sample", sample_id, "--dry-run").out
    variables = {**environment, "FACEBANK_GALLERY": str(two_people)}
    command = [*program, "people", "remove-sample", sample_id]
    output = run_on_terminal(command, tmp_path, variables, code=2, answer=b"n\n")
    assert f"Remove sample {sample_id} of Barack Obama (" in output
    assert f"{portrait.name}), for good? [y/N]" in output


def test_a_missing_sample_is_reported_before_the_question(run: Run, two_people: Path) -> None:
    assert "There is no sample 99" in run("people", "remove-sample", "99", code=2).err


def test_doctor_reports_leftovers_and_removes_them_with_clean(run: Run, two_people: Path, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(b"Eileen")
    (finding,) = [record for record in run("doctor", "--json").records if record["subject"] == "Leftovers"]
    assert finding["severity"] == "warning"
    assert finding["command"] == "facebank doctor --clean"
    assert f"1 incomplete file of killed runs, possibly with faces or names, in {tmp_path}" in finding["detail"]
    assert (tmp_path / PART).exists()
    assert "1 leftover of killed runs removed" in run("doctor", "--clean").err
    assert not (tmp_path / PART).exists()


@pytest.mark.parametrize("shares", ["", "1"])
def test_files_with_faces_are_private(run: Run, two_people: Path, speech: Path, tmp_path: Path, shares: str) -> None:
    old_umask = os.umask(0o022)
    try:
        run("identify", speech, "--annotate", tmp_path / "drawn", FACEBANK_SHARE_FILES=shares)
        run("explain", speech, speech, "--out", tmp_path / "why.png", FACEBANK_SHARE_FILES=shares)
    finally:
        os.umask(old_umask)
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "drawn", *(tmp_path / "drawn").iterdir())]
    assert modes == ([0o755, 0o644] if shares else [0o700, 0o600])
    assert (tmp_path / "why.png").stat().st_mode & 0o777 == (0o644 if shares else 0o600)
