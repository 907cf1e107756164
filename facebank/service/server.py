"""The server of a service: listening address, start and graceful shutdown."""

from __future__ import annotations

import ipaddress
import resource
import signal
import socket
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import uvicorn

from facebank.errors import ServiceError
from facebank.service.connections import BoundedHttpConnection, ConnectionLimit
from facebank.storage.text import printable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from facebank.service.options import Limits, ServiceOptions
    from facebank.service.service import Service

_BACKLOG = 2_048  # connections waiting to be accepted
_ACCEPT_BATCH = 64  # connections accepted per loop iteration
_MAX_OPEN_FILES = 4_096  # if permitted
_KEEP_ALIVE_SECONDS = 15
_SHUTDOWN_SECONDS = 20  # to finish requests when the service is stopped
_ROUTE_TARGETS = {  # documentation addresses, then home networks, which are routed without the Internet
    socket.AF_INET: ("198.51.100.1", "192.168.1.1", "10.0.0.1", "172.16.0.1"),
    socket.AF_INET6: ("2001:db8::1", "fd00::1"),
}


def listen(options: ServiceOptions) -> socket.socket:
    """Return a socket bound to the address of a service; raises `ServiceError` if that fails."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host.strip("[]"), options.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        address = f"{options.host} port {options.port}"
        advice = "choose another port with --port" if options.port else "choose another address with --host"
        raise ServiceError(f"{printable(address)} cannot be used ({error.strerror}): {advice}") from error
    # inherited by connections; asyncio does not set it here, and Nagle's algorithm would delay each response
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(options: ServiceOptions, port: int) -> str:
    """Return the URL of a service; this machine's own address if it listens on all interfaces."""
    host = options.host.strip("[]")
    try:
        is_wildcard = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        is_wildcard = not host
    if is_wildcard:
        host = _own_address(socket.AF_INET6 if ":" in host else socket.AF_INET)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _own_address(family: socket.AddressFamily) -> str:
    """Return this machine's address in the network, or loopback; sends no packets."""
    for target in _ROUTE_TARGETS[family]:
        with socket.socket(family, socket.SOCK_DGRAM) as probe_socket:
            try:
                probe_socket.connect((target, 9))  # only selects a route
            except OSError:
                continue
            address: str = probe_socket.getsockname()[0]
            return address
    return "::1" if family is socket.AF_INET6 else "127.0.0.1"


class Server(uvicorn.Server):
    """A server with graceful shutdown on Ctrl-C or SIGTERM.

    Parameters
    ----------
    app
        The application.
    on_start
        Called when requests are accepted.
    """

    def __init__(self, app: FastAPI, on_start: Callable[[], None] | None = None) -> None:
        limits: Limits = app.state.service.options.limits
        super().__init__(
            uvicorn.Config(
                app,
                log_level="error",  # clients' errors are not logged
                access_log=False,  # it would reveal who searched for whom
                server_header=False,
                ws="none",
                http=cast("type[asyncio.Protocol]", partial(BoundedHttpConnection, ConnectionLimit(limits))),
                loop="asyncio",
                proxy_headers=False,
                backlog=_ACCEPT_BATCH,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
        )
        self._on_start = on_start
        self._service: Service = app.state.service

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the process is stopped."""
        _raise_file_limit()
        with _survive_stop_signal():
            super().run(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)  # asyncio also uses `backlog` for this
        if self.started and self._on_start is not None:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish requests in progress, and cancel a scan."""
        self._service.scanning.end()
        await super().shutdown(sockets)


def _raise_file_limit() -> None:
    """Raise the limit of open files as far as permitted, because many connections would reach it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(_MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


@contextmanager
def _survive_stop_signal() -> Iterator[None]:
    """Prevent the process from being killed by the stop signal, which uvicorn raises again after shutdown."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
