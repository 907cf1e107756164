"""``facebank scan``: analyzes folders of photos once and keeps the faces; merges scans."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.schemas.records import degrees, missing_shard_records
from facebank.storage.text import pluralize

from .exit_codes import SOME_FAILED
from .global_options import GlobalOptions, global_options
from .options import ScanPath
from .output import (
    join_first,
    report_annotated,
    report_skipped,
    say,
    scan_line,
    write_json,
    write_line,
    write_skipped,
)
from .paths import parse_scan_path
from .progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from facebank import FaceBank
    from facebank.album.album import Album
    from facebank.album.scan.merging import MergeReport
    from facebank.album.scan.scan_file import ScannedFile
    from facebank.album.scan.scan_plan import ScanPlan
    from facebank.album.scan.scanner import ScanReport
    from facebank.album.scan.videos import ScannedVideo
    from facebank.media.shards import Shard
    from facebank.video.scan import VideoScanReport


_TIME_LIMIT = 300.0  # seconds for a photo on a cluster
_SKIPPED = {"image": "", "status": "skipped", "faces": None, "turned": None}

EXAMPLES = """\b
Examples:
  facebank scan photos/
  facebank scan photos/ --videos      # videos too, for 'find --videos'
  facebank scan s3://family/photos    # a bucket, with the extra 'buckets'
  facebank identify --scan

\b
Several machines can share a scan; afterwards, one of them merges the results:
  facebank scan photos/ --shard 1/3
  facebank scan --merge all.1-of-3.scan all.2-of-3.scan all.3-of-3.scan
  facebank scan --merge shards/       # all Parquet shards of a folder

\b
A Ray cluster can do so, too; its machines need the photos at the same path:
  facebank scan photos/ --ray 10.0.0.1:6379

\b
Exit codes: 0 every photo and video was read; 1 some could not be; 2 wrong
usage, or nothing to scan; 130 interrupted: the next scan continues."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scan", epilog=EXAMPLES)(scan)


def scan(
    ctx: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...",
            show_default=False,
            parser=parse_scan_path,
            help="Folders of photos, and s3:// or gs:// addresses; with --merge, scans and Parquet shards.",
        ),
    ],
    scan_file: ScanPath = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Analyze part K of N, as one of N machines; the scan is NAME.K-of-N.scan.",
        ),
    ] = None,
    videos: Annotated[
        bool, typer.Option("--videos", help="Analyze videos too, after the photos; takes much longer.")
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Add the results of other scans, such as those of all parts.")
    ] = False,
    moved: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="OLD NEW", help="With --merge: path of a folder in those scans, and its path here."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Scan on all machines of a Ray cluster; 'local' starts one on this machine's cores.",
        ),
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --ray: folder for the Parquet shards. Default: beside the scan."),
    ] = None,
    no_merge: Annotated[
        bool, typer.Option("--no-merge", help="With --ray: leave the results in the Parquet shards.")
    ] = False,
    time_limit: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1, help="With --ray: time limit for one photo. Default: 300."),
    ] = None,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Forget the photos and videos of these folders, whether or not they exist."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object for each file analyzed, or one for a merge.")
    ] = False,
) -> int:
    """Analyze all photos of folders once, and keep the faces.

    Files that were analyzed before are skipped, even if they were moved, renamed or copied; those that no longer exist
    are forgotten. 'facebank identify --scan' then identifies the people, as often as you like.
    """
    part = _parse_shard(shard, forget=forget, merge=merge, moved=moved, videos=videos)
    _check_paths(paths, videos=videos)
    exclusive = {"--forget": forget, "--merge": merge, "--videos": videos}
    cluster = _cluster_options(
        global_options(ctx), ray, shards, no_merge=no_merge, time_limit=time_limit, exclusive=exclusive
    )
    from facebank.album.album import Album
    from facebank.album.scan_paths import default_scan_path
    from facebank.operations.inputs import gather_photos
    from facebank.video.scan import scan_videos

    progress = _ScanProgress(as_json)
    with (
        global_options(ctx).open_bank(threads=1, long_running=True) as bank,
        Album(bank, scan_file if scan_file or part is None else default_scan_path(bank.path, part)) as album,
        progress,
    ):
        if forget:
            say(f"{pluralize(album.forget(paths), 'file')} forgotten")
            return 0
        if merge:
            merge_report = album.merge(paths, moved=moved, progress=progress)
            progress.close()
            _print_merge(album, merge_report, as_json=as_json)
            return 0
        folders = [path for path in paths if isinstance(path, Path)]  # buckets are listed by the scan
        gathered = gather_photos(folders, skip_annotated=False, shard=part)  # the scan checks new files only
        if videos:
            gathered = replace(gathered, videos=0)  # they are analyzed below
        report_skipped(gathered)
        if as_json:
            write_skipped(gathered, _SKIPPED)
        try:
            shard_numbers = None if part is None else (part.number, part.count)
            scan_photos = album.scan if cluster is None else cluster.scanner(bank, album)
            report = scan_photos(paths, shard=shard_numbers, needs_photos=not videos, progress=progress)
            video_report = scan_videos(bank, album, paths, progress=progress) if videos else None
        except KeyboardInterrupt as error:
            done = pluralize(progress.files, "file")
            raise KeyboardInterrupt(f"{done} analyzed in this run; the next scan continues") from error
        progress.report_unreadable(report.unreadable)
        if video_report is not None:
            progress.report_unreadable(video_report.unreadable, are_videos=True)
        if not as_json:
            write_line(_summary(report))
            _print_counts(album, cluster)
            if video_report is not None:
                write_line(f"videos: {_summary(video_report)}")
    unreadable_videos = video_report is not None and video_report.unreadable
    return SOME_FAILED if report.unreadable or unreadable_videos else 0


@dataclass(frozen=True, slots=True)
class _Cluster:
    """The options of a scan on a Ray cluster."""

    address: str
    shards: Path | None
    no_merge: bool
    time_limit: float
    runtime: str

    def scanner(self, bank: FaceBank, album: Album) -> Callable[..., ScanReport]:
        """Return a function that is called like `Album.scan` and scans on the cluster."""
        from facebank.cluster import ray_scan

        return partial(
            ray_scan,
            bank,
            address=self.address,
            scan=album.path,
            shards=self.shards,
            merge=not self.no_merge,
            runtime=self.runtime,
            time_limit=self.time_limit,
        )


def _cluster_options(
    options: GlobalOptions,
    address: str | None,
    shards: Path | None,
    *,
    no_merge: bool,
    time_limit: float | None,
    exclusive: Mapping[str, bool],
) -> _Cluster | None:
    """Return the options for a cluster, None without --ray; raises UsageError for options that exclude each other."""
    from facebank.errors import UsageError

    if address is None:
        ray_only = {"--shards": shards is not None, "--no-merge": no_merge, "--time-limit": time_limit is not None}
        for option in (option for option, is_given in ray_only.items() if is_given):
            raise UsageError(f"{option} requires --ray")
        return None
    for option in (option for option, is_given in exclusive.items() if is_given):
        raise UsageError(f"--ray and {option} exclude each other")
    if options.device == "cuda":
        raise UsageError("--ray and --device cuda exclude each other: workers compute on processor cores")
    return _Cluster(address, shards, no_merge, time_limit or _TIME_LIMIT, options.runtime)


def _parse_shard(
    shard: str | None, *, forget: bool, merge: bool, moved: tuple[Path, Path] | None, videos: bool
) -> Shard | None:
    """Return the shard to scan, None for all photos; raises UsageError for options that exclude each other."""
    from facebank.errors import UsageError
    from facebank.media.shards import Shard

    part = None if shard is None else Shard.parse(shard)
    if merge and (forget or part is not None):
        raise UsageError(f"--merge and {'--forget' if forget else '--shard'} exclude each other")
    if videos and (forget or merge or part is not None):
        other = "--forget" if forget else "--merge" if merge else "--shard"
        raise UsageError(f"--videos and {other} exclude each other")
    if moved is not None and not merge:
        raise UsageError("--moved requires --merge")
    if forget and part is not None:
        raise UsageError("--forget and --shard exclude each other: name the scan of the shard with --scan-file")
    return part


def _check_paths(paths: Sequence[Path | str], *, videos: bool) -> None:
    from facebank.errors import UsageError
    from facebank.storage.bucket_urls import is_bucket_url
    from facebank.storage.paths import named_places
    from facebank.storage.text import printable

    buckets = [printable(str(path)) for path in named_places(paths) if is_bucket_url(path)]
    if videos and buckets:
        raise UsageError(f"--videos excludes buckets, whose videos are not read: mount {buckets[0]} instead")


def _print_merge(album: Album, report: MergeReport, *, as_json: bool) -> None:
    for folder, missing in report.missing.items():
        say(f"shards of {folder} that are not merged yet: {join_first(missing)}; merge them once they are scanned")
    if as_json:
        counts = album.scan_file.count()
        write_json(
            {
                "scan": str(album.path),
                "new": report.new,
                "changed": report.changed,
                "unchanged": report.unchanged,
                "gone": report.gone,
                "files": counts.files,
                "photos": counts.photos,
                "faces": counts.faces,
                "missing": missing_shard_records(report.missing),
            }
        )
        return
    parts = ((report.new, "new"), (report.changed, "changed"), (report.unchanged, "unchanged"), (report.gone, "gone"))
    write_line(_join_counts(parts) or "nothing to merge")
    _print_counts(album)


def _print_counts(album: Album, cluster: _Cluster | None = None) -> None:
    if cluster is not None and cluster.no_merge:
        return
    counts = album.scan_file.count()
    write_line(scan_line(album.path, faces=counts.faces, photos=counts.photos, files=counts.files))


class _ScanProgress(ProgressBar):
    """Progress of a scan, which reports folders that became empty and writes a JSON record for each file."""

    def __init__(self, as_json: bool) -> None:
        super().__init__(writes_lines=as_json)
        self.files = 0
        self._failed = set[str]()

    def report(self, result: object) -> None:
        """Report a plan, a file, or a note of a cluster."""
        from facebank.album.scan.scan_file import ScannedFile
        from facebank.album.scan.scan_plan import ScanPlan
        from facebank.album.scan.videos import ScannedVideo

        if isinstance(result, ScanPlan):
            self._report_plan(result)
        elif isinstance(result, ScannedVideo):
            self._count_video(result)
        elif isinstance(result, ScannedFile):
            self._count_file(result)
        elif isinstance(text := getattr(result, "text", None), str):  # a note of the cluster
            say(text)

    def _report_plan(self, plan: ScanPlan) -> None:
        for folder in plan.emptied:
            say(
                f"{folder} no longer has photos: its earlier results are kept in case a disk is missing; --forget "
                "removes them"
            )
        report_annotated(plan.skipped.annotated)
        report_skipped(plan.in_buckets)
        if self.writes_lines:
            write_skipped(plan.in_buckets, _SKIPPED)

    def _count_file(self, file: ScannedFile) -> None:
        self.files += 1
        if file.error is not None:
            self._failed.add(file.path)
        if self.writes_lines:
            write_json(_record(file))

    def _count_video(self, video: ScannedVideo) -> None:
        self.files += 1
        if video.error is not None:
            self._failed.add(video.path)
        if self.writes_lines:
            write_json(_video_record(video))

    def report_unreadable(self, unreadable: Mapping[str, str], *, are_videos: bool = False) -> None:
        """Report files that cannot be read, including unchanged ones from earlier scans."""
        self.close()
        record = _unreadable_video_record if are_videos else _unreadable_record
        for path, reason in unreadable.items():
            say(reason)
            if self.writes_lines and path not in self._failed:
                write_json(record(path, reason))


def _record(file: ScannedFile) -> dict[str, object]:
    if file.error is not None:
        return _unreadable_record(file.path, file.error)
    status = "known" if file.photo is None else "scanned"
    faces = None if file.photo is None else len(file.photo.faces)
    turned = None if file.photo is None else degrees(file.photo.quarter_turns)
    return {"image": file.path, "status": status, "faces": faces, "turned": turned, "error": None}


def _unreadable_record(path: str, reason: str) -> dict[str, object]:
    return {"image": path, "status": "unreadable", "faces": None, "turned": None, "error": reason}


def _video_record(video: ScannedVideo) -> dict[str, object]:
    if video.error is not None:
        return _unreadable_video_record(video.path, video.error)
    status, tracks = ("known", None) if video.is_known else ("scanned", len(video.tracks))
    return {"video": video.path, "status": status, "tracks": tracks, "error": None}


def _unreadable_video_record(path: str, reason: str) -> dict[str, object]:
    return {"video": path, "status": "unreadable", "tracks": None, "error": reason}


def _summary(report: ScanReport | VideoScanReport) -> str:
    parts = (
        (report.analyzed, "analyzed"),
        (report.known_by_content, "moved, renamed or copied"),
        (report.unchanged, "unchanged"),
        (report.gone, "gone"),
        (len(report.unreadable), "unreadable"),
    )
    return _join_counts(parts) or "nothing to analyze"


def _join_counts(parts: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{count:,} {state}" for count, state in parts if count)
