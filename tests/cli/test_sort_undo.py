"""``facebank sort --undo``: photos and sidecars go back, and only trusted journals are followed."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from facebank.album.sort.journal import JOURNAL
from facebank.gallery import Gallery
from tests.encoded_pictures import jpeg_segment

from .conftest import Run, Validate, contents, fill_album

EMPTY_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
)
OBAMA, COLLINS = "Barack Obama", "Eileen Collins"


@pytest.fixture
def album(two_people: Path, tmp_path: Path) -> Path:
    """A folder with two enrolled people, alone and together, and a stranger."""
    return fill_album(tmp_path / "album")


def test_copied_photos_are_removed_by_undo(run: Run, album: Path, tmp_path: Path, validate: Validate) -> None:
    before, out = contents(album), tmp_path / "sorted"
    records = run("sort", album, out, "--json").records
    validate("sort", records)
    assert {record["person"] for record in records} == {OBAMA, COLLINS}
    expected = {f"{OBAMA}/speech.jpg", f"{OBAMA}/together.png", f"{COLLINS}/collins.jpg", f"{COLLINS}/together.png"}
    assert set(contents(out)) == expected | {JOURNAL}
    assert contents(out)[f"{OBAMA}/speech.jpg"] == before["speech.jpg"]
    assert (out / OBAMA / "speech.jpg").stat().st_mtime == (album / "speech.jpg").stat().st_mtime
    assert contents(album) == before
    assert run("sort", album, out).out == "0 photos sorted, 4 there already\n"
    validate("sort", run("sort", album, out, "--undo", "--json").records)
    assert not out.exists()
    assert contents(album) == before


def test_moved_photos_go_back_with_undo(run: Run, album: Path, tmp_path: Path, two_people: Path) -> None:
    before, out, scan = contents(album), tmp_path / "sorted", two_people.with_suffix(".scan")
    assert run("sort", album, out, "--move").out == "3 photos sorted\n"
    assert set(contents(album)) == {"biden.jpg"}
    with Gallery.open(two_people, read_only=True) as gallery:
        assert out in [output.path for output in gallery.written_places()]
    assert run("scan", album, out).out.startswith("4 unchanged\n")
    assert len([name for name in contents(out) if name.endswith("together.png")]) == 1
    assert run("sort", album, out, "--undo").out == "3 photos undone\n"
    assert contents(album) == before
    assert not out.exists()
    assert run("scan", album).out.splitlines() == ["4 unchanged", f"{scan}: 5 faces in 4 photos (4 files)"]


def test_undo_needs_no_scan(run: Run, album: Path, tmp_path: Path, two_people: Path) -> None:
    before, out = contents(album), tmp_path / "sorted"
    run("sort", album, out, "--move")
    two_people.with_suffix(".scan").unlink()
    assert run("sort", out, "--undo").out == "3 photos undone\n"
    assert contents(album) == before
    assert not two_people.with_suffix(".scan").exists()


def test_without_its_gallery_a_journal_requires_trust(run: Run, album: Path, tmp_path: Path, two_people: Path) -> None:
    before, out = contents(album), tmp_path / "sorted"
    run("sort", album, out, "--move")
    moved = contents(out)
    two_people.unlink()
    refused = run("sort", out, "--undo", code=2)
    assert "was not written with this gallery" in refused.err
    assert "--undo --dry-run" in refused.err
    assert f"{album / 'speech.jpg'}" in run("sort", out, "--undo", "--dry-run", code=1).out
    assert "needs the folder" in run("sort", out, "--undo", "--trust-journal", code=2).err
    assert "does not come from a folder" in run("sort", tmp_path / "x", out, "--undo", "--trust-journal", code=2).err
    assert contents(out) == moved
    run("sort", album, out, "--undo", "--trust-journal")
    assert contents(album) == before
    assert not two_people.exists()


def test_undo_keeps_photos_that_have_changed(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    run("sort", album, out, "--move")
    (out / OBAMA / "speech.jpg").write_bytes(b"retouched")
    (album / "space" / "collins.jpg").parent.mkdir(exist_ok=True)
    (album / "space" / "collins.jpg").write_bytes(b"another photo")
    undone = run("sort", album, out, "--undo", code=1)
    assert "has changed since" in undone.err
    assert "is another file now" in undone.err
    assert (out / OBAMA / "speech.jpg").read_bytes() == b"retouched"
    assert (out / COLLINS / "collins.jpg").exists()
    assert (out / JOURNAL).exists()


def test_a_truncated_journal_can_be_undone(run: Run, album: Path, tmp_path: Path) -> None:
    before, out = contents(album), tmp_path / "sorted"
    run("sort", album, out, "--move")
    with (out / JOURNAL).open("a", encoding="ascii") as journal:
        journal.write('{"way": "move", "sour')
    run("sort", album, out, "--undo")
    assert contents(album) == before


def test_a_dry_run_of_undo_changes_nothing(run: Run, album: Path, tmp_path: Path, validate: Validate) -> None:
    out = tmp_path / "sorted"
    run("sort", album, out, "--move")
    sorted_contents, album_contents = contents(out), contents(album)
    records = run("sort", out, "--undo", "--dry-run", "--json").records
    validate("sort", records)
    assert {str(record["target"]) for record in records} >= {str(album / "speech.jpg")}
    assert run("sort", album, out, "--undo", "--dry-run").out == "3 photos would be undone\n"
    assert "--undo excludes" in run("sort", album, out, "--undo", "--copy", code=2).err
    assert (contents(out), contents(album)) == (sorted_contents, album_contents)


def test_an_unsigned_journal_is_adopted_with_trust(run: Run, album: Path, tmp_path: Path) -> None:
    before, out = contents(album), tmp_path / "sorted"
    run("sort", album, out, "--move")
    entries = [json.loads(line) for line in (out / JOURNAL).read_text().splitlines()]
    keys = ("way", "source", "target", "content_hash", "person")
    lines = [json.dumps({key: line[key] for key in keys}) for line in entries if "source" in line]
    (out / JOURNAL).write_text("".join(f"{line}\n" for line in lines))
    (out / JOURNAL).chmod(0o644)
    for command in (("sort", album, out), ("sort", out, "--undo")):
        assert "is not signed" in run(*command, code=2).err
    assert run("sort", album, out, "--trust-journal").out == "0 photos sorted\n"
    assert (out / JOURNAL).stat().st_mode & 0o777 == 0o600
    run("sort", out, "--undo")
    assert contents(album) == before


def test_a_foreign_journal_is_refused(run: Run, album: Path, tmp_path: Path) -> None:
    out, home = tmp_path / "received", tmp_path / "home"
    (out / "Ada").mkdir(parents=True)
    home.mkdir()
    (out / "Ada" / "x.jpg").write_bytes(b"[Desktop Entry]\x1b]0;owned\x07")
    (tmp_path / "keep.jpg").write_bytes((album / "speech.jpg").read_bytes())
    file_hash = sha256(b"[Desktop Entry]\x1b]0;owned\x07").hexdigest()
    photo_hash = sha256((album / "speech.jpg").read_bytes()).hexdigest()
    hostile = [
        ("move", home / "autostart" / "evil\x1b[2J.desktop", out / "Ada" / "x.jpg", file_hash),
        ("copy", album / "speech.jpg", tmp_path / "keep.jpg", photo_hash),
        ("copy", album / "speech.jpg", f"{out}/../y.jpg", photo_hash),
    ]
    lines = [
        json.dumps(
            {
                "way": mode,
                "source": str(source),
                "target": str(target),
                "content_hash": content_hash,
                "person": "Barack Obama",
            }
        )
        for mode, source, target, content_hash in hostile
    ]
    (out / JOURNAL).write_text("".join(f"{line}\n" for line in lines))
    before = contents(tmp_path)
    assert "is not signed" in run("sort", album, out, code=2).err
    assert "is not signed" in run("sort", out, "--undo", code=2).err
    preview = run("sort", out, "--undo", "--dry-run", code=1)
    assert len(preview.out.splitlines()) == 3
    assert "\x1b" not in preview.out
    for folder in (home, album, tmp_path):
        run("sort", folder, out, "--undo", "--trust-journal", code=2)
    assert {name: data for name, data in contents(tmp_path).items() if name in before} == before
    assert not (home / "autostart").exists()
    assert not (tmp_path / "y.jpg").exists()


def test_a_missing_moved_photo_is_reported(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    moved = run("sort", album, out, "--move", "--json").records
    Path(str(moved[0]["target"])).unlink()
    undone = run("sort", album, out, "--undo", code=1)
    assert "cannot be moved back" in undone.err
    assert not Path(str(moved[0]["image"])).exists()
    assert all(Path(str(record["image"])).exists() for record in moved[1:])


def test_a_changed_sidecar_goes_back_with_its_photo(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    (album / "speech.jpg.xmp").write_text("speech")
    run("sort", album, out, "--move")
    (out / OBAMA / "speech.jpg.xmp").write_text("speech, with a name")
    run("sort", album, out, "--undo")
    assert (album / "speech.jpg.xmp").read_text() == "speech, with a name"


def test_entries_after_a_truncated_line_are_undone(run: Run, album: Path, tmp_path: Path) -> None:
    before, out = contents(album), tmp_path / "sorted"
    collins = (album / "space" / "collins.jpg").read_bytes()
    (album / "space" / "collins.jpg").unlink()
    run("sort", album, out, "--move")
    with (out / JOURNAL).open("a", encoding="ascii") as journal:
        journal.write('{"way": "move", "sour')
    (album / "space" / "collins.jpg").write_bytes(collins)
    assert run("sort", album, out, "--move").out.startswith("1 photo sorted")
    assert run("sort", album, out, "--undo").out == "3 photos undone\n"
    assert contents(album) == before


@pytest.mark.parametrize("option", ["--copy", "--link"])
def test_the_last_copy_is_not_removed(run: Run, album: Path, tmp_path: Path, option: str) -> None:
    out = tmp_path / "sorted"
    run("sort", album, out, option)
    (album / "speech.jpg").unlink()
    undone = run("sort", album, out, "--undo", code=1)
    assert "its original has changed or is gone" in undone.err
    assert (out / OBAMA / "speech.jpg").exists()


def test_a_sidecar_stays_if_its_photo_cannot_go_back(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    (album / "speech.jpg.xmp").write_text("speech")
    run("sort", album, out, "--move")
    shutil.copy(out / COLLINS / "collins.jpg", album / "speech.jpg")  # a camera reuses a file name
    undone = run("sort", album, out, "--undo", code=1)
    assert "is another file now" in undone.err
    assert not (album / "speech.jpg.xmp").exists()
    assert (out / OBAMA / "speech.jpg.xmp").read_text() == "speech"


def test_a_new_sidecar_goes_back_with_its_photo(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    run("sort", album, out, "--move")
    run("tags", "write", out)
    assert (out / OBAMA / "speech.jpg.xmp").exists()
    run("sort", album, out, "--undo")
    assert (album / "speech.jpg.xmp").exists()
    assert not out.exists()


@pytest.mark.parametrize("option", ["--copy", "--move"])
def test_names_written_since_do_not_prevent_undo(
    run: Run, album: Path, tmp_path: Path, option: str, validate: Validate
) -> None:
    out = tmp_path / "sorted"
    (album / "speech.jpg.xmp").write_text(EMPTY_XMP)
    before = contents(album)
    count = len(run("sort", album, out, option, "--json").records)
    run("scan", out)
    run("tags", "write", out)
    run("tags", "write", out, "--embed")
    assert len(list(out.rglob("*.xmp"))) == count
    sorted_contents = contents(out)
    undone = run("sort", out, "--undo", "--json")
    validate("sort", undone.records)
    assert len(undone.records) == count
    assert not out.exists()
    if option == "--move":
        assert contents(album)["speech.jpg"] == sorted_contents[f"{OBAMA}/speech.jpg"] != before["speech.jpg"]
        assert contents(album)["speech.jpg.xmp"] == sorted_contents[f"{OBAMA}/speech.jpg.xmp"]
        assert f"{count} sidecars written or changed after the sort went back" in undone.err
    else:
        assert {name: data for name, data in contents(album).items() if name in before} == before
        assert (album / "space" / "collins.jpg.xmp").exists()
    assert run("scan", album).out.splitlines()[0].startswith("4 unchanged" if option == "--copy" else "4 ")


def test_metadata_from_another_program_is_not_lost(run: Run, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    before = contents(album)
    rated = before["speech.jpg"][:2] + jpeg_segment(0xFE, b"rated!") + before["speech.jpg"][2:]
    for option in ("--copy", "--move"):
        run("sort", album, out, option)
        (out / OBAMA / "speech.jpg").write_bytes(rated)
        undone = run("sort", out, "--undo", code=1 if option == "--copy" else 0)
        if option == "--copy":
            assert "its metadata has changed since" in undone.err
            assert set(contents(out)) == {f"{OBAMA}/speech.jpg", JOURNAL}
            shutil.rmtree(out)
    assert contents(album) == {**before, "speech.jpg": rated}


@pytest.mark.parametrize("option", ["--copy", "--link", "--move"])
def test_no_photo_is_lost_if_out_becomes_a_link_to_the_album(
    run: Run, album: Path, tmp_path: Path, option: str
) -> None:
    (album / OBAMA).mkdir()
    (album / "speech.jpg").rename(album / OBAMA / "speech.jpg")
    (album / OBAMA / "speech.jpg.xmp").write_text(EMPTY_XMP)
    before, out = contents(album), tmp_path / "sorted"
    run("sort", album, out, option)
    for name, data in contents(out).items():  # both folders are joined
        (album / name).parent.mkdir(parents=True, exist_ok=True)
        (album / name).unlink(missing_ok=True)
        (album / name).write_bytes(data)
    shutil.rmtree(out)
    out.symlink_to(album)
    run("sort", out, "--undo", code=None)
    assert before.items() <= contents(album).items()
