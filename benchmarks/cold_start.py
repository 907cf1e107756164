"""Cold-start time of one photo compared with InsightFace, and cost of ``import facebank`` and ``--help``.

Run from the project's root, with facebank installed in the running Python and the peers' environment set up
(``benchmarks/peers/README.md``)::

    python -m benchmarks.cold_start --shared ../shared --peer benchmarks/peers/.venv/bin/python --out benchmarks/reports

Checks three requirements, the first two by the medians of alternating runs of two commands:

1. ``facebank identify PHOTO`` with the embedded pack and a gallery of five people, against a script that builds
   InsightFace's ``FaceAnalysis`` and analyzes the same photo. Required: at most the same time.
2. ``facebank --help`` against ``python -c "import typer"``. Required: at most twice as long.
3. ``import facebank`` must load none of the heavy modules, such as NumPy.

Writes ``cold_start.json`` and ``cold_start.md``; exits with 1 if a requirement is not met.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.json_report import write_json_report

PEER_SCRIPT = Path(__file__).resolve().parent / "peers" / "insightface_faces.py"
PHOTO = "data/photos/probe/obama1.jpg"
PEOPLE = "data/photos/enrol"
PEER_PACKAGE = "models/insightface-mbf"
HEAVY_MODULES = ("numpy", "cv2", "onnxruntime", "onnx", "faiss", "sklearn", "scipy", "PIL", "typer", "rich", "sqlite3")
LIBRARIES = ("numpy", "onnxruntime", "faiss-cpu", "opencv-python-headless", "Pillow", "typer")


@dataclass(frozen=True, slots=True)
class CommandComparison:
    """Two commands timed in alternation.

    Attributes
    ----------
    title
        Title in the report.
    ours, theirs
        Names of the two commands.
    our_seconds, their_seconds
        Wall seconds of each run, in order.
    most
        Largest allowed ratio of the medians.
    """

    title: str
    ours: str
    theirs: str
    our_seconds: list[float]
    their_seconds: list[float]
    most: float

    @property
    def ratio(self) -> float:
        """Our median divided by theirs."""
        return median(self.our_seconds) / median(self.their_seconds)

    @property
    def is_met(self) -> bool:
        """Whether the requirement is met."""
        return self.ratio <= self.most


def main() -> int:
    """Measure and write the report; return 1 if a requirement is not met."""
    arguments = parse_arguments()
    shared: Path = arguments.shared.resolve()
    heavy = heavy_imports()
    with tempfile.TemporaryDirectory(prefix="facebank-cold-start-") as scratch:
        gallery = Path(scratch) / "five.facebank"
        run([arguments.facebank, "--gallery", gallery, "enroll", "--tree", shared / PEOPLE])
        comparisons = [
            compare(
                "One photo, cold process",
                ("facebank identify", [arguments.facebank, "--gallery", gallery, "identify", shared / PHOTO]),
                ("InsightFace FaceAnalysis", [arguments.peer, PEER_SCRIPT, shared / PEER_PACKAGE, shared / PHOTO]),
                most=1.0,
                runs=arguments.runs,
            ),
            compare(
                "Help",
                ("facebank --help", [arguments.facebank, "--help"]),
                ("import typer", [sys.executable, "-c", "import typer"]),
                most=2.0,
                runs=arguments.runs,
            ),
        ]
    write_report(arguments.out, comparisons, heavy, arguments.peer)
    return 0 if not heavy and all(comparison.is_met for comparison in comparisons) else 1


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Compare the cold-start time of one photo with InsightFace.")
    parser.add_argument("--shared", type=Path, required=True, help="folder that holds data/ and models/")
    parser.add_argument("--peer", type=Path, required=True, help="Python of the peers' environment")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the report to")
    parser.add_argument("--runs", type=int, default=15, help="runs of each command (default 15)")
    parser.add_argument(
        "--facebank", type=Path, default=Path(sys.executable).with_name("facebank"), help="the facebank command"
    )
    return parser.parse_args()


def heavy_imports() -> list[str]:
    """Return the heavy modules that ``import facebank`` loads."""
    program = f"import sys, facebank; print(*(name for name in {HEAVY_MODULES!r} if name in sys.modules))"
    completed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return completed.stdout.split()


def compare(
    title: str,
    ours: tuple[str, Sequence[str | Path]],
    theirs: tuple[str, Sequence[str | Path]],
    *,
    most: float,
    runs: int,
) -> CommandComparison:
    """Time two commands in alternation, after an unmeasured run of each."""
    run(ours[1])
    run(theirs[1])
    our_seconds, their_seconds = [], []
    for _ in range(runs):
        our_seconds.append(run(ours[1]))
        their_seconds.append(run(theirs[1]))
    comparison = CommandComparison(title, ours[0], theirs[0], our_seconds, their_seconds, most)
    print(f"{title}: {median(our_seconds):.3f} s against {median(their_seconds):.3f} s, ratio {comparison.ratio:.2f}")
    return comparison


def run(command: Sequence[str | Path]) -> float:
    """Run a command and return its wall time in seconds; exits on failure."""
    started = time.perf_counter()
    completed = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if completed.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} exited with {completed.returncode}:\n{completed.stderr}")
    return seconds


def write_report(folder: Path, comparisons: Sequence[CommandComparison], heavy: Sequence[str], peer: Path) -> None:
    """Write the results as JSON and as Markdown."""
    machine: dict[str, object] = {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "peer": peer_version(peer),
    }
    figures = [{**asdict(pair), "ratio": pair.ratio, "met": pair.is_met} for pair in comparisons]
    report = {"machine": machine, "comparisons": figures, "heavy_imports": list(heavy)}
    write_json_report(folder / "cold_start", report)
    (folder / "cold_start.md").write_text(format_markdown(comparisons, heavy, machine), encoding="utf-8")


def format_markdown(comparisons: Sequence[CommandComparison], heavy: Sequence[str], machine: dict[str, object]) -> str:
    """Return the results as Markdown."""
    lines = [
        "# Cold start",
        "",
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, peer {machine['peer']}; "
        f"{len(comparisons[0].our_seconds)} runs of each command, alternating. Seconds: median (fastest to slowest).",
        "",
        "| | facebank | reference | ratio | allowed |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {pair.title} | `{pair.ours}` {format_spread(pair.our_seconds)} | "
        f"`{pair.theirs}` {format_spread(pair.their_seconds)} | {pair.ratio:.2f} | {pair.most:.2f} |"
        for pair in comparisons
    ]
    lines += ["", f"`import facebank` loads {', '.join(heavy) or 'none'} of: {', '.join(HEAVY_MODULES)}.", ""]
    return "\n".join(lines)


def format_spread(seconds: Sequence[float]) -> str:
    """Format the median and the range for the report."""
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def processor() -> str:
    """Return the model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def peer_version(peer: Path) -> str:
    """Return the version of InsightFace in the peers' environment."""
    program = "from importlib.metadata import version; print('insightface', version('insightface'))"
    return subprocess.run([peer, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
