"""Correctness and memory of a service under long load from many clients.

    python -m benchmarks.robustness.service_soak --requests 10000 --clients 64

Concurrent clients identify the demo photos, and occasionally send invalid requests (no photo, broken photos, other host
names, truncated uploads). Each answer is compared with the library's. The memory of the service is read after a fifth
of the requests and at the end. Exits with 1 if an answer was wrong or missing, or memory grew by more than ``--growth``
MiB.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.robustness.inputs import DEMO_PHOTOS, ENROLLED
from benchmarks.robustness.serving import run_service
from facebank import FaceBank
from facebank.schemas.records import photo_record

TOO_BUSY = 503  # status
TRIES = 200
INVALID_EVERY = 10  # every tenth request is invalid


class LoadGenerator:
    """Sends the requests of the clients and compares the responses with the expected ones."""

    def __init__(self, address: str, expected: dict[str, str]) -> None:
        self.outcomes: Counter[str] = Counter()
        self._expected = expected
        self._paths = sorted(DEMO_PHOTOS.glob("*.jpg"))
        self._address = address
        self._local = threading.local()

    def request(self, number: int) -> None:
        """Send request `number`, and count the outcome."""
        if not hasattr(self._local, "client"):
            self._local.client = httpx.Client(base_url=self._address, timeout=120, trust_env=False)
        client: httpx.Client = self._local.client
        if number % INVALID_EVERY == 0:
            self.outcomes[self._send_invalid(client, number // INVALID_EVERY)] += 1
            return
        path = self._paths[number % len(self._paths)]
        for _ in range(TRIES):
            response = client.post("/api/v1/identify", files={"photo": (path.name, path.read_bytes())})
            if response.status_code != TOO_BUSY:
                break
            self.outcomes["refused as too busy"] += 1
            threading.Event().wait(0.2)
        is_right = response.status_code == 200 and serialize(response.json()["photos"][0]) == self._expected[path.name]
        self.outcomes["right" if is_right else f"wrong ({response.status_code})"] += 1

    def _send_invalid(self, client: httpx.Client, number: int) -> str:
        case = number % 4
        if case == 3:
            url = urlsplit(self._address)
            with socket.create_connection((url.hostname or "", url.port or 0), timeout=60) as connection:
                connection.sendall(
                    b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\nabc"
                )
            return "cut off"
        if case == 0:
            status, response = 400, client.post("/api/v1/identify")
        elif case == 1:
            status, response = 200, client.post("/api/v1/identify", content=b"\xff\xd8\xff broken")
        else:
            status, response = 403, client.get("/api/v1/health", headers={"Host": "evil.example"})
        if response.status_code == TOO_BUSY:
            return "refused as too busy"
        return "refused" if response.status_code == status else f"wrong ({response.status_code} for {status})"


def serialize(record: dict[str, object]) -> str:
    """Return a photo's record as comparable text."""
    return json.dumps(record, sort_keys=True)


def main() -> int:
    """Run the trial, print its outcome and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="number of requests (default 10,000)")
    parser.add_argument("--clients", type=int, default=64, help="number of concurrent clients (default 64)")
    parser.add_argument("--growth", type=float, default=40.0, help="largest allowed growth of memory, in MiB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "soak.facebank"
        with FaceBank.open(gallery) as bank:
            for name, file_name in ENROLLED.items():
                bank.enroll(name, DEMO_PHOTOS / file_name)
            records = {
                path.name: {**photo_record(*bank.identify(path)), "image": path.name}
                for path in sorted(DEMO_PHOTOS.glob("*.jpg"))
            }
        expected = {name: serialize(json.loads(json.dumps(record))) for name, record in records.items()}
        options = ("--exact", "--requests-a-minute", "1000000")
        with run_service(gallery, *options) as service, ThreadPoolExecutor(arguments.clients) as pool:
            generator = LoadGenerator(service.address, expected)
            first = arguments.requests // 5
            list(pool.map(generator.request, range(first)))
            mebibytes_before = service.mebibytes()
            list(pool.map(generator.request, range(first, arguments.requests)))
            mebibytes_after = service.mebibytes()
    wrong = {outcome: count for outcome, count in generator.outcomes.items() if outcome.startswith("wrong")}
    print("".join(service.output), end="")
    print(f"{dict(generator.outcomes)}; {mebibytes_before:.0f} MiB after a fifth, {mebibytes_after:.0f} MiB at the end")
    return 1 if wrong or service.output or mebibytes_after - mebibytes_before > arguments.growth else 0


if __name__ == "__main__":
    sys.exit(main())
