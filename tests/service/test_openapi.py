"""The OpenAPI schema is committed, complete, and matches the responses."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from facebank import FaceBank
from facebank.service.application import make_app
from facebank.service.options import Limits, ServiceOptions

from .conftest import BARACK, EILEEN, run_service

SNAPSHOT = Path(__file__).with_name("openapi.json")
RENEW = "FACEBANK_RENEW_OPENAPI"
EXAMPLES = int(os.environ.get("FACEBANK_FUZZ_EXAMPLES", "25"))
"""Number of generated requests for each route; a run with thousands finds more."""

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The OpenAPI schema of a service."""
    with FaceBank.open(tmp_path_factory.mktemp("document") / "new.facebank", device="cpu", threads=1) as bank:
        schema: dict[str, Any] = make_app(bank, ServiceOptions()).openapi()
    schema["info"]["version"] = "VERSION"
    return schema


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each operation with its path and method."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_schema_matches_the_committed_file(document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if RENEW in os.environ:
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8"), (
        f"the OpenAPI schema has changed: '{RENEW}=1 python -m pytest tests/service/test_openapi.py -k committed' "
        "renews tests/service/openapi.json; review the difference before you commit it"
    )


def test_every_route_is_documented(document: dict[str, Any]) -> None:
    operation_ids = set()
    for path, method, operation in operations(document):
        route = f"{method} {path}"
        assert operation["summary"], route
        assert operation["description"], route
        assert operation["tags"], route
        assert operation["operationId"] not in operation_ids, route
        operation_ids.add(operation["operationId"])
        (content,) = (
            content
            for status, response in operation["responses"].items()
            if status.startswith("2") and status != "201"
            for content in response["content"].values()
        )
        assert content["schema"].keys() & {"$ref", "type"}, route
        for status in ("4XX", "5XX"):
            problem = operation["responses"][status]["content"]["application/problem+json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/problem"}, route
        assert set(operation["responses"]) <= {"200", "201", "202", "304", "4XX", "5XX"}, route
        assert (operation["security"] == []) is (path == "/api/v1/health"), route
    assert len(operation_ids) == 30
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}


def test_photo_routes_document_their_request_bodies(document: dict[str, Any]) -> None:
    content_types = {
        path: set(operation["requestBody"]["content"])
        for path, _, operation in operations(document)
        if "multipart/form-data" in operation.get("requestBody", {}).get("content", {})
    }
    photo_types, form_types = (
        {"multipart/form-data", "application/json", "image/*"},
        {"multipart/form-data", "application/json"},
    )
    assert content_types == {
        "/api/v1/identify": photo_types,
        "/api/v1/detect": photo_types,
        "/api/v1/embed": photo_types,
        "/api/v1/people/{name}/photos": photo_types,
        "/api/v1/verify": form_types,
        "/api/v1/people": form_types,
        "/api/v1/feedback": form_types,
    }


@pytest.fixture(scope="module")
def api(demo_gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    """The schema of a running service that accepts all requests."""
    folder = tmp_path_factory.mktemp("fuzzed")
    gallery = folder / "family.facebank"
    shutil.copy(demo_gallery, gallery)
    album = folder / "Pictures"
    album.mkdir()
    shutil.copy(BARACK, album)
    options = ServiceOptions(albums=(album,), embeddings=True, limits=Limits(requests_a_minute=1_000_000))
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as scan:
        scan.scan(album)
        scan.cluster()
        with run_service(bank, options) as url:
            project = ProjectConfig(base_url=url, request_timeout=60.0)
            config = SchemathesisConfig(projects=ProjectsConfig(default=project))
            yield schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json", config=config)


def committed_routes() -> list[tuple[str, str]]:
    """Return the routes of the committed schema."""
    return [(path, method) for path, method, _ in operations(json.loads(SNAPSHOT.read_text(encoding="utf-8")))]


@pytest.mark.parametrize(("path", "method"), committed_routes())
def test_responses_match_the_schema(api: schemathesis.BaseSchema, path: str, method: str) -> None:
    httpx.post(f"{api.config.base_url}/api/v1/people", data={"name": "Eileen"}, files={"photo": EILEEN.read_bytes()})
    route = api[path][method]
    valid, invalid = (route.as_strategy(generation_mode=mode) for mode in GenerationMode)
    existing = route.as_strategy(path_parameters={"name": "Eileen", "number": 1}) if "{" in path else valid

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=valid | invalid | existing)
    def send_requests(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS)

    send_requests()
