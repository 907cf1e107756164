"""Rendering of pages from templates with autoescaping, and of error pages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.staticfiles import StaticFiles

import facebank
from facebank.errors import FacebankError, InvalidNameError
from facebank.service.keys import Role
from facebank.service.page.wording import percent, round_up_time, sentence
from facebank.service.problems import problem_of, status_of
from facebank.storage.dates import format_photo_date
from facebank.storage.text import format_video_time, pluralize, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from os import PathLike

    from fastapi import Request
    from starlette.types import Scope

    from facebank.service.access import Caller
    from facebank.service.service import Service
    from facebank.types import Face, Photo

_FOLDER = Path(__file__).resolve().parent
_PAGES = (
    ("/", "People", "People"),
    ("/who", "Who is this?", "Who?"),
    ("/look-alikes", "Look-alikes", "Alike"),
    ("/add", "Add photos", "Add"),
    ("/settings", "Settings", "Settings"),
)
CACHE_CONTROL = "private, no-cache"  # cached by browsers, but revalidated each time


class StaticFolder(StaticFiles):
    """The styles and scripts of the pages."""

    def __init__(self) -> None:
        super().__init__(directory=_FOLDER / "static")

    def file_response(
        self, full_path: str | PathLike[str], stat_result: Any, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return a file that browsers cache and revalidate."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        return response


class PageRoute(APIRoute):
    """A route with errors as HTML pages, and a redirect to sign in if a key is needed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the request handler."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except FacebankError as error:
                service: Service = request.app.state.service
                text = service.text.error_message(error)
                message = text if isinstance(error, InvalidNameError) else sentence(text)
                if request.method not in {"GET", "HEAD"}:
                    return problem_of(error, message)
                status = status_of(error)
                if status == 401:
                    return RedirectResponse(_sign_in_url(request), 303)
                caller: Caller | None = request.scope["state"]["caller"]
                return page("error.html", caller, status=status, message=message)

        return handle


def _sign_in_url(request: Request) -> str:
    """Return the URL of the sign-in page, with the requested page to return to."""
    target = quote(request.scope["path"]) + (f"?{request.url.query}" if request.url.query else "")
    return "/sign-in" if target == "/" else f"/sign-in?{urlencode({'to': target})}"


def page(template: str, caller: Caller | None, *, status: int = 200, **values: object) -> HTMLResponse:
    """Return the HTML response of a template.

    Parameters
    ----------
    template
        File name of the template.
    caller
        The caller; None if not signed in.
    status
        The HTTP status.
    values
        Values for the template.
    """
    html = _TEMPLATES.get_template(template).render(
        caller=caller,
        may_teach=caller is not None and caller.role >= Role.TEACH,
        may_administer=caller is not None and caller.role >= Role.ADMIN,
        version=facebank.__version__,
        navigation=_PAGES,
        status=status,
        **values,
    )
    return HTMLResponse(html, status, {"Cache-Control": CACHE_CONTROL})


def relative_box(face: Face, photo: Photo) -> list[float]:
    """Return left, top, width and height of a face's box as fractions of the photo."""
    left, top, right, bottom = face.box.tolist()
    width, height = max(photo.width, 1), max(photo.height, 1)
    return [left / width, top / height, (right - left) / width, (bottom - top) / height]


def picture_response(jpeg: bytes, etag: str) -> Response:
    """Return the response for a JPEG, which browsers cache and revalidate by its `etag`."""
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": CACHE_CONTROL, "ETag": etag})


def not_modified(etag: str) -> Response:
    """Return the response for a picture that the browser has cached already: status 304."""
    return Response(status_code=304, headers={"Cache-Control": CACHE_CONTROL, "ETag": etag})


_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    pluralize=pluralize,
    percent=percent,
    format_photo_date=format_photo_date,
    format_video_time=partial(format_video_time, with_tenths=False),
    round_up_time=round_up_time,
    printable=printable,
    file_name=lambda path: printable(Path(path).name),
)
