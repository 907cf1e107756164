"""Answers to the questions of the family page, corrections of faces, and undoing them."""

from __future__ import annotations

import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from facebank import FaceBank
from facebank.errors import GalleryBusyError
from facebank.service.keys import KeyFile, Role
from facebank.service.options import ServiceOptions
from facebank.service.page import memory, who
from facebank.service.page.wording import NOBODY_EXPLANATION
from tests.demo_photos import DEMO_PHOTOS
from tests.service.conftest import Serve, full_disk, photo_hash, wait_for_photos, wait_for_question, wait_for_text


def test_answers_about_a_face_are_learned_and_undone(family: httpx.Client) -> None:
    content_hash = photo_hash(family, "barack_obama_speech.jpg")
    url = f"/photos/{content_hash}/answers"
    refused = family.post(url, json={"face": 1, "answer": "name", "name": "Eileen"})
    assert refused.status_code == 409
    assert refused.json()["code"] == "NotLearned"
    named = family.post(url, json={"face": 1, "answer": "name", "name": "Barack Junior", "force": True}).json()
    assert named["message"] == "Barack Junior. Learned."
    assert "Barack Junior" in family.get("/").text
    assert named["undo"] in family.get(f"/photos/{content_hash}").text
    assert "Undo: Barack Junior, 1 face</button>" in family.get(f"/photos/{content_hash}").text
    undone = family.post("/answers/undo", json={"token": named["undo"]}).json()
    assert undone["message"] == "Undone: Barack Junior, 1 face."
    assert "Barack Junior" not in family.get("/").text
    assert family.post("/answers/undo", json={"token": named["undo"]}).status_code == 404
    assert named["undo"] not in family.get(f"/photos/{content_hash}").text

    denied = family.post(url, json={"face": 1, "answer": "not", "name": "Barack"}).json()
    assert "Not Barack" in denied["message"]
    assert "2 photos" in family.get("/").text  # at once
    assert "You said: not Barack. The face is not like anybody else" in family.get(f"/photos/{content_hash}").text
    family.post("/answers/undo", json={"token": denied["undo"]})
    assert "3 photos" in family.get("/").text


def test_repeated_corrections_are_undone_one_by_one(family: httpx.Client, gallery: Path) -> None:
    content_hash = wait_for_question(family)["photo"]["hash"]  # of a stranger

    def undo_token(answer: str, name: str = "") -> str:
        content = {"face": 1, "answer": answer, "name": name, "force": True}
        return str(family.post(f"/photos/{content_hash}/answers", json=content).json()["undo"])

    def sample_counts() -> dict[str, int]:
        with FaceBank.open(gallery) as bank:
            people = {person.name: person.sample_count for person in bank.people()}
            return {**people, "nobody": len(bank.gallery.stranger_faces())}

    states, tokens = [sample_counts()], list[str]()
    for answer, name in (
        ("nobody", ""), ("name", "Aaa"), ("name", "Bbb"), ("not", "Bbb"), ("name", "Bbb"), ("nobody", "")
    ):  # fmt: skip
        tokens.append(undo_token(answer, name))
        states.append(sample_counts())
    assert [state.get("Bbb") for state in states] == [None, None, None, 1, 0, 1, 0]
    page = family.get(f"/photos/{content_hash}").text
    assert "data-nobody" not in page
    assert NOBODY_EXPLANATION in page
    for index, token in enumerate(reversed(tokens), 1):
        assert family.post("/answers/undo", json={"token": token}).json()["message"].startswith("Undone: ")
        assert sample_counts() == states[-1 - index]
        if index == 1:  # the face is a sample of Bbb again
            page = family.get(f"/photos/{content_hash}").text
            assert 'data-not="Bbb"' in page
            assert "data-nobody" in page


def test_undo_without_effect_is_reported(family: httpx.Client, gallery: Path) -> None:
    content_hash = photo_hash(family, "barack_obama_speech.jpg")
    payload = {"face": 1, "answer": "not", "name": "Barack"}
    token = family.post(f"/photos/{content_hash}/answers", json=payload).json()["undo"]
    with FaceBank.open(gallery) as bank:
        bank.forget("Barack")
    undone = family.post("/answers/undo", json={"token": token})
    assert undone.json()["message"] == "Nothing is left to undo of this: Not Barack, 1 face."


def test_answers_to_a_question_are_learned_and_undone(family: httpx.Client) -> None:
    question = wait_for_question(family)
    assert question["faces"]
    payload = {"key": question["key"], "answer": "name", "name": "Joe"}
    answer = family.post("/who/answers", json=payload).json()
    assert answer["message"] == "Joe: 1 face. Learned."
    assert family.post("/who/next", json={}).json()["last"] == {"token": answer["undo"], "words": "Joe, 1 face"}
    assert answer["question"] is None or answer["question"]["key"] != question["key"]
    assert "Joe" in family.get("/").text
    family.post("/answers/undo", json={"token": answer["undo"]})
    assert "Joe" not in family.get("/").text
    after = family.post("/who/next", json={}).json()
    assert after["last"] is None
    assert after["question"]["key"] == question["key"]


def test_answer_is_not_learned_in_part_on_a_full_disk(family: httpx.Client) -> None:
    payload = {"key": wait_for_question(family)["key"], "answer": "name", "name": "Joe"}
    with full_disk():
        response = family.post("/who/answers", json=payload)
    assert response.status_code == 507
    assert "the disk is full" in response.json()["detail"]
    assert "Joe" not in family.get("/").text
    assert family.post("/who/answers", json=payload).json()["message"] == "Joe: 1 face. Learned."


def test_question_is_answered_with_nobody_or_skipped(family: httpx.Client) -> None:
    question = wait_for_question(family)
    nobody = family.post("/who/answers", json={"key": question["key"], "answer": "nobody"}).json()
    assert "You said that this face is nobody you know." in family.get(f"/photos/{question['photo']['hash']}").text
    family.post("/answers/undo", json={"token": nobody["undo"]})
    skipped = family.post("/who/next", json={"skipped": [question["key"]]}).json()["question"]
    assert skipped is None or skipped["key"] != question["key"]


def test_outdated_answer_is_not_learned(family: httpx.Client) -> None:
    outdated = family.post("/who/answers", json={"key": "group-77-1", "answer": "nobody"}).json()
    assert outdated["message"] == "Somebody answered that meanwhile."
    assert outdated["undo"] is None


def test_only_faces_of_the_question_can_be_excluded_and_not_all(family: httpx.Client) -> None:
    question = wait_for_question(family)
    while question["faces"][0]["id"] is None:  # until the photos are grouped
        time.sleep(0.02)
        question = wait_for_question(family)
    (face,) = question["faces"]
    assert family.post("/who/faces", json={"key": question["key"]}).json() == {"faces": [face]}
    assert family.post("/who/faces", json={"key": "group-77-1"}).json() == {"faces": []}
    payload = {"key": question["key"], "answer": "name", "name": "Joe"}
    assert family.post("/who/answers", json={**payload, "others": [face["id"]]}).status_code == 422
    assert (
        family.post("/who/answers", json={**payload, "others": [-1, 10**6]}).json()["message"]
        == "Joe: 1 face. Learned."
    )


def test_face_excluded_from_a_group_stays_excluded_after_undo(
    serve: Serve, gallery: Path, own_album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_busy(*_: object) -> None:
        raise GalleryBusyError("another program writes to it: try again when that has finished")

    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", own_album)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as album:
        bank.forget("Barack")
        album.scan(own_album)
        album.cluster(min_faces=1)
    client = serve(ServiceOptions(albums=(own_album,)))
    question = wait_for_question(client)
    first = question["faces"][0]
    assert not first["is_left_out"]
    payload = {"key": question["key"], "answer": "name", "name": "Barack", "others": [first["id"]]}
    with monkeypatch.context() as patch:
        patch.setattr(who, "leave_out", raise_busy)
        assert client.post("/who/answers", json=payload).status_code == 503
    assert "Barack" not in client.get("/api/v1/people").text  # the answer was not recorded in part
    token = client.post("/who/answers", json=payload).json()["undo"]
    page = client.get(f"/photos/{first['photo']}").text
    assert "You said: not Barack. The face is not like anybody else" in page
    assert "Undo: Barack, 1 face</button>" in page
    with monkeypatch.context() as patch:
        patch.setattr(memory, "take_back", raise_busy)
        assert client.post("/answers/undo", json={"token": token}).status_code == 503
    assert client.post("/answers/undo", json={"token": token}).status_code == 200
    again = wait_for_question(client)
    assert again["key"] == question["key"]
    assert [face["is_left_out"] for face in again["faces"]] == [True, False]
    assert client.post("/who/faces", json={"key": again["key"]}).json()["faces"] == again["faces"]


def test_undo_is_offered_to_the_same_browser_only(serve: Serve, gallery: Path, own_album: Path) -> None:
    key = KeyFile.of_gallery(gallery).add("family", Role.TEACH)
    client = serve(ServiceOptions(albums=(own_album,)))
    sessions = []
    for _ in range(2):
        client.cookies.clear()
        session = client.post("/sign-in", data={"key": key}).headers["set-cookie"]
        sessions.append({"Cookie": session.partition(";")[0]})
    wait_for_photos(client)
    content_hash = photo_hash(client, "barack_obama_speech.jpg")
    client.cookies.clear()
    payload = {"face": 1, "answer": "not", "name": "Barack"}
    reply = client.post(f"/photos/{content_hash}/answers", json=payload, headers=sessions[0]).json()
    first, second = (client.post("/who/next", json={}, headers=cookie).json()["last"] for cookie in sessions)
    assert first == {"token": reply["undo"], "words": "Not Barack, 1 face"}
    assert second is None


def test_the_name_of_a_group_from_another_browser_is_reported(family: httpx.Client) -> None:
    key = wait_for_question(family)["key"]
    with ThreadPoolExecutor(2) as browsers:
        answers = browsers.map(
            lambda name: family.post("/who/answers", json={"key": key, "answer": "name", "name": name}).json(),
            ("Joe", "Joseph"),
        )
    (name,) = re.findall("(Jo(?:e|seph))<", family.get("/").text)
    reply = {answer["message"]: answer["undo"] for answer in answers}
    assert reply.pop(f"Somebody answered that meanwhile: it is {name}.") is None
    ((message, undo),) = reply.items()
    assert message.startswith(f"{name}: ")
    assert undo is not None


def test_repeated_answer_counts_once_and_is_undone_once(family: httpx.Client, gallery: Path) -> None:
    payload = {"key": wait_for_question(family)["key"], "answer": "name", "name": "Joe"}
    with ThreadPoolExecutor(2) as clicks:
        first, second = (
            response.json() for response in clicks.map(lambda _: family.post("/who/answers", json=payload), range(2))
        )
    assert (first["message"], first["undo"]) == (second["message"], second["undo"])
    content_hash = photo_hash(family, "barack_obama_speech.jpg")
    for answer in ({"answer": "not", "name": "Barack"}, {"answer": "name", "name": "Barry", "force": True}):
        for _ in range(2):
            reply = family.post(f"/photos/{content_hash}/answers", json={"face": 1, **answer}).json()
        assert family.post("/answers/undo", json={"token": reply["undo"]}).status_code == 200
    assert "Barry" not in family.get("/").text
    assert family.post("/answers/undo", json={"token": first["undo"]}).status_code == 200
    with FaceBank.open(gallery) as bank:
        assert [person.name for person in bank.people()] == ["Barack", "Eileen"]


def test_the_name_of_a_group_from_another_program_is_reported(family: httpx.Client, gallery: Path) -> None:
    key = wait_for_question(family)["key"]
    assert family.post(f"/api/v1/album/groups/{key.split('-')[1]}", json={"person": "Joe"}).status_code == 200
    reply = family.post("/who/answers", json={"key": key, "answer": "name", "name": "Jim"}).json()
    assert reply["message"] == "Somebody answered that meanwhile: it is Joe."
    with FaceBank.open(gallery) as bank:
        assert [person.name for person in bank.people()] == ["Barack", "Eileen", "Joe"]


def test_denials_by_another_program_are_shown(family: httpx.Client) -> None:
    content_hash = photo_hash(family, "barack_obama_speech.jpg")
    reply = family.post(
        "/api/v1/feedback",
        data={"answer": "deny", "person": "Barack"},
        files={"photo": ("speech.jpg", (DEMO_PHOTOS / "barack_obama_speech.jpg").read_bytes())},
    )
    assert reply.json()["accepted"]
    family.post("/settings", json={"key": "fpir", "value": ""})  # changes nothing but restarts the background scan
    for _ in range(500):
        if f"/photos/{content_hash}" not in family.get("/people/1").text:
            return
        time.sleep(0.02)
    raise AssertionError(family.get("/people/1").text)


def test_confirmed_second_name_leaves_confirmed_faces_unchanged(family: httpx.Client) -> None:
    payload = {"face": 1, "answer": "name", "name": "Barry"}
    portrait, speech = (photo_hash(family, f"barack_obama_{name}.jpg") for name in ("portrait_2012", "speech"))
    assert family.post(f"/photos/{speech}/answers", json=payload).status_code == 409
    assert family.post(f"/photos/{speech}/answers", json={**payload, "force": True}).status_code == 200
    page = family.get(f"/photos/{portrait}").text
    assert re.search(r'<h2 id="title-1"><a href="/people/1">Barack</a></h2>', page)
    assert "You said that this is Barack" in page
    assert "likely (" not in page
    page = wait_for_text(family, "/people/1", "Perhaps Barack")
    assert f'href="/photos/{portrait}"' in page
    assert f'href="/photos/{portrait}#face-1"' not in page
    assert 'Some look just as much like somebody else; see <a href="/look-alikes">Look-alikes</a>.' in page
    assert "Barry" in family.get("/look-alikes").text
