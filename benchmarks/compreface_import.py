"""Agreement of decisions before and after an import over CompreFace's API.

    python -m benchmarks.compreface_import ../shared/data/lfw --out benchmarks/reports/compreface_import

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

from benchmarks.json_report import write_json_report
from benchmarks.robustness.serving import run_service
from facebank import Face, FaceBank, Photo


def choose_photos(root: Path, people: int, strangers: int) -> tuple[dict[str, list[Path]], list[Path]]:
    """Return the paths of the photos to enroll, by name, and of those to identify."""
    paths_by_name = {folder.name: sorted(folder.glob("*.jpg")) for folder in sorted(root.iterdir()) if folder.is_dir()}
    frequent = [name for name, paths in paths_by_name.items() if len(paths) >= 4]
    stranger_paths = [paths[0] for paths in paths_by_name.values() if len(paths) == 1]
    random.Random(1).shuffle(frequent)
    random.Random(2).shuffle(stranger_paths)
    enrolled = {name: paths_by_name[name][:3] for name in frequent[:people]}
    return enrolled, [path for name in enrolled for path in paths_by_name[name][3:6]] + stranger_paths[:strangers]


def compare(before: list[Photo], after: list[Photo]) -> dict[str, int]:
    """Return the number of faces, and of those with different decisions."""
    pairs: list[tuple[Face, Face]] = []
    for first, second in zip(before, after, strict=True):
        pairs += zip(first.faces, second.faces, strict=True)
    return {
        "photos": len(before),
        "faces": len(pairs),
        "known": sum(first.person is not None for first, _ in pairs),
        "decided_otherwise": sum(
            (first.decision, first.person) != (second.decision, second.person) for first, second in pairs
        ),
        "named_otherwise": sum(first.person != second.person for first, second in pairs),
    }


def main() -> None:
    """Import and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, help="folder with one folder per person")
    parser.add_argument("--people", type=int, default=100, help="number of people to import (default 100)")
    parser.add_argument("--strangers", type=int, default=200, help="number of photos of other people (default 200)")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    enrolled, probes = choose_photos(arguments.photos, arguments.people, arguments.strangers)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with FaceBank.open(folder / "before.facebank") as before, FaceBank.open(folder / "after.facebank") as after:
            examples = sum(before.enroll(person, paths).accepted for person, paths in enrolled.items())
            with run_service(before.path) as service:
                started = time.perf_counter()
                imported = after.import_compreface(service.address, "any")
                seconds = time.perf_counter() - started
            report: dict[str, object] = {
                "people": len(enrolled),
                "examples": examples,
                "taken": sum(example.accepted for example in imported),
                "seconds": round(seconds, 1),
                **compare(list(before.identify(probes)), list(after.identify(probes))),
            }
    write_json_report(arguments.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
