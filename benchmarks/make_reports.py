"""Generates the committed reports: all protocols of ``facebank bench`` on ``../shared/data``, for three packs.

    python -m benchmarks.make_reports ../shared --out benchmarks/reports

The embedded pack runs every protocol. MobileFaceNet-y1 and EdgeFace-XS, whose weights may not be redistributed, are
built from ``models/manifests`` and the weights in ``../shared/models``, and run the protocols that compare packs.
Families and ages are embeddings of the embedded pack in ``data/hard``; their reports use the families and people with
odd numbers, on which nothing was tuned. Each report keeps ``report.json`` and ``report.md``; ``report.html`` contains
faces of LFW, which may not be redistributed, and is written to ``--pages``.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BUILD_FOLDER = Path("benchmarks/research-packs")
PACKS = {"mobilefacenet-y1": "insightface-mbf", "edgeface-xs": "edgeface-xs"}


@dataclass(frozen=True, slots=True)
class ReportSpec:
    """A report: its folder, the arguments of ``facebank bench``, and the pack (None: embedded)."""

    folder: str
    arguments: tuple[str, ...]
    pack: str | None = None


def report_specs(shared: Path) -> Iterator[ReportSpec]:
    """Yield the specifications of all reports."""
    lfw, relatives = str(shared / "data/lfw"), str(shared / "data/lfw-meta/relatives.tsv")
    pairs = str(shared / "data/lfw-meta/pairs.txt")
    # These people were not used to tune or calibrate any part of facebank.
    reporting = str(shared / "data/lfw-meta/peopleDevTest.txt")
    yield ReportSpec("lfw", ("lfw", lfw))
    for name in ("verify", "fewshot", "openset"):
        yield ReportSpec(name, (name, lfw, "--people", reporting))
    yield ReportSpec("twins", ("twins", lfw, "--relatives", relatives))
    for name in ("masks", "sizes", "blur", "pose", "exposure"):
        yield ReportSpec(name, (name, lfw, "--people", reporting))
    yield from hard_case_specs(shared)
    for name in ("sanity", "twins-2020", "athletes-2019", "lfw5-2021", "sisters-2021"):
        yield ReportSpec(name, (name, lfw))
    yield ReportSpec("celebrities-2018", ("celebrities-2018", lfw, *video_option(shared)))
    for pack in PACKS:
        yield ReportSpec(f"lfw-{pack}", ("lfw", lfw), pack)
        yield ReportSpec(f"verify-{pack}", ("verify", lfw, "--people", reporting), pack)
        yield ReportSpec(f"compare-{pack}", ("compare", lfw, "--pairs", pairs, "--with", f"{BUILD_FOLDER}/{pack}"))


def hard_case_specs(shared: Path) -> Iterator[ReportSpec]:
    """Yield the reports on embeddings of families and ages (odd numbers) whose files exist."""
    import numpy as np

    for stem, column, arguments in (
        ("siblings", "family", ("siblings",)),
        ("ages", "person", ("groups", "--column", "young")),
    ):
        path = shared / "data/hard" / f"{stem}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as arrays:
                people = sorted({int(person) for person in arrays["person"][arrays[column] % 2 == 1]})
            list_path = BUILD_FOLDER / f"{stem}.txt"
            (PROJECT / list_path).write_text("".join(f"{person}\n" for person in people), encoding="utf-8")
            yield ReportSpec(arguments[0], (arguments[0], str(path), *arguments[1:], "--people", str(list_path)))


def video_option(shared: Path) -> tuple[str, ...]:
    """Return the option for the first video among the photos, or no option without one."""
    videos = sorted(path for path in (shared / "data/photos").rglob("*") if path.suffix in {".mp4", ".mov", ".avi"})
    return ("--video", str(videos[0])) if videos else ()


def build_packs(shared: Path) -> dict[str, Path]:
    """Build the packs whose weights may not be redistributed; return their folders, relative to the project's root."""
    folders = {}
    weights = {path.name: path for path in (shared / "models").glob("*/*.onnx")}
    for name, manifest in PACKS.items():
        folders[name] = BUILD_FOLDER / name
        folder = PROJECT / folders[name]
        folder.mkdir(parents=True, exist_ok=True)
        text = (PROJECT / "models/manifests" / f"{manifest}.toml").read_text(encoding="utf-8")
        (folder / "pack.toml").write_text(text, encoding="utf-8")
        for file_name in (line.split('"')[1] for line in text.splitlines() if line.startswith("file = ")):
            shutil.copy(weights[file_name], folder / file_name)
    return folders


def make_report(report: ReportSpec, packs: dict[str, Path], out: Path, pages: Path | None) -> bool:
    """Run one protocol and write its report; return whether it succeeded."""
    pack_options = [] if report.pack is None else ["--pack", str(packs[report.pack])]
    folder = out / report.folder
    command = [sys.executable, "-m", "cli", *pack_options, "bench", *report.arguments, "--out", str(folder)]
    print(shlex.join(command[3:]), flush=True)
    completed = subprocess.run(command, cwd=PROJECT, check=False)
    if completed.returncode not in {0, 1}:
        return False
    page = folder / "report.html"
    if pages is not None:
        pages.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, pages / f"{report.folder}.html")
    page.unlink()
    return True


def main() -> None:
    """Generate the requested reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with data/ and models/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the reports")
    parser.add_argument("--pages", type=Path, default=None, help="folder for report.html; default: not kept")
    parser.add_argument("--only", nargs="*", default=None, help="names of the reports to generate; default: all")
    arguments = parser.parse_args()
    try:
        packs = build_packs(arguments.shared)
        chosen = [
            spec for spec in report_specs(arguments.shared) if arguments.only is None or spec.folder in arguments.only
        ]
        failed = [spec.folder for spec in chosen if not make_report(spec, packs, arguments.out, arguments.pages)]
    finally:
        shutil.rmtree(PROJECT / BUILD_FOLDER, ignore_errors=True)
    if failed:
        sys.exit(f"These reports failed; their errors are printed above: {', '.join(failed)}")


if __name__ == "__main__":
    main()
