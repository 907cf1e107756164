"""Page of a video: its people and their times, the file for the browser to play, and pictures of its frames.

Only files in the album that are unchanged since they were scanned are sent, opened once by a path without links that
lead outside. Their media type is from a closed list, by their first bytes: never a page or a script.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from facebank.album.scan.rows import FileState
from facebank.errors import VideoNotFoundError
from facebank.media import encode_thumbnail
from facebank.media.reading import read_photo_bytes
from facebank.service.access import Reader
from facebank.service.page.memory import MemoryDep
from facebank.service.page.rendering import SECURE, PageRoute, page, picture, unchanged
from facebank.service.problems import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import Receive, Scope, Send

    from facebank.album.videos import SeenVideo, Visit
    from facebank.service.page.memory import PageMemory

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ContentHash = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
_PIECE = 256 << 10
_SIDE = 320
_MOST_SECONDS = 10**7
_HEAD_BYTES = 512
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_GONE = "the album no longer has this video, or its file has changed"
# by their first bytes: ISO/IEC 14496-12, Matroska, AVI, MPEG-2, ASF
_PLAYED = (
    ("video/quicktime", re.compile(rb".{4}ftypqt  ", re.DOTALL)),
    ("video/mp4", re.compile(rb".{4}ftyp(?!avi[fs]|he[iv][cxms]|m[is]f1|crx )", re.DOTALL)),
    ("video/quicktime", re.compile(rb".{4}(moov|mdat|wide|free|skip|pnot)", re.DOTALL)),
    ("video/webm", re.compile(rb"\x1a\x45\xdf\xa3.{0,64}\x42\x82.webm", re.DOTALL)),
    ("video/x-matroska", re.compile(rb"\x1a\x45\xdf\xa3", re.DOTALL)),
)
_SAVED = (
    ("video/x-msvideo", re.compile(rb"RIFF.{4}AVI ", re.DOTALL)),
    ("video/mpeg", re.compile(rb"\0\0\x01[\xba\xb3]", re.DOTALL)),
    ("video/mp2t", re.compile(rb"(?:.{4})?\x47.{187}(?:.{4})?\x47", re.DOTALL)),
    ("video/x-ms-wmv", re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", re.DOTALL)),
)


@dataclass(frozen=True, slots=True)
class _Person:
    number: int
    name: str
    best: Visit
    visits: list[Visit]


@router.get("/videos/{content_hash}")
async def video_page(
    caller: Reader,
    memory: MemoryDep,
    content_hash: ContentHash,
    at: Annotated[float, Query(ge=0, le=_MOST_SECONDS, allow_inf_nan=False)] = 0.0,
) -> Response:
    """Show a video from a given second on, and its people."""
    video, people, plays = await memory.service.look_ups.run(_shown, memory, content_hash)
    return page("video.html", caller, here="", video=video, people=people, plays=plays, at=at)


@router.get("/videos/{content_hash}/file")
async def video_file(request: Request, _: Reader, memory: MemoryDep, content_hash: ContentHash) -> Response:
    """Send a video's file, or a range of its bytes."""
    opened = await memory.service.look_ups.run(_OpenVideo, memory, content_hash)
    try:
        return _sent(request, opened, content_hash)
    except BaseException:
        opened.close()
        raise


@router.get("/pictures/videos/{track}")
async def video_picture(
    request: Request, _: Reader, memory: MemoryDep, track: Annotated[int, Path(ge=0, le=2**62)]
) -> Response:
    """Return the frame with the best face of a track."""
    look_ups = memory.service.look_ups
    stored = await look_ups.run(_stored_picture, memory, track)
    if stored is None:
        raise RequestError(404, "NoPicture", "there is no picture of this moment")

    def made() -> bytes:
        decoded = read_photo_bytes(stored)  # the scan file is untrusted
        whole = np.array([0, 0, decoded.width, decoded.height], np.float32)
        return encode_thumbnail(decoded, whole, _SIDE)

    etag = f'"video-{hashlib.sha256(stored).hexdigest()}"'
    if request.headers.get("if-none-match") == etag:
        return unchanged(etag)
    return picture(await look_ups.run(memory.pictures.get, etag, made), etag)


def _stored_picture(memory: PageMemory, track: int) -> bytes | None:
    """Return the picture of a track whose person is still named."""
    names = memory.service.bank.gallery.names()
    return memory.service.album.scan_file.videos.picture(track) if memory.videos.has_track(track, names) else None


def _shown(memory: PageMemory, content_hash: str) -> tuple[SeenVideo, list[_Person], bool]:
    with _OpenVideo(memory, content_hash) as opened:
        video, plays = opened.video, opened.plays
    names = memory.service.bank.gallery.names()
    numbers = dict.fromkeys(visit.person for visit in video.visits if visit.person in names)
    people = [_Person(number, names[number], video.best_of(number), video.visits_of(number)) for number in numbers]
    return video, people, plays


class _OpenVideo:
    """An open file of a video, unchanged since the scan; raises `VideoNotFoundError` otherwise."""

    def __init__(self, memory: PageMemory, content_hash: str) -> None:
        video = memory.videos.video(content_hash)
        if video is None or not memory.service.folders.contains(video.path):
            raise VideoNotFoundError(_GONE)
        try:
            with memory.service.folders.named.open_file(video.path) as opened:
                self.file = os.fdopen(os.dup(opened.fileno()), "rb")  # the parent folders are closed
        except (OSError, ValueError) as error:
            raise VideoNotFoundError(_GONE) from error
        try:
            status, head = os.fstat(self.file.fileno()), self.file.read(_HEAD_BYTES)
        except OSError as error:
            self.close()
            raise VideoNotFoundError(_GONE) from error
        self.video = video
        self.size = status.st_size
        self.plays = _type_of(head, _PLAYED) is not None
        self.media_type = _type_of(head, _PLAYED + _SAVED)
        if FileState(status.st_size, status.st_mtime_ns) != video.state or self.media_type is None:
            self.close()
            raise VideoNotFoundError(_GONE)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> _OpenVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def pieces(self, start: int, length: int) -> AsyncIterator[bytes]:
        """Yield a part of the file in pieces."""
        await run_in_threadpool(self.file.seek, start)
        while length > 0:
            piece = await run_in_threadpool(self.file.read, min(length, _PIECE))
            if not piece:
                raise OSError("the file became shorter while it was sent")
            length -= len(piece)
            yield piece


class _FileResponse(StreamingResponse):
    """Sends a part of an open file, and closes it even if the client disconnects."""

    def __init__(self, opened: _OpenVideo, part: range, status: int, headers: dict[str, str]) -> None:
        super().__init__(opened.pieces(part.start, len(part)), status, headers, media_type=opened.media_type)
        self._close: Callable[[], None] = opened.close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


def _sent(request: Request, opened: _OpenVideo, content_hash: str) -> Response:
    etag = f'"{content_hash}"'
    headers = {"Cache-Control": SECURE, "ETag": etag, "Accept-Ranges": "bytes"}
    if not opened.plays:
        headers["Content-Disposition"] = "attachment"
    wanted = request.headers.get("range")
    if wanted is None or request.headers.get("if-range", etag) != etag:
        if request.headers.get("if-none-match") == etag:
            opened.close()
            return unchanged(etag)
        headers["Content-Length"] = str(opened.size)
        return _FileResponse(opened, range(opened.size), 200, headers)
    part = part_of(wanted, opened.size)
    if part is None:
        opened.close()
        headers["Content-Range"] = f"bytes */{opened.size}"
        return Response(status_code=416, headers=headers)
    headers["Content-Length"] = str(len(part))
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{opened.size}"
    return _FileResponse(opened, part, 206, headers)


def part_of(wanted: str, size: int) -> range | None:
    """Return the bytes requested by a ``Range`` header; None unless it is one satisfiable range."""
    match = _RANGE.fullmatch(wanted.strip())
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
