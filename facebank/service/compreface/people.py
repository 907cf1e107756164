"""CompreFace's routes about people and their samples: subjects and examples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response

from facebank.errors import PersonNotFoundError
from facebank.gallery import name_key
from facebank.service.access import Admin, Reader, Teacher
from facebank.service.client_text import without_advice
from facebank.service.compreface.faces import found_faces
from facebank.service.compreface.image_ids import image_id_of, sample_of
from facebank.service.compreface.parameters import ClientContentDep, QueryDep
from facebank.service.problems import RequestError
from facebank.service.service import ServiceDep
from facebank.storage.text import printable
from facebank.types import EnrollReason

if TYPE_CHECKING:
    from facebank import FaceBank
    from facebank.service.compreface.parameters import Parameters
    from facebank.service.photos import RequestContent, UploadedPhoto
    from facebank.types import Sample

router = APIRouter(prefix="/api/v1", include_in_schema=False)

_MOST_IMAGES = 10_000  # removed by one request
_LONGEST_LIST = 64 * _MOST_IMAGES  # bytes


@router.get("/recognition/subjects")
@router.get("/recognition/subjects/")
async def list_subjects(_: Reader, service: ServiceDep) -> dict[str, object]:
    """List the people's names."""
    people = await service.look_ups.run(service.bank.people)
    return {"subjects": [person.name for person in people]}


@router.post("/recognition/subjects", status_code=201)
async def add_subject(_: Teacher, service: ServiceDep, sent: ClientContentDep) -> dict[str, object]:
    """Add a person without photos."""
    return {"subject": await service.look_ups.run(_add_subject, service.bank, _subject_name(sent))}


@router.put("/recognition/subjects/{subject}")
async def rename_subject(_: Teacher, service: ServiceDep, subject: str, sent: ClientContentDep) -> dict[str, object]:
    """Rename a person; merges the person with an existing one of the new name."""
    await service.look_ups.run(_rename, service.bank, subject, _subject_name(sent))
    return {"updated": True}


@router.delete("/recognition/subjects/{subject}")
async def delete_subject(_: Admin, service: ServiceDep, subject: str) -> dict[str, object]:
    """Remove a person permanently."""
    person = await service.look_ups.run(service.bank.person, subject)
    await service.look_ups.run(service.bank.forget, person.name)
    return {"subject": person.name}


@router.delete("/recognition/subjects")
@router.delete("/recognition/subjects/")
async def delete_all_subjects(_: Admin, service: ServiceDep) -> dict[str, object]:
    """Remove all people permanently."""
    return {"deleted": await service.look_ups.run(_forget_everybody, service.bank)}


def _subject_name(sent: RequestContent) -> str:
    name = sent.text("subject")
    if not name:
        raise RequestError(400, "NoSubject", "Required field is missing: subject")
    return name


def _add_subject(bank: FaceBank, name: str) -> str:
    try:
        known = bank.person(name)
    except PersonNotFoundError:
        bank.gallery.enroll(name, [])
        return bank.person(name).name
    raise RequestError(400, "PersonExistsError", f"Subject already exists: {printable(known.name)}")


def _rename(bank: FaceBank, name: str, new: str) -> None:
    person = bank.person(name)
    try:
        other = bank.person(new)
    except PersonNotFoundError:
        other = person
    if other.id == person.id:
        bank.rename(name, new)
    else:
        bank.merge(name, new)


def _forget_everybody(bank: FaceBank) -> int:
    names = [person.name for person in bank.people()]
    bank.gallery.forget_people(names)
    return len(names)


@router.post("/recognition/faces", status_code=201)
async def add_example(_: Teacher, service: ServiceDep, query: QueryDep, sent: ClientContentDep) -> dict[str, object]:
    """Enroll a photo of a person."""
    return await service.photos.run(_add_example, service.bank, query, sent.one_photo())


@router.get("/recognition/faces")
async def list_examples(_: Reader, service: ServiceDep, query: QueryDep) -> dict[str, object]:
    """List samples, page by page."""
    return await service.look_ups.run(_list_examples, service.bank, query)


@router.delete("/recognition/faces")
async def delete_examples(_: Admin, service: ServiceDep, query: QueryDep) -> dict[str, object]:
    """Remove all samples of a person, or of all people; keeps the people."""
    return {"deleted": await service.look_ups.run(_remove_all, service.bank, query.subject)}


@router.post("/recognition/faces/delete")
async def delete_several_examples(_: Teacher, service: ServiceDep, request: Request) -> list[dict[str, object]]:
    """Remove samples."""
    return await service.look_ups.run(_remove, service.bank, _image_ids(await request.body()))


@router.delete("/recognition/faces/{image_id}")
async def delete_example(_: Teacher, service: ServiceDep, image_id: str) -> dict[str, object]:
    """Remove a sample."""
    (removed,) = await service.look_ups.run(_remove, service.bank, [image_id])
    return removed


@router.get("/recognition/faces/{image_id}/img", response_class=Response)
async def download_image(_: Reader, service: ServiceDep, image_id: str) -> Response:
    """Return a sample's thumbnail."""
    jpeg = await service.look_ups.run(_thumbnail, service.bank, image_id)
    return Response(jpeg, media_type="image/jpeg")


@router.get("/static/{rest:path}")
async def download_by_key(rest: str) -> None:
    """Reject the download with a key in its address."""
    del rest  # contains the key
    raise RequestError(
        400, "NotSupported", "a key in an address ends up in logs: use /api/v1/recognition/faces/IMAGE_ID/img"
    )


def _example(sample: Sample) -> dict[str, object]:
    return {"image_id": image_id_of(sample), "subject": sample.person}


def _add_example(bank: FaceBank, query: Parameters, upload: UploadedPhoto) -> dict[str, object]:
    if query.least_detection:
        (photo,) = bank.analyze(upload)
        found_faces(photo, query)
        upload.seek(0)
    (enrolled,) = bank.enroll(query.needed_subject, upload).photos
    if enrolled.sample_id is None or not enrolled.accepted:
        raise RequestError(400, _REFUSALS.get(enrolled.reason, "NotEnrolled"), without_advice(enrolled.detail))
    return _example(bank.gallery.sample(enrolled.sample_id))


_REFUSALS = {
    EnrollReason.NO_FACE: "NoFaceError",
    EnrollReason.SEVERAL_FACES: "SeveralFaces",
    EnrollReason.UNREADABLE: "UnreadablePhoto",
}


def _list_examples(bank: FaceBank, query: Parameters) -> dict[str, object]:
    subject, size, faces = query.subject, query.size, list[dict[str, object]]()
    with bank.gallery.snapshot():
        people = [person for person in bank.people() if subject is None or name_key(person.name) == name_key(subject)]
        total, skipped = sum(person.sample_count for person in people), query.page * size
        for person in people:
            if skipped >= person.sample_count:
                skipped -= person.sample_count
                continue
            if len(faces) == size:
                break
            faces += map(_example, bank.samples(person.name)[skipped:][: size - len(faces)])
            skipped = 0
    return {
        "faces": faces,
        "page_number": query.page,
        "page_size": size,
        "total_pages": -(-total // size),
        "total_elements": total,
    }


def _image_ids(body: bytes) -> list[str]:
    if len(body) > _LONGEST_LIST:
        raise RequestError(400, "InvalidValue", f"a request may delete at most {_MOST_IMAGES} images")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "InvalidValue", "the body is not JSON") from error
    if not isinstance(content, list) or not all(isinstance(item, str) for item in content):
        raise RequestError(400, "InvalidValue", "the body must be a JSON list of image ids")
    if len(content) > _MOST_IMAGES:
        raise RequestError(400, "InvalidValue", f"a request may delete at most {_MOST_IMAGES} images")
    return content


def _remove(bank: FaceBank, image_ids: list[str]) -> list[dict[str, object]]:
    samples = {sample.id: sample for sample in (sample_of(bank, image_id) for image_id in image_ids)}
    bank.gallery.remove_samples(list(samples))
    return [_example(sample) for sample in samples.values()]


def _remove_all(bank: FaceBank, subject: str | None) -> int:
    names = [person.name for person in bank.people()] if subject is None else [subject]
    return bank.gallery.remove_samples([sample.id for name in names for sample in bank.samples(name)]).samples


def _thumbnail(bank: FaceBank, image_id: str) -> bytes:
    jpeg = bank.gallery.thumbnail(sample_of(bank, image_id).id)
    if jpeg is None:
        raise RequestError(404, "ImageNotFound", f"Image {image_id} was enrolled without a picture")
    return jpeg
