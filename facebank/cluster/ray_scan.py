"""Scanning on many machines: one worker per core analyzes photos, and this process writes the results.

It uses Ray's actors. Ray Data has no time limit for a batch, retries a batch that crashes its worker forever, and does
not report which photo was the cause.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

from facebank.album.album import Album
from facebank.album.scan.scan_plan import plan_scan
from facebank.album.scan.scanner import ScanReport
from facebank.cluster.pack_files import PackName
from facebank.cluster.ray_cluster import check_address, ray_cluster
from facebank.cluster.ray_job import ClusterNote, RayJob
from facebank.cluster.shard_folder import ShardFolder
from facebank.cluster.worker import Job
from facebank.errors import UsageError
from facebank.media import decoder_versions
from facebank.media.shards import Shard
from facebank.packs import has_openvino, read_choice
from facebank.storage.paths import named_places, place_path
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import pluralize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.scan.rows import FileStamp
    from facebank.album.scan.scan_file import ScanFile, ScannedFile
    from facebank.album.scan.scan_plan import FileTask, ScanPlan
    from facebank.media import StrPath
    from facebank.operations.engine import Engine
    from facebank.packs import Pack

__all__ = ["ClusterNote", "default_shards_folder", "ray_scan"]

_PROBE_FILES = 3  # number of files that every machine must see in the same state as this one


def default_shards_folder(scan: Path) -> Path:
    """Return the default folder of the shards of a scan: ``family.shards`` beside ``family.scan``."""
    return scan.with_suffix(".shards")


def ray_scan(
    bank: GalleryAccess,
    places: StrPath | Iterable[StrPath],
    address: str,
    *,
    scan: StrPath | None = None,
    shards: Path | None = None,
    merge: bool = True,
    shard: tuple[int, int] | None = None,
    runtime: str = "auto",
    time_limit: float = 300,
    needs_photos: bool = True,
    progress: Progress = SILENT,
) -> ScanReport:
    """Scan files and folders on a Ray cluster, as `facebank.Album.scan` does on one machine, and return the report.

    Parameters
    ----------
    bank
        The gallery and its engine, such as a `FaceBank`.
    places
        Files and folders with the same paths on all machines, and buckets for which each has credentials.
    address
        ``HOST:PORT`` of a cluster that includes this machine; ``local`` to start one on this machine only.
    scan
        The scan file; None for the one beside the gallery.
    shards
        The folder of Parquet shards, from which an interrupted job continues; None for one beside the scan file.
    merge
        Whether to merge the shards into the scan file at the end and remove them; otherwise only shards are written.
    shard
        As for `facebank.Album.scan`.
    runtime
        Runtime of the embedder on all machines; ``auto`` is chosen by this machine.
    time_limit
        Seconds after which a photo is given up.
    needs_photos, progress
        As for `facebank.Album.scan`; `progress` receives `ClusterNote` too.

    Raises
    ------
    ClusterError
        The cluster does not answer, its machines do not match, or its head is gone.
    MissingDependencyError
        Ray or pyarrow is not installed.
    PhotoNotFoundError, ScanError, ServiceError, StorageError, UsageError
        As for `facebank.Album.scan`.
    """
    check_address(address)
    album = Album(bank, scan)
    pack = _pack_of(bank.engine)
    chosen = _runtime_for(bank.engine, pack, runtime)
    folder = ShardFolder(default_shards_folder(album.path) if shards is None else shards, bank.engine.identity, chosen)
    cluster_scan = _ClusterScan(address, pack, folder, runtime=chosen, time_limit=time_limit, progress=progress)
    try:
        with album, folder.lock():
            if not merge:
                return cluster_scan.scan_into_shards(named_places(places), shard, needs_photos=needs_photos)
            report = album.scan(
                places,
                shard=shard,
                needs_photos=needs_photos,
                backend=cluster_scan.scan_through_shards,
                progress=progress,
            )
            folder.remove_stored(_stored_states(album, named_places(places)))
            return report
    finally:
        folder.remove_if_empty()


class _ClusterScan:
    """A scan on a cluster, with its settings and the folder of its shards."""

    def __init__(
        self, address: str, pack: Pack, folder: ShardFolder, *, runtime: str, time_limit: float, progress: Progress
    ) -> None:
        self._address = address
        self._pack = pack
        self._folder = folder
        self._runtime = runtime
        self._time_limit = time_limit
        self._progress = progress

    def scan_through_shards(self, scan_file: ScanFile, files: Sequence[FileTask]) -> Iterator[ScannedFile]:
        """Scan files into shards, then yield the results from the shards, a photo before its copies."""
        photos = scan_file.known_photos()
        self._report_notes(self._folder.load(photos.__contains__))
        self._run(files, photos, scan_file.known_pictures())
        self._progress.begin("Merging", len(files))
        for file in self._folder.read(dict(files)):
            yield file
            self._progress.advance()

    def scan_into_shards(
        self, places: Sequence[Path | str], shard: tuple[int, int] | None, *, needs_photos: bool
    ) -> ScanReport:
        """Scan new and changed files into the existing shards, and return the report."""
        self._report_notes(self._folder.load())
        chosen = None if shard is None else Shard.of(shard)
        plan = plan_scan(self._folder, places, None, chosen, needs_photos=needs_photos)
        self._progress.report(plan)
        changed = [path for path, state in plan.todo if not self._has(path, state)]
        todo = dict(plan.todo) | dict(self._folder.forget([*plan.gone, *changed]))
        new, known = self._run(list(todo.items()), set(), set())
        self._folder.tidy()
        return self._report(plan, new, known)

    def _run(self, files: Sequence[FileTask], photos: set[bytes], pictures: set[bytes]) -> tuple[int, int]:
        """Scan files that are not in finished shards, and return the numbers of new and of known photos."""
        todo = [(path, state) for path, state in files if not self._has(path, state)]
        done = len(files) - len(todo)
        if done:
            self._report_notes([f"{pluralize(done, 'file is', 'files are')} already in finished shards"])
        self._progress.begin("Scanning", len(todo))
        if not todo:
            return 0, 0
        by_size: dict[int, set[bytes]] = defaultdict(set)
        for state, content_hash in self._folder.contents():
            by_size[state.size].add(content_hash)
        step = max(1, len(todo) // _PROBE_FILES)
        wanted = Job(PackName.of(self._pack), self._runtime, decoder_versions(), tuple(todo[::step][:_PROBE_FILES]))
        with ray_cluster(self._address) as cluster:
            job = RayJob(
                cluster,
                wanted,
                self._pack,
                self._folder.write,
                time_limit=self._time_limit,
                progress=self._progress,
            )
            return job.scan(todo, photos, pictures, by_size)

    def _has(self, path: str, state: FileStamp) -> bool:
        return self._folder.has(path, state, decoder_versions())

    def _report_notes(self, notes: Iterable[str]) -> None:
        for note in notes:
            self._progress.report(ClusterNote(note))

    def _report(self, plan: ScanPlan, new: int, known: int) -> ScanReport:
        unreadable: dict[str, str] = {}
        for place in plan.places:
            if place not in plan.emptied:
                unreadable |= self._folder.unreadable(place)
        return ScanReport(plan.unchanged, new, known, len(plan.gone), unreadable, plan.skipped)


def _stored_states(album: Album, places: Iterable[StrPath]) -> dict[str, FileStamp]:
    return {path: state for place in places for path, state in album.scan_file.files(place_path(place)).items()}


def _pack_of(engine: Engine) -> Pack:
    pack = getattr(engine, "pack", None)
    if pack is None:
        raise UsageError("a cluster cannot use packs of the insightface library: use a pack of facebank")
    return cast("Pack", pack)


def _runtime_for(engine: Engine, pack: Pack, runtime: str) -> str:
    """Return the runtime for all machines: the requested one, or the faster one on this machine."""
    if runtime != "auto" or not has_openvino():
        return "onnxruntime" if runtime == "auto" else runtime
    sha256 = pack.manifest.embedder.sha256
    if read_choice(sha256, 1) is None:
        engine.preload()
        _ = engine.analyzer  # loading it runs the measurement
    choice = read_choice(sha256, 1)
    return "onnxruntime" if choice is None else choice.runtime
