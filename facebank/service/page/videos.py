"""Page of a video: its people and their times, the file for the browser to play, and pictures of its frames.

Sends only files of the album that are unchanged since the scan. A file is opened once, by a path without links that
lead out of the album. Its media type is determined by its first bytes, from a list without pages and scripts.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from facebank.album.scan.rows import FileStamp
from facebank.errors import VideoNotFoundError
from facebank.service.access import ReadCaller
from facebank.service.page.memory import ContentHash, MemoryDep
from facebank.service.page.pictures import reencode
from facebank.service.page.rendering import CACHE_CONTROL, PageRoute, not_modified, page, picture_response
from facebank.service.problems import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import Receive, Scope, Send

    from facebank.album.videos import SeenVideo, Visit
    from facebank.service.page.memory import PageMemory

router = APIRouter(route_class=PageRoute, include_in_schema=False)


_CHUNK_BYTES = 256 << 10
_SIDE = 320
_MAX_SECONDS = 10**7
_HEAD_BYTES = 512
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_MISSING = "the album no longer has this video, or its file has changed: look through the photos again"
# media types by first bytes: ISO/IEC 14496-12, Matroska, AVI, MPEG-2, ASF
_PLAYABLE = (
    ("video/quicktime", re.compile(rb".{4}ftypqt  ", re.DOTALL)),
    ("video/mp4", re.compile(rb".{4}ftyp(?!avi[fs]|he[iv][cxms]|m[is]f1|crx )", re.DOTALL)),
    ("video/quicktime", re.compile(rb".{4}(moov|mdat|wide|free|skip|pnot)", re.DOTALL)),
    ("video/webm", re.compile(rb"\x1a\x45\xdf\xa3.{0,64}\x42\x82.webm", re.DOTALL)),
    ("video/x-matroska", re.compile(rb"\x1a\x45\xdf\xa3", re.DOTALL)),
)
_DOWNLOADABLE = (
    ("video/x-msvideo", re.compile(rb"RIFF.{4}AVI ", re.DOTALL)),
    ("video/mpeg", re.compile(rb"\0\0\x01[\xba\xb3]", re.DOTALL)),
    ("video/mp2t", re.compile(rb"(?:.{4})?\x47.{187}(?:.{4})?\x47", re.DOTALL)),
    ("video/x-ms-wmv", re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", re.DOTALL)),
)


@dataclass(frozen=True, slots=True)
class _Person:
    id: int
    name: str
    best: Visit
    visits: list[Visit]


@router.get("/videos/{content_hash}")
async def video_page(
    caller: ReadCaller,
    memory: MemoryDep,
    content_hash: ContentHash,
    at: Annotated[float, Query(ge=0, le=_MAX_SECONDS, allow_inf_nan=False)] = 0.0,
) -> Response:
    """Show a video from a given second on, and its people."""
    video, people, is_playable = await memory.service.lookups.run(_read_video, memory, content_hash)
    return page("video.html", caller, current_path="", video=video, people=people, is_playable=is_playable, at=at)


@router.get("/videos/{content_hash}/file")
async def video_file(request: Request, _: ReadCaller, memory: MemoryDep, content_hash: ContentHash) -> Response:
    """Send a video's file, or a range of its bytes."""
    opened = await memory.service.lookups.run(_OpenVideo, memory, content_hash)
    try:
        return _respond(request, opened, content_hash)
    except BaseException:
        opened.close()
        raise


@router.get("/pictures/videos/{track_number}")
async def video_picture(
    request: Request, _: ReadCaller, memory: MemoryDep, track_number: Annotated[int, Path(ge=0, le=2**62)]
) -> Response:
    """Return the frame with the best face of a track."""
    lookups = memory.service.lookups
    jpeg = await lookups.run(_stored_picture, memory, track_number)
    if jpeg is None:
        raise RequestError(
            404, "NoPicture", "the album no longer has this picture of a video: go back and reload the page"
        )
    etag = f'"video-{hashlib.sha256(jpeg).hexdigest()}"'
    if request.headers.get("if-none-match") == etag:
        return not_modified(etag)
    return picture_response(await lookups.run(memory.pictures.get, etag, lambda: reencode(jpeg, _SIDE)), etag)


def _stored_picture(memory: PageMemory, track_number: int) -> bytes | None:
    """Return the picture of a track whose person is still named."""
    names = memory.service.bank.gallery.names()
    is_named = memory.videos.has_track(track_number, names)
    return memory.service.album.scan_file.videos.picture(track_number) if is_named else None


def _read_video(memory: PageMemory, content_hash: str) -> tuple[SeenVideo, list[_Person], bool]:
    with _OpenVideo(memory, content_hash) as opened:
        video, is_playable = opened.video, opened.is_playable
    names = memory.service.bank.gallery.names()
    person_ids = dict.fromkeys(visit.person_id for visit in video.visits if visit.person_id in names)
    people = [
        _Person(person_id, names[person_id], video.best_of(person_id), video.visits_of(person_id))
        for person_id in person_ids
    ]
    return video, people, is_playable


class _OpenVideo:
    """An open file of a video, unchanged since the scan; raises `VideoNotFoundError` otherwise."""

    def __init__(self, memory: PageMemory, content_hash: str) -> None:
        video = memory.videos.video(content_hash)
        if video is None or not memory.service.folders.contains(video.path):
            raise VideoNotFoundError(_MISSING)
        try:
            with memory.service.folders.named.open_file(video.path) as file:
                self.file = os.fdopen(os.dup(file.fileno()), "rb")  # the parent folders are closed
        except (OSError, ValueError) as error:
            raise VideoNotFoundError(_MISSING) from error
        try:
            status, head = os.fstat(self.file.fileno()), self.file.read(_HEAD_BYTES)
        except OSError as error:
            self.close()
            raise VideoNotFoundError(_MISSING) from error
        self.video = video
        self.size = status.st_size
        self.is_playable = _type_of(head, _PLAYABLE) is not None
        self.media_type = _type_of(head, _PLAYABLE + _DOWNLOADABLE)
        if FileStamp(status.st_size, status.st_mtime_ns) != video.state or self.media_type is None:
            self.close()
            raise VideoNotFoundError(_MISSING)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> _OpenVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        """Yield a part of the file in chunks; raises OSError if the file was truncated."""
        await run_in_threadpool(self.file.seek, start)
        while length > 0:
            chunk = await run_in_threadpool(self.file.read, min(length, _CHUNK_BYTES))
            if not chunk:
                raise OSError("the file was truncated while it was being sent")
            length -= len(chunk)
            yield chunk


class _FileResponse(StreamingResponse):
    """Sends a part of an open file, and closes it even if the client disconnects."""

    def __init__(self, opened: _OpenVideo, part: range, status: int, headers: dict[str, str]) -> None:
        super().__init__(opened.chunks(part.start, len(part)), status, headers, media_type=opened.media_type)
        self._close: Callable[[], None] = opened.close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


def _respond(request: Request, opened: _OpenVideo, content_hash: str) -> Response:
    etag = f'"{content_hash}"'
    headers = {"Cache-Control": CACHE_CONTROL, "ETag": etag, "Accept-Ranges": "bytes"}
    if not opened.is_playable:
        headers["Content-Disposition"] = "attachment"
    header = request.headers.get("range")
    if header is None or request.headers.get("if-range", etag) != etag:
        if request.headers.get("if-none-match") == etag:
            opened.close()
            return not_modified(etag)
        headers["Content-Length"] = str(opened.size)
        return _FileResponse(opened, range(opened.size), 200, headers)
    part = parse_range(header, opened.size)
    if part is None:
        opened.close()
        headers["Content-Range"] = f"bytes */{opened.size}"
        return Response(status_code=416, headers=headers)
    headers["Content-Length"] = str(len(part))
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{opened.size}"
    return _FileResponse(opened, part, 206, headers)


def parse_range(header: str, size: int) -> range | None:
    """Return the bytes requested by a ``Range`` header; None unless it is one satisfiable range."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:  # a suffix range
        part = range(max(0, size - int(last)), size)
    else:
        part = range(int(first), min(size, int(last) + 1) if last else size)
    return part or None


def _type_of(head: bytes, types: tuple[tuple[str, re.Pattern[bytes]], ...]) -> str | None:
    return next((media_type for media_type, signature in types if signature.match(head)), None)
