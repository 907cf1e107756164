"""``facebank verify``: comparison of two photos."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from .conftest import Run, Validate


def test_two_photos_of_one_person_are_the_same_person(
    run: Run, portrait: Path, speech: Path, validate: Validate
) -> None:
    records = run("verify", portrait, speech, "--json").records
    validate("verify", records)
    (record,) = records
    assert set(record) == {"a", "b", "similarity", "threshold", "same", "probability"}
    assert (record["a"], record["b"]) == (str(portrait), str(speech))
    assert record["same"] is True
    assert record["similarity"] >= record["threshold"]
    assert run("verify", portrait, speech).out.startswith("the same person")


def test_two_different_people_are_not_a_failure(run: Run, portrait: Path, stranger: Path) -> None:
    (record,) = run("verify", portrait, stranger, "--json").records
    assert record["same"] is False
    assert record["similarity"] < record["threshold"]


def test_no_gallery_is_needed_or_created(run: Run, gallery: Path, portrait: Path, speech: Path) -> None:
    run("verify", portrait, speech)
    assert not gallery.exists()


def test_a_photo_without_a_face_is_an_error(run: Run, portrait: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200)).save(tmp_path / "black.png")
    result = run("verify", portrait, "black.png", code=2)
    assert result.err == "facebank: black.png: no face was found\n"
    assert result.out == ""
