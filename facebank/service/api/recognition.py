"""Routes to identify, verify, detect and embed faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from facebank.schemas.records import found_face_record, photo_record, verification_record
from facebank.service.access import ReadCaller
from facebank.service.api.document import Schema, command, fields_of, json_responses, list_of, object_of, photo_body
from facebank.service.problems import RequestError
from facebank.service.service import ContentDep, ServiceDep
from facebank.storage.text import pluralize

if TYPE_CHECKING:
    from facebank.schemas.records import Record
    from facebank.service.photos import UploadedPhoto
    from facebank.service.service import Service
    from facebank.types import Photo

router = APIRouter(prefix="/api/v1", tags=["recognition"])

_FACE = fields_of("identify")["faces"]["items"]["properties"]


def _detection_schema(**extra: Schema) -> Schema:
    """Return the schema of photos with detected faces: without identities, with `extra` fields for each face."""
    face = {key: _FACE[key] for key in ("box", "landmarks", "detection_score", "quality")}
    photo = {**fields_of("identify", "skipped"), "faces": list_of(object_of(**face, **extra))}
    return object_of(photos=list_of(object_of(**photo)))


@router.post(
    "/identify", responses=json_responses(object_of(photos=list_of(command("identify")))), openapi_extra=photo_body()
)
async def identify(_: ReadCaller, service: ServiceDep, content: ContentDep) -> dict[str, object]:
    """Identify people in photos; returns the records of ``facebank identify --json``."""
    records = [await service.photos.run(_identify, service, upload) for upload in content.all_photos()]
    return {"photos": records}


@router.post("/verify", responses=json_responses(command("verify")), openapi_extra=photo_body(("a", "b")))
async def verify(_: ReadCaller, service: ServiceDep, content: ContentDep) -> dict[str, object]:
    """Compare the largest faces of two photos."""
    uploads = content.all_photos()
    if len(uploads) != 2:
        raise RequestError(
            400, "TwoPhotos", f"the request has {pluralize(len(uploads), 'photo')}: send two, as the fields a and b"
        )
    verification = await service.photos.run(service.bank.verify, *uploads)
    return service.client_record(verification_record(verification))


@router.post("/detect", responses=json_responses(_detection_schema()), openapi_extra=photo_body())
async def detect(_: ReadCaller, service: ServiceDep, content: ContentDep) -> dict[str, object]:
    """Detect the faces of photos, without identifying them."""
    photos = [await service.photos.run(_analyze, service, upload) for upload in content.all_photos()]
    return {"photos": [_detection_record(service, photo, embeddings=False) for photo in photos]}


@router.post(
    "/embed",
    responses=json_responses(_detection_schema(embedding={"type": "array", "items": {"type": "number"}})),
    openapi_extra=photo_body(),
)
async def embed(_: ReadCaller, service: ServiceDep, content: ContentDep) -> dict[str, object]:
    """Return the embeddings of faces; off unless the service was started with ``--embeddings``."""
    if not service.options.embeddings:
        raise RequestError(
            403,
            "EmbeddingsAreOff",
            "embeddings are off, because faces can be reconstructed from them: start the service with --embeddings",
        )
    photos = [await service.photos.run(_analyze, service, upload) for upload in content.all_photos()]
    return {"photos": [_detection_record(service, photo, embeddings=True) for photo in photos]}


def _identify(service: Service, upload: UploadedPhoto) -> Record:
    (photo,) = service.bank.identify(upload)
    service.metrics.count_photo(photo)
    return service.client_record(photo_record(photo))


def _analyze(service: Service, upload: UploadedPhoto) -> Photo:
    (photo,) = service.bank.analyze(upload)
    service.metrics.count_photo(photo)
    return photo


def _detection_record(service: Service, photo: Photo, *, embeddings: bool) -> Record:
    faces: list[Record] = [
        {**found_face_record(face), **({"embedding": face.embedding.tolist()} if embeddings else {})}
        for face in photo.faces
    ]
    return service.client_record({**photo_record(photo), "faces": faces})
