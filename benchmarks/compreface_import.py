"""Agreement of decisions before and after an import over CompreFace's API.

    python -m benchmarks.compreface_import ../shared/data/lfw --out benchmarks/reports/compreface_import.json

People with four or more photos are enrolled from three of them and served by ``facebank serve``;
`FaceBank.import_compreface` imports them into a second gallery from the thumbnails of the first. Both galleries
identify the same other photos: up to three of each person, and ``--strangers`` photos of people with a single one.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from benchmarks.robustness.serving import served
from facebank import Face, FaceBank, Photo


def choose_photos(root: Path, people: int, strangers: int) -> tuple[dict[str, list[Path]], list[Path]]:
    """Return the photos to enroll by name, and those to identify."""
    folders = {folder.name: sorted(folder.glob("*.jpg")) for folder in sorted(root.iterdir()) if folder.is_dir()}
    many = [name for name, photos in folders.items() if len(photos) >= 4]
    single = [photos[0] for photos in folders.values() if len(photos) == 1]
    random.Random(1).shuffle(many)
    random.Random(2).shuffle(single)
    enrolled = {name: folders[name][:3] for name in many[:people]}
    return enrolled, [photo for name in enrolled for photo in folders[name][3:6]] + single[:strangers]


def compare(before: list[Photo], after: list[Photo]) -> dict[str, int]:
    """Return the number of faces, and of those with different decisions."""
    pairs: list[tuple[Face, Face]] = []
    for old, new in zip(before, after, strict=True):
        pairs += zip(old.faces, new.faces, strict=True)
    return {
        "photos": len(before),
        "faces": len(pairs),
        "known": sum(old.person is not None for old, _ in pairs),
        "decided_otherwise": sum((old.decision, old.person) != (new.decision, new.person) for old, new in pairs),
        "named_otherwise": sum(old.person != new.person for old, new in pairs),
    }


def main() -> None:
    """Import and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, help="folder with one folder per person")
    parser.add_argument("--people", type=int, default=100, help="number of people to import (default 100)")
    parser.add_argument("--strangers", type=int, default=200, help="number of photos of other people (default 200)")
    parser.add_argument("--out", type=Path, required=True, help="path of the JSON report")
    args = parser.parse_args()
    enrolled, probes = choose_photos(args.photos, args.people, args.strangers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with FaceBank.open(folder / "before.facebank") as old, FaceBank.open(folder / "after.facebank") as new:
            examples = sum(old.enroll(person, photos).accepted for person, photos in enrolled.items())
            with served(old.path) as serving:
                started = time.perf_counter()
                imported = new.import_compreface(serving.address, "any")
                seconds = time.perf_counter() - started
            report: dict[str, object] = {
                "people": len(enrolled),
                "examples": examples,
                "taken": sum(one.accepted for one in imported),
                "seconds": round(seconds, 1),
                **compare(list(old.identify(probes)), list(new.identify(probes))),
            }
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
