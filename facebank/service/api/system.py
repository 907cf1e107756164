"""Routes for health and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

import facebank
from facebank.service.access import ReadCaller
from facebank.service.api.document import PROBLEMS, TEXT, json_responses, object_of
from facebank.service.service import ServiceDep

router = APIRouter(prefix="/api/v1", tags=["system"])


@router.get(
    "/health",
    responses=json_responses(object_of(status={"const": "ok"}, version=TEXT, gallery={"enum": ["ok", "unknown"]})),
)
async def health(service: ServiceDep) -> dict[str, object]:
    """Return the health of the service; needs no key, and reveals nothing about people."""
    revision = await service.lookups.run(lambda: service.bank.gallery.revision)
    return {"status": "ok", "version": facebank.__version__, "gallery": "ok" if revision >= 0 else "unknown"}


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": TEXT}}}, **PROBLEMS},
)
async def metrics(_: ReadCaller, service: ServiceDep) -> Response:
    """Return metrics of requests, photos and decisions in Prometheus' text format."""
    text = await service.lookups.run(service.metrics.text)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
