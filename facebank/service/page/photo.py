"""Page of a photo: its people, the reasons for decisions, and corrections."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from facebank.album.answers import confirm_face, deny_faces, is_remembered, refuse_everybody
from facebank.album.confirmed import identify_in_album
from facebank.album.pictures import read_unchanged
from facebank.gallery import FaceKey
from facebank.operations.compare import most_similar_samples
from facebank.operations.explain import explain_sample
from facebank.operations.explanation_picture import draw_picture
from facebank.service.access import ReadCaller, TeachCaller
from facebank.service.page.memory import ContentHash, MemoryDep
from facebank.service.page.rendering import PageRoute, page, relative_box
from facebank.service.page.wording import (
    NOBODY,
    NOBODY_EXPLANATION,
    answer_words,
    explanation,
    headline,
    is_offered,
    likelihood,
)
from facebank.service.problems import RequestError
from facebank.types import Decision, Reason

if TYPE_CHECKING:
    from facebank.service.access import Caller
    from facebank.service.page.memory import PageMemory, UndoableAnswer
    from facebank.types import Candidate, Face, Photo

router = APIRouter(route_class=PageRoute, include_in_schema=False)

FaceNumber = Annotated[int, Path(ge=1, le=10**6)]
_MAX_CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class _FaceView:
    face: Face
    title: str
    explanation: str  # empty for a user's answer, like the likelihood
    likelihood: str
    box: str  # left, top, width and height as fractions of the photo
    person_id: int | None  # id of the person; None for a face without a name
    likeliest: Candidate | None  # candidate that the page offers; None without one
    candidates: tuple[Candidate, ...]  # the most similar people
    sample_id: int | None  # sample enrolled from this face; None without one
    sample_of: str | None  # name of the person of that sample; None without one
    is_nobody: bool  # marked by a user


class FaceAnswer(BaseModel):
    """A user's answer about a face."""

    model_config = ConfigDict(extra="forbid")

    face: int = Field(ge=1, le=10**6)
    answer: Literal["name", "not", "nobody"]
    name: str = Field(default="", max_length=1000)
    force: bool = False


class Undo(BaseModel):
    """The answer to undo."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=100)


@router.get("/photos/{content_hash}")
async def photo_page(caller: ReadCaller, memory: MemoryDep, content_hash: ContentHash) -> Response:
    """Show a photo with its faces."""
    photo, faces, names = await memory.service.lookups.run(_views, memory, content_hash)
    return page(
        "photo.html",
        caller,
        current_path="",
        photo=photo,
        faces=faces,
        names=names,
        known=Decision.KNOWN,
        last=memory.last_answer(caller, content_hash),
    )


@router.get("/photos/{content_hash}/faces/{face_number}/nearest")
async def nearest(
    _: ReadCaller, memory: MemoryDep, content_hash: ContentHash, face_number: FaceNumber
) -> dict[str, object]:
    """Return the samples of the likeliest person that are most similar to a face."""
    return await memory.service.lookups.run(_find_nearest, memory, content_hash, face_number)


@router.get("/pictures/maps/{content_hash}/{face_number}/{sample_id}")
async def explanation_map(
    _: ReadCaller, memory: MemoryDep, content_hash: ContentHash, face_number: FaceNumber, sample_id: int
) -> Response:
    """Return the explanation map of a face and a sample; takes seconds."""
    data = await memory.service.photos.run(_draw_map, memory, content_hash, face_number, sample_id)
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, no-cache"})


@router.post("/photos/{content_hash}/answers")
async def answer(
    caller: TeachCaller, memory: MemoryDep, content_hash: ContentHash, body: FaceAnswer
) -> dict[str, object]:
    """Apply a user's answer about a face."""
    return await memory.service.photos.run(_record_answer, memory, caller, content_hash, body)


@router.post("/answers/undo")
async def undo(_: TeachCaller, memory: MemoryDep, body: Undo) -> dict[str, object]:
    """Undo an answer."""
    return {"message": await memory.service.photos.run(memory.undo, body.token)}


def _views(memory: PageMemory, content_hash: str) -> tuple[Photo, list[_FaceView], list[str]]:
    gallery = memory.service.bank.gallery
    _, scanned = memory.photo(content_hash)
    photo = identify_in_album(scanned, gallery, memory.service.bank.identification)
    names = gallery.names()
    ids_by_name = {name: person_id for person_id, name in names.items()}
    faces = []
    for face in photo.faces:
        likeliest = next(filter(is_offered, face.candidates[:1]), None)
        owners = gallery.samples_at(FaceKey.from_photo(photo, face))
        denials = gallery.denials_of(FaceKey.from_photo(photo, face))
        denied = sorted((name for person_id, name in names.items() if person_id in denials), key=str.casefold)
        is_nobody = face.reason is Reason.REMEMBERED_STRANGER and is_remembered(gallery, photo, face)
        faces.append(
            _FaceView(
                face,
                NOBODY if is_nobody else headline(face),
                NOBODY_EXPLANATION if is_nobody else "" if owners else explanation(face, denied),
                "" if owners or face.decision is Decision.UNKNOWN else likelihood(face.probability),
                _box(face, photo),
                None if face.person is None else ids_by_name.get(face.person),
                likeliest,
                face.candidates[:_MAX_CANDIDATES],
                owners[0].id if owners else None,
                owners[0].person if owners else None,
                is_nobody,
            )
        )
    return photo, faces, sorted(names.values(), key=str.casefold)


def _box(face: Face, photo: Photo) -> str:
    return " ".join(f"{min(max(fraction, 0.0), 1.0):.4f}" for fraction in relative_box(face, photo))


def _find_nearest(memory: PageMemory, content_hash: str, face_number: int) -> dict[str, object]:
    bank = memory.service.bank
    _, scanned = memory.photo(content_hash)
    face = _require_face(identify_in_album(scanned, bank.gallery, bank.identification), face_number)
    if not face.candidates:
        return {"person": None, "samples": []}
    person = face.person or face.candidates[0].person
    samples = most_similar_samples(bank.gallery, face.embedding, person)
    return {
        "person": person,
        "samples": [
            {
                "sample_id": sample.id,
                "similarity": round(similarity, 3),
                "has_thumbnail": sample.has_thumbnail,
                "has_photo": memory.service.folders.contains(sample.path),
            }
            for sample, similarity in samples
        ],
    }


def _draw_map(memory: PageMemory, content_hash: str, face_number: int, sample_id: int) -> bytes:
    bank = memory.service.bank
    _, photo = memory.photo(content_hash)
    face, sample = _require_face(photo, face_number), bank.gallery.sample(sample_id)
    if not memory.service.folders.contains(sample.path):
        raise RequestError(
            404, "NoPhoto", "the photo of this learned face is outside of the album: choose another face"
        )
    sample_photo = read_unchanged(sample.path, sample.quarter_turns, sample.content_hash, sample.picture_hash)
    face_photo = read_unchanged(photo.path, photo.quarter_turns, photo.content_hash, photo.picture_hash)
    buffer = io.BytesIO()
    draw_picture(explain_sample(bank.engine, face_photo, face, sample_photo, sample)).save(buffer, "PNG")
    return buffer.getvalue()


def _record_answer(memory: PageMemory, caller: Caller, content_hash: str, body: FaceAnswer) -> dict[str, object]:
    with memory.service.album.naming:
        request_key = content_hash, str(body.face), body.answer, body.name
        undoable = memory.repeated_answer(caller, request_key) or _learn(memory, caller, body, request_key)
    return {"message": f"{undoable.words}. Learned.", "undo": undoable.token}


def _learn(memory: PageMemory, caller: Caller, body: FaceAnswer, request_key: tuple[str, ...]) -> UndoableAnswer:
    bank, content_hash = memory.service.bank, request_key[0]
    _, photo = memory.photo(content_hash)
    if body.answer == "name":
        answer = confirm_face(bank, photo, body.face, body.name, force=body.force)
    elif body.answer == "not":
        answer = deny_faces(bank.gallery, [(photo, body.face)], body.name)
    else:
        answer = refuse_everybody(bank.gallery, [(photo, body.face)])
    if not answer.accepted:
        raise RequestError(409, "NotLearned", f"nothing was learned: {answer.detail}")
    words = answer_words(body.answer, answer.person)
    return memory.add_answer(answer, [content_hash], caller, request_key, words)


def _require_face(photo: Photo, face_number: int) -> Face:
    if face_number > len(photo.faces):
        raise RequestError(404, "NoFace", f"this photo has no face {face_number}: reload the page")
    return photo.faces[face_number - 1]
