"""Options and limits of a service."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from facebank.packs import usable_cores

MIB = 1 << 20
UPLOAD = "upload:"
"""Prefix of the names of uploaded photos, so that none is a file's path; removed for clients."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on requests and clients."""

    body: int = 64 * MIB  # bytes of a request
    bodies: int = 512 * MIB  # bytes of all concurrent requests; further ones are rejected with 503
    photos: int = 32  # photos of a request
    seconds: float = 60.0  # to answer a request after its last byte
    head_seconds: float = 15.0  # to receive the head of a request after connecting
    upload_seconds: float = 120.0  # to receive the bytes of a request
    unread_seconds: float = 60.0  # without progress in reading the response
    connections: int = 1000  # concurrent, of all clients
    waiting: int = 64  # requests in progress or waiting; further ones are rejected with 503
    requests_a_minute: int = 1200  # per key, or per address without a key
    wrong_keys_a_minute: int = 10  # per address


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The options of a service; see ``facebank serve --help``."""

    host: str = "127.0.0.1"
    port: int = 8470
    albums: tuple[Path, ...] = ()  # folders whose photos may be shown; files outside are never read
    hosts: tuple[str, ...] = ()  # additional allowed host names
    embeddings: bool = False  # whether `embed` is enabled; faces can be reconstructed from embeddings
    exact: bool = False  # whether similarities are not rounded; faces can be reconstructed from many exact ones
    workers: int = field(default_factory=usable_cores)  # photos processed in parallel
    limits: Limits = field(default_factory=Limits)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host) and not self.hosts


def is_loopback(host: str) -> bool:
    """Return whether an address, or a name without a DNS lookup, is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
