"""Trial that kills ``facebank tags write --embed`` after a denial.

The denied name must not return, and no photo may be damaged.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.robustness.inputs import DEMO_PHOTOS, ENROLLED, OTHER_PERSON, PERSON
from benchmarks.robustness.killer import Outcome
from facebank import FaceBank
from facebank.album.album import Album
from facebank.album.tags.writing import TagOptions
from facebank.album.tags.xmp_files import read_photo_xmp
from facebank.media import picture_hash, read_photo, read_photo_bytes

DEADLINE = 120.0  # seconds
NAME = "deny, then tags write --embed"
DENIED, KNOWN = PERSON, OTHER_PERSON


def run_trials(rounds: int, rng: random.Random) -> Outcome:
    """Kill the command repeatedly, in half of the runs shortly after it has replaced a photo's file."""
    counts = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        template, work = Path(folder) / "template", Path(folder) / "trial"
        environment = _prepare(template, work)
        started = time.monotonic()
        _run(_facebank("tags", "write", work / "album", "--embed"), environment)
        max_seconds = 1.1 * (time.monotonic() - started)
        for number in range(rounds):
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(template, work)
            seconds = None if number % 2 == 0 else rng.uniform(0.3 * max_seconds, max_seconds)
            _run_trial(work, environment, counts, rng, seconds)
    wrong = [f"{fault}, {count:,} times" for fault, count in sorted(counts.items()) if fault.startswith("BROKEN")]
    print(f"{NAME}: {dict(sorted(counts.items()))}", file=sys.stderr)
    return Outcome(rounds, counts["killed"], wrong)


def _prepare(template: Path, work: Path) -> dict[str, str]:
    """Create a gallery of two people and a scanned album of photos of both, with the first denied in each."""
    album = template / "album"
    album.mkdir(parents=True)
    names = ("barack_obama_speech.jpg", "eileen_collins.jpg")
    images = [Image.open(DEMO_PHOTOS / name).convert("RGB") for name in names]
    height = min(image.height for image in images)
    pair = np.hstack([np.asarray(image.resize((image.width * height // image.height, height))) for image in images])
    for number in range(3):
        Image.fromarray(pair).save(album / f"{number}.jpg", quality=90 + number)  # three distinct images
    os.environ["FACEBANK_CACHE"] = str(template.parent / "cache")
    environment = {
        **os.environ,
        "FACEBANK_GALLERY": str(work / "trial.facebank"),
        "PYTHONUTF8": "1",
    }
    work.mkdir()
    shutil.copytree(album, work / "album")
    for person, file_name in ENROLLED.items():
        _run(_facebank("enroll", "--name", person, DEMO_PHOTOS / file_name), environment)
    _run(_facebank("scan", work / "album"), environment)
    for path in sorted((work / "album").iterdir()):
        record = json.loads(_run(_facebank("identify", path, "--json"), environment))
        people = [face["person"] for face in record["faces"]]
        if sorted(filter(None, people)) != sorted((DENIED, KNOWN)):
            raise SystemExit(f"{path} must show {DENIED} and {KNOWN}, but facebank identified {people}")
        _run(_facebank("deny", path, DENIED, "--face", str(people.index(DENIED) + 1)), environment)
    shutil.rmtree(template)
    shutil.copytree(work, template)
    return environment


def _run_trial(
    work: Path, environment: dict[str, str], counts: Counter[str], rng: random.Random, seconds: float | None
) -> None:
    """Kill the command after `seconds`, or, if None, shortly after it has replaced a photo's file."""
    folder = work / "album"
    paths = sorted(folder.iterdir())
    contents = {path: path.read_bytes() for path in paths}
    hashes = {path: picture_hash(content) for path, content in contents.items()}
    if seconds is None:
        is_due = _due_after_replacement([rng.choice(paths)], rng.choice((0.0, 0.0, 0.001, 0.003, 0.01)))
    else:
        is_due = _due_after(seconds)
    is_killed = _run_and_kill(_facebank("tags", "write", folder, "--embed"), environment, is_due)
    written = [path for path in paths if path.read_bytes() != contents[path]]
    trial_counts = Counter[str]()
    trial_counts["killed" if is_killed else "ended before it was killed"] += 1
    trial_counts["killed between the first photo and the last"] += is_killed and 0 < len(written) < len(paths)
    trial_counts["photos written before the kill"] += len(written)
    _check_photos(hashes, trial_counts)
    with FaceBank.open(work / "trial.facebank", threads=1) as bank, Album(bank) as album:
        _check_names(bank, album, folder, trial_counts, "after the kill")
        errors = [tagged.error for tagged in album.write_tags([folder], TagOptions(into_photos=True))]
        trial_counts["BROKEN: tags write fails after the kill"] += any(errors)
    with FaceBank.open(work / "trial.facebank", threads=1) as bank, Album(bank) as album:
        report = album.scan([folder])
        trial_counts["BROKEN: a photo was analyzed again"] += report.analyzed
        _check_names(bank, album, folder, trial_counts, "after another tags write and scan")
    _check_photos(hashes, trial_counts)
    for path in paths:
        names = [region.name for source in read_photo_xmp(path).sources for region in source.document.regions]
        trial_counts["BROKEN: wrong names in a photo"] += names != [KNOWN]
    counts.update({outcome: count for outcome, count in trial_counts.items() if count})


def _check_photos(hashes: dict[Path, str], counts: Counter[str]) -> None:
    for path, expected_hash in hashes.items():
        data = path.read_bytes()
        counts["BROKEN: a photo's picture changed"] += picture_hash(data) != expected_hash
        counts["BROKEN: a photo cannot be read whole"] += not np.array_equal(
            read_photo(path).pixels, read_photo_bytes(data).pixels
        )


def _check_names(bank: FaceBank, album: Album, folder: Path, counts: Counter[str], when: str) -> None:
    for photos in (bank.identify(folder), album.identify([folder])):
        for photo in photos:
            people = [face.person for face in photo.faces]
            counts[f"BROKEN: the denied name came back {when}"] += DENIED in people
            counts[f"BROKEN: the known name is lost {when}"] += KNOWN not in people
    counts[f"BROKEN: find gives the denied name {when}"] += len(album.find([DENIED]))


def _facebank(*arguments: str | Path) -> list[str]:
    program = Path(sys.executable).with_name("facebank")
    start = [str(program)] if program.exists() else [sys.executable, "-m", "facebank_cli"]
    return [*start, *map(str, arguments)]


def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    """Run a command and return its output; raises `subprocess.CalledProcessError` if it fails."""
    completed = subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", timeout=DEADLINE, check=True
    )
    return completed.stdout


def _run_and_kill(command: Sequence[str], environment: dict[str, str], is_due: Callable[[float], bool]) -> bool:
    """Run a command, and kill it when `is_due` is true of the seconds since the start.

    Returns
    -------
    bool
        Whether it was killed; False if it ended before.

    Raises
    ------
    TimeoutError
        If it did not end within `DEADLINE`.
    """
    started = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if is_due(time.monotonic() - started):
                process.kill()
                process.wait()
                return True
            if time.monotonic() - started > DEADLINE:
                process.kill()
                raise TimeoutError(f"{shlex.join(command)} did not end within {DEADLINE:.0f} s")
    return False


def _due_after(seconds: float) -> Callable[[float], bool]:
    return lambda elapsed: elapsed >= seconds


def _due_after_replacement(paths: Sequence[Path], delay: float = 0.0) -> Callable[[float], bool]:
    """Return a condition that becomes true `delay` seconds after one of the files was replaced."""
    inodes = [_inode(path) for path in paths]
    replaced_at: list[float] = []

    def is_due(elapsed: float) -> bool:
        pairs = zip(paths, inodes, strict=True)
        if not replaced_at and any(_inode(path) not in (None, inode) for path, inode in pairs):
            replaced_at.append(elapsed)
        return bool(replaced_at) and elapsed >= replaced_at[0] + delay

    return is_due


def _inode(path: Path) -> int | None:
    with suppress(OSError):
        return path.stat().st_ino
    return None
