"""The OpenAPI document: schemas of responses and of requests, problem details and keys.

Responses shared with a command are described by that command's JSON Schema (`facebank.schemas`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from facebank.schemas import load
from facebank.service.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from fastapi import FastAPI

Schema = dict[str, Any]

_RESPONSE = "x-response"
_SCHEMAS = "#/components/schemas/"
_BASE64 = {
    "oneOf": [
        {"type": "string", "description": "The file in base64; the prefix ``data:image/jpeg;base64,`` is allowed."},
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "data": {"type": "string", "description": "base64"}},
            "required": ["data"],
        },
    ]
}
_FILE = {"type": "string", "format": "binary"}
_PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {"type": "string", "description": "``urn:facebank:error:`` and the code"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "description": "for programs: an error of facebank's Python API, or of the service"},
        "detail": {"type": "string", "description": "for people: what is wrong and what to do"},
    },
    "required": ["type", "title", "status", "code", "detail"],
}
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of ``facebank serve keys``."},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key, in another header."},
}

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}


def command(name: str) -> Schema:
    """Return a reference to the JSON Schema of a command."""
    return {"$ref": f"{_SCHEMAS}{name}"}


def fields_of(name: str, *excluded: str) -> dict[str, Schema]:
    """Return the properties of a command's JSON Schema, without some."""
    properties: dict[str, Schema] = load(name)["properties"]
    return {key: value for key, value in properties.items() if key not in excluded}


def object_of(**properties: Schema) -> Schema:
    """Return the schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def list_of(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def page_of(**items: Schema) -> Schema:
    """Return the schema of a part of a list."""
    return object_of(**{name: list_of(schema) for name, schema in items.items()}, total=NUMBER, offset=NUMBER)


def json_responses(schema: Schema, *statuses: int, description: str = "Done.") -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route: a JSON response, with status 200 unless others are given, and problems."""
    content = {"application/json": {"schema": {_RESPONSE: schema}}}
    return {status: {"description": description, "content": content} for status in statuses or (200,)} | PROBLEMS


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": {_RESPONSE: command("problem")}}}}
    for status, description in (
        ("4XX", "The request was rejected; see ``code`` and ``detail``."),
        ("5XX", "The service is busy (503, with ``Retry-After``), its disk is full (507), or has an internal error."),
    )
}


def photo_body(
    names: Collection[str] = ("photos",),
    fields: dict[str, Schema] | None = None,
    *,
    required_fields: Collection[str] = (),
) -> dict[str, Any]:
    """Return `openapi_extra` of a route that takes photos in a form, in JSON, or as the body.

    Parameters
    ----------
    names
        Fields of single photos; ``photos`` for several.
    fields
        Other fields.
    required_fields
        Names of required fields; with any, a photo cannot be the body.
    """
    others = fields or {}
    single, has_list = [name for name in names if name != "photos"], "photos" in names
    form = {**dict.fromkeys(single, _FILE), **({"photos": list_of(_FILE)} if has_list else {}), **others}
    json_body = {**dict.fromkeys(single, _BASE64), **({"photos": list_of(_BASE64)} if has_list else {}), **others}
    required = [*([] if has_list and len(names) > 1 else names), *required_fields]
    content: dict[str, Any] = {
        media_type: {"schema": {"type": "object", "properties": properties, "required": required}}
        for media_type, properties in (("multipart/form-data", form), ("application/json", json_body))
    }
    if has_list and not required_fields:
        content["image/*"] = {"schema": _FILE}
    return {"requestBody": {"required": True, "content": content}}


def document_of(app: FastAPI) -> Callable[[], Schema]:
    """Return a function that creates the OpenAPI document of an application once."""

    def document() -> Schema:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    summary=app.summary,
                    description=app.description,
                    routes=app.routes,
                    tags=app.openapi_tags,
                )
            )
        return app.openapi_schema

    return document


def _complete(document: Schema) -> Schema:
    needs_key: list[Schema] = [{"bearer": []}, {"key": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path == "/api/v1/health" else [*needs_key, {}]  # {}: no key
    completed: Schema = _replace_responses(document)
    components = completed.setdefault("components", {})
    components["securitySchemes"] = _KEYS
    schemas = components.setdefault("schemas", {})
    schemas["problem"] = _PROBLEM
    for name in sorted(_command_names(completed) - schemas.keys()):
        schemas[name] = {key: value for key, value in load(name).items() if key != "$schema"}
    components["schemas"] = dict(sorted(schemas.items()))
    return completed


def _replace_responses(part: Any) -> Any:
    """Replace FastAPI's derived response schemas with those given by the routes."""
    if isinstance(part, dict):
        if _RESPONSE in part:
            return _replace_responses(part[_RESPONSE])
        return {key: _replace_responses(value) for key, value in part.items()}
    return [_replace_responses(item) for item in part] if isinstance(part, list) else part


def _command_names(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"].removeprefix(_SCHEMAS)} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(_command_names, part.values()))
    return set().union(*map(_command_names, part)) if isinstance(part, list) else set()
