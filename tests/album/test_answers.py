"""Questions about the faces of an album, and answers that change the gallery and can be undone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from facebank import Album, FaceBank
from facebank.album.answers import Answer, confirm_face, deny_faces, leave_out, name_group, refuse_everybody, take_back
from facebank.album.confirmed import identify_in_album
from facebank.album.overview import AlbumOverview
from facebank.album.questions import Question, Questions
from facebank.errors import GroupNotFoundError, PersonNotFoundError, PhotoError, UsageError
from facebank.gallery import inspect_gallery
from facebank.recognition.settings import DecisionSettings
from facebank.types import Photo, Reason
from tests.demo_photos import BIDEN, COLLINS, DEMO_PHOTOS, OBAMA


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[FaceBank]:
    with FaceBank.open(tmp_path / "family.facebank", device="cpu", threads=1) as opened:
        opened.open_gallery(create=True)
        yield opened


@pytest.fixture
def album(bank: FaceBank, tmp_path: Path) -> Iterator[Album]:
    folder = tmp_path / "album"
    shutil.copytree(DEMO_PHOTOS, folder, ignore=shutil.ignore_patterns("*.txt"))
    with bank.album() as opened:
        opened.scan(folder)
        opened.cluster(min_faces=1)
        yield opened


@pytest.fixture
def questions(album: Album, bank: FaceBank) -> Questions:
    return Questions(bank, album, refreshed_overview(album, bank))


def refreshed_overview(album: Album, bank: FaceBank) -> AlbumOverview:
    overview = AlbumOverview(bank, album, [bank.path.parent / "album"])
    overview.refresh()
    return overview


def find_photo(album: Album, name: str) -> Photo:
    return next(photo for photo in album.identify() if Path(photo.path).name == name)


def test_the_next_question_reflects_the_last_answer(album: Album, bank: FaceBank, questions: Questions) -> None:
    first = questions.next()
    assert first is not None
    assert first.group_number == 1
    assert first.face_count == 3  # Barack
    assert first.candidates == ()
    answer = name_group(album, bank, 1, "Barack")
    assert answer.accepted
    assert questions.question(first.key) is None
    second = questions.next()
    assert second is not None
    assert second.key != first.key

    take_back(bank, answer, album)
    questions.reset()
    assert bank.people() == []
    again = questions.next()
    assert again is not None
    assert again.key == first.key
    assert inspect_gallery(bank.path).problems == ()


def test_a_question_returns_when_it_needs_an_answer_again(album: Album, bank: FaceBank, questions: Questions) -> None:
    first = questions.next()
    assert first is not None
    assert name_group(album, bank, 1, "Barack").accepted
    second = questions.next()
    assert second is not None
    assert second.key != first.key
    bank.forget("Barack")
    questions.identify_again()
    assert next_key(questions) == first.key
    questions.settle(first.key)
    questions.identify_again()
    assert next_key(questions) == second.key  # answers are kept


def test_a_group_is_named_only_once(album: Album, bank: FaceBank, questions: Questions) -> None:
    question = questions.next()
    assert question is not None
    assert name_group(album, bank, 1, "Barack", key=question.group_key).accepted
    assert questions.identified_person(question.key) == "Barack"
    other = name_group(album, bank, 1, "Barry")
    assert (other.accepted, other.person) == (False, "Barack")
    assert [person.name for person in bank.people()] == ["Barack"]
    with pytest.raises(GroupNotFoundError, match="has changed"):
        name_group(album, bank, 1, "Barack", key="0" * 16)
    assert name_group(album, bank, 1, "Barack").person == "Barack"  # the person's own samples do not count


def next_key(questions: Questions) -> str | None:
    question = questions.next()
    return None if question is None else question.key


def test_skipped_questions_do_not_return_and_all_questions_end(
    album: Album, bank: FaceBank, questions: Questions
) -> None:
    skipped: list[str] = []
    while (question := questions.next(skipped)) is not None:
        skipped.append(question.key)
    assert len(skipped) == len(set(skipped)) >= 3
    assert questions.question("group-99-1") is None
    assert questions.question("face-x") is None
    assert questions.question("../../etc/passwd") is None


def test_a_stranger_is_not_asked_about_until_the_answer_is_undone(
    album: Album, bank: FaceBank, questions: Questions
) -> None:
    bank.enroll("Eileen", COLLINS)
    question = questions.next()
    assert question is not None
    answer = refuse_everybody(bank.gallery, question.faces)
    assert questions.question(question.key) is None
    take_back(bank, answer, album)
    assert questions.question(question.key) is not None


def test_a_face_that_is_only_similar_to_a_stranger_is_asked_about(
    album: Album, bank: FaceBank, questions: Questions
) -> None:
    bank.enroll("Eileen", COLLINS)
    face_ids = album.scan_file.groups()[1]
    album.scan_file.keep_groups({number: [face_id] for number, face_id in enumerate(face_ids, 1)})
    questions.reset()
    first = questions.next()
    assert first is not None
    refuse_everybody(bank.gallery, first.faces)
    remaining = [question for question in open_questions(questions) if question.face_ids[0] in face_ids]
    assert [question.face_ids for question in remaining] == [(face_id,) for face_id in face_ids[1:]]
    reasons = [photo.faces[face_number - 1].reason for question in remaining for photo, face_number in question.faces]
    assert reasons == [Reason.REMEMBERED_STRANGER] * 2
    album.scan_file.keep_groups({1: face_ids})  # a group needs an answer if others in it do
    questions.reset()
    assert [question for question in open_questions(questions) if question.face_ids[0] in face_ids] == []


def test_a_denied_candidate_is_not_offered_until_the_denial_is_undone(
    album: Album, bank: FaceBank, questions: Questions
) -> None:
    bank.enroll("Eileen", COLLINS)
    question = questions.next()
    assert question is not None
    assert [candidate.person for candidate in question.candidates] == ["Eileen"]
    answer = deny_faces(bank.gallery, questions.members(question, 50).values(), "Eileen")
    assert len(answer.denials) == 3
    denied = questions.question(question.key)
    assert denied is not None
    assert denied.candidates == ()
    take_back(bank, answer, album)
    offered = questions.question(question.key)
    assert offered is not None
    assert [candidate.person for candidate in offered.candidates] == ["Eileen"]


def test_faces_taken_out_of_a_group_are_asked_about_separately(
    album: Album, bank: FaceBank, questions: Questions
) -> None:
    question = questions.next()
    assert question is not None
    assert question.group_number is not None
    members = questions.members(question, 50)
    first_id, *other_ids = members
    left_out = {first_id: members[first_id]}
    named = name_group(album, bank, question.group_number, "Barack", excluded_ids=left_out.keys())
    answer = leave_out(album, bank.gallery, named, question.group_number, left_out)
    assert len(answer.samples) == 2
    assert album.scan_file.groups()[question.group_number] == other_ids
    assert [first_id] in album.scan_file.groups().values()
    (face,) = [face for face in find_photo(album, Path(members[first_id][0].path).name).faces if face.face_number == 1]
    assert face.person is None  # the name was denied although the face is similar
    questions.reset()
    assert any(question.face_ids == (first_id,) for question in open_questions(questions))
    album.cluster(min_faces=1, known_ids=())
    assert [first_id] in album.scan_file.groups().values()

    take_back(bank, answer, album)
    assert bank.people() == []
    assert album.scan_file.told_apart() == []
    assert max(map(len, album.scan_file.groups().values())) == 3
    with pytest.raises(UsageError, match="no face of group 1 would remain"):
        name_group(album, bank, 1, "Barack", excluded_ids=members.keys())


def open_questions(questions: Questions) -> Iterator[Question]:
    """Yield all open questions."""
    skipped = set[str]()
    while (question := questions.next(skipped)) is not None:
        skipped.add(question.key)
        yield question


def test_a_correction_of_a_name_can_be_undone(album: Album, bank: FaceBank) -> None:
    bank.enroll("Barack", OBAMA)
    wrong = bank.enroll("Barack", find_photo(album, "joe_biden_blue_room.jpg").path, force=True)
    assert wrong.accepted == 1
    photo = find_photo(album, "joe_biden_blue_room.jpg")
    answer = confirm_face(bank, photo, 1, "Joe")
    assert answer.accepted
    assert {person.name: person.sample_count for person in bank.people()} == {"Barack": 1, "Joe": 1}
    take_back(bank, answer, album)
    assert {person.name: person.sample_count for person in bank.people()} == {"Barack": 2}


def test_undoing_a_correction_does_not_enroll_a_forgotten_person(album: Album, bank: FaceBank) -> None:
    bank.enroll("Barack", find_photo(album, "joe_biden_blue_room.jpg").path)
    answer = confirm_face(bank, find_photo(album, "joe_biden_blue_room.jpg"), 1, "Joe")
    bank.forget("Barack")
    take_back(bank, answer, album)
    assert bank.people() == []


def test_undoing_a_correction_uses_the_present_name(album: Album, bank: FaceBank) -> None:
    bank.enroll("Barack", find_photo(album, "joe_biden_blue_room.jpg").path)
    answer = confirm_face(bank, find_photo(album, "joe_biden_blue_room.jpg"), 1, "Joe")
    bank.rename("Barack", "Barack Obama")
    take_back(bank, answer, album)
    assert {person.name: person.sample_count for person in bank.people()} == {"Barack Obama": 1}


def content(album: Album, bank: FaceBank) -> dict[str, object]:
    """Return all data that answers change, without sample ids and times of changes."""
    gallery = bank.gallery
    samples_by_name = {
        person.name: [gallery.whole_sample(sample.id) for sample in gallery.samples(person.name)]
        for person in gallery.people()
    }
    strangers = zip(gallery.stranger_faces(), gallery.strangers().matrix, strict=True)
    return {
        "samples": {
            name: sorted(
                (
                    *(Path(sample.path).name, sample.box.tolist(), sample.quality),
                    *(sample.taken_at, sample.enrolled_at, sample.thumbnail),
                    *((variant, embedding.tobytes()) for variant, embedding in sorted(sample.vectors.items())),
                )
                for sample in samples
            )
            for name, samples in samples_by_name.items()
        },
        "denials": {
            name: sorted((key.content_hash, key.box.tolist()) for key in gallery.denied_faces(name).values())
            for name in samples_by_name
        },
        "strangers": sorted(
            (stranger.path, stranger.face.box.tolist(), embedding.tobytes()) for stranger, embedding in strangers
        ),
        "apart": album.scan_file.told_apart(),
        "groups": album.scan_file.groups(),
    }


def test_undoing_answers_in_reverse_order_restores_everything(album: Album, bank: FaceBank) -> None:
    rng = random.Random(0)
    photos = [find_photo(album, f"{name}.jpg") for name in ("joe_biden_blue_room", "eileen_collins")]

    def random_name() -> str:
        return rng.choice(("Aaa", "Bbb", "Ccc"))

    def name_group_without_first_face() -> Answer:
        (face_id, *others) = album.scan_file.groups()[1]
        photo, face_index = album.scan_file.locate_face(face_id)
        left_out = {face_id: (photo, face_index + 1)} if others else {}
        answer = name_group(album, bank, 1, random_name(), force=True, excluded_ids=left_out.keys())
        return leave_out(album, bank.gallery, answer, 1, left_out) if answer.accepted else answer

    actions: tuple[Callable[[], Answer], ...] = (
        lambda: confirm_face(bank, rng.choice(photos), 1, random_name(), force=True),
        lambda: deny_faces(bank.gallery, [(rng.choice(photos), 1)], random_name()),
        lambda: refuse_everybody(bank.gallery, [(rng.choice(photos), 1)]),
        name_group_without_first_face,
    )
    accepted_answers: list[tuple[Answer, dict[str, object]]] = []
    for action in rng.sample(actions, 12, counts=(5, 3, 2, 2)):
        before = content(album, bank)
        with suppress(PersonNotFoundError):
            answer = action()
            if answer.accepted:
                accepted_answers.append((answer, before))
            else:
                assert content(album, bank) == before
    assert len(accepted_answers) > 5
    for answer, before in reversed(accepted_answers):
        is_different = content(album, bank) != before
        assert take_back(bank, answer, album) == is_different
        assert content(album, bank) == before
        assert not take_back(bank, answer, album)
    assert inspect_gallery(bank.path).problems == ()


def test_undoing_two_corrections_restores_the_first_name(album: Album, bank: FaceBank) -> None:
    photo = find_photo(album, "joe_biden_blue_room.jpg")
    refusal = refuse_everybody(bank.gallery, [(photo, 1)])
    answers = [confirm_face(bank, photo, 1, name, force=True) for name in ("Aaa", "Bbb")]
    assert bank.gallery.stranger_faces() == []
    for answer, names in zip(reversed(answers), (["Aaa"], []), strict=True):
        assert take_back(bank, answer, album)
        assert [person.name for person in bank.people()] == names
    assert len(bank.gallery.stranger_faces()) == 1
    assert take_back(bank, refusal, album)
    assert bank.gallery.stranger_faces() == []
    assert not take_back(bank, refusal, album)


def test_a_sample_can_be_denied_or_refused_as_a_stranger(album: Album, bank: FaceBank) -> None:
    photo = find_photo(album, "joe_biden_blue_room.jpg")
    confirm_face(bank, photo, 1, "Aaa")
    denied = deny_faces(bank.gallery, [(photo, 1)], "Aaa")
    assert bank.samples("Aaa") == []
    assert len(bank.gallery.denied_faces("Aaa")) == 1
    assert take_back(bank, denied, album)
    refused = refuse_everybody(bank.gallery, [(photo, 1)])
    assert bank.samples("Aaa") == []
    assert take_back(bank, refused, album)
    assert len(bank.samples("Aaa")) == 1


def test_a_refused_answer_changes_nothing(album: Album, bank: FaceBank) -> None:
    bank.enroll("Barack", OBAMA)
    before = bank.gallery.revision
    answer = confirm_face(bank, find_photo(album, "eileen_collins.jpg"), 1, "Barack")
    assert not answer.accepted
    assert answer.new_person_id is None
    assert bank.gallery.revision == before
    assert confirm_face(bank, find_photo(album, "eileen_collins.jpg"), 1, "Barack", force=True).accepted
    with pytest.raises(UsageError, match="no face 9"):
        confirm_face(bank, find_photo(album, "eileen_collins.jpg"), 9, "Barack")


def test_a_photo_that_changed_since_the_scan_is_not_enrolled(album: Album, bank: FaceBank) -> None:
    photo = find_photo(album, "eileen_collins.jpg")
    shutil.copy(BIDEN, photo.path)
    with pytest.raises(PhotoError, match="has changed"):
        confirm_face(bank, photo, 1, "Eileen")
    assert bank.people() == []


def test_samples_keep_their_person_although_another_looks_alike(
    album: Album, bank: FaceBank, questions: Questions
) -> None:
    assert len(name_group(album, bank, 1, "Barack").samples) == 3
    photo = find_photo(album, "barack_obama_speech.jpg")
    assert not confirm_face(bank, photo, 1, "Barry").accepted
    assert confirm_face(bank, photo, 1, "Barry", force=True).accepted
    barack_names = ["barack_obama_blue_room.jpg", "barack_obama_portrait_2012.jpg"]
    (photo,) = bank.identify(DEMO_PHOTOS / barack_names[1])
    assert photo.faces[0].person is None  # similar to both people

    assert [Path(photo.path).name for photo in album.find("Barack")] == barack_names
    assert [Path(photo.path).name for photo in album.find("Barry")] == ["barack_obama_speech.jpg"]
    overview = refreshed_overview(album, bank)
    ids_by_name = {name: person_id for person_id, name in bank.gallery.names().items()}
    assert overview.counts() == {ids_by_name["Barack"]: 2, ids_by_name["Barry"]: 1}
    assert not overview.uncertain_faces()
    asked_paths = {photo.path for question in open_questions(questions) for photo, _ in question.faces}
    assert asked_paths
    assert not any("barack" in Path(path).name for path in asked_paths)
    album.cluster(min_faces=1)
    assert not any("barack" in album.scan_file.locate_face(face_id)[0].path for face_id in grouped_face_ids(album))

    bank.gallery.remove_sample(next(sample.id for sample in bank.samples("Barack") if barack_names[1] in sample.path))
    assert [Path(photo.path).name for photo in album.find("Barack")] == barack_names[:1]  # the similarity decides now


def grouped_face_ids(album: Album) -> list[int]:
    return [face_id for face_ids in album.scan_file.groups().values() for face_id in face_ids]


def test_a_question_about_a_group_leaves_samples_out(album: Album, bank: FaceBank, questions: Questions) -> None:
    groups = album.scan_file.groups()
    album.scan_file.keep_groups({1: [face_ids[0] for face_ids in groups.values()]})  # three people in one
    first = questions.next()
    assert first is not None
    ((photo, face_number), *others) = first.faces
    assert confirm_face(bank, photo, face_number, "Ada").accepted
    again = questions.question(first.key)
    assert again is not None
    assert again.face_count == len(again.faces) == len(others) == 2
    assert photo.path not in {other.path for other, _ in (*again.faces, *questions.members(again, 10).values())}


def test_no_other_face_of_a_photo_gets_the_name_of_a_sample(album: Album, bank: FaceBank) -> None:
    bank.enroll("Eileen", COLLINS)
    joe, eileen = find_photo(album, "joe_biden_blue_room.jpg"), find_photo(album, "eileen_collins.jpg")
    assert confirm_face(bank, joe, 1, "Eileen", force=True).accepted  # a mistake of the user
    face = replace(joe.faces[0], embedding=find_photo(album, "barack_obama_speech.jpg").faces[0].embedding)
    photo = replace(joe, faces=(face, replace(eileen.faces[0], box=face.box + 9_000)))

    def decisions(settings: DecisionSettings) -> list[tuple[str | None, Reason | None]]:
        identified = identify_in_album(photo, bank.gallery, lambda: bank.identification(settings))
        return [(face.person, face.reason) for face in identified.faces]

    assert decisions(DecisionSettings(allow_twice=True)) == [("Eileen", Reason.MATCH)] * 2
    assert decisions(DecisionSettings()) == [("Eileen", Reason.MATCH), (None, Reason.SAME_PERSON_TWICE)]
