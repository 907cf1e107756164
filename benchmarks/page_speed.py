"""Response times of the web page with 30,000 photos and 500 people.

    python -m benchmarks.page_speed --out benchmarks/reports/page_speed

The album is synthetic: random embeddings around a center for each person, and strangers, in a scan file and a gallery
of the embedded pack. Its photos do not exist, and no images are requested. Reports the median time of each page over
local HTTP, after the overview of the album is complete, and while it is being built. Required: 200 ms.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import httpx
import numpy as np

from benchmarks.json_report import write_json_report
from facebank import FaceBank
from facebank.album.scan.rows import FileStamp
from facebank.album.scan.scan_file import ScanFile, ScannedFile
from facebank.album.scan_paths import default_scan_path
from facebank.gallery import NewSample
from facebank.service.application import make_app
from facebank.service.options import Limits, ServiceOptions
from facebank.service.server import Server, listen
from facebank.storage.arrays import normalized
from facebank.types import Face, Photo, Quality

if TYPE_CHECKING:
    from facebank.types import FloatArray

MAX_SECONDS = 0.2
SAMPLES, FACES = 8, 1.5  # per person; per photo
STRANGER_FRACTION = 0.15  # of faces
SPREAD = 0.9  # of embeddings around their center, relative to its length 1
_REPEATS = 15


def make_gallery(bank: FaceBank, centers: FloatArray, random: np.random.Generator) -> None:
    """Enroll a person with `SAMPLES` samples for each of the P centers, ``(P, D)``."""
    thumbnail = cv2.imencode(".jpg", random.integers(0, 255, (128, 128, 3), dtype=np.uint8))[1].tobytes()
    people = []
    for number, center in enumerate(centers):
        samples = [
            NewSample(
                box=np.array([10, 10, 110, 140], np.float32),
                landmarks=np.zeros((5, 2), np.float32),
                detection_score=0.9,
                quality=float(random.uniform(0.5, 1.0)),
                path=f"/none/{number}-{sample}.jpg",
                content_hash=hashlib.sha256(f"sample {number} {sample}".encode()).hexdigest(),
                quarter_turns=0,
                taken_at=None,
                thumbnail=thumbnail,
                vectors={"plain": embedding},
            )
            for sample, embedding in enumerate(draw_embeddings(center, SAMPLES, random))
        ]
        people.append((f"Person {number:03d}", samples))
    bank.open_gallery(create=True).enroll_people(people)


def draw_embeddings(center: FloatArray, count: int, random: np.random.Generator) -> FloatArray:
    """Return random embeddings around a center, ``float32`` of shape ``(count, D)``."""
    noise = random.normal(size=(count, len(center))) / np.sqrt(len(center))
    return np.asarray(normalized(center + SPREAD * noise), dtype=np.float32)


def make_photos(folder: Path, count: int, centers: FloatArray, random: np.random.Generator) -> Iterator[ScannedFile]:
    """Yield scanned photos of people, with a skewed distribution, and of strangers."""
    weights = 1.0 / np.arange(1, len(centers) + 1) ** 0.7
    weights /= weights.sum()
    start = datetime(2005, 1, 1, tzinfo=UTC)
    for number in range(count):
        faces = []
        for _ in range(max(1, random.poisson(FACES))):
            is_stranger = random.uniform() < STRANGER_FRACTION
            center = (
                np.asarray(normalized(random.normal(size=(1, centers.shape[1]))), np.float32)[0]
                if is_stranger
                else centers[random.choice(len(centers), p=weights)]
            )
            left, top = random.uniform(0, 3000), random.uniform(0, 2000)
            faces.append(
                Face(
                    np.array([left, top, left + 300, top + 400], np.float32),
                    np.zeros((5, 2), np.float32),
                    0.9,
                    assessment=Quality(float(random.uniform(0.4, 1.0)), 400.0, 0.8, 0.9),
                    embedding=draw_embeddings(center, 1, random)[0],
                )
            )
        path = folder / f"{number // 500:03d}" / f"IMG_{number:06d}.jpg"
        content = hashlib.sha256(str(path).encode()).hexdigest()
        photo = Photo(
            str(path),
            tuple(faces),
            width=4000,
            height=3000,
            content_hash=content,
            taken_at=start + timedelta(hours=6 * number),
            camera_dated=True,
        )
        yield ScannedFile(str(path), FileStamp(1_000, number), content, None, photo)


def make_album(bank: FaceBank, folder: Path, count: int, people: int) -> None:
    """Create the gallery and the scan."""
    random = np.random.default_rng(0)
    pack = bank.engine.identity
    centers = np.asarray(normalized(random.normal(size=(people, pack.dimension))), np.float32)
    make_gallery(bank, centers, random)
    with ScanFile.open(default_scan_path(bank.path), pack, create=True) as scan_file:
        batch: list[ScannedFile] = []
        for file in make_photos(folder, count, centers, random):
            batch.append(file)
            if len(batch) == 1_000:
                scan_file.keep(batch)
                batch = []
        scan_file.keep(batch)


def measure(client: httpx.Client, repeats: int) -> dict[str, dict[str, float]]:
    """Return the median and longest time in milliseconds, and the size, of each page."""
    html = client.get("/people/1").text
    photo_link = re.search(r"/photos/[0-9a-f]{64}", html)
    pair_link = re.search(r"/people/1\?with=\d+", html)
    pages = {
        "people": "/",
        "people, searched": "/?q=person+4",
        "person": "/people/1",
        "person, page 10": "/people/1?page=10",
        "person, with another": pair_link[0] if pair_link else "/people/1",
        "photo": photo_link[0] if photo_link else "/",
        "who is this": "/who",
        "next question": "/who/next",
        "look-alikes": "/look-alikes",
        "add photos": "/add",
        "settings": "/settings",
    }
    times = {}
    for name, address in pages.items():
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            response = client.post(address, json={}) if address == "/who/next" else client.get(address)
            seconds.append(time.perf_counter() - started)
            if response.status_code != 200:
                raise SystemExit(f"{address} failed with status {response.status_code}: {response.text[:500]}")
        times[name] = {
            "median_ms": round(1000 * float(np.median(seconds)), 1),
            "longest_ms": round(1000 * max(seconds), 1),
            "kilobytes": round(len(response.content) / 1000, 1),
        }
    return times


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="path of the report, without suffix")
    parser.add_argument("--photos", type=int, default=30_000, help="number of photos (default 30,000)")
    parser.add_argument("--people", type=int, default=500, help="number of people (default 500)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="facebank-page-speed-") as scratch:
        folder = Path(scratch) / "album"
        folder.mkdir()
        with FaceBank.open(Path(scratch) / "family.facebank", device="cpu", threads=1) as bank:
            make_album(bank, folder, arguments.photos, arguments.people)
            report = measure_service(bank, folder)
    report = {"photos": arguments.photos, "people": arguments.people, "required_ms": 1000 * MAX_SECONDS, **report}
    if arguments.out is not None:
        write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


def measure_service(bank: FaceBank, folder: Path) -> dict[str, object]:
    """Serve the album and return the measurements."""
    options = ServiceOptions(port=0, albums=(folder,), limits=Limits(requests_a_minute=1_000_000))
    with listen(options) as listener:
        app = make_app(bank, options)
        server, started = Server(app), time.perf_counter()
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        page = app.state.page
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=address, timeout=120.0, trust_env=False) as client:
                while len(page.overview) < 5_000 and not page.overview.done:
                    time.sleep(0.1)
                busy_pages = measure(client, 5)
                while not page.overview.is_current:
                    time.sleep(0.2)
                overview_seconds = time.perf_counter() - started
                time.sleep(1.0)
                while page.is_busy:
                    time.sleep(0.2)
                grouping_seconds = time.perf_counter() - started
                idle_pages = measure(client, _REPEATS)
        finally:
            server.should_exit = True
            thread.join()
    return {
        "seconds_until_looked_through": round(overview_seconds, 1),
        "seconds_until_grouped": round(grouping_seconds, 1),
        "pages": idle_pages,
        "pages_while_looking": busy_pages,
    }


if __name__ == "__main__":
    main()
