"""The role that each route needs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from facebank import FaceBank
from facebank.service import limits
from facebank.service.application import make_app
from facebank.service.keys import KeyFile, Role
from facebank.service.options import Limits, ServiceOptions

from .conftest import NETWORK, Serve, send_raw

ROUTES = {
    None: """
        GET /api/v1/health
        GET /api/v1/openapi.json
        GET /api/v1/static/{path:path}
        GET /sign-in
        POST /sign-in
    """,
    Role.READ: """
        POST /api/v1/identify
        POST /api/v1/verify
        POST /api/v1/detect
        POST /api/v1/embed
        GET /api/v1/people
        GET /api/v1/people/{name:path}
        GET /api/v1/people/{name:path}/samples
        GET /api/v1/samples/{number}/thumbnail
        GET /api/v1/audit
        GET /api/v1/settings
        GET /api/v1/album/scan
        GET /api/v1/album/scan/events
        GET /api/v1/album/find
        GET /api/v1/album/groups
        GET /api/v1/album/groups/{number}
        GET /api/v1/metrics
        POST /api/v1/recognition/recognize
        POST /api/v1/detection/detect
        POST /api/v1/verification/verify
        GET /api/v1/recognition/subjects
        GET /api/v1/recognition/subjects/
        GET /api/v1/recognition/faces
        GET /api/v1/recognition/faces/{image_id}/img
        POST /api/v1/recognition/faces/{image_id}/verify
        GET /
        GET /looking
        GET /people/{person_id}
        GET /look-alikes
        GET /add
        POST /add/ask
        GET /photos/{content_hash}
        GET /photos/{content_hash}/faces/{face_number}/nearest
        GET /pictures/maps/{content_hash}/{face_number}/{sample_id}
        GET /pictures/samples/{sample_id}
        GET /pictures/photos/{content_hash}/{side}
        GET /pictures/faces/{content_hash}/{face_number}/{side}
        GET /pictures/videos/{track_number}
        GET /videos/{content_hash}
        GET /videos/{content_hash}/file
        GET /settings
        POST /sign-out
        POST /who/faces
        POST /who/next
    """,
    Role.TEACH: """
        POST /api/v1/people
        PATCH /api/v1/people/{name:path}
        POST /api/v1/people/{name:path}/photos
        POST /api/v1/people/{name:path}/merge
        POST /api/v1/people/{name:path}/unmerge
        DELETE /api/v1/samples/{number}
        POST /api/v1/feedback
        POST /api/v1/album/groups
        POST /api/v1/album/groups/{number}
        POST /api/v1/recognition/subjects
        PUT /api/v1/recognition/subjects/{subject}
        POST /api/v1/recognition/faces
        POST /api/v1/recognition/faces/delete
        DELETE /api/v1/recognition/faces/{image_id}
        POST /add/enroll
        POST /people/{person_id}/rename
        POST /people/{person_id}/describe
        POST /people/{person_id}/merge
        POST /people/{person_id}/unmerge
        POST /samples/{sample_id}/remove
        POST /photos/{content_hash}/answers
        POST /answers/undo
        GET /who
        POST /who/answers
    """,
    Role.ADMIN: """
        DELETE /api/v1/people/{name:path}
        PATCH /api/v1/settings
        POST /api/v1/album/scan
        DELETE /api/v1/album/scan
        DELETE /api/v1/recognition/subjects
        DELETE /api/v1/recognition/subjects/
        DELETE /api/v1/recognition/subjects/{subject}
        DELETE /api/v1/recognition/faces
        GET /people/{person_id}/copies
        POST /people/{person_id}/forget
        POST /settings
    """,
}
ROLE_OF_ROUTE = {route: role for role, lines in ROUTES.items() for route in map(str.strip, lines.strip().splitlines())}
VALUES = {
    "name:path": "Nobody",
    "subject": "Nobody",
    "image_id": "00000000-0000-8000-8000-000000000000",
    "content_hash": "0" * 64,
    "path:path": "x",
    "side": "320",
}
READS = {route for route in ROLE_OF_ROUTE if route.startswith("GET ")}


def send_request(client: httpx.Client, route: str, **headers: str) -> httpx.Response:
    """Return the response of a route to a request for things that do not exist."""
    method, path = route.split()
    url = re.sub(r"{([^}]+)}", lambda match: VALUES.get(match[1], "999"), path)
    content = None if route in READS else b"{}"
    return client.request(method, url, content=content, headers={"Content-Type": "application/json", **headers})


def test_table_has_every_route(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "new.facebank", device="cpu", threads=1) as bank:
        contexts = list(iter_route_contexts(make_app(bank, ServiceOptions()).routes))
    app_routes = {
        f"{method} {context.path}" for context in contexts for method in (context.methods or ()) if method != "HEAD"
    }
    assert app_routes == set(ROLE_OF_ROUTE)


def test_routes_admit_their_roles_only(serve: Serve, gallery: Path) -> None:
    client, keys = serve(NETWORK), KeyFile.of_gallery(gallery)
    tokens = {role: keys.add(role.name, role) for role in Role}
    for route, needed in ROLE_OF_ROUTE.items():
        if needed is None:
            assert send_request(client, route).status_code not in {403, 500}, route
            continue
        without_key = send_request(client, route)
        is_redirected = without_key.status_code == 303 and without_key.headers["location"].startswith("/sign-in")
        assert without_key.status_code == 401 or is_redirected, route
        assert "Barack" not in without_key.text
        for role in Role:
            response = send_request(client, route, **{"x-api-key": tokens[role]})
            if role < needed:
                assert response.status_code == 403, (route, role, response.text)
                assert needed.name.lower() in response.text
                assert "Barack" not in response.text
            else:
                assert response.status_code != 401, (route, role)
                assert response.status_code != 403 or route == "POST /api/v1/embed", (route, role, response.text)
                assert response.status_code != 500, (route, role, response.text)


def test_body_is_not_read_without_a_key(serve: Serve, gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_DRAIN_PAUSE", 0.01)
    client = serve(NETWORK)
    KeyFile.of_gallery(gallery).add("one", Role.READ)
    for route in ROLE_OF_ROUTE:
        if route in READS or route == "POST /sign-in":
            continue
        head = f"{route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        # The body is never sent, so only a service that does not wait for it responds.
        response = send_raw(str(client.base_url), f"{head}Content-Length: 60000000\r\n\r\n".encode())
        assert b" 401 " in response.splitlines()[0], route


def test_requests_without_a_key_are_limited_in_size(serve: Serve, gallery: Path) -> None:
    client = serve(NETWORK)
    KeyFile.of_gallery(gallery).add("one", Role.READ)
    assert client.post("/sign-in", data={"key": "x" * 20_000}).status_code == 413


@pytest.mark.parametrize("name", ["x-api-key", "Authorization"])
def test_guessing_keys_is_limited(serve: Serve, gallery: Path, name: str) -> None:
    client = serve(replace(NETWORK, limits=Limits(requests_a_minute=10)))
    KeyFile.of_gallery(gallery).add("one", Role.READ)
    codes = [client.get("/api/v1/people", headers={name: f"Bearer {number}"}).status_code for number in range(15)]
    assert codes[:10] == [401] * 10
    assert codes[-1] == 429
