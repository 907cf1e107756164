"""Calibrations from photos of known people."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebank.errors import PhotoNotFoundError, UsageError
from facebank.gallery import PackIdentity
from facebank.operations.calibrate import (
    DEFAULT_CLASSIFIERS,
    AlbumPhoto,
    UnusedReason,
    calibrate,
    find_album,
    plan_calibration,
    read_faces,
    select_classifiers,
)
from facebank.operations.engine import Engine, load_engine
from facebank.recognition.calibration.calibration import Calibration
from facebank.recognition.calibration.files import save_pack_calibration, user_folder
from facebank.recognition.calibration.fitting import Effort
from facebank.recognition.calibration.simulation import Identities
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.training import FITTED
from tests.demo_photos import COLLINS, OBAMA, SPEECH
from tests.recorder import Recorder

TINY = Effort(enrolled=60, strangers=600, galleries=(2, 6))
DIMENSION = 24
PACK = PackIdentity("small", "ab" * 32, DIMENSION)


def copy_photos(folder: Path, *paths: Path) -> Path:
    """Copy photos into a new folder and return the folder."""
    folder.mkdir(parents=True)
    for path in paths:
        shutil.copy(path, folder)
    return folder


def make_people(count: int, photos: int = 3, singles: int = 0) -> Identities:
    """Return synthetic people with embeddings around one direction each; `singles` have one photo."""
    generator = np.random.default_rng(0)
    person_ids = np.repeat(np.arange(count + singles), [photos] * count + [1] * singles)
    embeddings = generator.normal(size=(count + singles, DIMENSION))[person_ids]
    embeddings = embeddings + 0.6 * generator.normal(size=embeddings.shape)
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    return Identities(embeddings, person_ids.astype(np.int64), np.ones(len(person_ids), np.float32))


def test_find_album_lists_one_folder_per_person(tmp_path: Path) -> None:
    copy_photos(tmp_path / "album" / "Barack", OBAMA, SPEECH)
    copy_photos(tmp_path / "album" / "Eileen" / "in space", COLLINS)
    copy_photos(tmp_path / "strangers", SPEECH)
    album = find_album(tmp_path / "album", tmp_path / "strangers")
    assert [(photo.path.name, photo.person) for photo in album] == [
        (OBAMA.name, "Barack"),
        (SPEECH.name, "Barack"),
        (COLLINS.name, "Eileen"),
        (SPEECH.name, None),
    ]


def test_invalid_albums_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "album" / "Ada").mkdir(parents=True)
    (tmp_path / "a file").touch()
    for name in ("nowhere", "a file"):
        with pytest.raises(UsageError, match="one subfolder for each person"):
            find_album(tmp_path / name)
    with pytest.raises(PhotoNotFoundError, match="has no subfolders"):
        find_album(tmp_path / "album" / "Ada")
    with pytest.raises(PhotoNotFoundError, match="no photos"):
        find_album(tmp_path / "album")
    copy_photos(tmp_path / "album" / "Eileen", COLLINS)
    with pytest.raises(PhotoNotFoundError, match="no such file or folder"):
        find_album(tmp_path / "album", tmp_path / "nowhere")
    with pytest.raises(PhotoNotFoundError, match="no photos"):
        find_album(tmp_path / "album", tmp_path / "album" / "Ada")


def test_read_faces_counts_unused_photos_by_reason(engine: Engine, tmp_path: Path) -> None:
    barack = copy_photos(tmp_path / "Barack", OBAMA, SPEECH)
    eileen = copy_photos(tmp_path / "Eileen", COLLINS)
    with Image.open(OBAMA) as image:
        image.resize((image.width * 2 // 3, image.height * 2 // 3)).save(barack / "smaller.png")
    with Image.open(COLLINS) as image:
        image.resize((image.width // 12, image.height // 12)).resize(image.size).save(eileen / "blurred.png")
    Image.new("RGB", (200, 200), "navy").save(eileen / "night.png")
    (eileen / "broken.jpg").write_bytes(b"\xff\xd8\xff half a photo")
    progress = Recorder()
    album = find_album(tmp_path)
    faces = read_faces(album, engine, progress)
    assert (progress.steps, progress.done) == ([("Reading photos", 7)], [len(album)])
    assert (faces.people, faces.strangers) == (2, 0)
    assert faces.identities.person_ids.tolist() == [0, 0, 1]
    assert faces.left_out == {
        UnusedReason.UNREADABLE: 1,
        UnusedReason.NO_FACE: 1,
        UnusedReason.TOO_POOR: 1,
        UnusedReason.SAME_PHOTO: 1,
        UnusedReason.TWO_PEOPLE: 0,
    }
    assert faces.two_people == ()


def test_person_photos_use_the_largest_face_and_stranger_photos_all(engine: Engine, tmp_path: Path) -> None:
    with Image.open(OBAMA) as large, Image.open(COLLINS) as small:
        both = Image.new("RGB", (large.width + small.width // 4, large.height))
        both.paste(large, (0, 0))
        both.paste(small.resize((small.width // 4, small.height // 4)), (large.width, 0))
        both.save(tmp_path / "both.png")
    album, strangers = (read_faces([AlbumPhoto(tmp_path / "both.png", person)], engine) for person in ("Barack", None))
    assert (album.people, album.strangers) == (1, 0)
    assert (strangers.people, strangers.strangers) == (0, 2)
    assert strangers.identities.person_ids.tolist() == [0, 1]
    assert np.array_equal(album.identities.embeddings[0], strangers.identities.embeddings[0])


def test_a_face_in_two_folders_is_not_used(engine: Engine, tmp_path: Path) -> None:
    copy_photos(tmp_path / "Barack", OBAMA, SPEECH)
    copy_photos(tmp_path / "Eileen", COLLINS, OBAMA)
    faces = read_faces(find_album(tmp_path), engine)
    (pair,) = faces.two_people
    assert (pair.first.person, pair.second.person) == ("Barack", "Eileen")
    assert pair.first.path.name == pair.second.path.name == OBAMA.name
    assert faces.identities.person_ids.tolist() == [0, 1]
    assert faces.left_out[UnusedReason.TWO_PEOPLE] == 2


def test_a_person_among_the_strangers_counts_as_the_person(engine: Engine, tmp_path: Path) -> None:
    copy_photos(tmp_path / "album" / "Barack", OBAMA)
    copy_photos(tmp_path / "strangers", OBAMA, COLLINS)
    shutil.copy(COLLINS, tmp_path / "strangers" / "again.jpg")
    faces = read_faces(find_album(tmp_path / "album", tmp_path / "strangers"), engine)
    assert (faces.people, faces.strangers) == (1, 1)
    (pair,) = faces.two_people
    assert (pair.first.person, pair.second.person) == ("Barack", None)
    assert (faces.left_out[UnusedReason.TWO_PEOPLE], faces.left_out[UnusedReason.SAME_PHOTO]) == (1, 1)


def test_photos_without_usable_faces_are_rejected(engine: Engine, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "navy").save(tmp_path / "night.png")
    with pytest.raises(UsageError, match="sufficient quality"):
        read_faces([AlbumPhoto(tmp_path / "night.png", "Ada")], engine)
    copy_photos(tmp_path / "Barack", OBAMA)
    copy_photos(tmp_path / "Eileen", OBAMA)
    with pytest.raises(UsageError, match="two people"):
        read_faces(find_album(tmp_path), engine)


def test_classifiers_are_chosen_by_name() -> None:
    assert select_classifiers(None) == select_classifiers([]) == DEFAULT_CLASSIFIERS
    assert select_classifiers(["all", "knn"]) == CLASSIFIERS
    assert select_classifiers(["svm", "knn", "svm"]) == ("knn", "svm")
    with pytest.raises(UsageError, match="unknown classifier oracle: choose"):
        select_classifiers(["knn", "oracle"])


def test_too_few_people_are_rejected_with_advice() -> None:
    with pytest.raises(
        UsageError, match=r"needs 40 people, 20 of them .* there are 12, 12 .* strangers count"
    ) as caught:
        plan_calibration(make_people(12))
    assert len(str(caught.value).splitlines()) == 1


def test_strangers_count_as_people() -> None:
    assert plan_calibration(make_people(20, singles=20)).classifiers == DEFAULT_CLASSIFIERS


def test_classifiers_that_need_a_background_require_enough_people() -> None:
    few, enough = make_people(45), make_people(45, singles=5)
    plan = plan_calibration(few, ["all"], TINY)
    assert plan.classifiers == DEFAULT_CLASSIFIERS
    assert set(plan.left_out) == {"svm", "svm-rbf", "logistic"}
    assert all("needs 50 people; there are 45" in reason for reason in plan.left_out.values())
    assert calibrate(few, PACK, plan.classifiers, "a test", effort=TINY).background is None
    with pytest.raises(UsageError, match=r"svm cannot be calibrated: .* 50 people"):
        plan_calibration(few, ["svm"])
    assert plan_calibration(enough, ["all"], TINY).classifiers == CLASSIFIERS


def test_every_classifier_is_calibrated() -> None:
    identities = make_people(60, singles=50)
    plan = plan_calibration(identities, CLASSIFIERS, TINY)
    progress = Recorder()
    result = calibrate(identities, PACK, plan.classifiers, "a \x1b[31mtest", effort=TINY, progress=progress)
    assert progress.steps == [("Simulating galleries", sum(plan.galleries.values()))]
    assert progress.done == [sum(plan.galleries.values())]
    assert result.background is not None
    assert [calibrator.classifier for calibrator in result.calibration.calibrators] == list(CLASSIFIERS)
    assert (result.calibration.people, result.calibration.photos) == (110, 230)
    assert "\x1b" not in result.calibration.made_from
    assert Calibration.from_json(result.calibration.to_json()) == result.calibration
    # 110 people can be halved, also after 50 of them are set aside for a background.
    assert set(result.reliability) == set(CLASSIFIERS)
    for classifier, bins in result.reliability.items():
        assert [entry.size for entry in bins] == ([1, 10] if classifier in FITTED else [1, 3, 10, 30])


@dataclass(frozen=True, slots=True)
class Lfw:
    """Photos of forty-five of LFW's development people, two or three each."""

    folder: Path
    photo_count: int


@pytest.fixture(scope="module")
def lfw(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Lfw:
    """Copies of the photos."""
    folder = tmp_path_factory.mktemp("lfw") / "album"
    lines = (shared / "data" / "lfw-meta" / "peopleDevTrain.txt").read_text(encoding="utf-8").splitlines()
    names = [line.split("\t")[0] for line in lines if "\t" in line]
    chosen = [name for name in names if 2 <= len(list((shared / "data" / "lfw" / name).glob("*.jpg"))) <= 3][:45]
    for name in chosen:
        shutil.copytree(shared / "data" / "lfw" / name, folder / name)
    return Lfw(folder, len(list(folder.glob("*/*.jpg"))))


def test_a_calibration_from_real_photos_is_used(
    engine: Engine, lfw: Lfw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEBANK_CALIBRATIONS", str(tmp_path))
    faces = read_faces(find_album(lfw.folder), engine)
    assert faces.people == 45
    assert len(faces.identities.person_ids) + sum(faces.left_out.values()) == lfw.photo_count
    identity = engine.identity
    plan = plan_calibration(faces.identities, effort=TINY)
    result = calibrate(faces.identities, identity, plan.classifiers, "some of LFW", effort=TINY)
    save_pack_calibration(result.calibration, result.background, user_folder(identity))
    loaded = load_engine().pack_calibration.calibration
    assert loaded is not None
    assert loaded.calibrators[: len(result.calibration.calibrators)] == result.calibration.calibrators
    # other classifiers keep the pack's calibration
    assert {calibrator.classifier for calibrator in loaded.calibrators} == set(CLASSIFIERS)
    prototype = result.calibration.calibrator("prototype")
    assert prototype is not None
    # Photos of one person are rarely less similar than this, and photos of two people rarely more similar.
    samples = np.ones(10, np.int64)
    assert 0.15 < prototype.threshold(samples, 0.01) < 0.45
    probabilities = prototype.probabilities(np.array([[0.02], [0.75]], np.float32), np.ones((2, 1), np.int64), 10, 0.5)
    assert probabilities[0, 0] < 0.05
    assert probabilities[1, 0] > 0.95
