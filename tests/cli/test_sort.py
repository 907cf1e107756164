"""``facebank sort``: copied, linked and moved photos and their sidecars."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facebank.album.sort.journal import JOURNAL
from tests.demo_photos import BLUE_ROOM

from .conftest import Run, Validate, contents, fill_album

OBAMA, COLLINS = "Barack Obama", "Eileen Collins"


@pytest.fixture
def album(two_people: Path, tmp_path: Path) -> Path:
    """A folder with two enrolled people, alone and together, and a stranger."""
    return fill_album(tmp_path / "album")


def test_a_dry_run_changes_nothing(run: Run, album: Path, tmp_path: Path) -> None:
    assert len(run("sort", album, tmp_path / "sorted", "--dry-run", "--json").records) == 4
    output = run("sort", album, tmp_path / "sorted", "--dry-run").out.splitlines()
    assert output[0] == "photo\tto"
    assert f"{Path('album', 'speech.jpg')}\t{Path('sorted', OBAMA, 'speech.jpg')}" in output
    assert output[-1] == "4 photos would be sorted"
    assert not (tmp_path / "sorted").exists()


def test_sorted_links_are_the_same_file(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    run("sort", album, out, "--link")
    assert (out / OBAMA / "speech.jpg").samefile(album / "speech.jpg")
    run("sort", album, out, "--undo")
    assert (album / "speech.jpg").exists()


def test_nothing_is_overwritten(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    (out / OBAMA).mkdir(parents=True)
    (out / OBAMA / "speech.jpg").write_text("my notes")
    (out / OBAMA / "together.png").symlink_to(tmp_path / "nowhere")
    shutil.copy(album / "speech.jpg", album / "space" / "speech.jpg")
    run("sort", album, out)
    assert (out / OBAMA / "speech.jpg").read_text() == "my notes"
    assert (out / OBAMA / "speech (2).jpg").read_bytes() == (album / "speech.jpg").read_bytes()
    assert (out / OBAMA / "together.png").is_symlink()
    assert (out / OBAMA / "together (2).png").is_file()
    assert not (out / OBAMA / "speech (3).jpg").exists()  # the photo in the other folder is identical
    run("sort", album, out, "--undo")
    assert set(contents(out)) == {f"{OBAMA}/speech.jpg"}


def test_invalid_arguments_and_journals_are_reported(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    assert "exclude each other" in run("sort", album, out, "--copy", "--move", code=2).err
    assert "outside of it" in run("sort", album, album / "sorted", code=2).err
    assert "nothing was sorted" in run("sort", album, out, "--undo", code=2).err
    assert "no such file or folder" in run("sort", tmp_path / "none", out, code=2).err
    out.mkdir()
    (out / JOURNAL).write_text("[1, 2]\n")
    assert "is damaged" in run("sort", album, out, "--undo", code=2).err


@pytest.mark.parametrize(("option", "is_kept"), [("--copy", True), ("--link", True), ("--move", False)])
def test_sidecars_stay_with_their_photos(run: Run, album: Path, tmp_path: Path, option: str, is_kept: bool) -> None:
    out = tmp_path / "sorted"
    (album / "speech.jpg.xmp").write_text("speech")
    (album / "space" / "collins.xmp").write_text("collins")
    shutil.copy(album / "biden.jpg", album / "together.jpg")  # which makes together.xmp ambiguous
    (album / "together.xmp").write_text("together")
    before = contents(album)
    assert run("sort", album, out, option).out == f"{4 if is_kept else 3} photos sorted\n"
    sidecars = {name: data for name, data in contents(out).items() if name.endswith(".xmp")}
    assert sidecars == {f"{OBAMA}/speech.jpg.xmp": b"speech", f"{COLLINS}/collins.xmp": b"collins"}
    assert (out / OBAMA / "speech.jpg.xmp").stat().st_nlink == 1
    assert (album / "speech.jpg.xmp").exists() == is_kept
    assert (album / "together.xmp").exists()
    assert run("sort", album, out, "--undo").out == f"{4 if is_kept else 3} photos undone\n"
    assert contents(album) == before
    assert not out.exists()


def test_an_existing_sidecar_is_not_overwritten(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    (album / "speech.jpg.xmp").write_text("speech")
    (out / OBAMA).mkdir(parents=True)
    (out / OBAMA / "speech.jpg.xmp").write_text("of another photo")
    run("sort", album, out)
    assert (out / OBAMA / "speech.jpg.xmp").read_text() == "of another photo"
    assert not (out / OBAMA / "speech.jpg").exists()
    assert (out / OBAMA / "speech (2).jpg").exists()
    assert (out / OBAMA / "speech (2).jpg.xmp").read_text() == "speech"


def test_a_copy_of_a_moved_photo_stays(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    shutil.copy(album / "speech.jpg", album / "zz copy.jpg")
    assert run("sort", album, out, "--move").out == "3 photos sorted, 1 there already\n"
    assert run("sort", album, out, "--move").out == "0 photos sorted, 1 there already\n"
    assert set(contents(album)) == {"biden.jpg", "zz copy.jpg"}


def test_photos_are_not_sorted_by_uncertain_names(run: Run, album: Path, tmp_path: Path) -> None:
    result = run("sort", album, tmp_path / "sorted", "--least-probability", "1")
    assert result.out == "1 photo sorted, 3 names too uncertain to sort by (see --least-probability)\n"
    assert list(contents(tmp_path / "sorted" / COLLINS)) == ["collins.jpg"]  # enrolled from this photo


def test_people_with_the_same_folder_name_get_two_folders(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    run("people", "rename", OBAMA, "A?B")
    run("people", "rename", COLLINS, "A:B")
    people_by_target = {record["target"]: record["person"] for record in run("sort", album, out, "--json").records}
    folders = {
        name: {Path(str(target)).parent.name for target, person in people_by_target.items() if person == name}
        for name in ("A?B", "A:B")
    }
    assert sorted(map(sorted, folders.values())) == [["A_B"], ["A_B (2)"]]


def test_sorting_without_enrolled_people_is_refused(run: Run, album: Path, tmp_path: Path) -> None:
    for person in (OBAMA, COLLINS):
        run("people", "forget", person)
    assert "nobody is enrolled" in run("sort", album, tmp_path / "sorted", code=2).err


def test_a_photo_does_not_take_the_sidecar_of_another(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    (album / "more").mkdir()
    shutil.copy(BLUE_ROOM, album / "more" / "speech.jpeg")
    (album / "speech.xmp").write_text("speech.jpg")
    run("sort", album, out)
    assert sorted(path.name for path in (out / OBAMA).iterdir() if path.stem.startswith("speech")) in (
        ["speech (2).jpeg", "speech.jpg", "speech.xmp"],
        ["speech (2).jpg", "speech (2).xmp", "speech.jpeg"],
    )


def test_a_killed_move_is_completed_with_its_sidecars(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    (album / "speech.jpg.xmp").write_text("speech")
    before = contents(album)
    (album / "together.png").rename(tmp_path / "together.png")
    (album / "space" / "collins.jpg").rename(tmp_path / "collins.jpg")
    run("sort", album, out, "--move")
    journal = (out / JOURNAL).read_bytes()
    (out / JOURNAL).write_bytes(journal[: journal.rindex(b"\n", 0, -1) + 1])  # without its last line
    (out / OBAMA / "speech.jpg.xmp").rename(album / "speech.jpg.xmp")
    (album / "speech.jpg").hardlink_to(out / OBAMA / "speech.jpg")
    (tmp_path / "together.png").rename(album / "together.png")
    (tmp_path / "collins.jpg").rename(album / "space" / "collins.jpg")
    result = run("sort", album, out, "--move")
    assert result.out == "2 photos sorted\n"
    assert "was interrupted" in result.err
    assert set(contents(album)) == {"biden.jpg"}
    assert (out / OBAMA / "speech.jpg.xmp").read_text() == "speech"
    run("sort", out, "--undo")
    assert contents(album) == before


def test_a_target_replaced_by_another_photo_gets_a_number(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    run("sort", album, out)
    (out / OBAMA / "speech.jpg").write_bytes((album / "biden.jpg").read_bytes())
    assert run("sort", album, out).out.startswith("1 photo sorted")
    assert (out / OBAMA / "speech (2).jpg").read_bytes() == (album / "speech.jpg").read_bytes()


@pytest.mark.parametrize("option", ["--copy", "--link", "--move"])
def test_photos_outside_behind_links_are_skipped_and_reported(
    run: Run, album: Path, tmp_path: Path, option: str, validate: Validate
) -> None:
    out, store = tmp_path / "sorted", tmp_path / "store"
    store.mkdir()
    shutil.move(album / "speech.jpg", store / "speech.jpg")
    shutil.move(album / "space", store / "space")
    (album / "speech.jpg").symlink_to(Path("..", "store", "speech.jpg"))
    (album / "space").symlink_to(store / "space")
    (out / COLLINS).parent.mkdir()
    (out / COLLINS).symlink_to(store)
    before = contents(store)
    result = run("sort", album, out, option, "--json")
    validate("sort", result.records)
    skipped = {
        (Path(str(record["image"])).name, record["person"])
        for record in result.records
        if record["skipped"] == "outside"
    }
    assert skipped >= {("speech.jpg", OBAMA), ("collins.jpg", COLLINS)}
    assert "skipped" in result.err
    assert (out / OBAMA / "together.png").exists() or option == "--move"
    run("sort", out, "--undo")
    assert contents(store) == before
    assert all((store / name).stat().st_nlink == 1 for name in before)


def test_out_can_be_a_link(run: Run, album: Path, tmp_path: Path) -> None:
    before, real = contents(album), tmp_path / "real"
    real.mkdir()
    (tmp_path / "out").symlink_to(real)
    assert run("sort", album, tmp_path / "out", "--move").out == "3 photos sorted\n"
    assert (real / OBAMA).is_dir()
    run("sort", real, "--undo")
    assert contents(album) == before


def test_a_folder_keeps_its_person_after_the_other_is_forgotten(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    run("people", "rename", OBAMA, "A?B")
    run("people", "rename", COLLINS, "A:B")
    run("sort", album, out)
    before = contents(out)
    run("people", "forget", "A?B")
    assert run("sort", album, out).out == "0 photos sorted, 2 there already\n"
    assert contents(out) == before


def test_no_folder_is_created_without_photos_to_sort(run: Run, album: Path, tmp_path: Path) -> None:
    (album / "space" / "collins.jpg").unlink()  # enrolled from this photo
    run("sort", album, tmp_path / "sorted", "--least-probability", "1")
    assert not (tmp_path / "sorted").exists()


def test_a_move_is_not_completed_if_out_becomes_a_link_to_the_album(run: Run, album: Path, tmp_path: Path) -> None:
    for name in ("biden.jpg", "together.png", "space/collins.jpg"):
        (album / name).unlink()
    (album / OBAMA).mkdir()
    (album / "speech.jpg").rename(album / OBAMA / "speech.jpg")
    before, out = contents(album), tmp_path / "sorted"
    run("sort", album, out, "--move")
    journal = (out / JOURNAL).read_text().splitlines(keepends=True)
    shutil.copytree(out, album, dirs_exist_ok=True)
    (album / JOURNAL).write_text("".join(journal[:-1]))  # without its last line
    shutil.rmtree(out)
    out.symlink_to(album)
    other = tmp_path / "other"
    other.mkdir()
    run("sort", other, out, code=None)
    assert before.items() <= contents(album).items()


def test_out_must_not_be_a_link_into_the_album(run: Run, album: Path, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(album)
    assert "name a folder outside of it" in run("sort", album, tmp_path / "out", "--move", code=2).err
    (tmp_path / "also").symlink_to(album)
    assert "name a folder outside of it" in run("sort", tmp_path / "also", album / "space", code=2).err


def test_long_names_are_shortened(run: Run, album: Path, tmp_path: Path) -> None:
    run("people", "rename", OBAMA, "日" * 200)
    (album / "speech.jpg").rename(album / f"{'s' * 251}.jpg")
    before, out = contents(album), tmp_path / "sorted"
    assert run("sort", album, out).out == "4 photos sorted\n"
    assert (out / ("日" * 85) / f"{'s' * 251}.jpg").is_file()
    assert run("sort", album, out).out == "0 photos sorted, 4 there already\n"
    assert run("sort", out, "--undo").out == "4 photos undone\n"
    assert (contents(album), out.exists()) == (before, False)
