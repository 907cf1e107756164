"""What is printed, and what is not."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import PROJECT, Run
from .test_identify import on_a_terminal


@pytest.mark.parametrize("how", [[], ["--json"], ["--csv"]])
def test_nothing_is_written_where_nothing_could_be_done(run: Run, speech: Path, how: list[str]) -> None:
    ran = run("identify", speech, *how, code=2)
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1


def test_a_refusal_names_the_photo_once(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "text.jpg").write_text("Dear diary")
    Image.new("RGB", (200, 200)).save(tmp_path / "black.png")
    text, black = run("enroll", "Ada", "text.jpg", "black.png", code=1).err.splitlines()
    assert text.count("text.jpg") == 1
    assert black == "facebank: black.png: no face was found"


@pytest.mark.parametrize("group", [[], ["people"], ["strangers"], ["packs"]])
def test_a_group_without_a_command_shows_its_help(run: Run, group: list[str]) -> None:
    ran = run(*group, code=2)
    assert "Commands:" in ran.out + ran.err
    assert "Example:" in ran.out + ran.err


def test_a_table_never_cuts_what_it_holds(
    program: list[str], environment: dict[str, str], two_people: Path, speech: Path, stranger: Path, tmp_path: Path
) -> None:
    settings = {**environment, "FACEBANK_GALLERY": str(two_people), "COLUMNS": "80", "NO_COLOR": "1"}
    photo = tmp_path / ("party-" * 20 + ".jpg")
    photo.write_bytes(speech.read_bytes())
    lines = on_a_terminal([*program, "identify", photo], tmp_path, settings).splitlines()
    assert lines[-2] == photo.name
    assert "  Barack Obama  " in lines[-1]
    assert "below_threshold" in on_a_terminal([*program, "identify", stranger], tmp_path, settings)


def test_doctor_is_colourful_only_where_that_is_wanted(
    program: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    settings = {**environment, "FACEBANK_GALLERY": str(tmp_path / "none.facebank")}
    assert "\x1b[32m" in on_a_terminal([*program, "doctor"], tmp_path, settings)
    assert "\x1b" not in on_a_terminal([*program, "doctor"], tmp_path, {**settings, "NO_COLOR": "1"})


@pytest.mark.parametrize(
    ("module", "told"), [("cv2", "facebank doctor"), ("onnxruntime", "facebank[cpu]"), ("faiss", None)]
)
def test_a_package_that_cannot_be_imported_is_one_sentence(
    environment: dict[str, str], two_people: Path, speech: Path, module: str, told: str | None
) -> None:
    without = f"import sys; sys.modules[{module!r}] = None; from facebank_cli.app import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", without, "identify", str(speech)],
        env={**environment, "FACEBANK_GALLERY": str(two_people)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if told is None:
        assert "Barack Obama" in ran.stdout
        assert (ran.returncode, ran.stderr) == (0, "")
    else:
        assert (ran.returncode, ran.stdout) == (2, "")
        assert len(ran.stderr.splitlines()) == 1
        assert told in ran.stderr


def test_a_gallery_whose_pack_is_not_installed_names_both(
    run: Run, gallery: Path, tmp_path: Path, portrait: Path, speech: Path
) -> None:
    pack = tmp_path / "own"
    pack.mkdir()
    for file in (PROJECT / "facebank" / "packs" / "embedded").iterdir():
        (pack / file.name).write_bytes(file.read_bytes())
    manifest = pack / "pack.toml"
    manifest.write_text(manifest.read_text().replace('name = "opencv"', 'name = "mine"'))
    run("--pack", pack, "enroll", "Ada", portrait)
    ran = run("identify", speech, code=2)
    assert str(gallery) in ran.err
    assert "'mine'" in ran.err
    assert "--pack" in ran.err
    assert "known" in run("--pack", pack, "identify", speech).out


def test_a_long_work_tells_a_log_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = importlib.import_module("facebank_cli.output")
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with output.progress("faces of LFW", 1000) as advance:
        for _ in range(1000):
            now[0] += 0.125
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "facebank: faces of LFW: 120 of 1,000, about 2 min left"
    assert len(lines) == 4
