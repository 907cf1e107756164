"""Pictures of samples, photos and faces, re-encoded to remove metadata."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import APIRouter, Path, Request

from facebank.album.pictures import face_picture, photo_picture
from facebank.media import encode_thumbnail
from facebank.media.reading import read_photo_bytes
from facebank.service.access import ReadCaller
from facebank.service.page.memory import MISSING_PHOTO, ContentHash, MemoryDep
from facebank.service.page.rendering import not_modified, picture_response
from facebank.service.problems import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi.responses import Response

    from facebank.service.page.memory import PageMemory

router = APIRouter(prefix="/pictures", include_in_schema=False)


_SAMPLE_SIDE = 128
_PHOTO_SIDES, _FACE_SIDES = (320, 640, 1600), (128, 320)


@router.get("/samples/{sample_id}")
async def sample_picture(
    request: Request, _: ReadCaller, memory: MemoryDep, sample_id: Annotated[int, Path(ge=0, le=2**62)]
) -> Response:
    """Return the thumbnail of a sample."""
    lookups = memory.service.lookups
    jpeg = await lookups.run(memory.service.bank.gallery.thumbnail, sample_id)  # the sample may have been removed
    if jpeg is None:
        raise RequestError(404, "NoPicture", f"sample {sample_id} was removed, or enrolled without a thumbnail")
    etag = f'"sample-{hashlib.sha256(jpeg).hexdigest()}"'
    if request.headers.get("if-none-match") == etag:
        return not_modified(etag)
    return picture_response(await lookups.run(memory.pictures.get, etag, lambda: reencode(jpeg, _SAMPLE_SIDE)), etag)


@router.get("/photos/{content_hash}/{side}")
async def picture_of_photo(
    request: Request, _: ReadCaller, memory: MemoryDep, content_hash: ContentHash, side: int
) -> Response:
    """Return a photo of the album with the requested longer side."""
    _check_side(side, _PHOTO_SIDES)
    etag = f'"photo-{content_hash}-{side}"'
    return await _respond(
        request, memory, content_hash, etag, lambda: photo_picture(memory.photo(content_hash)[1], side)
    )


@router.get("/faces/{content_hash}/{face_number}/{side}")
async def picture_of_face(
    request: Request, _: ReadCaller, memory: MemoryDep, content_hash: ContentHash, face_number: int, side: int
) -> Response:
    """Return a face of a photo of the album, with a margin."""
    _check_side(side, _FACE_SIDES)
    etag = f'"face-{content_hash}-{face_number}-{side}"'
    return await _respond(
        request,
        memory,
        content_hash,
        etag,
        lambda: face_picture(memory.photo(content_hash)[1], face_number, side),
    )


async def _respond(
    request: Request, memory: PageMemory, content_hash: str, etag: str, make: Callable[[], bytes]
) -> Response:
    if memory.overview.photo(content_hash) is None:
        raise RequestError(404, "NoPhoto", MISSING_PHOTO)
    if request.headers.get("if-none-match") == etag:
        return not_modified(etag)
    return picture_response(await memory.service.photos.run(memory.pictures.get, etag, make), etag)


def _check_side(side: int, sides: tuple[int, ...]) -> None:
    if side not in sides:
        raise RequestError(404, "NoPicture", f"pictures have sides of {', '.join(map(str, sides))} pixels")


def reencode(data: bytes, side: int) -> bytes:
    """Return an untrusted stored picture re-encoded as a JPEG without metadata; `side` is its longer side in pixels."""
    photo = read_photo_bytes(data)
    return encode_thumbnail(photo, np.array([0, 0, photo.width, photo.height], np.float32), side)
