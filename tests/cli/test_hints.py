"""Messages about mistyped arguments suggest what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run, sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ["identify", "nofolder/"],
        ["enroll", "Ada", "nofolder/"],
        ["enroll", "--name", "Ada", "nofolder"],
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_missing_folder_is_reported_in_one_sentence(
    run: Run, two_people: Path, arguments: list[str], options: list[str]
) -> None:
    assert sentence(run(*arguments, *options, code=2)) == "there is no such file or folder: nofolder"


def test_a_missing_file_fails_without_the_others(run: Run, two_people: Path, speech: Path) -> None:
    absent, present = run("identify", "nofolder", speech, "--json", code=1).records
    assert absent["error"]
    assert present["faces"][0]["person"] == "Barack Obama"


@pytest.mark.parametrize("path", ["nofolder/x.jpg", "nofolder/", "x.jpg"])
def test_a_missing_path_is_not_used_as_a_name(run: Run, path: str) -> None:
    assert sentence(run("enroll", path, code=2)) == f"there is no such file or folder: {path}"


def test_a_missing_folder_before_a_photo_is_a_name(run: Run, speech: Path) -> None:
    result = run("enroll", "nofolder/", speech)
    assert "there is no folder nofolder/: the photos are enrolled as nofolder's" in result.err
    assert run("people", "list", "--json").records[0]["person"] == "nofolder"


def test_a_forbidden_character_of_a_name_is_shown(run: Run, speech: Path) -> None:
    assert "'/' is not allowed" in sentence(run("enroll", "Ada/Grace", speech, code=2))
    assert "U+0007 is not allowed" in sentence(run("enroll", "Ada\a", speech, code=2))


def test_an_empty_name_is_reported_as_empty(run: Run, speech: Path) -> None:
    assert "the name is empty" in sentence(run("enroll", "", speech, code=2))


@pytest.mark.parametrize("option", ["--gallery", "--pack", "--device", "--debug"])
@pytest.mark.parametrize("command", [["identify", "x.jpg"], ["people", "list"]])
def test_a_global_option_belongs_before_the_command(run: Run, command: list[str], option: str) -> None:
    assert f"{option} comes before the command" in run(*command, option, "x", code=2).err
    assert "comes before" not in run(*command, "--galery", "x", code=2).err


def test_the_error_of_a_known_pack_that_is_not_installed_names_the_command(run: Run, speech: Path) -> None:
    result = run("--pack", "buffalo_l", "verify", speech, speech, code=2)
    assert "`facebank packs install buffalo_l`" in sentence(result)


def test_annotated_copies_need_a_folder(run: Run, two_people: Path, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    result = run("identify", speech, "--annotate", "notes.txt", code=2)
    assert sentence(result) == "notes.txt is a file, not a folder: choose another name"


@pytest.mark.parametrize("command", [["identify"], ["enroll", "--name", "Barack Obama"]])
def test_videos_are_reported_and_photos_read_once(
    run: Run, two_people: Path, speech: Path, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "party").mkdir()
    (tmp_path / "party" / "speech.jpg").write_bytes(speech.read_bytes())
    (tmp_path / "party" / "clip.MP4").touch()
    result = run(*command, "party", "party/speech.jpg", tmp_path / "party", "--json")
    assert [record["image"] for record in result.records] == ["party/speech.jpg"]
    assert result.err == "facebank: 1 video skipped\n"
