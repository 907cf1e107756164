"""Photos in requests: in a form, as the body, or as base64 in JSON."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from facebank.service.options import UPLOAD
from facebank.service.problems import RequestError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from starlette.requests import Request

    from facebank.service.options import Limits

_MAX_NAME_LENGTH = 200
_MAX_FIELDS = 50
_MAX_FIELD_BYTES = 10_000
_DATA_URL_PREFIX = re.compile(r"^data:[\w.+-]+/[\w.+-]+;base64,")


class UploadedPhoto(io.BytesIO):
    """The bytes of a photo, with the name given by the client."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = UPLOAD + (printable(re.split(r"[\\/]", name)[-1])[:_MAX_NAME_LENGTH] or "photo")


class RequestContent:
    """The content of a request: photos by field name, and other fields."""

    def __init__(self) -> None:
        self.photos: dict[str, list[UploadedPhoto]] = {}
        self.fields: dict[str, Any] = {}

    def all_photos(self) -> list[UploadedPhoto]:
        """Return all photos in the order of the request; raises `RequestError` (400) if there are none."""
        uploads = [upload for uploads in self.photos.values() for upload in uploads]
        if not uploads:
            raise RequestError(400, "NoPhoto", "send a photo: as the body, as a part of a form, or as base64 in JSON")
        return uploads

    def one_photo(self) -> UploadedPhoto:
        """Return the only photo; raises `RequestError` (400) for none or several."""
        first, *others = self.all_photos()
        if others:
            raise RequestError(400, "SeveralPhotos", f"the request has {len(others) + 1} photos: send exactly one")
        return first

    def text(self, name: str) -> str | None:
        """Return a text field, or None if missing; raises `RequestError` (422) for another type."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            raise RequestError(422, "InvalidValue", f"{name}: expected text")
        return value

    def number(self, name: str) -> int | None:
        """Return an integer field, or None if missing or empty; raises `RequestError` (422) for other values."""
        value = self.fields.get(name)
        if value in (None, ""):
            return None
        if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,9}", str(value)):
            raise RequestError(422, "InvalidValue", f"{name}: expected an integer")
        return int(value)

    def flag(self, name: str) -> bool:
        """Return a boolean field, False if missing; raises `RequestError` (422) for other values."""
        value = self.fields.get(name, False)
        if isinstance(value, str) and value.lower() in {"", "true", "false"}:
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise RequestError(422, "InvalidValue", f"{name}: expected true or false")
        return value


async def read_content(request: Request, limits: Limits) -> RequestContent:
    """Read the content of a request, whose size was checked before.

    A form has photos as files and other fields as text. JSON is an object whose ``photos`` are a list of base64 or of
    objects with ``name`` and ``data``; ``a``, ``b``, ``photo`` and ``file`` may each be a single photo. Any other
    content is one photo, named by the header ``X-Photo-Name``.

    Raises
    ------
    RequestError
        The content cannot be parsed (400), has more photos than `limits` allow (413), or has invalid values (422).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        content = await _parse_form(request, limits)
    elif media_type == "application/json":
        content = _parse_json(await request.body())
    else:
        content = RequestContent()
        data = await request.body()
        if data:
            content.photos["photo"] = [UploadedPhoto(data, request.headers.get("x-photo-name", "photo"))]
    count = sum(map(len, content.photos.values()))
    if count > limits.photos:
        raise RequestError(
            413, "TooMany", f"the request has {count} photos, the limit is {limits.photos}: send several requests"
        )
    return content


async def _parse_form(request: Request, limits: Limits) -> RequestContent:
    content = RequestContent()
    try:
        async with request.form(
            max_files=limits.photos + 1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
        ) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    photo = UploadedPhoto(await value.read(), value.filename or "photo")
                    content.photos.setdefault(name, []).append(photo)
                else:
                    content.fields[name] = value
    except HTTPException as error:  # raised by Starlette for a form that it cannot parse
        raise RequestError(400, "FormNotUnderstood", f"the form cannot be read: {printable(error.detail)}") from error
    return content


def _parse_json(body: bytes) -> RequestContent:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(
            400, "JsonNotUnderstood", "the body is not JSON: send a JSON object, or another Content-Type"
        ) from error
    if not isinstance(values, dict):
        raise RequestError(422, "InvalidValue", "the body is JSON but not an object: send an object with the fields")
    content = RequestContent()
    for name, value in values.items():
        if name == "photos":
            if not isinstance(value, list):
                raise RequestError(422, "InvalidValue", "photos: expected a list")
            content.photos[name] = [_decode(f"photo {number}", item) for number, item in enumerate(value, 1)]
        elif name in {"a", "b", "photo", "file", "source_image", "target_image"}:
            content.photos[name] = [_decode(name, value)]
        else:
            content.fields[name] = value
    return content


def _decode(label: str, value: object) -> UploadedPhoto:
    name, text = (value.get("name", label), value.get("data")) if isinstance(value, dict) else (label, value)
    if not isinstance(text, str) or not isinstance(name, str):
        raise RequestError(422, "InvalidValue", f"{label}: expected base64, or an object with name and data")
    try:
        data = base64.b64decode(_DATA_URL_PREFIX.sub("", text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(422, "InvalidValue", f"{label}: not valid base64") from error
    return UploadedPhoto(data, name)
