"""``facebank enroll``: people, refusals and warnings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from facebank import read_photo
from facebank.operations.engine import load_engine
from facebank.vision.masking import draw_mask
from tests.demo_photos import COLLINS

from .conftest import Run, Validate, paste_side_by_side, sample_counts


@pytest.fixture
def ada(tmp_path: Path, portrait: Path, speech: Path) -> Path:
    """A person's folder with two photos."""
    folder = tmp_path / "photos" / "Ada"
    folder.mkdir(parents=True)
    for path in (portrait, speech):
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def grace(ada: Path) -> Path:
    """Another person's folder, with one photo, beside the first."""
    folder = ada.with_name("Grace")
    folder.mkdir()
    shutil.copy(COLLINS, folder)
    return folder


def test_a_folder_is_a_person_with_its_name(run: Run, ada: Path, validate: Validate) -> None:
    records = run("enroll", f"{ada}/", "--json").records
    validate("enroll", records)
    keys = {"image", "person", "accepted", "reason", "sample_id", "turned", "advice", "masked", "detail", "warning"}
    assert [set(record) for record in records] == [keys] * 2
    assert [(record["person"], record["accepted"], record["reason"]) for record in records] == [
        ("Ada", True, "enrolled")
    ] * 2
    assert sample_counts(run) == {"Ada": 2}


def test_a_single_poor_photo_is_reported(
    run: Run, portrait: Path, speech: Path, tmp_path: Path, validate: Validate
) -> None:
    Image.open(speech).convert("RGB").filter(ImageFilter.GaussianBlur(6)).save(tmp_path / "poor.png")
    result = run("enroll", "Ada", "poor.png")
    assert "Ada has a single poor photo (quality 0." in result.err
    assert "is named with care: add a good one" in result.err
    assert result.err.count("poor photo") == 1
    (record,) = run("enroll", "Ada", "poor.png", "--json").records
    assert record["reason"] == "already_enrolled"
    assert "Ada has a single poor photo" in record["advice"]
    (record,) = run("enroll", "Ada", portrait, "--json").records
    validate("enroll", [record])
    assert record["advice"] is None


def test_the_rotation_of_a_photo_is_reported(run: Run, portrait: Path, tmp_path: Path, validate: Validate) -> None:
    Image.open(portrait).convert("RGB").rotate(-90, expand=True).save(tmp_path / "rotated.png")
    (tmp_path / "text.jpg").write_text("no photo")
    records = run("enroll", "Ada", "rotated.png", "text.jpg", "--json", code=1).records
    validate("enroll", records)
    assert [record["turned"] for record in records] == [90, None]


def test_a_good_photo_is_not_reported(run: Run, grace: Path) -> None:
    assert "poor" not in run("enroll", grace).err


def test_several_folders_are_several_people(run: Run, ada: Path, grace: Path) -> None:
    result = run("enroll", ada, grace)
    assert result.out == "Ada: 2 of 2 photos enrolled\nGrace: 1 of 1 photos enrolled\n"
    assert sample_counts(run) == {"Ada": 2, "Grace": 1}


def test_a_tree_is_a_folder_of_people(run: Run, ada: Path, grace: Path) -> None:
    run("enroll", "--tree", ada.parent)
    assert sample_counts(run) == {"Ada": 2, "Grace": 1}


def test_a_tree_is_not_enrolled_as_one_person(run: Run, ada: Path, grace: Path, gallery: Path) -> None:
    (ada / "2019").mkdir()
    result = run("enroll", ada.parent, code=2)
    assert f"facebank enroll --tree {ada.parent}`" in result.err
    assert f"facebank enroll --name NAME {ada.parent}`" in result.err
    assert (result.out, len(result.err.splitlines()), gallery.exists()) == ("", 1, False)
    assert "unlike" in run("enroll", "--name", "Both", ada.parent, code=1).err
    assert sample_counts(run) == {"Both": 2}


def test_a_first_argument_that_is_not_a_folder_is_the_name(run: Run, ada: Path, speech: Path) -> None:
    run("enroll", "Countess Lovelace", speech, ada)
    assert sample_counts(run) == {"Countess Lovelace": 2}


def test_a_folder_and_a_photo_are_refused_with_both_commands(run: Run, ada: Path, speech: Path) -> None:
    result = run("enroll", ada, speech, code=2)
    assert f"facebank enroll {ada}`" in result.err
    assert f"facebank enroll --name Ada {speech}`" in result.err
    assert result.out == ""


def test_photos_of_a_person_can_be_in_a_second_folder(run: Run, ada: Path, tmp_path: Path, validate: Validate) -> None:
    ada.rename(tmp_path / "imgs")
    result = run("enroll", "ada/", "imgs", "--json")
    validate("enroll", result.records)
    assert [(record["person"], record["accepted"]) for record in result.records] == [("ada", True)] * 2
    assert "there is no folder ada/: the photos are enrolled as ada's" in result.err
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "one.jpg").write_bytes(next((tmp_path / "imgs").iterdir()).read_bytes())
    result = run("enroll", "ada/", "imgs")
    assert "imgs: taken for a folder with photos of ada, not for a person" in result.err
    (tmp_path / "imgs").rename(tmp_path / "holiday")
    result = run("--gallery", "other.facebank", "enroll", "ada/", "holiday/")
    assert "the faces given as holiday are ada's" in result.err
    assert result.out == "ada: 3 of 3 photos enrolled\n"
    assert sample_counts(run) == {"ada": 2}


def test_the_name_option_overrides_folder_names(run: Run, ada: Path, speech: Path) -> None:
    run("enroll", "--name", "Ada", ada, speech)
    assert sample_counts(run) == {"Ada": 2}


@pytest.mark.parametrize(
    "arguments", [["enroll"], ["enroll", "Ada"], ["enroll", "--tree", "--name", "Ada", "."], ["enroll", "--tree", "no"]]
)
def test_contradictory_arguments_are_refused(run: Run, gallery: Path, arguments: list[str]) -> None:
    run(*arguments, code=2)
    assert not gallery.exists()


def test_a_photo_enrolled_twice_is_recognized(run: Run, two_people: Path, portrait: Path) -> None:
    (record,) = run("enroll", "barack obama", portrait, "--json").records
    assert (record["accepted"], record["reason"]) == (True, "already_enrolled")
    (record,) = run("enroll", "Somebody Else", portrait, "--json", code=1).records
    assert (record["accepted"], record["reason"]) == (False, "enrolled_as_another")
    assert sample_counts(run) == {"Barack Obama": 1, "Eileen Collins": 1}


def test_refusals_have_reasons_and_the_rest_is_enrolled(
    run: Run, ada: Path, tmp_path: Path, validate: Validate
) -> None:
    Image.new("RGB", (300, 300), "gray").save(tmp_path / "nobody.png")
    with Image.open(ada / "barack_obama_speech.jpg") as photo:
        photo.resize((photo.width // 11, photo.height // 11)).save(tmp_path / "small.png")
    paths = [tmp_path / "nobody.png", tmp_path / "small.png", tmp_path / "absent.jpg", ada]
    records = run("enroll", "Ada", *paths, "--json", code=1).records
    validate("enroll", records)
    reasons = {Path(record["image"]).name: record["reason"] for record in records}
    assert reasons == {
        "nobody.png": "no_face",
        "small.png": "too_small",
        "absent.jpg": "unreadable",
        "barack_obama_portrait_2012.jpg": "enrolled",
        "barack_obama_speech.jpg": "enrolled",
    }


def test_several_faces_are_refused_unless_one_matches_the_other_photos(
    run: Run, speech: Path, portrait: Path, tmp_path: Path
) -> None:
    parts = [(speech, 500), (COLLINS, 500)]  # faces of about the same size
    pair = paste_side_by_side(tmp_path / "pair.png", parts)
    (record,) = run("enroll", "Barack", pair, "--json", code=1).records
    assert (record["accepted"], record["reason"], record["sample_id"]) == (False, "several_faces", None)
    records = run("enroll", "Barack", pair, portrait, "--json").records
    assert {Path(record["image"]).name for record in records if record["accepted"]} == {pair.name, portrait.name}


@pytest.mark.parametrize(("pick", "fractions"), [("largest", (0.0, 0.4)), ("central", (0.4, 0.6))])
def test_one_of_several_faces_can_be_picked(
    run: Run, portrait: Path, stranger: Path, tmp_path: Path, pick: str, fractions: tuple[float, float]
) -> None:
    width = 1500
    together = Image.new("RGB", (width, 600))
    with Image.open(portrait) as large, Image.open(stranger) as small:
        together.paste(large.convert("RGB").resize((large.width * 600 // large.height, 600)), (0, 0))
        shrunk = small.convert("RGB").resize((small.width * 300 // small.height, 300))
        together.paste(shrunk, ((width - shrunk.width) // 2, 150))
    together.save(tmp_path / "large_left_small_central.png")
    (record,) = run("enroll", "Barack", tmp_path / "large_left_small_central.png", "--pick", pick, "--json").records
    assert record["accepted"]
    left, _, right, _ = run("people", "show", "Barack", "--json").records[0]["box"]
    assert fractions[0] < (left + right) / 2 / width < fractions[1]


def test_thumbnails_can_be_left_out(run: Run, portrait: Path, stranger: Path) -> None:
    run("enroll", "With", portrait)
    run("enroll", "Without", stranger, "--no-thumbnails")
    has_thumbnail = [run("people", "show", name, "--json").records[0]["has_thumbnail"] for name in ("With", "Without")]
    assert has_thumbnail == [True, False]


def test_a_face_nearer_to_another_is_refused_unless_forced(
    run: Run, two_people: Path, stranger: Path, speech: Path, validate: Validate
) -> None:
    result = run("enroll", "Joe Biden", stranger, speech, "--json", code=1)
    validate("enroll", result.records)
    assert [(record["accepted"], record["reason"]) for record in result.records] == [
        (True, "enrolled"),
        (False, "nearer_to_another"),
    ]
    refused = run("enroll", "Joe Biden", speech, code=1)
    assert all(word in refused.err for word in ("Barack Obama", "Joe Biden", "--force"))
    (forced,) = run("enroll", "Joe Biden", speech, "--force", "--json").records
    validate("enroll", [forced])
    assert forced["accepted"]


def test_masked_faces_are_reported(run: Run, tmp_path: Path, portrait: Path, validate: Validate) -> None:
    (photo,) = load_engine(None, "cpu").analyzer.analyze([read_photo(portrait)])
    masked = tmp_path / "masked.png"
    Image.fromarray(draw_mask(photo.photo.pixels, photo.faces[0].landmarks)).save(masked)
    result = run("enroll", "--name", "Ada", masked, "--json")
    validate("enroll", result.records)
    assert [record["masked"] for record in result.records] == [True]
    assert "Ada wears a mask in every sample" in result.err
    shown = run("people", "show", "Ada", "--json").records
    validate("people-show", shown)
    assert [(record["masked"], record["warnings"][0]["code"]) for record in shown] == [(True, "only_masked")]
    audit = run("audit", "--json")
    validate("audit", audit.records)
    assert [record["finding"] for record in audit.records] == ["only_masked"]
