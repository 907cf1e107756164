"""Assembly of the service's application."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

import facebank
from facebank.packs import share_cores
from facebank.service.access import Access, GuardedApp
from facebank.service.api import ROUTERS
from facebank.service.api.document import document_of
from facebank.service.client_text import ClientText
from facebank.service.compreface import faces as compreface_faces
from facebank.service.compreface import people as compreface_people
from facebank.service.compreface.errors import CompreFaceErrors
from facebank.service.folders import AlbumFolders
from facebank.service.keys import KeyFile
from facebank.service.limits import BoundedBodies, DrainedRequests
from facebank.service.metrics import CountedApp, Metrics
from facebank.service.page import adding, look_alikes, people, photo, pictures, settings, signing_in, videos, who
from facebank.service.page.memory import PageMemory
from facebank.service.page.rendering import StaticFolder
from facebank.service.pool import BoundedPool
from facebank.service.problems import add_problem_handlers
from facebank.service.scanning import BackgroundScan
from facebank.service.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from facebank import FaceBank
    from facebank.service.options import ServiceOptions

_LOOKUP_THREADS = 8
_PAGES = tuple(
    module.router for module in (adding, look_alikes, people, photo, pictures, settings, signing_in, videos, who)
)
_COMPREFACE = (compreface_faces.router, compreface_people.router)


def make_app(bank: FaceBank, options: ServiceOptions, token: str | None = None) -> FastAPI:
    """Return the ASGI application of a service; the caller closes the bank.

    Parameters
    ----------
    bank
        The bank to serve; its gallery is created if missing.
    options
        The options of the service.
    token
        An additional key with all rights.
    """
    bank.open_gallery(create=True)
    limits = options.limits
    photos = BoundedPool(
        "photos", threads=options.workers, max_pending=limits.waiting, timeout=limits.seconds, context=share_cores
    )
    lookups = BoundedPool("lookups", threads=_LOOKUP_THREADS, max_pending=limits.waiting, timeout=limits.seconds)
    folders, album, keys = AlbumFolders(options.albums), bank.album(), KeyFile.of_gallery(bank.path)
    text = ClientText(folders.paths, (bank.path, album.path, keys.path))
    service = Service(
        bank,
        options,
        Access(options, keys, token),
        photos,
        lookups,
        Metrics(lambda: photos.pending + lookups.pending, lambda: len(bank.gallery.names())),
        album,
        folders,
        BackgroundScan(bank, album, folders, options.workers, text),
        text,
    )
    page = PageMemory(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        bank.preload()
        page.start()
        yield
        await asyncio.to_thread(service.scanning.stop)
        await asyncio.to_thread(page.stop)
        photos.close()
        lookups.close()

    app = FastAPI(
        title="facebank",
        summary="Recognizes people in photos from a few photos of each.",
        version=facebank.__version__,
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from other sites
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service, app.state.page = service, page
    for router in (*ROUTERS, *_COMPREFACE, *_PAGES):
        app.include_router(router)
    app.mount("/static", StaticFolder())
    app.openapi = document_of(app)  # type: ignore[method-assign]  # documented by FastAPI
    add_problem_handlers(app)
    app.add_middleware(BoundedBodies, limits=limits)  # the last added is the outermost
    app.add_middleware(GuardedApp, access=service.access, text=text)
    app.add_middleware(CompreFaceErrors)
    app.add_middleware(CountedApp, metrics=service.metrics)
    app.add_middleware(DrainedRequests)
    return app
