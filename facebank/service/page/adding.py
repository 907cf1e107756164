"""Page to enroll people from single photos, to identify people without storing a photo, and to scan the album."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter

from facebank.media import encode_thumbnail, turn_photo
from facebank.media.reading import read_photo_bytes
from facebank.service.access import ReadCaller, TeachCaller
from facebank.service.page.memory import MemoryDep
from facebank.service.page.rendering import PageRoute, page, relative_box
from facebank.service.page.wording import explanation, headline, likelihood, sentence
from facebank.service.problems import RequestError
from facebank.service.service import ContentDep
from facebank.types import Decision, EnrolledPhoto, EnrollReason

if TYPE_CHECKING:
    from fastapi.responses import Response

    from facebank.operations.feedback import Feedback
    from facebank.service.page.memory import PageMemory
    from facebank.service.photos import UploadedPhoto

router = APIRouter(prefix="/add", route_class=PageRoute, include_in_schema=False)

_MAX_CHOICES = 24  # faces of a photo


@router.get("")
async def add(caller: ReadCaller, memory: MemoryDep) -> Response:
    """Show the drop area for photos, and the album's folders."""
    names = await memory.service.lookups.run(memory.service.bank.gallery.names)
    return page(
        "add.html",
        caller,
        current_path="/add",
        names=sorted(names.values(), key=str.casefold),
        folders=[str(path) for path in memory.service.folders.paths],
        is_scanning=memory.service.scanning.state.is_running,
    )


@router.post("/ask")
async def identify(_: ReadCaller, memory: MemoryDep, content: ContentDep) -> dict[str, object]:
    """Identify the people in a photo, without storing it."""
    return await memory.service.photos.run(_identify, memory, content.one_photo())


@router.post("/enroll")
async def enroll(_: TeachCaller, memory: MemoryDep, content: ContentDep) -> dict[str, object]:
    """Enroll a person from a photo; `face` is the face number in a photo with several."""
    request = _EnrollRequest(content.text("name") or "", content.flag("force"), content.number("face"))
    return await memory.service.photos.run(_enroll, memory, request, content.one_photo())


@dataclass(frozen=True, slots=True)
class _EnrollRequest:
    name: str
    force: bool
    face_number: int | None


def _identify(memory: PageMemory, upload: UploadedPhoto) -> dict[str, object]:
    (photo,) = memory.service.bank.identify(upload)
    memory.service.metrics.count_photo(photo)
    if photo.error is not None:
        raise RequestError(422, "PhotoNotRead", photo.error)
    ids_by_name = {name: person_id for person_id, name in memory.service.bank.gallery.names().items()}
    faces = [
        {
            "title": headline(face),
            "why": explanation(face),
            "likelihood": likelihood(face.probability) if face.decision is not Decision.UNKNOWN else "",
            "box": relative_box(face, photo),
            "person": ids_by_name.get(face.person or ""),
        }
        for face in photo.faces
    ]
    return {"faces": faces, "is_turned": photo.quarter_turns != 0}


def _enroll(memory: PageMemory, request: _EnrollRequest, upload: UploadedPhoto) -> dict[str, object]:
    bank, text = memory.service.bank, memory.service.text
    result: EnrolledPhoto | Feedback
    if request.face_number is None:
        (result,) = bank.enroll(request.name, upload, force=request.force).photos
    else:
        result = bank.confirm(upload, request.name, request.face_number, force=request.force, create=True)
    memory.wake()
    name = result.person or request.name
    warning = result.warning if isinstance(result, EnrolledPhoto) else None
    return {
        "accepted": result.accepted,
        "reason": result.reason.value,
        "detail": sentence(text.strip_paths(result.detail)),
        "warning": sentence(text.strip_paths(warning)) if warning else None,
        "name": name,
        "person": bank.person(name).id if result.accepted else None,
        "sample_id": result.sample_id,
        "faces": _choices(memory, upload) if result.reason is EnrollReason.SEVERAL_FACES else [],
    }


def _choices(memory: PageMemory, upload: UploadedPhoto) -> list[dict[str, object]]:
    """Return the largest faces of a photo, each with a thumbnail, for the user to choose from."""
    upload.seek(0)
    (photo,) = memory.service.bank.identify(upload)
    upright = turn_photo(read_photo_bytes(upload.getvalue(), upload.name), photo.quarter_turns)
    return [
        {
            "face": face.face_number,
            "title": headline(face),
            "picture": b64encode(encode_thumbnail(upright, face.box)).decode("ascii"),
        }
        for face in photo.faces[:_MAX_CHOICES]
    ]
