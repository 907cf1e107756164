"""``facebank tags``: names in the XMP metadata of photos."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facebank.album.tags.xmp_document import XmpDocument
from facebank.album.tags.xmp_files import read_photo_xmp
from facebank.media import read_photo
from facebank.media.pixels import apply_orientation
from tests.demo_photos import DEMO_PHOTOS

from ..album.test_xmp_packets import embed, extended_xmp  # noqa: TID252
from ..album.xmp_samples import region, with_regions  # noqa: TID252 - tests are not installed
from .conftest import Run, Validate

OBAMA, COLLINS = "barack_obama_speech.jpg", "eileen_collins.jpg"
# The other EXIF orientations are their own inverses.
INVERSE_ORIENTATIONS = {6: 8, 8: 6}


@pytest.fixture
def album(run: Run, two_people: Path, tmp_path: Path) -> Path:
    """A scanned folder: both enrolled people and a stranger."""
    assert two_people.exists()
    folder = tmp_path / "album"
    folder.mkdir()
    for name in (OBAMA, COLLINS, "joe_biden_blue_room.jpg"):
        shutil.copy(DEMO_PHOTOS / name, folder)
    run("scan", folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def regions(path: Path) -> list[tuple[str, str]]:
    return [(region.name, region.kind) for source in read_photo_xmp(path).sources for region in source.document.regions]


def actions(records: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    return {Path(record["image"]).name: [face["action"] for face in record["faces"]] for record in records}


def box_of(run: Run, photo: Path, gallery: Path | None = None) -> list[float]:
    """Return the box of the first face as fractions of the upright photo."""
    options = () if gallery is None else ("--gallery", gallery)
    (record,) = run(*options, "identify", photo, "--json").records
    (x1, y1, x2, y2), width, height = record["faces"][0]["box"], record["width"], record["height"]
    return [x1 / width, y1 / height, x2 / width, y2 / height]


def sidecar(photo: Path) -> Path:
    return photo.with_name(f"{photo.name}.xmp")


def test_names_are_written_to_sidecars_once(run: Run, album: Path, validate: Validate) -> None:
    before = contents(album)
    preview = run("tags", "write", album, "--dry-run", "--json").records
    assert contents(album) == before
    written = run("tags", "write", album, "--json").records
    validate("tags-write", written)
    assert written == preview
    assert actions(written) == {OBAMA: ["added"], COLLINS: ["added"], "joe_biden_blue_room.jpg": []}
    after = contents(album)
    assert {name: data for name, data in after.items() if name in before} == before
    assert set(after) - set(before) == {f"{OBAMA}.xmp", f"{COLLINS}.xmp"}
    assert regions(album / OBAMA) == [("Barack Obama", "Face")]
    assert run("tags", "write", album).out == "0 regions written into 0 files\n"
    assert contents(album) == after


def test_regions_are_shown_where_the_faces_are(run: Run, album: Path, validate: Validate) -> None:
    run("tags", "write", album)
    records = run("tags", "show", album, "--json").records
    validate("tags-show", records)
    assert [len(record["regions"]) for record in records] == [1, 1, 0]
    listed = records[0]["regions"][0]
    assert (listed["name"], listed["written_by_facebank"], listed["vocabulary"]) == ("Barack Obama", True, "mwg-rs")
    (identified,) = run("identify", album / OBAMA, "--json").records
    assert listed["box"] == pytest.approx(identified["faces"][0]["box"], abs=0.02)
    lines = run("tags", "show", album / OBAMA).out.splitlines()
    assert lines[0] == "photo\tname\tkind\tbox\tfile"
    assert "\tBarack Obama\tFace\t" in lines[1]


def test_regions_without_a_name_are_written_on_request(run: Run, album: Path) -> None:
    run("tags", "write", album, "--unnamed")
    biden = album / "joe_biden_blue_room.jpg"
    assert regions(biden) == [("", "Face")]
    assert actions(run("tags", "write", album, "--unnamed", "--json").records)[biden.name] == ["unchanged"]
    run("enroll", "Joe Biden", biden)
    assert actions(run("tags", "write", album, "--json").records)[biden.name] == ["named"]
    assert regions(biden) == [("Joe Biden", "Face")]


def test_a_written_name_follows_a_rename(run: Run, album: Path) -> None:
    run("tags", "write", album)
    run("people", "rename", "Eileen Collins", "Commander Collins")
    (face,) = run("tags", "write", album / COLLINS, "--json").records[0]["faces"]
    assert (face["action"], face["named_as"]) == ("renamed", "Eileen Collins")
    assert regions(album / COLLINS) == [("Commander Collins", "Face")]


@pytest.mark.parametrize("options", [(), ("--embed",)])
def test_a_name_from_another_program_is_never_changed(run: Run, album: Path, options: tuple[str, ...]) -> None:
    photo = album / COLLINS
    sidecar(photo).write_bytes(with_regions(region("Aunt Eileen", tuple(box_of(run, photo)))))  # type: ignore[arg-type]
    before = contents(album)
    result = run("tags", "write", photo, *options, "--json")
    (face,) = result.records[0]["faces"]
    assert (face["action"], face["named_as"]) == ("conflict", "Aunt Eileen")
    assert "is named Aunt Eileen there and is known as Eileen Collins" in result.err
    assert contents(album) == before
    assert "1 kept with another name" in run("tags", "write", photo, *options).out


def test_regions_of_another_program_are_kept(run: Run, album: Path) -> None:
    photo = album / COLLINS
    others = region("Somebody Else", (0.0, 0.9, 0.05, 1.0)) + region("eileen collins", tuple(box_of(run, photo)))  # type: ignore[arg-type]
    sidecar(photo).write_bytes(with_regions(others, (512, 512)))
    before = contents(album)
    assert actions(run("tags", "write", photo, "--json").records) == {COLLINS: ["unchanged"]}
    assert contents(album) == before
    sidecar(photo).write_bytes(with_regions(region("Somebody Else", (0.0, 0.9, 0.05, 1.0)), (512, 512)))
    assert actions(run("tags", "write", photo, "--json").records) == {COLLINS: ["added"]}
    assert regions(photo) == [("Somebody Else", "Face"), ("Eileen Collins", "Face")]


def test_a_region_around_the_whole_person_is_not_duplicated(run: Run, album: Path) -> None:
    photo = album / COLLINS
    sidecar(photo).write_bytes(with_regions(region("Eileen Collins", (0.0, 0.0, 1.0, 1.0)), (512, 512)))
    assert actions(run("tags", "write", photo, "--json").records) == {COLLINS: ["unchanged"]}


def test_regions_of_lightrooms_sidecar_are_copied_to_the_new_one(run: Run, album: Path) -> None:
    photo = album / COLLINS
    other = region("Somebody Else", (0.0, 0.9, 0.05, 1.0))
    photo.with_suffix(".xmp").write_bytes(with_regions(other, (512, 512)))
    before = photo.with_suffix(".xmp").read_bytes()
    run("tags", "write", photo)
    assert photo.with_suffix(".xmp").read_bytes() == before
    written = XmpDocument.parse(sidecar(photo).read_bytes(), "sidecar").regions
    assert [written_region.name for written_region in written] == ["Somebody Else", "Eileen Collins"]


def test_regions_for_another_aspect_ratio_are_not_changed(run: Run, album: Path) -> None:
    photo = album / COLLINS
    sidecar(photo).write_bytes(with_regions(region("Ada", (0.1, 0.1, 0.2, 0.2)), (400, 100)))
    before = contents(album)
    assert "400 x 100" in run("tags", "write", photo, code=1).err
    assert contents(album) == before
    (listed,) = run("tags", "show", photo, "--json").records[0]["regions"]
    assert listed["box"] is None
    assert "400 x 100" in listed["problem"]


def test_embedding_names_changes_neither_picture_nor_scan(run: Run, album: Path, gallery: Path) -> None:
    photo = album / COLLINS
    shutil.copy(photo, album / "copy.jpg")
    run("deny", photo, "Barack Obama")
    run("scan", album)
    run("cluster")
    os.utime(photo, ns=(10**18, 10**18))
    run("scan", album)
    before = read_photo(photo)
    assert run("tags", "write", album, "--embed").out == "3 regions written into 3 photos\n"
    after = read_photo(photo)
    assert np.array_equal(before.pixels, after.pixels)
    assert before.taken_at == after.taken_at
    assert before.content_hash != after.content_hash
    assert not list(album.glob("*.xmp"))
    assert "unchanged" in run("scan", album).out
    assert "analyzed" not in run("scan", album).out
    changed = contents(album)
    assert run("tags", "write", album, "--embed").out == "0 regions written into 0 files\n"
    assert contents(album) == changed
    assert [face["decision"] for record in run("identify", "--scan", "--json").records for face in record["faces"]] == [
        *("known", "known", "known", "unknown")
    ]
    from facebank import FaceBank
    from facebank.gallery import FaceKey

    (record,) = run("identify", photo, "--json").records
    box = np.array(record["faces"][0]["box"], dtype=np.float32)
    with FaceBank.open(gallery) as bank:
        assert bank.gallery.denials_of(FaceKey(after.content_hash, 0, box, after.picture_hash))


def test_sidecar_regions_are_embedded_on_request(run: Run, album: Path) -> None:
    run("tags", "write", album)
    assert run("tags", "write", album, "--embed").out == "2 regions written into 2 photos\n"
    assert regions(album / COLLINS) == [("Eileen Collins", "Face")] * 2


def test_regions_refer_to_the_stored_picture(run: Run, two_people: Path, tmp_path: Path) -> None:
    assert two_people.exists()
    pixels = read_photo(DEMO_PHOTOS / OBAMA).pixels
    folder = tmp_path / "turned"
    folder.mkdir()
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(apply_orientation(pixels, INVERSE_ORIENTATIONS.get(orientation, orientation)))
        stored.save(folder / f"{orientation}.jpg", quality=95, exif=exif.tobytes())
    run("scan", folder)
    assert run("tags", "write", folder).out == "8 regions written into 8 sidecars\n"
    face_boxes = [record["faces"][0]["box"] for record in run("identify", "--scan", "--json").records]
    region_boxes = [record["regions"][0]["box"] for record in run("tags", "show", folder, "--json").records]
    assert np.array(region_boxes) == pytest.approx(np.array(face_boxes), abs=0.05)
    for orientation, box in enumerate(face_boxes, 1):
        assert upright_region_box(folder / f"{orientation}.jpg", orientation) == pytest.approx(box, abs=1.5)


def upright_region_box(photo: Path, orientation: int) -> list[float]:
    """Return the box of a photo's region in upright pixels, by rotating a mask of the stored picture."""
    source = read_photo_xmp(photo).sources[0].document
    with Image.open(photo) as stored:
        assert source.dimensions == stored.size
        (region,) = source.regions
        assert region.box is not None
        mask = Image.new("L", stored.size)
        left, top, right, bottom = (round(edge * side) for edge, side in zip(region.box, stored.size * 2, strict=True))
        mask.paste(255, (left, top, right, bottom))
    inside = np.argwhere(apply_orientation(np.array(mask.convert("RGB")), orientation)[..., 0])
    (y1, x1), (y2, x2) = inside.min(axis=0), inside.max(axis=0) + 1
    return [x1, y1, x2, y2]


def test_extended_xmp_is_read_and_not_written(run: Run, album: Path) -> None:
    photo = album / COLLINS
    segments, packet = extended_xmp(with_regions(region("Somebody Else", (0.0, 0.9, 0.05, 1.0)), (512, 512)))
    data = embed(photo.read_bytes(), "JPEG", packet)
    photo.write_bytes(data[:2] + segments + data[2:])
    run("scan", album)
    before = contents(album)
    assert "Extended XMP" in run("tags", "write", photo, "--embed", code=1).err
    assert contents(album) == before
    run("tags", "write", photo)
    written = XmpDocument.parse(sidecar(photo).read_bytes(), "sidecar").regions
    assert [written_region.name for written_region in written] == ["Somebody Else", "Eileen Collins"]


def tag(run: Run, photo: Path, name: str, gallery: Path | None = None) -> None:
    """Tag the first face of a photo, as another program would."""
    with Image.open(photo) as image:
        size = image.size
    box = tuple(box_of(run, photo, gallery))
    sidecar(photo).write_bytes(with_regions(region(name, box), size))  # type: ignore[arg-type]


@pytest.fixture
def tagged_album(run: Run, two_people: Path, gallery: Path, tmp_path: Path) -> Path:
    """A folder tagged by another program, with an empty gallery."""
    assert two_people.exists()
    folder = tmp_path / "tagged"
    folder.mkdir()
    for name in ("barack_obama_speech.jpg", "barack_obama_blue_room.jpg", COLLINS, "joe_biden_blue_room.jpg"):
        shutil.copy(DEMO_PHOTOS / name, folder)
        tag(run, folder / name, {"b": "Barack Obama", "e": "Eileen Collins", "j": ""}[name[0]])
    for part in gallery.parent.glob("test.facebank*"):
        part.unlink()
    return folder


def test_people_are_enrolled_from_a_tagged_album(run: Run, tagged_album: Path, validate: Validate) -> None:
    records = run("tags", "import", tagged_album, "--json").records
    validate("tags-import", records)
    assert {(Path(entry["image"]).name, entry["person"], entry["reason"]) for entry in records} == {
        ("barack_obama_speech.jpg", "Barack Obama", "enrolled"),
        ("barack_obama_blue_room.jpg", "Barack Obama", "enrolled"),
        (COLLINS, "Eileen Collins", "enrolled"),
        ("joe_biden_blue_room.jpg", None, "no_name"),
    }
    sample_counts = {record["person"]: record["samples"] for record in run("people", "list", "--json").records}
    assert sample_counts == {"Barack Obama": 2, "Eileen Collins": 1}
    assert run("tags", "import", tagged_album).out == "0 faces of 2 people enrolled, 3 enrolled before, 1 no name\n"


def test_the_option_most_limits_the_enrolled_faces(run: Run, tagged_album: Path) -> None:
    records = run("tags", "import", tagged_album, "--most", "1", "--json").records
    assert sorted(record["reason"] for record in records) == ["enough_others", "enrolled", "enrolled", "no_name"]


def test_a_face_nearer_to_another_person_is_not_enrolled(run: Run, tagged_album: Path) -> None:
    run("tags", "import", tagged_album)
    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", tagged_album)
    tag(run, tagged_album / "barack_obama_portrait_2012.jpg", "Eileen Collins")
    result = run("tags", "import", tagged_album, "--json", code=1)
    refused = [record for record in result.records if record["reason"] == "nearer_to_another"]
    assert [Path(record["image"]).name for record in refused] == ["barack_obama_portrait_2012.jpg"]
    assert "nearer to Barack Obama" in result.err


def test_a_wrong_tag_among_many_is_found(run: Run, tagged_album: Path, enrolled_gallery: Path) -> None:
    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", tagged_album)
    for name in ("barack_obama_portrait_2012.jpg", "joe_biden_blue_room.jpg"):
        tag(run, tagged_album / name, "Barack Obama", enrolled_gallery)
    result = run("tags", "import", tagged_album, "--json", code=1)
    reasons = {Path(record["image"]).name: record["reason"] for record in result.records}
    assert reasons["joe_biden_blue_room.jpg"] == "unlike_the_others"
    assert [reason for name, reason in reasons.items() if name.startswith("barack")] == ["enrolled"] * 3


def test_two_faces_of_a_photo_with_one_name_are_refused(run: Run, gallery: Path, tmp_path: Path) -> None:
    case = Path(__file__).resolve().parents[3] / "shared" / "data" / "cases" / "orientation" / "same_name"
    if not case.is_dir():
        pytest.skip(f"needs {case}")
    shutil.copytree(case, tmp_path / "same_name")
    records = run("tags", "import", tmp_path / "same_name", "--json", code=1).records
    assert [record["reason"] for record in records] == ["named_twice"] * 2
    forced = run("tags", "import", tmp_path / "same_name", "--force", "--json").records
    assert all(record["accepted"] for record in forced)


@pytest.mark.parametrize(
    ("xmp_regions", "reason"),
    [
        (region("Ada", (0.0, 0.9, 0.05, 1.0)), "no_face_there"),
        (region("Ada/Eve", (0.35, 0.13, 0.53, 0.34)), "no_name_of_a_person"),
        (region("Ada", (0.35, 0.13, 0.53, 0.34)), "several_names"),
    ],
)
def test_unusable_regions_are_reported(
    run: Run, tmp_path: Path, xmp_regions: str, reason: str, validate: Validate
) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    photo = folder / COLLINS
    shutil.copy(DEMO_PHOTOS / COLLINS, photo)
    sidecar(photo).write_bytes(with_regions(xmp_regions, (512, 512)))
    if reason == "several_names":
        photo.with_suffix(".xmp").write_bytes(with_regions(xmp_regions.replace("Ada", "Eve"), (512, 512)))
    result = run("tags", "import", folder, "--json", code=None)
    validate("tags-import", result.records)
    assert [record["reason"] for record in result.records] == [reason]
    assert result.code == (0 if reason == "no_face_there" else 1)
    assert COLLINS in result.err


def test_facebanks_own_names_are_not_imported(run: Run, album: Path) -> None:
    run("tags", "write", album)
    assert {record["reason"] for record in run("tags", "import", album, "--json").records} == {"written_by_facebank"}
    reasons = [record["reason"] for record in run("tags", "import", album, "--own", "--json").records]
    assert sorted(reasons) == ["already_enrolled", "enrolled"]


BROKEN = ('<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "<x:xmpmeta", "<rdf:RDF/>", "\x00" * 100, "<a>" * 50_000)


def test_broken_xmp_is_reported_and_not_changed(run: Run, album: Path) -> None:
    photos = [album / f"{number}.jpg" for number in range(len(BROKEN))]
    for photo, text in zip(photos, BROKEN, strict=True):
        shutil.copy(album / COLLINS, photo)
        sidecar(photo).write_text(text)
    run("scan", album)
    before = contents(album)
    for command in ("show", "write", "import"):
        output = run("tags", command, album, code=1).err
        assert all(str(sidecar(photo)) in output for photo in photos)
        assert len(output.splitlines()) == len(photos)
    assert regions(album / OBAMA) == [("Barack Obama", "Face")]
    assert {name: data for name, data in contents(album).items() if name in before} == before


def test_changed_and_unscanned_photos_are_reported(run: Run, album: Path, tmp_path: Path) -> None:
    Image.open(album / COLLINS).save(album / COLLINS, quality=70)
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
    assert actions(written) == {OBAMA: ["unsure"], COLLINS: ["added"], "joe_biden_blue_room.jpg": []}
    assert "1 name too uncertain" in run("tags", "write", album, "--least-probability", "1").out
    after = contents(album)
    # Eileen Collins is enrolled from this photo, so her name is certain.
    assert {name for name in after if after[name] != before.get(name)} <= {COLLINS, f"{COLLINS}.xmp"}


def test_a_name_of_another_face_is_not_written(run: Run, album: Path, validate: Validate) -> None:
    """Even with the setting allow_twice."""
    parts = [Image.open(album / name).convert("RGB").resize((600, 800)) for name in (OBAMA, "joe_biden_blue_room.jpg")]
    together, photo = Image.new("RGB", (1200, 800)), album / "two.jpg"
    for index, part in enumerate(parts):
        together.paste(part, (600 * index, 0))
    together.save(photo)
    run("settings", "set", "allow_twice", "true")
    (record,) = run("identify", photo, "--json").records
    (unnamed_box,) = (face["box"] for face in record["faces"] if face["person"] is None)
    x1, y1, x2, y2 = (edge / side for edge, side in zip(unnamed_box, (1200, 800) * 2, strict=True))
    sidecar(photo).write_bytes(with_regions(region("Barack Obama", (x1, y1, x2, y2))))
    before = contents(album)
    run("scan", album)
    result = run("tags", "write", photo, "--json")
    validate("tags-write", result.records)
    (face,) = result.records[0]["faces"]
    assert (face["action"], face["named_as"]) == ("conflict", "Barack Obama")
    assert "another face has it" in result.err
    assert contents(album) == before


def test_a_removed_name_is_not_written_again(run: Run, album: Path, validate: Validate) -> None:
    photo = album / COLLINS
    run("tags", "write", photo)
    text = sidecar(photo).read_text("utf-8")
    assert text.count("Eileen Collins") == 2  # the name, and the mark that facebank wrote it
    sidecar(photo).write_text(text.replace("<mwg-rs:Name>Eileen Collins<", "<mwg-rs:Name><"), encoding="utf-8")
    assert regions(photo) == [("", "Face")]
    before = contents(album)
    result = run("tags", "write", photo, "--json")
    validate("tags-write", result.records)
    assert actions(result.records) == {COLLINS: ["conflict"]}
    assert "had its name removed there" in result.err
    assert contents(album) == before


def test_the_sidecar_is_kept_if_its_photo_cannot_be_written(run: Run, album: Path) -> None:
    photo = album / COLLINS
    sidecar(photo).write_bytes(with_regions(region("Somebody Else", (0.0, 0.9, 0.05, 1.0)), (512, 512)))
    photo.chmod(0o444)
    before = contents(album)
    (record,) = run("tags", "write", photo, "--embed", "--json", code=1).records
    assert (record["files"], record["faces"]) == ([], [])
    assert "may not be written" in record["error"]
    assert contents(album) == before


def test_regions_of_photos_with_an_orientation_name_the_right_faces(run: Run, shared: Path, tmp_path: Path) -> None:
    """Regions of stored or upright pictures with right, swapped or no dimensions; rewriting changes nothing."""
    album = tmp_path / "album"
    shutil.copytree(shared / "data" / "cases" / "orientation", album)
    shutil.rmtree(album / "same_name")
    for path in (album, *album.rglob("*")):
        path.chmod(0o755)
    records = run("tags", "import", album, "--json", "--most", "20").records
    assert {(record["person"], record["accepted"]) for record in records} == {
        ("Left Person", True),
        ("Right Person", True),
    }
    assert len(records) == 12
    for record in run("identify", "--scan", "--json").records:
        faces = sorted(record["faces"], key=lambda face: float(face["box"][0]))
        assert [face["person"] for face in faces] == ["Left Person", "Right Person"], record["image"]
    for options in ((), ("--embed",)):
        run("tags", "write", album, *options)
        assert run("tags", "write", album, *options).out == "0 regions written into 0 files\n"
    for record in run("tags", "show", album, "--json").records:
        named = [listed["name"] for listed in record["regions"] if listed["vocabulary"] == "mwg-rs"]
        assert sorted(named) == ["Left Person"] * 2 + ["Right Person"] * 2, "in the sidecar and in the photo"


def test_regions_with_an_ambiguous_orientation_are_refused(
    run: Run, two_people: Path, tmp_path: Path, validate: Validate
) -> None:
    """A mirrored photo of a face and its mirror image, both with names."""
    assert two_people.exists()
    pixels = read_photo(DEMO_PHOTOS / OBAMA).pixels
    exif = Image.Exif()
    exif[0x0112] = 2
    folder = tmp_path / "mirrored"
    folder.mkdir()
    mirrored = np.concatenate([pixels, pixels[:, ::-1]], axis=1)
    Image.fromarray(mirrored).save(folder / "two.jpg", quality=95, exif=exif.tobytes())
    run("scan", folder)
    (record,) = run("identify", folder / "two.jpg", "--json", code=None).records
    width, height = record["width"], record["height"]
    boxes = [
        [edge / side for edge, side in zip(face["box"], (width, height) * 2, strict=True)] for face in record["faces"]
    ]
    named = "".join(region(name, tuple(box)) for name, box in zip(("Ada", "Bea"), boxes, strict=True))
    sidecar(folder / "two.jpg").write_bytes(with_regions(named, (width, height)))
    before = contents(folder)
    result = run("tags", "import", folder, "--json", code=1)
    validate("tags-import", result.records)
    assert [(record["reason"], record["person"]) for record in result.records] == [("unclear_turn", None)]
    assert "match the faces in more than one orientation (EXIF 2)" in result.err
    assert contents(folder) == before


def add_title(photo: Path) -> None:
    """Edit a JPEG's metadata as another program does: a title and a rating in a new segment."""
    exif = Image.Exif()
    exif[0x010E], exif[0x4746] = "a title", 5
    data, segment = photo.read_bytes(), b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    photo.write_bytes(data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2) + segment + data[2:])


def people_in(run: Run, *arguments: str | Path) -> set[str | None]:
    return {face["person"] for record in run("identify", *arguments, "--json").records for face in record["faces"]}


def test_a_denial_survives_metadata_edits(run: Run, album: Path) -> None:
    photo = album / OBAMA
    run("deny", photo, "Barack Obama")
    add_title(photo)
    assert people_in(run, photo) == {None}
    written = run("tags", "write", album, "--embed", "--json").records
    assert actions(written)[OBAMA] == []
    assert "analyzed" not in run("scan", album).out
    assert people_in(run, "--scan", photo) == people_in(run, photo) == {None}
    assert run("find", "Barack Obama", "--json").records == []
    (enrolled,) = run("enroll", "--name", "Eileen Collins", photo, "--force", "--json", code=None).records
    assert enrolled["accepted"], "only this person was denied"


def test_a_photo_with_edited_metadata_is_the_same_photo(run: Run, album: Path, portrait: Path) -> None:
    copy = album / "portrait.jpg"
    shutil.copy(portrait, copy)
    add_title(copy)
    (enrolled,) = run("enroll", "--name", "Barack Obama", copy, "--json").records
    assert enrolled["reason"] == "already_enrolled"
    add_title(album / COLLINS)
    result = run("tags", "write", album / COLLINS, "--embed", "--json")
    assert actions(result.records) == {COLLINS: ["added"]}
    assert regions(album / COLLINS) == [("Eileen Collins", "Face")]


def test_a_denied_name_is_removed(run: Run, album: Path, validate: Validate) -> None:
    run("tags", "write", album)
    result = run("deny", album / OBAMA, "Barack Obama", "--json")
    validate("deny", result.records)
    assert result.records[0]["files_with_name"] == 1
    assert f"`facebank tags write {album / OBAMA}` removes it" in result.err
    preview = run("tags", "write", album, "--dry-run", "--json").records
    assert regions(album / OBAMA) == [("Barack Obama", "Face")]
    written = run("tags", "write", album, "--json").records
    validate("tags-write", written)
    assert written == preview
    assert [record["removed"] for record in written] == [["Barack Obama"], [], []]
    assert regions(album / OBAMA) == []
    assert b"Barack" not in sidecar(album / OBAMA).read_bytes()
    assert run("deny", album / OBAMA, "Barack Obama", "--json").records[0]["files_with_name"] == 0
    assert run("tags", "write", album).out == "0 regions written into 0 files\n"


def test_an_embedded_name_is_removed_with_embed(run: Run, album: Path) -> None:
    photo = album / OBAMA
    run("tags", "write", album, "--embed")
    assert "`facebank tags write --embed" in run("deny", photo, "Barack Obama").err
    before = contents(album)
    assert "1 wrong name kept inside photos (see --embed)" in run("tags", "write", album).out
    assert {name: data for name, data in contents(album).items() if name in before} == before
    assert not sidecar(photo).exists()
    assert "1 wrong name removed" in run("tags", "write", album, "--embed").out
    assert b"Barack" not in photo.read_bytes()
    assert np.array_equal(read_photo(photo).pixels, read_photo(DEMO_PHOTOS / OBAMA).pixels)
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
    for file in gallery.parent.glob("test.*"):
        assert b"Eileen" not in file.read_bytes(), "forgetting leaves no name behind"
    folders = () if command[0] == "remove" else (album,)
    result = run("tags", *command, *folders, "--json")
    validate(f"tags-{command[0]}", result.records)
    assert regions(album / COLLINS) == []
    assert b"Eileen" not in sidecar(album / COLLINS).read_bytes()
    assert regions(album / OBAMA) == [("Barack Obama", "Face")]


def test_only_names_written_by_facebank_are_removed(run: Run, album: Path) -> None:
    photo = album / COLLINS
    left, top, right, bottom = box_of(run, photo)
    others = region("Barack Obama", (0.0, 0.9, 0.05, 1.0)) + region("", (left, top, right, bottom))
    sidecar(photo).write_bytes(with_regions(others, (512, 512)))
    run("tags", "write", album)
    assert regions(photo) == [("Barack Obama", "Face"), ("Eileen Collins", "Face")]
    assert run("tags", "remove", "Barack Obama", album, "--dry-run").out == (
        "1 name would be removed from 1 file, 1 kept that facebank did not write\n"
    )
    assert run("tags", "remove", "Barack Obama", album).out.startswith("1 name removed from 1 file, 1 kept")
    assert run("tags", "remove", "eileen collins", album).out == "1 name removed from 1 file\n"
    assert regions(photo) == [("Barack Obama", "Face"), ("", "Face")], "a region of another program loses its name only"
    assert regions(album / OBAMA) == []
    assert run("tags", "remove", "Nobody", album).out == "no file has the name Nobody\n"
    assert run("tags", "remove", "Nobody").out == "no file that the scan records has the name Nobody\n"


def test_names_from_another_gallery_are_kept(run: Run, album: Path, tmp_path: Path) -> None:
    run("tags", "write", album)
    other = ("--gallery", tmp_path / "other.facebank")
    run(*other, "enroll", "--name", "Joe Biden", album / "joe_biden_blue_room.jpg")
    run(*other, "scan", album)
    assert "removed" not in run(*other, "tags", "write", album).out
    assert regions(album / COLLINS) == [("Eileen Collins", "Face")]


def check_skipped(run: Run, validate: Validate, *command: str | Path) -> None:
    """Check that a command skips a link target, reports it, and succeeds."""
    for options in ((), ("--dry-run",)):
        assert "1 file is skipped, because links lead out of the named folders to it" in run(*command, *options).err
        result = run(*command, *options, "--json")
        assert result.err.count("links lead out") == 1
        validate("-".join(map(str, command[:2])), result.records)
        record = {Path(str(record["image"])).name: record for record in result.records}[COLLINS]
        assert (record["skipped"], record["error"], record["files"]) == ("outside", None, [])


def test_nothing_is_written_outside_through_links(run: Run, album: Path, tmp_path: Path, validate: Validate) -> None:
    sidecar(album / COLLINS).symlink_to(tmp_path / "new.xmp")
    check_skipped(run, validate, "tags", "write", album)
    assert not (tmp_path / "new.xmp").exists()
    sidecar(album / COLLINS).unlink()
    (album / COLLINS).rename(tmp_path / COLLINS)
    (album / COLLINS).symlink_to(tmp_path / COLLINS)
    before = (tmp_path / COLLINS).read_bytes()
    check_skipped(run, validate, "tags", "write", album, "--embed")
    assert (tmp_path / COLLINS).read_bytes() == before
    assert "links lead out" not in run("tags", "write", album).err


def test_nothing_is_removed_outside_through_links(run: Run, album: Path, tmp_path: Path, validate: Validate) -> None:
    run("tags", "write", album)
    outside = tmp_path / "outside.xmp"
    sidecar(album / COLLINS).rename(outside)
    sidecar(album / COLLINS).symlink_to(outside)
    before = outside.read_bytes()
    check_skipped(run, validate, "tags", "remove", "Eileen Collins", album)
    assert outside.read_bytes() == before
    assert "1 name removed from 1 file" in run("tags", "remove", "Eileen Collins", album, tmp_path).out
    assert outside.read_bytes() != before
