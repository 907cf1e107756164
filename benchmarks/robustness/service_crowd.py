"""Responsiveness of the service under 10,000 open connections, and release of their resources.

    python -m benchmarks.robustness.service_crowd --connections 10000 --seconds 30

The connections come from one address, as behind a proxy, without a key: idle, with a partial header, with a partial
body, or without reading the response. Meanwhile one client with a key sends requests on a persistent connection, and
another on new ones. Exits with 1 if a request was not answered, the service logged anything, a file descriptor was left
open, or memory grew by more than ``--growth`` megabytes.
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

from benchmarks.robustness.serving import Service, run_service
from facebank import FaceBank

DEMO_PHOTOS = Path(__file__).resolve().parents[2] / "facebank" / "demo" / "photos"
ENROLLED = DEMO_PHOTOS / "barack_obama_portrait_2012.jpg"
ASKED = DEMO_PHOTOS / "barack_obama_speech.jpg"
PEOPLE = "/api/v1/people"
BEGUN = (
    b"",
    b"GET /api/v1/health HTTP/1.1\r\nHost: local",
    b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n" + bytes(1000),
    b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20,
)
SPARE_FILES = 200
TOKEN = "the-token-of-a-trial-on-this-machine"
PAUSE = 0.15  # seconds between requests
STEADY = 6  # equal counts of descriptors that count as settled
WARM = 100  # unmeasured requests of each kind
CLOSE_TIMEOUT = 60.0  # time limit for the service to close connections, in seconds


def client_of(address: str) -> httpx.Client:
    """Return a client with the service's key."""
    return httpx.Client(base_url=address, timeout=60, trust_env=False, headers={"x-api-key": TOKEN})


class RegularClient(threading.Thread):
    """A client that sends requests repeatedly and counts the answers."""

    def __init__(self, address: str, *, keeps_connection: bool) -> None:
        super().__init__(daemon=True)
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []
        self._address = address
        self._keeps_connection = keeps_connection
        self._is_over = threading.Event()

    def run(self) -> None:
        """Send requests until `end` is called."""
        with client_of(self._address) as kept:
            while not self._is_over.is_set():
                self._ask(kept)

    def end(self) -> None:
        """Stop sending requests."""
        self._is_over.set()
        self.join()

    def _ask(self, kept: httpx.Client) -> None:
        time.sleep(PAUSE)
        began = time.monotonic()
        try:
            if self._keeps_connection:
                answer = kept.post("/api/v1/identify", content=ASKED.read_bytes())
            else:
                with client_of(self._address) as client:
                    answer = client.get(PEOPLE)
            self.outcomes["answered" if answer.status_code == 200 else f"status {answer.status_code}"] += 1
        except httpx.HTTPError as error:
            self.outcomes[type(error).__name__] += 1
        self.seconds.append(time.monotonic() - began)


def descriptors(service: Service) -> int:
    """Return the number of open files and connections of a service."""
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


def connect(address: str, count: int) -> list[socket.socket]:
    """Open connections with requests that are never completed; refused ones are omitted."""
    place = urlsplit(address)
    made = []
    for number in range(count):
        connection = socket.create_connection((place.hostname or "", place.port or 0), timeout=20)
        connection.setblocking(False)
        with suppress(OSError):  # already closed by the service
            connection.send(BEGUN[number % len(BEGUN)])
        made.append(connection)
    return made


def wait_settled(service: Service, most: int | None = None) -> int:
    """Wait until a service has closed its clients' connections; return its number of descriptors."""
    deadline, found = time.monotonic() + CLOSE_TIMEOUT, [descriptors(service)]
    while time.monotonic() < deadline and (
        len(found) < 6 or len(set(found[-6:])) > 1 or found[-1] > (most or found[-1])
    ):
        time.sleep(0.5)
        found.append(descriptors(service))
    return found[-1]


def crowd(service: Service, count: int, seconds: float) -> bool:
    """Hold connections next to regular clients; return whether all regular requests were answered."""
    asking = [RegularClient(service.address, keeps_connection=keeps) for keeps in (True, False)]
    for one in asking:
        one.start()
    began = time.monotonic()
    held = connect(service.address, count)
    took, most = time.monotonic() - began, 0
    while time.monotonic() - began < max(seconds, took):
        most = max(most, descriptors(service))
        time.sleep(0.5)
    print(f"{count:,} connections made in {took:.1f} s; the service has up to {most:,} descriptors open")
    print(f"{service.megabytes():.0f} MB with them")
    for one in asking:
        one.end()
    for connection in held:
        connection.close()
    for one, kind in zip(asking, ("one connection", "a new connection each time"), strict=True):
        times = f"median {median(one.seconds) * 1000:.0f} ms, slowest {max(one.seconds) * 1000:.0f} ms"
        print(f"requests meanwhile, {kind}: {dict(one.outcomes)}; {times}")
    return all(set(one.outcomes) == {"answered"} for one in asking)


def main() -> int:
    """Run the trial, print its outcome and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000, help="number of connections (default 10,000)")
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds for which connections are held")
    parser.add_argument("--growth", type=float, default=40.0, help="largest allowed growth of memory, in megabytes")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(arguments.connections + SPARE_FILES, most), most))
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "crowd.facebank"
        with FaceBank.open(gallery) as bank:
            bank.enroll("Barack Obama", ENROLLED)
        (Path(folder) / "token.txt").write_text(TOKEN)
        with run_service(gallery, "--token-file", f"{folder}/token.txt") as service:
            with client_of(service.address) as client:
                for _ in range(WARM):  # warm up threads and caches
                    client.post("/api/v1/identify", content=ASKED.read_bytes())
                    client.get(PEOPLE)
            files, before = wait_settled(service), service.megabytes()
            print(f"before: {before:.0f} MB, {files} descriptors")
            is_answered = crowd(service, arguments.connections, arguments.seconds)
            left, after = wait_settled(service, files), service.megabytes()
    print("".join(service.output), end="")
    print(f"after: {after:.0f} MB, {left} descriptors")
    return 0 if is_answered and not service.output and left <= files and after - before <= arguments.growth else 1


if __name__ == "__main__":
    sys.exit(main())
