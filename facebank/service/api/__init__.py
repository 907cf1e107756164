"""The routes below ``/api/v1``, one module per subject."""

from facebank.service.api import albums, deciding, people, recognition, samples, system

ROUTERS = (
    recognition.router,
    people.router,
    samples.router,
    deciding.router,
    albums.router,
    system.router,
)

__all__ = ["ROUTERS"]
