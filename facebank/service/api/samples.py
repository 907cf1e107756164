"""Routes for samples: thumbnails and removal."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header, Response

from facebank.album.copies import copies_of
from facebank.schemas.records import removed_sample_record
from facebank.service.access import ReadCaller, TeachCaller
from facebank.service.api.bodies import DryRun, Number
from facebank.service.api.document import PROBLEMS, command, json_responses
from facebank.service.page.pictures import reencode
from facebank.service.problems import RequestError
from facebank.service.service import ServiceDep

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.schemas.records import Record

router = APIRouter(prefix="/api/v1/samples", tags=["samples"])

_SIDE = 256  # pixels; the gallery's thumbnails are smaller
_CACHE_HEADERS = {"Cache-Control": "private, no-cache"}  # revalidated each time, because a sample may be forgotten
_PICTURE = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/{number}/thumbnail",
    response_class=Response,
    responses={
        200: {"description": "A small JPEG without metadata.", "content": _PICTURE},
        304: {"description": "Not modified (``If-None-Match``)."},
        **PROBLEMS,
    },
)
async def thumbnail(
    _: ReadCaller, service: ServiceDep, number: Number, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Return the thumbnail of a sample, re-encoded."""
    jpeg = await service.lookups.run(_read_thumbnail, service.bank.gallery, number)
    etag = f'"{hashlib.sha256(jpeg).hexdigest()[:32]}"'
    headers = {**_CACHE_HEADERS, "ETag": etag}
    if if_none_match == etag:
        return Response(status_code=304, headers=headers)
    return Response(await service.lookups.run(reencode, jpeg, _SIDE), media_type="image/jpeg", headers=headers)


@router.delete("/{number}", responses=json_responses(command("people-remove-sample")))
async def remove_sample(
    _: TeachCaller, service: ServiceDep, number: Number, dry_run: DryRun = False
) -> dict[str, object]:
    """Remove a sample permanently; keeps its person."""
    return await service.lookups.run(_remove, service.bank.gallery, number, dry_run=dry_run)


def _read_thumbnail(gallery: Gallery, sample_id: int) -> bytes:
    gallery.sample(sample_id)
    jpeg = gallery.thumbnail(sample_id)
    if jpeg is None:
        raise RequestError(404, "NoThumbnail", f"sample {sample_id} was enrolled without a thumbnail")
    return jpeg


def _remove(gallery: Gallery, sample_id: int, *, dry_run: bool) -> Record:
    gallery.sample(sample_id)
    copies = copies_of(gallery)
    return removed_sample_record(sample_id, copies, None if dry_run else gallery.remove_sample(sample_id))
