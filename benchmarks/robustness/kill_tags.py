"""Kills ``facebank tags write --embed`` after a denial: the name must not return, and no photo may be damaged."""

from __future__ import annotations

import json
import os
import random
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

from benchmarks.robustness.killing import Outcome
from facebank import FaceBank
from facebank.album.album import Album
from facebank.album.tags.writing import TagOptions
from facebank.album.tags.xmp_files import read_photo_xmp
from facebank.media import picture_hash, read_photo, read_photo_bytes

DEMO_PHOTOS = Path(__file__).resolve().parents[2] / "facebank" / "demo" / "photos"
DEADLINE = 120.0  # seconds
NAME = "deny, then tags write --embed"
DENIED, KNOWN = "Barack Obama", "Eileen Collins"


def trial(rounds: int, chance: random.Random) -> Outcome:
    """Kill the command repeatedly, in half of the runs shortly after a new file of a photo appears."""
    counts = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        template, place = Path(folder) / "template", Path(folder) / "trial"
        environment = _prepared(template, place)
        started = time.monotonic()
        _run(_facebank("tags", "write", place / "album", "--embed"), environment)
        longest = 1.1 * (time.monotonic() - started)
        for number in range(rounds):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(template, place)
            moment = None if number % 2 == 0 else chance.uniform(0.3 * longest, longest)
            _run_trial(place, environment, counts, chance, moment)
    wrong = [f"{what}, {count:,} times" for what, count in sorted(counts.items()) if what.startswith("BROKEN")]
    print(f"{NAME}: {dict(sorted(counts.items()))}", file=sys.stderr)
    return Outcome(rounds, counts["killed"], wrong)


def _prepared(template: Path, place: Path) -> dict[str, str]:
    """Create a gallery of two people and a scanned album of photos of both, with the first denied in each."""
    album = template / "album"
    album.mkdir(parents=True)
    both = [Image.open(DEMO_PHOTOS / name).convert("RGB") for name in ("barack_obama_speech.jpg", "eileen_collins.jpg")]
    height = min(picture.height for picture in both)
    pair = np.hstack(
        [np.asarray(picture.resize((picture.width * height // picture.height, height))) for picture in both]
    )
    for number in range(3):
        Image.fromarray(pair).save(album / f"{number}.jpg", quality=90 + number)  # three distinct images
    os.environ["FACEBANK_CACHE"] = str(template.parent / "cache")
    environment = {
        **os.environ,
        "FACEBANK_GALLERY": str(place / "trial.facebank"),
        "PYTHONUTF8": "1",
    }
    place.mkdir()
    shutil.copytree(album, place / "album")
    for person, portrait in ((DENIED, "barack_obama_portrait_2012.jpg"), (KNOWN, "eileen_collins.jpg")):
        _run(_facebank("enroll", "--name", person, DEMO_PHOTOS / portrait), environment)
    _run(_facebank("scan", place / "album"), environment)
    for photo in sorted((place / "album").iterdir()):
        record = json.loads(_run(_facebank("identify", photo, "--json"), environment))
        people = [face["person"] for face in record["faces"]]
        if sorted(filter(None, people)) != sorted((DENIED, KNOWN)):
            raise SystemExit(f"{photo} should show both people, not {people}")
        _run(_facebank("deny", photo, DENIED, "--face", str(people.index(DENIED) + 1)), environment)
    shutil.rmtree(template)
    shutil.copytree(place, template)
    return environment


def _run_trial(
    place: Path, environment: dict[str, str], counts: Counter[str], chance: random.Random, moment: float | None
) -> None:
    """Kill the command after some seconds, or, if None, shortly after a new file of a photo appears."""
    album = place / "album"
    photos = sorted(album.iterdir())
    pictures = {photo: picture_hash(photo.read_bytes()) for photo in photos}
    contents = {photo: photo.read_bytes() for photo in photos}
    if moment is None:
        due = _when_replaced([chance.choice(photos)], chance.choice((0.0, 0.0, 0.001, 0.003, 0.01)))
    else:
        due = _after(moment)
    killed = _run_and_kill(_facebank("tags", "write", album, "--embed"), environment, due)
    written = [photo for photo in photos if photo.read_bytes() != contents[photo]]
    found = Counter[str]()
    found["killed" if killed else "ended before it was killed"] += 1
    found["killed between the first photo and the last"] += killed and 0 < len(written) < len(photos)
    found["photos written before the kill"] += len(written)
    _check_photos(pictures, found)
    with FaceBank.open(place / "trial.facebank", threads=1) as bank, Album(bank) as scanned:
        _check_names(bank, scanned, album, found, "after the kill")
        errors = [tagged.error for tagged in scanned.write_tags([album], TagOptions(into_photos=True))]
        found["BROKEN: tags write fails after the kill"] += any(errors)
    with FaceBank.open(place / "trial.facebank", threads=1) as bank, Album(bank) as scanned:
        report = scanned.scan([album])
        found["BROKEN: a photo was analyzed again"] += report.looked_at
        _check_names(bank, scanned, album, found, "after another tags write and scan")
    _check_photos(pictures, found)
    for photo in photos:
        names = [region.name for source in read_photo_xmp(photo).sources for region in source.document.regions]
        found["BROKEN: wrong names in a photo"] += names != [KNOWN]
    counts.update({what: count for what, count in found.items() if count})


def _check_photos(pictures: dict[Path, str], counts: Counter[str]) -> None:
    for photo, picture in pictures.items():
        data = photo.read_bytes()
        counts["BROKEN: a photo's picture changed"] += picture_hash(data) != picture
        counts["BROKEN: a photo cannot be read whole"] += not np.array_equal(
            read_photo(photo).pixels, read_photo_bytes(data).pixels
        )


def _check_names(bank: FaceBank, scanned: Album, album: Path, counts: Counter[str], when: str) -> None:
    """Check the names in the files and in the scan."""
    for photos in (bank.identify(album), scanned.identify([album])):
        for photo in photos:
            people = [face.person for face in photo.faces]
            counts[f"BROKEN: the denied name came back {when}"] += DENIED in people
            counts[f"BROKEN: the known name is lost {when}"] += KNOWN not in people
    counts[f"BROKEN: find gives the denied name {when}"] += len(scanned.find([DENIED]))


def _facebank(*arguments: str | Path) -> list[str]:
    """Return the command line of facebank in the running Python."""
    beside = Path(sys.executable).with_name("facebank")
    start = [str(beside)] if beside.exists() else [sys.executable, "-m", "facebank_cli"]
    return [*start, *map(str, arguments)]


def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    """Run a command and return its output; raises `subprocess.CalledProcessError` if it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=DEADLINE, check=True)
    return done.stdout


def _run_and_kill(command: Sequence[str], environment: dict[str, str], due: Callable[[float], bool]) -> bool:
    """Run a command and kill it when `due` returns true.

    Parameters
    ----------
    command, environment
        Command line and environment.
    due
        Called repeatedly with the seconds since the start; the command is killed when it returns true.

    Returns
    -------
    bool
        Whether it was killed; False if it ended before.
    """
    started = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None:
            if due(time.monotonic() - started):
                running.kill()
                running.wait()
                return True
            if time.monotonic() - started > DEADLINE:
                running.kill()
                raise TimeoutError(f"{command} does not end")
    return False


def _after(seconds: float) -> Callable[[float], bool]:
    """Return a condition that is due after some seconds."""
    return lambda passed: passed >= seconds


def _when_replaced(paths: Sequence[Path], then: float = 0.0) -> Callable[[float], bool]:
    """Return a condition that is due some seconds after one of the files was replaced."""
    before = [_number(path) for path in paths]
    seen: list[float] = []

    def due(passed: float) -> bool:
        if not seen and any(_number(path) not in (None, was) for path, was in zip(paths, before, strict=True)):
            seen.append(passed)
        return bool(seen) and passed >= seen[0] + then

    return due


def _number(path: Path) -> int | None:
    with suppress(OSError):
        return path.stat().st_ino
    return None
