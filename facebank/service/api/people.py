"""People: list, enroll, rename, describe, merge and forget them, and their samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from facebank.album.copies import copies_of
from facebank.album.forget import forget_person
from facebank.errors import PersonNotFoundError
from facebank.recognition.facts import fact_warnings
from facebank.schemas.records import (
    enrolled_record,
    forgotten_record,
    merged_record,
    person_record,
    sample_record,
    warning_record,
)
from facebank.service.access import AdminCaller, ReadCaller, TeachCaller
from facebank.service.api.bodies import DryRun, Limit, MergeBody, Name, Offset, PersonBody
from facebank.service.api.document import (
    FLAG,
    command,
    fields_of,
    json_responses,
    list_of,
    object_of,
    page_of,
    photo_body,
)
from facebank.service.problems import RequestError
from facebank.service.service import ContentDep, ServiceDep

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.schemas.records import Record
    from facebank.service.photos import RequestContent
    from facebank.service.service import Service

router = APIRouter(prefix="/api/v1/people", tags=["people"])

_PERSON_SUMMARY = command("people-list")
_SUMMARY_KEYS = tuple(fields_of("people-list"))
_PERSON_FIELDS = fields_of("people-show")
_PERSON = object_of(**fields_of("people-list"), warnings=_PERSON_FIELDS["warnings"], merged=_PERSON_FIELDS["merged"])
_SAMPLE = object_of(**fields_of("people-show", "born", "note", "warnings", "merged"))
_ENROLLED = object_of(person=_PERSON_SUMMARY, photos=list_of(object_of(**fields_of("enroll", "advice", "skipped"))))
_FIELDS: dict[str, Any] = {
    "force": {**FLAG, "description": "Accept faces that are unlike the person's, or more like another person's."},
    "pick": {"enum": ["largest", "central"], "description": "Choice among several faces; else automatic."},
}


@router.get("", responses=json_responses(page_of(people=_PERSON_SUMMARY)))
async def list_people(_: ReadCaller, service: ServiceDep, limit: Limit = 100, offset: Offset = 0) -> dict[str, object]:
    """Return the enrolled people, by name."""
    return await service.lookups.run(_list_people, service.bank.gallery, limit, offset)


@router.post(
    "",
    responses=json_responses(_ENROLLED, 200, 201, description="The result for each photo; 201 if the person is new."),
    openapi_extra=photo_body(("photos",), {"name": {"type": "string"}, **_FIELDS}, required_fields=("name",)),
)
async def create_person(
    _: TeachCaller, service: ServiceDep, content: ContentDep, response: Response
) -> dict[str, object]:
    """Enroll a person from photos; a photo sent twice is one sample. Fails if no photo is accepted."""
    name = content.text("name")
    if name is None:
        raise RequestError(422, "InvalidValue", "name is missing: send the person's name")
    is_new, record = await service.photos.run(_enroll, service, name, content)
    response.status_code = 201 if is_new else 200
    return record


# Names match whole paths, so that a name with a slash gets a clear error; routes with suffixes come first.


@router.post(
    "/{name:path}/photos",
    responses=json_responses(_ENROLLED, description="The result for each photo."),
    openapi_extra=photo_body(("photos",), _FIELDS),
)
async def enroll(_: TeachCaller, service: ServiceDep, name: Name, content: ContentDep) -> dict[str, object]:
    """Enroll further photos of a person; a photo sent twice is one sample."""
    await service.lookups.run(service.bank.person, name)
    _is_new, record = await service.photos.run(_enroll, service, name, content)
    return record


@router.get("/{name:path}/samples", responses=json_responses(page_of(samples=_SAMPLE)))
async def samples(
    _: ReadCaller, service: ServiceDep, name: Name, limit: Limit = 100, offset: Offset = 0
) -> dict[str, object]:
    """Return a person's samples: the faces that were enrolled."""
    stored = await service.lookups.run(service.bank.samples, name)
    records = [service.client_record(sample_record(sample)) for sample in stored[offset : offset + limit]]
    return {"samples": records, "total": len(stored), "offset": offset}


@router.post("/{name:path}/merge", responses=json_responses(command("people-merge")))
async def merge(_: TeachCaller, service: ServiceDep, name: Name, body: MergeBody) -> dict[str, object]:
    """Merge people into a person; fails if their samples look like two people."""
    return person_record(await service.lookups.run(service.bank.merge, body.sources, name, force=body.force))


@router.post("/{name:path}/unmerge", responses=json_responses(object_of(people=list_of(command("people-unmerge")))))
async def unmerge(_: TeachCaller, service: ServiceDep, name: Name) -> dict[str, object]:
    """Undo the last merge into a person, and return the people who are separate again."""
    return {"people": list(map(person_record, await service.lookups.run(service.bank.unmerge, name)))}


@router.get("/{name:path}", responses=json_responses(_PERSON))
async def person(_: ReadCaller, service: ServiceDep, name: Name) -> dict[str, object]:
    """Return a person, with warnings about the samples and merged people."""
    return await service.lookups.run(_describe_person, service.bank.gallery, name)


@router.patch("/{name:path}", responses=json_responses(command("people-set")))
async def change_person(_: TeachCaller, service: ServiceDep, name: Name, body: PersonBody) -> dict[str, object]:
    """Rename a person, or set a birth date or note; all changes or none."""
    facts = body.model_dump(exclude_unset=True, exclude={"name"})
    if not facts and body.name is None:
        raise RequestError(422, "InvalidValue", "nothing to change: send name, born or note")
    return person_record(await service.lookups.run(service.bank.gallery.describe, name, new_name=body.name, **facts))


@router.delete("/{name:path}", responses=json_responses(command("people-forget")))
async def forget(_: AdminCaller, service: ServiceDep, name: Name, dry_run: DryRun = False) -> dict[str, object]:
    """Remove a person permanently, as ``facebank people forget`` does; returns the copies that remain elsewhere."""
    return await service.lookups.run(_forget, service.bank.gallery, name, dry_run=dry_run)


def _list_people(gallery: Gallery, limit: int, offset: int) -> Record:
    with gallery.snapshot():
        people, counts = gallery.people(), gallery.photo_counts()
    page = people[offset : offset + limit]
    records = [{**person_record(person), "photos": counts.get(person.id, 0)} for person in page]
    return {"people": records, "total": len(people), "offset": offset}


def _describe_person(gallery: Gallery, name: str) -> Record:
    with gallery.snapshot():
        person, samples, merged = gallery.person(name), gallery.samples(name), gallery.merged_people(name)
    return {
        **person_record(person),
        "photos": len({sample.picture_hash or sample.content_hash for sample in samples}),
        "warnings": [warning_record(warning) for warning in fact_warnings(person, samples)],
        "merged": list(map(merged_record, merged)),
    }


def _enroll(service: Service, name: str, content: RequestContent) -> tuple[bool, Record]:
    """Enroll a person's photos; return whether the person is new, and the record of both."""
    bank = service.bank
    was_enrolled = _is_enrolled(bank.gallery, name)
    photos, pick, force = content.all_photos(), content.text("pick"), content.flag("force")
    report = bank.enroll(name, photos, pick=pick or None, force=force)  # type: ignore[arg-type]  # checked by enroll
    records = [service.client_record(enrolled_record(photo)) for photo in report.photos]
    if not was_enrolled and not _is_enrolled(bank.gallery, name):
        raise RequestError(
            422, "NobodyEnrolled", f"no photo was accepted: {records[0]['detail']}", extensions={"photos": records}
        )
    summary = _describe_person(bank.gallery, name)
    return not was_enrolled, {"person": {key: summary[key] for key in _SUMMARY_KEYS}, "photos": records}


def _is_enrolled(gallery: Gallery, name: str) -> bool:
    try:
        gallery.person(name)
    except PersonNotFoundError:
        return False
    return True


def _forget(gallery: Gallery, name: str, *, dry_run: bool) -> Record:
    person, copies = gallery.person(name), copies_of(gallery, name)
    return forgotten_record(person, copies, None if dry_run else forget_person(gallery, name))
