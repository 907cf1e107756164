"""``facebank identify``: JSON, CSV, tables and decisions."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Run, Validate, copy_with_date, paste_side_by_side, run_on_terminal


def test_json_has_exactly_the_documented_keys(
    run: Run, two_people: Path, speech: Path, stranger: Path, tmp_path: Path, validate: Validate
) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    result = run("identify", speech, stranger, "text.jpg", "--json", code=1)
    validate("identify", result.records)
    known, unknown, unreadable = result.records
    for record in result.records:
        assert set(record) == {"image", "width", "height", "turned", "error", "faces"}
    (face,) = known["faces"]
    assert set(face) == {
        *("box", "landmarks", "detection_score", "quality", "decision", "reason"),
        *("person", "similarity", "probability", "candidates", "stranger_probability"),
    }
    assert (face["decision"], face["reason"], face["person"]) == ("known", "match", "Barack Obama")
    assert face["probability"] > 0.99
    assert face["probability"] == face["candidates"][0]["probability"]
    probabilities = [candidate["probability"] for candidate in face["candidates"]]
    assert sum(probabilities) + face["stranger_probability"] == pytest.approx(1)
    assert 0 < face["stranger_probability"] < 0.01
    assert [candidate["person"] for candidate in face["candidates"]] == ["Barack Obama", "Eileen Collins"]
    assert set(face["candidates"][0]) == {"person", "similarity", "probability"}
    (other,) = unknown["faces"]
    assert (other["decision"], other["reason"], other["person"]) == ("unknown", "below_threshold", None)
    assert other["probability"] < 0.1
    assert other["stranger_probability"] > 0.9
    assert unreadable["faces"] == []
    assert (unreadable["width"], unreadable["height"], unreadable["turned"]) == (None, None, None)
    assert (known["turned"], unknown["turned"]) == (0, 0)
    assert "text.jpg" in unreadable["error"]


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_the_rotation_of_a_photo_is_reported(
    run: Run, two_people: Path, speech: Path, tmp_path: Path, validate: Validate, clockwise: int
) -> None:
    Image.open(speech).convert("RGB").rotate(-clockwise, expand=True).save(tmp_path / "rotated.png")
    identified = run("identify", "rotated.png", "--json").records
    validate("identify", identified)
    assert identified[0]["turned"] == clockwise
    assert identified[0]["faces"][0]["person"] == "Barack Obama"
    (scanned,) = run("scan", "rotated.png", "--json").records
    validate("scan", [scanned])
    assert scanned["turned"] == clockwise
    (from_scan,) = run("identify", "--scan", "--json").records
    assert from_scan["turned"] == clockwise


def test_a_person_found_twice_in_a_photo_is_uncertain_unless_allowed(
    run: Run, two_people: Path, speech: Path, portrait: Path, tmp_path: Path, validate: Validate
) -> None:
    paste_side_by_side(tmp_path / "twice.jpg", [(speech, 800), (portrait, 800)])
    records = run("identify", "twice.jpg", "--json").records
    validate("identify", records)
    decisions = sorted((face["decision"], face["reason"]) for face in records[0]["faces"])
    assert decisions == [("uncertain", "same_person_twice")] * 2
    allowed = run("identify", "twice.jpg", "--allow-twice", "--json").records
    validate("identify", allowed)
    decisions = sorted((face["decision"], face["reason"]) for face in allowed[0]["faces"])
    assert decisions == [("known", "match"), ("known", "same_person_twice")]


def test_a_stranger_is_not_a_failure(run: Run, two_people: Path, stranger: Path) -> None:
    result = run("identify", stranger)
    assert "unknown" in result.out
    assert "Obama" not in result.out


def test_piped_output_is_plain(run: Run, two_people: Path, speech: Path) -> None:
    titles, row = run("identify", speech).out.splitlines()
    assert titles.split("\t") == ["photo", "face", "person", "decision", "reason", "similarity", "probability"]
    assert row.split("\t")[:5] == [str(speech), "1", "Barack Obama", "known", "match"]


@pytest.mark.parametrize("classifier", ["prototype", "knn", "svm", "svm-rbf", "logistic"])
def test_every_classifier_identifies_the_same_person(run: Run, two_people: Path, speech: Path, classifier: str) -> None:
    (record,) = run("identify", speech, "--classifier", classifier, "--json").records
    (face,) = record["faces"]
    assert (face["decision"], face["person"]) == ("known", "Barack Obama")


def test_auto_reports_its_choice_and_the_reason(run: Run, two_people: Path, speech: Path) -> None:
    result = run("identify", speech, "--classifier", "auto")
    assert "classifier prototype: " in result.err
    assert "too few to compare" in result.err


@pytest.mark.parametrize(("option", "value"), [("--classifier", "forest"), ("--fpir", "0"), ("--stranger-share", "1")])
def test_an_invalid_setting_is_refused_in_one_sentence(
    run: Run, two_people: Path, speech: Path, option: str, value: str
) -> None:
    result = run("identify", speech, option, value, code=2)
    assert (result.out, len(result.err.splitlines())) == ("", 1)


def test_csv_has_one_line_per_face(run: Run, two_people: Path, speech: Path, tmp_path: Path) -> None:
    shutil.copy(speech, tmp_path / 'a, "b".jpg')
    run("people", "rename", "Barack Obama", 'Obama, "Barack"')
    rows = list(csv.DictReader(io.StringIO(run("identify", speech, 'a, "b".jpg', "--csv").out)))
    assert [row["image"] for row in rows] == [str(speech), 'a, "b".jpg']
    assert {row["person"] for row in rows} == {'Obama, "Barack"'}
    assert all(float(row["x1"]) < float(row["x2"]) and float(row["similarity"]) > 0 for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_csv_paths_lead_to_the_files(run: Run, two_people: Path, speech: Path, tmp_path: Path) -> None:
    names = [
        "علی\u200cرضا.jpg",
        "zero\u200bwidth\u202e.jpg",
        "two\nlines.jpg",
        "=cmd|'calc'!A0.jpg",
        "@sum.jpg",
        "é\udcff.jpg",
    ]
    for name in names:
        shutil.copy(speech, tmp_path / name)
    run("people", "rename", "Barack Obama", "علی\u200cرضا")

    def redirect_to_file() -> None:  # one name is not UTF-8
        os.dup2(os.open("found.csv", os.O_CREAT | os.O_WRONLY, 0o600), 1)

    result = run("identify", *names, "--csv", child_setup=redirect_to_file)
    assert result.out == ""
    with (tmp_path / "found.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["image"]).name for row in rows] == names
    assert all((tmp_path / row["image"]).is_file() for row in rows)
    assert not any(row["image"].startswith(("=", "@")) for row in rows)
    assert {row["person"] for row in rows} == {"علی\u200cرضا"}


def test_json_and_csv_exclude_each_other(run: Run, two_people: Path, speech: Path) -> None:
    assert "--csv" in run("identify", speech, "--json", "--csv", code=2).err


def test_csv_on_a_terminal_is_escaped(
    program: list[str], environment: dict[str, str], two_people: Path, speech: Path, tmp_path: Path
) -> None:
    path = tmp_path / "\x1b[31mred\x07.jpg"
    path.write_bytes(speech.read_bytes())
    variables = {**environment, "FACEBANK_GALLERY": str(two_people)}
    output = run_on_terminal([*program, "identify", path, "--csv"], tmp_path, variables)
    assert "red" in output
    assert all(character.isprintable() or character in "\t\r\n" for character in output)


def test_a_table_on_a_terminal_has_colors_unless_disabled(
    program: list[str], environment: dict[str, str], two_people: Path, speech: Path, stranger: Path, tmp_path: Path
) -> None:
    variables = {**environment, "FACEBANK_GALLERY": str(two_people), "COLUMNS": "200"}
    colored = run_on_terminal([*program, "identify", speech, stranger], tmp_path, variables)
    assert "\x1b[1;32mknown" in colored
    assert "Barack Obama" in colored
    assert "Identifying" in colored
    plain = run_on_terminal([*program, "identify", speech, stranger], tmp_path, {**variables, "NO_COLOR": "1"})
    assert "Barack Obama" in plain
    assert "\x1b[1;32m" not in plain
    assert "\x1b[32m" not in plain


def test_a_closed_pipe_is_not_reported(
    program: list[str], environment: dict[str, str], two_people: Path, speech: Path, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [*program, "identify", *[str(speech)] * 3, "--json"],
        cwd=tmp_path,
        env={**environment, "FACEBANK_GALLERY": str(two_people)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.parametrize("name", ["\x1b[31mred\x07.jpg", "a\nb.jpg", "\u202egnp.jpg", "name [bold].jpg"])
@pytest.mark.parametrize("options", [[], ["--json"], ["--csv"]])
def test_file_names_are_escaped_on_a_terminal(
    run: Run, two_people: Path, tmp_path: Path, name: str, options: list[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).write_text("no photo")
    result = run("identify", "folder", *options, code=1)
    output = result.err if "--csv" in options else result.out + result.err  # CSV has the paths verbatim
    assert all(character.isprintable() or character in "\t\n" for character in output)
    assert len(result.err.splitlines()) == 1
    if options == ["--json"]:
        assert [Path(record["image"]).name for record in result.records] == [name]


def test_a_file_name_that_is_not_utf8_is_reported(run: Run, two_people: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / os.fsdecode(b"\xff.jpg")).write_text("no photo")
    (record,) = run("identify", "folder", "--json", code=1).records
    assert os.fsencode(record["image"]) == b"folder/\xff.jpg"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2001:05:06 07:08:09", ("uncertain", "before_birth", None)),
        ("2014:12:31 23:59:59", ("known", "match", "Barack Obama")),  # a tolerance of a day for time zones
        ("2016:05:06 07:08:09", ("known", "match", "Barack Obama")),
        ("2000:01:01 00:00:10", ("known", "match", "Barack Obama")),  # a camera clock after a reset
    ],
)
def test_nobody_is_named_in_a_photo_from_before_their_birth(
    run: Run, two_people: Path, speech: Path, tmp_path: Path, validate: Validate, moment: str, expected: tuple[str, ...]
) -> None:
    (tmp_path / "album").mkdir()
    copy_with_date(speech, tmp_path / "album" / "dated.jpg", moment)
    run("people", "set", "Barack Obama", "--born", "2015")
    run("scan", "album")
    for arguments in (("identify", "album"), ("identify", "--scan")):
        result = run(*arguments, "--json")
        validate("identify", result.records)
        (face,) = result.records[0]["faces"]
        assert (face["decision"], face["reason"], face["person"]) == expected
    named = expected[2] is not None
    assert len(run("find", "Barack Obama", "--json").records) == named
    sorted_photos = run("sort", "album", "sorted", "--json").records
    assert any("Barack Obama" in str(record) for record in sorted_photos) == named


def test_a_file_date_is_not_a_camera_date(run: Run, two_people: Path, speech: Path, tmp_path: Path) -> None:
    copy = tmp_path / "undated.png"
    with Image.open(speech) as image:
        Image.fromarray(np.asarray(image.convert("RGB"))).save(copy)
    os.utime(copy, (978_307_200, 978_307_200))
    run("people", "set", "Barack Obama", "--born", "2015")
    (record,) = run("identify", copy, "--json").records
    assert record["faces"][0]["person"] == "Barack Obama"


def test_a_folder_ends_with_a_summary(run: Run, two_people: Path, tmp_path: Path, speech: Path, stranger: Path) -> None:
    (tmp_path / "album").mkdir()
    for number, path in enumerate((speech, speech, stranger)):
        shutil.copy(path, tmp_path / "album" / f"{number}.jpg")
    (tmp_path / "album" / "text.jpg").write_text("no photo")
    for options in ((), ("--json",)):
        result = run("identify", "album", *options, code=1)
        assert result.err.splitlines()[-1] == (
            "facebank: 4 photos with 3 faces, 2 known, 0 uncertain, 1 unknown, 1 unreadable; Barack Obama in 2"
        )
        assert "Barack Obama in 2" not in result.out
    assert "photos with" not in run("identify", speech).err


def test_annotated_copies_in_a_folder_are_skipped(
    run: Run, two_people: Path, tmp_path: Path, speech: Path, stranger: Path
) -> None:
    (tmp_path / "album").mkdir()
    for path in (speech, stranger):
        shutil.copy(path, tmp_path / "album")
    run("identify", "album", "--annotate", "album/named")
    message = "2 annotated copies skipped"
    result = run("identify", "album", "--json")
    assert [Path(record["image"]).parent.name for record in result.records] == ["album", "album"]
    assert message in result.err
    for _ in range(2):
        result = run("scan", "album")
        assert message in result.err
        assert "2 faces in 2 photos (2 files)" in result.out
    enrolled = run("enroll", "--name", "Joe Biden", "album/named", code=2)
    assert "no photos there" in enrolled.err
    named_copy = f"album/named/{speech.name}"
    assert len(run("identify", named_copy, "--json").records) == 1  # as it is named on the command line
