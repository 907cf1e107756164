"""CompreFace's routes about people and their samples: subjects and examples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response

from facebank.errors import PersonNotFoundError
from facebank.gallery import name_key
from facebank.service.access import AdminCaller, ReadCaller, TeachCaller
from facebank.service.client_text import without_advice
from facebank.service.compreface.faces import requested_faces
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

_MAX_IMAGES = 10_000  # removed by one request
_MAX_LIST_BYTES = 64 * _MAX_IMAGES


@router.get("/recognition/subjects")
@router.get("/recognition/subjects/")
async def list_subjects(_: ReadCaller, service: ServiceDep) -> dict[str, object]:
    """List the people's names."""
    people = await service.lookups.run(service.bank.people)
    return {"subjects": [person.name for person in people]}


@router.post("/recognition/subjects", status_code=201)
async def add_subject(_: TeachCaller, service: ServiceDep, content: ClientContentDep) -> dict[str, object]:
    """Add a person without photos."""
    return {"subject": await service.lookups.run(_add_subject, service.bank, _subject_name(content))}


@router.put("/recognition/subjects/{subject}")
async def rename_subject(
    _: TeachCaller, service: ServiceDep, subject: str, content: ClientContentDep
) -> dict[str, object]:
    """Rename a person; merges the person with an existing one of the new name."""
    await service.lookups.run(_rename, service.bank, subject, _subject_name(content))
    return {"updated": True}


@router.delete("/recognition/subjects/{subject}")
async def delete_subject(_: AdminCaller, service: ServiceDep, subject: str) -> dict[str, object]:
    """Remove a person permanently."""
    person = await service.lookups.run(service.bank.person, subject)
    await service.lookups.run(service.bank.forget, person.name)
    return {"subject": person.name}


@router.delete("/recognition/subjects")
@router.delete("/recognition/subjects/")
async def delete_all_subjects(_: AdminCaller, service: ServiceDep) -> dict[str, object]:
    """Remove all people permanently."""
    return {"deleted": await service.lookups.run(_forget_everybody, service.bank)}


def _subject_name(content: RequestContent) -> str:
    name = content.text("subject")
    if not name:
        raise RequestError(400, "NoSubject", "Required field is missing: subject")
    return name


def _add_subject(bank: FaceBank, name: str) -> str:
    try:
        person = bank.person(name)
    except PersonNotFoundError:
        bank.gallery.enroll(name, [])
        return bank.person(name).name
    raise RequestError(400, "PersonExistsError", f"Subject already exists: {printable(person.name)}")


def _rename(bank: FaceBank, name: str, new_name: str) -> None:
    person = bank.person(name)
    try:
        other = bank.person(new_name)
    except PersonNotFoundError:
        other = person
    if other.id == person.id:
        bank.rename(name, new_name)
    else:
        bank.merge(name, new_name)


def _forget_everybody(bank: FaceBank) -> int:
    names = [person.name for person in bank.people()]
    bank.gallery.forget_people(names)
    return len(names)


@router.post("/recognition/faces", status_code=201)
async def add_example(
    _: TeachCaller, service: ServiceDep, query: QueryDep, content: ClientContentDep
) -> dict[str, object]:
    """Enroll a photo of a person."""
    return await service.photos.run(_add_example, service.bank, query, content.one_photo())


@router.get("/recognition/faces")
async def list_examples(_: ReadCaller, service: ServiceDep, query: QueryDep) -> dict[str, object]:
    """List samples, page by page."""
    return await service.lookups.run(_list_examples, service.bank, query)


@router.delete("/recognition/faces")
async def delete_examples(_: AdminCaller, service: ServiceDep, query: QueryDep) -> dict[str, object]:
    """Remove all samples of a person, or of all people; keeps the people."""
    return {"deleted": await service.lookups.run(_remove_all, service.bank, query.subject)}


@router.post("/recognition/faces/delete")
async def delete_several_examples(_: TeachCaller, service: ServiceDep, request: Request) -> list[dict[str, object]]:
    """Remove samples."""
    return await service.lookups.run(_remove, service.bank, _parse_image_ids(await request.body()))


@router.delete("/recognition/faces/{image_id}")
async def delete_example(_: TeachCaller, service: ServiceDep, image_id: str) -> dict[str, object]:
    """Remove a sample."""
    (example,) = await service.lookups.run(_remove, service.bank, [image_id])
    return example


@router.get("/recognition/faces/{image_id}/img", response_class=Response)
async def download_image(_: ReadCaller, service: ServiceDep, image_id: str) -> Response:
    """Return a sample's thumbnail."""
    jpeg = await service.lookups.run(_thumbnail, service.bank, image_id)
    return Response(jpeg, media_type="image/jpeg")


@router.get("/static/{path:path}")
async def download_by_key(path: str) -> None:
    """Reject downloads with a key in the URL."""
    del path  # contains the key
    raise RequestError(
        400, "NotSupported", "a key in a URL ends up in logs: use /api/v1/recognition/faces/IMAGE_ID/img"
    )


def _example_record(sample: Sample) -> dict[str, object]:
    return {"image_id": image_id_of(sample), "subject": sample.person}


def _add_example(bank: FaceBank, query: Parameters, upload: UploadedPhoto) -> dict[str, object]:
    if query.min_detection_score:
        (photo,) = bank.analyze(upload)
        requested_faces(photo, query)
        upload.seek(0)
    (enrolled,) = bank.enroll(query.required_subject, upload).photos
    if enrolled.sample_id is None or not enrolled.accepted:
        raise RequestError(400, _REFUSALS.get(enrolled.reason, "NotEnrolled"), without_advice(enrolled.detail))
    return _example_record(bank.gallery.sample(enrolled.sample_id))


_REFUSALS = {
    EnrollReason.NO_FACE: "NoFaceError",
    EnrollReason.SEVERAL_FACES: "SeveralFaces",
    EnrollReason.UNREADABLE: "UnreadablePhoto",
}


def _list_examples(bank: FaceBank, query: Parameters) -> dict[str, object]:
    subject, size, examples = query.subject, query.size, list[dict[str, object]]()
    with bank.gallery.snapshot():
        people = [person for person in bank.people() if subject is None or name_key(person.name) == name_key(subject)]
        total, skipped = sum(person.sample_count for person in people), query.page * size
        for person in people:
            if skipped >= person.sample_count:
                skipped -= person.sample_count
                continue
            if len(examples) == size:
                break
            examples += map(_example_record, bank.samples(person.name)[skipped:][: size - len(examples)])
            skipped = 0
    return {
        "faces": examples,
        "page_number": query.page,
        "page_size": size,
        "total_pages": -(-total // size),
        "total_elements": total,
    }


def _parse_image_ids(body: bytes) -> list[str]:
    if len(body) > _MAX_LIST_BYTES:
        raise _too_many_images_error()
    try:
        image_ids = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "InvalidValue", "the body is not JSON: send a list of image ids") from error
    if not isinstance(image_ids, list) or not all(isinstance(item, str) for item in image_ids):
        raise RequestError(400, "InvalidValue", "the body must be a JSON list of image ids")
    if len(image_ids) > _MAX_IMAGES:
        raise _too_many_images_error()
    return image_ids


def _too_many_images_error() -> RequestError:
    message = f"the list has more than {_MAX_IMAGES:,} image ids: send several requests"
    return RequestError(400, "InvalidValue", message)


def _remove(bank: FaceBank, image_ids: list[str]) -> list[dict[str, object]]:
    samples = {sample.id: sample for sample in (sample_of(bank, image_id) for image_id in image_ids)}
    bank.gallery.remove_samples(list(samples))
    return [_example_record(sample) for sample in samples.values()]


def _remove_all(bank: FaceBank, subject: str | None) -> int:
    names = [person.name for person in bank.people()] if subject is None else [subject]
    return bank.gallery.remove_samples([sample.id for name in names for sample in bank.samples(name)]).sample_count


def _thumbnail(bank: FaceBank, image_id: str) -> bytes:
    jpeg = bank.gallery.thumbnail(sample_of(bank, image_id).id)
    if jpeg is None:
        raise RequestError(404, "ImageNotFound", f"Image {image_id} was enrolled without a thumbnail")
    return jpeg
