"""Page to sign in with a key."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from facebank.service.access import SESSION_COOKIE, SESSION_SECONDS, ReadCaller
from facebank.service.page.rendering import PageRoute, page
from facebank.service.problems import RequestError
from facebank.service.service import ServiceDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_OWN_PAGE = re.compile(r"/(?:[\w.~%!$&'()*+,;=:@?-][\w.~%!$&'()*+,;=:@?/-]{0,1999})?", re.ASCII)
"""A path of this service: browsers treat two slashes, or a backslash, as the start of another site's name."""


@router.get("/sign-in")
async def ask_for_key(request: Request, to: str = "/") -> Response:
    """Show the sign-in form, unless there is a session already."""
    if request.scope["state"]["caller"] is not None:
        return RedirectResponse(_local_target(to), 303)
    return page("sign_in.html", None, is_wrong=False, wait=None, to=_local_target(to))


@router.post("/sign-in")
async def sign_in(
    request: Request, service: ServiceDep, key: Annotated[str, Form(max_length=1000)], to: Annotated[str, Form()] = "/"
) -> Response:
    """Start a session with a cookie that is not accessible to scripts and other sites."""
    try:
        session = service.access.sign_in(key.strip(), request.client.host if request.client else "")
    except RequestError as error:
        wait = error.headers["Retry-After"]
        rejection = page("sign_in.html", None, status=error.status, is_wrong=True, wait=wait, to=_local_target(to))
        rejection.headers.update(error.headers)
        return rejection
    if session is None:
        return page("sign_in.html", None, status=401, is_wrong=True, wait=None, to=_local_target(to))
    service.access.sign_out(request.cookies.get(SESSION_COOKIE, ""))  # end the previous session
    response = RedirectResponse(_local_target(to), 303)
    is_secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    response.set_cookie(
        SESSION_COOKIE, session, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=is_secure
    )
    return response


@router.post("/sign-out")
async def sign_out(request: Request, _: ReadCaller, service: ServiceDep) -> dict[str, bool]:
    """End the session."""
    service.access.sign_out(request.cookies.get(SESSION_COOKIE, ""))
    return {"signed_out": True}


def _local_target(to: str) -> str:
    """Return the target after sign-in: the requested page, or the first one if it is not a page of this service."""
    return to if _OWN_PAGE.fullmatch(to) and not to.startswith("/sign-in") else "/"
