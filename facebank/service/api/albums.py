"""The album: scan its folders, find photos of people, group unnamed faces and name the groups."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Body, Query
from fastapi.responses import StreamingResponse

from facebank.album.finding import Period
from facebank.album.groups.face_groups import faces_of, group_key
from facebank.schemas import load
from facebank.schemas.records import found_photo_record, group_record, named_group_record
from facebank.service.access import Admin, Reader, Teacher
from facebank.service.api.bodies import ClusterBody, Least, Limit, NameBody, Number, Offset, ScanBody
from facebank.service.api.document import (
    FLAG,
    NUMBER,
    PROBLEMS,
    TEXT,
    answers,
    command,
    fields_of,
    list_of,
    object_of,
    page_of,
)
from facebank.service.page.memory import MemoryDep
from facebank.service.service import ServiceDep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from facebank.album.groups.face_groups import Group
    from facebank.schemas.records import Record
    from facebank.service.page.memory import PageMemory
    from facebank.service.scanning import ScanState
    from facebank.service.service import Service
    from facebank.types import Face, Photo

router = APIRouter(prefix="/api/v1/album", tags=["album"])

_MOST_NAMES = 100
_SIDE = 128  # pixels of a face's picture
_MOST_DECIDED = 2_000  # photos identified while a client waits: about 10 s on one core
_REPORT = object_of(
    unchanged=NUMBER,
    looked_at=NUMBER,
    known_by_content=NUMBER,
    gone=NUMBER,
    unreadable=NUMBER,
    unreadable_photos=list_of(object_of(image=TEXT, error=TEXT)),
    videos={**NUMBER, "description": "videos in the folders"},
    unsupported={**NUMBER, "description": "pictures in unsupported formats, such as camera raw files"},
)
_SCAN = object_of(
    scan={**NUMBER, "description": "number of the scan since the service was started; 0 before the first"},
    status={"enum": ["none", "running", "done", "canceled", "failed"]},
    folders=list_of(TEXT),
    done={**NUMBER, "description": "scanned new and changed files"},
    total={"type": ["integer", "null"], "description": "their number; null until the folders have been listed"},
    seconds_left={"type": ["number", "null"], "description": "null if unknown"},
    emptied={**list_of(TEXT), "description": "folders that had photos and have none, perhaps on a missing disk"},
    report={"oneOf": [{"type": "null"}, _REPORT], "description": "null until all photos are scanned"},
    step={"enum": ["photos", "videos"], "description": "the current step: first the photos, then the videos"},
    videos_done={**NUMBER, "description": "scanned new and changed videos"},
    videos_total={
        "type": ["integer", "null"],
        "description": "their number; null until all photos are scanned",
    },
    unreadable_videos={
        **list_of(object_of(video=TEXT, error=TEXT)),
        "description": "at most 100, after the scan",
    },
    error={"type": ["string", "null"], "description": "reason of a failure"},
    code={"type": ["string", "null"]},
)
_FOUND = object_of(
    photos=list_of(command("find")),
    total=NUMBER,
    offset=NUMBER,
    current={**FLAG, "description": "false while photos are identified again after a change: more may follow"},
)
_GROUP = object_of(
    **{**fields_of("cluster"), "faces": {"type": "integer", "minimum": 1}},
    key={**TEXT, "description": "identifies the group when faces are grouped again and numbers change"},
)
_MEMBER = object_of(
    image={**TEXT, "description": "the photo's file; of several copies the first by name"},
    content_hash={**TEXT, "description": "SHA-256 of the photo's bytes, in hex"},
    face={"type": "integer", "minimum": 1, "description": "face number, from 1, largest first"},
    box=load("identify")["properties"]["faces"]["items"]["properties"]["box"],
    quality={"type": "number", "minimum": 0, "maximum": 1},
    thumbnail={
        "type": ["string", "null"],
        "description": "URL of its picture; null if the photo is not in the album",
    },
)
_MEMBERS = object_of(
    group={"type": "integer", "minimum": 1},
    key=_GROUP["properties"]["key"],
    faces=list_of(_MEMBER),
    total=NUMBER,
    offset=NUMBER,
)
_EVENT = object_of(
    event={"enum": ["progress", "end"]},
    data={**TEXT, "contentMediaType": "application/json", "description": "the scan's state, as `GET` returns it"},
)
_EVENTS = {"text/event-stream": {"schema": _EVENT}}


@router.post("/scan", status_code=202, responses=answers(_SCAN, 202, description="The scan runs in the background."))
async def start_scan(
    _: Admin, service: ServiceDep, wanted: Annotated[ScanBody | None, Body()] = None
) -> dict[str, object]:
    """Start scanning folders of the album in the background; all of them if none is named."""
    folders = [] if wanted is None else wanted.folders
    return (await service.look_ups.run(service.scanning.start, folders)).record()


@router.get("/scan", responses=answers(_SCAN))
async def scan_state(_: Reader, service: ServiceDep) -> dict[str, object]:
    """Return the progress of the scan, or the result of the last one."""
    return service.scanning.state.record()


@router.delete("/scan", responses=answers(_SCAN))
async def cancel_scan(_: Admin, service: ServiceDep) -> dict[str, object]:
    """Cancel the scan; its results are kept, and the next scan continues."""
    return service.scanning.cancel().record()


@router.get(
    "/scan/events",
    response_class=StreamingResponse,
    responses={200: {"description": "Events, each with the scan's state.", "content": _EVENTS}, **PROBLEMS},
)
async def scan_events(_: Reader, service: ServiceDep) -> StreamingResponse:
    """Watch a scan: server-sent events ``progress``, and ``end`` with the result."""
    return StreamingResponse(_events(service.scanning.watch()), media_type="text/event-stream")


@router.get("/find", responses=answers(_FOUND))
async def find(
    _: Reader,
    service: ServiceDep,
    memory: MemoryDep,
    *,
    person: Annotated[
        list[str], Query(min_length=1, max_length=_MOST_NAMES, description="Name of a person; may be repeated.")
    ],
    any_of: Annotated[
        bool, Query(alias="any", description="Whether one of the people suffices; else all must be in the photo.")
    ] = False,
    since: Annotated[str | None, Query(description="Taken on this day or later: 2019-06-01, 2019-06 or 2019.")] = None,
    until: Annotated[str | None, Query(description="Taken on this day or before: 2019-06-01, 2019-06 or 2019.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> dict[str, object]:
    """Return the scanned photos that people are in, oldest first.

    In a large album photos are identified in the background. Each photo is listed once, regardless of copies.
    """
    wanted = _PhotoQuery(person, Period.of(since, until), any_of, limit, offset)
    return await service.look_ups.run(_found, service, memory, wanted)


@router.get("/groups", responses=answers(page_of(groups=_GROUP)))
async def groups(
    _: Reader, service: ServiceDep, least: Least = 2, limit: Limit = 100, offset: Offset = 0
) -> dict[str, object]:
    """Return the last grouping of unnamed faces, largest group first."""
    found = [group for group in await service.look_ups.run(service.album.groups) if len(group.faces) >= least]
    records = list(map(_group_record, found[offset : offset + limit]))
    return {"groups": records, "total": len(found), "offset": offset}


@router.post(
    "/groups",
    responses=answers(object_of(groups=list_of(_GROUP), named=NUMBER, poor=NUMBER, alone=NUMBER)),
)
async def make_groups(
    _: Teacher, service: ServiceDep, wanted: Annotated[ClusterBody | None, Body()] = None
) -> dict[str, object]:
    """Group the scanned faces without a name by person; group numbers change."""
    least = (wanted or ClusterBody()).least
    grouped = await service.look_ups.run(service.album.cluster, least=1)  # the page needs single faces too
    large = [group for group in grouped.groups if len(group.faces) >= least]
    alone = grouped.alone + sum(len(group.faces) for group in grouped.groups[len(large) :])
    records = list(map(_group_record, large))
    return {"groups": records, "named": grouped.named, "poor": grouped.poor, "alone": alone}


@router.get("/groups/{number}", responses=answers(_MEMBERS))
async def faces_of_group(
    _: Reader, service: ServiceDep, number: Number, limit: Limit = 100, offset: Offset = 0
) -> dict[str, object]:
    """Return the faces of a group, most typical first, with photos, locations and pictures."""
    return await service.look_ups.run(_members, service, number, limit, offset)


@router.post("/groups/{number}", responses=answers(command("people-name")))
async def name_group(_: Teacher, service: ServiceDep, number: Number, wanted: NameBody) -> dict[str, object]:
    """Name a group: its best and most varied faces are enrolled. Of two concurrent requests, one succeeds."""
    return await service.photos.run(_name_group, service, number, wanted)


def _name_group(service: Service, number: int, wanted: NameBody) -> Record:
    named = service.album.name_group(number, wanted.person, force=wanted.force, once=True, key=wanted.key)
    shown = service.folders.shown
    visible = replace(
        named,
        enrolled=tuple(map(shown, named.enrolled)),
        refused={shown(path): service.text.api(why.replace(path, shown(path))) for path, why in named.refused.items()},
    )
    return named_group_record(visible)


def _members(service: Service, number: int, limit: int, offset: int) -> Record:
    scan_file = service.album.scan_file
    faces = faces_of(scan_file, number)
    places = [scan_file.place_of(face) for face in faces[offset : offset + limit]]
    records = [_member_record(service, photo, photo.faces[place]) for photo, place in places]
    return {"group": number, "key": group_key(faces), "faces": records, "total": len(faces), "offset": offset}


def _member_record(service: Service, photo: Photo, face: Face) -> Record:
    picture = f"/pictures/faces/{photo.content_hash}/{face.face_number}/{_SIDE}"
    return {
        "image": service.folders.shown(photo.path),
        "content_hash": photo.content_hash,
        "face": face.face_number,
        "box": [round(edge, 1) for edge in face.box.tolist()],
        "quality": round(face.quality, 3),
        "thumbnail": picture if service.folders.contains(photo.path) else None,
    }


@dataclass(frozen=True, slots=True)
class _PhotoQuery:
    """The query for photos, and the part of the list to return."""

    names: list[str]
    period: Period
    any_of: bool
    limit: int
    offset: int


def _found(service: Service, memory: PageMemory, wanted: _PhotoQuery) -> Record:
    album, end = service.album, wanted.offset + wanted.limit
    is_current = True
    if album.count() <= _MOST_DECIDED:
        found = album.find(wanted.names, wanted.period, any_of=wanted.any_of)
        total, part = len(found), found[wanted.offset : end]
    else:
        people = [service.bank.person(name).id for name in wanted.names]
        seen = memory.overview.find(people, wanted.period, any_of=wanted.any_of)
        places = [photo.path for photo in seen[wanted.offset : end]]
        total, is_current = len(seen), memory.overview.is_current
        part = album.find(wanted.names, wanted.period, any_of=wanted.any_of, places=places) if places else []
    photos = [service.client_record(found_photo_record(photo)) for photo in part]
    return {"photos": photos, "total": total, "offset": wanted.offset, "current": is_current}


def _group_record(group: Group) -> Record:
    return {**group_record(group), "key": group.key}


async def _events(states: AsyncIterator[ScanState]) -> AsyncIterator[str]:
    async for state in states:
        yield f"event: {'progress' if state.is_running else 'end'}\ndata: {json.dumps(state.record())}\n\n"
