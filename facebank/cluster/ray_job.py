"""Runs a job on a cluster: starts workers on free cores, and reassigns the work of failed ones."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facebank.album.scan.scanner import state_of
from facebank.cluster.assignments import Assignments
from facebank.cluster.pack_files import read_pack_files
from facebank.cluster.worker import ScanWorker, sorted_hashes
from facebank.errors import ClusterError, ServiceError
from facebank.storage.bucket_urls import is_bucket_url
from facebank.storage.concurrency import uninterrupted
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from facebank.album.scan.scan_file import ScannedFile
    from facebank.album.scan.scanner import FileTask
    from facebank.cluster.assignments import Batch
    from facebank.cluster.ray_cluster import RayCluster
    from facebank.cluster.worker import Job, Ready
    from facebank.packs import Pack
    from facebank.storage.progress import Progress

_AHEAD = 2  # batches assigned to a worker at a time, so that it never waits
_TICK = 0.5  # seconds between checks for hanging workers
_CLUSTER_CHECK = 2.0  # seconds between checks of the machines
_SHARD_FILES = 2_000  # results after which a shard is written
_SHARD_SECONDS, _SHARD_SHARE = (2.0, 60.0), 0.1  # or after this fraction of the elapsed time, within limits
_MOST_HINTS = 64  # largest number of hashes per file size that are sent to a worker
_MOST_LOST = 3  # consecutive workers that may die before they are ready
_PATIENCE = 60.0  # seconds after which a lack of free cores is reported


@dataclass(frozen=True, slots=True)
class ClusterNote:
    """A message about the machines of a job, for display."""

    text: str


@dataclass(slots=True)
class _Assigned:
    batch: Batch
    answer: Any


@dataclass(slots=True, eq=False)
class _Worker:
    actor: Any
    greeting: Any  # pending result of `ScanWorker.prepare`; None when the worker is ready
    is_first: bool  # whether it was started at the beginning of the job
    host: str = ""
    given: deque[_Assigned] = field(default_factory=deque)
    is_refused: bool = False
    since: float = 0.0  # monotonic time at which it started its first batch


class RayJob:
    """A job on a cluster.

    Parameters
    ----------
    cluster
        The connected cluster.
    wanted, pack
        The properties that all workers must share, and the pack for those that lack it.
    keep
        Writes results, all or none.
    time_limit
        Seconds after which a photo is given up.
    progress
        Receives each `ScannedFile` after it is written, and each `ClusterNote`.
    """

    def __init__(
        self,
        cluster: RayCluster,
        wanted: Job,
        pack: Pack,
        keep: Callable[[Sequence[ScannedFile]], None],
        *,
        time_limit: float,
        progress: Progress,
    ) -> None:
        self._cluster = cluster
        self._ray = cluster.ray
        self._wanted = wanted
        self._pack = pack
        self._keep = keep
        self._time_limit = time_limit
        self._progress = progress
        self._workers: list[_Worker] = []
        self._unkept: list[ScannedFile] = []
        self._kept_at = self._checked_at = self._began = time.monotonic()
        self._lost_early = 0
        self._is_waiting_reported = False
        self._new = self._known = 0

    def scan(
        self, files: Sequence[FileTask], photos: set[bytes], pictures: set[bytes], by_size: dict[int, set[bytes]]
    ) -> tuple[int, int]:
        """Scan files; returns the number of new photos and the number of photos known by their content.

        Parameters
        ----------
        files
            Paths with their states, without duplicates.
        photos, pictures
            SHA-256 hashes of known photos and of known pixels, 32 bytes each.
        by_size
            SHA-256 hashes of further known photos, 32 bytes each, by file size in bytes; results are added.
        """
        self._left = Assignments(files)
        self._by_size, self._photos = by_size, photos | {digest for some in by_size.values() for digest in some}
        ray = self._ray
        sent = [ray.put(read_pack_files(self._pack)), ray.put(sorted_hashes(photos)), ray.put(sorted_hashes(pictures))]
        self._sent = sent
        self._class = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(ScanWorker)
        try:
            self._start_workers(is_first=True)
            while self._is_unfinished():
                self._step()
        finally:
            with uninterrupted():
                try:
                    self._flush()
                finally:
                    for worker in self._workers:
                        self._kill(worker)
        return self._new, self._known

    def _is_unfinished(self) -> bool:
        return bool(len(self._left)) or any(worker.given for worker in self._workers)

    def _step(self) -> None:
        """Assign batches, wait for one result, and handle hanging and lost workers."""
        for worker in list(self._workers):
            self._feed(worker)
        answers = {worker.greeting or worker.given[0].answer: worker for worker in self._workers if _is_busy(worker)}
        if answers:
            ready, _ = self._ray.wait(list(answers), num_returns=1, timeout=_TICK)
            for answer in ready:
                self._receive(answers[answer])
        else:
            time.sleep(_TICK)
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.given and worker.greeting is None and now - worker.since > self._time_limit:
                self._lose(worker, f"takes more than {self._time_limit:g} s to read", is_certain=True)
        if now - self._checked_at > _CLUSTER_CHECK:
            self._checked_at = now
            self._cluster.require_head()
            self._start_workers(is_first=False)
        least, most = _SHARD_SECONDS
        patience = min(max(least, _SHARD_SHARE * (now - self._began)), most)
        if len(self._unkept) >= _SHARD_FILES or now - self._kept_at > patience:
            self._flush()

    def _start_workers(self, *, is_first: bool) -> None:
        """Start a worker on each free core, as far as there is work."""
        waiting = len(self._left) + sum(bool(worker.given) for worker in self._workers)
        wanted = min(self._cluster.cores(), waiting)
        for _ in range(wanted - len(self._workers)):
            actor = self._class.remote(self._ray.get)
            self._workers.append(_Worker(actor, actor.prepare.remote(self._wanted, self._sent), is_first))
        is_idle = all(worker.greeting is not None or worker.is_refused for worker in self._workers)
        if is_idle and not self._is_waiting_reported and time.monotonic() - self._began > _PATIENCE:
            self._is_waiting_reported = True
            self._note("no core of the cluster is free: waiting")

    def _feed(self, worker: _Worker) -> None:
        while worker.greeting is None and not worker.is_refused and len(worker.given) < _AHEAD:
            batch = self._left.take(len(self._workers))
            if batch is None:
                return
            hints = set[bytes]()
            for _, state in batch.files:
                same = self._by_size.get(state.size, ())
                hints.update(same if len(same) <= _MOST_HINTS else ())
            if not worker.given:
                worker.since = time.monotonic()
            worker.given.append(_Assigned(batch, worker.actor.scan.remote(batch.files, hints)))

    def _receive(self, worker: _Worker) -> None:
        """Process a worker's result or failure."""
        from ray.exceptions import RayError, RayTaskError

        answer = worker.greeting or worker.given[0].answer
        try:
            result = self._ray.get(answer)
        except RayTaskError as error:
            if worker.greeting is not None:
                self._refuse(worker, _last_line(error))
                return
            if isinstance(error.cause, ServiceError):  # a bucket that can no longer be read
                raise ClusterError(f"the machine {printable(worker.host)} cannot go on: {error.cause}") from error
            given = worker.given.popleft()
            worker.since = time.monotonic()
            self._give_up(given.batch, f"cannot be read: {_last_line(error)}", is_certain=False)
        except RayError as error:
            self._lose(worker, "ends the process that reads it", because=error)
        else:
            if worker.greeting is not None:
                self._greet(worker, result)
                return
            given = worker.given.popleft()
            worker.since = time.monotonic()
            self._accept(given.batch, result)

    def _greet(self, worker: _Worker, ready: Ready) -> None:
        worker.host, worker.greeting = ready.host, None
        if ready.problem is not None:
            self._refuse(worker, ready.problem)
        self._lost_early = 0

    def _refuse(self, worker: _Worker, why: str) -> None:
        """Exclude a worker that does not fit the job; raises `ClusterError` if it was started at the beginning."""
        text = f"the machine {printable(worker.host) or 'of a worker'} cannot be used: {why}"
        if worker.is_first:
            raise ClusterError(text)
        self._note(text)
        self._kill(worker)
        worker.greeting, worker.is_refused = None, True

    def _lose(self, worker: _Worker, why: str, *, is_certain: bool = False, because: Exception | None = None) -> None:
        """Drop a failed worker: its current batch becomes suspect, its other batches are assigned again."""
        self._kill(worker)
        self._workers.remove(worker)
        if worker.greeting is not None:
            self._lost_early += 1
            if self._lost_early >= _MOST_LOST:
                raise ClusterError(f"workers fail before they are ready: {_last_line(because)}")
            return
        self._note(f"a worker on {printable(worker.host)} has failed: its files are assigned to other workers")
        for given in list(worker.given)[1:]:
            self._left.give_back(given.batch)
        if worker.given:
            self._give_up(worker.given[0].batch, why, is_certain=is_certain)

    def _give_up(self, batch: Batch, why: str, *, is_certain: bool) -> None:
        for file in self._left.suspect(batch, why, is_certain=is_certain):
            self._add(file)

    def _accept(self, batch: Batch, results: Sequence[ScannedFile]) -> None:
        """Add the results of a batch; files that only the worker's machine could not open are tried again."""
        found = {file.path: file for file in results}
        for path, state in batch.files:
            file = found.get(path)
            if file is None or (file.error is not None and file.content_hash is None and _is_readable(path, state)):
                why = "was not scanned" if file is None or file.error is None else file.error
                tried = type(batch)(((path, state),), batch.deaths or 0)
                for given_up in self._left.suspect(tried, why):
                    self._add(given_up if file is None else file)
            else:
                self._add(file)

    def _add(self, file: ScannedFile) -> None:
        """Add a result; a photo that another worker has scanned meanwhile is a copy."""
        if file.content_hash is not None and file.error is None:
            digest = bytes.fromhex(file.content_hash)
            if digest in self._photos:
                file = replace(file, found=None, edited=None)
            self._photos.add(digest)
            self._by_size.setdefault(file.state.size, set()).add(digest)
        self._new += file.found is not None
        self._known += file.found is None and file.error is None
        self._unkept.append(file)
        self._progress.advance()

    def _flush(self) -> None:
        self._kept_at = time.monotonic()
        if not self._unkept:
            return
        with uninterrupted():
            self._keep(self._unkept)
            done, self._unkept = self._unkept, []
        for file in done:
            self._progress.report(file)

    def _kill(self, worker: _Worker) -> None:
        with suppress(Exception):  # the worker or its machine may be gone
            self._ray.kill(worker.actor, no_restart=True)

    def _note(self, text: str) -> None:
        self._progress.report(ClusterNote(text))


def _is_busy(worker: _Worker) -> bool:
    return worker.greeting is not None or bool(worker.given)


def _is_readable(path: str, state: object) -> bool:
    """Return whether this machine can open a file, and the file is in the same state."""
    try:
        if is_bucket_url(path):
            return state_of(path) == state
        with open(path, "rb"):  # noqa: PTH123 - faster
            return state_of(path) == state
    except (OSError, ServiceError):
        return False


def _last_line(error: Exception | None) -> str:
    """Return the last line of an error of Ray, which is the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1] if lines else type(error).__name__)[:300]
