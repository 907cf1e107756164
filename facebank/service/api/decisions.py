"""Routes for feedback, audit and decision settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query

from facebank.recognition.audit import audit_gallery
from facebank.recognition.settings import change_settings, list_settings
from facebank.schemas.records import feedback_record, finding_record, setting_record
from facebank.service.access import AdminCaller, ReadCaller, TeachCaller
from facebank.service.api.bodies import SettingsBody
from facebank.service.api.document import (
    FLAG,
    TEXT,
    command,
    fields_of,
    json_responses,
    list_of,
    object_of,
    photo_body,
)
from facebank.service.problems import RequestError
from facebank.service.service import ContentDep, ServiceDep

if TYPE_CHECKING:
    from facebank.operations.feedback import Feedback
    from facebank.recognition.audit import Finding
    from facebank.service.photos import RequestContent
    from facebank.service.service import Service

router = APIRouter(prefix="/api/v1")

_MAX_PAIRS = 10_000
_REASONS = sorted({*fields_of("confirm")["reason"]["enum"], *fields_of("deny")["reason"]["enum"]})
_FEEDBACK = object_of(
    **{
        **fields_of("deny", "files_with_name", "stranger_id"),
        "reason": {"enum": _REASONS},
        "sample_id": fields_of("confirm")["sample_id"],
        "stranger_id": fields_of("deny")["stranger_id"],
    }
)
_SETTINGS = object_of(settings=list_of(command("settings-set")))
_ANSWERS = ("confirm", "deny", "nobody")


@router.post(
    "/feedback",
    tags=["feedback"],
    responses=json_responses(_FEEDBACK),
    openapi_extra=photo_body(
        ("photo",),
        {
            "answer": {"enum": list(_ANSWERS), "description": "Confirm or deny the person, or mark a stranger."},
            "person": {**TEXT, "description": "The person to confirm or deny; not with ``nobody``."},
            "face": {"type": "integer", "minimum": 1, "description": "Number from 1, largest first."},
            "force": {**FLAG, "description": "Confirm a face that is unlike the person's samples."},
        },
        required_fields=("answer",),
    ),
)
async def feedback(_: TeachCaller, service: ServiceDep, content: ContentDep) -> dict[str, object]:
    """Give feedback on a face of a photo; later identifications take it into account."""
    outcome = await service.photos.run(_record_answer, service, content)
    record = {**feedback_record(outcome), "sample_id": outcome.sample_id, "stranger_id": outcome.stranger_id}
    return service.client_record(record)


@router.get("/audit", tags=["audit"], responses=json_responses(object_of(findings=list_of(command("audit")))))
async def audit(
    _: ReadCaller,
    service: ServiceDep,
    pairs: Annotated[int, Query(ge=0, le=_MAX_PAIRS, description="Maximum number of pairs of confusable people.")] = 20,
) -> dict[str, object]:
    """Find problems that impair recognition: people who are easily confused, and doubtful samples."""
    findings = await service.lookups.run(_audit, service, pairs)
    return {"findings": [service.client_record(finding_record(finding)) for finding in findings]}


@router.get("/settings", tags=["settings"], responses=json_responses(_SETTINGS))
async def settings(_: ReadCaller, service: ServiceDep) -> dict[str, object]:
    """Return the decision settings, with their defaults."""
    values = await service.lookups.run(list_settings, service.bank.gallery)
    return {"settings": list(map(setting_record, values))}


@router.patch("/settings", tags=["settings"], responses=json_responses(_SETTINGS))
async def change(_: AdminCaller, service: ServiceDep, body: SettingsBody) -> dict[str, object]:
    """Change decision settings, all or none; null resets to the default."""
    changes = body.model_dump(exclude_unset=True)
    values = await service.lookups.run(change_settings, service.bank.gallery, changes)
    return {"settings": list(map(setting_record, values))}


def _record_answer(service: Service, content: RequestContent) -> Feedback:
    bank, photo = service.bank, content.one_photo()
    answer, person, face_number = content.text("answer"), content.text("person"), content.number("face")
    if answer not in _ANSWERS:
        raise RequestError(422, "InvalidValue", f"answer: use one of {', '.join(_ANSWERS)}")
    if (answer == "nobody") != (person is None):
        raise RequestError(422, "InvalidValue", "person: send it to confirm or deny, and leave it out for nobody")
    if person is None:
        return bank.deny_everybody(photo, face_number)
    if answer == "deny":
        return bank.deny(photo, person, face_number)
    return bank.confirm(photo, person, face_number, force=content.flag("force"))


def _audit(service: Service, pairs: int) -> tuple[Finding, ...]:
    engine = service.bank.engine
    return audit_gallery(
        service.bank.gallery, engine.pack_calibration, max_pairs=pairs, threshold=engine.thresholds.verify
    ).findings
