"""Responsiveness of the service under 10,000 open connections, and release of their resources.

    python -m benchmarks.robustness.service_crowd --connections 10000 --seconds 30

The connections come from one address, as behind a proxy, without a key: idle, with a partial header, with a partial
body, or without reading the response. Meanwhile one client with a key sends requests on a persistent connection, and
another on new ones. Exits with 1 if a request was not answered, the service logged anything, a file descriptor was left
open, or memory grew by more than ``--growth`` MiB.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import httpx

from benchmarks.robustness.inputs import DEMO_PHOTOS, ENROLLED, PERSON
from benchmarks.robustness.serving import ServiceProcess, run_service
from facebank import FaceBank

PROBE = DEMO_PHOTOS / "barack_obama_speech.jpg"
PEOPLE = "/api/v1/people"
PARTIAL_REQUESTS = (
    b"",
    b"GET /api/v1/health HTTP/1.1\r\nHost: local",
    b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n" + bytes(1000),
    b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20,
)
SPARE_FILES = 200
TOKEN = "the-token-of-a-trial-on-this-machine"
PAUSE = 0.15  # seconds between requests
SETTLED_COUNTS = 6  # consecutive equal counts of descriptors
WARMUP_REQUESTS = 100  # of each kind
CLOSE_TIMEOUT = 60.0  # seconds for the service to close connections


def make_client(address: str) -> httpx.Client:
    """Return a client with the service's key."""
    return httpx.Client(base_url=address, timeout=60, trust_env=False, headers={"x-api-key": TOKEN})


class RegularClient(threading.Thread):
    """A client that sends requests repeatedly and counts the outcomes.

    Parameters
    ----------
    address
        URL of the service.
    keeps_connection
        Whether all requests use one connection, or each a new one.
    """

    def __init__(self, address: str, *, keeps_connection: bool) -> None:
        super().__init__(daemon=True)
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []
        self._address = address
        self._keeps_connection = keeps_connection
        self._is_ended = threading.Event()

    def run(self) -> None:
        """Send requests until `end` is called."""
        with make_client(self._address) as client:
            while not self._is_ended.is_set():
                self._request(client)

    def end(self) -> None:
        """Stop sending requests."""
        self._is_ended.set()
        self.join()

    def _request(self, client: httpx.Client) -> None:
        time.sleep(PAUSE)
        started = time.monotonic()
        try:
            if self._keeps_connection:
                response = client.post("/api/v1/identify", content=PROBE.read_bytes())
            else:
                with make_client(self._address) as new_client:
                    response = new_client.get(PEOPLE)
            self.outcomes["answered" if response.status_code == 200 else f"status {response.status_code}"] += 1
        except httpx.HTTPError as error:
            self.outcomes[type(error).__name__] += 1
        self.seconds.append(time.monotonic() - started)


def count_descriptors(service: ServiceProcess) -> int:
    """Return the number of open files and connections of a service."""
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


def connect(address: str, count: int) -> list[socket.socket]:
    """Open connections with requests that are never completed."""
    url = urlsplit(address)
    connections = []
    for number in range(count):
        connection = socket.create_connection((url.hostname or "", url.port or 0), timeout=20)
        connection.setblocking(False)
        with suppress(OSError):  # already closed by the service
            connection.send(PARTIAL_REQUESTS[number % len(PARTIAL_REQUESTS)])
        connections.append(connection)
    return connections


def wait_until_settled(service: ServiceProcess, max_count: int | None = None) -> int:
    """Wait until a service has closed its clients' connections; return its number of descriptors."""
    deadline, counts = time.monotonic() + CLOSE_TIMEOUT, [count_descriptors(service)]
    while time.monotonic() < deadline and (
        len(counts) < SETTLED_COUNTS
        or len(set(counts[-SETTLED_COUNTS:])) > 1
        or (max_count is not None and counts[-1] > max_count)
    ):
        time.sleep(0.5)
        counts.append(count_descriptors(service))
    return counts[-1]


def hold_connections(service: ServiceProcess, count: int, seconds: float) -> bool:
    """Hold connections next to regular clients; return whether all regular requests were answered."""
    clients = [RegularClient(service.address, keeps_connection=keeps) for keeps in (True, False)]
    for client in clients:
        client.start()
    started = time.monotonic()
    connections = connect(service.address, count)
    connect_seconds, max_descriptors = time.monotonic() - started, 0
    while time.monotonic() - started < max(seconds, connect_seconds):
        max_descriptors = max(max_descriptors, count_descriptors(service))
        time.sleep(0.5)
    print(f"{count:,} connections opened in {connect_seconds:.1f} s")
    print(f"the service had up to {max_descriptors:,} open descriptors and {service.mebibytes():.0f} MiB")
    for client in clients:
        client.end()
    for connection in connections:
        connection.close()
    for client, connection_use in zip(clients, ("one connection", "a new connection each time"), strict=True):
        times = f"median {median(client.seconds) * 1000:.0f} ms, slowest {max(client.seconds) * 1000:.0f} ms"
        print(f"requests meanwhile, {connection_use}: {dict(client.outcomes)}; {times}")
    return all(set(client.outcomes) == {"answered"} for client in clients)


def main() -> int:
    """Run the trial, print its outcome and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000, help="number of connections (default 10,000)")
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds to hold the connections (default 30)")
    parser.add_argument("--growth", type=float, default=40.0, help="largest allowed growth of memory, in MiB")
    arguments = parser.parse_args()
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(arguments.connections + SPARE_FILES, hard_limit), hard_limit))
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "crowd.facebank"
        with FaceBank.open(gallery) as bank:
            bank.enroll(PERSON, DEMO_PHOTOS / ENROLLED[PERSON])
        (Path(folder) / "token.txt").write_text(TOKEN)
        with run_service(gallery, "--token-file", f"{folder}/token.txt") as service:
            with make_client(service.address) as client:
                for _ in range(WARMUP_REQUESTS):  # warm up threads and caches
                    client.post("/api/v1/identify", content=PROBE.read_bytes())
                    client.get(PEOPLE)
            descriptors_before, mebibytes_before = wait_until_settled(service), service.mebibytes()
            print(f"before: {mebibytes_before:.0f} MiB, {descriptors_before} descriptors")
            is_answered = hold_connections(service, arguments.connections, arguments.seconds)
            descriptors_after, mebibytes_after = wait_until_settled(service, descriptors_before), service.mebibytes()
    print("".join(service.output), end="")
    print(f"after: {mebibytes_after:.0f} MiB, {descriptors_after} descriptors")
    is_released = descriptors_after <= descriptors_before and mebibytes_after - mebibytes_before <= arguments.growth
    return 0 if is_answered and is_released and not service.output else 1


if __name__ == "__main__":
    sys.exit(main())
