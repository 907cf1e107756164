"""`FaceBank` with the real networks and the demo photos."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank, read_photo
from facebank.errors import (
    ExchangeError,
    GalleryNotFoundError,
    InvalidNameError,
    ManifestError,
    NoFaceError,
    PackMismatchError,
    PackNotFoundError,
    PhotoNotFoundError,
    UsageError,
)
from facebank.gallery import Gallery, export_gallery
from facebank.operations.person_folders import PersonPhotos
from facebank.packs import add_pack, load_pack
from facebank.types import Decision, DecodedPhoto, EnrollReason, SkippedCounts
from tests.demo_photos import BIDEN, BLUE_ROOM, COLLINS, DEMO_PHOTOS, OBAMA, SPEECH
from tests.recorder import Recorder


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[FaceBank]:
    """A bank without a gallery."""
    with FaceBank.open(tmp_path / "test.facebank", device="cpu") as opened:
        yield opened


@pytest.fixture
def two_people(bank: FaceBank) -> FaceBank:
    """A bank of Barack Obama and Eileen Collins."""
    bank.enroll("Barack Obama", OBAMA)
    bank.enroll("Eileen Collins", COLLINS)
    return bank


def list_names(bank: FaceBank, *photos: Path | DecodedPhoto) -> list[str | None]:
    """Return the person of each face, None for unnamed ones."""
    return [face.person for photo in bank.identify(photos) for face in photo.faces]


def make_faceless_photo() -> DecodedPhoto:
    return DecodedPhoto("faceless", np.full((200, 200, 3), 128, np.uint8), "0" * 64, True, None)


def test_opening_reads_and_creates_nothing(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "none.facebank", pack="there is no such pack"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_people_are_recognized_and_strangers_not_named(two_people: FaceBank) -> None:
    assert list_names(two_people, SPEECH, BLUE_ROOM, BIDEN) == ["Barack Obama", "Barack Obama", None]


def test_photos_are_identified_lazily_and_in_order(two_people: FaceBank, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    paths = [tmp_path / "text.jpg", SPEECH, tmp_path / "absent.jpg", BIDEN, tmp_path / "text.jpg"]
    photos = list(two_people.identify(paths))
    assert [Path(photo.path) for photo in photos] == paths
    assert [photo.error is None for photo in photos] == [False, True, False, True, False]
    assert [(photo.width, photo.height) for photo in photos if photo.error] == [(0, 0)] * 3
    assert [len(photo.faces) for photo in photos] == [0, 1, 0, 1, 0]


def test_unreadable_photos_are_all_reported(two_people: FaceBank, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("no photo")
    photos = list(two_people.identify([tmp_path / "a.jpg", tmp_path / "b.jpg"]))
    assert [Path(photo.path).name for photo in photos if photo.error] == ["a.jpg", "b.jpg"]


def test_folders_are_expanded(two_people: FaceBank) -> None:
    paths = [Path(photo.path) for photo in two_people.identify(DEMO_PHOTOS)]
    assert paths == sorted(DEMO_PHOTOS.glob("*.jpg"))


def test_photos_in_memory_are_accepted(two_people: FaceBank) -> None:
    assert list_names(two_people, read_photo(SPEECH)) == ["Barack Obama"]


def test_rotated_photos_are_turned_upright(two_people: FaceBank) -> None:
    upright = read_photo(SPEECH)
    sideways = DecodedPhoto("sideways", np.rot90(upright.pixels).copy(), "1" * 64, has_orientation=False, taken_at=None)
    (photo,) = two_people.identify(sideways)
    assert (photo.width, photo.height, photo.quarter_turns) == (upright.width, upright.height, 3)
    assert [face.person for face in photo.faces] == ["Barack Obama"]


def test_decisions_do_not_depend_on_the_other_photos(two_people: FaceBank) -> None:
    joint = [face for photo in two_people.identify([SPEECH, BIDEN, BLUE_ROOM]) for face in photo.faces]
    single = [
        face for path in (SPEECH, BIDEN, BLUE_ROOM) for photo in two_people.identify(path) for face in photo.faces
    ]
    assert [face.decision for face in joint] == [face.decision for face in single]
    for first, other in zip(joint, single, strict=True):
        assert first.similarity is not None
        assert first.similarity == pytest.approx(other.similarity, abs=1e-4)


def test_a_missing_gallery_is_an_error(bank: FaceBank) -> None:
    with pytest.raises(GalleryNotFoundError):
        next(bank.identify(SPEECH))
    assert not bank.path.exists()


def test_enrolling_without_photos_is_an_error(bank: FaceBank, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotoNotFoundError, match="empty"):
        bank.enroll("Ada", tmp_path / "empty")
    with pytest.raises(PhotoNotFoundError):
        bank.enroll("Ada", [])
    assert not bank.path.exists()


def test_enrolling_an_invalid_name_is_an_error(bank: FaceBank) -> None:
    with pytest.raises(InvalidNameError):
        bank.enroll("a/b", SPEECH)
    assert not bank.path.exists()


def test_each_result_is_reported_immediately(bank: FaceBank, tmp_path: Path) -> None:
    progress = Recorder()
    report = bank.enroll("Ada", [OBAMA, tmp_path / "absent.jpg", make_faceless_photo()], progress=progress)
    assert tuple(progress.results) == report.photos
    assert (progress.steps, progress.done) == ([("Enrolling", 3)], [3])
    assert [photo.reason for photo in report.photos] == [
        EnrollReason.ENROLLED,
        EnrollReason.UNREADABLE,
        EnrollReason.NO_FACE,
    ]
    assert (report.accepted, report.refused) == (1, 2)
    assert [photo.sample_id is None for photo in report.photos] == [False, True, True]


def test_all_photos_are_read_before_the_first_is_enrolled(bank: FaceBank, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(12)]
    for path in paths:
        shutil.copy(BIDEN, path)

    class PhotoRemover(Recorder):
        def report(self, result: object) -> None:
            assert self.done == [len(paths)]
            paths[-1].unlink(missing_ok=True)

    report = bank.enroll("Joe", paths, progress=PhotoRemover())
    assert report.accepted == len(paths)


def test_people_without_photos_are_not_enrolled(bank: FaceBank, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    people = [PersonPhotos("Nobody", (tmp_path / "empty",)), PersonPhotos("Barack", (OBAMA, SPEECH))]
    empty, barack = bank.enroll_people(people)
    assert [photo.reason for photo in empty.photos] == [EnrollReason.NO_PHOTOS]
    assert (barack.person, barack.accepted) == ("Barack", 2)
    assert [person.name for person in bank.gallery.people()] == ["Barack"]


def test_skipped_files_are_counted(bank: FaceBank, tmp_path: Path) -> None:
    folder = tmp_path / "Barack"
    folder.mkdir()
    shutil.copy(OBAMA, folder)
    for name in ("a.cr2", "b.cr2", "c.jxl", "clip.mp4"):
        (folder / name).touch()
    reports = [
        bank.enroll("Barack", [folder, folder / "barack_obama_portrait_2012.jpg"]),
        *bank.enroll_people([PersonPhotos("Barack", (folder,))]),
    ]
    assert [report.skipped for report in reports] == [SkippedCounts({"raw": 2, "jpeg_xl": 1}, videos=1)] * 2
    assert bank.enroll("Barack", SPEECH).skipped == SkippedCounts()


def test_nobody_is_enrolled_beside_an_invalid_name(bank: FaceBank) -> None:
    with pytest.raises(InvalidNameError):
        bank.enroll_people([PersonPhotos("Barack", (OBAMA,)), PersonPhotos("a/b", (SPEECH,))])
    assert not bank.path.exists()


def test_a_face_is_enrolled_for_one_person_only(two_people: FaceBank) -> None:
    (photo,) = two_people.enroll("barack obama", OBAMA).photos
    assert (photo.accepted, photo.reason) == (True, EnrollReason.ALREADY_ENROLLED)
    (other,) = two_people.enroll("Somebody", OBAMA).photos
    assert (other.accepted, other.reason) == (False, EnrollReason.ENROLLED_AS_ANOTHER)
    assert "Barack Obama" in other.detail


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A photo of Barack Obama, on the left, larger and nearer the center, and Joe Biden."""
    from PIL import Image

    with Image.open(SPEECH) as first, Image.open(BIDEN) as second:
        left = first.convert("RGB").resize((first.width * 700 // first.height, 700))
        right = second.convert("RGB").resize((second.width * 350 // second.height, 350))
    joined = Image.new("RGB", (left.width + right.width, 700))
    joined.paste(left, (0, 0))
    joined.paste(right, (left.width, 0))
    joined.save(tmp_path / "pair.png")
    return tmp_path / "pair.png"


def test_the_face_agreeing_with_other_photos_is_chosen(bank: FaceBank, pair: Path) -> None:
    (photo,) = bank.enroll("Barack", pair).photos
    assert (photo.accepted, photo.reason) == (True, EnrollReason.ENROLLED)
    assert "times as large as the next" in photo.detail
    first, second = bank.enroll("Barack", [pair, OBAMA]).photos
    assert (first.path, first.accepted, second.accepted) == (str(pair), True, True)
    assert list_names(bank, BIDEN) == [None]


def test_the_largest_or_central_face_can_be_picked(bank: FaceBank, pair: Path) -> None:
    assert bank.enroll("Barack", pair, pick="largest").accepted == 1
    assert list_names(bank, BLUE_ROOM, BIDEN) == ["Barack", None]
    with pytest.raises(UsageError, match="largest"):
        bank.enroll("Barack", pair, pick="smallest")  # type: ignore[arg-type]


def test_thumbnails_are_optional(bank: FaceBank) -> None:
    bank.enroll("With", OBAMA)
    bank.enroll("Without", COLLINS, thumbnails=False)
    stored = [bank.gallery.samples(name)[0].has_thumbnail for name in ("With", "Without")]
    assert stored == [True, False]


def test_samples_store_absolute_paths(bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(OBAMA, tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    (photo,) = bank.enroll("Barack", "photo.jpg").photos
    assert photo.path == "photo.jpg"
    assert bank.gallery.samples("Barack")[0].path == str(tmp_path / "photo.jpg")
    monkeypatch.chdir("/")
    assert bank.re_embed().lost == ()


def test_two_photos_are_compared_by_their_largest_faces(bank: FaceBank, pair: Path) -> None:
    same = bank.verify(OBAMA, pair)
    assert same.same
    assert same.similarity >= same.threshold
    assert (same.a, same.b, same.probability) == (str(OBAMA), str(pair), None)
    assert not bank.verify(OBAMA, read_photo(BIDEN)).same
    with pytest.raises(NoFaceError, match="faceless"):
        bank.verify(OBAMA, make_faceless_photo())
    assert not bank.path.exists()


def test_comparing_is_symmetric(bank: FaceBank) -> None:
    assert bank.verify(OBAMA, SPEECH).similarity == pytest.approx(bank.verify(SPEECH, OBAMA).similarity, abs=1e-5)


@pytest.fixture
def flipped_pack(tmp_path: Path) -> Path:
    """A pack of the embedded networks whose embeddings differ, because they also use the mirrored face."""
    embedded = load_pack().folder
    folder = tmp_path / "flipped"
    shutil.copytree(embedded, folder, ignore=shutil.ignore_patterns("calibration.json", "background.npz"))
    manifest = (folder / "pack.toml").read_text(encoding="utf-8")
    manifest = manifest.replace('name = "opencv"', 'name = "flipped"').replace("flip = false", "flip = true")
    (folder / "pack.toml").write_text(manifest, encoding="utf-8")
    return folder


def test_another_pack_requires_re_embedding(two_people: FaceBank, flipped_pack: Path) -> None:
    two_people.close()
    with FaceBank.open(two_people.path, pack=str(flipped_pack), device="cpu") as bank:
        with pytest.raises(PackMismatchError, match=r"opencv.*flipped.*re-embed"):
            next(bank.identify(SPEECH))
        report = bank.re_embed()
        assert (report.changed, report.pack, report.embedded, report.lost) == (True, "flipped", 2, ())
        assert list_names(bank, SPEECH, BIDEN) == ["Barack Obama", None]


def test_re_embedding_without_a_pack_keeps_the_pack_of_the_gallery(
    two_people: FaceBank, flipped_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEBANK_PACKS", str(tmp_path / "packs"))
    add_pack(flipped_pack)
    two_people.close()
    with FaceBank.open(two_people.path, pack="flipped", device="cpu") as bank:
        bank.re_embed()
    with FaceBank.open(two_people.path, device="cpu") as bank:
        assert bank.re_embed().pack == "flipped"
        assert list_names(bank, SPEECH, BIDEN) == ["Barack Obama", None]


def test_people_enrolled_during_an_identification_are_named(two_people: FaceBank) -> None:
    photos = two_people.identify([BIDEN] * 40)
    assert next(photos).faces[0].person is None
    two_people.enroll("Joe Biden", BIDEN)
    assert [photo.faces[0].person for photo in photos][-1] == "Joe Biden"


def test_comparing_photos_does_not_open_the_gallery(bank: FaceBank) -> None:
    bank.path.write_text("no gallery")
    assert bank.verify(OBAMA, SPEECH).same


@pytest.fixture
def flipped_export(two_people: FaceBank, flipped_pack: Path, tmp_path: Path) -> Path:
    """An export of two people with embeddings of the pack ``flipped``."""
    two_people.close()
    with FaceBank.open(two_people.path, pack=str(flipped_pack), device="cpu") as bank:
        bank.re_embed()
        export_gallery(bank.gallery, tmp_path / "export")
    return tmp_path / "export"


def test_importing_creates_a_gallery_with_the_pack_of_the_export(flipped_export: Path, tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "new.facebank", device="cpu") as bank:
        assert bank.import_people(flipped_export).sample_count == 2
    with Gallery.open(tmp_path / "new.facebank") as gallery:
        assert gallery.pack.name == "flipped"


def test_a_failed_import_creates_no_gallery(flipped_export: Path, tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "new.facebank", pack="opencv", device="cpu") as bank:
        with pytest.raises(ExchangeError):
            bank.import_people(tmp_path / "no export")
        with pytest.raises(PackMismatchError, match="flipped"):
            bank.import_people(flipped_export)
        assert not bank.path.exists()


def test_re_embedding_drops_samples_of_missing_photos_on_request_only(bank: FaceBank, tmp_path: Path) -> None:
    for name, path in (("Barack", OBAMA), ("Joe", BIDEN)):
        shutil.copy(path, tmp_path / f"{name}.jpg")
        bank.enroll(name, tmp_path / f"{name}.jpg")
    (tmp_path / "Joe.jpg").unlink()
    shutil.copy(BIDEN, tmp_path / "Barack.jpg")
    progress = Recorder()
    report = bank.re_embed(progress=progress)
    assert (report.changed, report.embedded, progress.done) == (False, 0, [2])
    assert {lost.person: lost.reason for lost in report.lost}["Barack"] == "the file has changed since it was enrolled"
    assert list_names(bank, SPEECH) == ["Barack"]
    assert bank.re_embed(drop_missing=True).changed
    assert [person.sample_count for person in bank.gallery.people()] == [0, 0]
    (identified,) = bank.identify(SPEECH)
    assert [face.decision for face in identified.faces] == [Decision.UNKNOWN]


def test_exported_people_are_imported(two_people: FaceBank, tmp_path: Path) -> None:
    export_gallery(two_people.gallery, tmp_path / "export")
    with FaceBank.open(tmp_path / "new" / "other.facebank", device="cpu") as other:
        assert other.import_people(tmp_path / "export").sample_count == 2
        assert list_names(other, SPEECH) == ["Barack Obama"]


def test_preloaded_networks_find_the_same_faces(tmp_path: Path) -> None:
    lazy, preloaded = (FaceBank.open(tmp_path / "none.facebank", device="cpu") for _ in range(2))
    preloaded.preload()
    preloaded.preload()
    first, second = (bank.verify(OBAMA, SPEECH) for bank in (lazy, preloaded))
    assert first == second


def test_preloading_errors_are_raised_on_use(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(load_pack(None).folder, folder)
    manifest = folder / "pack.toml"
    manifest.write_text(manifest.read_text("utf-8").replace('input = "data"', 'input = "pixels"'), "utf-8")
    bank = FaceBank.open(tmp_path / "none.facebank", pack=str(folder), device="cpu")
    bank.preload()
    with pytest.raises(ManifestError, match=r"has the inputs data, but pack\.toml states pixels"):
        bank.verify(OBAMA, SPEECH)


def test_preloading_a_missing_pack_raises(tmp_path: Path) -> None:
    with pytest.raises(PackNotFoundError, match="nobodys"):
        FaceBank.open(tmp_path / "none.facebank", pack="nobodys").preload()
