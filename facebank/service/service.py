"""Shared state of the routes of a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from facebank.service.options import UPLOAD
from facebank.service.photos import RequestContent, read_content

if TYPE_CHECKING:
    from facebank import Album, FaceBank
    from facebank.schemas.records import Record
    from facebank.service.access import Access
    from facebank.service.client_text import ClientText
    from facebank.service.folders import AlbumFolders
    from facebank.service.metrics import Metrics
    from facebank.service.options import ServiceOptions
    from facebank.service.pool import BoundedPool
    from facebank.service.scanning import BackgroundScan

_DIGITS = 3
_MAX_SHOWN = dict.fromkeys(("probability", "stranger_probability"), 0.999)  # nothing is reported as certain
_ROUNDED = frozenset({"similarity", "probability", "stranger_probability", "threshold", "expected_error"})


@dataclass(frozen=True, slots=True)
class Service:
    """The bank of the process, with its thread pools and the parts that all routes share."""

    bank: FaceBank
    options: ServiceOptions
    access: Access
    photos: BoundedPool  # for analyzing photos: one thread per core
    lookups: BoundedPool  # for the gallery only: fast, and not queued behind photos
    metrics: Metrics
    album: Album
    folders: AlbumFolders
    scanning: BackgroundScan
    text: ClientText

    def client_record(self, record: Record) -> Record:
        """Return a record for clients.

        Similarities are rounded to three digits, unless `ServiceOptions.exact`: faces can be reconstructed from many
        exact ones. Photos outside of the album are shown by name only.
        """
        return {key: self._client_value(key, value) for key, value in record.items()}

    def _client_value(self, key: str, value: object) -> object:
        if isinstance(value, dict):
            return self.client_record(value)
        if isinstance(value, list):
            return [self.client_record(item) if isinstance(item, dict) else item for item in value]
        if key in _ROUNDED and isinstance(value, float) and not self.options.exact:
            return min(round(value, _DIGITS), _MAX_SHOWN.get(key, 1.0))
        if key in {"image", "a", "b"} and isinstance(value, str):
            return self.folders.client_path(value.removeprefix(UPLOAD))
        if key in {"error", "detail", "message", "warning"} and isinstance(value, str):
            return self.text.api_message(value)
        return value


async def service_of(request: Request) -> Service:  # async: FastAPI runs other functions in threads
    """Return the service of a request."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(service_of)]


async def content_of(request: Request, service: ServiceDep) -> RequestContent:
    """Return the content of a request."""
    return await read_content(request, service.options.limits)


ContentDep = Annotated[RequestContent, Depends(content_of)]
