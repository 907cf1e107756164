"""``facebank tags import``: people enrolled from the names in the metadata of photos."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebank.album.tags.sidecars import sidecar_of
from facebank.media import read_photo
from tests.album.xmp_samples import region_item, with_regions
from tests.demo_photos import DEMO_PHOTOS

from .conftest import Run, Validate, contents, sample_counts
from .tagged_photos import box_of, face_boxes

OBAMA, COLLINS = "barack_obama_speech.jpg", "eileen_collins.jpg"


def tag_first_face(run: Run, path: Path, name: str, gallery: Path | None = None) -> None:
    """Tag the first face of a photo, as another program would."""
    with Image.open(path) as image:
        size = image.size
    sidecar_of(path).write_bytes(with_regions(region_item(name, box_of(run, path, gallery)), size))


@pytest.fixture
def tagged_album(run: Run, two_people: Path, gallery: Path, tmp_path: Path) -> Path:
    """A folder tagged by another program, with an empty gallery."""
    folder = tmp_path / "tagged"
    folder.mkdir()
    for name in ("barack_obama_speech.jpg", "barack_obama_blue_room.jpg", COLLINS, "joe_biden_blue_room.jpg"):
        shutil.copy(DEMO_PHOTOS / name, folder)
        tag_first_face(run, folder / name, {"b": "Barack Obama", "e": "Eileen Collins", "j": ""}[name[0]])
    for part in gallery.parent.glob("test.facebank*"):
        part.unlink()
    return folder


def test_people_are_enrolled_from_a_tagged_album(run: Run, tagged_album: Path, validate: Validate) -> None:
    records = run("tags", "import", tagged_album, "--json").records
    validate("tags-import", records)
    assert {(Path(record["image"]).name, record["person"], record["reason"]) for record in records} == {
        ("barack_obama_speech.jpg", "Barack Obama", "enrolled"),
        ("barack_obama_blue_room.jpg", "Barack Obama", "enrolled"),
        (COLLINS, "Eileen Collins", "enrolled"),
        ("joe_biden_blue_room.jpg", None, "no_name"),
    }
    assert sample_counts(run) == {"Barack Obama": 2, "Eileen Collins": 1}
    assert run("tags", "import", tagged_album).out == "0 faces of 2 people enrolled, 3 enrolled before, 1 no name\n"


def test_the_option_most_limits_the_enrolled_faces(run: Run, tagged_album: Path) -> None:
    records = run("tags", "import", tagged_album, "--most", "1", "--json").records
    assert sorted(record["reason"] for record in records) == ["enough_others", "enrolled", "enrolled", "no_name"]


def test_a_face_nearer_to_another_person_is_not_enrolled(run: Run, tagged_album: Path) -> None:
    run("tags", "import", tagged_album)
    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", tagged_album)
    tag_first_face(run, tagged_album / "barack_obama_portrait_2012.jpg", "Eileen Collins")
    result = run("tags", "import", tagged_album, "--json", code=1)
    refused = [record for record in result.records if record["reason"] == "nearer_to_another"]
    assert [Path(record["image"]).name for record in refused] == ["barack_obama_portrait_2012.jpg"]
    assert "nearer to Barack Obama" in result.err


def test_a_wrong_tag_among_many_is_found(run: Run, tagged_album: Path, enrolled_gallery: Path) -> None:
    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", tagged_album)
    for name in ("barack_obama_portrait_2012.jpg", "joe_biden_blue_room.jpg"):
        tag_first_face(run, tagged_album / name, "Barack Obama", enrolled_gallery)
    result = run("tags", "import", tagged_album, "--json", code=1)
    reasons = {Path(record["image"]).name: record["reason"] for record in result.records}
    assert reasons["joe_biden_blue_room.jpg"] == "unlike_the_others"
    assert [reason for name, reason in reasons.items() if name.startswith("barack")] == ["enrolled"] * 3


def test_two_faces_of_a_photo_with_one_name_are_refused(run: Run, shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "data" / "cases" / "orientation" / "same_name", tmp_path / "same_name")
    records = run("tags", "import", tmp_path / "same_name", "--json", code=1).records
    assert [record["reason"] for record in records] == ["named_twice"] * 2
    forced = run("tags", "import", tmp_path / "same_name", "--force", "--json").records
    assert all(record["accepted"] for record in forced)


@pytest.mark.parametrize(
    ("xmp_regions", "reason"),
    [
        (region_item("Ada", (0.0, 0.9, 0.05, 1.0)), "no_face_there"),
        (region_item("Ada/Eve", (0.35, 0.13, 0.53, 0.34)), "no_name_of_a_person"),
        (region_item("Ada", (0.35, 0.13, 0.53, 0.34)), "several_names"),
    ],
)
def test_unusable_regions_are_reported(
    run: Run, tmp_path: Path, xmp_regions: str, reason: str, validate: Validate
) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    path = folder / COLLINS
    shutil.copy(DEMO_PHOTOS / COLLINS, path)
    sidecar_of(path).write_bytes(with_regions(xmp_regions, (512, 512)))
    if reason == "several_names":
        path.with_suffix(".xmp").write_bytes(with_regions(xmp_regions.replace("Ada", "Eve"), (512, 512)))
    result = run("tags", "import", folder, "--json", code=None)
    validate("tags-import", result.records)
    assert [record["reason"] for record in result.records] == [reason]
    assert result.code == (0 if reason == "no_face_there" else 1)
    assert COLLINS in result.err


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
        names = [region["name"] for region in record["regions"] if region["vocabulary"] == "mwg-rs"]
        assert sorted(names) == ["Left Person"] * 2 + ["Right Person"] * 2  # in the sidecar and in the photo


def test_regions_with_an_ambiguous_orientation_are_refused(
    run: Run, two_people: Path, tmp_path: Path, validate: Validate
) -> None:
    """A mirrored photo of a face and its mirror image, both with names."""
    pixels = read_photo(DEMO_PHOTOS / OBAMA).pixels
    exif = Image.Exif()
    exif[0x0112] = 2
    folder = tmp_path / "mirrored"
    folder.mkdir()
    mirrored = np.concatenate([pixels, pixels[:, ::-1]], axis=1)
    Image.fromarray(mirrored).save(folder / "two.jpg", quality=95, exif=exif.tobytes())
    run("scan", folder)
    (record,) = run("identify", folder / "two.jpg", "--json", code=None).records
    boxes = zip(("Ada", "Bea"), face_boxes(record), strict=True)
    items = "".join(region_item(name, box) for name, box in boxes)
    sidecar_of(folder / "two.jpg").write_bytes(with_regions(items, (record["width"], record["height"])))
    before = contents(folder)
    result = run("tags", "import", folder, "--json", code=1)
    validate("tags-import", result.records)
    assert [(record["reason"], record["person"]) for record in result.records] == [("unclear_turn", None)]
    assert "match the faces in more than one orientation (EXIF 2)" in result.err
    assert contents(folder) == before
