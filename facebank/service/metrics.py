"""Prometheus metrics of a service: requests, photos and decisions, without names and addresses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from facebank.types import Photo

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics of a service.

    Parameters
    ----------
    pending
        Returns the number of requests in progress or waiting.
    people
        Returns the number of enrolled people.
    """

    def __init__(self, pending: Callable[[], float], people: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "facebank_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "facebank_request_seconds",
            "Response time.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._photos = Counter("facebank_photos", "Analyzed photos.", ("outcome",), registry=self._registry)
        self._faces = Counter("facebank_faces", "Decisions about faces.", ("decision",), registry=self._registry)
        pending_gauge = Gauge(
            "facebank_requests_under_way", "Requests in progress or waiting.", registry=self._registry
        )
        pending_gauge.set_function(pending)
        people_gauge = Gauge("facebank_people", "People enrolled.", registry=self._registry)
        people_gauge.set_function(people)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_photo(self, photo: Photo) -> None:
        """Count a photo and the decisions about its faces."""
        self._photos.labels("read" if photo.error is None else "unreadable").inc()
        for face in photo.faces:
            if face.decision is not None:
                self._faces.labels(face.decision.value).inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class CountedApp:
    """Counts the requests of an application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def counting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counting_send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.count_request(method, route, status, time.perf_counter() - start)
