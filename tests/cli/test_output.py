"""Tables, messages, colors and progress."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Run, copy_embedded_pack, run_on_terminal


@pytest.mark.parametrize("options", [[], ["--json"], ["--csv"]])
def test_nothing_is_written_without_a_gallery(run: Run, speech: Path, options: list[str]) -> None:
    result = run("identify", speech, *options, code=2)
    assert result.out == ""
    assert len(result.err.splitlines()) == 1


def test_a_refusal_names_the_photo_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("Dear diary")
    Image.new("RGB", (200, 200)).save(tmp_path / "black.png")
    text, black = run("enroll", "Ada", "text.jpg", "black.png", code=1).err.splitlines()
    assert text.count("text.jpg") == 1
    assert black == "facebank: black.png: no face was found"


@pytest.mark.parametrize("group", [[], ["people"], ["strangers"], ["packs"]])
def test_a_group_without_a_command_shows_its_help(run: Run, group: list[str]) -> None:
    result = run(*group, code=2)
    assert "Usage:" in result.out + result.err
    assert "Example:" in result.out + result.err


def test_a_table_never_cuts_cells(
    program: list[str], environment: dict[str, str], two_people: Path, speech: Path, stranger: Path, tmp_path: Path
) -> None:
    variables = {**environment, "FACEBANK_GALLERY": str(two_people), "COLUMNS": "80", "NO_COLOR": "1"}
    path = tmp_path / ("party-" * 20 + ".jpg")
    path.write_bytes(speech.read_bytes())
    lines = run_on_terminal([*program, "identify", path], tmp_path, variables).splitlines()
    assert lines[-2] == path.name
    assert "  Barack Obama  " in lines[-1]
    assert "below_threshold" in run_on_terminal([*program, "identify", stranger], tmp_path, variables)


def test_a_table_of_three_columns_keeps_its_paths_whole(
    program: list[str], environment: dict[str, str], run: Run, two_people: Path, speech: Path, tmp_path: Path
) -> None:
    variables = {**environment, "FACEBANK_GALLERY": str(two_people), "COLUMNS": "80", "NO_COLOR": "1"}
    path = tmp_path / "all photos" / ("party-" * 8 + ".jpg")
    path.parent.mkdir()
    path.write_bytes(speech.read_bytes())
    run("scan", "all photos")
    shown_path = f"all photos/{path.name}"
    assert shown_path in run_on_terminal([*program, "find", "Barack Obama"], tmp_path, variables).splitlines()
    lines = run_on_terminal([*program, "sort", "all photos", "sorted", "--dry-run"], tmp_path, variables).splitlines()
    assert lines[-3:-1] == [shown_path, f"  sorted/Barack Obama/{path.name}"]


def test_a_table_that_is_too_wide_has_a_line_for_each_cell(
    program: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    output = run_on_terminal([*program, "packs", "list"], tmp_path, {**environment, "COLUMNS": "80", "TERM": "dumb"})
    lines = output.splitlines()
    assert lines[:2] == ["opencv", "  installed: with facebank"]
    assert "  license: MIT (YuNet), Apache-2.0 (SFace)" in lines


def test_columns_move_to_a_second_line_until_the_others_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = importlib.import_module("facebank_cli.output")
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.write_table(("sample", "photo", "quality", "taken"), [("4", "a long path/ada.jpg", "0.96", "2012-12-06")])
    text = re.sub(r"\x1b\[[0-9]*m", "", capsys.readouterr().out)
    assert text.splitlines() == [
        "sample  photo",
        "  quality  taken",
        "4  a long path/ada.jpg",
        "  0.96     2012-12-06",
    ]


def test_messages_above_a_bar_are_not_wrapped(
    program: list[str], environment: dict[str, str], two_people: Path, speech: Path, tmp_path: Path
) -> None:
    variables = {**environment, "FACEBANK_GALLERY": str(two_people), "COLUMNS": "60", "NO_COLOR": "1"}
    path = tmp_path / ("a photo of nothing at all " * 3 + ".jpg")
    path.write_text("Dear diary")
    output = run_on_terminal([*program, "enroll", "Ada", speech, path, "--force"], tmp_path, variables, code=1)
    assert f"{path} is not a photo: unknown file format" in output


def test_doctor_has_colors_unless_disabled(program: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    variables = {**environment, "FACEBANK_GALLERY": str(tmp_path / "none.facebank")}
    assert "\x1b[32m" in run_on_terminal([*program, "doctor"], tmp_path, variables)
    assert "\x1b" not in run_on_terminal([*program, "doctor"], tmp_path, {**variables, "NO_COLOR": "1"})


@pytest.mark.parametrize(
    ("module", "advice"), [("cv2", "facebank doctor"), ("onnxruntime", "facebank[cpu]"), ("faiss", None)]
)
def test_an_import_error_is_one_sentence(
    environment: dict[str, str], two_people: Path, speech: Path, module: str, advice: str | None
) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from facebank_cli.app import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", code, "identify", str(speech)],
        env={**environment, "FACEBANK_GALLERY": str(two_people)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if advice is None:
        assert "Barack Obama" in result.stdout
        assert (result.returncode, result.stderr) == (0, "")
    else:
        assert (result.returncode, result.stdout) == (2, "")
        assert len(result.stderr.splitlines()) == 1
        assert advice in result.stderr


def test_an_error_about_a_missing_pack_names_the_gallery_and_the_pack(
    run: Run, gallery: Path, tmp_path: Path, portrait: Path, speech: Path
) -> None:
    pack = tmp_path / "own"
    copy_embedded_pack(pack)
    manifest = pack / "pack.toml"
    manifest.write_text(manifest.read_text().replace('name = "opencv"', 'name = "mine"'))
    run("--pack", pack, "enroll", "Ada", portrait)
    result = run("identify", speech, code=2)
    assert str(gallery) in result.err
    assert "'mine'" in result.err
    assert "--pack" in result.err
    assert "known" in run("--pack", pack, "identify", speech).out


def test_a_log_has_progress_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    progress = importlib.import_module("facebank_cli.progress")
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress.ProgressBar() as bar:
        bar.begin("faces of LFW", 1000)
        for _ in range(1000):
            now[0] += 0.125
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "facebank: faces of LFW: 120 of 1,000, about 2 min left"
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "about 1 s"), (62, "about 62 s"), (300, "about 5 min"), (9000, "about 2.5 h")]
)
def test_durations_are_rounded(seconds: float, text: str) -> None:
    assert importlib.import_module("facebank_cli.progress").duration(seconds) == text
