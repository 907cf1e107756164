"""Runs a job on a cluster: starts workers on free cores, and reassigns the work of failed ones."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facebank.album.scan.scan_plan import state_of
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
    from facebank.album.scan.scan_plan import FileTask
    from facebank.cluster.assignments import Batch
    from facebank.cluster.ray_cluster import RayCluster
    from facebank.cluster.worker import Job, PreparationResult
    from facebank.packs import Pack
    from facebank.storage.progress import Progress

_BATCHES_AHEAD = 2  # batches assigned to a worker at a time, so that it need not wait
_CHECK_INTERVAL = 0.5  # seconds between checks for hanging workers
_CLUSTER_CHECK_INTERVAL = 2.0  # seconds between checks of the machines
_SHARD_FILES = 2_000  # results after which a shard is written
_SHARD_SECONDS, _SHARD_FRACTION = (2.0, 60.0), 0.1  # or after this fraction of the elapsed time, within limits
_MAX_HINTS = 64  # hashes per file size that are sent to a worker
_MAX_EARLY_FAILURES = 3  # consecutive workers that may fail before they are ready
_WAIT_BEFORE_NOTE = 60.0  # seconds after which a lack of free cores is reported


@dataclass(frozen=True, slots=True)
class ClusterNote:
    """A message about the machines of a job, for display."""

    text: str


@dataclass(slots=True)
class _AssignedBatch:
    """A batch, and the reference to its pending result."""

    batch: Batch
    pending_result: Any


@dataclass(slots=True, eq=False)
class _Worker:
    actor: Any
    preparation: Any  # pending result of `ScanWorker.prepare`; None when the worker is ready
    is_first: bool  # whether it was started at the beginning of the job
    host: str = ""  # name of the machine; empty before the worker is ready
    assigned: deque[_AssignedBatch] = field(default_factory=deque)
    is_excluded: bool = False  # whether its machine does not fit the job
    started_at: float = 0.0  # monotonic time at which it started its first batch


class RayJob:
    """A job on a cluster.

    Parameters
    ----------
    cluster
        The connected cluster.
    job, pack
        The properties that all workers must share, and the pack for those that lack it.
    write
        Writes results, either all or none.
    time_limit
        Seconds after which a photo is given up.
    progress
        Receives each `ScannedFile` after it is written, and each `ClusterNote`.
    """

    def __init__(
        self,
        cluster: RayCluster,
        job: Job,
        pack: Pack,
        write: Callable[[Sequence[ScannedFile]], None],
        *,
        time_limit: float,
        progress: Progress,
    ) -> None:
        self._cluster = cluster
        self._ray = cluster.ray
        self._job = job
        self._pack = pack
        self._write = write
        self._time_limit = time_limit
        self._progress = progress
        self._workers: list[_Worker] = []
        self._unwritten: list[ScannedFile] = []
        self._written_at = self._checked_at = self._began = time.monotonic()
        self._early_failures = 0
        self._is_waiting_reported = False
        self._new_count = self._known_count = 0

    def scan(
        self, files: Sequence[FileTask], photos: set[bytes], pictures: set[bytes], by_size: dict[int, set[bytes]]
    ) -> tuple[int, int]:
        """Scan files, and return the number of new photos and the number of photos known by their content.

        Parameters
        ----------
        files
            Paths with their states, without duplicates.
        photos, pictures
            SHA-256 hashes of known photos and of known pixels, 32 bytes each.
        by_size
            SHA-256 hashes of further known photos, 32 bytes each, by file size in bytes; results are added.

        Raises
        ------
        ClusterError
            The cluster's head is gone, a machine does not fit the job or can no longer read a bucket, or workers fail
            before they are ready.
        PackIntegrityError
            A file of the pack is missing or altered.
        """
        self._assignments = Assignments(files)
        self._by_size, self._photos = by_size, photos.union(*by_size.values())
        ray = self._ray
        shared = (read_pack_files(self._pack), sorted_hashes(photos), sorted_hashes(pictures))
        self._references = [ray.put(value) for value in shared]
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
        return self._new_count, self._known_count

    def _is_unfinished(self) -> bool:
        return bool(len(self._assignments)) or any(worker.assigned for worker in self._workers)

    def _step(self) -> None:
        """Assign batches, wait for one result, and drop workers that have failed."""
        for worker in list(self._workers):
            self._assign_batches(worker)
        workers = {_pending_result(worker): worker for worker in self._workers if _is_busy(worker)}
        if workers:
            ready, _ = self._ray.wait(list(workers), num_returns=1, timeout=_CHECK_INTERVAL)
            for pending_result in ready:
                self._receive(workers[pending_result])
        else:
            time.sleep(_CHECK_INTERVAL)
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.assigned and worker.preparation is None and now - worker.started_at > self._time_limit:
                self._drop_failed(worker, f"takes more than {self._time_limit:g} s to read", is_certain=True)
        if now - self._checked_at > _CLUSTER_CHECK_INTERVAL:
            self._checked_at = now
            self._cluster.require_head()
            self._start_workers(is_first=False)
        shortest, longest = _SHARD_SECONDS
        interval = min(max(shortest, _SHARD_FRACTION * (now - self._began)), longest)
        if len(self._unwritten) >= _SHARD_FILES or now - self._written_at > interval:
            self._flush()

    def _start_workers(self, *, is_first: bool) -> None:
        """Start a worker on each free core, as far as there is work."""
        waiting = len(self._assignments) + sum(bool(worker.assigned) for worker in self._workers)
        target = min(self._cluster.cores(), waiting)
        for _ in range(target - len(self._workers)):
            actor = self._class.remote(self._ray.get)
            self._workers.append(_Worker(actor, actor.prepare.remote(self._job, self._references), is_first))
        is_idle = all(worker.preparation is not None or worker.is_excluded for worker in self._workers)
        if is_idle and not self._is_waiting_reported and time.monotonic() - self._began > _WAIT_BEFORE_NOTE:
            self._is_waiting_reported = True
            self._note("no core of the cluster is free: waiting until another job ends or a machine joins")

    def _assign_batches(self, worker: _Worker) -> None:
        while worker.preparation is None and not worker.is_excluded and len(worker.assigned) < _BATCHES_AHEAD:
            batch = self._assignments.take(len(self._workers))
            if batch is None:
                return
            hints = set[bytes]()
            for _, state in batch.files:
                hashes = self._by_size.get(state.size, ())
                hints.update(hashes if len(hashes) <= _MAX_HINTS else ())
            if not worker.assigned:
                worker.started_at = time.monotonic()
            worker.assigned.append(_AssignedBatch(batch, worker.actor.scan.remote(batch.files, hints)))

    def _receive(self, worker: _Worker) -> None:
        """Process a worker's result or failure; raises `ClusterError` if its machine can no longer read a bucket."""
        from ray.exceptions import RayError, RayTaskError

        try:
            result = self._ray.get(_pending_result(worker))
        except RayTaskError as error:
            if worker.preparation is not None:
                self._exclude(worker, _last_line(error))
                return
            if isinstance(error.cause, ServiceError):  # a bucket that can no longer be read
                raise ClusterError(
                    f"the machine {printable(worker.host)} cannot read the photos: {error.cause}; then run the same "
                    "command, which continues from the finished shards"
                ) from error
            assigned = worker.assigned.popleft()
            worker.started_at = time.monotonic()
            self._give_up(assigned.batch, f"cannot be read: {_last_line(error)}", is_certain=False)
        except RayError as error:
            self._drop_failed(worker, "ends the process that reads it", cause=error)
        else:
            if worker.preparation is not None:
                self._finish_preparation(worker, result)
                return
            assigned = worker.assigned.popleft()
            worker.started_at = time.monotonic()
            self._accept(assigned.batch, result)

    def _finish_preparation(self, worker: _Worker, ready: PreparationResult) -> None:
        worker.host, worker.preparation = ready.host, None
        self._early_failures = 0
        if ready.problem is None:
            return
        unchanged = tuple((path, state) for path, state in self._job.probe_files if not _has_changed(path, state))
        if len(unchanged) < len(self._job.probe_files):  # files changed since the job began: not the machine's fault
            self._job = replace(self._job, probe_files=unchanged)
            worker.preparation = worker.actor.prepare.remote(self._job, self._references)
        else:
            self._exclude(worker, ready.problem)

    def _exclude(self, worker: _Worker, reason: str) -> None:
        """Exclude a worker that does not fit the job; raises `ClusterError` if it was started at the beginning."""
        text = f"the machine {printable(worker.host) or 'of a worker'} cannot be used: {reason}"
        if worker.is_first:
            raise ClusterError(text)
        self._note(text)
        self._kill(worker)
        worker.preparation, worker.is_excluded = None, True

    def _drop_failed(
        self, worker: _Worker, reason: str, *, is_certain: bool = False, cause: Exception | None = None
    ) -> None:
        """Drop a failed worker: its current batch becomes suspect, its other batches are assigned again.

        Raises `ClusterError` if several workers in a row fail before they are ready.
        """
        self._kill(worker)
        self._workers.remove(worker)
        if worker.preparation is not None:
            self._early_failures += 1
            if self._early_failures >= _MAX_EARLY_FAILURES:
                raise ClusterError(
                    f"{self._early_failures} workers in a row failed before they were ready: {_last_line(cause)}; "
                    "check that the machines have enough memory, and the same versions of facebank and Ray"
                )
            return
        self._note(f"a worker on {printable(worker.host)} has failed: its files are assigned to other workers")
        for assigned in list(worker.assigned)[1:]:
            self._assignments.give_back(assigned.batch)
        if worker.assigned:
            self._give_up(worker.assigned[0].batch, reason, is_certain=is_certain)

    def _give_up(self, batch: Batch, reason: str, *, is_certain: bool) -> None:
        for file in self._assignments.suspect(batch, reason, is_certain=is_certain):
            self._add(file)

    def _accept(self, batch: Batch, results: Sequence[ScannedFile]) -> None:
        """Add the results of a batch; files that only the worker's machine could not open are tried again."""
        by_path = {file.path: file for file in results}
        for path, state in batch.files:
            file = by_path.get(path)
            if file is None or (file.error is not None and file.content_hash is None and _is_readable(path, state)):
                reason = "was not scanned" if file is None or file.error is None else file.error
                retry = type(batch)(((path, state),), batch.failures or 0)
                for unreadable in self._assignments.suspect(retry, reason):
                    self._add(unreadable if file is None else file)
            else:
                self._add(file)

    def _add(self, file: ScannedFile) -> None:
        """Add a result; a photo that another worker has scanned meanwhile is a copy."""
        if file.content_hash is not None and file.error is None:
            content_hash = bytes.fromhex(file.content_hash)
            if content_hash in self._photos:
                file = replace(file, photo=None, edited=None)
            self._photos.add(content_hash)
            self._by_size.setdefault(file.state.size, set()).add(content_hash)
        self._new_count += file.photo is not None
        self._known_count += file.photo is None and file.error is None
        self._unwritten.append(file)
        self._progress.advance()

    def _flush(self) -> None:
        self._written_at = time.monotonic()
        if not self._unwritten:
            return
        with uninterrupted():
            self._write(self._unwritten)
            written, self._unwritten = self._unwritten, []
        for file in written:
            self._progress.report(file)

    def _kill(self, worker: _Worker) -> None:
        with suppress(Exception):  # the worker or its machine may be gone
            self._ray.kill(worker.actor, no_restart=True)

    def _note(self, text: str) -> None:
        self._progress.report(ClusterNote(text))


def _is_busy(worker: _Worker) -> bool:
    return worker.preparation is not None or bool(worker.assigned)


def _pending_result(worker: _Worker) -> Any:
    return worker.preparation or worker.assigned[0].pending_result


def _is_readable(path: str, state: object) -> bool:
    """Return whether this machine can open a file, and the file is in the same state."""
    try:
        if is_bucket_url(path):
            return state_of(path) == state
        with open(path, "rb"):  # noqa: PTH123 - faster
            return state_of(path) == state
    except (OSError, ServiceError):
        return False


def _has_changed(path: str, state: object) -> bool:
    """Return whether this machine sees a file or object in another state than when the job began."""
    with suppress(ServiceError):
        return state_of(path) != state
    return False


def _last_line(error: Exception | None) -> str:
    """Return the last line of a Ray error's message, which states the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1] if lines else type(error).__name__)[:300]
