"""``facebank tags``: names in the XMP metadata of photos."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.album.tags.sidecars import sidecar_of
from facebank.album.tags.xmp_document import XmpDocument
from facebank.album.tags.xmp_files import read_photo_xmp
from facebank.gallery import FaceKey
from facebank.media import read_photo
from facebank.media.pixels import apply_orientation
from tests.album.xmp_samples import embed, extended_xmp, region_item, with_regions
from tests.demo_photos import BIDEN, COLLINS, SPEECH
from tests.encoded_pictures import insert_exif

from .conftest import Run, Validate, contents, paste_side_by_side
from .tagged_photos import actions, box_of, face_boxes, regions

# The other EXIF orientations are their own inverses.
INVERSE_ORIENTATIONS = {6: 8, 8: 6}


@pytest.fixture
def album(run: Run, two_people: Path, tmp_path: Path) -> Path:
    """A scanned folder: both enrolled people and a stranger."""
    folder = tmp_path / "album"
    folder.mkdir()
    for photo in (SPEECH, COLLINS, BIDEN):
        shutil.copy(photo, folder)
    run("scan", folder)
    return folder


def test_names_are_written_to_sidecars_once(run: Run, album: Path, validate: Validate) -> None:
    before = contents(album)
    preview = run("tags", "write", album, "--dry-run", "--json").records
    assert contents(album) == before
    written = run("tags", "write", album, "--json").records
    validate("tags-write", written)
    assert written == preview
    assert actions(written) == {SPEECH.name: ["added"], COLLINS.name: ["added"], BIDEN.name: []}
    after = contents(album)
    assert {name: data for name, data in after.items() if name in before} == before
    assert set(after) - set(before) == {f"{SPEECH.name}.xmp", f"{COLLINS.name}.xmp"}
    assert regions(album / SPEECH.name) == [("Barack Obama", "Face")]
    assert run("tags", "write", album).out == "0 regions written into 0 files\n"
    assert contents(album) == after


def test_regions_are_shown_where_the_faces_are(run: Run, album: Path, validate: Validate) -> None:
    run("tags", "write", album)
    records = run("tags", "show", album, "--json").records
    validate("tags-show", records)
    assert [len(record["regions"]) for record in records] == [1, 1, 0]
    listed = records[0]["regions"][0]
    assert (listed["name"], listed["written_by_facebank"], listed["vocabulary"]) == ("Barack Obama", True, "mwg-rs")
    (identified,) = run("identify", album / SPEECH.name, "--json").records
    assert listed["box"] == pytest.approx(identified["faces"][0]["box"], abs=0.02)
    lines = run("tags", "show", album / SPEECH.name).out.splitlines()
    assert lines[0] == "photo\tname\tkind\tbox\tfile"
    assert "\tBarack Obama\tFace\t" in lines[1]


def test_regions_without_a_name_are_written_on_request(run: Run, album: Path) -> None:
    run("tags", "write", album, "--unnamed")
    biden = album / BIDEN.name
    assert regions(biden) == [("", "Face")]
    assert actions(run("tags", "write", album, "--unnamed", "--json").records)[biden.name] == ["unchanged"]
    run("enroll", "Joe Biden", biden)
    assert actions(run("tags", "write", album, "--json").records)[biden.name] == ["named"]
    assert regions(biden) == [("Joe Biden", "Face")]


def test_a_written_name_follows_a_rename(run: Run, album: Path) -> None:
    run("tags", "write", album)
    run("people", "rename", "Eileen Collins", "Commander Collins")
    (face,) = run("tags", "write", album / COLLINS.name, "--json").records[0]["faces"]
    assert (face["action"], face["named_as"]) == ("renamed", "Eileen Collins")
    assert regions(album / COLLINS.name) == [("Commander Collins", "Face")]


@pytest.mark.parametrize("options", [(), ("--embed",)])
def test_a_name_from_another_program_is_never_changed(run: Run, album: Path, options: tuple[str, ...]) -> None:
    path = album / COLLINS.name
    sidecar_of(path).write_bytes(with_regions(region_item("Aunt Eileen", box_of(run, path))))
    before = contents(album)
    result = run("tags", "write", path, *options, "--json")
    (face,) = result.records[0]["faces"]
    assert (face["action"], face["named_as"]) == ("conflict", "Aunt Eileen")
    assert "is named Aunt Eileen there and is known as Eileen Collins" in result.err
    assert contents(album) == before
    assert "1 kept with another name" in run("tags", "write", path, *options).out


def test_regions_of_another_program_are_kept(run: Run, album: Path) -> None:
    path = album / COLLINS.name
    others = region_item("Somebody Else", (0.0, 0.9, 0.05, 1.0)) + region_item("eileen collins", box_of(run, path))
    sidecar_of(path).write_bytes(with_regions(others, (512, 512)))
    before = contents(album)
    assert actions(run("tags", "write", path, "--json").records) == {COLLINS.name: ["unchanged"]}
    assert contents(album) == before
    sidecar_of(path).write_bytes(with_regions(region_item("Somebody Else", (0.0, 0.9, 0.05, 1.0)), (512, 512)))
    assert actions(run("tags", "write", path, "--json").records) == {COLLINS.name: ["added"]}
    assert regions(path) == [("Somebody Else", "Face"), ("Eileen Collins", "Face")]


def test_a_region_around_the_whole_person_is_not_duplicated(run: Run, album: Path) -> None:
    path = album / COLLINS.name
    sidecar_of(path).write_bytes(with_regions(region_item("Eileen Collins", (0.0, 0.0, 1.0, 1.0)), (512, 512)))
    assert actions(run("tags", "write", path, "--json").records) == {COLLINS.name: ["unchanged"]}


def test_regions_of_lightrooms_sidecar_are_copied_to_the_new_one(run: Run, album: Path) -> None:
    path = album / COLLINS.name
    other = region_item("Somebody Else", (0.0, 0.9, 0.05, 1.0))
    path.with_suffix(".xmp").write_bytes(with_regions(other, (512, 512)))
    before = path.with_suffix(".xmp").read_bytes()
    run("tags", "write", path)
    assert path.with_suffix(".xmp").read_bytes() == before
    written = XmpDocument.parse(sidecar_of(path).read_bytes(), "sidecar").regions
    assert [region.name for region in written] == ["Somebody Else", "Eileen Collins"]


def test_regions_for_another_aspect_ratio_are_not_changed(run: Run, album: Path) -> None:
    path = album / COLLINS.name
    sidecar_of(path).write_bytes(with_regions(region_item("Ada", (0.1, 0.1, 0.2, 0.2)), (400, 100)))
    before = contents(album)
    assert "400 x 100" in run("tags", "write", path, code=1).err
    assert contents(album) == before
    (listed,) = run("tags", "show", path, "--json").records[0]["regions"]
    assert listed["box"] is None
    assert "400 x 100" in listed["problem"]


def test_embedding_names_changes_neither_picture_nor_scan(run: Run, album: Path, gallery: Path) -> None:
    path = album / COLLINS.name
    shutil.copy(path, album / "copy.jpg")
    run("deny", path, "Barack Obama")
    run("scan", album)
    run("cluster")
    os.utime(path, ns=(10**18, 10**18))
    run("scan", album)
    before = read_photo(path)
    assert run("tags", "write", album, "--embed").out == "3 regions written into 3 photos\n"
    after = read_photo(path)
    assert np.array_equal(before.pixels, after.pixels)
    assert before.taken_at == after.taken_at
    assert before.content_hash != after.content_hash
    assert not list(album.glob("*.xmp"))
    assert "unchanged" in run("scan", album).out
    assert "analyzed" not in run("scan", album).out
    embedded = contents(album)
    assert run("tags", "write", album, "--embed").out == "0 regions written into 0 files\n"
    assert contents(album) == embedded
    assert [face["decision"] for record in run("identify", "--scan", "--json").records for face in record["faces"]] == [
        *("known", "known", "known", "unknown")
    ]
    (record,) = run("identify", path, "--json").records
    box = np.array(record["faces"][0]["box"], dtype=np.float32)
    with FaceBank.open(gallery) as bank:
        assert bank.gallery.denials_of(FaceKey(after.content_hash, 0, box, after.picture_hash))


def test_sidecar_regions_are_embedded_on_request(run: Run, album: Path) -> None:
    run("tags", "write", album)
    assert run("tags", "write", album, "--embed").out == "2 regions written into 2 photos\n"
    assert regions(album / COLLINS.name) == [("Eileen Collins", "Face")] * 2


def test_regions_refer_to_the_stored_picture(run: Run, two_people: Path, tmp_path: Path) -> None:
    pixels = read_photo(SPEECH).pixels
    folder = tmp_path / "turned"
    folder.mkdir()
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(apply_orientation(pixels, INVERSE_ORIENTATIONS.get(orientation, orientation)))
        stored.save(folder / f"{orientation}.jpg", quality=95, exif=exif.tobytes())
    run("scan", folder)
    assert run("tags", "write", folder).out == "8 regions written into 8 sidecars\n"
    identified_boxes = [record["faces"][0]["box"] for record in run("identify", "--scan", "--json").records]
    region_boxes = [record["regions"][0]["box"] for record in run("tags", "show", folder, "--json").records]
    assert np.array(region_boxes) == pytest.approx(np.array(identified_boxes), abs=0.05)
    for orientation, box in enumerate(identified_boxes, 1):
        assert upright_region_box(folder / f"{orientation}.jpg", orientation) == pytest.approx(box, abs=1.5)


def upright_region_box(path: Path, orientation: int) -> list[float]:
    """Return the box of a photo's region in upright pixels, by rotating a mask of the stored picture."""
    document = read_photo_xmp(path).sources[0].document
    with Image.open(path) as stored:
        assert document.dimensions == stored.size
        (region,) = document.regions
        assert region.box is not None
        mask = Image.new("L", stored.size)
        left, top, right, bottom = (round(edge * side) for edge, side in zip(region.box, stored.size * 2, strict=True))
        mask.paste(255, (left, top, right, bottom))
    inside = np.argwhere(apply_orientation(np.array(mask.convert("RGB")), orientation)[..., 0])
    (y1, x1), (y2, x2) = inside.min(axis=0), inside.max(axis=0) + 1
    return [x1, y1, x2, y2]


def test_extended_xmp_is_read_and_not_written(run: Run, album: Path) -> None:
    path = album / COLLINS.name
    segments, packet = extended_xmp(with_regions(region_item("Somebody Else", (0.0, 0.9, 0.05, 1.0)), (512, 512)))
    data = embed(path.read_bytes(), "JPEG", packet)
    path.write_bytes(data[:2] + segments + data[2:])
    run("scan", album)
    before = contents(album)
    assert "Extended XMP" in run("tags", "write", path, "--embed", code=1).err
    assert contents(album) == before
    run("tags", "write", path)
    written = XmpDocument.parse(sidecar_of(path).read_bytes(), "sidecar").regions
    assert [region.name for region in written] == ["Somebody Else", "Eileen Collins"]


def test_facebanks_own_names_are_not_imported(run: Run, album: Path) -> None:
    run("tags", "write", album)
    assert {record["reason"] for record in run("tags", "import", album, "--json").records} == {"written_by_facebank"}
    reasons = [record["reason"] for record in run("tags", "import", album, "--own", "--json").records]
    assert sorted(reasons) == ["already_enrolled", "enrolled"]


BROKEN = ('<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "<x:xmpmeta", "<rdf:RDF/>", "\x00" * 100, "<a>" * 50_000)


def test_broken_xmp_is_reported_and_not_changed(run: Run, album: Path) -> None:
    paths = [album / f"{number}.jpg" for number in range(len(BROKEN))]
    for path, text in zip(paths, BROKEN, strict=True):
        shutil.copy(album / COLLINS.name, path)
        sidecar_of(path).write_text(text)
    run("scan", album)
    before = contents(album)
    for command in ("show", "write", "import"):
        output = run("tags", command, album, code=1).err
        assert all(str(sidecar_of(path)) in output for path in paths)
        assert len(output.splitlines()) == len(paths)
    assert regions(album / SPEECH.name) == [("Barack Obama", "Face")]
    assert {name: data for name, data in contents(album).items() if name in before} == before


def test_changed_and_unscanned_photos_are_reported(run: Run, album: Path, tmp_path: Path) -> None:
    Image.open(album / COLLINS.name).save(album / COLLINS.name, quality=70)
    assert "has changed since it was scanned: scan again" in run("tags", "write", album, code=1).err
    assert "scan it first" in run("tags", "write", tmp_path / "elsewhere", code=2).err
    assert "no such file or folder" in run("tags", "show", tmp_path / "elsewhere", code=2).err
    (tmp_path / "empty").mkdir()
    assert "no photos there" in run("tags", "show", tmp_path / "empty", code=2).err
    assert "--most" in run("tags", "import", album, "--most", "0", code=2).err


def test_a_missing_library_is_reported_with_its_extra(run: Run, album: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    (blocked / "lxml").mkdir(parents=True)
    (blocked / "lxml" / "__init__.py").write_text("raise ImportError('blocked')")
    result = run("tags", "write", album, code=2, PYTHONPATH=str(blocked))
    assert "pip install 'facebank[xmp]'" in result.err


def test_an_uncertain_name_is_not_written(run: Run, album: Path, validate: Validate) -> None:
    before = contents(album)
    written = run("tags", "write", album, "--least-probability", "1", "--json").records
    validate("tags-write", written)
    assert actions(written) == {SPEECH.name: ["unsure"], COLLINS.name: ["added"], BIDEN.name: []}
    assert "1 name too uncertain" in run("tags", "write", album, "--least-probability", "1").out
    after = contents(album)
    # Eileen Collins is enrolled from this photo, so her name is certain.
    assert {name for name in after if after[name] != before.get(name)} <= {COLLINS.name, f"{COLLINS.name}.xmp"}


def test_a_name_of_another_face_is_not_written(run: Run, album: Path, validate: Validate) -> None:
    """The setting allow_twice makes no difference."""
    parts = [(album / name, 800) for name in (SPEECH.name, BIDEN.name)]
    path = paste_side_by_side(album / "two.jpg", parts)
    run("settings", "set", "allow_twice", "true")
    (record,) = run("identify", path, "--json").records
    (unnamed_box,) = (
        box for box, face in zip(face_boxes(record), record["faces"], strict=True) if face["person"] is None
    )
    sidecar_of(path).write_bytes(with_regions(region_item("Barack Obama", unnamed_box)))
    before = contents(album)
    run("scan", album)
    result = run("tags", "write", path, "--json")
    validate("tags-write", result.records)
    (face,) = result.records[0]["faces"]
    assert (face["action"], face["named_as"]) == ("conflict", "Barack Obama")
    assert "another face has it" in result.err
    assert contents(album) == before


def test_a_removed_name_is_not_written_again(run: Run, album: Path, validate: Validate) -> None:
    path = album / COLLINS.name
    run("tags", "write", path)
    text = sidecar_of(path).read_text("utf-8")
    assert text.count("Eileen Collins") == 2  # the name, and the mark that facebank wrote it
    sidecar_of(path).write_text(text.replace("<mwg-rs:Name>Eileen Collins<", "<mwg-rs:Name><"), encoding="utf-8")
    assert regions(path) == [("", "Face")]
    before = contents(album)
    result = run("tags", "write", path, "--json")
    validate("tags-write", result.records)
    assert actions(result.records) == {COLLINS.name: ["conflict"]}
    assert "had its name removed there" in result.err
    assert contents(album) == before


def test_the_sidecar_is_kept_if_its_photo_cannot_be_written(run: Run, album: Path) -> None:
    path = album / COLLINS.name
    sidecar_of(path).write_bytes(with_regions(region_item("Somebody Else", (0.0, 0.9, 0.05, 1.0)), (512, 512)))
    path.chmod(0o444)
    before = contents(album)
    (record,) = run("tags", "write", path, "--embed", "--json", code=1).records
    assert (record["files"], record["faces"]) == ([], [])
    assert "may not be written" in record["error"]
    assert contents(album) == before


def add_title(path: Path) -> None:
    """Edit a JPEG's metadata as another program does: a title and a rating in a new segment."""
    exif = Image.Exif()
    exif[0x010E], exif[0x4746] = "a title", 5
    path.write_bytes(insert_exif(path.read_bytes(), exif))


def people_in(run: Run, *arguments: str | Path) -> set[str | None]:
    return {face["person"] for record in run("identify", *arguments, "--json").records for face in record["faces"]}


def test_a_denial_survives_metadata_edits(run: Run, album: Path) -> None:
    path = album / SPEECH.name
    run("deny", path, "Barack Obama")
    add_title(path)
    assert people_in(run, path) == {None}
    written = run("tags", "write", album, "--embed", "--json").records
    assert actions(written)[SPEECH.name] == []
    assert "analyzed" not in run("scan", album).out
    assert people_in(run, "--scan", path) == people_in(run, path) == {None}
    assert run("find", "Barack Obama", "--json").records == []
    (enrolled,) = run("enroll", "--name", "Eileen Collins", path, "--force", "--json", code=None).records
    assert enrolled["accepted"]  # only the other person was denied


def test_a_photo_with_edited_metadata_is_the_same_photo(run: Run, album: Path, portrait: Path) -> None:
    copy = album / "portrait.jpg"
    shutil.copy(portrait, copy)
    add_title(copy)
    (enrolled,) = run("enroll", "--name", "Barack Obama", copy, "--json").records
    assert enrolled["reason"] == "already_enrolled"
    add_title(album / COLLINS.name)
    result = run("tags", "write", album / COLLINS.name, "--embed", "--json")
    assert actions(result.records) == {COLLINS.name: ["added"]}
    assert regions(album / COLLINS.name) == [("Eileen Collins", "Face")]


def test_a_denied_name_is_removed(run: Run, album: Path, validate: Validate) -> None:
    run("tags", "write", album)
    result = run("deny", album / SPEECH.name, "Barack Obama", "--json")
    validate("deny", result.records)
    assert result.records[0]["files_with_name"] == 1
    assert f"`facebank tags write {album / SPEECH.name}` removes it" in result.err
    preview = run("tags", "write", album, "--dry-run", "--json").records
    assert regions(album / SPEECH.name) == [("Barack Obama", "Face")]
    written = run("tags", "write", album, "--json").records
    validate("tags-write", written)
    assert written == preview
    assert [record["removed"] for record in written] == [["Barack Obama"], [], []]
    assert regions(album / SPEECH.name) == []
    assert b"Barack" not in sidecar_of(album / SPEECH.name).read_bytes()
    assert run("deny", album / SPEECH.name, "Barack Obama", "--json").records[0]["files_with_name"] == 0
    assert run("tags", "write", album).out == "0 regions written into 0 files\n"


def test_an_embedded_name_is_removed_with_embed(run: Run, album: Path) -> None:
    path = album / SPEECH.name
    run("tags", "write", album, "--embed")
    assert "`facebank tags write --embed" in run("deny", path, "Barack Obama").err
    before = contents(album)
    assert "1 wrong name kept inside photos (see --embed)" in run("tags", "write", album).out
    assert {name: data for name, data in contents(album).items() if name in before} == before
    assert not sidecar_of(path).exists()
    assert "1 wrong name removed" in run("tags", "write", album, "--embed").out
    assert b"Barack" not in path.read_bytes()
    assert np.array_equal(read_photo(path).pixels, read_photo(SPEECH).pixels)
    assert "analyzed" not in run("scan", album).out


@pytest.mark.parametrize("command", [("remove", "eileen collins"), ("write",)])
def test_a_forgotten_name_is_found_and_removed(
    run: Run, album: Path, gallery: Path, command: tuple[str, ...], validate: Validate
) -> None:
    run("tags", "write", album)
    result = run("people", "forget", "Eileen Collins", "--json")
    validate("people-forget", result.records)
    assert result.records[0]["files_with_name"] == 1
    assert "`facebank tags remove 'Eileen Collins'` removes it" in result.err
    for gallery_file in gallery.parent.glob("test.*"):
        assert b"Eileen" not in gallery_file.read_bytes()
    folders = () if command[0] == "remove" else (album,)
    result = run("tags", *command, *folders, "--json")
    validate(f"tags-{command[0]}", result.records)
    assert regions(album / COLLINS.name) == []
    assert b"Eileen" not in sidecar_of(album / COLLINS.name).read_bytes()
    assert regions(album / SPEECH.name) == [("Barack Obama", "Face")]


def test_only_names_written_by_facebank_are_removed(run: Run, album: Path) -> None:
    path = album / COLLINS.name
    others = region_item("Barack Obama", (0.0, 0.9, 0.05, 1.0)) + region_item("", box_of(run, path))
    sidecar_of(path).write_bytes(with_regions(others, (512, 512)))
    run("tags", "write", album)
    assert regions(path) == [("Barack Obama", "Face"), ("Eileen Collins", "Face")]
    assert run("tags", "remove", "Barack Obama", album, "--dry-run").out == (
        "1 name would be removed from 1 file, 1 kept that facebank did not write\n"
    )
    assert run("tags", "remove", "Barack Obama", album).out.startswith("1 name removed from 1 file, 1 kept")
    assert run("tags", "remove", "eileen collins", album).out == "1 name removed from 1 file\n"
    assert regions(path) == [("Barack Obama", "Face"), ("", "Face")]  # the region of another program stays
    assert regions(album / SPEECH.name) == []
    assert run("tags", "remove", "Nobody", album).out == "no file has the name Nobody\n"
    assert run("tags", "remove", "Nobody").out == "no file that the scan records has the name Nobody\n"


def test_names_from_another_gallery_are_kept(run: Run, album: Path, tmp_path: Path) -> None:
    run("tags", "write", album)
    other = ("--gallery", tmp_path / "other.facebank")
    run(*other, "enroll", "--name", "Joe Biden", album / BIDEN.name)
    run(*other, "scan", album)
    assert "removed" not in run(*other, "tags", "write", album).out
    assert regions(album / COLLINS.name) == [("Eileen Collins", "Face")]


def check_skipped(run: Run, validate: Validate, *command: str | Path) -> None:
    """Check that a command skips a link target, reports it, and succeeds."""
    for options in ((), ("--dry-run",)):
        assert "1 file is skipped, because links lead out of the named folders to it" in run(*command, *options).err
        result = run(*command, *options, "--json")
        assert result.err.count("links lead out") == 1
        validate("-".join(map(str, command[:2])), result.records)
        record = {Path(str(record["image"])).name: record for record in result.records}[COLLINS.name]
        assert (record["skipped"], record["error"], record["files"]) == ("outside", None, [])


def test_nothing_is_written_outside_through_links(run: Run, album: Path, tmp_path: Path, validate: Validate) -> None:
    sidecar_of(album / COLLINS.name).symlink_to(tmp_path / "new.xmp")
    check_skipped(run, validate, "tags", "write", album)
    assert not (tmp_path / "new.xmp").exists()
    sidecar_of(album / COLLINS.name).unlink()
    (album / COLLINS.name).rename(tmp_path / COLLINS.name)
    (album / COLLINS.name).symlink_to(tmp_path / COLLINS.name)
    before = (tmp_path / COLLINS.name).read_bytes()
    check_skipped(run, validate, "tags", "write", album, "--embed")
    assert (tmp_path / COLLINS.name).read_bytes() == before
    assert "links lead out" not in run("tags", "write", album).err


def test_nothing_is_removed_outside_through_links(run: Run, album: Path, tmp_path: Path, validate: Validate) -> None:
    run("tags", "write", album)
    outside = tmp_path / "outside.xmp"
    sidecar_of(album / COLLINS.name).rename(outside)
    sidecar_of(album / COLLINS.name).symlink_to(outside)
    before = outside.read_bytes()
    check_skipped(run, validate, "tags", "remove", "Eileen Collins", album)
    assert outside.read_bytes() == before
    assert "1 name removed from 1 file" in run("tags", "remove", "Eileen Collins", album, tmp_path).out
    assert outside.read_bytes() != before
