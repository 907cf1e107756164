"""The routes below ``/api/v1``, one module per subject."""

from facebank.service.api import albums, decisions, people, recognition, samples, system

ROUTERS = (
    recognition.router,
    people.router,
    samples.router,
    decisions.router,
    albums.router,
    system.router,
)

__all__ = ["ROUTERS"]
