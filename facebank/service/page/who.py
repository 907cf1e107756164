"""Page of questions "Who is this?"; each answer is applied before the next question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from facebank.album.answers import (
    MAX_DENIED,
    Answer,
    confirm_face,
    deny_faces,
    leave_out,
    name_group,
    refuse_everybody,
    take_back,
)
from facebank.errors import GroupNotFoundError
from facebank.service.access import ReadCaller, TeachCaller
from facebank.service.page.memory import MemoryDep
from facebank.service.page.rendering import PageRoute, page, relative_box
from facebank.service.page.wording import answer_words, is_offered, percent
from facebank.service.problems import RequestError
from facebank.storage.dates import format_photo_date
from facebank.storage.text import pluralize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi.responses import Response

    from facebank.album.questions import Question
    from facebank.service.access import Caller
    from facebank.service.page.memory import PageMemory, UndoableAnswer
    from facebank.types import Photo

router = APIRouter(prefix="/who", route_class=PageRoute, include_in_schema=False)

_MAX_SKIPPED = 5_000
MAX_SHOWN = 200  # faces of a group


class QuestionKey(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(max_length=200)


class SkippedQuestions(BaseModel):
    """The questions to skip."""

    model_config = ConfigDict(extra="forbid")

    skipped: list[str] = Field(default=[], max_length=_MAX_SKIPPED)


class AnswerBody(SkippedQuestions):
    """An answer to a question."""

    key: str = Field(max_length=200)
    answer: Literal["name", "no", "nobody"]
    name: str = Field(default="", max_length=1000)
    force: bool = False
    others: list[int] = Field(default=[], max_length=MAX_SHOWN, description="Faces of the group to exclude.")


@router.get("")
async def ask(caller: TeachCaller, memory: MemoryDep) -> Response:
    """Show the page of questions."""
    names = await memory.service.lookups.run(memory.service.bank.gallery.names)
    return page(
        "who.html",
        caller,
        current_path="/who",
        names=sorted(names.values(), key=str.casefold),
        **await memory.service.lookups.run(memory.first_steps),
    )


@router.post("/next")
async def next_question(caller: ReadCaller, memory: MemoryDep, body: SkippedQuestions) -> dict[str, object]:
    """Return the next question."""
    return await memory.service.lookups.run(_next, memory, caller, body.skipped)


@router.post("/faces")
async def faces(_: ReadCaller, memory: MemoryDep, body: QuestionKey) -> dict[str, object]:
    """Return the faces of a question's group, up to a limit."""
    return {"faces": await memory.service.lookups.run(_list_faces, memory, body.key)}


@router.post("/answers")
async def answer(caller: TeachCaller, memory: MemoryDep, body: AnswerBody) -> dict[str, object]:
    """Apply an answer, and return the next question."""
    return await memory.service.photos.run(_record_answer, memory, caller, body)


def _next(memory: PageMemory, caller: Caller, skipped: list[str]) -> dict[str, object]:
    question = memory.questions.next(frozenset(skipped))
    return {
        "question": None if question is None else _record(memory, question),
        "last": memory.last_answer(caller),
        "is_busy": memory.is_busy,
    }


def _record_answer(memory: PageMemory, caller: Caller, body: AnswerBody) -> dict[str, object]:
    with memory.service.album.naming:  # the second of two users naming one group gets an error
        message, token = _apply_answer(memory, caller, body)
    return {"message": message, "undo": token, **_next(memory, caller, body.skipped)}


def _apply_answer(memory: PageMemory, caller: Caller, body: AnswerBody) -> tuple[str, str | None]:
    """Return the result of an answer, and the token to undo it."""
    request_key = body.key, body.answer, body.name, *map(str, sorted(body.others))
    repeated = memory.repeated_answer(caller, request_key)
    if repeated is not None:
        return _describe(repeated)
    question = memory.questions.question(body.key)
    if question is None:
        person = memory.questions.identified_person(body.key)
        return f"Somebody answered that meanwhile{f': it is {person}' if person is not None else ''}.", None
    members = memory.questions.members(question, MAX_SHOWN)
    excluded = {face_id: place for face_id, place in members.items() if face_id in body.others}
    try:
        answer = _learn(memory, body, question, excluded)
    except GroupNotFoundError:
        memory.questions.reset()
        return "The faces were grouped again meanwhile.", None
    if not answer.accepted:
        raise RequestError(409, "NotLearned", f"nothing was learned: {answer.detail}")
    if excluded and question.group_number is not None:
        try:
            answer = leave_out(
                memory.service.album, memory.service.bank.gallery, answer, question.group_number, excluded
            )
        except Exception:
            take_back(memory.service.bank, answer, memory.service.album)  # apply and exclude, or neither
            raise
    if body.answer != "no":
        memory.questions.settle(body.key)
    if excluded and question.group_number is not None:
        memory.questions.reload_groups(question, is_settled=body.answer != "no")
    photos = [photo.content_hash for photo, _ in (*question.faces, *excluded.values())]
    face_count = question.face_count - len(excluded)
    words = answer_words(body.answer, answer.person)
    return _describe(memory.add_answer(answer, photos, caller, request_key, words, face_count=face_count))


def _describe(undoable: UndoableAnswer) -> tuple[str, str]:
    return f"{undoable.words}: {pluralize(undoable.face_count, 'face')}. Learned.", undoable.token


def _learn(
    memory: PageMemory, body: AnswerBody, question: Question, excluded: Mapping[int, tuple[Photo, int]]
) -> Answer:
    bank = memory.service.bank
    places = [place for place, face_id in _faces_with_ids(question) if face_id not in excluded]
    if not places:
        raise RequestError(422, "NoFace", "all faces are excluded: leave at least one")
    if body.answer == "nobody":
        return refuse_everybody(bank.gallery, places)
    if body.answer == "no":
        members = memory.questions.members(question, MAX_DENIED)
        all_places = [place for face_id, place in members.items() if face_id not in excluded]
        return deny_faces(bank.gallery, all_places or places, body.name)
    if question.group_number is None:
        ((photo, face_number),) = question.faces
        return confirm_face(bank, photo, face_number, body.name, force=body.force)
    return name_group(
        memory.service.album,
        bank,
        question.group_number,
        body.name,
        force=body.force,
        key=question.group_key,
        excluded_ids=excluded.keys(),
    )


def _faces_with_ids(question: Question) -> list[tuple[tuple[Photo, int], int | None]]:
    """Return the shown faces of a question with their ids in the scan; None for a single face."""
    return list(zip(question.faces, question.face_ids or (None,), strict=True))


def _list_faces(memory: PageMemory, key: str) -> list[dict[str, object]]:
    question = memory.questions.question(key)
    if question is None:
        return []
    members = memory.questions.members(question, MAX_SHOWN)
    return _face_records(memory, question, [(place, face_id) for face_id, place in members.items()])


def _face_records(
    memory: PageMemory, question: Question, faces: Sequence[tuple[tuple[Photo, int], int | None]]
) -> list[dict[str, object]]:
    excluded = memory.excluded_faces(question, {face_id: place for place, face_id in faces if face_id is not None})
    return [
        {"photo": photo.content_hash, "face": face_number, "id": face_id, "is_left_out": face_id in excluded}
        for (photo, face_number), face_id in faces
    ]


def _record(memory: PageMemory, question: Question) -> dict[str, object]:
    photo, face_number = question.faces[0]
    best_samples, gallery = memory.best_samples(), memory.service.bank.gallery
    ids_by_name = {name: person_id for person_id, name in gallery.names().items()}
    return {
        "key": question.key,
        "asked": question.likely_person,
        "face_count": question.face_count,
        "faces": _face_records(memory, question, _faces_with_ids(question)),
        "photo": {
            "hash": photo.content_hash,
            "width": photo.width,
            "height": photo.height,
            "box": relative_box(photo.faces[face_number - 1], photo),
            "taken": format_photo_date(photo.taken_at, camera_dated=photo.camera_dated),
        },
        "candidates": [
            {
                "name": candidate.person,
                "chance": percent(candidate.probability),
                "sample_id": best_samples[ids_by_name[candidate.person]].id
                if ids_by_name.get(candidate.person) in best_samples
                else None,
            }
            for candidate in question.candidates
            if is_offered(candidate)
        ],
        "left": memory.questions.count(),
    }
