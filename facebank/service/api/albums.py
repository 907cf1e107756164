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
from facebank.service.access import AdminCaller, ReadCaller, TeachCaller
from facebank.service.api.bodies import ClusterBody, Least, Limit, NameBody, Number, Offset, ScanBody
from facebank.service.api.document import (
    FLAG,
    NUMBER,
    PROBLEMS,
    TEXT,
    command,
    fields_of,
    json_responses,
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

_MAX_NAMES = 100
_SIDE = 128  # pixels of a face's picture
_MAX_IDENTIFIED = 2_000  # photos identified while a client waits; larger albums are identified in the background
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
    total={
        "type": ["integer", "null"],
        "description": "number of these files; null until the folders have been listed",
    },
    seconds_left={"type": ["number", "null"], "description": "null if unknown"},
    emptied={**list_of(TEXT), "description": "folders that had photos and have none, perhaps on a missing disk"},
    report={"oneOf": [{"type": "null"}, _REPORT], "description": "null until all photos are scanned"},
    step={"enum": ["photos", "videos"], "description": "the current step: first the photos, then the videos"},
    videos_done={**NUMBER, "description": "scanned new and changed videos"},
    videos_total={
        "type": ["integer", "null"],
        "description": "number of these videos; null until all photos are scanned",
    },
    unreadable_videos={
        **list_of(object_of(video=TEXT, error=TEXT)),
        "description": "at most 100, after the scan",
    },
    error={"type": ["string", "null"], "description": "reason for a failure; null without one"},
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
    image={**TEXT, "description": "the photo's file; the first by name if there are several copies"},
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


@router.post(
    "/scan", status_code=202, responses=json_responses(_SCAN, 202, description="The scan runs in the background.")
)
async def start_scan(
    _: AdminCaller, service: ServiceDep, body: Annotated[ScanBody | None, Body()] = None
) -> dict[str, object]:
    """Start scanning folders of the album in the background; all of them if none is named."""
    folders = [] if body is None else body.folders
    return (await service.lookups.run(service.scanning.start, folders)).record()


@router.get("/scan", responses=json_responses(_SCAN))
async def scan_state(_: ReadCaller, service: ServiceDep) -> dict[str, object]:
    """Return the progress of the scan, or the result of the last one."""
    return service.scanning.state.record()


@router.delete("/scan", responses=json_responses(_SCAN))
async def cancel_scan(_: AdminCaller, service: ServiceDep) -> dict[str, object]:
    """Cancel the scan; its results are kept, and the next scan continues."""
    return service.scanning.cancel().record()


@router.get(
    "/scan/events",
    response_class=StreamingResponse,
    responses={200: {"description": "Events, each with the scan's state.", "content": _EVENTS}, **PROBLEMS},
)
async def scan_events(_: ReadCaller, service: ServiceDep) -> StreamingResponse:
    """Watch a scan: server-sent events ``progress``, and ``end`` with the result."""
    return StreamingResponse(_events(service.scanning.watch()), media_type="text/event-stream")


@router.get("/find", responses=json_responses(_FOUND))
async def find(
    _: ReadCaller,
    service: ServiceDep,
    memory: MemoryDep,
    *,
    person: Annotated[
        list[str], Query(min_length=1, max_length=_MAX_NAMES, description="Name of a person; may be repeated.")
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
    query = _PhotoQuery(person, Period.of(since, until), any_of, limit, offset)
    return await service.lookups.run(_find_photos, service, memory, query)


@router.get("/groups", responses=json_responses(page_of(groups=_GROUP)))
async def groups(
    _: ReadCaller, service: ServiceDep, least: Least = 2, limit: Limit = 100, offset: Offset = 0
) -> dict[str, object]:
    """Return the last grouping of unnamed faces, largest group first."""
    large = [group for group in await service.lookups.run(service.album.groups) if len(group.faces) >= least]
    records = list(map(_group_record, large[offset : offset + limit]))
    return {"groups": records, "total": len(large), "offset": offset}


@router.post(
    "/groups",
    responses=json_responses(object_of(groups=list_of(_GROUP), named=NUMBER, poor=NUMBER, alone=NUMBER)),
)
async def make_groups(
    _: TeachCaller, service: ServiceDep, body: Annotated[ClusterBody | None, Body()] = None
) -> dict[str, object]:
    """Group the scanned faces without a name by person; group numbers change."""
    least = (body or ClusterBody()).least
    grouping = await service.lookups.run(service.album.cluster, min_faces=1)  # the page needs single faces too
    report = grouping.select(least)
    records = list(map(_group_record, report.groups))
    return {"groups": records, "named": report.named, "poor": report.poor, "alone": report.alone}


@router.get("/groups/{number}", responses=json_responses(_MEMBERS))
async def faces_of_group(
    _: ReadCaller, service: ServiceDep, number: Number, limit: Limit = 100, offset: Offset = 0
) -> dict[str, object]:
    """Return the faces of a group, most typical first, with their photos, boxes and thumbnails."""
    return await service.lookups.run(_list_members, service, number, limit, offset)


@router.post("/groups/{number}", responses=json_responses(command("people-name")))
async def name_group(_: TeachCaller, service: ServiceDep, number: Number, body: NameBody) -> dict[str, object]:
    """Name a group: its best and most varied faces are enrolled. If two requests are concurrent, one succeeds."""
    return await service.photos.run(_name_group, service, number, body)


def _name_group(service: Service, group_number: int, body: NameBody) -> Record:
    named = service.album.name_group(group_number, body.person, force=body.force, only_unnamed=True, key=body.key)
    client_path = service.folders.client_path
    refused = {
        client_path(path): service.text.api_message(reason.replace(path, client_path(path)))
        for path, reason in named.refused.items()
    }
    return named_group_record(replace(named, enrolled=tuple(map(client_path, named.enrolled)), refused=refused))


def _list_members(service: Service, group_number: int, limit: int, offset: int) -> Record:
    scan_file = service.album.scan_file
    faces = faces_of(scan_file, group_number)
    members = [scan_file.locate_face(face) for face in faces[offset : offset + limit]]
    records = [_member_record(service, photo, photo.faces[index]) for photo, index in members]
    return {"group": group_number, "key": group_key(faces), "faces": records, "total": len(faces), "offset": offset}


def _member_record(service: Service, photo: Photo, face: Face) -> Record:
    url = f"/pictures/faces/{photo.content_hash}/{face.face_number}/{_SIDE}"
    return {
        "image": service.folders.client_path(photo.path),
        "content_hash": photo.content_hash,
        "face": face.face_number,
        "box": [round(edge, 1) for edge in face.box.tolist()],
        "quality": round(face.quality, 3),
        "thumbnail": url if service.folders.contains(photo.path) else None,
    }


@dataclass(frozen=True, slots=True)
class _PhotoQuery:
    """The query for photos, and the part of the list to return."""

    names: list[str]
    period: Period
    any_of: bool
    limit: int
    offset: int


def _find_photos(service: Service, memory: PageMemory, query: _PhotoQuery) -> Record:
    album, end = service.album, query.offset + query.limit
    is_current = True
    if album.count() <= _MAX_IDENTIFIED:
        matches = album.find(query.names, query.period, any_of=query.any_of)
        total, page = len(matches), matches[query.offset : end]
    else:
        person_ids = [service.bank.person(name).id for name in query.names]
        known_photos = memory.overview.find(person_ids, query.period, any_of=query.any_of)
        paths = [photo.path for photo in known_photos[query.offset : end]]
        total, is_current = len(known_photos), memory.overview.is_current
        page = album.find(query.names, query.period, any_of=query.any_of, places=paths) if paths else []
    photos = [service.client_record(found_photo_record(photo)) for photo in page]
    return {"photos": photos, "total": total, "offset": query.offset, "current": is_current}


def _group_record(group: Group) -> Record:
    return {**group_record(group), "key": group.key}


async def _events(states: AsyncIterator[ScanState]) -> AsyncIterator[str]:
    async for state in states:
        yield f"event: {'progress' if state.is_running else 'end'}\ndata: {json.dumps(state.record())}\n\n"
