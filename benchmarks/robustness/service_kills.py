"""Durability of acknowledged changes of a service that is killed with SIGKILL under load.

    python -m benchmarks.robustness.service_kills ../shared/data/lfw --kills 20

Concurrent clients enroll people, write notes and forget people, while others identify photos. The service is killed at
random moments and restarted on the same gallery. All acknowledged changes must persist: enrolled people, their last
notes, and the removal of forgotten people; and the gallery must pass its check. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx

from benchmarks.robustness.serving import run_service
from facebank import FaceBank
from facebank.gallery.checking import check_gallery

CLIENTS = 4


class ChangeLog:
    """Acknowledged changes, and requested changes without a response."""

    def __init__(self) -> None:
        self.enrolled: dict[str, str | None] = {}  # last acknowledged note of each person
        self.forgotten: set[str] = set()
        self.pending: dict[str, set[object]] = {}  # unanswered changes of each person at the kill
        self.acknowledged = 0

    def find_faults(self, gallery: Path) -> list[str]:
        """Return the differences of a gallery from the acknowledged changes."""
        faults: list[str] = []
        with FaceBank.open(gallery) as bank:
            people = {person.name: person for person in bank.people()}
        for name, note in self.enrolled.items():
            allowed = self.pending.get(name, set())
            if name not in people:
                faults += [] if "forget" in allowed else [f"{name} is missing"]
            elif people[name].sample_count < 1 or people[name].note not in {note, *allowed}:
                faults.append(f"{name} has the note {people[name].note!r}, not {note!r}")
        faults += [f"{name} was forgotten but is in the gallery" for name in self.forgotten if name in people]
        return [*faults, *(damage.message for damage in check_gallery(gallery).damage)]

    def settle(self, gallery: Path) -> None:
        """Resolve pending changes according to the gallery."""
        with FaceBank.open(gallery) as bank:
            people = {person.name: person for person in bank.people()}
        for name in self.pending:
            if name in people:
                self.enrolled[name] = people[name].note
            elif name in self.enrolled:
                del self.enrolled[name]
        self.pending.clear()


class EnrollingClient:
    """A client that enrolls, describes, forgets and identifies until the service is killed.

    Parameters
    ----------
    address
        URL of the service.
    log
        Record of the changes, shared by all clients.
    folders
        Folders of people to enroll, named after them; shared by all clients, which remove what they enroll.
    seed
        Seed of the choice of requests.
    """

    def __init__(self, address: str, log: ChangeLog, folders: list[Path], seed: int) -> None:
        self._http = httpx.Client(base_url=address, timeout=60, trust_env=False)
        self._log, self._folders = log, folders
        self._random = random.Random(seed)
        self._enrolled_names: list[str] = []

    def run(self) -> None:
        """Send requests until the service is killed."""
        with self._http:
            while self._folders:
                try:
                    self._random.choice((self._enroll, self._enroll, self._describe, self._forget, self._identify))()
                except httpx.TransportError:
                    return

    def _request_change(self, name: str, change: object, send: Callable[[], httpx.Response]) -> bool:
        """Request a change of a person, and return whether it was acknowledged."""
        self._log.pending.setdefault(name, set()).add(change)
        response = send()
        self._log.pending[name].discard(change)
        if not self._log.pending[name]:
            del self._log.pending[name]
        self._log.acknowledged += response.is_success
        return response.is_success

    def _enroll(self) -> None:
        folder = self._folders.pop()
        files = [("photos", (path.name, path.read_bytes())) for path in sorted(folder.glob("*.jpg"))[:2]]
        if self._request_change(
            folder.name, None, lambda: self._http.post("/api/v1/people", data={"name": folder.name}, files=files)
        ):
            self._log.enrolled[folder.name] = None
            self._enrolled_names.append(folder.name)

    def _describe(self) -> None:
        if self._enrolled_names:
            name, note = self._random.choice(self._enrolled_names), f"note {self._random.random()}"
            if self._request_change(name, note, lambda: self._http.patch(_person_path(name), json={"note": note})):
                self._log.enrolled[name] = note

    def _forget(self) -> None:
        if len(self._enrolled_names) > 2:
            name = self._enrolled_names.pop(0)
            if self._request_change(name, "forget", lambda: self._http.delete(_person_path(name))):
                self._log.enrolled.pop(name, None)
                self._log.forgotten.add(name)

    def _identify(self) -> None:
        path = next(self._folders[-1].glob("*.jpg"), None) if self._folders else None
        if path is not None:
            self._http.post("/api/v1/identify", content=path.read_bytes())


def _person_path(name: str) -> str:
    return f"/api/v1/people/{quote(name, safe='')}"


def run(data: Path, gallery: Path, kills: int, seed: int) -> tuple[ChangeLog, list[str]]:
    """Kill a service repeatedly, and return the log of changes and the faults."""
    log, rng = ChangeLog(), random.Random(seed)
    folders = sorted((path for path in data.iterdir() if path.is_dir()), reverse=True)
    faults: list[str] = []
    for number in range(kills):
        with run_service(gallery, "--requests-a-minute", "1000000") as service:
            clients = [
                EnrollingClient(service.address, log, folders, CLIENTS * number + index) for index in range(CLIENTS)
            ]
            threads = [threading.Thread(target=client.run) for client in clients]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.5, 4.0))
            service.kill()
            for thread in threads:
                thread.join()
        faults += log.find_faults(gallery)
        log.settle(gallery)
    return log, faults


def main() -> int:
    """Run the trial, print its outcome and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with one folder per person")
    parser.add_argument("--kills", type=int, default=20, help="number of kills (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random kills (default 1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log, faults = run(arguments.data, Path(folder) / "killed.facebank", arguments.kills, arguments.seed)
    print(
        f"{arguments.kills} kills, {log.acknowledged} changes acknowledged, {len(log.enrolled)} people enrolled, "
        f"{len(log.forgotten)} forgotten: {len(faults)} faults"
    )
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
