"""Limits on the number and idle time of connections, against clients that do not send or read."""

from __future__ import annotations

import heapq
import ipaddress
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from facebank.service.options import Limits

_MAX_EXCESS = 1_024  # temporary excess of connections until others are dropped
_CHECK_DELAY = 0.05  # seconds; time for a new client to send its request
_IPV6_NETWORK_BITS = 64


class ConnectionLimit:
    """Drops connections above a limit, longest idle first.

    Drops connections of the address with the most connections, so that other clients are not affected. A connection is
    not dropped while its client waits for a response. New ones are rejected only if none can be dropped.

    Parameters
    ----------
    limits
        The largest number of connections, and the timeouts.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._drop_timer: asyncio.TimerHandle | None = None

    def accept(self, connection: BoundedHttpConnection) -> bool:
        """Return whether to accept a new connection; schedules drops if there are too many."""
        excess = len(connection.connections) - self.limits.connections
        if excess > 0 and self._drop_timer is None:
            self._drop_timer = connection.loop.call_later(_CHECK_DELAY, self._drop_excess, connection)
        return excess <= _MAX_EXCESS

    def _drop_excess(self, newest: BoundedHttpConnection) -> None:
        self._drop_timer = None
        connections = cast("set[BoundedHttpConnection]", newest.connections)  # of the server
        excess = len(connections) - self.limits.connections
        if excess <= 0:
            return
        counts: dict[str, int] = defaultdict(int)
        waiting: dict[str, list[BoundedHttpConnection]] = defaultdict(list)
        for connection in connections:
            counts[connection.network] += 1
            if connection.waiting_since is not None:
                waiting[connection.network].append(connection)
        for candidates in waiting.values():
            candidates.sort(key=lambda connection: -(connection.waiting_since or 0.0))
        largest = [(-counts[network], network) for network in waiting]
        heapq.heapify(largest)
        for _ in range(excess):
            if not largest:
                return
            count, network = heapq.heappop(largest)
            waiting[network].pop().transport.abort()
            if waiting[network]:
                heapq.heappush(largest, (count + 1, network))


class BoundedHttpConnection(H11Protocol):
    """A connection that is dropped above the limit, or if its client stops sending a request or reading the response.

    Attributes
    ----------
    network
        The client's address, or the first half of an IPv6 address.
    waiting_since
        Time of the event loop, in seconds, at which the connection began to wait for its client to send a request or
        to read the response; None while the client waits for a response.
    """

    def __init__(self, limit: ConnectionLimit, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limit, self._limits = limit, limit.limits
        self._request_timeout, self._reading_timeout = _Timeout(), _Timeout()
        self.network = ""
        self.waiting_since: float | None = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the timeout for a request."""
        super().connection_made(transport)
        self.network = network_of(self.client[0]) if self.client else ""
        if self._limit.accept(self):
            self._wait_for_request()
        else:
            transport.abort()

    def handle_events(self) -> None:
        """Process received data: a request's head ends the timeout, a partial one starts another."""
        previous_cycle = self.cycle
        try:
            super().handle_events()
        except h11.LocalProtocolError:  # invalid data after the response has started: no other response can be sent
            self.transport.abort()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._request_timeout.end()
        elif not self._request_timeout.is_on and not self.transport.is_closing():
            self._wait_for_request()
        # The wait for the first request began when the client connected: otherwise, a new client that has not sent
        # anything yet would be dropped before older ones that keep sending parts of requests.
        self._record_waiting(is_new=previous_cycle is not None and self.cycle is not previous_cycle)

    def on_response_complete(self) -> None:
        """End the timeout for a request; kept-alive connections have a separate one."""
        self._request_timeout.end()
        self._record_waiting(is_new=True)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Start the timeout for reading by the client."""
        super().pause_writing()
        self._reading_timeout.begin(self.loop.call_later(self._limits.unread_seconds, self.transport.abort))
        self._record_waiting()

    def resume_writing(self) -> None:
        """End the timeout for reading by the client."""
        self._reading_timeout.end()
        self._record_waiting()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all timeouts."""
        self._request_timeout.end()
        self._reading_timeout.end()
        super().connection_lost(exc)

    def _record_waiting(self, *, is_new: bool = False) -> None:
        """Record whether the connection waits for the client, and since when; ``is_new`` restarts the time."""
        cycle = self.cycle
        if (
            cycle is not None
            and not cycle.response_complete
            and not cycle.more_body
            and not self._reading_timeout.is_on
        ):
            self.waiting_since = None
        elif is_new or self.waiting_since is None:
            self.waiting_since = self.loop.time()

    def _wait_for_request(self) -> None:
        self._request_timeout.begin(self.loop.call_later(self._limits.head_seconds, self.transport.abort))


class _Timeout:
    """A timeout that aborts the connection unless ended before."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_on(self) -> bool:
        return self._timer is not None

    def begin(self, timer: asyncio.TimerHandle) -> None:
        self.end()
        self._timer = timer

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None


def network_of(address: str) -> str:
    """Return an IPv4 address, or the first half of an IPv6 address, which may belong to one client."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((int(parsed), _IPV6_NETWORK_BITS), strict=False))
