"""CompreFace's routes about the faces of photos: recognize, detect and verify."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from fastapi import APIRouter

import facebank
from facebank.service.access import ReadCaller
from facebank.service.compreface.image_ids import sample_of
from facebank.service.compreface.parameters import ClientContentDep, QueryDep
from facebank.service.problems import RequestError
from facebank.service.service import ServiceDep
from facebank.types import Decision, Sample

if TYPE_CHECKING:
    from facebank.operations.compare import Comparison
    from facebank.schemas.records import Record
    from facebank.service.compreface.parameters import Parameters
    from facebank.service.photos import UploadedPhoto
    from facebank.service.service import Service
    from facebank.types import Candidate, Face, Photo

router = APIRouter(prefix="/api/v1", include_in_schema=False)


@router.post("/recognition/recognize")
async def recognize(
    _: ReadCaller, service: ServiceDep, query: QueryDep, content: ClientContentDep
) -> dict[str, object]:
    """Identify the faces of a photo."""
    _check_plugins(service, query)
    photo, started = content.one_photo(), time.perf_counter()
    result = await service.photos.run(_recognize, service, query, photo)
    return {"result": result, **_status(service, query, started)}


@router.post("/detection/detect")
async def detect(_: ReadCaller, service: ServiceDep, query: QueryDep, content: ClientContentDep) -> dict[str, object]:
    """Detect the faces of a photo."""
    _check_plugins(service, query)
    photo, started = content.one_photo(), time.perf_counter()
    result = await service.photos.run(_detect, service, query, photo)
    return {"result": result, **_status(service, query, started)}


@router.post("/verification/verify")
async def verify(_: ReadCaller, service: ServiceDep, query: QueryDep, content: ClientContentDep) -> dict[str, object]:
    """Compare the faces of one photo with the largest of another."""
    _check_plugins(service, query)
    photos = [photo for name in ("source_image", "target_image") for photo in content.photos.get(name, [])[:1]]
    if len(photos) != 2:
        raise RequestError(400, "NoPhoto", "send two photos: source_image and target_image")
    started = time.perf_counter()
    record = await service.photos.run(_verify, service, query, *photos)
    return {"result": [{**record, **_status(service, query, started)}]}


@router.post("/recognition/faces/{image_id}/verify")
async def verify_with_example(
    _: ReadCaller, service: ServiceDep, image_id: str, query: QueryDep, content: ClientContentDep
) -> dict[str, object]:
    """Compare the faces of a photo with a sample."""
    _check_plugins(service, query)
    photo, started = content.one_photo(), time.perf_counter()
    result = await service.photos.run(_verify_with_sample, service, query, image_id, photo)
    return {"result": result, **_status(service, query, started)}


def requested_faces(photo: Photo, query: Parameters) -> list[Face]:
    """Return the requested faces of a photo; raises `RequestError` (400) if there are none."""
    if photo.error is not None:
        raise RequestError(400, "UnreadablePhoto", photo.error)
    faces = [face for face in photo.faces if face.detection_score >= query.min_detection_score]
    if not faces:
        raise RequestError(400, "NoFaceError", "no face was found")
    return faces[: query.limit or None]


def _check_plugins(service: Service, query: Parameters) -> None:
    if "calculator" in query.plugins and not service.options.embeddings:
        raise RequestError(
            400,
            "EmbeddingsAreOff",
            "face_plugins: calculator is off, because faces can be reconstructed from embeddings: "
            "start the service with --embeddings",
        )


def _recognize(service: Service, query: Parameters, upload: UploadedPhoto) -> list[Record]:
    (photo,) = service.bank.identify(upload)
    service.metrics.count_photo(photo)
    return [
        {**_face_record(query, face), **_identity_record(service, query, face)}
        for face in requested_faces(photo, query)
    ]


def _detect(service: Service, query: Parameters, upload: UploadedPhoto) -> list[Record]:
    (photo,) = service.bank.analyze(upload)
    service.metrics.count_photo(photo)
    return [_face_record(query, face) for face in requested_faces(photo, query)]


def _verify(service: Service, query: Parameters, source: UploadedPhoto, target: UploadedPhoto) -> Record:
    comparison = service.bank.compare(source, target)
    face = comparison.source
    if isinstance(face, Sample) or face.detection_score < query.min_detection_score:
        raise RequestError(400, "NoFaceError", "no face was found")
    return {
        "source_image_face": _face_record(query, face),
        "face_matches": _match_records(service, query, comparison),
    }


def _verify_with_sample(service: Service, query: Parameters, image_id: str, upload: UploadedPhoto) -> list[Record]:
    comparison = service.bank.compare(sample_of(service.bank, image_id), upload)
    subject = cast("Sample", comparison.source).person
    return [{**record, "subject": subject} for record in _match_records(service, query, comparison)]


def _match_records(service: Service, query: Parameters, comparison: Comparison) -> list[Record]:
    requested = {face.face_number for face in requested_faces(comparison.photo, query)}
    return [
        {
            **_face_record(query, match.face),
            **service.client_record({"similarity": max(0.0, match.similarity), "threshold": comparison.threshold}),
            "same": match.same,
        }
        for match in comparison.faces
        if match.face.face_number in requested
    ]


def _face_record(query: Parameters, face: Face) -> Record:
    left, top, right, bottom = (max(0, round(edge)) for edge in face.box.tolist())
    box = {"probability": round(face.detection_score, 5), "x_min": left, "y_min": top, "x_max": right, "y_max": bottom}
    extra: Record = {}
    if "landmarks" in query.plugins:
        extra["landmarks"] = [[round(x), round(y)] for x, y in face.landmarks.tolist()]
    if "calculator" in query.plugins:
        extra["embedding"] = face.embedding.tolist()
    return {"box": box, **extra}


def _identity_record(service: Service, query: Parameters, face: Face) -> Record:
    """Return a face's identity; ``subjects`` is empty unless the person is known, because clients use the first."""
    nearest = sorted(face.candidates, key=lambda candidate: candidate.person != face.person)
    candidates = [_candidate_record(service, candidate) for candidate in nearest[: query.prediction_count]]
    is_known = face.decision is Decision.KNOWN
    return {
        "subjects": candidates if is_known else [],
        "candidates": candidates,
        "decision": face.decision,
        "reason": face.reason,
    }


def _candidate_record(service: Service, candidate: Candidate) -> Record:
    if candidate.probability is None:
        return {"subject": candidate.person, **service.client_record({"similarity": max(0.0, candidate.similarity)})}
    rounded = service.client_record({"probability": candidate.probability})
    return {"subject": candidate.person, "similarity": rounded["probability"]}


def _status(service: Service, query: Parameters, started: float) -> dict[str, object]:
    if not query.status:
        return {}
    version = f"facebank {facebank.__version__}, {service.bank.engine.identity.name}"
    return {
        "plugins_versions": {"detector": version, "calculator": version},
        "execution_time": {"total": round(1000 * (time.perf_counter() - started), 1)},
    }
