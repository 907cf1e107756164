"""People: list, enroll, rename, describe, merge and forget them, and their samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from facebank.album.copies import copies_of
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
from facebank.service.access import Admin, Reader, Teacher
from facebank.service.api.bodies import DryRun, Limit, MergeBody, Name, Offset, PersonBody
from facebank.service.api.document import (
    FLAG,
    answers,
    command,
    fields_of,
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

_LISTED = command("people-list")
_SHOWN = fields_of("people-show")
_PERSON = object_of(**fields_of("people-list"), warnings=_SHOWN["warnings"], merged=_SHOWN["merged"])
_SAMPLE = object_of(**fields_of("people-show", "born", "note", "warnings", "merged"))
_ENROLLED = object_of(person=_LISTED, photos=list_of(object_of(**fields_of("enroll", "advice", "skipped"))))
_FIELDS: dict[str, Any] = {
    "force": {**FLAG, "description": "Accept faces that are unlike the person's, or more like another person's."},
    "pick": {"enum": ["largest", "central"], "description": "Choice among several faces; else automatic."},
}


@router.get("", responses=answers(page_of(people=_LISTED)))
async def list_people(_: Reader, service: ServiceDep, limit: Limit = 100, offset: Offset = 0) -> dict[str, object]:
    """Return the enrolled people, by name."""
    return await service.look_ups.run(_people, service.bank.gallery, limit, offset)


@router.post(
    "",
    responses=answers(_ENROLLED, 200, 201, description="The result for each photo; 201 if the person is new."),
    openapi_extra=photo_body(("photos",), {"name": {"type": "string"}, **_FIELDS}, needed=("name",)),
)
async def create_person(_: Teacher, service: ServiceDep, sent: ContentDep, response: Response) -> dict[str, object]:
    """Enroll a person from photos; a photo sent twice is one sample. Fails if no photo is accepted."""
    name = sent.text("name")
    if name is None:
        raise RequestError(422, "InvalidValue", "name: required")
    is_new, record = await service.photos.run(_enroll, service, name, sent)
    response.status_code = 201 if is_new else 200
    return record


# Names match whole paths, so that a name with a slash gets a clear error; routes with suffixes come first.


@router.post(
    "/{name:path}/photos",
    responses=answers(_ENROLLED, description="The result for each photo."),
    openapi_extra=photo_body(("photos",), _FIELDS),
)
async def enroll(_: Teacher, service: ServiceDep, name: Name, sent: ContentDep) -> dict[str, object]:
    """Enroll further photos of a person; a photo sent twice is one sample."""
    await service.look_ups.run(service.bank.person, name)
    _is_new, record = await service.photos.run(_enroll, service, name, sent)
    return record


@router.get("/{name:path}/samples", responses=answers(page_of(samples=_SAMPLE)))
async def samples(
    _: Reader, service: ServiceDep, name: Name, limit: Limit = 100, offset: Offset = 0
) -> dict[str, object]:
    """Return a person's samples: the faces that were enrolled."""
    found = await service.look_ups.run(service.bank.samples, name)
    records = [service.client_record(sample_record(sample)) for sample in found[offset : offset + limit]]
    return {"samples": records, "total": len(found), "offset": offset}


@router.post("/{name:path}/merge", responses=answers(command("people-merge")))
async def merge(_: Teacher, service: ServiceDep, name: Name, wanted: MergeBody) -> dict[str, object]:
    """Merge people into a person; fails if their samples look like two people."""
    return person_record(await service.look_ups.run(service.bank.merge, wanted.sources, name, force=wanted.force))


@router.post("/{name:path}/unmerge", responses=answers(object_of(people=list_of(command("people-unmerge")))))
async def unmerge(_: Teacher, service: ServiceDep, name: Name) -> dict[str, object]:
    """Undo the last merge into a person, and return the people who are separate again."""
    return {"people": list(map(person_record, await service.look_ups.run(service.bank.unmerge, name)))}


@router.get("/{name:path}", responses=answers(_PERSON))
async def person(_: Reader, service: ServiceDep, name: Name) -> dict[str, object]:
    """Return a person, with warnings about the samples and merged people."""
    return await service.look_ups.run(_person, service.bank.gallery, name)


@router.patch("/{name:path}", responses=answers(command("people-set")))
async def change_person(_: Teacher, service: ServiceDep, name: Name, wanted: PersonBody) -> dict[str, object]:
    """Rename a person, or set a birth date or note; all changes or none."""
    facts = wanted.model_dump(exclude_unset=True, exclude={"name"})
    if not facts and wanted.name is None:
        raise RequestError(422, "InvalidValue", "nothing to change: send name, born or note")
    return person_record(await service.look_ups.run(service.bank.gallery.describe, name, called=wanted.name, **facts))


@router.delete("/{name:path}", responses=answers(command("people-forget")))
async def forget(_: Admin, service: ServiceDep, name: Name, dry_run: DryRun = False) -> dict[str, object]:
    """Remove a person permanently, as ``facebank people forget`` does; returns what remains elsewhere."""
    return await service.look_ups.run(_forget, service.bank.gallery, name, dry_run=dry_run)


def _people(gallery: Gallery, limit: int, offset: int) -> Record:
    with gallery.snapshot():
        people, counts = gallery.people(), gallery.photo_counts()
    part = people[offset : offset + limit]
    records = [{**person_record(each), "photos": counts.get(each.id, 0)} for each in part]
    return {"people": records, "total": len(people), "offset": offset}


def _person(gallery: Gallery, name: str) -> Record:
    with gallery.snapshot():
        found, samples, merged = gallery.person(name), gallery.samples(name), gallery.merged(name)
    return {
        **person_record(found),
        "photos": len({sample.content_hash for sample in samples}),
        "warnings": [warning_record(warning) for warning in fact_warnings(found, samples)],
        "merged": list(map(merged_record, merged)),
    }


def _enroll(service: Service, name: str, sent: RequestContent) -> tuple[bool, Record]:
    """Enroll, and return whether the person is new."""
    bank = service.bank
    before = _is_enrolled(bank.gallery, name)
    photos, pick, force = sent.all_photos(), sent.text("pick"), sent.flag("force")
    report = bank.enroll(name, photos, pick=pick or None, force=force)  # type: ignore[arg-type]  # checked by enroll
    records = [service.client_record(enrolled_record(photo)) for photo in report.photos]
    if not before and not _is_enrolled(bank.gallery, name):
        raise RequestError(
            422, "NobodyEnrolled", f"no photo was accepted: {records[0]['detail']}", more={"photos": records}
        )
    shown = _person(bank.gallery, name)
    return not before, {"person": {key: shown[key] for key in _LISTED_KEYS}, "photos": records}


_LISTED_KEYS = tuple(fields_of("people-list"))


def _is_enrolled(gallery: Gallery, name: str) -> bool:
    try:
        gallery.person(name)
    except PersonNotFoundError:
        return False
    return True


def _forget(gallery: Gallery, name: str, *, dry_run: bool) -> Record:
    found, copies = gallery.person(name), copies_of(gallery, name)
    return forgotten_record(found, copies, None if dry_run else gallery.forget(name))
