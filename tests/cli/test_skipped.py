"""Every command that reads folders reports unsupported pictures by kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import Run, Validate

MESSAGE = "2 camera raw files and 1 JPEG XL picture skipped: save them as JPEG or PNG to have them read"


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A person's folder with unsupported pictures."""
    folder = tmp_path / "album" / "Barack Obama"
    folder.mkdir(parents=True)
    for name in ("a.CR2", "b.nef"):
        (folder / name).write_bytes(b"II*\0" + bytes(60))
    (folder / "c.jxl").write_bytes(b"\xff\x0a" + bytes(60))
    return folder.parent


@pytest.mark.parametrize("command", [["identify"], ["enroll", "--tree"], ["tags", "show"]], ids=" ".join)
def test_a_folder_with_only_unsupported_pictures_is_refused(
    run: Run, album: Path, two_people: Path, command: list[str]
) -> None:
    output = run(*command, album, code=2).err
    assert "no photos there, only 2 camera raw files and 1 JPEG XL picture" in output


def test_scan_sort_and_tags_report_skipped_pictures(
    run: Run, album: Path, two_people: Path, speech: Path, validate: Validate, tmp_path: Path
) -> None:
    shutil.copy(speech, album / "no-extension")
    commands: dict[str, list[str | Path]] = {
        "scan": ["scan", album],
        "sort": ["sort", album, tmp_path / "sorted"],
        "tags-show": ["tags", "show", album],
        "tags-write": ["tags", "write", album],
        "tags-import": ["tags", "import", album],
        "identify": ["identify", album],
    }
    for schema, command in commands.items():
        result = run(*command, "--json")
        validate(schema, result.records)
        assert result.err.count(MESSAGE) == 1, schema
        assert [record["skipped"] for record in result.records if record.get("skipped")] == ["raw", "raw", "jpeg_xl"]
        not_skipped = [record for record in result.records if not record.get("skipped")]
        assert [Path(record["image"]).name for record in not_skipped] == ["no-extension"] or schema.startswith("tags")
    assert (tmp_path / "sorted" / "Barack Obama" / "no-extension").is_file()


def test_enroll_reports_skipped_pictures(run: Run, album: Path, portrait: Path, validate: Validate) -> None:
    shutil.copy(portrait, album / "Barack Obama" / "DSC0001")
    result = run("enroll", "--tree", album, "--json")
    validate("enroll", result.records)
    assert MESSAGE in result.err
    assert [(record["person"], record["reason"]) for record in result.records] == [("Barack Obama", "skipped")] * 3 + [
        ("Barack Obama", "enrolled")
    ]
