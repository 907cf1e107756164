"""Page of questions "Who is this?"; each answer is learned before the next question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from facebank.album.answers import (
    MOST_DENIED,
    Answer,
    confirm_face,
    deny_faces,
    leave_out,
    name_group,
    refuse_everybody,
    take_back,
)
from facebank.errors import GroupNotFoundError
from facebank.service.access import Reader, Teacher
from facebank.service.page.memory import MemoryDep
from facebank.service.page.rendering import PageRoute, counted, page
from facebank.service.page.wording import is_offered, percent
from facebank.service.problems import RequestError
from facebank.storage.dates import format_photo_date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi.responses import Response

    from facebank.album.questions import Question
    from facebank.service.access import Caller
    from facebank.service.page.memory import PageMemory, UndoableAnswer
    from facebank.types import Photo

router = APIRouter(prefix="/who", route_class=PageRoute, include_in_schema=False)

_MOST_SKIPPED = 5_000
MOST_SHOWN = 200  # faces of a group


class QuestionKey(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(max_length=200)


class SkippedQuestions(BaseModel):
    """The questions to skip."""

    model_config = ConfigDict(extra="forbid")

    skipped: list[str] = Field(default=[], max_length=_MOST_SKIPPED)


class GivenAnswer(SkippedQuestions):
    """The answer to a question."""

    key: str = Field(max_length=200)
    answer: Literal["name", "no", "nobody"]
    name: str = Field(default="", max_length=1000)
    force: bool = False
    others: list[int] = Field(default=[], max_length=MOST_SHOWN, description="Faces of the group to exclude.")


@router.get("")
async def ask(caller: Teacher, memory: MemoryDep) -> Response:
    """Show the page of questions."""
    names = await memory.service.look_ups.run(memory.service.bank.gallery.names)
    return page(
        "who.html",
        caller,
        here="/who",
        names=sorted(names.values(), key=str.casefold),
        **await memory.service.look_ups.run(memory.first_steps),
    )


@router.post("/next")
async def following(caller: Reader, memory: MemoryDep, wanted: SkippedQuestions) -> dict[str, object]:
    """Return the next question."""
    return await memory.service.look_ups.run(_next, memory, caller, wanted.skipped)


@router.post("/faces")
async def faces(_: Reader, memory: MemoryDep, body: QuestionKey) -> dict[str, object]:
    """Return the faces of a question's group, up to a limit."""
    return {"faces": await memory.service.look_ups.run(_faces, memory, body.key)}


@router.post("/answers")
async def answer(caller: Teacher, memory: MemoryDep, given: GivenAnswer) -> dict[str, object]:
    """Learn an answer, and return the next question."""
    return await memory.service.photos.run(_record_answer, memory, caller, given)


def _next(memory: PageMemory, caller: Caller, skipped: list[str]) -> dict[str, object]:
    question = memory.questions.next(frozenset(skipped))
    return {
        "question": None if question is None else _record(memory, question),
        "last": memory.last_answer(caller),
        "is_busy": memory.is_looking,
    }


def _record_answer(memory: PageMemory, caller: Caller, given: GivenAnswer) -> dict[str, object]:
    with memory.service.album.naming:  # of two users who name one group, here or over the API, the second gets an error
        message, token = _apply_answer(memory, caller, given)
    return {"message": message, "undo": token, **_next(memory, caller, given.skipped)}


def _apply_answer(memory: PageMemory, caller: Caller, given: GivenAnswer) -> tuple[str, str | None]:
    """Return the result of an answer, and the token to undo it."""
    request_key = given.key, given.answer, given.name, *map(str, sorted(given.others))
    again = memory.repeated(caller, request_key)
    if again is not None:
        return _undoable(again)
    question = memory.questions.question(given.key)
    if question is None:
        person = memory.questions.known_as(given.key)
        return f"Somebody answered that meanwhile{f': it is {person}' if person is not None else ''}.", None
    members = memory.questions.members(question, MOST_SHOWN)
    others = {face: at for face, at in members.items() if face in given.others}
    try:
        answer = _learn(memory, given, question, others)
    except GroupNotFoundError:
        memory.questions.forget()
        return "The faces were grouped again meanwhile.", None
    if not answer.accepted:
        raise RequestError(409, "NotLearned", f"nothing was learned: {answer.detail}")
    if others and question.group is not None:
        try:
            answer = leave_out(memory.service.album, memory.service.bank.gallery, answer, question.group, others)
        except Exception:
            take_back(memory.service.bank, answer, memory.service.album)  # learn and exclude, or neither
            raise
    if given.answer != "no":
        memory.questions.settle(given.key)
    if others and question.group is not None:
        memory.questions.parted(question, is_settled=given.answer != "no")
    photos = [photo.content_hash for photo, _ in (*question.faces, *others.values())]
    face_count = question.face_count - len(others)
    return _undoable(memory.learned(answer, photos, caller, request_key, _words(given, answer), face_count=face_count))


def _undoable(learned: UndoableAnswer) -> tuple[str, str]:
    return f"{learned.words}: {counted(learned.face_count, 'face')}. Learned.", learned.token


def _learn(
    memory: PageMemory, given: GivenAnswer, question: Question, others: Mapping[int, tuple[Photo, int]]
) -> Answer:
    bank = memory.service.bank
    meant = [at for at, face in _number_faces(question) if face not in others]
    if not meant:
        raise RequestError(422, "NoFace", "no face is left: leave one that is meant")
    if given.answer == "nobody":
        return refuse_everybody(bank.gallery, meant)
    if given.answer == "no":
        members = memory.questions.members(question, MOST_DENIED)
        several = [at for face, at in members.items() if face not in others]
        return deny_faces(bank.gallery, several or meant, given.name)
    if question.group is None:
        ((photo, face_number),) = question.faces
        return confirm_face(bank, photo, face_number, given.name, force=given.force)
    return name_group(
        memory.service.album,
        bank,
        question.group,
        given.name,
        force=given.force,
        key=question.group_key,
        without=others.keys(),
    )


def _number_faces(question: Question) -> list[tuple[tuple[Photo, int], int | None]]:
    """Return the shown faces of a question with their numbers in the scan; None for a single face."""
    return list(zip(question.faces, question.face_ids or (None,), strict=True))


def _faces(memory: PageMemory, key: str) -> list[dict[str, object]]:
    question = memory.questions.question(key)
    members = {} if question is None else memory.questions.members(question, MOST_SHOWN)
    return [] if question is None else _shown(memory, question, [(at, face) for face, at in members.items()])


def _shown(
    memory: PageMemory, question: Question, faces: Sequence[tuple[tuple[Photo, int], int | None]]
) -> list[dict[str, object]]:
    out = memory.left_out(question, {face: at for at, face in faces if face is not None})
    return [
        {"photo": photo.content_hash, "face": number, "id": face, "is_left_out": face in out}
        for (photo, number), face in faces
    ]


def _words(given: GivenAnswer, answer: Answer) -> str:
    if given.answer == "name":
        return str(answer.person)
    return f"Not {answer.person}" if given.answer == "no" else "Nobody you know"


def _record(memory: PageMemory, question: Question) -> dict[str, object]:
    photo, face_number = question.faces[0]
    left, top, right, bottom = photo.faces[face_number - 1].box.tolist()
    across, down = max(photo.width, 1), max(photo.height, 1)
    pictured, gallery = memory.best_samples(), memory.service.bank.gallery
    numbers = {name: number for number, name in gallery.names().items()}
    return {
        "key": question.key,
        "asked": question.asked,
        "face_count": question.face_count,
        "faces": _shown(memory, question, _number_faces(question)),
        "photo": {
            "hash": photo.content_hash,
            "width": photo.width,
            "height": photo.height,
            "box": [left / across, top / down, (right - left) / across, (bottom - top) / down],
            "taken": format_photo_date(photo.taken_at, camera_dated=photo.camera_dated),
        },
        "candidates": [
            {
                "name": candidate.person,
                "chance": percent(candidate.probability),
                "sample_id": pictured[numbers[candidate.person]].id
                if numbers.get(candidate.person) in pictured
                else None,
            }
            for candidate in question.candidates
            if is_offered(candidate)
        ],
        "left": memory.questions.left(),
    }
